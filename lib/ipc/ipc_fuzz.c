/* A frame's payload, read as every message. Strict reading means that there is one encoding: what is accepted is sent
 * again octet for octet. The input is a type (2 octets) and the payload. */
#include "ipc.h"

#include "services.h"
#include "text.h"

static struct ipc_channel to, from;

/* The frame that came out is the one that went in. */
static void check_sent(const struct ipc_frame *frame)
{
	struct ipc_frame again;
	char payload[LIMIT_IPC_FRAME_MAX];
	size_t length = frame->payload.length;
	must(length <= sizeof payload);
	if (length)
		memcpy(payload, frame->payload.data, length);
	must(ipc_receive(&from, &again) == IPC_FRAME && again.type == frame->type && again.request == frame->request);
	must(str_equal(again.payload, str_from(payload, length)));
}

#define U32(x)
#define U64(x)
#define I64(x)
#define ID(x)
#define TEXT(x, max) must(message.x.length <= (max) && text_is_utf8(message.x));
#define BYTES(x, max) must(message.x.length <= (max));
#define MESSAGE(NAME, name, fields)                                    \
	static void check_##name(const struct ipc_frame *frame)            \
	{                                                                  \
		struct msg_##name message;                                     \
		if (!msg_##name##_read(frame, &message))                       \
			return;                                                    \
		fields msg_##name##_send(&to, frame->request, &message, -1);   \
		check_sent(frame);                                             \
	}
#include "messages.def"
#undef MESSAGE

static void (*const checks[MSG_COUNT])(const struct ipc_frame *frame) = {
#define MESSAGE(NAME, name, fields) [MSG_##NAME] = check_##name,
#include "messages.def"
#undef MESSAGE
};

/* Lists within a message: what was taken out is what was put in. */
#define CHECK_LIST(what)                                                                     \
	static void check_##what##_list(struct str rest)                                         \
	{                                                                                        \
		CLEANUP(buf_release) struct buf again = BUF_WITH_LIMIT(1 << 20);                     \
		struct str all = rest;                                                               \
		struct what what;                                                                    \
		while (what##_next(&rest, &what))                                                    \
			what##_add(&again, &what);                                                       \
		must(str_equal(buf_str(&again), str_first(all, all.length - rest.length)));          \
	}
CHECK_LIST(target)
CHECK_LIST(relay_recipient)
CHECK_LIST(delivery_place)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2];
	if (size < 2 || size > 65536)
		return 0;
	if (to.descriptor == 0) {
		must(ipc_pair(pair, NULL));
		ipc_channel_init(&to, pair[0]);
		ipc_channel_init(&from, pair[1]);
	}
	unsigned type = (data[0] | (unsigned)data[1] << 8) % MSG_COUNT;
	struct ipc_frame frame = { .type = (enum msg_type)type, .request = size, .payload = str_from((const char *)data + 2, size - 2) };
	if (checks[type])
		checks[type](&frame);
	check_target_list(frame.payload);
	check_relay_recipient_list(frame.payload);
	check_delivery_place_list(frame.payload);
	return 0;
}

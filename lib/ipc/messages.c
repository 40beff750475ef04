/* Encoding and strict decoding of messages.def: each field kind once, applied by the macros below. */
#include "ipc.h"

#include "ipc_internal.h"
#include "text.h"

struct reader {
	struct str rest;
	bool good; /* sticky */
};

static void read_fixed(struct reader *r, void *value, size_t size)
{
	if (!r->good || r->rest.length < size) {
		r->good = false;
		memset(value, 0, size);
		return;
	}
	memcpy(value, r->rest.data, size);
	r->rest = str_from_index(r->rest, size);
}

static struct str read_bytes(struct reader *r, size_t max)
{
	uint32_t length;
	read_fixed(r, &length, sizeof length);
	if (!r->good || length > max || length > r->rest.length) {
		r->good = false;
		return (struct str){};
	}
	struct str bytes = str_first(r->rest, length);
	r->rest = str_from_index(r->rest, length);
	return bytes;
}

static struct str read_text(struct reader *r, size_t max)
{
	struct str text = read_bytes(r, max);
	if (r->good && (!text_is_utf8(text) || str_find_char(text, '\0') != text.length))
		r->good = false;
	return r->good ? text : (struct str){};
}

enum { COPIED_MAX = 2048 };

/* A message being written. A long value at its end is not copied but sent from where it lies. */
struct writer {
	struct buf *encoded;
	struct str tail;
};

static void write_fixed(struct writer *w, const void *value, size_t size)
{
	buf_add_str(w->encoded, w->tail);
	w->tail = (struct str){};
	buf_append(w->encoded, value, size);
}

/* Our own side keeps the limits too: a longer value is our bug, not the peer's. */
static void write_bytes(struct writer *w, struct str bytes, size_t max)
{
	must(bytes.length <= max);
	uint32_t length = (uint32_t)bytes.length;
	write_fixed(w, &length, sizeof length);
	if (bytes.length > COPIED_MAX)
		w->tail = bytes;
	else
		buf_add_str(w->encoded, bytes);
}

#define U32(x) write_fixed(&w, &message->x, sizeof message->x);
#define U64(x) U32(x)
#define I64(x) U32(x)
#define ID(x) U32(x)
#define TEXT(x, max) write_bytes(&w, message->x, (max));
#define BYTES(x, max) write_bytes(&w, message->x, (max));
#define MESSAGE(NAME, name, fields)                                                                                         \
	void msg_##name##_send(struct ipc_channel *channel, uint64_t request, const struct msg_##name *message, int descriptor) \
	{                                                                                                                       \
		struct writer w = { &ipc_scratch()->encoded, {} };                                                                  \
		(void)message;                                                                                                      \
		buf_clear(w.encoded);                                                                                               \
		fields must(!w.encoded->overflowed);                                                                                \
		ipc_send_parts(channel, MSG_##NAME, request, buf_str(w.encoded), w.tail, &descriptor, descriptor >= 0);             \
	}
#include "messages.def"
#undef MESSAGE
#undef U32
#undef U64
#undef I64
#undef ID
#undef TEXT
#undef BYTES

#define U32(x) read_fixed(&r, &message->x, sizeof message->x);
#define U64(x) U32(x)
#define I64(x) U32(x)
#define ID(x) U32(x)
#define TEXT(x, max) message->x = read_text(&r, (max));
#define BYTES(x, max) message->x = read_bytes(&r, (max));
#define MESSAGE(NAME, name, fields)                                               \
	bool msg_##name##_read(const struct ipc_frame *frame, struct msg_##name *message) \
	{                                                                             \
		struct reader r = { frame->payload, frame->type == MSG_##NAME };          \
		*message = (struct msg_##name){};                                         \
		fields return r.good && r.rest.length == 0;                               \
	}
#include "messages.def"
#undef MESSAGE

static const char *const names[MSG_COUNT] = {
	[MSG_NONE] = "NONE",
#define MESSAGE(NAME, name, fields) [MSG_##NAME] = #NAME,
#include "messages.def"
#undef MESSAGE
};

const char *msg_name(enum msg_type type)
{
	return (unsigned)type < MSG_COUNT ? names[type] : "UNKNOWN";
}

bool msg_is_empty(enum msg_type type)
{
	static const bool empty[MSG_COUNT] = {
#define MESSAGE(NAME, name, fields) [MSG_##NAME] = sizeof #fields == 1,
#include "messages.def"
#undef MESSAGE
	};
	return (unsigned)type < MSG_COUNT && empty[type];
}

/* FNV-1a over the text of all fields, with the values of their limits: two builds that agree on it agree on every
 * frame. */
#undef U32
#undef U64
#undef I64
#undef ID
#undef TEXT
#undef BYTES
#define TEXT_OF(...) #__VA_ARGS__
#define EXPANDED_TEXT_OF(...) TEXT_OF(__VA_ARGS__)
uint32_t ipc_version(void)
{
	static const char text[] =
#define MESSAGE(NAME, name, fields) #NAME ":" EXPANDED_TEXT_OF(fields) ";"
#include "messages.def"
		;
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < sizeof text - 1; i++)
		hash = (hash ^ (unsigned char)text[i]) * 16777619u;
	return hash;
}

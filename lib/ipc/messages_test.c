/* Every message of messages.def, made, sent, read and spoiled by the table itself. */
#include "ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- values ---- */

enum size { SIZE_NONE, SIZE_ONE, SIZE_SOME, SIZE_MAX_ALLOWED, SIZE_COUNT };

static char text_pool[LIMIT_IPC_FRAME_MAX], bytes_pool[LIMIT_IPC_FRAME_MAX];
static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static size_t length_of(enum size size, size_t max)
{
	switch (size) {
	case SIZE_NONE: return 0;
	case SIZE_ONE: return 1;
	case SIZE_SOME: return next_random() % (max + 1);
	default: return max;
	}
}

/* Bytes are any, text is letters; a two-byte character stands where it fits. */
static struct str some_text(enum size size, size_t max)
{
	return str_from(text_pool, length_of(size, max));
}

static struct str some_bytes(enum size size, size_t max)
{
	return str_from(bytes_pool, length_of(size, max));
}

static int fill_pools(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof text_pool; i++) {
		text_pool[i] = (char)('a' + i % 26);
		bytes_pool[i] = (char)next_random();
	}
	return 0;
}

#define U32(x) message->x = (uint32_t)next_random();
#define U64(x) message->x = next_random();
#define I64(x) message->x = (int64_t)next_random();
#define ID(x) message->x = ipc_id_make();
#define TEXT(x, max) message->x = some_text(size, (max));
#define BYTES(x, max) message->x = some_bytes(size, (max));
#define MESSAGE(NAME, name, fields)                                     \
	static void fill_##name(struct msg_##name *message, enum size size) \
	{                                                                   \
		(void)message;                                                  \
		(void)size;                                                     \
		fields                                                          \
	}
#include "messages.def"
#undef MESSAGE
#undef U32
#undef U64
#undef I64
#undef ID
#undef TEXT
#undef BYTES

#define U32(x) same = same && a->x == b->x;
#define U64(x) U32(x)
#define I64(x) U32(x)
#define ID(x) same = same && memcmp(a->x.bytes, b->x.bytes, sizeof a->x.bytes) == 0;
#define TEXT(x, max) same = same && str_equal(a->x, b->x);
#define BYTES(x, max) TEXT(x, max)
#define MESSAGE(NAME, name, fields)                                                  \
	static bool same_##name(const struct msg_##name *a, const struct msg_##name *b)  \
	{                                                                                \
		bool same = true;                                                            \
		(void)a;                                                                     \
		(void)b;                                                                     \
		fields return same;                                                          \
	}
#include "messages.def"
#undef MESSAGE
#undef U32
#undef U64
#undef I64
#undef ID
#undef TEXT
#undef BYTES

/* One message sent and read at one size, with or without a descriptor. */
#define MESSAGE(NAME, name, fields)                                                                            \
	static bool round_trip_##name(struct ipc_channel *to, struct ipc_channel *from, enum size size, int given) \
	{                                                                                                          \
		struct msg_##name sent = {}, got;                                                                      \
		struct ipc_frame frame;                                                                                \
		uint64_t request = next_random();                                                                      \
		fill_##name(&sent, size);                                                                              \
		msg_##name##_send(to, request, &sent, given);                                                          \
		if (ipc_receive(from, &frame) != IPC_FRAME || frame.type != MSG_##NAME || frame.request != request)    \
			return false;                                                                                      \
		bool good = frame.descriptor_count == (given >= 0) && msg_##name##_read(&frame, &got);                  \
		good = good && same_##name(&sent, &got);                                                               \
		ipc_close_descriptors(&frame);                                                                         \
		return good;                                                                                           \
	}
#include "messages.def"
#undef MESSAGE

/* ---- encoding by hand, with one thing wrong ---- */

enum spoil { SPOIL_NOTHING, SPOIL_LONG, SPOIL_LENGTH, SPOIL_UTF8, SPOIL_NUL, SPOIL_COUNT };

struct encoding {
	struct buf out;
	int field;        /* counted in the order of the table */
	int spoiled;      /* this one */
	enum spoil spoil;
	bool done;        /* it could be spoiled that way */
};

static void add_fixed(struct encoding *e, size_t size)
{
	e->field++;
	buf_append(&e->out, bytes_pool, size);
}

static void add_counted(struct encoding *e, bool is_text, size_t max)
{
	bool here = e->field++ == e->spoiled;
	size_t length = here && e->spoil == SPOIL_LONG ? max + 1 : max < 8 ? max : 8;
	uint32_t count = (uint32_t)length;
	char value[8];
	e->done = e->done || (here && (is_text || e->spoil <= SPOIL_LENGTH));
	if (here && e->spoil == SPOIL_LENGTH)
		count = UINT32_MAX;
	buf_append(&e->out, &count, sizeof count);
	memcpy(value, text_pool, sizeof value);
	if (here && is_text && e->spoil == SPOIL_UTF8)
		value[7] = '\xc3'; /* begins a character that never comes */
	if (here && is_text && e->spoil == SPOIL_NUL)
		value[3] = '\0';
	buf_append(&e->out, length <= 8 ? value : text_pool, length);
}

#define U32(x) add_fixed(e, 4);
#define U64(x) add_fixed(e, 8);
#define I64(x) add_fixed(e, 8);
#define ID(x) add_fixed(e, 16);
#define TEXT(x, max) add_counted(e, true, (max));
#define BYTES(x, max) add_counted(e, false, (max));
#define MESSAGE(NAME, name, fields)                 \
	static void encode_##name(struct encoding *e)   \
	{                                               \
		(void)e;                                    \
		fields                                      \
	}                                               \
	static bool read_##name(const struct ipc_frame *frame) \
	{                                               \
		struct msg_##name message;                  \
		return msg_##name##_read(frame, &message);  \
	}
#include "messages.def"
#undef MESSAGE
#undef U32
#undef U64
#undef I64
#undef ID
#undef TEXT
#undef BYTES

static const struct {
	enum msg_type type;
	bool (*round_trip)(struct ipc_channel *to, struct ipc_channel *from, enum size size, int given);
	void (*encode)(struct encoding *e);
	bool (*read)(const struct ipc_frame *frame);
} messages[] = {
#define MESSAGE(NAME, name, fields) { MSG_##NAME, round_trip_##name, encode_##name, read_##name },
#include "messages.def"
#undef MESSAGE
};

/* How many ways there are to spoil a field, in all messages. */
#define U32(x) +0
#define U64(x) +0
#define I64(x) +0
#define ID(x) +0
#define TEXT(x, max) +4
#define BYTES(x, max) +2
#define MESSAGE(NAME, name, fields) +0 fields
enum {
	SPOILABLE = 0
#include "messages.def"
};
#undef MESSAGE
#undef U32
#undef U64
#undef I64
#undef ID
#undef TEXT
#undef BYTES

/* ---- tests ---- */

static void make_channels(struct ipc_channel *a, struct ipc_channel *b)
{
	int pair[2];
	assert_true(ipc_pair(pair, NULL));
	ipc_channel_init(a, pair[0]);
	ipc_channel_init(b, pair[1]);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	for (int i = 0; i < 256; i++)
		count += fcntl(i, F_GETFD) >= 0;
	return count;
}

static void every_message_comes_back(void **state)
{
	struct ipc_channel a, b;
	(void)state;
	make_channels(&a, &b);
	unsigned before = open_descriptors();
	assert_int_equal(COUNT_OF(messages), MSG_COUNT - 1);
	for (size_t i = 0; i < COUNT_OF(messages); i++)
		for (enum size size = 0; size < SIZE_COUNT; size++)
			for (int with = 0; with < 2; with++)
				if (!messages[i].round_trip(&a, &b, size, with ? dup(0) : -1))
					fail_msg("%s of size %d", msg_name(messages[i].type), (int)size);
	assert_int_equal(open_descriptors(), before);
	ipc_channel_release(&a);
	ipc_channel_release(&b);
}

static bool reads_as(size_t i, enum msg_type type, struct str payload)
{
	struct ipc_frame frame = { .type = type, .payload = payload };
	return messages[i].read(&frame);
}

static void shorter_or_longer_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(messages); i++) {
		struct encoding e = { .out = BUF_WITH_LIMIT(2 * LIMIT_IPC_FRAME_MAX), .spoiled = -1 };
		messages[i].encode(&e);
		struct str whole = buf_str(&e.out);
		assert_true(reads_as(i, messages[i].type, whole));
		for (size_t length = 0; length < whole.length; length++)
			assert_false(reads_as(i, messages[i].type, str_first(whole, length)));
		assert_false(reads_as(i, messages[i].type == 1 ? 2 : 1, whole));
		buf_add_char(&e.out, 0);
		assert_false(reads_as(i, messages[i].type, buf_str(&e.out)));
		buf_release(&e.out);
	}
}

/* Each field of each message in turn: a value longer than its limit, a length beyond the frame, text that is none. */
static void each_field_is_checked(void **state)
{
	unsigned checked = 0;
	(void)state;
	for (size_t i = 0; i < COUNT_OF(messages); i++)
		for (int spoil = SPOIL_LONG; spoil < SPOIL_COUNT; spoil++)
			for (int field = 0; field < 30; field++) {
				struct encoding e = { .out = BUF_WITH_LIMIT(2 * LIMIT_IPC_FRAME_MAX), .spoiled = field, .spoil = (enum spoil)spoil };
				messages[i].encode(&e);
				if (e.done && reads_as(i, messages[i].type, buf_str(&e.out)))
					fail_msg("%s: field %d spoiled by %d is read", msg_name(messages[i].type), field, spoil);
				checked += e.done;
				buf_release(&e.out);
			}
	assert_int_equal(checked, SPOILABLE);
}

/* Sends octets as they are, with count descriptors. */
static void send_raw(int socket, const void *data, size_t length, unsigned count)
{
	struct iovec part = { (void *)data, length };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * 16)];
	} control = {};
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	if (count) {
		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		struct cmsghdr *item = CMSG_FIRSTHDR(&message);
		*item = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(item) + i * sizeof(int), &(int){ 0 }, sizeof(int));
	}
	assert_true(sendmsg(socket, &message, MSG_NOSIGNAL) >= 0);
}

struct raw_header {
	uint32_t type;
	uint32_t length;
	uint64_t request;
};

static void what_is_no_frame_ends_the_channel(void **state)
{
	static char big[LIMIT_IPC_FRAME_MAX + 1];
	static const struct {
		struct raw_header header;
		size_t octets;
		unsigned descriptors;
	} cases[] = {
		{ { MSG_PING, 0, 1 }, 1, 0 },                            /* shorter than a header */
		{ { MSG_PING, 0, 1 }, sizeof(struct raw_header) - 1, 1 },
		{ { MSG_NONE, 0, 1 }, sizeof(struct raw_header), 0 },
		{ { MSG_COUNT, 0, 1 }, sizeof(struct raw_header), 4 },
		{ { UINT32_MAX, 0, 1 }, sizeof(struct raw_header), 0 },
		{ { MSG_PING, 1, 1 }, sizeof(struct raw_header), 2 },     /* says more than there is */
		{ { MSG_PING, 0, 1 }, sizeof(struct raw_header) + 1, 1 }, /* there is more than it says */
		{ { MSG_PING, UINT32_MAX, 1 }, sizeof(struct raw_header), 0 },
		{ { MSG_CTL_ROW, LIMIT_IPC_FRAME_MAX + 1 - sizeof(struct raw_header), 1 }, LIMIT_IPC_FRAME_MAX + 1, 1 },
		{ { MSG_PING, 0, 1 }, sizeof(struct raw_header), LIMIT_IPC_DESCRIPTORS_MAX + 1 },
		{ { MSG_PING, 0, 1 }, sizeof(struct raw_header), 16 },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ipc_channel a, b;
		struct ipc_frame frame;
		make_channels(&a, &b);
		unsigned before = open_descriptors();
		memcpy(big, &cases[i].header, sizeof cases[i].header);
		send_raw(a.descriptor, big, cases[i].octets, cases[i].descriptors);
		if (ipc_receive(&b, &frame) != IPC_CLOSED || !b.malformed || frame.descriptor_count != 0)
			fail_msg("case %zu", i);
		assert_int_equal(open_descriptors(), before);
		ipc_channel_release(&a);
		ipc_channel_release(&b);
	}
}

static void the_largest_frame_passes(void **state)
{
	struct ipc_channel a, b;
	struct ipc_frame frame;
	(void)state;
	make_channels(&a, &b);
	struct str payload = str_from(bytes_pool, LIMIT_IPC_FRAME_MAX - sizeof(struct raw_header));
	int descriptors[LIMIT_IPC_DESCRIPTORS_MAX];
	for (size_t i = 0; i < COUNT_OF(descriptors); i++)
		descriptors[i] = dup(0);
	ipc_send(&a, MSG_CTL_ROW, 7, payload, descriptors, COUNT_OF(descriptors));
	assert_int_equal(ipc_receive(&b, &frame), IPC_FRAME);
	assert_true(str_equal(frame.payload, payload));
	assert_int_equal(frame.descriptor_count, LIMIT_IPC_DESCRIPTORS_MAX);
	assert_true(fcntl(frame.descriptors[0], F_GETFD) & FD_CLOEXEC);
	ipc_close_descriptors(&frame);
	ipc_channel_release(&a);
	ipc_channel_release(&b);
}

static void descriptors_are_taken_in_order(void **state)
{
	struct ipc_channel a, b;
	struct ipc_frame frame;
	struct stat facts;
	int ends[2];
	(void)state;
	make_channels(&a, &b);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	int descriptors[2] = { open("/dev/null", O_RDONLY | O_CLOEXEC), ends[0] };
	ipc_send(&a, MSG_PING, 0, STR(""), descriptors, 2);
	assert_int_equal(ipc_receive(&b, &frame), IPC_FRAME);
	int first = ipc_take_descriptor(&frame), second = ipc_take_descriptor(&frame);
	assert_int_equal(ipc_take_descriptor(&frame), -1);
	assert_true(fstat(first, &facts) == 0 && S_ISCHR(facts.st_mode));
	assert_true(fstat(second, &facts) == 0 && S_ISFIFO(facts.st_mode));
	close(first);
	close(second);
	close(ends[1]);
	ipc_channel_release(&a);
	ipc_channel_release(&b);
}

static void waiting_ends_in_time(void **state)
{
	struct ipc_channel a, b;
	struct ipc_frame frame;
	(void)state;
	make_channels(&a, &b);
	assert_int_equal(ipc_receive_wait(&b, &frame, 1), IPC_AGAIN);
	msg_ping_send(&a, 5, &(struct msg_ping){}, -1);
	ipc_channel_release(&a);
	/* What was sent before the end is still there. */
	assert_int_equal(ipc_receive_wait(&b, &frame, 1000), IPC_FRAME);
	assert_int_equal(frame.request, 5);
	assert_int_equal(ipc_receive_wait(&b, &frame, 1000), IPC_CLOSED);
	assert_false(b.malformed);
	ipc_channel_release(&b);
}

/* Several write into one socket that several read: what does not fit is not sent, and never waits. */
static void a_shared_channel_is_full_and_goes_on(void **state)
{
	struct ipc_channel a, b;
	struct ipc_frame frame;
	unsigned sent = 0, got = 0, before;
	int pair[2];
	(void)state;
	assert_true(ipc_pair(pair, NULL));
	ipc_channel_init_shared(&a, pair[0]);
	ipc_channel_init(&b, pair[1]);
	before = open_descriptors();
	struct msg_ctl_row row = { .fields = str_from(bytes_pool, 1000) };
	for (; sent < 100000 && !a.full; sent += !a.full)
		msg_ctl_row_send(&a, 0, &row, dup(0));
	assert_true(a.full && !a.broken && sent > 10 && sent < 100000);
	while (ipc_receive(&b, &frame) == IPC_FRAME) {
		got++;
		ipc_close_descriptors(&frame);
	}
	assert_int_equal(got, sent);
	assert_int_equal(open_descriptors(), before);
	msg_ctl_row_send(&a, 0, &row, -1);
	assert_true(!a.full && ipc_receive(&b, &frame) == IPC_FRAME);
	ipc_channel_release(&a);
	ipc_channel_release(&b);
}

static void names_are_known(void **state)
{
	(void)state;
	assert_string_equal(msg_name(MSG_SESSION), "SESSION");
	assert_string_equal(msg_name(MSG_COUNT), "UNKNOWN");
	assert_string_equal(ipc_role_name(ROLE_ZYGOTE), "zygote");
	assert_string_equal(ipc_role_name(ROLE_COUNT), "unknown");
	assert_true(ipc_version() != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_comes_back),          cmocka_unit_test(shorter_or_longer_is_refused),
		cmocka_unit_test(each_field_is_checked),             cmocka_unit_test(what_is_no_frame_ends_the_channel),
		cmocka_unit_test(the_largest_frame_passes),          cmocka_unit_test(descriptors_are_taken_in_order),
		cmocka_unit_test(waiting_ends_in_time),              cmocka_unit_test(a_shared_channel_is_full_and_goes_on),
		cmocka_unit_test(names_are_known),
	};
	return cmocka_run_group_tests(tests, fill_pools, NULL);
}

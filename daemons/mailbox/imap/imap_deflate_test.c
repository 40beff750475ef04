#include "imap_compress.h"

#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

struct pair {
	struct stream *stream;
	struct imap_deflate *deflate;
	int peer;
	z_stream out, in; /* the peer's */
};

static int setup(void **state)
{
	struct pair *p = mem_alloc(sizeof *p);
	int ends[2];
	const struct stream_options options = {
		.input_size = 4096, .output_high = 65536,
		.times = { .idle_ms = 5000, .command_ms = 5000, .write_ms = 5000, .bulk_grace_ms = 5000 },
	};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	p->stream = stream_new(ends[0], &options);
	p->peer = ends[1];
	p->deflate = imap_deflate_new();
	struct stream_transport transport = imap_deflate_transport(p->deflate);
	assert_true(stream_set_transport(p->stream, &transport));
	assert_int_equal(deflateInit2(&p->out, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(inflateInit2(&p->in, -15), Z_OK);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;
	stream_free(p->stream);
	imap_deflate_free(&p->deflate);
	deflateEnd(&p->out);
	inflateEnd(&p->in);
	close(p->peer);
	free(p);
	return 0;
}

/* All that the peer got, as it came. */
static struct str received(struct pair *p, struct buf *raw)
{
	ssize_t got = 1;
	buf_clear(raw);
	while (got > 0) {
		char *room = buf_reserve(raw, 65536);
		got = recv(p->peer, room, 65536, MSG_DONTWAIT);
		buf_claim(raw, got > 0 ? (size_t)got : 0);
	}
	return buf_str(raw);
}

static struct str inflated(z_stream *in, struct str raw, struct buf *text)
{
	buf_clear(text);
	char *room = buf_reserve(text, 1 << 20);
	in->next_in = (Bytef *)(uintptr_t)raw.data;
	in->avail_in = (uInt)raw.length;
	in->next_out = (Bytef *)room;
	in->avail_out = 1 << 20;
	int result = inflate(in, Z_SYNC_FLUSH);
	assert_true(result == Z_OK || result == Z_BUF_ERROR);
	assert_int_equal(in->avail_in, 0);
	buf_claim(text, (1 << 20) - in->avail_out);
	return buf_str(text);
}

static struct str deflated(struct pair *p, struct str text, int flush, struct buf *raw)
{
	buf_clear(raw);
	char *room = buf_reserve(raw, 1 << 20);
	p->out.next_in = (Bytef *)(uintptr_t)text.data;
	p->out.avail_in = (uInt)text.length;
	p->out.next_out = (Bytef *)room;
	p->out.avail_out = 1 << 20;
	assert_true(deflate(&p->out, flush) != Z_STREAM_ERROR);
	buf_claim(raw, (1 << 20) - p->out.avail_out);
	return buf_str(raw);
}

static void say(struct pair *p, struct str raw)
{
	assert_int_equal(send(p->peer, raw.data, raw.length, 0), raw.length);
}

/* Bytes that do not deflate, the same in each run. */
static struct str noise(struct buf *out, size_t length)
{
	uint32_t state = 1;
	buf_clear(out);
	for (size_t i = 0; i < length; i++)
		buf_add_char(out, (char)((state = state * 1664525 + 1013904223) >> 24));
	return buf_str(out);
}

static void what_is_flushed_can_be_read(void **state)
{
	struct pair *p = *state;
	CLEANUP(buf_release) struct buf raw = BUF_WITH_LIMIT(4 << 20);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(4 << 20);
	CLEANUP(buf_release) struct buf bytes = BUF_WITH_LIMIT(4 << 20);
	static const size_t sizes[] = { 1, 3, 100, 8191, 65535, 65536, 100000 };
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct str sent = noise(&bytes, sizes[i]);
		stream_write(p->stream, sent);
		assert_true(stream_flush(p->stream));
		assert_true(str_equal(inflated(&p->in, received(p, &raw), &text), sent));
	}
	assert_int_equal(stream_bytes_given(p->stream), stream_bytes_written(p->stream));
}

static size_t deflated_size(struct pair *p, struct str text, uint64_t boundary, struct buf *raw)
{
	uint64_t before = stream_bytes_given(p->stream);
	if (boundary)
		imap_deflate_boundary(p->deflate, before + boundary);
	stream_write(p->stream, text);
	assert_true(stream_flush(p->stream));
	return received(p, raw).length;
}

/* The second half does not look at the first: it can be read without it, and it is no shorter for it. */
static void a_boundary_drops_the_dictionary(void **state)
{
	struct pair *p = *state;
	CLEANUP(buf_release) struct buf raw = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(4 << 20);
	CLEANUP(buf_release) struct buf twice = BUF_WITH_LIMIT(1 << 20);
	z_stream fresh = {};
	struct str half = noise(&text, 1000);
	buf_add_str(&twice, half);
	buf_add_str(&twice, half);
	size_t without = deflated_size(p, buf_str(&twice), 0, &raw);
	assert_true(without < 1200);
	imap_deflate_boundary(p->deflate, stream_bytes_given(p->stream));
	size_t with = deflated_size(p, buf_str(&twice), 1000, &raw);
	assert_true(with > 2000);
	struct str rest = buf_str(&raw);
	for (int i = 0; i < 2; i++)
		rest = str_from_index(rest, str_find(rest, STR("\0\0\xff\xff")) + 4);
	assert_int_equal(inflateInit2(&fresh, -15), Z_OK);
	CLEANUP(buf_release) struct buf again = BUF_WITH_LIMIT(4 << 20);
	assert_true(str_equal(inflated(&fresh, rest, &again), str_from_index(buf_str(&twice), 1000)));
	inflateEnd(&fresh);
}

static void commands_come_in_any_pieces(void **state)
{
	struct pair *p = *state;
	CLEANUP(buf_release) struct buf raw = BUF_WITH_LIMIT(4 << 20);
	struct str line;
	struct str sent = deflated(p, STR("a NOOP\r\nb NOOP\r\n"), Z_SYNC_FLUSH, &raw);
	for (size_t i = 0; i < sent.length; i++)
		say(p, str_from(sent.data + i, 1));
	assert_int_equal(stream_read_line(p->stream, 1000, STREAM_CRLF_ONLY, &line), STREAM_LINE);
	assert_true(str_equal(line, STR("a NOOP")));
	assert_int_equal(stream_read_line(p->stream, 1000, STREAM_CRLF_ONLY, &line), STREAM_LINE);
	assert_true(str_equal(line, STR("b NOOP")));
	/* more than the stream's buffer takes at once waits inflated, and nothing has to come for it to be seen */
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	for (int i = 0; i < 30000; i++)
		buf_add_char(&text, 'x');
	buf_add_str(&text, STR("\r\nc\r\n"));
	say(p, deflated(p, buf_str(&text), Z_SYNC_FLUSH, &raw));
	CLEANUP(mem_free) char *room = mem_alloc(30002);
	assert_true(stream_read_exact(p->stream, room, 30002));
	assert_int_equal(stream_wait_readable_or(p->stream, -1, 0), STREAM_READABLE);
	assert_int_equal(stream_read_line(p->stream, 1000, STREAM_CRLF_ONLY, &line), STREAM_LINE);
	assert_int_equal(stream_wait_readable_or(p->stream, -1, 0), STREAM_TIMED_OUT);
}

static void nonsense_ends_input_but_not_output(void **state)
{
	struct pair *p = *state;
	struct str line;
	say(p, STR("\xff\xff\xff\xff\xff\xff"));
	assert_int_equal(stream_read_line(p->stream, 1000, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
	assert_int_equal(stream_status(p->stream), STREAM_LOST);
	stream_write(p->stream, STR("* BYE\r\n"));
	assert_true(stream_flush(p->stream));
}

static void a_finished_stream_is_the_end(void **state)
{
	struct pair *p = *state;
	CLEANUP(buf_release) struct buf raw = BUF_WITH_LIMIT(4 << 20);
	struct str line;
	say(p, deflated(p, STR("a LOGOUT\r\n"), Z_FINISH, &raw));
	assert_int_equal(stream_read_line(p->stream, 1000, STREAM_CRLF_ONLY, &line), STREAM_LINE);
	assert_int_equal(stream_read_line(p->stream, 1000, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
	assert_int_equal(stream_status(p->stream), STREAM_END);
}

/* A thousand octets for each that comes: for some tens of megabytes, then no more. */
static void bombs_are_cut_off(void **state)
{
	struct pair *p = *state;
	CLEANUP(buf_release) struct buf raw = BUF_WITH_LIMIT(4 << 20);
	CLEANUP(buf_release) struct buf zeros = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(mem_free) char *room = mem_alloc(1 << 20);
	uint64_t total = 0;
	buf_reserve(&zeros, 1 << 20);
	buf_claim(&zeros, 1 << 20);
	memset(zeros.data, 0, zeros.length);
	for (int i = 0; i < 1000 && stream_status(p->stream) == STREAM_OPEN; i++) {
		say(p, deflated(p, buf_str(&zeros), Z_SYNC_FLUSH, &raw));
		for (size_t got = 0; got < zeros.length && stream_status(p->stream) == STREAM_OPEN;)
			got += stream_read_some(p->stream, room, zeros.length - got);
		total += zeros.length;
	}
	assert_int_equal(stream_status(p->stream), STREAM_LOST);
	assert_true(total > 50 << 20 && total < 900 << 20);
}

/* Blocks with nothing in them can't keep a reader busy for ever. */
static void empty_blocks_are_no_input(void **state)
{
	struct pair *p = *state;
	struct str line;
	CLEANUP(buf_release) struct buf blocks = BUF_WITH_LIMIT(100000);
	for (int i = 0; i < 10000; i++)
		buf_add_str(&blocks, STR("\0\0\0\xff\xff"));
	say(p, buf_str(&blocks));
	shutdown(p->peer, SHUT_WR);
	assert_int_equal(stream_read_line(p->stream, 1000, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
	assert_int_equal(stream_status(p->stream), STREAM_END);
}

#define pair_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		pair_test(what_is_flushed_can_be_read),        pair_test(a_boundary_drops_the_dictionary),
		pair_test(commands_come_in_any_pieces),        pair_test(nonsense_ends_input_but_not_output),
		pair_test(a_finished_stream_is_the_end),       pair_test(bombs_are_cut_off),
		pair_test(empty_blocks_are_no_input),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

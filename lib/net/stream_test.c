#include "stream.h"

#include "buf.h"
#include "mem.h"
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* Long enough that nothing here ever reaches it. */
enum { FOREVER_MS = 600000 };

static const struct stream_options roomy = {
	.input_size = 4096,
	.output_high = 4096,
	.times = { .idle_ms = FOREVER_MS, .command_ms = FOREVER_MS, .write_ms = FOREVER_MS },
};

/* A stream on one end of a socket pair; *peer is the other end. */
static struct stream *open_pair(const struct stream_options *options, int *peer)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*peer = ends[1];
	return stream_new(ends[0], options);
}

static void send_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void assert_line(struct stream *s, enum stream_line_end end, const char *expected)
{
	struct str line;
	assert_int_equal(stream_read_line(s, 4096, end, &line), STREAM_LINE);
	assert_int_equal(line.length, strlen(expected));
	assert_memory_equal(line.data, expected, line.length);
}

/* A transport that gives a script piece by piece and lets a clock of its own run on with each call. */
struct script {
	const char *input;
	size_t length, at, piece;
	size_t write_piece;
	int writes;
	struct buf written;
};

static int64_t fake_now_ms;
static int64_t fake_step_ms;

static int64_t fake_clock_ms(void)
{
	return fake_now_ms;
}

static ssize_t script_read(void *state, int fd UNUSED, void *room, size_t size)
{
	struct script *script = state;
	size_t left = script->length - script->at;
	size_t given = left < script->piece ? left : script->piece;
	given = given < size ? given : size;
	memcpy(room, script->input + script->at, given);
	script->at += given;
	fake_now_ms += fake_step_ms;
	return (ssize_t)given;
}

static ssize_t script_write(void *state, int fd UNUSED, const struct iovec *parts, int count)
{
	struct script *script = state;
	size_t room = script->write_piece, taken = 0;
	for (int i = 0; i < count; i++) {
		size_t part = parts[i].iov_len < room - taken ? parts[i].iov_len : room - taken;
		buf_append(&script->written, parts[i].iov_base, part);
		taken += part;
	}
	script->writes++;
	fake_now_ms += fake_step_ms;
	if (taken == 0)
		errno = EAGAIN;
	return taken ? (ssize_t)taken : -1;
}

/* Afterwards the caller releases script->written. */
static struct stream *open_script(const struct stream_options *options, struct script *script, int *peer)
{
	struct stream *s = open_pair(options, peer);
	script->written = BUF_WITH_LIMIT(1 << 20);
	struct stream_transport transport = { .read = script_read, .write = script_write, .state = script };
	assert_true(stream_set_transport(s, &transport));
	return s;
}

/* What reading lines gives, as text: "line|" for a line, "!" for one too long, "." at the end. */
static void read_all(struct stream *s, size_t limit, enum stream_line_end end, struct buf *out)
{
	struct str line;
	enum stream_line got;
	while ((got = stream_read_line(s, limit, end, &line)) != STREAM_NO_LINE) {
		if (got == STREAM_LINE)
			buf_add_str(out, line);
		buf_add_char(out, got == STREAM_LINE ? '|' : '!');
	}
	buf_add_char(out, '.');
}

static void lines(void **state)
{
	(void)state;
	static const struct {
		const char *input;
		enum stream_line_end end;
		const char *expected;
	} cases[] = {
		{ "", STREAM_CRLF_ONLY, "." },
		{ "NOOP\r\n", STREAM_CRLF_ONLY, "NOOP|." },
		{ "a\r\nb\r\n\r\n", STREAM_CRLF_ONLY, "a|b||." },
		{ "a\nb\r\n", STREAM_CRLF_ONLY, "a\nb|." },
		{ "a\nb\r\n", STREAM_LF_TOO, "a|b|." },
		{ "\n\n", STREAM_LF_TOO, "||." },
		{ "a\nb\r\nc\r\n", STREAM_LF_SHOWN, "a\n|b|c|." },
		{ "\n\r\n", STREAM_CRLF_ONLY, "\n|." },
		{ "a\rb\r\n", STREAM_CRLF_ONLY, "a\rb|." },
		{ "a\r\r\n", STREAM_CRLF_ONLY, "a\r|." },
		{ "unfinished", STREAM_CRLF_ONLY, "." },
		{ "a\r\nunfinished\r", STREAM_CRLF_ONLY, "a|." },
		{ "12345678\r\nx\r\n", STREAM_CRLF_ONLY, "12345678|x|." },
		{ "123456789\r\nx\r\n", STREAM_CRLF_ONLY, "!x|." },
		{ "12345678901234567890123456789\r\nx\r\n", STREAM_CRLF_ONLY, "!x|." },
		{ "123456789\nx\r\ny\r\n", STREAM_CRLF_ONLY, "!y|." },
		{ "12345678\r9\r\nx\r\n", STREAM_CRLF_ONLY, "!x|." },
		{ "1234567890123456789\nx\r\n", STREAM_LF_TOO, "!x|." },
		{ "123456789\r\n1\r\n123456789\r\n", STREAM_CRLF_ONLY, "!1|!." },
	};
	struct stream_options options = roomy;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t piece = 1; piece < 40; piece++)
			for (options.input_size = 10; options.input_size < 40; options.input_size += 7) {
				int peer;
				struct buf out = BUF_WITH_LIMIT(1000);
				struct script script = { .input = cases[i].input, .length = strlen(cases[i].input), .piece = piece };
				CLEANUP(stream_cleanup) struct stream *s = open_script(&options, &script, &peer);
				read_all(s, 10, cases[i].end, &out);
				assert_string_equal(buf_text(&out), cases[i].expected);
				assert_int_equal(stream_status(s), STREAM_END);
				assert_int_equal(stream_bytes_read(s), script.length);
				buf_release(&out);
				close(peer);
			}
}

static void pipelined_answers_leave_in_one_write(void **state)
{
	(void)state;
	int peer;
	const char *input = "A\r\nB\r\nC\r\n";
	struct script script = { .input = input, .length = 9, .piece = 9, .write_piece = 1000 };
	CLEANUP(stream_cleanup) struct stream *s = open_script(&roomy, &script, &peer);
	struct str line;
	while (stream_read_line(s, 100, STREAM_CRLF_ONLY, &line) == STREAM_LINE)
		stream_printf(s, "+OK %.*s\r\n", STR_ARG(line));
	assert_int_equal(script.writes, 1);
	assert_string_equal(buf_text(&script.written), "+OK A\r\n+OK B\r\n+OK C\r\n");
	assert_int_equal(stream_bytes_written(s), 21);
	buf_release(&script.written);
	close(peer);
}

static void large_data_is_not_copied(void **state)
{
	(void)state;
	int peer;
	static char body[100000];
	memset(body, 'b', sizeof body);
	struct script script = { .input = "", .write_piece = 1 << 20 };
	CLEANUP(stream_cleanup) struct stream *s = open_script(&roomy, &script, &peer);
	stream_write(s, STR("+OK\r\n"));
	assert_int_equal(script.writes, 0);
	stream_write(s, str_from(body, sizeof body));
	assert_int_equal(script.writes, 1);
	stream_write(s, STR(".\r\n"));
	assert_true(stream_flush(s));
	assert_int_equal(script.writes, 2);
	assert_int_equal(script.written.length, sizeof body + 8);
	assert_memory_equal(script.written.data, "+OK\r\nbbb", 8);
	assert_memory_equal(script.written.data + sizeof body + 2, "bbb.\r\n", 6);
	buf_release(&script.written);
	close(peer);
}

static void every_partial_write_goes_on(void **state)
{
	(void)state;
	struct stream_options options = roomy;
	for (size_t piece = 1; piece < 30; piece++) {
		int peer;
		struct script script = { .input = "", .write_piece = piece };
		options.output_high = 8;
		CLEANUP(stream_cleanup) struct stream *s = open_script(&options, &script, &peer);
		stream_write(s, STR("12345"));
		stream_write(s, STR("67890123456789"));
		stream_printf(s, "%s", "abc");
		assert_true(stream_flush(s));
		assert_string_equal(buf_text(&script.written), "1234567890123456789abc");
		buf_release(&script.written);
		close(peer);
	}
}

static void long_printf(void **state)
{
	(void)state;
	int peer;
	struct script script = { .input = "", .write_piece = 1 << 20 };
	CLEANUP(stream_cleanup) struct stream *s = open_script(&roomy, &script, &peer);
	stream_printf(s, "%03000d%s", 7, "!");
	assert_true(stream_flush(s));
	assert_int_equal(script.written.length, 3001);
	assert_memory_equal(script.written.data + 2998, "07!", 3);
	buf_release(&script.written);
	close(peer);
}

static void command_deadline(void **state)
{
	(void)state;
	static const struct {
		int64_t step_ms;
		enum stream_line expected;
		enum stream_status status;
	} cases[] = { { 10, STREAM_LINE, STREAM_OPEN }, { 1000, STREAM_NO_LINE, STREAM_SLOW } };
	struct stream_options options = roomy;
	options.clock_ms = fake_clock_ms;
	options.times.command_ms = 2000;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int peer;
		struct str line;
		fake_now_ms = 5;
		fake_step_ms = cases[i].step_ms;
		struct script script = { .input = "STAT\r\n", .length = 6, .piece = 1, .write_piece = 100 };
		CLEANUP(stream_cleanup) struct stream *s = open_script(&options, &script, &peer);
		assert_int_equal(stream_read_line(s, 100, STREAM_CRLF_ONLY, &line), cases[i].expected);
		assert_int_equal(stream_status(s), cases[i].status);
		stream_write(s, STR("farewell"));
		assert_true(stream_flush(s)); /* too slow a reader of ours is still written to */
		assert_string_equal(buf_text(&script.written), "farewell");
		buf_release(&script.written);
		close(peer);
	}
}

static void minimum_rate_of_input(void **state)
{
	(void)state;
	static const struct {
		size_t piece;
		bool complete;
	} cases[] = { { 100, true }, { 1, false } };
	struct stream_options options = roomy;
	options.clock_ms = fake_clock_ms;
	options.times.bulk_grace_ms = 20000;
	options.times.bulk_rate_min = 10;
	static char body[5000];
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int peer;
		char room[sizeof body];
		fake_now_ms = 5;
		fake_step_ms = 10000; /* one piece in ten seconds */
		struct script script = { .input = body, .length = sizeof body, .piece = cases[i].piece };
		CLEANUP(stream_cleanup) struct stream *s = open_script(&options, &script, &peer);
		stream_begin_bulk(s);
		assert_int_equal(stream_read_exact(s, room, sizeof room), cases[i].complete);
		assert_int_equal(stream_status(s), cases[i].complete ? STREAM_OPEN : STREAM_SLOW);
		assert_true(cases[i].complete || script.at < 5);
		close(peer);
	}
}

static void output_not_taken(void **state)
{
	(void)state;
	static const struct {
		size_t piece;
		bool taken;
	} cases[] = { { 100, true }, { 1, false }, { 0, false } };
	struct stream_options options = roomy;
	options.clock_ms = fake_clock_ms;
	options.times.bulk_grace_ms = 20000;
	options.times.bulk_rate_min = 10;
	static char body[5000];
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int peer;
		struct str line;
		fake_now_ms = 5;
		fake_step_ms = 10000;
		struct script script = { .input = "A\r\n", .length = 3, .piece = 3, .write_piece = cases[i].piece };
		CLEANUP(stream_cleanup) struct stream *s = open_script(&options, &script, &peer);
		stream_write(s, str_from(body, sizeof body));
		assert_int_equal(stream_flush(s), cases[i].taken);
		assert_int_equal(stream_status(s), cases[i].taken ? STREAM_OPEN : STREAM_SLOW);
		int writes = script.writes;
		stream_write(s, STR("more"));
		assert_int_equal(stream_flush(s), cases[i].taken);
		assert_int_equal(script.writes, writes + (cases[i].taken ? 1 : 0));
		assert_int_equal(stream_read_line(s, 10, STREAM_CRLF_ONLY, &line),
			cases[i].taken ? STREAM_LINE : STREAM_NO_LINE);
		buf_release(&script.written);
		close(peer);
	}
}

static void idle(void **state)
{
	(void)state;
	int peer;
	struct str line;
	struct stream_options options = roomy;
	options.times.idle_ms = 1;
	CLEANUP(stream_cleanup) struct stream *s = open_pair(&options, &peer);
	assert_int_equal(stream_read_line(s, 100, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
	assert_int_equal(stream_status(s), STREAM_IDLE);
	assert_string_equal(stream_status_name(stream_status(s)), "idle");
	char farewell[4];
	stream_write(s, STR("bye!"));
	stream_finish(s);
	assert_int_equal(recv(peer, farewell, 4, MSG_WAITALL), 4);
	assert_memory_equal(farewell, "bye!", 4);
	assert_int_equal(recv(peer, farewell, 4, 0), 0);
	close(peer);
}

static void full_peer(void **state)
{
	(void)state;
	int peer;
	struct stream_options options = roomy;
	options.times.write_ms = 1;
	static char body[8 << 20];
	CLEANUP(stream_cleanup) struct stream *s = open_pair(&options, &peer);
	stream_write(s, str_from(body, sizeof body)); /* more than a socket holds, and nobody reads */
	assert_int_equal(stream_status(s), STREAM_SLOW);
	assert_false(stream_flush(s));
	close(peer);
}

static void lost(void **state)
{
	(void)state;
	int peer;
	struct str line;
	CLEANUP(stream_cleanup) struct stream *s = open_pair(&roomy, &peer);
	send_text(peer, "DELE 1\r\nQUIT\r\n");
	assert_line(s, STREAM_CRLF_ONLY, "DELE 1");
	close(peer);
	stream_write(s, STR("+OK\r\n"));
	assert_false(stream_flush(s)); /* and no SIGPIPE */
	assert_int_equal(stream_status(s), STREAM_LOST);
	/* What was pipelined behind a lost answer is not obeyed. */
	assert_int_equal(stream_read_line(s, 100, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
	assert_int_equal(stream_peek(s).length, 0);
}

static void half_closed(void **state)
{
	(void)state;
	int peer;
	char answer[5];
	struct str line;
	CLEANUP(stream_cleanup) struct stream *s = open_pair(&roomy, &peer);
	send_text(peer, "QUIT\r\nrest");
	shutdown(peer, SHUT_WR);
	assert_line(s, STREAM_CRLF_ONLY, "QUIT");
	assert_int_equal(stream_read_line(s, 100, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
	assert_int_equal(stream_status(s), STREAM_END);
	stream_write(s, STR("+OK\r\n"));
	assert_true(stream_flush(s));
	assert_int_equal(recv(peer, answer, 5, MSG_WAITALL), 5);
	close(peer);
}

static void leftover_and_literals(void **state)
{
	(void)state;
	int peer;
	char room[8];
	struct stream_options options = roomy;
	options.leftover = STR("BDAT 8\r\n1234");
	CLEANUP(stream_cleanup) struct stream *s = open_pair(&options, &peer);
	assert_line(s, STREAM_CRLF_ONLY, "BDAT 8");
	assert_int_equal(stream_buffered(s).length, 4);
	send_text(peer, "5678NOOP\r\nDATA\r\nab");
	assert_true(stream_read_exact(s, room, 8));
	assert_memory_equal(room, "12345678", 8);
	assert_int_equal(stream_buffered(s).length, 0);
	assert_line(s, STREAM_CRLF_ONLY, "NOOP");
	assert_line(s, STREAM_CRLF_ONLY, "DATA");
	struct str view = stream_peek(s);
	assert_int_equal(view.length, 2);
	stream_consume(s, 1);
	assert_int_equal(stream_read_some(s, room, 8), 1);
	assert_int_equal(room[0], 'b');
	close(peer);
	assert_int_equal(stream_read_some(s, room, 8), 0);
	assert_false(stream_read_exact(s, room, 1));
}

static void detaching(void **state)
{
	(void)state;
	int ends[2];
	char text[3];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	struct stream *s = stream_new(ends[0], &roomy);
	assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(stream_descriptor(s), ends[0]);
	assert_int_equal(stream_detach(&s), ends[0]);
	assert_null(s);
	send_text(ends[0], "abc");
	assert_int_equal(recv(ends[1], text, 3, MSG_WAITALL), 3);
	close(ends[0]);
	close(ends[1]);
}

static void waiting(void **state)
{
	(void)state;
	int peer;
	int wake = eventfd(0, EFD_CLOEXEC);
	char answer[4];
	uint64_t one = 1;
	CLEANUP(stream_cleanup) struct stream *s = open_pair(&roomy, &peer);
	assert_int_equal(stream_wait_readable_or(s, wake, 0), STREAM_TIMED_OUT);
	assert_int_equal(stream_wait_readable_or(s, -1, 1), STREAM_TIMED_OUT);
	assert_int_equal(write(wake, &one, sizeof one), sizeof one);
	stream_write(s, STR("idle"));
	assert_int_equal(stream_wait_readable_or(s, wake, -1), STREAM_WOKEN);
	assert_int_equal(recv(peer, answer, 4, MSG_DONTWAIT), 4); /* it flushed */
	send_text(peer, "DONE\r\nNOOP\r\n");
	assert_int_equal(stream_wait_readable_or(s, wake, -1), STREAM_READABLE);
	assert_line(s, STREAM_CRLF_ONLY, "DONE");
	assert_int_equal(stream_wait_readable_or(s, -1, 0), STREAM_READABLE); /* from the buffer */
	assert_line(s, STREAM_CRLF_ONLY, "NOOP");
	close(peer);
	assert_int_equal(stream_wait_readable_or(s, -1, -1), STREAM_READABLE);
	assert_int_equal(stream_peek(s).length, 0);
	assert_int_equal(stream_status(s), STREAM_END);
	close(wake);
}

static size_t one_buffered(void *state)
{
	(void)state;
	return 1;
}

static void transport_with_decoded_bytes_is_readable(void **state)
{
	(void)state;
	int peer;
	struct script script = { .input = "x", .length = 1, .piece = 1 };
	CLEANUP(stream_cleanup) struct stream *s = open_script(&roomy, &script, &peer);
	struct stream_transport transport = { script_read, script_write, one_buffered, &script };
	assert_int_equal(stream_wait_readable_or(s, -1, 0), STREAM_TIMED_OUT);
	assert_true(stream_set_transport(s, &transport));
	assert_int_equal(stream_wait_readable_or(s, -1, 0), STREAM_READABLE);
	buf_release(&script.written);
	close(peer);
}

/* RFC 2595 §4: commands slipped in before TLS must not be obeyed inside it. */
static void transport_refuses_what_came_before(void **state)
{
	(void)state;
	int peer;
	struct script script = { .input = "x", .length = 1, .piece = 1 };
	struct stream_transport transport = { .read = script_read, .write = script_write, .state = &script };
	CLEANUP(stream_cleanup) struct stream *s = open_pair(&roomy, &peer);
	send_text(peer, "+OK begin\r\n+OK slipped in\r\n");
	assert_line(s, STREAM_CRLF_ONLY, "+OK begin");
	assert_false(stream_set_transport(s, &transport));
	assert_line(s, STREAM_CRLF_ONLY, "+OK slipped in");
	assert_true(stream_set_transport(s, &transport));
	close(peer);
}

static void *read_until_status(void *argument)
{
	struct str line;
	struct stream *s = argument;
	while (stream_read_line(s, 100, STREAM_CRLF_ONLY, &line) == STREAM_LINE)
		stream_write(s, STR("+OK\r\n"));
	return NULL;
}

static void interrupt_waiting_thread(struct stream *s, int peer)
{
	char answer[5];
	pthread_t thread;
	struct str line;
	assert_int_equal(pthread_create(&thread, NULL, read_until_status, s), 0);
	send_text(peer, "NOOP\r\n");
	assert_int_equal(recv(peer, answer, 5, MSG_WAITALL), 5); /* now it waits, or soon will: both must be woken */
	stream_interrupt(s);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(stream_status(s), STREAM_INTERRUPTED);
	assert_int_equal(stream_read_line(s, 100, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
	assert_int_equal(stream_wait_readable_or(s, -1, -1), STREAM_READABLE);
	stream_write(s, STR("+BYE\n"));
	assert_true(stream_flush(s));
	assert_int_equal(recv(peer, answer, 5, MSG_WAITALL), 5);
	assert_memory_equal(answer, "+BYE\n", 5);
}

static void interrupting(void **state)
{
	(void)state;
	int peer;
	CLEANUP(stream_cleanup) struct stream *s = open_pair(&roomy, &peer);
	interrupt_waiting_thread(s, peer);
	close(peer);
}

static void interrupting_tcp(void **state)
{
	(void)state;
	struct endpoint a;
	assert_true(endpoint_parse(STR("127.0.0.1:0"), &a, NULL));
	int listener = socket_listen(&a, 1, NULL);
	assert_true(endpoint_of_local(listener, &a, NULL));
	int peer = socket_connect(&a, FOREVER_MS, NULL);
	int fd = accept(listener, NULL, NULL);
	assert_true(peer >= 0 && fd >= 0);
	CLEANUP(stream_cleanup) struct stream *s = stream_new(fd, &roomy);
	interrupt_waiting_thread(s, peer);
	close(peer);
	close(listener);
}

static void *echo_backwards(void *argument)
{
	struct stream *s = argument;
	struct str line;
	while (stream_read_line(s, 4096, STREAM_CRLF_ONLY, &line) == STREAM_LINE) {
		size_t size = line.length;
		CLEANUP(mem_free) char *copy = mem_alloc(size + 1);
		for (size_t i = 0; i < size; i++)
			copy[i] = line.data[size - 1 - i];
		stream_write(s, str_from(copy, size));
		stream_write(s, STR("\r\n"));
	}
	return NULL;
}

/* Two streams against each other; the one sends in bursts, so that lines are cut anywhere by the buffers. */
static void two_threads(void **state)
{
	(void)state;
	enum { BURSTS = 50, LINES = 40 };
	int ends[2];
	pthread_t thread;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	CLEANUP(stream_cleanup) struct stream *client = stream_new(ends[0], &roomy);
	struct stream *server = stream_new(ends[1], &roomy);
	assert_int_equal(pthread_create(&thread, NULL, echo_backwards, server), 0);
	for (int burst = 0; burst < BURSTS; burst++) {
		for (int i = 0; i < LINES; i++)
			stream_printf(client, "%0*d\r\n", 1 + (burst * 7 + i * 13) % 300, burst % 7 + 1);
		for (int i = 0; i < LINES; i++) {
			struct str line;
			assert_int_equal(stream_read_line(client, 4096, STREAM_CRLF_ONLY, &line), STREAM_LINE);
			assert_int_equal(line.length, 1 + (burst * 7 + i * 13) % 300);
			assert_int_equal(line.data[0], '0' + burst % 7 + 1);
		}
	}
	stream_finish(client);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(stream_status(server), STREAM_END);
	assert_int_equal(stream_bytes_read(server), stream_bytes_written(client));
	stream_free(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(pipelined_answers_leave_in_one_write),
		cmocka_unit_test(large_data_is_not_copied),
		cmocka_unit_test(every_partial_write_goes_on),
		cmocka_unit_test(long_printf),
		cmocka_unit_test(command_deadline),
		cmocka_unit_test(minimum_rate_of_input),
		cmocka_unit_test(output_not_taken),
		cmocka_unit_test(idle),
		cmocka_unit_test(full_peer),
		cmocka_unit_test(lost),
		cmocka_unit_test(half_closed),
		cmocka_unit_test(leftover_and_literals),
		cmocka_unit_test(detaching),
		cmocka_unit_test(waiting),
		cmocka_unit_test(transport_with_decoded_bytes_is_readable),
		cmocka_unit_test(transport_refuses_what_came_before),
		cmocka_unit_test(interrupting),
		cmocka_unit_test(interrupting_tcp),
		cmocka_unit_test(two_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

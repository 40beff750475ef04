#include "tls_stream.h"
#include "tls_test_kit.h"

#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct stream_options stream_options = {
	.input_size = 4096,
	.output_high = 4096,
	.times = { .idle_ms = 10000, .command_ms = 10000, .write_ms = 10000, .bulk_grace_ms = 10000 },
};

struct stream_server {
	struct tls_server *server;
	int fd;
	bool started;
};

/* Answers each line with itself, and with much for "much", until the client is gone. */
static void *serve_stream(void *context)
{
	struct stream_server *job = context;
	CLEANUP(stream_cleanup) struct stream *s = stream_new(job->fd, &stream_options);
	CLEANUP(tls_cleanup) struct tls_connection *connection = tls_accept(job->server, job->fd);
	job->started = tls_stream_start(s, connection, NULL);
	struct str line;
	while (job->started && stream_read_line(s, 1000, STREAM_CRLF_ONLY, &line) == STREAM_LINE) {
		stream_printf(s, "> %.*s\r\n", STR_ARG(line));
		for (int i = 0; i < 5000 && str_equal(line, STR("much")); i++)
			stream_printf(s, "%08d\r\n", i);
	}
	stream_flush(s);
	tls_shutdown(connection);
	return NULL;
}

static void expect_line(struct stream *s, const char *text)
{
	struct str line;
	assert_int_equal(stream_read_line(s, 1000, STREAM_CRLF_ONLY, &line), STREAM_LINE);
	assert_int_equal(line.length, strlen(text));
	assert_memory_equal(line.data, text, line.length);
}

static void streams_run_over_tls(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	int fds[2];
	pthread_t thread;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct stream_server job = { server, fds[1], false };
	assert_int_equal(pthread_create(&thread, NULL, serve_stream, &job), 0);
	struct stream *s = stream_new(fds[0], &stream_options);
	struct tls_connection *connection = tls_connect(client, fds[0], "mail.example.org", NULL);
	bool started = tls_stream_start(s, connection, NULL);
	stream_write(s, STR("one\r\ntwo\r\nmuch\r\n"));
	if (started) {
		expect_line(s, "> one");
		assert_int_equal(stream_wait_readable_or(s, -1, 10000), STREAM_READABLE);
		expect_line(s, "> two");
		expect_line(s, "> much");
		for (int i = 0; i < 5000; i++) {
			CLEANUP(mem_free) char *number = mem_printf("%08d", i);
			expect_line(s, number);
		}
		assert_int_equal(tls_shutdown(connection), TLS_DONE);
		struct str line;
		assert_int_equal(stream_read_line(s, 1000, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
		assert_int_equal(stream_status(s), STREAM_END);
	}
	stream_free(s);
	tls_free(connection);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(started && job.started);
}

static void a_stream_tells_why_tls_did_not_start(void **state)
{
	(void)state;
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct stream *s = stream_new(fds[0], &stream_options);
	struct tls_connection *connection = tls_connect(client, fds[0], "mail.example.org", NULL);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_int_equal(send(fds[1], "220 mail.example.org ESMTP\r\n", 28, 0), 28);
	assert_false(tls_stream_start(s, connection, &fail));
	assert_string_equal(fail_text(fail), "TLS: the peer does not speak TLS here");
	stream_free(s);
	tls_free(connection);
	close(fds[1]);
}

static void nothing_in_the_clear_slips_into_tls(void **state)
{
	(void)state;
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct stream *s = stream_new(fds[0], &stream_options);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_int_equal(send(fds[1], "220 go ahead\r\n250 forged\r\n", 26, 0), 26);
	expect_line(s, "220 go ahead");
	struct tls_connection *connection = tls_connect(client, fds[0], "mail.example.org", NULL);
	assert_false(tls_stream_start(s, connection, &fail));
	assert_string_equal(fail_text(fail), "the peer sent something in the clear before TLS");
	stream_free(s);
	tls_free(connection);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_run_over_tls),
		cmocka_unit_test(a_stream_tells_why_tls_did_not_start),
		cmocka_unit_test(nothing_in_the_clear_slips_into_tls),
	};
	return cmocka_run_group_tests(tests, tls_kit_setup, tls_kit_teardown);
}

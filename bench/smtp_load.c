#include "smtp_load.h"

#include "generate.h"
#include "options.h"
#include "stats.h"
#include "steps.h"
#include "task.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Reads one (multi-line) reply; returns its code, 0 on a broken connection. */
static int smtp_reply(struct conn *c, char *capabilities, size_t size)
{
	for (;;) {
		char *line = conn_line(c, NULL);
		if (!line)
			return 0;
		if (capabilities && strlen(line) > 4) {
			size_t used = strlen(capabilities);
			snprintf(capabilities + used, size - used, "%s\n", line + 4);
		}
		if (strlen(line) < 4 || line[3] != '-') {
			int code = (int)strtol(line, NULL, 10);
			if (code >= 400)
				stats_error("SMTP: %s", line);
			return code;
		}
	}
}

static bool smtp_expect(struct conn *c, int wanted)
{
	return smtp_reply(c, NULL, 0) / 100 == wanted / 100;
}

bool smtp_command(struct conn *c, int wanted, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	buf_vprintf(&c->out, format, ap);
	va_end(ap);
	return conn_flush(c) && smtp_expect(c, wanted);
}

static bool smtp_auth_plain(struct conn *c, const char *user)
{
	CLEANUP(buf_release) struct buf plain = BUF_WITH_LIMIT(2048), encoded = BUF_WITH_LIMIT(4096);
	buf_printf(&plain, "%c%s%c%s", 0, user, 0, opt.pass);
	text_base64_encode(&encoded, buf_str(&plain));
	return smtp_command(c, 235, "AUTH PLAIN %s\r\n", buf_text(&encoded));
}

bool smtp_open(struct conn *c, int port, bool lmtp, int id, bool *chunking)
{
	char capabilities[2048] = "";
	if (!conn_open(c, port) || !smtp_expect(c, 220))
		return false;
	conn_printf(c, "%s bench.example.test\r\n", lmtp ? "LHLO" : "EHLO");
	if (!conn_flush(c) || smtp_reply(c, capabilities, sizeof capabilities) != 250)
		return false;
	if (opt.starttls && (!smtp_command(c, 220, "STARTTLS\r\n") || !conn_start_tls(c) ||
	                     !smtp_command(c, 250, "%s bench.example.test\r\n", lmtp ? "LHLO" : "EHLO")))
		return false;
	*chunking = opt.chunking && strstr(capabilities, "CHUNKING");
	return !opt.auth || smtp_auth_plain(c, options_user(id));
}

/* Doubles the dot of every line that starts with one, and adds the final dot. */
static void add_dot_stuffed(struct buf *out, const struct buf *message)
{
	const char *p = message->data, *end = p + message->length;
	while (p < end) {
		const char *dot = p[0] == '.' && p == message->data ? p : memmem(p, (size_t)(end - p), "\r\n.", 3);
		if (!dot)
			break;
		if (*dot == '\r')
			dot += 2;
		buf_append(out, p, (size_t)(dot - p + 1));
		buf_append(out, ".", 1);
		p = dot + 1;
	}
	buf_append(out, p, (size_t)(end - p));
	buf_append(out, ".\r\n", 3);
}

static void smtp_queue_envelope(struct conn *c, long index)
{
	conn_printf(c, "MAIL FROM:<%s>\r\n", opt.sender);
	for (int r = 0; r < opt.rcpts; r++)
		conn_printf(c, "RCPT TO:<%s>\r\n", options_user(index * opt.rcpts + r));
}

static bool smtp_envelope_replies(struct conn *c)
{
	bool good = smtp_expect(c, 250);
	for (int r = 0; r < opt.rcpts; r++)
		good = smtp_expect(c, 250) && good;
	return good;
}

static bool smtp_envelope(struct conn *c, long index, bool with_data)
{
	if (opt.pipelining) {
		smtp_queue_envelope(c, index);
		if (with_data)
			conn_printf(c, "DATA\r\n");
		if (!conn_flush(c))
			return false;
		bool good = smtp_envelope_replies(c);
		return (!with_data || smtp_expect(c, 354)) && good;
	}
	bool good = smtp_command(c, 250, "MAIL FROM:<%s>\r\n", opt.sender);
	for (int r = 0; r < opt.rcpts; r++)
		good = good && smtp_command(c, 250, "RCPT TO:<%s>\r\n", options_user(index * opt.rcpts + r));
	return good && (!with_data || smtp_command(c, 354, "DATA\r\n"));
}

bool smtp_deliver(struct conn *c, long index, bool lmtp, bool chunking, struct buf *message)
{
	generate_message(message, (uint64_t)index);
	if (!smtp_envelope(c, index, !chunking))
		return false;
	if (chunking) {
		conn_printf(c, "BDAT %zu LAST\r\n", message->length);
		buf_append(&c->out, message->data, message->length);
	} else {
		add_dot_stuffed(&c->out, message);
	}
	if (!conn_flush(c))
		return false;
	bool good = true;
	for (int r = 0; r < (lmtp ? opt.rcpts : 1); r++)
		good = smtp_expect(c, 250) && good;
	stats.bytes += message->length;
	return good;
}

static void smtp_task(int id)
{
	CLEANUP(buf_release) struct buf message = BUF_WITH_LIMIT(GENERATE_MESSAGE_MAX);
	long index;
	bool more = task_take_operation(&index);
	while (more) {
		struct conn c;
		bool chunking, good = smtp_open(&c, opt.port, opt.lmtp, id, &chunking);
		for (int k = 0; good && more && k < opt.per_conn; k++) {
			uint64_t t = stats_now_ns();
			if ((good = smtp_deliver(&c, index, opt.lmtp, chunking, &message)))
				stats_operation(t);
			more = task_take_operation(&index);
		}
		if (!good)
			stats_error("delivery failed");
		if (good)
			smtp_command(&c, 221, "QUIT\r\n");
		conn_close(&c);
		if (!good && stats.errors > 1000)
			break;
		if (!good)
			more = task_take_operation(&index);
	}
}

/* Polls --settle until it succeeds: the messages have left the queue. */
static void wait_until_settled(void)
{
	uint64_t give_up = stats_now_ns() + (uint64_t)opt.timeout_s * 1000000000u;
	while (opt.settle && system(opt.settle) != 0) {
		if (stats_now_ns() > give_up) {
			stats_error("--settle: still not settled");
			return;
		}
		usleep(20000);
	}
}

void smtp_run(void)
{
	char extra[160];
	stats_begin();
	task_run_all(opt.conns, smtp_task);
	double accepted = (double)(stats_now_ns() - stats.started) / 1e9;
	wait_until_settled();
	stats_end();
	snprintf(extra, sizeof extra, "\"per_conn\":%d,\"rcpts\":%d,\"accepted_s\":%.4f,\"accepted_per_s\":%.1f",
	         opt.per_conn, opt.rcpts, accepted, (double)stats.ops / accepted);
	stats_print(opt.lmtp ? "lmtp" : "smtp", extra);
}

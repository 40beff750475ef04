#include "conn.h"
#include "options.h"
#include "stats.h"
#include "steps.h"
#include "task.h"

#include <stdio.h>

static bool pop3_status(struct conn *c, char *copy, size_t size)
{
	char *line = conn_line(c, NULL);
	if (!line)
		return false;
	if (copy)
		snprintf(copy, size, "%s", line);
	if (!strncmp(line, "+OK", 3))
		return true;
	stats_error("POP3: %s", line);
	return false;
}

static bool pop3_command(struct conn *c, char *copy, size_t size, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	buf_vprintf(&c->out, format, ap);
	va_end(ap);
	return conn_flush(c) && pop3_status(c, copy, size);
}

static bool pop3_skip_lines(struct conn *c)
{
	size_t len;
	char *line;
	while ((line = conn_line(c, &len)))
		if (len == 1 && line[0] == '.')
			return true;
	return false;
}

static bool pop3_login(struct conn *c, long user)
{
	return conn_open(c, opt.port) && pop3_status(c, NULL, 0) &&
	       (!opt.starttls || (pop3_command(c, NULL, 0, "STLS\r\n") && conn_start_tls(c))) &&
	       pop3_command(c, NULL, 0, "USER %s\r\n", options_user(user)) &&
	       pop3_command(c, NULL, 0, "PASS %s\r\n", opt.pass);
}

/* The number of messages, or -1. */
static long pop3_stat(struct conn *c)
{
	char reply[256];
	uint64_t messages;
	if (!pop3_command(c, reply, sizeof reply, "STAT\r\n"))
		return -1;
	struct str numbers = str_from_index(str_of(reply), strlen("+OK ")), first;
	if (!str_take_until(&numbers, ' ', &first) || !str_to_u64(first, INT32_MAX, &messages))
		return -1;
	return (long)messages;
}

/* RETR 1..n with up to --pipeline commands under way. */
static bool pop3_retrieve(struct conn *c, long n)
{
	for (long sent = 0, got = 0; got < n; got++) {
		uint64_t t = stats_now_ns();
		while (sent < n && sent - got < opt.pipeline)
			conn_printf(c, "RETR %ld\r\n", ++sent);
		if (!conn_flush(c) || !pop3_status(c, NULL, 0) || !pop3_skip_lines(c))
			return false;
		stats_operation(t);
	}
	return true;
}

static bool pop3_delete(struct conn *c, long n)
{
	for (long i = 1; i <= n; i++)
		if (!pop3_command(c, NULL, 0, "DELE %ld\r\n", i))
			return false;
	return true;
}

static double pop3_ready_seconds;

static void pop3_task(int id)
{
	struct conn c;
	uint64_t t = stats_now_ns();
	long n = pop3_login(&c, id) ? pop3_stat(&c) : -1;
	bool good = n >= 0 && pop3_command(&c, NULL, 0, opt.uidl ? "UIDL\r\n" : "LIST\r\n") && pop3_skip_lines(&c);
	pop3_ready_seconds = (double)(stats_now_ns() - t) / 1e9;
	if (opt.count && n > opt.count)
		n = opt.count;
	good = good && pop3_retrieve(&c, n) && (!opt.dele || pop3_delete(&c, n)) &&
	       pop3_command(&c, NULL, 0, "QUIT\r\n");
	if (!good)
		stats_error("POP3 session failed");
	conn_close(&c);
}

void pop3_run(void)
{
	char extra[100];
	stats_begin();
	task_run_all(opt.conns, pop3_task);
	stats_end();
	snprintf(extra, sizeof extra, "\"login_stat_list_s\":%.4f", pop3_ready_seconds);
	stats_print("retr", extra);
}

static void pop3_login_task(int id UNUSED)
{
	long index;
	while (stats.errors < 1000 && task_take_operation(&index)) {
		struct conn c;
		uint64_t started = stats_now_ns();
		if (pop3_login(&c, index) && pop3_command(&c, NULL, 0, "QUIT\r\n"))
			stats_operation(started);
		conn_close(&c);
	}
}

void pop3_login_run(void)
{
	stats_begin();
	task_run_all(opt.conns, pop3_login_task);
	stats_end();
	stats_print("connect+PASS+QUIT", "");
}

#include "imap_session.h"

#include "generate.h"
#include "options.h"
#include "stats.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* If the line announces a literal ({n}, {n+}, ~{n}), its size; else -1. */
static long literal_size(const char *line, size_t len)
{
	if (len < 3 || line[len - 1] != '}')
		return -1;
	size_t i = len - 1;
	if (line[i - 1] == '+')
		i--;
	size_t end = i;
	uint64_t size;
	while (i && isdigit((unsigned char)line[i - 1]))
		i--;
	bool is_literal = i && line[i - 1] == '{' && str_to_u64(str_from(line + i, end - i), INT64_MAX, &size);
	return is_literal ? (long)size : -1;
}

static bool is_status(const char *s)
{
	return !strncasecmp(s, "OK", 2) || !strncasecmp(s, "NO ", 3) || !strncasecmp(s, "BAD", 3) ||
	       !strncasecmp(s, "BYE", 3) || !strncasecmp(s, "PREAUTH", 7);
}

static uint64_t count_numbers(const char *s)
{
	uint64_t n = 0;
	for (; *s; s++)
		if (isdigit((unsigned char)*s) && !isdigit((unsigned char)s[-1]))
			n++;
	return n;
}

/* Looks at the first line of an untagged answer, after "* ". */
static void imap_note(struct imap *im, const char *s)
{
	char *word;
	im->untagged++;
	if (isdigit((unsigned char)*s)) {
		uint64_t n = strtoull(s, &word, 10);
		word += *word == ' ';
		if (!strncasecmp(word, "EXISTS", 6))
			im->exists = n;
		else if (!strncasecmp(word, "FETCH", 5))
			im->fetches++;
		else if (!strncasecmp(word, "EXPUNGE", 7)) {
			im->expunges++;
			im->exists -= im->exists > 0;
		}
	} else if (!strncasecmp(s, "SEARCH", 6) || !strncasecmp(s, "SORT", 4) || !strncasecmp(s, "THREAD", 6)) {
		im->hits += count_numbers(s);
	} else if (!strncasecmp(s, "VANISHED", 8)) {
		im->expunges++;
	} else if (!strncasecmp(s, "CAPABILITY", 10) || strcasestr(s, "[CAPABILITY")) {
		im->literal_plus |= strcasestr(s, "LITERAL+") != NULL;
		im->multiappend |= strcasestr(s, "MULTIAPPEND") != NULL;
	}
}

/* Reads one whole answer (all its literals too); sets *line to its first line for tagged and "+" ones. */
enum imap_result imap_answer(struct imap *im)
{
	size_t len;
	char *line = conn_line(&im->c, &len);
	if (!line)
		return IMAP_BROKEN;
	bool tagged = line[0] != '*' && line[0] != '+';
	if (line[0] == '+')
		return IMAP_CONTINUE;
	if (tagged) {
		char *text = strchr(line, ' ');
		snprintf(im->status, sizeof im->status, "%s", text ? text + 1 : line);
		if (strcasestr(line, "[CAPABILITY"))
			imap_note(im, text ? text + 1 : line);
		return !strncasecmp(im->status, "OK", 2) ? IMAP_OK : IMAP_NO;
	}
	imap_note(im, line + 2);
	long literal = is_status(line + 2) ? -1 : literal_size(line, len);
	while (literal >= 0) {
		if (!conn_skip(&im->c, (uint64_t)literal) || !(line = conn_line(&im->c, &len)))
			return IMAP_BROKEN;
		literal = literal_size(line, len);
	}
	return IMAP_UNTAGGED;
}

enum imap_result imap_result(struct imap *im)
{
	enum imap_result r;
	do
		r = imap_answer(im);
	while (r == IMAP_UNTAGGED);
	if (r == IMAP_NO)
		stats_error("IMAP: %s", im->status);
	return r;
}

static void imap_vqueue(struct imap *im, const char *format, va_list arguments)
{
	conn_printf(&im->c, "a%u ", ++im->tag);
	buf_vprintf(&im->c.out, format, arguments);
	buf_append(&im->c.out, "\r\n", 2);
}

void imap_queue(struct imap *im, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	imap_vqueue(im, format, arguments);
	va_end(arguments);
}

bool imap_send(struct imap *im)
{
	im->fetches = im->expunges = im->hits = im->untagged = 0;
	return conn_flush(&im->c);
}

bool imap_command(struct imap *im, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	imap_vqueue(im, format, arguments);
	va_end(arguments);
	return imap_send(im) && imap_result(im) == IMAP_OK;
}

bool imap_login(struct imap *im, long user)
{
	*im = (struct imap){};
	if (!conn_open(&im->c, opt.port) || !conn_line(&im->c, NULL))
		return false;
	if (opt.starttls && (!imap_command(im, "STARTTLS") || !conn_start_tls(&im->c)))
		return false;
	return imap_command(im, "LOGIN \"%s\" \"%s\"", options_user(user), opt.pass);
}

bool imap_open(struct imap *im, long user, const char *mailbox)
{
	return imap_login(im, user) && imap_command(im, "CAPABILITY") &&
	       (!mailbox || imap_command(im, "SELECT \"%s\"", mailbox));
}

void imap_close(struct imap *im)
{
	if (!im->c.failed && im->c.fd >= 0)
		(void)imap_command(im, "LOGOUT");
	conn_close(&im->c);
}

void imap_create(struct imap *im, const char *mailbox)
{
	uint64_t errors = stats.errors;
	(void)imap_command(im, "CREATE \"%s\"", mailbox);
	stats.errors = errors;
}

void imap_print_timed(struct imap *im, const char *what, uint64_t ops, int pass)
{
	char extra[160];
	stats.ops = ops;
	stats.bytes += im->c.received;
	im->c.received = 0;
	snprintf(extra, sizeof extra, "\"pass\":%d,\"exists\":%llu,\"untagged\":%llu,\"hits\":%llu", pass,
	         (unsigned long long)im->exists, (unsigned long long)im->untagged, (unsigned long long)im->hits);
	stats_end();
	stats_print(what, extra);
}

bool imap_timed(struct imap *im, int pass, const char *what, const char *command)
{
	im->c.received = 0;
	stats_begin();
	bool good = imap_command(im, "%s", command);
	uint64_t ops = im->fetches ? im->fetches : im->expunges ? im->expunges : im->exists;
	char shown[256];
	snprintf(shown, sizeof shown, "%s", what ? what : command);
	for (char *p = shown; *p; p++)
		if (*p == '"' || *p == '\\')
			*p = '\'';
	imap_print_timed(im, shown, ops, pass);
	return good;
}

/* Sends one literal, waiting for "+" only where the server needs it. */
static bool append_literal(struct imap *im, const struct buf *message)
{
	bool sync = opt.sync_literal || !im->literal_plus;
	conn_printf(&im->c, " (\\Seen) {%zu%s}\r\n", message->length, sync ? "" : "+");
	if (sync && (!conn_flush(&im->c) || imap_result(im) != IMAP_CONTINUE))
		return false;
	buf_append(&im->c.out, message->data, message->length);
	return sync || im->c.out.length < 262144 || conn_flush(&im->c);
}

bool imap_append(struct imap *im, const char *mailbox, long first, long n, struct buf *message)
{
	conn_printf(&im->c, "a%u APPEND \"%s\"", ++im->tag, mailbox);
	for (long i = 0; i < n; i++) {
		generate_message(message, (uint64_t)(first + i));
		stats.bytes += message->length;
		if (!append_literal(im, message))
			return false;
	}
	buf_append(&im->c.out, "\r\n", 2);
	if (!conn_flush(&im->c))
		return false;
	enum imap_result r;
	while ((r = imap_result(im)) == IMAP_CONTINUE)
		;
	return r == IMAP_OK;
}

#include "log.h"

#include "clock.h"
#include "text.h"

#include <endian.h>
#include <time.h>
#include <unistd.h>

enum { VALUE_MAX = 300 };

static const char *log_program = "posthorn";
static enum log_level log_least = LOG_INFO;
static _Thread_local bool gathers;
static _Thread_local struct buf gathered;

void log_init(const char *program, enum log_level least)
{
	log_program = program;
	log_least = least;
}

void log_set_level(enum log_level least)
{
	log_least = least;
}

static void add_time(struct buf *line)
{
	/* A busy program logs thousands of lines in one second: its text is made once. */
	static _Thread_local time_t known;
	static _Thread_local char text[32];
	int64_t now_us = clock_wall_us();
	time_t seconds = (time_t)(now_us / 1000000);
	if (seconds != known) {
		struct tm utc;
		gmtime_r(&seconds, &utc);
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
		known = seconds;
	}
	unsigned ms = (unsigned)(now_us / 1000 % 1000);
	const char fraction[] = { '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z' };
	buf_add_str(line, str_of(text));
	buf_append(line, fraction, sizeof fraction);
}

static void write_out(struct str lines)
{
	ssize_t written = lines.length ? write(STDERR_FILENO, lines.data, lines.length) : 0;
	(void)written; /* there is nobody left to tell */
}

void log_gather(void)
{
	gathers = true;
	gathered.limit = LOG_WRITE_MAX;
}

void log_flush(void)
{
	write_out(buf_str(&gathered));
	buf_clear(&gathered);
}

static void add_session(struct buf *line, uint64_t session)
{
	session = htobe64(session);
	if (session)
		text_hex_encode(line, str_from((const char *)&session, sizeof session));
	else
		buf_add_char(line, '-');
	buf_add_char(line, ' ');
}

static void add_field(struct buf *line, const struct log_field *field)
{
	buf_add_char(line, ' ');
	buf_add_str(line, str_of(field->key));
	buf_add_char(line, '=');
	if (field->is_number)
		buf_add_u64(line, field->number);
	else
		text_escape(line, field->text, VALUE_MAX);
}

void log_fields(enum log_level level, uint64_t session, const char *event, const struct log_field *fields, size_t count)
{
	static const char *const marks[] = { "debug ", "", "warning ", "error " };
	if (level < log_least)
		return;
	CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(LOG_LINE_MAX - 1);
	add_time(&line);
	buf_add_char(&line, ' ');
	buf_add_str(&line, str_of(log_program));
	buf_add_char(&line, ' ');
	add_session(&line, session);
	buf_add_str(&line, str_of(marks[level]));
	buf_add_str(&line, str_of(event));
	for (size_t i = 0; i < count; i++)
		add_field(&line, &fields[i]);
	/* What did not fit is left out, but never the end of the line. */
	line.overflowed = false;
	line.limit++;
	buf_add_char(&line, '\n');
	if (gathered.length + line.length > gathered.limit)
		log_flush();
	if (!gathers || !buf_add_str(&gathered, buf_str(&line)))
		write_out(buf_str(&line));
	if (level >= LOG_WARNING)
		log_flush();
}

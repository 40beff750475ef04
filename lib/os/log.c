#include "log.h"

#include "clock.h"
#include "text.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { VALUE_MAX = 300 };

static const char *log_program = "posthorn";
static enum log_level log_least = LOG_INFO;

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

static void add_field(struct buf *line, const struct log_field *field)
{
	buf_printf(line, " %s=", field->key);
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
	buf_printf(&line, " %s ", log_program);
	if (session)
		buf_printf(&line, "%016llx ", (unsigned long long)session);
	else
		buf_add_str(&line, STR("- "));
	buf_printf(&line, "%s%s", marks[level], event);
	for (size_t i = 0; i < count; i++)
		add_field(&line, &fields[i]);
	/* What did not fit is left out, but never the end of the line. */
	line.overflowed = false;
	line.limit++;
	buf_add_char(&line, '\n');
	ssize_t written = write(STDERR_FILENO, line.data, line.length);
	(void)written; /* there is nobody left to tell */
}

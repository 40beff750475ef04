#include "ctl_log_line.h"

#include "text.h"

#include <time.h>

enum { TIME_LENGTH = 24 }; /* 2026-11-22T06:30:00.123Z */

static const char *const levels[] = { "debug", "warning", "error" };

static bool is_time(struct str s)
{
	static const char form[] = "0000-00-00T00:00:00.000Z";
	if (s.length != TIME_LENGTH)
		return false;
	for (size_t i = 0; i < TIME_LENGTH; i++)
		if (form[i] == '0' ? !char_is_digit(s.data[i]) : s.data[i] != form[i])
			return false;
	return true;
}

static bool is_session(struct str s)
{
	char bytes[8];
	return str_equal(s, STR("-")) || text_hex_decode(s, bytes, sizeof bytes);
}

bool ctl_log_line_parse(struct str text, struct ctl_log_line *line)
{
	struct str rest = text;
	*line = (struct ctl_log_line){ .level = STR("info") };
	if (!str_take_until(&rest, ' ', &line->time) || !is_time(line->time) ||
	    !str_take_until(&rest, ' ', &line->program) || !str_take_until(&rest, ' ', &line->session) ||
	    !is_session(line->session) || !str_take_until(&rest, ' ', &line->event))
		return false;
	for (size_t i = 0; i < COUNT_OF(levels); i++)
		if (str_equal(line->event, str_of(levels[i]))) {
			line->level = line->event;
			if (!str_take_until(&rest, ' ', &line->event))
				return false;
			break;
		}
	line->fields = rest;
	return line->program.length && line->event.length;
}

int64_t ctl_log_line_seconds(const struct ctl_log_line *line)
{
	struct tm parts = {};
	char text[TIME_LENGTH + 1] = "";
	memcpy(text, line->time.data, line->time.length < TIME_LENGTH ? line->time.length : TIME_LENGTH);
	return strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) ? timegm(&parts) : 0;
}

static void unescape(struct str text, struct buf *out)
{
	buf_clear(out);
	while (text.length) {
		size_t plain = str_find(text, STR("\\x"));
		char byte;
		buf_add_str(out, str_first(text, plain));
		text = str_from_index(text, plain);
		if (text.length >= 4 && text_hex_decode(str_first(str_from_index(text, 2), 2), &byte, 1)) {
			buf_add_char(out, byte);
			text = str_from_index(text, 4);
		} else {
			buf_add_str(out, str_first(text, 2));
			text = str_from_index(text, 2);
		}
	}
}

bool ctl_log_field_next(struct str *fields, struct str *key, struct buf *value)
{
	struct str field;
	while (str_take_until(fields, ' ', &field)) {
		size_t equals = str_find_char(field, '=');
		if (equals == 0 || equals == field.length)
			continue; /* the end of a line that was cut */
		*key = str_first(field, equals);
		unescape(str_from_index(field, equals + 1), value);
		return true;
	}
	return false;
}

static struct str without_zeros(struct str s)
{
	while (s.length > 1 && s.data[0] == '0')
		s = str_from_index(s, 1);
	return s;
}

static bool field_is(const struct ctl_log_line *line, struct str key, struct str value)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(line->fields.length + 1);
	struct str rest = line->fields, name;
	while (ctl_log_field_next(&rest, &name, &text))
		if (str_equal(name, key) && str_equal(buf_str(&text), value))
			return true;
	return false;
}

bool ctl_log_line_has(const struct ctl_log_line *line, struct str key, struct str value)
{
	if (str_equal(key, STR("session")))
		return str_equal_nocase(without_zeros(line->session), without_zeros(value));
	if (str_equal(key, STR("program")))
		return str_equal(line->program, value);
	if (str_equal(key, STR("level")))
		return str_equal(line->level, value);
	if (str_equal(key, STR("event")))
		return str_equal(line->event, value);
	return field_is(line, key, value);
}

static bool ago(const char *text, int64_t now_seconds, int64_t *seconds)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	struct str all = str_of(text);
	uint64_t count;
	if (all.length < 2 || !str_to_u64(str_first(all, all.length - 1), 1000000000, &count))
		return false;
	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (all.data[all.length - 1] == units[i].unit) {
			*seconds = now_seconds - (int64_t)count * units[i].seconds;
			return true;
		}
	return false;
}

bool ctl_log_since_parse(const char *text, int64_t now_seconds, int64_t *seconds)
{
	static const char *const forms[] = { "%Y-%m-%d", "%Y-%m-%d%t%H:%M", "%Y-%m-%d%t%H:%M:%S", "%Y-%m-%dT%H:%M",
		                                 "%Y-%m-%dT%H:%M:%S" };
	if (ago(text, now_seconds, seconds))
		return true;
	for (size_t i = 0; i < COUNT_OF(forms); i++) {
		struct tm parts = { .tm_isdst = -1 };
		const char *end = strptime(text, forms[i], &parts);
		bool utc = end && str_equal(str_of(end), STR("Z"));
		if (!end || (*end && !utc))
			continue;
		*seconds = utc ? timegm(&parts) : mktime(&parts);
		return true;
	}
	return false;
}

static void add_pair(struct buf *row, struct str key, struct str value)
{
	buf_add_str(row, key);
	buf_add_char(row, '\0');
	buf_add_str(row, value);
	buf_add_char(row, '\0');
}

void ctl_log_line_row(const struct ctl_log_line *line, struct buf *row)
{
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX);
	struct str rest = line->fields, key;
	add_pair(row, STR("time"), line->time);
	add_pair(row, STR("program"), line->program);
	add_pair(row, STR("session"), line->session);
	add_pair(row, STR("level"), line->level);
	add_pair(row, STR("event"), line->event);
	while (ctl_log_field_next(&rest, &key, &value))
		add_pair(row, key, buf_str(&value));
}

/* date and date-time of RFC 9051 §9. */
#include "imap_parse.h"

#include "calendar.h"

enum { DAY_SECONDS = 86400 };

/* digits of exactly this many places */
static unsigned take_digits(struct imap_parser *p, size_t count)
{
	unsigned value = 0;
	for (size_t i = 0; i < count; i++) {
		char c = imap_parse_peek(p);
		if (!char_is_digit(c))
			imap_parse_fail(p, "a digit of a date or time");
		else
			value = 10 * value + (unsigned)(c - '0');
		p->at += !p->failed;
	}
	return p->failed ? 0 : value;
}

/* "-Jul-1996" behind the day. */
static int64_t take_month_and_year(struct imap_parser *p, unsigned day)
{
	imap_parse_char(p, '-');
	unsigned month = p->failed ? 0 : calendar_month(str_first(str_from_index(p->text, p->at), 3));
	if (month == 0)
		imap_parse_fail(p, "the name of a month");
	p->at += p->failed ? 0 : 3;
	imap_parse_char(p, '-');
	unsigned year = take_digits(p, 4);
	if (p->failed)
		return 0;
	if (day == 0 || day > calendar_month_length(year, month)) {
		imap_parse_fail(p, "a day of that month");
		return 0;
	}
	return calendar_days((struct calendar_day){ .year = year, .month = month, .day = day });
}

int64_t imap_parse_date(struct imap_parser *p)
{
	bool quoted = imap_parse_skip(p, '"');
	unsigned day = take_digits(p, 1);
	if (char_is_digit(imap_parse_peek(p)))
		day = 10 * day + take_digits(p, 1);
	int64_t days = take_month_and_year(p, day);
	if (quoted)
		imap_parse_char(p, '"');
	return p->failed ? 0 : days;
}

static int64_t take_time(struct imap_parser *p)
{
	unsigned hour = take_digits(p, 2);
	imap_parse_char(p, ':');
	unsigned minute = take_digits(p, 2);
	imap_parse_char(p, ':');
	unsigned second = take_digits(p, 2);
	if (hour > 23 || minute > 59 || second > 60)
		imap_parse_fail(p, "a time of day");
	return (int64_t)hour * 3600 + (int64_t)minute * 60 + second;
}

/* "-0700": minutes east of UTC. */
static int take_zone(struct imap_parser *p)
{
	bool west = imap_parse_skip(p, '-');
	if (!west)
		imap_parse_char(p, '+');
	unsigned hours = take_digits(p, 2), minutes = take_digits(p, 2);
	if (minutes > 59)
		imap_parse_fail(p, "a time zone");
	int east = (int)(hours * 60 + minutes);
	return west ? -east : east;
}

int64_t imap_parse_date_time(struct imap_parser *p, int *zone_minutes)
{
	imap_parse_char(p, '"');
	unsigned day = imap_parse_skip(p, ' ') ? take_digits(p, 1) : take_digits(p, 2);
	int64_t seconds = take_month_and_year(p, day) * DAY_SECONDS;
	imap_parse_space(p);
	seconds += take_time(p);
	imap_parse_space(p);
	*zone_minutes = take_zone(p);
	imap_parse_char(p, '"');
	return p->failed ? 0 : seconds - (int64_t)*zone_minutes * 60;
}

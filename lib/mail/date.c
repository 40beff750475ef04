#include "date.h"

#include "calendar.h"

/* What has been recognised so far; -1 is nothing yet. */
struct reading {
	struct str rest;
	int64_t year;
	int month, day, hour, minute, second, zone;
	bool zone_known;
};

static size_t count_digits(struct str s)
{
	size_t count = 0;
	while (count < s.length && char_is_digit(s.data[count]))
		count++;
	return count;
}

/* -1 for more digits than any date has. */
static int number_of(struct str s, size_t digits)
{
	int number = 0;
	if (digits > 6)
		return -1;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (s.data[i] - '0');
	return number;
}

static int take_number(struct str *rest)
{
	size_t digits = count_digits(*rest);
	int number = number_of(*rest, digits);
	*rest = str_from_index(*rest, digits);
	return number;
}

/* RFC 5322 §4.3: the named zones of North America; single letters mean nothing, as those of RFC 822 were
 * wrong. The European ones are not in any RFC but in much mail. */
static bool zone_of(struct str word, int *minutes)
{
	static const struct {
		struct str name;
		int minutes;
	} zones[] = {
		{ STR("GMT"), 0 },    { STR("UT"), 0 },     { STR("UTC"), 0 },    { STR("Z"), 0 },
		{ STR("EST"), -300 }, { STR("EDT"), -240 }, { STR("CST"), -360 }, { STR("CDT"), -300 },
		{ STR("MST"), -420 }, { STR("MDT"), -360 }, { STR("PST"), -480 }, { STR("PDT"), -420 },
		{ STR("CET"), 60 },   { STR("MET"), 60 },   { STR("CEST"), 120 }, { STR("MEST"), 120 },
		{ STR("WET"), 0 },    { STR("WEST"), 60 },  { STR("BST"), 60 },   { STR("EET"), 120 },
		{ STR("EEST"), 180 }, { STR("MSK"), 180 },  { STR("MSD"), 240 },  { STR("JST"), 540 },
	};
	for (size_t i = 0; i < COUNT_OF(zones); i++) {
		if (!str_equal_nocase(word, zones[i].name))
			continue;
		*minutes = zones[i].minutes;
		return true;
	}
	return false;
}

static void read_word(struct reading *r)
{
	size_t length = 0;
	while (length < r->rest.length && char_is_alpha(r->rest.data[length]))
		length++;
	struct str word = str_first(r->rest, length);
	r->rest = str_from_index(r->rest, length);
	unsigned month = calendar_month(str_first(word, 3));
	if (month && r->month < 0)
		r->month = (int)month;
	else if (str_equal_nocase(word, STR("PM")) && r->hour >= 1 && r->hour < 12)
		r->hour += 12;
	else if (str_equal_nocase(word, STR("AM")) && r->hour == 12)
		r->hour = 0;
	else if (r->hour >= 0 && !r->zone_known)
		r->zone_known = zone_of(word, &r->zone);
}

/* Behind the time, "+0100", "+01:00" and "-8". */
static bool read_zone(struct reading *r)
{
	char sign = r->rest.data[0];
	struct str digits = str_from_index(r->rest, 1);
	size_t count = count_digits(digits);
	if (r->hour < 0 || count == 0 || count > 4 || (r->zone_known && r->zone != 0))
		return false;
	int number = take_number(&digits);
	int minutes = count > 2 ? number / 100 * 60 + number % 100 : number * 60;
	if (count <= 2 && digits.length > 2 && digits.data[0] == ':' && count_digits(str_from_index(digits, 1)) == 2) {
		digits = str_from_index(digits, 1);
		minutes += take_number(&digits);
	}
	r->rest = digits;
	r->zone_known = true;
	r->zone = minutes > 24 * 60 ? 0 : sign == '-' ? -minutes : minutes;
	return true;
}

static bool is_time_separator(struct str s, size_t i)
{
	return i + 1 < s.length && (s.data[i] == ':' || s.data[i] == '.') && char_is_digit(s.data[i + 1]);
}

static bool read_time(struct reading *r)
{
	struct str rest = r->rest;
	int hour = take_number(&rest), second = 0;
	rest = str_from_index(rest, 1);
	int minute = take_number(&rest);
	if (is_time_separator(rest, 0)) {
		rest = str_from_index(rest, 1);
		second = take_number(&rest);
	}
	if (hour < 0 || hour > 24 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return false;
	if (is_time_separator(rest, 0)) { /* parts of a second */
		rest = str_from_index(rest, 1);
		rest = str_from_index(rest, count_digits(rest));
	}
	r->hour = hour, r->minute = minute, r->second = second;
	r->rest = rest;
	return true;
}

/* RFC 5322 §4.3: two digits 00 to 49 are 20xx, 50 to 99 and three digits are 19xx. */
static int64_t full_year(int number, size_t digits)
{
	if (digits <= 2)
		return number < 50 ? 2000 + number : 1900 + number;
	return digits == 3 ? 1900 + number : number;
}

static void read_number(struct reading *r)
{
	size_t digits = count_digits(r->rest);
	if (digits <= 2 && r->hour < 0 && is_time_separator(r->rest, digits) && read_time(r))
		return;
	int number = take_number(&r->rest);
	if (number < 0)
		return;
	if (digits <= 2 && r->day < 0 && number >= 1 && number <= 31)
		r->day = number;
	else if (r->year < 0 && digits <= 4)
		r->year = full_year(number, digits);
}

/* "2003-01-05T10:11:12Z", also with "/" and with a blank for the T. */
static void read_iso_date(struct reading *r)
{
	struct str s = r->rest;
	if (count_digits(s) != 4)
		return;
	int year = take_number(&s);
	if (s.length == 0 || (s.data[0] != '-' && s.data[0] != '/'))
		return;
	s = str_from_index(s, 1);
	int month = count_digits(s) ? take_number(&s) : 0;
	if (month < 1 || month > 12 || s.length == 0 || (s.data[0] != '-' && s.data[0] != '/'))
		return;
	s = str_from_index(s, 1);
	int day = count_digits(s) ? take_number(&s) : 0;
	if (day < 1 || day > 31)
		return;
	r->year = year, r->month = month, r->day = day;
	r->rest = s;
}

static void skip_comment(struct reading *r)
{
	int depth = 0;
	size_t i = 0;
	for (; i < r->rest.length; i++) {
		depth += (r->rest.data[i] == '(') - (r->rest.data[i] == ')');
		if (depth == 0)
			break;
	}
	r->rest = str_from_index(r->rest, i + 1);
}

static void read_piece(struct reading *r)
{
	char c = r->rest.data[0];
	if (char_is_alpha(c))
		read_word(r);
	else if (char_is_digit(c))
		read_number(r);
	else if (c == '(')
		skip_comment(r);
	else if ((c != '+' && c != '-') || !read_zone(r))
		r->rest = str_from_index(r->rest, 1);
}

static bool finish(const struct reading *r, struct date *date)
{
	if (r->year < 0 || r->month < 0 || r->day < 0)
		return false;
	struct calendar_day day = { r->year, (unsigned)r->month, (unsigned)r->day };
	int64_t seconds = calendar_days(day) * 86400;
	if (r->hour >= 0)
		seconds += r->hour * 3600 + r->minute * 60 + r->second;
	*date = (struct date){ seconds - r->zone * 60, r->zone };
	return true;
}

bool date_parse(struct str text, struct date *date)
{
	struct reading r = { .rest = str_trim(str_first(text, 1000)), .year = -1, .month = -1, .day = -1, .hour = -1 };
	read_iso_date(&r);
	while (r.rest.length)
		read_piece(&r);
	return finish(&r, date);
}

/* Dates stay within four digits of year, so that what is formatted can be parsed again. */
static int64_t in_range(int64_t seconds)
{
	static const struct calendar_day first = { 0, 1, 1 }, beyond = { 10000, 1, 1 };
	int64_t lowest = calendar_days(first) * 86400, highest = calendar_days(beyond) * 86400 - 1;
	return seconds < lowest ? lowest : seconds > highest ? highest : seconds;
}

void date_format(struct buf *out, struct date date)
{
	int64_t east = (int64_t)date.zone_minutes * 60;
	calendar_write_date_time(out, in_range(in_range(date.seconds) + east) - east, date.zone_minutes);
}

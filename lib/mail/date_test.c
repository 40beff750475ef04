#include "date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void dates_of_mail(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t seconds;
		int zone;
	} cases[] = {
		{ "Fri, 21 Nov 1997 09:55:06 -0600", 880127706, -360 },
		{ "21 Nov 97 09:55:06 GMT", 880106106, 0 },
		{ "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n        -0330 (Newfoundland Time)",
		  -27723480, -210 },
		{ "Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", 880070400, 0 },
		{ "Thu, 1 Jan 1970 00:00:00 +0000", 0, 0 },
		{ "1 Jan 1970 00:00:00 EST", 18000, -300 },
		{ "1 Jan 1970 00:00:00 A", 0, 0 },
		{ "1 Jan 1970 00:00 UT", 0, 0 },
		{ "Sat Jan  5 10:11:12 2002", 1010225472, 0 },
		{ "Sat Jan  5 10:11:12 CET 2002", 1010221872, 60 },
		{ "Sat Jan  5 10:11:12 2002 +0100", 1010221872, 60 },
		{ "2002-01-05T10:11:12Z", 1010225472, 0 },
		{ "2002-01-05 10:11:12.345+01:00", 1010221872, 60 },
		{ "05-Jan-2002 10:11:12 +0100", 1010221872, 60 },
		{ "Jan 5, 2002 10:11:12 PM", 1010268672, 0 },
		{ "5 January 2002 10.11.12 +0100", 1010221872, 60 },
		{ "Sat, 5 Jan 102 10:11:12 +0000", 1010225472, 0 },
		{ "Sat, 5 Jan 02 10:11:12 +0000", 1010225472, 0 },
		{ "5 Jan 2002 10:11:12 GMT+1", 1010221872, 60 },
		{ "5 Jan 2002", 1010188800, 0 },
		{ "Thu, 31 Dec 1998 23:59:60 +0000", 915148800, 0 },
		{ "Mon, 29 Feb 2016 12:00:00 -0800", 1456776000, -480 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct date date;
		assert_true(date_parse(str_of(cases[i].text), &date));
		assert_int_equal(date.seconds, cases[i].seconds);
		assert_int_equal(date.zone_minutes, cases[i].zone);
	}
}

static void no_dates(void **state)
{
	(void)state;
	static const char *const cases[] = { "", "yesterday", "Jan 2002", "5 2002", "10:11:12", "99999999999999999999 Jan",
		                                 "(5 Jan 2002)", "5 Jan" };
	struct date date = { 7, 7 };
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_false(date_parse(str_of(cases[i]), &date));
	assert_int_equal(date.seconds, 7);
}

static void formats(void **state)
{
	(void)state;
	static const struct {
		struct date date;
		const char *mail;
	} cases[] = {
		{ { 1010221872, 60 }, "Sat, 5 Jan 2002 10:11:12 +0100" },
		{ { 0, 0 }, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ { -27723480, -210 }, "Thu, 13 Feb 1969 23:32:00 -0330" },
		{ { 951782400, 0 }, "Tue, 29 Feb 2000 00:00:00 +0000" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
		date_format(&out, cases[i].date);
		assert_string_equal(buf_text(&out), cases[i].mail);
	}
}

/* Every 86,399 seconds over a thousand years meets each day and wanders through the hours. */
static void what_is_formatted_parses_to_the_same(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
	for (int64_t seconds = -20000000000; seconds < 20000000000; seconds += 86399 * 7) {
		struct date date = { seconds, (int)(seconds % 721) }, again;
		buf_clear(&out);
		date_format(&out, date);
		assert_true(date_parse(buf_str(&out), &again));
		assert_true(again.seconds == seconds && again.zone_minutes == date.zone_minutes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_of_mail),
		cmocka_unit_test(no_dates),
		cmocka_unit_test(formats),
		cmocka_unit_test(what_is_formatted_parses_to_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "calendar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void days_go_both_ways(void **state)
{
	(void)state;
	struct calendar_day before = calendar_day(-800001);
	for (int64_t days = -800000; days < 3000000; days++) {
		struct calendar_day day = calendar_day(days);
		assert_int_equal(calendar_days(day), days);
		bool new_month = before.day == calendar_month_length(before.year, before.month);
		assert_int_equal(day.day, new_month ? 1 : before.day + 1);
		assert_int_equal(day.month, !new_month ? before.month : before.month == 12 ? 1 : before.month + 1);
		before = day;
	}
}

static void months_have_names(void **state)
{
	(void)state;
	for (unsigned month = 1; month <= 12; month++)
		assert_int_equal(calendar_month(calendar_month_name(month)), month);
	assert_int_equal(calendar_month(STR("dEC")), 12);
	assert_int_equal(calendar_month(STR("Janu")), 0);
	assert_int_equal(calendar_month(STR("")), 0);
}

static void date_times(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		int zone_minutes;
		const char *text;
	} cases[] = {
		{ 0, 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
		{ -1, 0, "Wed, 31 Dec 1969 23:59:59 +0000" },
		{ 1010225472, 60, "Sat, 5 Jan 2002 11:11:12 +0100" },
		{ 1010225472, -630, "Fri, 4 Jan 2002 23:41:12 -1030" },
		{ -62167219200, 0, "Sat, 1 Jan 0000 00:00:00 +0000" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
		calendar_write_date_time(&out, cases[i].seconds, cases[i].zone_minutes);
		assert_string_equal(buf_text(&out), cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_go_both_ways), cmocka_unit_test(months_have_names), cmocka_unit_test(date_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

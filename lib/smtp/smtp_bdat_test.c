#include "smtp_bdat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void good(void **state)
{
	(void)state;
	static const struct {
		const char *argument;
		uint64_t size;
		bool last;
	} cases[] = {
		{ "0", 0, false },       { "0 LAST", 0, true },
		{ "86 LAST", 86, true }, { "1000", 1000, false },
		{ "5 last", 5, true },   { "5  LAST", 5, true },
		{ "000005", 5, false },  { "9223372036854775807", INT64_MAX, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct smtp_bdat bdat;
		assert_null(smtp_bdat_parse(str_of(cases[i].argument), &bdat));
		assert_int_equal(bdat.size, cases[i].size);
		assert_int_equal(bdat.last, cases[i].last);
	}
}

static void bad(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		"LAST",
		"-1",
		"+1",
		"1x",
		"0x10",
		"1.5",
		"9223372036854775808",
		"18446744073709551616",
		"1 LASTLY",
		"1 LAST LAST",
		"1 2",
		"1,LAST",
		"LAST 1",
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct smtp_bdat bdat;
		const struct smtp_reply *reply = smtp_bdat_parse(str_of(cases[i]), &bdat);
		assert_non_null(reply);
		assert_int_equal(reply->code, 501);
		assert_string_equal(reply->enhanced, "5.5.4");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

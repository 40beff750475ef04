#include "mtasts.h"

#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static void records(void **state)
{
	(void)state;
	static const struct {
		const char *records[3];
		const char *id; /* NULL: none */
	} cases[] = {
		{ { "v=STSv1; id=20160831085700Z;" }, "20160831085700Z" },
		{ { "v=STSv1;id=a" }, "a" },
		{ { "v=STSv1 ;\tid=a ; new=x;" }, "a" },
		{ { "v=STSv1; new.one=x; id=a; id=b" }, "a" },
		{ { "v=spf1 -all", "v=STSv1; id=a", "v=STSv12; id=b" }, "a" },
		{ { "v=STSv1; id=a", "v=STSv1; id=a" }, NULL },
		{ { "v=STSv1" }, NULL },
		{ { "v=STSv1;" }, NULL },
		{ { "v=STSv1; id=" }, NULL },
		{ { "v=STSv1; id=a b" }, NULL },
		{ { "v=STSv1; id=123456789012345678901234567890123" }, NULL },
		{ { "v=STSv1; id=a; x" }, NULL },
		{ { "v=STSv1; id=a; =x" }, NULL },
		{ { "v=STSv1;; id=a" }, NULL },
		{ { "id=a; v=STSv1" }, NULL },
		{ { " v=STSv1; id=a" }, NULL },
		{ { "V=STSv1; id=a" }, NULL },
		{ { NULL }, NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str given[3], id = STR("");
		size_t count = 0;
		while (count < 3 && cases[i].records[count]) {
			given[count] = str_of(cases[i].records[count]);
			count++;
		}
		assert_int_equal(mtasts_find_id(given, count, &id), cases[i].id != NULL);
		if (cases[i].id)
			assert_true(str_equal(id, str_of(cases[i].id)));
	}
}

static void policies(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
		enum mtasts_mode mode;
		uint32_t age_seconds;
		size_t patterns;
	} cases[] = {
		{ "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmx: backupmx.example.com\r\nmax_age: 604800\r\n", true,
		  MTASTS_ENFORCE, 604800, 3 },
		{ "version:STSv1\nmode:testing\nmx:a.example\nmax_age:1", true, MTASTS_TESTING, 1, 1 },
		{ "version: STSv1\nmode: none\nmax_age: 86400\n", true, MTASTS_NONE, 86400, 0 },
		{ "max_age: 9999999999\nmx: a.b  \nnew: some thing\nmode: enforce\nmode: none\nversion: STSv1\n", true, MTASTS_ENFORCE, MTASTS_AGE_MAX, 1 },
		{ "version: STSv1\nmode: enforce\nmax_age: 1\n", false, 0, 0, 0 },
		{ "version: STSv2\nmode: none\nmax_age: 1\n", false, 0, 0, 0 },
		{ "mode: none\nmax_age: 1\n", false, 0, 0, 0 },
		{ "version: STSv1\nmode: Enforce\nmx: a.b\nmax_age: 1\n", false, 0, 0, 0 },
		{ "version: STSv1\nmode: none\nmax_age: -1\n", false, 0, 0, 0 },
		{ "version: STSv1\nmode: none\nmax_age: 10000000000\n", false, 0, 0, 0 },
		{ "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1\n", false, 0, 0, 0 },
		{ "version: STSv1\nmode: enforce\nmx: a..b\nmax_age: 1\n", false, 0, 0, 0 },
		{ "version: STSv1\nmode: enforce\nmx: a.*.b\nmax_age: 1\n", false, 0, 0, 0 },
		{ "version: STSv1\n\nmode: none\nmax_age: 1\n", false, 0, 0, 0 },
		{ "version: STSv1\nmode: none\nmax_age: 1\nx: \x01\n", false, 0, 0, 0 },
		{ "<html>version: STSv1</html>", false, 0, 0, 0 },
		{ "", false, 0, 0, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct mtasts_policy policy;
		assert_int_equal(mtasts_policy_parse(str_of(cases[i].text), &policy), cases[i].valid);
		if (!cases[i].valid)
			continue;
		assert_int_equal(policy.mode, cases[i].mode);
		assert_int_equal(policy.age_seconds, cases[i].age_seconds);
		assert_int_equal(policy.pattern_count, cases[i].patterns);
	}
}

static void hosts(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		bool allowed;
	} cases[] = { { "mail.example.com", true }, { "MAIL.example.COM", true }, { "example.com", false }, { "x.example.net", true },
		          { "example.net", false },     { ".example.net", false },    { "a.b.example.net", false }, { "xexample.net", false }, { "", false } };
	struct mtasts_policy policy;
	assert_true(mtasts_policy_parse(STR("version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.Example.net\nmax_age: 1"), &policy));
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(mtasts_policy_allows(&policy, str_of(cases[i].host)), cases[i].allowed);
	assert_string_equal(mtasts_mode_name(policy.mode), "enforce");
}

/* More patterns than are kept do no harm. */
static void many_patterns(void **state)
{
	(void)state;
	static char text[4096];
	size_t length = (size_t)snprintf(text, sizeof text, "version: STSv1\nmode: enforce\nmax_age: 1\n");
	for (int i = 0; i < 100; i++)
		length += (size_t)snprintf(text + length, sizeof text - length, "mx: m%d.example\n", i);
	struct mtasts_policy policy;
	assert_true(mtasts_policy_parse(str_of(text), &policy));
	assert_int_equal(policy.pattern_count, MTASTS_MX_MAX);
	assert_true(mtasts_policy_allows(&policy, STR("m63.example")));
	assert_false(mtasts_policy_allows(&policy, STR("m64.example")));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(records), cmocka_unit_test(policies), cmocka_unit_test(hosts),
		                                cmocka_unit_test(many_patterns) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

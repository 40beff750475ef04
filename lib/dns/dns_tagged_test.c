/* TXT records with a version before them. */
#include "dns_tagged.h"

#include "check.h"

#include <setjmp.h> /* for cmocka */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void exactly_one_counts(void **state)
{
	static const struct {
		struct str records[3];
		const char *found; /* NULL: none */
	} cases[] = {
		{ { STR("v=X1;a=b"), STR("v=spf1 -all") }, "v=X1;a=b" },
		{ { STR("other"), STR("v=X1 \t; a=b") }, "v=X1 \t; a=b" },
		{ { STR("v=X1;a=b"), STR("v=X1;") }, NULL },
		{ { STR("v=X1"), STR("v=X12;a=b"), STR(" v=X1;a=b") }, NULL },
		{ { STR(""), STR("V=X1;a=b") }, NULL },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str record = {};
		assert_int_equal(dns_tagged_find(cases[i].records, 3, STR("v=X1"), &record), cases[i].found != NULL);
		assert_true(!cases[i].found || str_equal(record, str_of(cases[i].found)));
	}
}

static void fields_one_by_one(void **state)
{
	static const struct {
		const char *record, *fields[4];
	} cases[] = {
		{ "v=X1; a=b ;\tc", { "v=X1", "a=b", "c" } }, { "a;", { "a" } }, { "a; ", { "a" } }, { "a;;b", { "a", "", "b" } }, { "", { NULL } },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str rest = str_of(cases[i].record), field;
		for (size_t n = 0; cases[i].fields[n]; n++) {
			assert_true(dns_tagged_next(&rest, &field));
			assert_true(str_equal(field, str_of(cases[i].fields[n])));
		}
		assert_false(dns_tagged_next(&rest, &field));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(exactly_one_counts), cmocka_unit_test(fields_one_by_one) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

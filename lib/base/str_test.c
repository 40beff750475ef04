#include "str.h"

#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void numbers(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t max;
		bool valid;
		uint64_t value;
	} cases[] = {
		{ "0", UINT64_MAX, true, 0 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "4294967296", UINT32_MAX, false, 0 },
		{ "", UINT64_MAX, false, 0 },
		{ "-1", UINT64_MAX, false, 0 },
		{ "+1", UINT64_MAX, false, 0 },
		{ " 1", UINT64_MAX, false, 0 },
		{ "1x", UINT64_MAX, false, 0 },
		{ "0007", UINT64_MAX, true, 7 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint64_t value = 99;
		assert_int_equal(str_to_u64(str_of(cases[i].text), cases[i].max, &value), cases[i].valid);
		assert_int_equal(value, cases[i].valid ? cases[i].value : 99);
	}
}

static void splitting(void **state)
{
	(void)state;
	struct str rest = STR("a,,b"), part;
	assert_true(str_take_until(&rest, ',', &part));
	assert_true(str_equal(part, STR("a")));
	assert_true(str_take_until(&rest, ',', &part));
	assert_true(str_is_empty(part));
	assert_true(str_take_until(&rest, ',', &part));
	assert_true(str_equal(part, STR("b")));
	assert_false(str_take_until(&rest, ',', &part));
}

static void comparing(void **state)
{
	(void)state;
	assert_true(str_equal_nocase(STR("HeLLo"), STR("hEllO")));
	assert_false(str_equal_nocase(STR("hello"), STR("hello ")));
	assert_false(str_equal_nocase(STR("[x"), STR("{x")));
	assert_true(str_starts_nocase(STR("Subject: x"), STR("SUBJECT:")));
	assert_true(str_ends_nocase(STR("a.EML"), STR(".eml")));
	assert_true(str_compare(STR("ab"), STR("abc")) < 0);
	assert_true(str_compare(STR("b"), STR("abc")) > 0);
	assert_int_equal(str_find(STR("abcabd"), STR("abd")), 3);
	assert_int_equal(str_find(STR("abc"), STR("x")), 3);
	assert_true(str_equal(str_trim(STR(" \r\n a b\t")), STR("a b")));
}

static void copying_to_arrays(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		size_t size;
		const char *kept;
	} cases[] = {
		{ STR("abc"), 4, "abc" }, { STR("abc"), 3, "ab" }, { STR("abc"), 1, "" },
		{ STR(""), 8, "" },       { { NULL, 0 }, 8, "" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char array[9] = "????????";
		str_copy_to_array(cases[i].text, array, cases[i].size);
		assert_string_equal(array, cases[i].kept);
		assert_int_equal(array[cases[i].size], cases[i].size < 8 ? '?' : '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(splitting),
		cmocka_unit_test(comparing),
		cmocka_unit_test(copying_to_arrays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

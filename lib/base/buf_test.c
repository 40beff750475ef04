#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void limit_is_exact_and_sticky(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_WITH_LIMIT(4);
	assert_true(buf_append(&b, "abcd", 4));
	assert_false(buf_add_char(&b, 'e'));
	assert_int_equal(b.length, 4);
	buf_consume(&b, 4);
	assert_false(buf_add_char(&b, 'e'));
	assert_int_equal(b.length, 0);
	buf_clear(&b);
	assert_true(buf_add_char(&b, 'e'));
}

static void printf_respects_the_limit(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_WITH_LIMIT(5);
	assert_true(buf_printf(&b, "%d", 12345));
	buf_clear(&b);
	assert_false(buf_printf(&b, "%d", 123456));
	assert_true(b.overflowed);
	assert_int_equal(b.length, 0);
}

static void consume_moves_the_rest_to_the_front(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_WITH_LIMIT(100);
	buf_add_str(&b, STR("hello world"));
	buf_consume(&b, 6);
	assert_string_equal(buf_text(&b), "world");
}

static void numbers_are_decimal(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_WITH_LIMIT(100);
	buf_add_u64(&b, 0);
	buf_add_char(&b, ' ');
	buf_add_u64(&b, UINT64_MAX);
	assert_string_equal(buf_text(&b), "0 18446744073709551615");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limit_is_exact_and_sticky),
		cmocka_unit_test(printf_respects_the_limit),
		cmocka_unit_test(consume_moves_the_rest_to_the_front),
		cmocka_unit_test(numbers_are_decimal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

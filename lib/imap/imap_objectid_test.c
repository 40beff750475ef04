#include "imap_objectid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void written_and_read(void **state)
{
	static const uint64_t numbers[] = { 1, 10, 4294967296, UINT64_MAX };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
		uint64_t number;
		imap_objectid_write(&out, IMAP_EMAILID, numbers[i]);
		assert_true(imap_objectid_read(buf_str(&out), IMAP_EMAILID, &number));
		assert_int_equal(number, numbers[i]);
		assert_false(imap_objectid_read(buf_str(&out), IMAP_THREADID, &number));
	}
}

static void others_name_nothing(void **state)
{
	static const char *const texts[] = { "", "M", "1", "m1", "M1x", "M01", "M00", "M-1", "M 1", "M18446744073709551616", "MM1", "T1" };
	uint64_t number;
	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		assert_false(imap_objectid_read(str_of(texts[i]), IMAP_EMAILID, &number));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(written_and_read), cmocka_unit_test(others_name_nothing) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

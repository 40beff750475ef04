#include "imap_mailbox_name.h"

#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void names(void **state)
{
	(void)state;
	static const struct {
		struct str name;
		bool allowed;
	} cases[] = {
		{ STR("a"), true },
		{ STR("a/b c/d"), true },
		{ STR("INBOX/x"), true },
		{ STR("...a/.b"), true },
		{ STR("%*&#\\\""), true },
		{ STR("\xc3\xa4\xc5\xbe\xf0\x9f\x93\xac"), true },
		{ STR(""), false },
		{ STR("/"), false },
		{ STR("/a"), false },
		{ STR("a/"), false },
		{ STR("a//b"), false },
		{ STR("."), false },
		{ STR(".."), false },
		{ STR("../../etc"), false },
		{ STR("a/../b"), false },
		{ STR("a/."), false },
		{ STR("a\0b"), false },
		{ STR("a\x1f"), false },
		{ STR("a\x7f"), false },
		{ STR("a\r\nb"), false },
		/* RFC 5198: C1 controls, line and paragraph separators */
		{ STR("\xc2\x80"), false },
		{ STR("\xc2\x9f"), false },
		{ STR("\xc2\xa0"), true },
		{ STR("\xe2\x80\xa8"), false },
		{ STR("\xe2\x80\xa9"), false },
		/* not in form C; overlong; a surrogate; cut off */
		{ STR("a\xcc\x88"), false },
		{ STR("\xc0\xaf"), false },
		{ STR("\xed\xa0\x80"), false },
		{ STR("a\xc3"), false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(imap_mailbox_name_is_allowed(cases[i].name), cases[i].allowed);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

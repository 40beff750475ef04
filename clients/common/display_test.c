#include "display.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

static const struct {
	const char *from, *to;
} texts[] = {
	{ "", "" },
	{ "plain", "plain" },
	{ "  two   words\t\n here ", "two words here" },
	{ "žltý kôň", "žltý kôň" },
	{ "\xff\xfe", BAD BAD },
	{ "a\x1b[31mred\x1b[0m", "a" BAD "[31mred" BAD "[0m" },
	{ "bell\x07 del\x7f c1\xc2\x9b", "bell" BAD " del" BAD " c1" BAD },
	{ "gpj\xe2\x80\xae" "exe", "gpj" BAD "exe" },                   /* U+202E */
	{ "\xe2\x81\xa6iso\xe2\x81\xa9", BAD "iso" BAD },              /* U+2066, U+2069 */
	{ "\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c", BAD BAD BAD },           /* marks */
	{ "zero\xe2\x80\x8bwidth\xef\xbb\xbf", "zero" BAD "width" BAD }, /* U+200B, U+FEFF */
	{ "line\xe2\x80\xa8par\xe2\x80\xa9", "line" BAD "par" BAD },     /* U+2028, U+2029 */
	{ "\xf3\xa0\x81\x81", BAD },                                   /* tag */
	{ "\xee\x80\x80", BAD },                                       /* private use */
	{ "نمی\xe2\x80\x8cخواهم", "نمی\xe2\x80\x8cخواهم" },            /* U+200C belongs there */
	{ "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81.", "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81." },
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		display_text(&out, str_of(texts[i].from));
		assert_string_equal(buf_text(&out), texts[i].to);
	}
}

static void test_nul(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
	(void)state;
	display_text(&out, str_from("a\0b", 3));
	assert_string_equal(buf_text(&out), "a" BAD "b");
}

static void test_cut(void **state)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(10000), out = BUF_WITH_LIMIT(10000);
	(void)state;
	for (size_t i = 0; i < DISPLAY_TEXT_MAX; i++)
		buf_add_str(&text, STR("€"));
	display_text(&out, buf_str(&text));
	assert_int_equal(out.length, DISPLAY_TEXT_MAX / 3 * 3 + 3);
	assert_true(str_ends_nocase(buf_str(&out), STR("€…")));
}

static void test_headers(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{ "=?utf-8?q?Pr=C3=ADklad?= =?utf-8?b?xb4=?=", "Príkladž" },
		{ "=?iso-8859-1?q?caf=E9?=", "café" },
		{ "=?utf-8?q?a=0D=0ABcc:_x?=", "a Bcc: x" },
		{ "=?utf-8?q?=E2=80=AE?=", BAD },
		{ "=?utf-8?q?=1B]0;title=07?=", "]0;title" },
		{ "folded\r\n over lines", "folded over lines" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		display_header(&out, str_of(cases[i].from));
		assert_string_equal(buf_text(&out), cases[i].to);
	}
}

static void test_summary(void **state)
{
	struct display_summary s;
	(void)state;
	display_summary_init(&s);
	display_summary_take(&s, STR("From: =?utf-8?q?J=C3=A1n?= <jan@example.sk>, plain@example.org\r\n"
	                             "To: undisclosed:;\r\nSubject: one\r\n two\r\nDate: Sat, 5 Jan 2002 10:11:12 "
	                             "-0130\r\n\r\nFrom: body\r\n"));
	assert_string_equal(buf_text(&s.from), "Ján <jan@example.sk>, plain@example.org");
	assert_string_equal(buf_text(&s.to), "");
	assert_string_equal(buf_text(&s.subject), "one two");
	assert_string_equal(buf_text(&s.date), "2002-01-05T10:11:12-01:30");
	display_summary_take(&s, STR("Subject: next\r\nDate: never\r\n\r\n"));
	assert_string_equal(buf_text(&s.from), "");
	assert_string_equal(buf_text(&s.subject), "next");
	assert_string_equal(buf_text(&s.date), "");
	display_summary_take(&s, (struct str){});
	assert_string_equal(buf_text(&s.subject), "");
	display_summary_release(&s);
}

static void test_name_is_no_address(void **state)
{
	struct display_summary s;
	(void)state;
	display_summary_init(&s);
	display_summary_take(&s, STR("From: \"boss@example.org\" <thief@elsewhere.test>\r\n\r\n"));
	assert_string_equal(buf_text(&s.from), "boss@example.org <thief@elsewhere.test>");
	display_summary_release(&s);
}

static void test_lines(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
	(void)state;
	display_lines(&out, STR("a  b\r\n\tc\x1b\r\n\r\nd"));
	assert_string_equal(buf_text(&out), "a  b\n\tc" BAD "\n\nd");
}

static void test_wire(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
	(void)state;
	display_wire(&out, STR("+OK  \tčau\x1b\xff\xe2\x80\xae."));
	assert_string_equal(buf_text(&out), "+OK  \tčau\\x1b\\xff\\xe2\\x80\\xae.");
}

static void test_columns(void **state)
{
	static const struct {
		const char *from;
		size_t columns;
		const char *to;
	} cases[] = {
		{ "abc", 5, "abc  " }, { "abcde", 5, "abcde" }, { "abcdef", 5, "abcd…" }, { "", 2, "  " }, { "漢字漢字", 5, "漢字…" },
		{ "漢字漢字", 6, "漢字… " }, { "e\xcc\x81x", 2, "e\xcc\x81x" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
		display_column(&out, str_of(cases[i].from), cases[i].columns);
		assert_string_equal(buf_text(&out), cases[i].to);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),   cmocka_unit_test(test_nul),     cmocka_unit_test(test_cut),
		cmocka_unit_test(test_headers), cmocka_unit_test(test_summary), cmocka_unit_test(test_name_is_no_address),
		cmocka_unit_test(test_lines),   cmocka_unit_test(test_wire),    cmocka_unit_test(test_columns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

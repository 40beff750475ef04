#include "charset.h"

#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#define BAD "\xef\xbf\xbd"

struct conversion {
	const char *charset;
	const char *bytes;
	const char *utf8;
	bool is_known;
};

static const struct conversion conversions[] = {
	{ "utf-8", "Gr\xc3\xbc\xc3\x9f""e", "Grüße", true },
	{ "UTF-8", "a\xff""b\xc3", "a" BAD "b" BAD, true },
	{ "utf-8", "\xc0\xaf\xed\xa0\x80", BAD BAD BAD BAD BAD, true },
	{ "utf-8", "\xf0\x9f\x98\x80!", "😀!", true },
	{ "utf-8+", "a\xf7\x83\x83\x83""b", "a" BAD BAD BAD BAD "b", true }, /* iconv, which goes on where Unicode ends */
	{ "us-ascii", "plain", "plain", true },
	{ "", "\xc3\xbc", "ü", true },
	{ "iso-8859-1", "Gr\xfc\xdf""e \x80", "Grüße €", true },
	{ "windows-1252", "\x93x\x94 \x81", "“x” " BAD, true },
	{ "iso-8859-15", "\xa4", "€", true },
	{ "koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "Привет", true },
	{ "iso-2022-jp", "\x1b$B$3$s\x1b(B", "こん", true },
	{ "CP50221", "\x1b$B$3$s\x1b(B", "こん", true },
	{ "unicode-1-1-utf-7", "+APw-", "ü", true },
	{ "ISO-8859-6-i", "\xc7", "ا", true },
	{ "Shift_JIS", "\x82\xb1\x82\xf1", "こん", true },
	{ "gb2312", "\xc4\xe3\xba\xc3", "你好", true },
	{ "big5", "\xa7\x41\xa6\x6e", "你好", true },
	{ "euc-kr", "\xb0\xa1", "가", true },
	{ "gb2312", "\xc4", BAD, true },
	/* iconv keeps a letter back, which a mark may follow */
	{ "windows-1255", "\xf9\xec\xe5\xed", "שלום", true },
	{ "windows-1258", "Vi\xea\xf2t a", "Việt a", true },
	{ "windows-1258", "a\xd2", "ả", true },
	{ "tcvn", "a", "a", true },
	{ "no-such-charset", "a\xfc", "a" BAD, false },
	{ "utf-8//TRANSLIT", "a\xfc", "a" BAD, false },
	{ "../../etc/passwd", "a", "a", false },
	{ "ISO-2022-CN-EXT", "a", "a", false },
};

static void whole_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(conversions); i++) {
		const struct conversion *c = &conversions[i];
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		assert_int_equal(charset_to_utf8(&out, str_of(c->charset), str_of(c->bytes)), c->is_known);
		assert_string_equal(buf_text(&out), c->utf8);
	}
}

static void texts_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(conversions); i++) {
		CLEANUP(charset_release) struct charset c;
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		charset_init(&c, str_of(conversions[i].charset));
		for (const char *byte = conversions[i].bytes; *byte; byte++)
			charset_add(&c, str_from(byte, 1), &out);
		charset_finish(&c, &out);
		assert_string_equal(buf_text(&out), conversions[i].utf8);
	}
}

static void long_texts_cross_the_inner_buffer(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf in = BUF_WITH_LIMIT(100000);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(400000);
	while (in.length < 50000)
		buf_add_str(&in, STR("\xf0\xd2\xc9 "));
	assert_true(charset_to_utf8(&out, STR("koi8-r"), buf_str(&in)));
	assert_int_equal(out.length, in.length / 4 * 7);
	assert_true(text_is_utf8(buf_str(&out)));
}

static void preloaded_charsets_stay_usable(void **state)
{
	(void)state;
	charset_preload();
	charset_preload();
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
	assert_true(charset_to_utf8(&out, STR("koi8-u"), STR("\xa4")));
	assert_string_equal(buf_text(&out), "є");
}

static void guessing(void **state)
{
	(void)state;
	static const char *const cases[][2] = { { "plain", "plain" }, { "\xc3\xbc", "ü" }, { "a\xfc", "aü" } };
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
		charset_guess_to_utf8(&out, str_of(cases[i][0]));
		assert_string_equal(buf_text(&out), cases[i][1]);
	}
}

static void folding(void **state)
{
	(void)state;
	static const char *const equal[][2] = {
		{ "hello", "HeLLo" },   { "Grüße", "GRÜßE" },       { "u\xcc\x88", "Ü" }, { "привет", "ПРИВЕТ" },
		{ "ǆ", "ǅ" },               { "ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ" },
		{ "\xc3", "\xc3" },
	};
	for (size_t i = 0; i < COUNT_OF(equal); i++) {
		CLEANUP(buf_release) struct buf left = BUF_WITH_LIMIT(100);
		CLEANUP(buf_release) struct buf right = BUF_WITH_LIMIT(100);
		charset_fold(&left, str_of(equal[i][0]));
		charset_fold(&right, str_of(equal[i][1]));
		assert_string_equal(buf_text(&left), buf_text(&right));
	}
	CLEANUP(buf_release) struct buf a = BUF_WITH_LIMIT(100);
	charset_fold(&a, STR("각"));
	assert_string_equal(buf_text(&a), "각");
}

static void white_space_collapses_over_pieces(void **state)
{
	(void)state;
	bool blank = true;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
	charset_fold_text(&out, STR("  a \r\n"), &blank);
	charset_fold_text(&out, STR("\t b\xc2\xa0 \xc2\xa0"), &blank);
	charset_fold_text(&out, STR(" ü "), &blank);
	assert_string_equal(buf_text(&out), "A B U\xcc\x88 ");
	assert_true(blank);
}

static void the_limit_ends_it(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10);
	charset_to_utf8(&out, STR("koi8-r"), STR("\xf0\xd2\xc9\xd7\xc5\xd4\xf0\xd2\xc9\xd7\xc5\xd4"));
	assert_true(out.overflowed && out.length <= 10);
}

/* Octet by octet, in one piece and in two: what eight at once must give, too. */
static void ascii_text_is_folded_in_any_pieces(void **state)
{
	static const char letters[] = "azAZ`{@[09 \t\r\n\x01\x7f";
	(void)state;
	srand(11);
	for (int round = 0; round < 20000; round++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
		char text[40], expected[40];
		size_t length = (size_t)rand() % sizeof text, cut = length ? (size_t)rand() % length : 0, used = 0;
		bool blank = round % 2, before = blank;
		for (size_t i = 0; i < length; i++) {
			text[i] = rand() % 3 ? 'm' : letters[(size_t)rand() % (sizeof letters - 1)];
			bool white = text[i] <= ' ';
			if (!white || !before)
				expected[used++] = white ? ' ' : char_upper(text[i]);
			before = white;
		}
		charset_fold_text(&out, str_from(text, cut), &blank);
		charset_fold_text(&out, str_from(text + cut, length - cut), &blank);
		assert_true(str_equal(buf_str(&out), str_from(expected, used)));
		assert_int_equal(blank, before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_texts),
		cmocka_unit_test(texts_byte_by_byte),
		cmocka_unit_test(long_texts_cross_the_inner_buffer),
		cmocka_unit_test(preloaded_charsets_stay_usable),
		cmocka_unit_test(guessing),
		cmocka_unit_test(folding),
		cmocka_unit_test(white_space_collapses_over_pieces),
		cmocka_unit_test(ascii_text_is_folded_in_any_pieces),
		cmocka_unit_test(the_limit_ends_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

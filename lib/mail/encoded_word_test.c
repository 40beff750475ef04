#include "encoded_word.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void decoding(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		/* RFC 2047 §8 */
		{ "=?ISO-8859-1?Q?a?=", "a" },
		{ "=?ISO-8859-1?Q?a?= b", "a b" },
		{ "=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab" },
		{ "=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab" },
		{ "=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab" },
		{ "=?ISO-8859-1?Q?a_b?=", "a b" },
		{ "=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b" },
		{ "=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>" },
		{ "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
		  "If you can read this you understand the example." },
		/* RFC 2231 §5 */
		{ "=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore" },
		/* real life */
		{ "=?utf-8?q?hello world?=", "hello world" },
		{ "=?utf-8?B?w7w?=", "ü" },
		{ "=?utf-8?Q?=C3?=\r\n =?utf-8?Q?=BC?=", "ü" },
		{ "=?utf-8?B?ww==?= =?UTF-8?Q?=BC?=", "ü" },
		{ "x=?utf-8?q?y?=z", "xyz" },
		{ "=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c" },
		{ "=?utf-8?q?a?=-=?utf-8?q?c?=", "a-c" },
		{ "=?ISO-8859-1?Q?=FC?= =?utf-8?Q?=C3=BC?=", "üü" },
		{ "=?utf-8?q?=C3?= =?ISO-8859-1?Q?=FC?= =?utf-8?q?=BC?=", "\xef\xbf\xbdü\xef\xbf\xbd" },
		{ "=?utf 8?q?a?=", "=?utf 8?q?a?=" },
		{ "=?utf-8\x7f?q?a?=", "=?utf-8\x7f?q?a?=" },
		{ "=?utf-8?Q?no end", "=?utf-8?Q?no end" },
		{ "=?utf-8?Q?no end =?utf-8?Q?end?=", "=?utf-8?Q?no end end" },
		{ "=?utf-8?X?a?=", "=?utf-8?X?a?=" },
		{ "=??Q?a?=", "=??Q?a?=" },
		{ "=?", "=?" },
		{ "=?utf-8?Q?" "?=", "" },
		{ "=?utf-8?Q?=41=4?=", "A=4" },
		{ "=?utf-8?Q?a=0D=0Ab=00c?=", "a  b c" },
		{ "=?unknown?Q?a=FC?=", "a\xef\xbf\xbd" },
		{ "raw \xfc", "raw ü" },
		{ "raw \xc3\xbc =?utf-8?q?x?=", "raw ü x" },
		{ "folded\r\n text", "folded text" },
		{ "", "" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		encoded_word_decode(&out, str_of(cases[i][0]));
		assert_string_equal(buf_text(&out), cases[i][1]);
	}
}

/* RFC 2047 §2: words up to 75, lines up to 76 characters. */
static void check_lines(struct str encoded, size_t column)
{
	struct str line;
	while (str_take_until(&encoded, '\n', &line)) {
		line = str_trim(line);
		assert_true(column + line.length <= 76 && line.length <= 75);
		assert_true(line.length == 0 || (str_starts(line, STR("=?")) && str_ends_nocase(line, STR("?="))));
		assert_true(str_is_printable(line));
		column = 1;
	}
}

static void encoding_and_back(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"ü", "plain text", "Grüße aus Köln, mit \"Anführung\" und (Klammern)?",
		"日本語の件名はとても長いので折り返されます。さらに続きます。",
		"a very long subject in plain letters that needs more than one line, since it has more than 75 letters ü",
		"=?_= ",
		"😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀", " leading and trailing ",
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		for (size_t column = 0; column <= 80; column += 9) {
			CLEANUP(buf_release) struct buf encoded = BUF_WITH_LIMIT(10000);
			CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(10000);
			encoded_word_encode(&encoded, str_of(cases[i]), column);
			check_lines(buf_str(&encoded), column);
			encoded_word_decode(&decoded, str_trim(buf_str(&encoded)));
			assert_string_equal(buf_text(&decoded), cases[i]);
		}
	}
}

/* RFC 2047 §2: "An encoded-word may not be more than 75 characters long"; 12 of them are its frame. */
static void words_are_as_long_as_may_be(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf fits = BUF_WITH_LIMIT(1000), longer = BUF_WITH_LIMIT(1000);
	static const char letters[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	encoded_word_encode(&fits, str_from(letters, 63), 0);
	assert_int_equal(fits.length, 75);
	encoded_word_encode(&longer, str_from(letters, 64), 0);
	assert_true(str_find(buf_str(&longer), STR("?=\r\n =?utf-8?Q?a?=")) == 73);
}

static void hostile_text_is_bounded(void **state)
{
	(void)state;
	static const char *const pieces[] = { "=?", "=?a?q?", "=?a?q?x?= ", "=?a?b?", "?=", "=?a?q?=?a?b?" };
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(2 << 20);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4 << 20);
		while (text.length < 1 << 18)
			buf_add_str(&text, str_of(pieces[i]));
		encoded_word_decode(&out, buf_str(&text));
		assert_true(out.length <= text.length && !out.overflowed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoding),
		cmocka_unit_test(encoding_and_back),
		cmocka_unit_test(words_are_as_long_as_may_be),
		cmocka_unit_test(hostile_text_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

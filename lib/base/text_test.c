#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void base64_vectors(void **state)
{
	(void)state;
	/* RFC 4648 §10 */
	static const char *const pairs[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
	};
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		CLEANUP(buf_release) struct buf encoded = BUF_WITH_LIMIT(100), decoded = BUF_WITH_LIMIT(100);
		text_base64_encode(&encoded, str_of(pairs[i][0]));
		assert_true(str_equal(buf_str(&encoded), str_of(pairs[i][1])));
		assert_true(text_base64_decode(&decoded, str_of(pairs[i][1])));
		assert_true(str_equal(buf_str(&decoded), str_of(pairs[i][0])));
		buf_release(&decoded);
	}
}

static void base64_garbage(void **state)
{
	(void)state;
	static const char *const bad[] = { "Z", "Zg=", "Zg", "Z===", "====", "Zm9v=", "Zm 9", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v\n" };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
		assert_false(text_base64_decode(&out, str_of(bad[i])));
	}
}

static void utf8_validity(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool valid;
	} cases[] = {
		{ "plain", true }, { "\xc3\xa9", true }, { "\xe2\x82\xac", true }, { "\xf0\x9f\x93\xaf", true },
		{ "\xc0\x80", false }, { "\xc1\xbf", false }, { "\xe0\x80\xaf", false }, { "\xed\xa0\x80", false },
		{ "\xf4\x90\x80\x80", false }, { "\xff", false }, { "\xc3", false }, { "\x80", false }, { "\xf8\x88\x80\x80\x80", false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(text_is_utf8(str_of(cases[i].text)), cases[i].valid);
}

static void utf8_round_trip(void **state)
{
	(void)state;
	static const uint32_t codes[] = { 0, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff };
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4);
		uint32_t code = 1;
		text_utf8_add(&out, codes[i]);
		assert_int_equal(text_utf8_next(buf_str(&out), &code), out.length);
		assert_int_equal(code, codes[i]);
	}
}

static void hex_and_escape(void **state)
{
	(void)state;
	unsigned char bytes[2];
	assert_true(text_hex_decode(STR("fF01"), bytes, 2));
	assert_int_equal(bytes[0], 255);
	assert_false(text_hex_decode(STR("fF0"), bytes, 2));
	assert_false(text_hex_decode(STR("fF0g"), bytes, 2));
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
	text_escape(&out, STR("a\r\n=b"), 100);
	assert_string_equal(buf_text(&out), "a\\x0d\\x0a\\x3db");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_vectors), cmocka_unit_test(base64_garbage), cmocka_unit_test(utf8_validity),
		cmocka_unit_test(utf8_round_trip), cmocka_unit_test(hex_and_escape),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

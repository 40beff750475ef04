#include "transfer.h"

#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void names(void **state)
{
	(void)state;
	assert_int_equal(transfer_find(STR(" Base64 ")), TRANSFER_BASE64);
	assert_int_equal(transfer_find(STR("quoted-printable (why)")), TRANSFER_QUOTED_PRINTABLE);
	assert_int_equal(transfer_find(STR("8BIT;")), TRANSFER_8BIT);
	assert_int_equal(transfer_find(STR("")), TRANSFER_7BIT);
	assert_int_equal(transfer_find(STR("x-uue")), TRANSFER_UUENCODE);
	assert_int_equal(transfer_find(STR("rot13")), TRANSFER_UNKNOWN);
	for (enum transfer_encoding i = 0; i < TRANSFER_UNKNOWN; i++)
		assert_int_equal(transfer_find(transfer_name(i)), i);
}

static const struct {
	enum transfer_encoding encoding;
	const char *text, *content;
} decodings[] = {
	{ TRANSFER_BASE64, "aGVsbG8=", "hello" },
	{ TRANSFER_BASE64, "aGVs\r\nbG8=\r\n", "hello" },
	{ TRANSFER_BASE64, "aG*V s-bG8", "hello" },
	{ TRANSFER_BASE64, "aGVsbG8=aGVsbG8=", "hellohello" },
	{ TRANSFER_BASE64, "YQ==", "a" },
	{ TRANSFER_BASE64, "YQ", "a" },
	{ TRANSFER_BASE64, "Y", "" },
	{ TRANSFER_QUOTED_PRINTABLE, "a=3Db=3db", "a=b=b" },
	{ TRANSFER_QUOTED_PRINTABLE, "soft=\r\nbreak=\nhere=  \t\r\nand=\rcr", "softbreakhereandcr" },
	{ TRANSFER_QUOTED_PRINTABLE, "trailing \t \r\nblanks  \nkept inside \t x", "trailing\r\nblanks\nkept inside \t x" },
	{ TRANSFER_QUOTED_PRINTABLE, "wrong =G1 =3 = x =", "wrong =G1 =3 = x " },
	{ TRANSFER_QUOTED_PRINTABLE, "==41", "=A" },
	{ TRANSFER_QUOTED_PRINTABLE, "=4", "=4" },
	{ TRANSFER_QUOTED_PRINTABLE, "end blank ", "end blank" },
	{ TRANSFER_QUOTED_PRINTABLE, "raw \xc3\xbc", "raw ü" },
	{ TRANSFER_UUENCODE, "text\nbegin 644 x\n#0V%T\n`\nend\nmore", "Cat" },
	{ TRANSFER_UUENCODE, "begin 644 x\r\n%:&5L;&\\\r\n \r\nend\r\n", "hello" },
	{ TRANSFER_7BIT, "as =41 is", "as =41 is" },
	{ TRANSFER_UNKNOWN, "as =41 is", "as =41 is" },
};

static void decoding(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(decodings); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		transfer_decode_all(decodings[i].encoding, str_of(decodings[i].text), &out);
		assert_string_equal(buf_text(&out), decodings[i].content);
	}
}

static void decoding_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(decodings); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		struct transfer_decoder d;
		transfer_decode_begin(&d, decodings[i].encoding);
		for (const char *byte = decodings[i].text; *byte; byte++)
			transfer_decode(&d, str_from(byte, 1), &out);
		transfer_decode_finish(&d, &out);
		assert_string_equal(buf_text(&out), decodings[i].content);
	}
}

static void blanks_without_end_are_bounded(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf in = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	while (in.length < 100000)
		buf_add_char(&in, ' ');
	buf_add_char(&in, 'x');
	transfer_decode_all(TRANSFER_QUOTED_PRINTABLE, buf_str(&in), &out);
	assert_int_equal(out.length, in.length);
}

static void check_lines(struct str text)
{
	struct str line;
	while (str_take_until(&text, '\n', &line)) {
		assert_true(text.length == 0 || line.data[line.length - 1] == '\r');
		line = line.length && line.data[line.length - 1] == '\r' ? str_first(line, line.length - 1) : line;
		assert_true(line.length <= 76);
		assert_true(line.length == 0 || (line.data[line.length - 1] != ' ' && line.data[line.length - 1] != '\t'));
	}
}

static void there_and_back(enum transfer_encoding encoding, bool text, struct str content, size_t step)
{
	CLEANUP(buf_release) struct buf encoded = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(1 << 20);
	struct transfer_encoder e;
	transfer_encode_begin(&e, encoding, text);
	for (size_t i = 0; i < content.length; i += step)
		transfer_encode(&e, str_first(str_from_index(content, i), step), &encoded);
	transfer_encode_finish(&e, &encoded);
	check_lines(buf_str(&encoded));
	assert_true(text_is_ascii(buf_str(&encoded)));
	transfer_decode_all(encoding, buf_str(&encoded), &decoded);
	assert_true(str_equal(buf_str(&decoded), content));
}

static void encoding_and_back(void **state)
{
	(void)state;
	char bytes[1000];
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * i * 7 + i / 3);
	for (size_t length = 0; length < sizeof bytes; length += 37) {
		for (size_t step = 1; step < 200; step = step * 3 + 1) {
			there_and_back(TRANSFER_BASE64, false, str_from(bytes, length), step);
			there_and_back(TRANSFER_QUOTED_PRINTABLE, false, str_from(bytes, length), step);
		}
	}
	there_and_back(TRANSFER_QUOTED_PRINTABLE, true, STR("line \r\n\r\n\tnext=\r\r\n \r\nlast blank "), 1);
	there_and_back(TRANSFER_QUOTED_PRINTABLE, true, STR("line \r\n\r\n\tnext=\r\r\n \r\nlast blank "), 100);
}

static void line_feeds_become_line_ends(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
	struct transfer_encoder e;
	transfer_encode_begin(&e, TRANSFER_QUOTED_PRINTABLE, true);
	transfer_encode(&e, STR("a \nb\xc3\xbc\r\nc"), &out);
	transfer_encode_finish(&e, &out);
	assert_string_equal(buf_text(&out), "a=20\r\nb=C3=BC\r\nc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(decoding),
		cmocka_unit_test(decoding_byte_by_byte),
		cmocka_unit_test(blanks_without_end_are_bounded),
		cmocka_unit_test(encoding_and_back),
		cmocka_unit_test(line_feeds_become_line_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

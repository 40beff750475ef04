#include "message.h"
#include "reencode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void expect(struct str text, struct str expected)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
	struct mime_part *root = mime_parse(arena, text, NULL);
	assert_true(reencode_is_needed(root));
	assert_true(reencode_message(&out, text, root));
	assert_int_equal(out.length, expected.length);
	assert_memory_equal(out.data, expected.data, expected.length);
	assert_false(reencode_is_needed(mime_parse(arena, buf_str(&out), NULL)));
}

static void a_single_binary_part_becomes_base64(void **state)
{
	(void)state;
	expect(STR("Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\nSubject: x\r\n\r\n\0\r\n\n\xff"),
	       STR("Content-Type: application/octet-stream\r\nSubject: x\r\nContent-Transfer-Encoding: base64\r\n\r\nAA0KCv8=\r\n"));
}

static void parts_of_a_multipart_one_by_one(void **state)
{
	(void)state;
	expect(STR("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: BINARY\r\n\r\n"
	           "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
	           "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\1\2\r\n--b--"),
	       STR("Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	           "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
	           "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n\r\n--b--\r\n"));
}

static void other_mail_is_left_alone(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	assert_false(reencode_is_needed(mime_parse(arena, STR("Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n"), NULL)));
}

static void no_room_is_told(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(40);
	struct str text = STR("Content-Transfer-Encoding: binary\r\n\r\n0123456789\r\n");
	assert_false(reencode_message(&out, text, mime_parse(arena, text, NULL)));
}

/* so that a soft break comes behind them */
#define TWENTY_FOUR "abcdefghijklmnopqrstuvwx"
#define SEVENTY_TWO TWENTY_FOUR TWENTY_FOUR TWENTY_FOUR

static void becomes_7bit_part_by_part(void **state)
{
	static const struct {
		struct str text, expected;
	} cases[] = {
		{ STR("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\xc3\xa9 = x\r\n.\r\n"),
		  STR("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
		      "caf=C3=A9 =3D x\r\n.\r\n") },
		{ STR("Subject: bare\r\n\r\n\xe9\r\n"),
		  STR("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\nSubject: bare\r\n"
		      "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n") },
		{ STR("MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb\r"),
		  STR("MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpiDQ==\r\n") },
		{ STR("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		      "--b\r\n\r\nplain\r\n--b\r\nContent-Type: image/png\r\n\r\n\x89P\r\n"
		      "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: text/html\r\n\r\n\xc3\xa9\r\n--b--\r\n"),
		  STR("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
		      "--b\r\n\r\nplain\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVA=\r\n\r\n"
		      "--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: text/html\r\n"
		      "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n--b--\r\n") },
		{ STR("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/signed; boundary=i\r\n\r\n"
		      "--i\r\n\r\nsigned\r\n--i--\r\n--o\r\nContent-Type: text/plain\r\n\r\n\xe9\r\n--o--\r\n"),
		  STR("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/signed; boundary=i\r\n\r\n"
		      "--i\r\n\r\nsigned\r\n--i--\r\n--o\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
		      "=E9\r\n--o--\r\n") },
		{ STR("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
		      "\xe9" SEVENTY_TWO "--b--\r\n--b--\r\n"),
		  STR("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n"
		      "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E9" SEVENTY_TWO "=\r\n=2D-b--\r\n--b--\r\n") },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
		assert_true(reencode_to_7bit(&out, cases[i].text, mime_parse(arena, cases[i].text, NULL)));
		assert_int_equal(out.length, cases[i].expected.length);
		assert_memory_equal(out.data, cases[i].expected.data, out.length);
	}
}

static void what_cannot_become_7bit_is_told(void **state)
{
	static const struct str texts[] = {
		STR("Subject: \xc3\xa9\r\n\r\nx\r\n"),
		STR("Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n"),
		STR("Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n"),
		STR("Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble \xe9\r\n--b\r\n\r\nx\r\n--b--\r\n"),
		STR("Content-Type: multipart/mixed; boundary=none\r\n\r\n\xe9\r\n"),
		STR("Content-Type: message/partial\r\n\r\n\xe9\r\n"),
		STR("Content-Transfer-Encoding: base64\r\n\r\n\xe9\r\n"),
		STR("Content-Transfer-Encoding: x-own\r\n\r\n\xe9\r\n"),
	};
	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10000);
		assert_false(reencode_to_7bit(&out, texts[i], mime_parse(arena, texts[i], NULL)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_single_binary_part_becomes_base64),
		cmocka_unit_test(parts_of_a_multipart_one_by_one),
		cmocka_unit_test(other_mail_is_left_alone),
		cmocka_unit_test(no_room_is_told),
		cmocka_unit_test(becomes_7bit_part_by_part),
		cmocka_unit_test(what_cannot_become_7bit_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

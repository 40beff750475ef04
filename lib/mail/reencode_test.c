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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_single_binary_part_becomes_base64),
		cmocka_unit_test(parts_of_a_multipart_one_by_one),
		cmocka_unit_test(other_mail_is_left_alone),
		cmocka_unit_test(no_room_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

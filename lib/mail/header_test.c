#include "header.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void blocks_and_their_ends(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *fields; /* name=value| of each */
		size_t size;
	} cases[] = {
		{ "A: b\r\nC: d\r\n\r\nbody", "A= b|C= d|", 14 },
		{ "A: b\nC: d\n\nbody", "A= b|C= d|", 11 },
		{ "A: b\rC: d\r\rbody", "A= b|C= d|", 11 },
		{ "A: b\r\n\tc\r\n d\r\n\r\n", "A= b\r\n\tc\r\n d|", 16 },
		{ "From x@y Mon Jan\nA: b\n\n", "A= b|", 23 },
		{ ">From x@y Mon Jan\nA: b\n\n", "A= b|", 24 },
		{ "A : b\r\nC\t: d\r\n\r\n", "A= b|C= d|", 16 },
		{ "A: b\r\ngarbage\r\nC: d\r\n\r\n", "A= b|C= d|", 23 },
		{ "A: b\r\nno blank line before this\r\nbody\r\n", "A= b|", 6 },
		{ "no header at all\r\n\r\nbody", "", 0 },
		{ "\r\nbody: x\r\n", "", 2 },
		{ "", "", 0 },
		{ "A: b", "A= b|", 4 },
		{ "A:\r\n\r\n", "A=|", 6 },
		{ ": x\r\nA: b\r\n\r\n", "A= b|", 13 },
		{ "A: b\rc\r\n\r\n", "A= b\rc|", 10 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct header_reader r;
		struct header_field field;
		CLEANUP(buf_release) struct buf seen = BUF_WITH_LIMIT(1000);
		header_begin(&r, str_of(cases[i].text));
		while (header_next(&r, &field))
			buf_printf(&seen, "%.*s=%.*s|", STR_ARG(field.name), STR_ARG(field.value));
		assert_string_equal(buf_text(&seen), cases[i].fields);
		assert_int_equal(header_finish(&r), cases[i].size);
		assert_int_equal(header_size(str_of(cases[i].text)), cases[i].size);
	}
}

static void fields_know_their_place(void **state)
{
	(void)state;
	struct str text = STR("To: a\r\nSUBJECT: b\r\n c\r\nX-Y: z\r\n\r\n");
	struct header_field field;
	assert_true(header_find(text, STR("Subject"), &field));
	assert_int_equal(field.id, HEADER_SUBJECT);
	assert_int_equal(field.offset, 7);
	assert_int_equal(field.length, 16);
	assert_true(header_find(text, STR("x-y"), &field));
	assert_int_equal(field.id, HEADER_OTHER);
	assert_false(header_find(text, STR("From"), &field));
}

static void every_known_name_is_found(void **state)
{
	(void)state;
	for (enum header_name id = 1; id < HEADER_NAME_COUNT; id++)
		assert_int_equal(header_name_find(header_name_text(id)), id);
	assert_int_equal(header_name_find(STR("subjecT")), HEADER_SUBJECT);
	assert_int_equal(header_name_find(STR("Subjects")), HEADER_OTHER);
	assert_int_equal(header_name_find(STR("")), HEADER_OTHER);
}

static void unfolding(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ " a\r\n b\r\n\tc ", "a b\tc" }, { "a\n b", "a b" },   { "a\r\nb", "a b" },
		{ "a\rb", "a b" },               { "  plain ", "plain" }, { "a\r\n \r\n b", "a  b" }, { "\r\n ", "" },
	};
	CLEANUP(arena_cleanup) struct arena *a = arena_new(10000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str unfolded = header_unfold(a, str_of(cases[i][0]));
		assert_true(str_equal(unfolded, str_of(cases[i][1])));
	}
	assert_true(str_equal(header_unfold(a, STR("a\0b")), STR("a b")));
	struct str view = STR(" nothing to do ");
	assert_ptr_equal(header_unfold(a, view).data, view.data + 1);
}

static void a_million_fields_are_bounded(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_MESSAGE_SIZE);
	for (int i = 0; i < 1000000; i++)
		buf_add_str(&text, STR("A: b\r\n"));
	buf_add_str(&text, STR("\r\nbody"));
	struct header_reader r;
	struct header_field field;
	size_t count = 0;
	header_begin(&r, buf_str(&text));
	while (header_next(&r, &field))
		count++;
	assert_int_equal(count, LIMIT_HEADER_FIELDS_MAX);
	assert_int_equal(header_finish(&r), text.length - 4);
}

static void a_field_of_fifty_megabytes_is_cut(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_MESSAGE_SIZE + 100);
	buf_add_str(&text, STR("A: b\r\n"));
	while (text.length < LIMIT_MESSAGE_SIZE)
		buf_add_str(&text, STR(" 0123456789012345678901234567890123456789012345678901234567890\r\n"));
	buf_add_str(&text, STR("C: d\r\n\r\n"));
	struct header_reader r;
	struct header_field field;
	header_begin(&r, buf_str(&text));
	assert_true(header_next(&r, &field));
	assert_int_equal(field.value.length, LIMIT_HEADER_SIZE_MAX - 2);
	assert_int_equal(field.length, text.length - 8);
	assert_false(header_next(&r, &field));
	assert_int_equal(header_finish(&r), text.length);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_and_their_ends),
		cmocka_unit_test(fields_know_their_place),
		cmocka_unit_test(every_known_name_is_found),
		cmocka_unit_test(unfolding),
		cmocka_unit_test(a_million_fields_are_bounded),
		cmocka_unit_test(a_field_of_fifty_megabytes_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

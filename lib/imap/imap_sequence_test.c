#include "imap_sequence.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* The set as it is written again, or "misfit". */
static const char *resolved(struct str text, uint32_t star, struct buf *out)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(8 << 20);
	struct imap_parser p;
	struct imap_sequence sequence;
	struct imap_numbers numbers = {};
	imap_parser_init(&p, arena, text, false);
	imap_parse_sequence(&p, &sequence);
	buf_clear(out);
	if (!imap_parse_end(&p))
		return p.too_much ? "too much" : "misfit";
	imap_sequence_resolve(&sequence, star, &numbers);
	if (sequence.saved)
		buf_add_char(out, '$');
	imap_numbers_write(out, &numbers);
	imap_numbers_release(&numbers);
	return buf_text(out);
}

static void sets(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint32_t star;
		const char *expected;
	} cases[] = {
		{ "1", 9, "1" },
		{ "2:4", 9, "2:4" },
		{ "4:2", 9, "2:4" },
		{ "*", 9, "9" },
		{ "*:7", 9, "7:9" },
		{ "12:*", 9, "9:12" },
		{ "*:*", 9, "9" },
		{ "*", 0, "" },
		{ "5:*", 0, "" },
		{ "5,*", 0, "5" },
		{ "3,1,2", 9, "1:3" },
		{ "1,1,1", 9, "1" },
		{ "1:5,3:9,20", 9, "1:9,20" },
		{ "8,1:9,2", 9, "1:9" },
		{ "1:2,3:4", 9, "1:4" },
		{ "1:4294967295", 9, "1:4294967294" },
		{ "4294967295", 9, "4294967294" },
		{ "1:4294967294,4294967294", 9, "1:4294967294" },
		{ "$", 9, "$" },
		{ "0", 9, "misfit" },
		{ "0:1", 9, "misfit" },
		{ "4294967296", 9, "misfit" },
		{ "1:", 9, "misfit" },
		{ ":1", 9, "misfit" },
		{ "1,", 9, "misfit" },
		{ ",1", 9, "misfit" },
		{ "1:2:3", 9, "misfit" },
		{ "$,1", 9, "misfit" },
		{ "-1", 9, "misfit" },
		{ "", 9, "misfit" },
	};
	struct buf out = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(resolved(str_of(cases[i].text), cases[i].star, &out), cases[i].expected);
	buf_release(&out);
}

static void many_ranges(void **state)
{
	(void)state;
	struct buf text = BUF_WITH_LIMIT(4 << 20), out = BUF_WITH_LIMIT(4 << 20);
	for (size_t i = 1; i < LIMIT_IMAP_RANGES_MAX; i++)
		buf_add_str(&text, STR("7,"));
	buf_add_char(&text, '7');
	assert_string_equal(resolved(buf_str(&text), 9, &out), "7");
	buf_add_str(&text, STR(",7"));
	assert_string_equal(resolved(buf_str(&text), 9, &out), "too much");
	buf_release(&text);
	buf_release(&out);
}

static void numbers_are_appended_and_found(void **state)
{
	(void)state;
	struct buf out = BUF_WITH_LIMIT(1000);
	struct imap_numbers n = {};
	imap_numbers_append(&n, 1);
	imap_numbers_append(&n, 2);
	imap_numbers_append(&n, 5);
	imap_numbers_append_range(&n, 6, 10);
	imap_numbers_append_range(&n, 4294967290, 4294967294);
	imap_numbers_write(&out, &n);
	assert_string_equal(buf_text(&out), "1:2,5:10,4294967290:4294967294");
	assert_int_equal(imap_numbers_count(&n), 13);
	static const struct {
		uint32_t number;
		bool has;
	} cases[] = {
		{ 0, false }, { 1, true }, { 2, true }, { 3, false }, { 4, false }, { 5, true }, { 10, true }, { 11, false },
		{ 4294967289, false }, { 4294967290, true }, { 4294967294, true }, { UINT32_MAX, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(imap_numbers_has(&n, cases[i].number), cases[i].has);
	imap_numbers_release(&n);
	assert_false(imap_numbers_has(&n, 1));
	assert_int_equal(imap_numbers_count(&n), 0);
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets), cmocka_unit_test(many_ranges), cmocka_unit_test(numbers_are_appended_and_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

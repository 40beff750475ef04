#include "stuff.h"

#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Stuffs text given in chunks of that size; returns the octets of RETR. */
static uint64_t stuff(struct str text, size_t chunk_size, struct buf *out)
{
	struct pop3_stuffer s = {};
	while (text.length) {
		struct str chunk = str_first(text, chunk_size), piece;
		text = str_from_index(text, chunk.length);
		while (pop3_stuff_next(&s, &chunk, &piece))
			buf_add_str(out, piece);
	}
	buf_add_str(out, pop3_stuff_end(&s));
	return s.octets;
}

/* Returns what follows the end. */
static struct str unstuff(struct str text, size_t chunk_size, struct buf *out, bool *ended)
{
	struct pop3_unstuffer u = {};
	while (text.length && !u.ended) {
		struct str chunk = str_first(text, chunk_size), piece;
		size_t given = chunk.length;
		while (pop3_unstuff_next(&u, &chunk, &piece))
			buf_add_str(out, piece);
		text = str_from_index(text, given - chunk.length);
	}
	*ended = u.ended;
	return text;
}

static const struct {
	const char *content, *stuffed;
} cases[] = {
	{ "", ".\r\n" },
	{ "\r\n", "\r\n.\r\n" },
	{ "a\r\n", "a\r\n.\r\n" },
	{ "a", "a\r\n.\r\n" },
	{ "a\r", "a\r\r\n.\r\n" },
	{ "a\n", "a\n\r\n.\r\n" },
	{ ".", "..\r\n.\r\n" },
	{ "..", "...\r\n.\r\n" },
	{ ".\r\n", "..\r\n.\r\n" },
	{ ".\r", "..\r\r\n.\r\n" },
	{ ".\r\n.\r\n", "..\r\n..\r\n.\r\n" },
	{ "a.b\r\n.c\r\n..d\r\ne.\r\n", "a.b\r\n..c\r\n...d\r\ne.\r\n.\r\n" },
	{ "a\n.b\r\n", "a\n.b\r\n.\r\n" },
	{ "a\r.b\r\n", "a\r.b\r\n.\r\n" },
	{ "a\r\r\n.b\r\n", "a\r\r\n..b\r\n.\r\n" },
	{ "a\n\r\n.\n", "a\n\r\n..\n\r\n.\r\n" },
	{ "\n.\r\n", "\n.\r\n.\r\n" },
};

static void both_ways_in_any_chunks(void **state)
{
	(void)state;
	struct buf out = BUF_WITH_LIMIT(1000), back = BUF_WITH_LIMIT(1000), full = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (size_t chunk = 1; chunk < 25; chunk++) {
			bool ended;
			buf_clear(&out);
			buf_clear(&back);
			buf_clear(&full);
			uint64_t octets = stuff(str_of(cases[i].content), chunk, &out);
			assert_string_equal(buf_text(&out), cases[i].stuffed);
			buf_add_str(&full, str_of(cases[i].content));
			if (full.length && !str_ends_nocase(buf_str(&full), STR("\r\n")))
				buf_add_str(&full, STR("\r\n"));
			assert_int_equal(octets, full.length);
			buf_add_str(&out, STR("+OK next"));
			struct str rest = unstuff(buf_str(&out), chunk, &back, &ended);
			assert_true(ended);
			assert_string_equal(buf_text(&back), buf_text(&full));
			assert_int_equal(rest.length, 8);
		}
	buf_release(&out);
	buf_release(&back);
	buf_release(&full);
}

/* What no honest server sends still has one meaning. */
static void odd_servers(void **state)
{
	(void)state;
	static const struct {
		const char *sent, *content;
		bool ended;
	} odd[] = {
		{ ".x\r\n.\r\n", "x\r\n", true },
		{ ".\rx\r\n.\r\n", "\rx\r\n", true },
		{ ".\r\r\n.\r\n", "\r\r\n", true },
		{ ".\n.\r\n", "\n.\r\n", false },
		{ "a\n.\n", "a\n.\n", false },
		{ "a\r\n.", "a\r\n", false },
		{ "a\r\n.\r", "a\r\n", false },
		{ "a.\r\n", "a.\r\n", false },
		{ ".\r\n", "", true },
	};
	struct buf out = BUF_WITH_LIMIT(100);
	for (size_t i = 0; i < COUNT_OF(odd); i++)
		for (size_t chunk = 1; chunk < 12; chunk++) {
			bool ended;
			buf_clear(&out);
			unstuff(str_of(odd[i].sent), chunk, &out, &ended);
			assert_string_equal(buf_text(&out), odd[i].content);
			assert_int_equal(ended, odd[i].ended);
		}
	buf_release(&out);
}

static void top(void **state)
{
	(void)state;
	static const struct {
		const char *mail;
		uint64_t lines;
		const char *expected;
	} tops[] = {
		{ "A: b\r\n\r\n1\r\n2\r\n3\r\n", 0, "A: b\r\n\r\n" },
		{ "A: b\r\n\r\n1\r\n2\r\n3\r\n", 1, "A: b\r\n\r\n1\r\n" },
		{ "A: b\r\n\r\n1\r\n2\r\n3\r\n", 3, "A: b\r\n\r\n1\r\n2\r\n3\r\n" },
		{ "A: b\r\n\r\n1\r\n2\r\n3", 4294967295, "A: b\r\n\r\n1\r\n2\r\n3" },
		{ "A: b\r\n\r\n\r\n\r\n3", 2, "A: b\r\n\r\n\r\n\r\n" },
		{ "A: b\r\nC: d\r\n", 5, "A: b\r\nC: d\r\n" },
		{ "A: b", 0, "A: b" },
		{ "\r\nbody\r\nmore", 1, "\r\nbody\r\n" },
		{ "A: b\n\n1\n2\n", 1, "A: b\n\n1\n" },
		{ "A: b\r\n \r\n\r\n1", 0, "A: b\r\n \r\n\r\n" },
		{ "A: b\r\n\r\r\n1\r\n2", 1, "A: b\r\n\r\r\n1\r\n" },
		{ "", 7, "" },
	};
	for (size_t i = 0; i < COUNT_OF(tops); i++)
		for (size_t chunk = 1; chunk < 30; chunk++) {
			struct pop3_top t = pop3_top_init(tops[i].lines);
			struct str mail = str_of(tops[i].mail);
			size_t total = 0, given = 0, taken = 0;
			for (; total < mail.length && taken == given; total += taken) {
				struct str part = str_first(str_from_index(mail, total), chunk);
				given = part.length;
				taken = pop3_top_take(&t, part);
			}
			assert_int_equal(total, strlen(tops[i].expected));
			assert_memory_equal(mail.data, tops[i].expected, total);
			assert_true(total == mail.length || pop3_top_done(&t));
			assert_true(!pop3_top_done(&t) || pop3_top_take(&t, STR("more")) == 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways_in_any_chunks),
		cmocka_unit_test(odd_servers),
		cmocka_unit_test(top),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

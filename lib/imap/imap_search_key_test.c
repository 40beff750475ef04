#include "imap_search_key.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

/* The program as text: and(…), or(…), "!" in front of what is negated. */
static void show(struct buf *out, const struct imap_search_program *program, uint32_t number)
{
	static const char *const names[] = {
		"and", "or", "seq", "uid", "flag", "keyword", "before", "on", "since", "sentbefore", "senton", "sentsince",
		"savedbefore", "savedon", "savedsince", "larger", "smaller", "older", "younger", "modseq", "uid-after",
		"uid-before", "emailid", "threadid", "header", "body", "text",
	};
	const struct imap_search_node *node = &program->nodes[number];
	buf_printf(out, "%s%s(", node->negated ? "!" : "", names[node->op]);
	for (uint32_t child = node->first; child; child = program->nodes[child].next) {
		if (child != node->first)
			buf_add_char(out, ' ');
		show(out, program, child);
	}
	if (node->op >= IMAP_KEY_FLAG && !node->text.data)
		buf_printf(out, "%lld", (long long)node->number);
	if (node->op == IMAP_KEY_NUMBERS || node->op == IMAP_KEY_UIDS)
		buf_printf(out, node->sequence.saved ? "$" : "%zu", node->sequence.count);
	if (node->name.length)
		buf_printf(out, "%.*s:", STR_ARG(node->name));
	if (node->text.data)
		buf_add_str(out, node->text);
	buf_add_char(out, ')');
}

static bool find_filter(void *context, struct str name, struct str *criteria)
{
	static const char *const filters[][2] = {
		{ "boss", "OR SMALLER 5000 FROM \"boss\"" }, { "two", "SEEN DRAFT" },  { "nested", "NOT FILTER boss" },
		{ "half", "OR SMALLER" },                    { "empty", "" },          { "loop", "FILTER loop" },
		{ "bad", "XYZZY" },                          { "open", "(SEEN" },      { "close", "SEEN)" },
		{ "wide", "FILTER wide2 FILTER wide2" },     { "wide2", "SEEN SEEN" }, { "lost", "FILTER nowhere" },
	};
	(void)context;
	for (size_t i = 0; i < COUNT_OF(filters); i++)
		if (str_equal(name, str_of(filters[i][0]))) {
			*criteria = str_of(filters[i][1]);
			return true;
		}
	return false;
}

static const struct imap_search_filters filters = { find_filter, NULL };

static const char *parsed(struct arena *arena, const char *text)
{
	struct imap_parser p;
	struct imap_search_program program;
	struct buf out = BUF_WITH_LIMIT(100000);
	imap_parser_init(&p, arena, str_of(text), false);
	imap_parse_search(&p, &filters, &program);
	if (p.failed)
		buf_printf(&out, "bad%s %zu %.*s", p.too_much ? " limit" : "", p.failed_at, STR_ARG(program.unknown_filter));
	else
		show(&out, &program, 0);
	const char *copy = arena_copy(arena, buf_str(&out)).data;
	buf_release(&out);
	return copy;
}

static void keys(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "ALL", "and(and())" },
		{ "seen Unseen", "and(flag(4) !flag(4))" },
		{ "NOT NOT SEEN NOT UNSEEN", "and(flag(4) flag(4))" },
		{ "NEW OLD RECENT", "and(and(flag(5) !flag(4)) !flag(5) flag(5))" },
		{ "OR SEEN DRAFT FLAGGED", "and(or(flag(4) flag(2)) flag(3))" },
		{ "OR OR SEEN DRAFT OR FLAGGED DELETED", "and(or(flag(4) flag(2) flag(3) flag(1)))" },
		{ "OR NOT OR SEEN DRAFT FLAGGED", "and(or(!or(flag(4) flag(2)) flag(3)))" },
		{ "(SEEN (DRAFT)) NOT (SEEN DRAFT)", "and(and(flag(4) and(flag(2))) !and(flag(4) flag(2)))" },
		{ "OR (SEEN DRAFT) ANSWERED", "and(or(and(flag(4) flag(2)) flag(0)))" },
		{ "1:3,5 UID 7:* $ UID $", "and(seq(2) uid(1) seq($) uid($))" },
		{ "*", "and(seq(1))" },
		{ "FROM a TO \"b c\" SUBJECT {1}\r\nd", "and(header(From:a) header(To:b c) header(Subject:d))" },
		{ "HEADER X-Y \"\" BODY b TEXT t", "and(header(X-Y:) body(b) text(t))" },
		{ "KEYWORD $Junk UNKEYWORD k", "and(keyword($Junk) !keyword(k))" },
		{ "BEFORE 1-Jan-1970 ON \"2-Jan-1970\" SINCE 3-Jan-1970", "and(before(0) on(1) since(2))" },
		{ "SENTBEFORE 1-Jan-1970 SENTON 2-Jan-1970 SENTSINCE 01-Jan-1970",
		 "and(sentbefore(0) senton(1) sentsince(0))" },
		{ "SAVEDBEFORE 1-Jan-1970 SAVEDON 1-Jan-1970 SAVEDSINCE 1-Jan-1970 SAVEDATESUPPORTED",
		  "and(savedbefore(0) savedon(0) savedsince(0) and())" },
		{ "UIDAFTER 5 NOT UIDBEFORE 4294967295", "and(uid-after(5) !uid-before(4294967295))" },
		{ "LARGER 0 SMALLER 5 OLDER 1 YOUNGER 4294967295", "and(larger(0) smaller(5) older(1) younger(4294967295))" },
		{ "MODSEQ 620162338 MODSEQ \"/flags/\\\\draft\" all 0", "and(modseq(620162338) modseq(0))" },
		{ "EMAILID M1 THREADID T2", "and(emailid(M1) threadid(T2))" },
		{ "CHARSET UTF-8 ALL", "and(and())" },
		{ "FILTER boss", "and(and(or(smaller(5000) header(From:boss))))" },
		{ "NOT FILTER two SEEN", "and(!and(flag(4) flag(2)) flag(4))" },
		{ "OR FILTER nested FILTER wide DRAFT", "and(or(and(!and(or(smaller(5000) header(From:boss))))"
		                                        " and(and(flag(4) flag(4)) and(flag(4) flag(4)))) flag(2))" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 24);
		assert_string_equal(parsed(arena, cases[i][0]), cases[i][1]);
	}
}

static void bad_keys(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "", "bad 0 " },
		{ "ALL ", "bad 4 " },
		{ " ALL", "bad 0 " },
		{ "ALLX", "bad 0 " },
		{ "()", "bad 1 " },
		{ "(ALL", "bad 4 " },
		{ "ALL)", "bad 3 " },
		{ "OR SEEN", "bad 7 " },
		{ "OR SEEN )", "bad 8 " },
		{ "(OR SEEN) SEEN", "bad 8 " },
		{ "NOT", "bad 3 " },
		{ "0", "bad 0 " },
		{ "1:", "bad 2 " },
		{ "UID", "bad 3 " },
		{ "KEYWORD \\Seen", "bad 8 " },
		{ "BEFORE 31-Foo-2000", "bad 10 " },
		{ "LARGER -1", "bad 7 " },
		{ "OLDER 0", "bad 6 " },
		{ "UIDAFTER 0", "bad 9 " },
		{ "UIDBEFORE *", "bad 10 " },
		{ "HEADER From", "bad 11 " },
		{ "MODSEQ \"/flagz/x\" all 1", "bad 17 " },
		{ "MODSEQ \"/flags/x\" none 1", "bad 18 " },
		{ "CHARSET", "bad 7 " },
		{ "CHARSET UTF-8", "bad 13 " },
		{ "FILTER nowhere", "bad 14 nowhere" },
		{ "FILTER a/b", "bad 10 " },
		{ "SEEN FILTER half DRAFT", "bad 10 half" },
		{ "FILTER empty", "bad 0 empty" },
		{ "FILTER loop", "bad 11 loop" },
		{ "FILTER bad", "bad 0 bad" },
		{ "FILTER open", "bad 5 open" },
		{ "FILTER close", "bad 4 close" },
		{ "FILTER lost", "bad 14 nowhere" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 24);
		assert_string_equal(parsed(arena, cases[i][0]), cases[i][1]);
	}
}

static const char *repeated(struct arena *arena, const char *part, size_t times, const char *middle, const char *end)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 24);
	for (size_t i = 0; i < times; i++)
		buf_add_str(&text, str_of(part));
	buf_add_str(&text, str_of(middle));
	for (size_t i = 0; i < times; i++)
		buf_add_str(&text, str_of(end));
	return parsed(arena, arena_copy(arena, buf_str(&text)).data);
}

static void nesting_is_bounded(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 26);
	assert_string_equal(repeated(arena, "NOT ", 100000, "SEEN", ""), "and(flag(4))");
	assert_string_equal(repeated(arena, "NOT ", 100001, "SEEN", ""), "and(!flag(4))");
	assert_memory_equal(repeated(arena, "(", 100000, "SEEN", ")"), "bad limit", 9);
	assert_memory_equal(repeated(arena, "NOT OR ", 100000, "SEEN", " SEEN"), "bad limit", 9);
	assert_memory_equal(repeated(arena, "OR ", 100000, "SEEN", " SEEN"), "bad limit", 9);
	assert_memory_equal(repeated(arena, "(", LIMIT_IMAP_SEARCH_DEPTH_MAX - 1, "SEEN", ")"), "and(and(", 8);
	assert_memory_equal(repeated(arena, "(", LIMIT_IMAP_SEARCH_DEPTH_MAX, "SEEN", ")"), "bad limit", 9);
	assert_memory_equal(repeated(arena, "OR ", LIMIT_IMAP_SEARCH_KEYS_MAX - 3, "SEEN", " SEEN"), "and(or(flag(4) ", 15);
	assert_memory_equal(repeated(arena, "OR ", LIMIT_IMAP_SEARCH_KEYS_MAX - 2, "SEEN", " SEEN"), "bad limit", 9);
}

static void what_is_used(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool numbers, modseq, filters;
	} cases[] = {
		{ "1 SEEN", true, false, false },  { "UID 1", false, false, false },     { "$", false, false, false },
		{ "MODSEQ 1", false, true, false }, { "FILTER boss", false, false, true }, { "(NOT 3:*)", true, false, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
		struct imap_parser p;
		struct imap_search_program program;
		imap_parser_init(&p, arena, str_of(cases[i].text), false);
		imap_parse_search(&p, &filters, &program);
		assert_true(imap_parse_end(&p));
		assert_int_equal(program.uses_numbers, cases[i].numbers);
		assert_int_equal(program.uses_modseq, cases[i].modseq);
		assert_int_equal(program.uses_filters, cases[i].filters);
	}
}

static void return_options(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
		unsigned options;
	} cases[] = {
		{ "ALL", true, 0 },
		{ "RETURN () ALL", true, IMAP_RETURN_ALL },
		{ "RETURN (MIN MAX COUNT) ALL", true, IMAP_RETURN_MIN | IMAP_RETURN_MAX | IMAP_RETURN_COUNT },
		{ "return (save) ALL", true, IMAP_RETURN_SAVE },
		{ "RETURN (UPDATE CONTEXT) ALL", true, IMAP_RETURN_UPDATE | IMAP_RETURN_CONTEXT },
		{ "RETURN (UPDATE (UID FLAGS) ALL) ALL", true, IMAP_RETURN_UPDATE | IMAP_RETURN_ALL },
		{ "RETURN (PARTIAL 1:500) ALL", true, IMAP_RETURN_PARTIAL },
		{ "RETURN (PARTIAL -1:-100 COUNT) ALL", true, IMAP_RETURN_PARTIAL | IMAP_RETURN_COUNT },
		{ "RETURN (PARTIAL 1:500 ALL) ALL", false, 0 },
		{ "RETURN (ALL PARTIAL 1:500) ALL", false, 0 },
		{ "RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL", false, 0 },
		{ "RETURN (PARTIAL 0:5) ALL", false, 0 },
		{ "RETURN (PARTIAL -1:5) ALL", false, 0 },
		{ "RETURN (PARTIAL 1:*) ALL", false, 0 },
		{ "RETURN (FOO) ALL", false, 0 },
		{ "RETURN ALL", false, 0 },
		{ "RETURN (ALL)", false, 0 },
		{ "RETURN (UPDATE(UID FLAGS) ALL) ALL", true, IMAP_RETURN_UPDATE | IMAP_RETURN_ALL },
		{ "RETURN (UPDATE (FOO)) ALL", false, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
		struct imap_parser p;
		struct imap_search_return options;
		imap_parser_init(&p, arena, str_of(cases[i].text), false);
		imap_parse_search_return(&p, &options);
		bool good = imap_parse_word(&p, "ALL") && imap_parse_end(&p);
		assert_int_equal(good, cases[i].good);
		if (!good)
			continue;
		assert_int_equal(options.options, cases[i].options);
		assert_int_equal(options.given, cases[i].options != 0);
	}
}

static void sort_and_thread(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
	struct imap_parser p;
	struct imap_sort_criteria criteria;
	imap_parser_init(&p, arena, STR("(REVERSE DATE subject REVERSE DATE date DISPLAYFROM)"), false);
	imap_parse_sort_criteria(&p, &criteria);
	assert_true(imap_parse_end(&p));
	assert_int_equal(criteria.count, 3);
	assert_true(criteria.list[0].key == IMAP_SORT_DATE && criteria.list[0].reverse);
	assert_true(criteria.list[1].key == IMAP_SORT_SUBJECT && !criteria.list[1].reverse);
	assert_true(criteria.list[2].key == IMAP_SORT_DISPLAYFROM);
	static const char *const bad[] = { "()", "(REVERSE)", "(REVERSE REVERSE DATE)", "(FOO)", "DATE", "(DATE" };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		imap_parser_init(&p, arena, str_of(bad[i]), false);
		imap_parse_sort_criteria(&p, &criteria);
		assert_false(imap_parse_end(&p));
	}
	struct imap_search_program program;
	enum imap_thread_algorithm algorithm;
	imap_parser_init(&p, arena, STR("refs utf-8 ALL"), false);
	imap_parse_thread_algorithm(&p, &algorithm);
	imap_parse_space(&p);
	imap_parse_sort_search(&p, NULL, &program);
	assert_true(imap_parse_end(&p) && algorithm == IMAP_THREAD_REFS && str_equal(program.charset, STR("utf-8")));
	imap_parser_init(&p, arena, STR("FANCY"), false);
	imap_parse_thread_algorithm(&p, &algorithm);
	assert_true(p.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),           cmocka_unit_test(bad_keys),     cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(what_is_used),   cmocka_unit_test(return_options), cmocka_unit_test(sort_and_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

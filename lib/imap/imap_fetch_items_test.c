#include "imap_fetch_items.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ARENA = 64 << 20 };

/* Labels of the items with what their names do not say: "!" sets \Seen, "~" lazy, "+n" octets of a partial. */
static void describe(const struct imap_fetch_items *items, struct buf *out)
{
	for (size_t i = 0; i < items->count; i++) {
		const struct imap_fetch_item *item = &items->list[i];
		if (i)
			buf_add_char(out, ' ');
		buf_add_str(out, item->label);
		if (item->sets_seen)
			buf_add_char(out, '!');
		if (item->lazy)
			buf_add_char(out, '~');
		if (item->is_partial)
			buf_printf(out, "+%llu", (unsigned long long)item->length);
	}
}

static void good_items(void **state)
{
	static const struct {
		const char *text, *labels;
	} cases[] = {
		{ "ALL", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE" },
		{ "fast", "FLAGS INTERNALDATE RFC822.SIZE" },
		{ "FULL", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY" },
		{ "FLAGS", "FLAGS" },
		{ "(UID FLAGS)", "UID FLAGS" },
		{ "(flags body[header.fields (subject)])", "FLAGS BODY[HEADER.FIELDS (subject)]!" },
		{ "(body[text])", "BODY[TEXT]!" },
		{ "BODY", "BODY" },
		{ "BODYSTRUCTURE", "BODYSTRUCTURE" },
		{ "BODY[]", "BODY[]!" },
		{ "BODY.PEEK[]<0.2048>", "BODY[]<0>+2048" },
		{ "BODY[1.2.HEADER]<100.1>", "BODY[1.2.HEADER]<100>!+1" },
		{ "BODY.PEEK[4.2.2.1]", "BODY[4.2.2.1]" },
		{ "BODY.PEEK[3.MIME]", "BODY[3.MIME]" },
		{ "BODY.PEEK[3.TEXT]", "BODY[3.TEXT]" },
		{ "BODY.PEEK[HEADER.FIELDS.NOT (A \"b c\" D)]", "BODY[HEADER.FIELDS.NOT (A \"b c\" D)]" },
		{ "BODY.PEEK[2.header.fields (TO)]<0.5>", "BODY[2.HEADER.FIELDS (TO)]<0>+5" },
		{ "BODY.PEEK[HEADER.FIELDS ({3}\r\nX-Y)]", "BODY[HEADER.FIELDS (X-Y)]" },
		{ "RFC822", "RFC822!" },
		{ "(RFC822.HEADER RFC822.TEXT RFC822.SIZE)", "RFC822.HEADER RFC822.TEXT! RFC822.SIZE" },
		{ "BINARY[1]", "BINARY[1]!" },
		{ "BINARY.PEEK[1.2]<7.9>", "BINARY[1.2]<7>+9" },
		{ "BINARY.SIZE[1]", "BINARY.SIZE[1]" },
		{ "BINARY[]", "BINARY[]!" },
		{ "BINARY[TEXT]", "BINARY[TEXT]!" },
		{ "BINARY.SIZE[2.header.fields (to)]", "BINARY.SIZE[2.HEADER.FIELDS (to)]" },
		{ "(MODSEQ EMAILID THREADID SAVEDATE)", "MODSEQ EMAILID THREADID SAVEDATE" },
		{ "PREVIEW", "PREVIEW" },
		{ "(PREVIEW (LAZY) UID)", "PREVIEW~ UID" },
		{ "(UID PREVIEW)", "UID PREVIEW" },
		{ "PREVIEW (lazy)", "PREVIEW~" },
		{ "BODY[]<9223372036854775807.9223372036854775807>", "BODY[]<9223372036854775807>!+9223372036854775807" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		CLEANUP(buf_release) struct buf labels = BUF_WITH_LIMIT(1000);
		struct imap_parser p;
		struct imap_fetch_items items;
		imap_parser_init(&p, arena, str_of(cases[i].text), false);
		imap_parse_fetch_items(&p, &items);
		assert_true(imap_parse_end(&p));
		describe(&items, &labels);
		assert_string_equal(buf_text(&labels), cases[i].labels);
	}
}

static void bad_items(void **state)
{
	static const char *const cases[] = {
		"", "()", "(ALL)", "(FLAGS ALL)", "ALL FLAGS", "FLAGS UID", "(FLAGS  UID)", "( FLAGS)", "(FLAGS", "FLAG", "FLAGSX",
		"BODY[", "BODY[1", "BODY[0]", "BODY[1.]", "BODY[.1]", "BODY[1..2]", "BODY[MIME]", "BODY[HEADER", "BODY[HEADERS]",
		"BODY[HEADER.FIELDS]", "BODY[HEADER.FIELDS ()]", "BODY[HEADER.FIELDS(A)]", "BODY[TEXT.1]", "BODY[1.HEADER.1]",
		"BODY[]<0>", "BODY[]<0.0>", "BODY[]<-1.5>", "BODY[]<1.5", "BODY[]<1,5>", "BODY[]<9223372036854775808.1>", "BODY.PEEK",
		"BODY.PEEK[4294967296]", "BODY []", "BINARY", "BINARY[MIME]", "BINARY[1.]", "BODY[1]<2>", "BINARY.SIZE[1]<0.5>",
		"RFC822.PEEK", "RFC822.SIZES", "PREVIEW (LAZY", "PREVIEW (EAGER)", "(PREVIEW (LAZY LAZY))", "BODY[HEADER.FIELDS (A\r\nB)]",
		"BODYSTRUCTURE[1]", "(BODY[] BODY[)", "MODSEQ 5",
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		struct imap_parser p;
		struct imap_fetch_items items;
		imap_parser_init(&p, arena, str_of(cases[i]), false);
		imap_parse_fetch_items(&p, &items);
		assert_false(imap_parse_end(&p));
		assert_non_null(p.expected);
		assert_false(p.too_much);
	}
}

static void parsed_facts(void **state)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_parser p;
	struct imap_fetch_items items;
	(void)state;
	imap_parser_init(&p, arena, STR("(UID BODY.PEEK[3.1.HEADER.FIELDS.NOT (a b)] BODY[2]<5.6>)"), false);
	imap_parse_fetch_items(&p, &items);
	assert_true(imap_parse_end(&p));
	assert_int_equal(items.count, 3);
	assert_int_equal(items.kinds, 1u << IMAP_FETCH_UID | 1u << IMAP_FETCH_SECTION);
	assert_true(items.sets_seen);
	const struct imap_section *section = &items.list[1].section;
	assert_int_equal(section->depth, 2);
	assert_int_equal(section->numbers[0], 3);
	assert_int_equal(section->numbers[1], 1);
	assert_int_equal(section->text, IMAP_SECTION_FIELDS_NOT);
	assert_int_equal(section->field_count, 2);
	assert_true(str_equal(section->fields[1], STR("b")));
	assert_int_equal(items.list[2].offset, 5);
	assert_int_equal(items.list[2].length, 6);
}

/* Both edges of a limit. */
static void repeated(const char *begin, const char *element, size_t count, const char *end, bool fits)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	struct imap_parser p;
	struct imap_fetch_items items;
	buf_add_str(&text, str_of(begin));
	for (size_t i = 0; i < count; i++)
		buf_add_str(&text, str_of(element + (i == 0)));
	buf_add_str(&text, str_of(end));
	imap_parser_init(&p, arena, buf_str(&text), false);
	imap_parse_fetch_items(&p, &items);
	assert_int_equal(imap_parse_end(&p), fits);
	assert_int_equal(p.too_much, !fits);
}

static void limits(void **state)
{
	(void)state;
	repeated("(", " BODY[]", LIMIT_IMAP_FETCH_ITEMS_MAX, ")", true);
	repeated("(", " BODY[]", LIMIT_IMAP_FETCH_ITEMS_MAX + 1, ")", false);
	repeated("BODY[HEADER.FIELDS (", " To", LIMIT_IMAP_FETCH_FIELDS_MAX, ")]", true);
	repeated("BODY[HEADER.FIELDS (", " To", LIMIT_IMAP_FETCH_FIELDS_MAX + 1, ")]", false);
	repeated("BODY[", ".7", LIMIT_IMAP_SECTION_DEPTH_MAX, "]", true);
	repeated("BODY[", ".7", LIMIT_IMAP_SECTION_DEPTH_MAX + 1, "]", false);
}

static void modifiers(void **state)
{
	static const struct {
		const char *text;
		bool uid, good;
		struct imap_fetch_modifiers want;
	} cases[] = {
		{ "", false, true, {} },
		{ " (CHANGEDSINCE 12345)", false, true, { .has_changed_since = true, .changed_since = 12345 } },
		{ " (changedsince 0)", false, true, { .has_changed_since = true } },
		{ " (CHANGEDSINCE 9223372036854775807)", false, true, { .has_changed_since = true, .changed_since = INT64_MAX } },
		{ " (CHANGEDSINCE 9223372036854775808)", false, false, {} },
		{ " (CHANGEDSINCE 5 VANISHED)", true, true, { .has_changed_since = true, .changed_since = 5, .vanished = true } },
		{ " (VANISHED CHANGEDSINCE 5)", true, true, { .has_changed_since = true, .changed_since = 5, .vanished = true } },
		{ " (CHANGEDSINCE 5 VANISHED)", false, false, {} },
		{ " (VANISHED)", true, false, {} },
		{ " (PARTIAL 1:5)", true, true, { .partial = { true, false, 1, 5 } } },
		{ " (PARTIAL 5:1)", true, true, { .partial = { true, false, 1, 5 } } },
		{ " (PARTIAL -30:-1 CHANGEDSINCE 9)", true, true, { .has_changed_since = true, .changed_since = 9, .partial = { true, true, 1, 30 } } },
		{ " (PARTIAL 1:5)", false, false, {} },
		{ " (PARTIAL 1:-5)", true, false, {} },
		{ " (PARTIAL 0:5)", true, false, {} },
		{ " (PARTIAL 1:*)", true, false, {} },
		{ " (PARTIAL 1:5 PARTIAL 1:5)", true, false, {} },
		{ " (CHANGEDSINCE 1 CHANGEDSINCE 1)", false, false, {} },
		{ " ()", true, false, {} },
		{ " CHANGEDSINCE 5", true, false, {} },
		{ " (X)", true, false, {} },
		{ " ", true, false, {} },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		struct imap_fetch_modifiers got;
		struct imap_parser p;
		imap_parser_init(&p, arena, str_of(cases[i].text), false);
		imap_parse_fetch_modifiers(&p, cases[i].uid, &got);
		assert_int_equal(imap_parse_end(&p), cases[i].good);
		if (!cases[i].good)
			continue;
		assert_int_equal(got.has_changed_since, cases[i].want.has_changed_since);
		assert_int_equal(got.changed_since, cases[i].want.changed_since);
		assert_int_equal(got.vanished, cases[i].want.vanished);
		assert_int_equal(got.partial.given, cases[i].want.partial.given);
		assert_int_equal(got.partial.from_end, cases[i].want.partial.from_end);
		assert_int_equal(got.partial.first, cases[i].want.partial.first);
		assert_int_equal(got.partial.last, cases[i].want.partial.last);
	}
}

/* PREVIEW outside parentheses is followed by its own modifier or by those of FETCH. */
static void preview_and_modifiers(void **state)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_fetch_items items;
	struct imap_fetch_modifiers m;
	struct imap_parser p;
	(void)state;
	imap_parser_init(&p, arena, STR("PREVIEW (CHANGEDSINCE 5)"), false);
	imap_parse_fetch_items(&p, &items);
	imap_parse_fetch_modifiers(&p, false, &m);
	assert_true(imap_parse_end(&p));
	assert_false(items.list[0].lazy);
	assert_int_equal(m.changed_since, 5);
	imap_parser_init(&p, arena, STR("PREVIEW (LAZY) (CHANGEDSINCE 6)"), false);
	imap_parse_fetch_items(&p, &items);
	imap_parse_fetch_modifiers(&p, false, &m);
	assert_true(imap_parse_end(&p));
	assert_true(items.list[0].lazy);
	assert_int_equal(m.changed_since, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_items), cmocka_unit_test(bad_items), cmocka_unit_test(parsed_facts),
		cmocka_unit_test(limits), cmocka_unit_test(modifiers), cmocka_unit_test(preview_and_modifiers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "imap_entry.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ARENA = 16 << 20 };

static bool get(struct arena *arena, struct str text, struct imap_getmetadata *command)
{
	struct imap_parser p;
	imap_parser_init(&p, arena, text, false);
	imap_parse_getmetadata(&p, command);
	return imap_parse_end(&p);
}

static bool set(struct arena *arena, struct str text, struct imap_setmetadata *command)
{
	struct imap_parser p;
	imap_parser_init(&p, arena, text, false);
	imap_parse_setmetadata(&p, command);
	return imap_parse_end(&p);
}

static void getmetadata(void **state)
{
	(void)state;
	static const struct {
		const char *text, *mailbox, *entries;
		enum imap_entry_depth depth;
		int64_t max; /* -1: none */
	} cases[] = {
		{ " \"\" /shared/comment", "", " /shared/comment", IMAP_DEPTH_0, -1 },
		{ " INBOX (/shared/a /private/b)", "INBOX", " /shared/a /private/b", IMAP_DEPTH_0, -1 },
		{ " inbox /Shared/A /private/b", "INBOX", " /shared/a /private/b", IMAP_DEPTH_0, -1 },
		{ " (MAXSIZE 1024) x /shared/a", "x", " /shared/a", IMAP_DEPTH_0, 1024 },
		{ " x (MAXSIZE 0) (/shared/a)", "x", " /shared/a", IMAP_DEPTH_0, 0 },
		{ " x (DEPTH 1) /private", "x", " /private", IMAP_DEPTH_1, -1 },
		{ " (depth infinity maxsize 5) \"\" \"/private\"", "", " /private", IMAP_DEPTH_INFINITY, 5 },
		{ " (DEPTH 0) {3}\r\na b /shared/x", "a b", " /shared/x", IMAP_DEPTH_0, -1 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		CLEANUP(buf_release) struct buf entries = BUF_WITH_LIMIT(1000);
		struct imap_getmetadata command;
		assert_true(get(arena, str_of(cases[i].text), &command));
		assert_true(str_equal(command.mailbox, str_of(cases[i].mailbox)));
		for (size_t k = 0; k < command.entry_count; k++)
			buf_printf(&entries, " %.*s", STR_ARG(command.entries[k]));
		assert_string_equal(buf_text(&entries), cases[i].entries);
		assert_int_equal(command.depth, cases[i].depth);
		assert_int_equal(command.has_max ? (int64_t)command.max_size : -1, cases[i].max);
	}
}

static void entry_names_are_checked(void **state)
{
	(void)state;
	static const struct {
		const char *entry;
		bool good;
	} cases[] = {
		{ "/private", true },   { "/shared/a/b/c", true }, { "/private/vendor/x/y", true }, { "/shared/]", true },
		{ "private/a", false }, { "/privatea", false },    { "/other/a", false },           { "/private/", false },
		{ "/private//a", false }, { "\"/private/a*\"", false }, { "\"/private/a%\"", false }, { "\"/private/a b\"", false },
		{ "\"/private/\xc3\xa4\"", false }, { "\"\"", false }, { "/", false }, { "\"/private/\x1f\"", false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		struct imap_getmetadata command;
		assert_int_equal(get(arena, arena_printf(arena, " x %s", cases[i].entry), &command), cases[i].good);
	}
}

static void entry_names_have_limits(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(10000);
	struct imap_getmetadata command;
	buf_add_str(&text, STR(" x /private/"));
	while (text.length < LIMIT_IMAP_ENTRY_NAME_MAX + 3)
		buf_add_char(&text, 'a');
	assert_true(get(arena, buf_str(&text), &command));
	buf_add_char(&text, 'a');
	assert_false(get(arena, buf_str(&text), &command));
	buf_clear(&text);
	buf_add_str(&text, STR(" x /private"));
	for (int i = 1; i < LIMIT_IMAP_ENTRY_DEPTH_MAX; i++)
		buf_add_str(&text, STR("/a"));
	assert_true(get(arena, buf_str(&text), &command));
	buf_add_str(&text, STR("/a"));
	assert_false(get(arena, buf_str(&text), &command));
	buf_clear(&text);
	buf_add_str(&text, STR(" x"));
	for (int i = 0; i < LIMIT_IMAP_ENTRIES_MAX; i++)
		buf_add_str(&text, STR(" /shared/a"));
	assert_true(get(arena, buf_str(&text), &command));
	buf_add_str(&text, STR(" /shared/a"));
	assert_false(get(arena, buf_str(&text), &command));
}

static void bad_getmetadata(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"", " x", " x ", " x ()", " (FOO 1) x /shared/a", " (MAXSIZE) x /shared/a", " (MAXSIZE 4294967296) x /shared/a",
		" (DEPTH 2) x /shared/a", " x (DEPTH) /shared/a", " x (/shared/a", " x /shared/a)", " x (DEPTH 1)",
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		struct imap_getmetadata command;
		assert_false(get(arena, str_of(cases[i]), &command));
	}
}

static void setmetadata(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_setmetadata command;
	assert_true(set(arena, STR(" INBOX (/private/a \"x\" /Shared/B NIL /shared/c ~{3}\r\na\0b /shared/d \"\" /shared/e {2}\r\nhi)"), &command));
	assert_true(str_equal(command.mailbox, STR("INBOX")));
	assert_int_equal(command.count, 5);
	assert_true(str_equal(command.values[0].value, STR("x")));
	assert_true(str_equal(command.values[1].entry, STR("/shared/b")));
	assert_null(command.values[1].value.data);
	assert_true(str_equal(command.values[2].value, STR("a\0b")));
	assert_non_null(command.values[3].value.data);
	assert_int_equal(command.values[3].value.length, 0);
	assert_true(str_equal(command.values[4].value, STR("hi")));
}

static void bad_setmetadata(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"", " INBOX", " INBOX ()", " INBOX (/private/a)", " INBOX (/private/a x)", " INBOX /private/a \"x\"", " INBOX (/private \"x\")",
		" INBOX (/private/vendor \"x\")", " INBOX (/shared/vendor/x \"x\")", " INBOX (/private/a \"x\" )", " INBOX (/private/a \"x\"",
		" INBOX (/private/a \"x\") y", " INBOX (/private/a {5}\r\nx)", " INBOX (/private/a {1}\r\n",
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		struct imap_setmetadata command;
		assert_false(set(arena, str_of(cases[i]), &command));
	}
}

static void depth_says_what_is_below(void **state)
{
	(void)state;
	static const struct {
		const char *asked, *entry;
		bool at_0, at_1, at_infinity;
	} cases[] = {
		{ "/a", "/a", true, true, true },       { "/a", "/a/b", false, true, true },
		{ "/a", "/a/b/c", false, false, true }, { "/a", "/ab", false, false, false },
		{ "/a/b", "/a", false, false, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str asked = str_of(cases[i].asked), entry = str_of(cases[i].entry);
		assert_int_equal(imap_entry_matches(asked, IMAP_DEPTH_0, entry), cases[i].at_0);
		assert_int_equal(imap_entry_matches(asked, IMAP_DEPTH_1, entry), cases[i].at_1);
		assert_int_equal(imap_entry_matches(asked, IMAP_DEPTH_INFINITY, entry), cases[i].at_infinity);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(getmetadata),     cmocka_unit_test(entry_names_are_checked), cmocka_unit_test(entry_names_have_limits),
		cmocka_unit_test(bad_getmetadata), cmocka_unit_test(setmetadata),             cmocka_unit_test(bad_setmetadata),
		cmocka_unit_test(depth_says_what_is_below),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

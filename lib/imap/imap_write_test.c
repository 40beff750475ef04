#include "imap_write.h"

#include "imap_parse.h"
#include "limits.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef void write_function(struct buf *out, struct str s, bool utf8);

static void strings(void **state)
{
	(void)state;
	static const struct {
		write_function *write;
		struct str s;
		bool utf8;
		struct str expected;
	} cases[] = {
		{ imap_write_string, STR("abc"), false, STR("\"abc\"") },
		{ imap_write_string, STR(""), false, STR("\"\"") },
		{ imap_write_string, STR("a\"b\\c"), false, STR("\"a\\\"b\\\\c\"") },
		{ imap_write_string, STR("a\r\n* BYE"), false, STR("{8}\r\na\r\n* BYE") },
		{ imap_write_string, STR("a\0b"), false, STR("{3}\r\na\x80" "b") },
		{ imap_write_string, STR("a\tb"), false, STR("{3}\r\na\tb") },
		{ imap_write_string, STR("ž"), false, STR("{2}\r\nž") },
		{ imap_write_string, STR("ž"), true, STR("\"ž\"") },
		{ imap_write_string, STR("\xff"), true, STR("{1}\r\n\xff") },
		{ imap_write_nstring, { NULL, 0 }, false, STR("NIL") },
		{ imap_write_nstring, STR(""), false, STR("\"\"") },
		{ imap_write_nstring, STR("NIL"), false, STR("\"NIL\"") },
		{ imap_write_astring, STR("abc]"), false, STR("abc]") },
		{ imap_write_astring, STR("a b"), false, STR("\"a b\"") },
		{ imap_write_astring, STR("nil"), false, STR("\"nil\"") },
		{ imap_write_astring, STR("a*%"), false, STR("\"a*%\"") },
		{ imap_write_astring, STR("(a)"), false, STR("\"(a)\"") },
		{ imap_write_astring, STR("a{"), false, STR("\"a{\"") },
		{ imap_write_astring, STR(""), false, STR("\"\"") },
		{ imap_write_mailbox, STR("INBOX"), false, STR("INBOX") },
		{ imap_write_mailbox, STR("Entwürfe"), false, STR("Entw&APw-rfe") },
		{ imap_write_mailbox, STR("Entwürfe"), true, STR("\"Entwürfe\"") },
		{ imap_write_mailbox, STR("R&D"), false, STR("R&-D") },
		{ imap_write_mailbox, STR("R&D"), true, STR("R&D") },
		{ imap_write_mailbox, STR("a ž"), false, STR("\"a &AX4-\"") },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf out = BUF_WITH_LIMIT(1000);
		cases[i].write(&out, cases[i].s, cases[i].utf8);
		assert_int_equal(out.length, cases[i].expected.length);
		assert_memory_equal(out.data, cases[i].expected.data, out.length);
		buf_release(&out);
	}
}

/* Whatever it is made of, the parser takes it back as one element. */
static void strings_come_back(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
	for (unsigned i = 0; i < 1 << 16; i++) {
		struct buf out = BUF_WITH_LIMIT(100);
		char bytes[2] = { (char)(i >> 8), (char)i }, expected[2] = { bytes[0] ? bytes[0] : (char)0x80, bytes[1] ? bytes[1] : (char)0x80 };
		struct imap_parser p;
		imap_write_astring(&out, str_from(bytes, 2), i & 1);
		imap_parser_init(&p, arena, buf_str(&out), false);
		struct str got = imap_parse_astring(&p);
		assert_true(imap_parse_end(&p));
		assert_int_equal(got.length, 2);
		assert_memory_equal(got.data, expected, 2);
		buf_release(&out);
		arena_reset(arena);
	}
}

static void a_full_buffer_takes_nothing_by_halves(void **state)
{
	(void)state;
	struct buf out = BUF_WITH_LIMIT(5);
	imap_write_string(&out, STR("abcdef"), false);
	assert_true(out.overflowed);
	assert_int_equal(out.length, 0);
	buf_release(&out);
}

static void mutf7(void **state)
{
	(void)state;
	static const struct {
		const char *utf8, *encoded;
	} cases[] = {
		{ "", "" },
		{ "INBOX", "INBOX" },
		{ "&", "&-" },
		{ "&&a", "&-&-a" },
		{ "~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-" },
		{ "Entwürfe", "Entw&APw-rfe" },
		{ "ž&ž", "&AX4-&-&AX4-" },
		{ "😀", "&2D3eAA-" },
		{ "a😀😀b", "a&2D3eANg93gA-b" },
		{ "\t", "&AAk-" },
		{ "\x7f", "&AH8-" },
		{ "☺!", "&Jjo-!" },
	};
	struct buf out = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buf_clear(&out);
		imap_mutf7_encode(&out, str_of(cases[i].utf8));
		assert_string_equal(buf_text(&out), cases[i].encoded);
		buf_clear(&out);
		assert_true(imap_mutf7_decode(&out, str_of(cases[i].encoded)));
		assert_string_equal(buf_text(&out), cases[i].utf8);
	}
	buf_release(&out);
}

static void mutf7_has_one_form_only(void **state)
{
	(void)state;
	static const struct str cases[] = {
		STR("&"),          STR("a&"),    STR("&AX4"),  STR("&AX4=-"), STR("&AX5-"),  STR("&AX4A-"),
		STR("&AX4-&AX4-"), STR("&AGE-"), STR("&ACY-"), STR("&2D0-"),  STR("&3gA-"),  STR("&3gDYPQ-"),
		STR("&2D3YPd4A-"), STR("&A-"),   STR("&AA-"),  STR("&AAA-"),  STR("&Jjo!-"), STR("&Jjo/-"),
		STR("&&-"),        STR("ž"),     STR("\t"),    STR("a\0b"),   STR("&\0-"),   STR("&U,BTFw-&ZeVnLIqe-"),
	};
	struct buf out = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buf_clear(&out);
		if (imap_mutf7_decode(&out, cases[i]))
			fail_msg("%.*s was taken", STR_ARG(cases[i]));
	}
	buf_release(&out);
}

static void patterns(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *name;
		bool matches;
	} cases[] = {
		{ "*", "INBOX", true },
		{ "*", "", true },
		{ "", "", true },
		{ "", "a", false },
		{ "%", "a", true },
		{ "%", "a/b", false },
		{ "*", "a/b/c", true },
		{ "%/%", "a/b", true },
		{ "%/%", "a/b/c", false },
		{ "%/*", "a/b/c", true },
		{ "*/c", "a/b/c", true },
		{ "%/c", "a/b/c", false },
		{ "a*b", "ab", true },
		{ "a*b", "a/x/b", true },
		{ "a%b", "axxb", true },
		{ "a%b", "a/b", false },
		{ "%a%b", "cacab", true },
		{ "%a%b", "a/ab", false },
		{ "*a%b", "a/ab", true },
		{ "*%", "a/b", true },
		{ "%*", "a/b", true },
		{ "%%", "a/b", false },
		{ "**", "a/b", true },
		{ "inbox", "INBOX", true },
		{ "iNb%", "INBOX", false },
		{ "INB%", "INBOX", true },
		{ "*x", "INBOX", false },
		{ "*X", "INBOX", true },
		{ "inbox*", "INBOX", true },
		{ "iNbOx%", "INBOX", true },
		{ "inbox/%", "INBOX/a", true },
		{ "inbox/A", "INBOX/a", false },
		{ "inboxes", "INBOXES", false },
		{ "work", "Work", false },
		{ "W%", "Work", true },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (imap_list_matches(str_of(cases[i].pattern), str_of(cases[i].name), '/') != cases[i].matches)
			fail_msg("%s, %s", cases[i].pattern, cases[i].name);
}

static void the_worst_pattern_is_matched_too(void **state)
{
	(void)state;
	static char pattern[LIMIT_IMAP_PATTERN_MAX], name[LIMIT_MAILBOX_NAME_MAX];
	for (size_t i = 0; i < sizeof pattern; i++)
		pattern[i] = i % 2 ? '*' : i % 8 ? '%' : 'a';
	memset(name, 'a', sizeof name);
	assert_true(imap_list_matches(str_from(pattern, sizeof pattern), str_from(name, sizeof name), '/'));
	pattern[sizeof pattern - 1] = 'b';
	assert_false(imap_list_matches(str_from(pattern, sizeof pattern), str_from(name, sizeof name), '/'));
}

static void dates(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		const char *text;
		int zone;
	} cases[] = {
		{ 837596665, "\"17-Jul-1996 09:44:25 +0000\"" },
		{ 837596665, "\"17-Jul-1996 02:44:25 -0700\"", -420 },
		{ 837596665, "\"17-Jul-1996 15:14:25 +0530\"", 330 },
		{ 837596665, "\"17-Jul-1996 09:44:25 +0000\"", 6000 },
		{ 0, "\" 1-Jan-1970 00:00:00 +0000\"" },
		{ -1, "\"31-Dec-1969 23:59:59 +0000\"" },
		{ 1709251199, "\"29-Feb-2024 23:59:59 +0000\"" },
		{ INT64_MAX, "\"31-Dec-9999 23:59:59 +0000\"", 60 },
		{ INT64_MIN, "\" 1-Jan-0000 00:00:00 +0000\"" },
	};
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf out = BUF_WITH_LIMIT(100);
		struct imap_parser p;
		imap_write_date_time(&out, cases[i].seconds, cases[i].zone);
		assert_string_equal(buf_text(&out), cases[i].text);
		imap_parser_init(&p, arena, buf_str(&out), false);
		int zone;
		int64_t again = imap_parse_date_time(&p, &zone);
		assert_true(imap_parse_end(&p));
		if (cases[i].seconds > -10 && cases[i].seconds < INT32_MAX) {
			assert_int_equal(again, cases[i].seconds);
			assert_int_equal(zone, cases[i].zone % 6000);
		}
		buf_release(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings), cmocka_unit_test(strings_come_back), cmocka_unit_test(a_full_buffer_takes_nothing_by_halves),
		cmocka_unit_test(mutf7), cmocka_unit_test(mutf7_has_one_form_only), cmocka_unit_test(patterns),
		cmocka_unit_test(the_worst_pattern_is_matched_too), cmocka_unit_test(dates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "imap_sequence.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena *arena;

static int make_arena(void **state)
{
	(void)state;
	arena = arena_new(64 << 20);
	return 0;
}

static int drop_arena(void **state)
{
	(void)state;
	arena_cleanup(&arena);
	return 0;
}

static struct imap_parser parser_of(struct str text, bool utf8)
{
	struct imap_parser p;
	imap_parser_init(&p, arena, text, utf8);
	return p;
}

typedef struct str parse_function(struct imap_parser *p);

struct string_case {
	parse_function *parse;
	struct str text;
	const char *expected; /* NULL: a misfit */
	size_t rest;          /* octets that must be left */
};

static void check_string(const struct string_case *c, bool utf8)
{
	struct imap_parser p = parser_of(c->text, utf8);
	struct str got = c->parse(&p);
	if (!c->expected) {
		assert_true(p.failed);
		assert_non_null(p.expected);
		assert_int_equal(got.length, 0);
		return;
	}
	if (p.failed)
		fail_msg("%.*s: expected %s at %zu", STR_ARG(c->text), p.expected, p.failed_at);
	if (!str_equal(got, str_of(c->expected)))
		fail_msg("%.*s gave %.*s", STR_ARG(c->text), STR_ARG(got));
	assert_int_equal(c->text.length - p.at, c->rest);
}

static void strings(void **state)
{
	(void)state;
	static const struct string_case cases[] = {
		{ imap_parse_atom, STR("abc"), "abc", 0 },
		{ imap_parse_atom, STR("abc)"), "abc", 1 },
		{ imap_parse_atom, STR("a]"), "a", 1 },
		{ imap_parse_atom, STR(""), NULL, 0 },
		{ imap_parse_atom, STR(" a"), NULL, 0 },
		{ imap_parse_atom, STR("\xc3\xa9"), NULL, 0 },
		{ imap_parse_tag, STR("a001 NOOP"), "a001", 5 },
		{ imap_parse_tag, STR("]x"), "]x", 0 },
		{ imap_parse_tag, STR("a+b"), NULL, 0 },
		{ imap_parse_tag, STR("+"), NULL, 0 },
		{ imap_parse_tag, STR("*"), NULL, 0 },
		{ imap_parse_astring, STR("a]b c"), "a]b", 2 },
		{ imap_parse_astring, STR("\"a b\""), "a b", 0 },
		{ imap_parse_astring, STR("\"\""), "", 0 },
		{ imap_parse_astring, STR("\"a\\\"b\\\\c\" x"), "a\"b\\c", 2 },
		{ imap_parse_astring, STR("\"a\\b\""), NULL, 0 },
		{ imap_parse_astring, STR("\"a"), NULL, 0 },
		{ imap_parse_astring, STR("\"a\\"), NULL, 0 },
		{ imap_parse_astring, STR("\"a\0b\""), NULL, 0 },
		{ imap_parse_astring, STR("\"a\rb\""), NULL, 0 },
		{ imap_parse_astring, STR("\"\xc5\xbe\""), "ž", 0 },
		{ imap_parse_astring, STR("\"\xc0\xaf\""), NULL, 0 },
		{ imap_parse_astring, STR("\"\xed\xa0\x80\""), NULL, 0 },
		{ imap_parse_astring, STR("\"\xf8\x88\x80\x80\x80\""), NULL, 0 },
		{ imap_parse_astring, STR("{3}\r\na b c"), "a b", 2 },
		{ imap_parse_astring, STR("{3+}\r\na\"b"), "a\"b", 0 },
		{ imap_parse_astring, STR("{0}\r\n"), "", 0 },
		{ imap_parse_astring, STR("{2}\r\n\xff\xfe"), "\xff\xfe", 0 },
		{ imap_parse_astring, STR("{3}\r\nab"), NULL, 0 },
		{ imap_parse_astring, STR("{3}\nabc"), NULL, 0 },
		{ imap_parse_astring, STR("{-1}\r\n"), NULL, 0 },
		{ imap_parse_astring, STR("{}\r\n"), NULL, 0 },
		{ imap_parse_astring, STR("{99999999999999999999}\r\nabc"), NULL, 0 },
		{ imap_parse_astring, STR("{9223372036854775807}\r\nabc"), NULL, 0 },
		{ imap_parse_astring, STR("{3}\r\na\0b"), NULL, 0 },
		{ imap_parse_astring, STR("("), NULL, 0 },
		{ imap_parse_string, STR("abc"), NULL, 0 },
		{ imap_parse_string, STR("\"abc\""), "abc", 0 },
		{ imap_parse_nstring, STR("\"NIL\""), "NIL", 0 },
		{ imap_parse_list_mailbox, STR("%/*] x"), "%/*]", 2 },
		{ imap_parse_list_mailbox, STR("\"a %\""), "a %", 0 },
		{ imap_parse_list_mailbox, STR(""), NULL, 0 },
		{ imap_parse_mailbox, STR("iNBoX"), "INBOX", 0 },
		{ imap_parse_mailbox, STR("inbox/Work"), "INBOX/Work", 0 },
		{ imap_parse_mailbox, STR("inboxes"), "inboxes", 0 },
		{ imap_parse_mailbox, STR("\"\""), "", 0 },
		{ imap_parse_mailbox, STR("Work/"), "Work/", 0 },
		{ imap_parse_mailbox, STR("../../etc"), "../../etc", 0 },
		{ imap_parse_mailbox, STR("{2}\r\na\n"), NULL, 0 },
		{ imap_parse_mailbox, STR("\"a\tb\""), NULL, 0 },
		{ imap_parse_mailbox, STR("{2}\r\n\xc0\xaf"), NULL, 0 },
		{ imap_parse_flag, STR("\\Seen)"), "\\Seen", 1 },
		{ imap_parse_flag, STR("$Junk"), "$Junk", 0 },
		{ imap_parse_flag, STR("\\"), NULL, 0 },
		{ imap_parse_flag, STR("\\*"), NULL, 0 },
		{ imap_parse_flag, STR("\"a\""), NULL, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		check_string(&cases[i], false);
		check_string(&cases[i], true);
	}
}

static void mailbox_names_by_mode(void **state)
{
	(void)state;
	static const struct {
		struct string_case c;
		bool utf8;
	} cases[] = {
		{ { imap_parse_mailbox, STR("Entw&APw-rfe"), "Entwürfe", 0 }, false },
		{ { imap_parse_mailbox, STR("Entw&APw-rfe"), "Entw&APw-rfe", 0 }, true },
		{ { imap_parse_mailbox, STR("\"Entwürfe\""), NULL, 0 }, false },
		{ { imap_parse_mailbox, STR("\"Entwürfe\""), "Entwürfe", 0 }, true },
		{ { imap_parse_mailbox, STR("{9}\r\nEntwürfe"), NULL, 0 }, false },
		{ { imap_parse_mailbox, STR("{9}\r\nEntwürfe"), "Entwürfe", 0 }, true },
		{ { imap_parse_mailbox, STR("a&b"), NULL, 0 }, false },
		{ { imap_parse_mailbox, STR("a&-b"), "a&b", 0 }, false },
		{ { imap_parse_mailbox, STR("&AAo-"), NULL, 0 }, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check_string(&cases[i].c, cases[i].utf8);
}

static void nil_is_nothing(void **state)
{
	(void)state;
	struct imap_parser p = parser_of(STR("nil \"\""), false);
	assert_null(imap_parse_nstring(&p).data);
	imap_parse_space(&p);
	assert_non_null(imap_parse_nstring(&p).data);
	assert_true(imap_parse_end(&p));
}

static void numbers(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		uint64_t max, number;
		bool good, good_above_zero;
	} cases[] = {
		{ STR("0"), 10, 0, true, false },
		{ STR("007"), 10, 7, true, true },
		{ STR("4294967295"), UINT32_MAX, UINT32_MAX, true, true },
		{ STR("4294967296"), UINT32_MAX, 0, false, false },
		{ STR("99999999999999999999"), INT64_MAX, 0, false, false },
		{ STR("-1"), 10, 0, false, false },
		{ STR("+1"), 10, 0, false, false },
		{ STR(""), 10, 0, false, false },
		{ STR("x"), 10, 0, false, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct imap_parser p = parser_of(cases[i].text, false), q = p;
		assert_int_equal(imap_parse_number(&p, cases[i].max), cases[i].number);
		assert_int_equal(!p.failed, cases[i].good);
		imap_parse_nz_number(&q, cases[i].max);
		assert_int_equal(!q.failed, cases[i].good_above_zero);
	}
}

static void words_end_where_atoms_end(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		const char *word;
		bool is;
	} cases[] = {
		{ STR("body[TEXT]"), "BODY", true },
		{ STR("BODYSTRUCTURE"), "BODY", false },
		{ STR("RFC822.SIZE"), "RFC822", false },
		{ STR("NIL"), "NIL", true },
		{ STR("nil)"), "NIL", true },
		{ STR("NI"), "NIL", false },
		{ STR("a{"), "a", true },
		{ STR("a]"), "a", true },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct imap_parser p = parser_of(cases[i].text, false);
		assert_int_equal(imap_parse_word(&p, cases[i].word), cases[i].is);
		assert_int_equal(p.at, cases[i].is ? strlen(cases[i].word) : 0);
	}
}

/* "(a (b c) d)" back as "a<b,c>d". */
static void read_list(struct imap_parser *p, struct buf *out)
{
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		if (out->length && out->data[out->length - 1] != '<')
			buf_add_char(out, ',');
		if (imap_parse_peek(p) != '(') {
			buf_add_str(out, imap_parse_astring(p));
			continue;
		}
		buf_add_char(out, '<');
		read_list(p, out);
		buf_add_char(out, '>');
	}
}

static void lists(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		const char *expected;
	} cases[] = {
		{ STR("()"), "" },
		{ STR("(a)"), "a" },
		{ STR("(a b)"), "a,b" },
		{ STR("(a (b c) d)"), "a,<b,c>,d" },
		{ STR("((a) ())"), "<a>,<>" },
		{ STR("({1}\r\n( b)"), "(,b" },
		{ STR("({1}\r\n(b)"), NULL },
		{ STR("((a)(b))"), NULL },
		{ STR("(a  b)"), NULL },
		{ STR("( a)"), NULL },
		{ STR("(a )"), NULL },
		{ STR("(a"), NULL },
		{ STR("("), NULL },
		{ STR("(a))"), NULL },
		{ STR(")"), NULL },
		{ STR(""), NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf out = BUF_WITH_LIMIT(100);
		struct imap_parser p = parser_of(cases[i].text, false);
		read_list(&p, &out);
		assert_int_equal(imap_parse_end(&p), cases[i].expected != NULL);
		if (cases[i].expected)
			assert_string_equal(buf_text(&out), cases[i].expected);
		buf_release(&out);
	}
}

static void a_million_parentheses_fail_by_limit(void **state)
{
	(void)state;
	struct buf text = BUF_WITH_LIMIT(1 << 20), out = BUF_WITH_LIMIT(4096);
	memset(buf_reserve(&text, 1 << 20), '(', 1 << 20);
	buf_claim(&text, 1 << 20);
	struct imap_parser p = parser_of(buf_str(&text), false);
	read_list(&p, &out);
	assert_true(p.failed && p.too_much);
	assert_int_equal(p.failed_at, LIMIT_IMAP_DEPTH_MAX);
	buf_release(&text);
	buf_release(&out);
}

static void limits_at_their_edge(void **state)
{
	(void)state;
	static const struct {
		parse_function *parse;
		size_t max;
	} cases[] = {
		{ imap_parse_tag, LIMIT_IMAP_TAG_MAX },
		{ imap_parse_mailbox, LIMIT_MAILBOX_NAME_MAX },
		{ imap_parse_list_mailbox, LIMIT_IMAP_PATTERN_MAX },
		{ imap_parse_flag, LIMIT_IMAP_FLAG_MAX },
	};
	static char letters[LIMIT_IMAP_PATTERN_MAX + 1];
	memset(letters, 'x', sizeof letters);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct imap_parser p = parser_of(str_from(letters, cases[i].max), false);
		assert_int_equal(cases[i].parse(&p).length, cases[i].max);
		assert_true(imap_parse_end(&p));
		p = parser_of(str_from(letters, cases[i].max + 1), false);
		assert_int_equal(cases[i].parse(&p).length, 0);
		assert_true(p.failed && p.too_much);
	}
}

static void the_first_misfit_stays(void **state)
{
	(void)state;
	struct imap_parser p = parser_of(STR("a (b"), false);
	imap_parse_atom(&p);
	imap_parse_space(&p);
	imap_parse_number(&p, 10);
	assert_int_equal(p.failed_at, 2);
	assert_string_equal(p.expected, "a number");
	imap_parse_char(&p, '(');
	assert_int_equal(imap_parse_atom(&p).length, 0);
	assert_int_equal(imap_parse_peek(&p), '\0');
	assert_false(imap_parse_skip(&p, '('));
	assert_false(imap_parse_end(&p));
	assert_int_equal(p.failed_at, 2);
	assert_string_equal(p.expected, "a number");
}

static void dates(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		bool good;
		int64_t days;
	} cases[] = {
		{ STR("1-Jan-1970"), true, 0 },
		{ STR("01-jan-1970"), true, 0 },
		{ STR("\"31-DEC-1969\""), true, -1 },
		{ STR("29-Feb-2024"), true, 19782 },
		{ STR("29-Feb-1900"), false, 0 },
		{ STR("29-Feb-2000"), true, 11016 },
		{ STR("1-Jan-0000"), true, -719528 },
		{ STR("31-Dec-9999"), true, 2932896 },
		{ STR("0-Jan-2000"), false, 0 },
		{ STR("31-Apr-2000"), false, 0 },
		{ STR("1-Foo-2000"), false, 0 },
		{ STR("1-Jan-70"), false, 0 },
		{ STR("1-Jan-19700"), false, 0 },
		{ STR("111-Jan-1970"), false, 0 },
		{ STR("\"1-Jan-1970"), false, 0 },
		{ STR("1-Ja"), false, 0 },
		{ STR(""), false, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct imap_parser p = parser_of(cases[i].text, false);
		int64_t days = imap_parse_date(&p);
		assert_int_equal(imap_parse_end(&p), cases[i].good);
		if (cases[i].good)
			assert_int_equal(days, cases[i].days);
	}
}

static void dates_with_times(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		bool good;
		int64_t seconds;
	} cases[] = {
		{ STR("\"17-Jul-1996 02:44:25 -0700\""), true, 837596665 },
		{ STR("\" 1-Jan-1970 00:00:00 +0000\""), true, 0 },
		{ STR("\"01-Jan-1970 01:00:00 +0100\""), true, 0 },
		{ STR("\"30-Jun-2015 23:59:60 +0000\""), true, 1435708800 },
		{ STR("\"1-Jan-1970 00:00:00 +0000\""), false, 0 },
		{ STR("\"01-Jan-1970 24:00:00 +0000\""), false, 0 },
		{ STR("\"01-Jan-1970 00:60:00 +0000\""), false, 0 },
		{ STR("\"01-Jan-1970 00:00:61 +0000\""), false, 0 },
		{ STR("\"01-Jan-1970 00:00:00 0000\""), false, 0 },
		{ STR("\"01-Jan-1970 00:00:00 +0060\""), false, 0 },
		{ STR("\"01-Jan-1970 00:00:00 +000\""), false, 0 },
		{ STR("01-Jan-1970 00:00:00 +0000"), false, 0 },
		{ STR("\"\""), false, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct imap_parser p = parser_of(cases[i].text, false);
		int zone;
		int64_t seconds = imap_parse_date_time(&p, &zone);
		assert_int_equal(imap_parse_end(&p), cases[i].good);
		if (cases[i].good)
			assert_int_equal(seconds, cases[i].seconds);
	}
}

static void message_literals(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		bool good, literal8;
		uint64_t size;
	} cases[] = {
		{ STR("{310}"), true, false, 310 },
		{ STR("~{310+}"), true, true, 310 },
		{ STR("{0}"), true, false, 0 },
		{ STR("{-1}"), false, false, 0 },
		{ STR("{310"), false, false, 0 },
		{ STR("\"text\""), false, false, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		bool literal8;
		struct imap_parser p = parser_of(cases[i].text, false);
		assert_int_equal(imap_parse_message_literal(&p, &literal8), cases[i].size);
		assert_int_equal(imap_parse_end(&p), cases[i].good);
		if (cases[i].good)
			assert_int_equal(literal8, cases[i].literal8);
	}
}

static void only_literal8_may_hold_nul(void **state)
{
	(void)state;
	bool binary;
	struct imap_parser p = parser_of(STR("~{3}\r\na\0b"), false);
	assert_int_equal(imap_parse_literal8_or_string(&p, &binary).length, 3);
	assert_true(binary && imap_parse_end(&p));
	p = parser_of(STR("{3}\r\na\0b"), false);
	assert_int_equal(imap_parse_literal8_or_string(&p, &binary).length, 0);
	assert_true(!binary && p.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings), cmocka_unit_test(mailbox_names_by_mode), cmocka_unit_test(nil_is_nothing),
		cmocka_unit_test(numbers), cmocka_unit_test(words_end_where_atoms_end), cmocka_unit_test(lists),
		cmocka_unit_test(a_million_parentheses_fail_by_limit), cmocka_unit_test(limits_at_their_edge),
		cmocka_unit_test(the_first_misfit_stays), cmocka_unit_test(dates), cmocka_unit_test(dates_with_times),
		cmocka_unit_test(message_literals),
		cmocka_unit_test(only_literal8_may_hold_nul),
	};
	return cmocka_run_group_tests(tests, make_arena, drop_arena);
}

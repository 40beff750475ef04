#include "imap_collect.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct imap_collect_limits limits = {
	.line_max = 300, .literals_max = 100, .message_max = 1000, .plus_max = 50, .discard_max = 2000,
};

/* What comes of the input, all at once or in pieces: "C(text)" for a command and so on; messages are dropped or
 * taken. */
static void collect_all(struct str input, size_t piece, bool drop, struct buf *out)
{
	struct imap_collector c;
	imap_collector_init(&c, &limits);
	bool over = false;
	while (input.length && !over) {
		struct str part = str_first(input, piece), rest = part;
		enum imap_collected what = imap_collect(&c, &rest);
		input = str_from_index(input, part.length - rest.length);
		switch (what) {
		case IMAP_MORE: assert_int_equal(rest.length, 0); break;
		case IMAP_CONTINUE: buf_add_char(out, '+'); break;
		case IMAP_COMMAND: buf_printf(out, "C(%.*s)", STR_ARG(buf_str(&c.text))); break;
		case IMAP_LINE_TOO_LONG: buf_printf(out, "L(%.*s)", STR_ARG(imap_tag_of(buf_str(&c.text)))); break;
		case IMAP_TOO_BIG: buf_printf(out, "B(%.*s)%s", STR_ARG(buf_str(&c.text)), c.refused_plus ? "+" : ""); break;
		case IMAP_TAKES_TOO_LONG:
			buf_add_char(out, 'X');
			over = true;
			break;
		case IMAP_MESSAGE:
			buf_printf(out, "M(%.*s)%u%s", STR_ARG(buf_str(&c.text)), (unsigned)c.message_size,
			           c.message_waits ? "?" : "");
			if (drop) {
				imap_collect_drop_message(&c);
				break;
			}
			input = str_from_index(input, (size_t)c.message_size);
			imap_collect_after_message(&c);
			break;
		}
	}
	imap_collector_release(&c);
}

static void check(struct str input, bool drop, const char *expected)
{
	static const size_t pieces[] = { 1, 2, 3, 5, 7, 64, SIZE_MAX };
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		struct buf out = BUF_WITH_LIMIT(100000);
		collect_all(input, pieces[i], drop, &out);
		assert_string_equal(buf_text(&out), expected);
		buf_release(&out);
	}
}

static void commands(void **state)
{
	(void)state;
	static const struct {
		struct str input;
		const char *expected;
	} cases[] = {
		{ STR("a NOOP\r\n"), "C(a NOOP)" },
		{ STR("a NOOP\n"), "C(a NOOP)" },
		{ STR("\r\n\n"), "C()C()" },
		{ STR("a NOOP\r\nb NOOP\r\nc"), "C(a NOOP)C(b NOOP)" },
		{ STR("a LOGIN {4}\r\nuser {6}\r\nsecret\r\n"), "++C(a LOGIN {4}\r\nuser {6}\r\nsecret)" },
		{ STR("a LOGIN {4+}\r\nuser {6+}\nsecret\n"), "C(a LOGIN {4+}\r\nuser {6+}\r\nsecret)" },
		{ STR("a LOGIN {0}\r\n {0+}\r\n\r\n"), "+C(a LOGIN {0}\r\n {0+}\r\n)" },
		{ STR("a LOGIN {6}\r\na\r\nb\n{ x\r\n"), "+C(a LOGIN {6}\r\na\r\nb\n{ x)" },
		{ STR("a X {-1}\r\nb NOOP\r\n"), "C(a X {-1})C(b NOOP)" },
		{ STR("a X {}\r\n"), "C(a X {})" },
		{ STR("a X {+}\r\n"), "C(a X {+})" },
		{ STR("a X 3}\r\n"), "C(a X 3})" },
		{ STR("a X {3} \r\n"), "C(a X {3} )" },
		/* by size */
		{ STR("a X {100}\r\n"), "+" },
		{ STR("a X {101}\r\nb NOOP\r\n"), "B(a X {101})C(b NOOP)" },
		{ STR("a X {4294967295}\r\nb NOOP\r\n"), "B(a X {4294967295})C(b NOOP)" },
		{ STR("a X {99999999999999999999}\r\nb NOOP\r\n"), "B(a X {99999999999999999999})C(b NOOP)" },
		{ STR("a X {60}\r\n123456789012345678901234567890123456789012345678901234567890 {41}\r\nb NOOP\r\n"),
			"+B(a X {60}\r\n123456789012345678901234567890123456789012345678901234567890 {41})C(b NOOP)" },
		{ STR("a X {51+}\r\n123456789012345678901234567890123456789012345678901 {3+}\r\nxyz\r\nb NOOP\r\n"),
			"B(a X {51+})+C(b NOOP)" },
		{ STR("a X {51+}\r\n123456789012345678901234567890123456789012345678901 {3}\r\nb NOOP\r\n"),
			"B(a X {51+})+C(b NOOP)" },
		{ STR("a X {2001+}\r\n"), "X" },
		{ STR("a X {99999999999999999999+}\r\n"), "X" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(cases[i].input, false, cases[i].expected);
}

static void messages(void **state)
{
	(void)state;
	static const struct {
		struct str input;
		bool drop;
		const char *expected;
	} cases[] = {
		{ STR("a APPEND INBOX {3}\r\nxyz\r\nb NOOP\r\n"), false, "M(a APPEND INBOX {3})3?C()C(b NOOP)" },
		{ STR("a APPEND INBOX {3+}\r\nxyz\r\n"), false, "M(a APPEND INBOX {3+})3C()" },
		{ STR("a append {5+}\r\nINBOX (\\Seen) ~{3+}\r\n\0\0\0\r\n"), false, "M(a append {5+}\r\nINBOX (\\Seen) ~{3+})3C()" },
		{ STR("a APPEND \"a {b\\\"\" {3+}\r\nxyz\r\n"), false, "M(a APPEND \"a {b\\\"\" {3+})3C()" },
		{ STR("a APPEND x {1+}\r\ny (\\Seen) {2+}\r\nzz\r\n"), false, "M(a APPEND x {1+})1M( (\\Seen) {2+})2C()" },
		{ STR("a APPEND x {1000}\r\n"), false, "M(a APPEND x {1000})1000?" },
		{ STR("a APPEND x {1001}\r\nb NOOP\r\n"), false, "B(a APPEND x {1001})C(b NOOP)" },
		{ STR("a APPEND x CATENATE (URL {3+}\r\nabc TEXT {2+}\r\nzz URL {1+}\r\ny)\r\n"), false,
			"M(a APPEND x CATENATE (URL {3+}\r\nabc TEXT {2+})2C( URL {1+}\r\ny))" },
		{ STR("a REPLACE 4 x {1+}\r\ny\r\n"), false, "M(a REPLACE 4 x {1+})1C()" },
		{ STR("a UID REPLACE * {1+}\r\nx {1+}\r\ny\r\n"), false, "M(a UID REPLACE * {1+}\r\nx {1+})1C()" },
		{ STR("a UID APPEND x {1+}\r\ny\r\n"), false, "C(a UID APPEND x {1+}\r\ny)" },
		{ STR("a CREATE x {1+}\r\ny\r\n"), false, "C(a CREATE x {1+}\r\ny)" },
		{ STR("a APPEND x {3}\r\nb NOOP\r\n"), true, "M(a APPEND x {3})3?C(b NOOP)" },
		{ STR("a APPEND x {3+}\r\nxyz {2+}\r\nzz\r\nb NOOP\r\n"), true, "M(a APPEND x {3+})3C(b NOOP)" },
		{ STR("a APPEND x {3+}\r\nxyz {2}\r\nb NOOP\r\n"), true, "M(a APPEND x {3+})3C(b NOOP)" },
		{ STR("a APPEND x {3+}\r\nxyz {2000+}\r\n"), true, "M(a APPEND x {3+})3X" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(cases[i].input, cases[i].drop, cases[i].expected);
}

static void long_lines(void **state)
{
	(void)state;
	struct buf text = BUF_WITH_LIMIT(10000);
	for (size_t length = 299; length <= 302; length++) {
		buf_clear(&text);
		buf_add_str(&text, STR("tag "));
		while (text.length < length)
			buf_add_char(&text, 'x');
		CLEANUP(buf_release) struct buf expected = BUF_WITH_LIMIT(1000);
		/* the CR counts until it is known what it is */
		if (length < 300)
			buf_printf(&expected, "C(%.*s)C(b NOOP)", STR_ARG(buf_str(&text)));
		else
			buf_add_str(&expected, STR("L(tag)C(b NOOP)"));
		buf_add_str(&text, STR("\r\nb NOOP\r\n"));
		check(buf_str(&text), false, buf_text(&expected));
	}
	buf_release(&text);
}

static void a_literal_behind_a_long_line_goes_with_it(void **state)
{
	(void)state;
	struct buf text = BUF_WITH_LIMIT(10000);
	buf_add_str(&text, STR("tag "));
	while (text.length < 400)
		buf_add_char(&text, 'x');
	buf_add_str(&text, STR(" {8+}\r\na LOGOUT {000003+}\nabc\r\nb NOOP\r\n"));
	/* its announcement may stand across the place where the line became too long */
	for (size_t cut = 0; cut < 10; cut++) {
		CLEANUP(buf_release) struct buf other = BUF_WITH_LIMIT(1000);
		buf_add_str(&other, STR("tag "));
		while (other.length < 293 + cut)
			buf_add_char(&other, 'x');
		buf_add_str(&other, STR("{00008+}\r\na LOGOUT\r\nb NOOP\r\n"));
		check(buf_str(&other), false, "L(tag)C(b NOOP)");
	}
	check(buf_str(&text), false, "L(tag)C(b NOOP)");
	buf_clear(&text);
	while (text.length < 400)
		buf_add_char(&text, '0');
	buf_add_str(&text, STR("3+}\r\nabc\r\n"));
	check(buf_str(&text), false, "X");
	buf_clear(&text);
	while (text.length < 3000)
		buf_add_char(&text, 'x');
	check(buf_str(&text), false, "X");
	buf_release(&text);
}

static void tags(void **state)
{
	(void)state;
	static char most[LIMIT_IMAP_TAG_MAX + 1];
	memset(most, 'x', sizeof most);
	struct {
		struct str text, tag;
	} cases[] = {
		{ STR("a NOOP"), STR("a") }, { STR("a1"), STR("a1") }, { STR(" a"), STR("") }, { STR(""), STR("") },
		{ STR("a\rb NOOP"), STR("") }, { STR("* OK"), STR("") }, { STR("+ OK"), STR("") }, { STR("a+ x"), STR("") },
		{ STR("\xc3\xa9 x"), STR("") }, { STR("a(b"), STR("") },
		{ str_from(most, LIMIT_IMAP_TAG_MAX), str_from(most, LIMIT_IMAP_TAG_MAX) }, { str_from(most, sizeof most), STR("") },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_true(str_equal(imap_tag_of(cases[i].text), cases[i].tag));
}

static void large_commands_do_not_keep_their_memory(void **state)
{
	(void)state;
	struct imap_collect_limits most = { .line_max = 1000, .literals_max = 1 << 20, .plus_max = 1 << 20, .discard_max = 1 << 20 };
	struct imap_collector c;
	struct buf text = BUF_WITH_LIMIT(2 << 20);
	imap_collector_init(&c, &most);
	buf_add_str(&text, STR("a X {1000000+}\r\n"));
	memset(buf_reserve(&text, 1000000), 'x', 1000000);
	buf_claim(&text, 1000000);
	buf_add_str(&text, STR("\r\n"));
	struct str input = buf_str(&text);
	assert_int_equal(imap_collect(&c, &input), IMAP_COMMAND);
	assert_int_equal(c.text.length, text.length - 2);
	input = STR("b NOOP\r\n");
	assert_int_equal(imap_collect(&c, &input), IMAP_COMMAND);
	assert_true(c.text.capacity < 1000);
	imap_collector_release(&c);
	buf_release(&text);
}

static void literals_are_counted(void **state)
{
	(void)state;
	struct imap_collect_limits most = { .line_max = 1 << 20, .literals_max = 1, .plus_max = 1, .discard_max = 1 << 20 };
	struct buf text = BUF_WITH_LIMIT(1 << 20);
	buf_add_str(&text, STR("a X "));
	for (size_t i = 0; i < LIMIT_IMAP_LITERALS_COUNT_MAX; i++)
		buf_add_str(&text, STR("{0+}\r\n"));
	buf_add_str(&text, STR("\r\n"));
	for (size_t more = 0; more < 2; more++) {
		struct imap_collector c;
		imap_collector_init(&c, &most);
		struct str input = buf_str(&text);
		assert_int_equal(imap_collect(&c, &input), more ? IMAP_TOO_BIG : IMAP_COMMAND);
		assert_int_equal(input.length, 0);
		imap_collector_release(&c);
		buf_truncate(&text, text.length - 2);
		buf_add_str(&text, STR("{0+}\r\n\r\n"));
	}
	buf_release(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands), cmocka_unit_test(messages), cmocka_unit_test(long_lines),
		cmocka_unit_test(a_literal_behind_a_long_line_goes_with_it), cmocka_unit_test(tags),
		cmocka_unit_test(large_commands_do_not_keep_their_memory), cmocka_unit_test(literals_are_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "imap_list_command.h"

#include "imap_status_items.h"
#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ARENA = 16 << 20 };

/* "x select/returns/status: pattern,pattern%": x is "e" for the extended forms, "d" where the delimiter is asked
 * for. */
static void describe(const struct imap_list_command *command, struct buf *out)
{
	buf_printf(out, "%s%s%u/%u/%u:", command->extended ? "e" : "", command->asks_delimiter ? "d" : "", command->select,
	           command->returns, command->status_items);
	for (size_t i = 0; i < command->pattern_count; i++) {
		buf_printf(out, "%s%.*s%s", i ? "," : " ", STR_ARG(command->patterns[i].text),
		           command->patterns[i].levels ? "+" : "");
	}
	for (size_t i = 0; i < command->entry_count; i++)
		buf_printf(out, " %.*s", STR_ARG(command->entries[i]));
}

static bool parse(struct arena *arena, struct str text, bool utf8, bool lsub, struct imap_list_command *command)
{
	struct imap_parser p;
	imap_parser_init(&p, arena, text, utf8);
	if (lsub)
		imap_parse_lsub_command(&p, command);
	else
		imap_parse_list_command(&p, command);
	return imap_parse_end(&p);
}

static void good_commands(void **state)
{
	(void)state;
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ " \"\" \"\"", "d0/0/0:" },
		{ " \"\" *", "0/0/0: *" },
		{ " \"\" %", "0/0/0: %+" },
		{ " foo/ %", "0/0/0: foo/%+" },
		{ " \"\" INBOX", "0/0/0: INBOX" },
		{ " \"a b\" \"c*\"", "0/0/0: a bc*" },
		{ " \"\" {3}\r\na/%", "0/0/0: a/%+" },
		{ " () \"\" \"\"", "e0/0/0:" },
		{ " \"\" (\"\" a)", "e0/0/0: a" },
		{ " \"\" (% b/%)", "e0/0/0: %+,b/%+" },
		{ " (subscribed) \"\" *", "e1/0/0: *" },
		{ " (SUBSCRIBED SUBSCRIBED REMOTE) \"\" *", "e3/0/0: *" },
		{ " (RECURSIVEMATCH SUBSCRIBED) \"\" *", "e5/0/0: *" },
		{ " (SPECIAL-USE) \"\" *", "e8/0/0: *" },
		{ " \"\" * RETURN ()", "e0/0/0: *" },
		{ " \"\" * return (children subscribed special-use)", "e0/7/0: *" },
		{ " \"\" * RETURN (STATUS (MESSAGES UNSEEN))", "e0/8/17: *" },
		{ " \"\" * RETURN (METADATA (/shared/A \"/private/b\") CHILDREN)", "e0/18/0: * /shared/a /private/b" },
		/* runs of wildcards are one */
		{ " \"\" %*%*%*", "0/0/0: *" },
		{ " \"\" %%%", "0/0/0: %+" },
		{ " \"%\" *", "0/0/0: *" },
		{ " \"\" *a%*b%%", "0/0/0: *a*b%+" },
		/* modified UTF-7; what is none matches nothing */
		{ " \"\" &AOQ-*", "0/0/0: \xc3\xa4*" },
		{ " \"\" &*", "0/0/0:" },
		{ " &- *", "0/0/0: &*" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(10000);
		struct imap_list_command command;
		assert_true(parse(arena, str_of(cases[i].text), false, false, &command));
		describe(&command, &shown);
		assert_string_equal(buf_text(&shown), cases[i].expected);
	}
}

static void bad_commands(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"", " \"\"", " \"\" ", " * ", " \"\" * ", " \"\" * (CHILDREN)", " \"\" * RETURN", " \"\" * RETURN (FOO)",
		" \"\" * RETURN (STATUS)", " \"\" * RETURN (STATUS ())", " \"\" * RETURN (STATUS (FOO))", " \"\" * RETURN (METADATA ())",
		" \"\" * RETURN (METADATA (comment))", " \"\" ()", " (FOO) \"\" *", " (RECURSIVEMATCH) \"\" *",
		" (REMOTE RECURSIVEMATCH) \"\" *", " (SUBSCRIBED \"\" *", " \"\" (a b", " \"\" \"a", " \"\" a b", " \"\" * RETURN (CHILDREN",
		" \"\" \"a\\b\"",
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		struct imap_list_command command;
		assert_false(parse(arena, str_of(cases[i]), false, false, &command));
	}
}

static void patterns_are_utf8_when_that_is_on(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_list_command command;
	assert_true(parse(arena, STR(" \"\" \"\xc3\xa4*\""), true, false, &command));
	assert_true(command.pattern_count == 1 && str_equal(command.patterns[0].text, STR("\xc3\xa4*")));
	assert_true(parse(arena, STR(" \"\" &AOQ-"), true, false, &command));
	assert_true(command.pattern_count == 1 && str_equal(command.patterns[0].text, STR("&AOQ-")));
}

static void lsub_has_one_pattern(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_list_command command;
	assert_true(parse(arena, STR(" a/ %"), false, true, &command));
	assert_true(command.pattern_count == 1 && str_equal(command.patterns[0].text, STR("a/%")) &&
	            command.patterns[0].levels);
	assert_false(parse(arena, STR(" \"\" (a b)"), false, true, &command));
	assert_false(parse(arena, STR(" \"\" * RETURN (CHILDREN)"), false, true, &command));
}

static void there_are_limits(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	struct imap_list_command command;
	buf_add_str(&text, STR(" \"\" (a"));
	for (int i = 1; i < LIMIT_IMAP_LIST_PATTERNS_MAX; i++)
		buf_add_str(&text, STR(" a"));
	size_t most = text.length;
	buf_add_char(&text, ')');
	assert_true(parse(arena, buf_str(&text), false, false, &command));
	assert_int_equal(command.pattern_count, LIMIT_IMAP_LIST_PATTERNS_MAX);
	buf_truncate(&text, most);
	buf_add_str(&text, STR(" a)"));
	assert_false(parse(arena, buf_str(&text), false, false, &command));
	/* wildcards between all octets of the longest name still fit; one octet more matches no name */
	buf_clear(&text);
	buf_add_str(&text, STR(" \"\" *"));
	for (int i = 0; i < LIMIT_MAILBOX_NAME_MAX; i++)
		buf_add_str(&text, STR("a%"));
	assert_true(parse(arena, buf_str(&text), false, false, &command));
	assert_int_equal(command.pattern_count, 1);
	buf_add_str(&text, STR("a"));
	assert_true(parse(arena, buf_str(&text), false, false, &command));
	assert_int_equal(command.pattern_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_commands),
		cmocka_unit_test(bad_commands),
		cmocka_unit_test(patterns_are_utf8_when_that_is_on),
		cmocka_unit_test(lsub_has_one_pattern),
		cmocka_unit_test(there_are_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

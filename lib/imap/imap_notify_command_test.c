#include "imap_notify_command.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ARENA = 16 << 20 };

static bool parse(struct arena *arena, struct str text, struct imap_notify_command *command)
{
	struct imap_parser p;
	imap_parser_init(&p, arena, text, false);
	imap_parse_notify(&p, command);
	return imap_parse_end(&p);
}

/* "n" none, "s" status, "b" bad event; then each group: filter:events(names)items */
static void describe(const struct imap_notify_command *command, struct buf *out)
{
	buf_printf(out, "%s%s%s", command->none ? "n" : "", command->status ? "s" : "", command->bad_event ? "b" : "");
	for (size_t i = 0; i < command->group_count; i++) {
		const struct imap_notify_group *group = &command->groups[i];
		buf_printf(out, " %d:%u", group->filter, group->events);
		for (size_t k = 0; k < group->name_count; k++)
			buf_printf(out, ",%.*s", STR_ARG(group->names[k]));
		buf_printf(out, "%.*s", STR_ARG(group->items));
	}
}

static void good_commands(void **state)
{
	(void)state;
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ " NONE", "n" },
		{ " SET (selected NONE)", " 0:0" },
		{ " set status (Selected (MessageNew MessageExpunge))", "s 0:3" },
		{ " SET (selected-delayed (messagenew (uid flags) messageexpunge flagchange))", " 1:7(uid flags)" },
		{ " SET (selected MessageNew (uid body.peek[header.fields (from to subject)]) MessageExpunge)",
		  " 0:3(uid body.peek[header.fields (from to subject)])" },
		{ " SET (inboxes (MailboxName)) (personal (SubscriptionChange))", " 2:8 3:16" },
		{ " SET (subscribed (MailboxMetadataChange ServerMetadataChange))", " 4:96" },
		{ " SET (subtree Lists (MessageNew MessageExpunge))", " 5:3,Lists" },
		{ " SET (subtree (a \"b c\") NONE) (mailboxes inbox (MailboxName))", " 5:0,a,b c 6:8,INBOX" },
		{ " SET (personal (MessageNew AnnotationChange MessageExpunge))", "b 3:3" },
		{ " SET (personal (SomethingElse))", "b 3:0" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(10000);
		struct imap_notify_command command;
		assert_true(parse(arena, str_of(cases[i].text), &command));
		describe(&command, &shown);
		assert_string_equal(buf_text(&shown), cases[i].expected);
	}
}

static void bad_commands(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"", " ", " SET", " SET ", " SET STATUS", " FOO", " NONE x", " SET selected NONE", " SET (selected)", " SET (selected ())",
		" SET (selected (MessageNew))", " SET (selected (MessageExpunge))", " SET (selected (FlagChange))",
		" SET (selected (MessageNew FlagChange))", " SET (selected (MailboxName))", " SET (selected NONE) (selected-delayed NONE)",
		" SET (selected NONE) (selected NONE)", " SET (personal (MessageNew (UID) MessageExpunge))", " SET (other NONE)",
		" SET (subtree NONE)", " SET (subtree () NONE)", " SET (mailboxes (a b NONE)", " SET (selected (MessageNew (FOO) MessageExpunge))",
		" SET (selected (MessageNew () MessageExpunge))", " SET (personal (MailboxName)", " SET (personal NONE) x",
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		struct imap_notify_command command;
		assert_false(parse(arena, str_of(cases[i]), &command));
	}
}

static void repeat(struct buf *text, const char *piece, int times)
{
	for (int i = 0; i < times; i++)
		buf_add_str(text, str_of(piece));
}

static void there_are_limits(void **state)
{
	(void)state;
	static const struct {
		const char *head, *piece, *tail;
		int most;
	} cases[] = {
		{ " SET", " (personal NONE)", "", LIMIT_IMAP_NOTIFY_GROUPS_MAX },
		{ " SET (mailboxes (x", " x", ") NONE)", LIMIT_IMAP_NOTIFY_NAMES_MAX - 1 },
		{ " SET (personal (MailboxName", " MailboxName", "))", LIMIT_IMAP_NOTIFY_EVENTS_MAX - 1 },
		{ " SET (selected (MessageExpunge MessageNew (UID", " INTERNALDATE", ")))",
		  (LIMIT_IMAP_NOTIFY_ITEMS_MAX - 5) / 13 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
		for (int more = 0; more < 2; more++) {
			CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
			struct imap_notify_command command;
			buf_clear(&text);
			buf_add_str(&text, str_of(cases[i].head));
			repeat(&text, cases[i].piece, cases[i].most + more);
			buf_add_str(&text, str_of(cases[i].tail));
			assert_int_equal(parse(arena, buf_str(&text), &command), !more);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_commands),
		cmocka_unit_test(bad_commands),
		cmocka_unit_test(there_are_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "exerciser_command.h"

#include "check.h"
#include "command.h"
#include "exerciser.h"
#include "imap_command.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The states of the table are those that the exerciser speaks of. */
static void test_states(void **state UNUSED)
{
	for (enum server_protocol p = SERVER_POP3; p < SERVER_PROTOCOL_COUNT; p++) {
		CLEANUP(exerciser_cleanup) struct exerciser *x = exerciser_new(p);
		assert_string_equal(exerciser_state(x), exerciser_commands(p)->states[0]);
	}
}

static const struct exerciser_command *find(const struct exerciser_protocol_commands *protocol, const char *verb)
{
	for (size_t i = 0; i < protocol->count; i++)
		if (strcmp(protocol->commands[i].verb, verb) == 0)
			return &protocol->commands[i];
	fail_msg("%s has no row", verb);
	return NULL;
}

/* What the RFCs say, a letter for each state in its order; in small letters: only without TLS. */
static const struct {
	enum server_protocol protocol;
	const char *letters, *verbs[20], *allowed;
} rules[] = {
	/* RFC 1939 §3 to §7, RFC 2449 §5, RFC 2595 §4, RFC 5034 §4; in the UPDATE state there is no command */
	{ SERVER_POP3, "ATUc", { "USER", "PASS", "APOP", "AUTH" }, "A" },
	{ SERVER_POP3, "ATUc", { "STLS" }, "a" },
	{ SERVER_POP3, "ATUc", { "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP" }, "T" },
	{ SERVER_POP3, "ATUc", { "CAPA", "QUIT" }, "AT" },
	/* RFC 9051 §6.1 to §6.4 */
	{ SERVER_IMAP, "NASL", { "CAPABILITY", "NOOP", "LOGOUT" }, "NAS" },
	{ SERVER_IMAP, "NASL", { "LOGIN", "AUTHENTICATE" }, "N" },
	{ SERVER_IMAP, "NASL", { "STARTTLS" }, "n" },
	{ SERVER_IMAP, "NASL", { "ENABLE" }, "A" }, /* §6.3.1: before a mailbox is selected */
	{ SERVER_IMAP, "NASL",
		{ "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "LIST", "NAMESPACE", "STATUS",
			"APPEND", "IDLE" }, "AS" },
	{ SERVER_IMAP, "NASL", { "CLOSE", "UNSELECT", "EXPUNGE", "SEARCH", "FETCH", "STORE", "COPY", "MOVE", "UID" }, "S" },
	{ SERVER_IMAP, "NASL", { "DONE" }, "" },
	/* RFC 5321 §4.1.4, RFC 3207 §4, RFC 4954 §4, RFC 3030 §2 */
	{ SERVER_SMTP, "CRMTDc", { "HELO", "EHLO", "RSET", "VRFY", "EXPN", "HELP", "NOOP", "QUIT" }, "CRMTD" },
	{ SERVER_SMTP, "CRMTDc", { "STARTTLS" }, "r" },
	{ SERVER_SMTP, "CRMTDc", { "AUTH", "MAIL" }, "R" },
	{ SERVER_SMTP, "CRMTDc", { "RCPT" }, "MT" },
	{ SERVER_SMTP, "CRMTDc", { "DATA" }, "T" },
	{ SERVER_SMTP, "CRMTDc", { "BDAT" }, "TD" }, /* in DATA: behind a chunk that was not the last */
	{ SERVER_SMTP, "CRMTDc", { "." }, "" },
};

/* Each button in each state, inside TLS and outside. */
static void test_rules(void **state UNUSED)
{
	size_t checked[SERVER_PROTOCOL_COUNT] = {};
	for (size_t r = 0; r < COUNT_OF(rules); r++)
		for (const char *const *verb = rules[r].verbs; *verb; verb++) {
			const struct exerciser_protocol_commands *protocol = exerciser_commands(rules[r].protocol);
			const struct exerciser_command *command = find(protocol, *verb);
			checked[rules[r].protocol]++;
			for (size_t s = 0; protocol->states[s]; s++) {
				char letter = rules[r].letters[s];
				bool upper = letter && strchr(rules[r].allowed, letter), lower = strchr(rules[r].allowed, letter | 0x20) && !upper;
				assert_int_equal(exerciser_command_fits(protocol, command, protocol->states[s], 0), upper || lower);
				assert_int_equal(exerciser_command_fits(protocol, command, protocol->states[s], EXERCISER_PROTECTED),
				                 upper);
			}
			assert_false(exerciser_command_fits(protocol, command, NULL, 0));
			assert_false(exerciser_command_fits(protocol, command, "unheard of", 0));
		}
	for (enum server_protocol p = SERVER_POP3; p < SERVER_PROTOCOL_COUNT; p++)
		assert_int_equal(checked[p], exerciser_commands(p)->count);
}

/* While the server waits for more of a command no other one fits, and what ends it fits only then. */
static void test_asked(void **state UNUSED)
{
	for (enum server_protocol p = SERVER_POP3; p < SERVER_PROTOCOL_COUNT; p++) {
		const struct exerciser_protocol_commands *protocol = exerciser_commands(p);
		for (size_t i = 0; i < protocol->count; i++)
			for (size_t s = 0; protocol->states[s]; s++) {
				const struct exerciser_command *command = &protocol->commands[i];
				bool ends = (strcmp(command->verb, ".") == 0 && strcmp(protocol->states[s], "DATA") == 0) ||
				            (strcmp(command->verb, "DONE") == 0 && (s == 1 || s == 2));
				assert_false(exerciser_command_fits(protocol, command, protocol->states[s], EXERCISER_ASKED));
				assert_int_equal(exerciser_command_fits(protocol, command, protocol->states[s],
				                                        EXERCISER_ASKED | EXERCISER_LINE_ENDS), ends);
			}
	}
	/* RFC 4954 §4: once is enough */
	const struct exerciser_protocol_commands *smtp = exerciser_commands(SERVER_SMTP);
	assert_false(exerciser_command_fits(smtp, find(smtp, "AUTH"), "READY", EXERCISER_LOGGED_IN));
	assert_true(exerciser_command_fits(smtp, find(smtp, "MAIL"), "READY", EXERCISER_LOGGED_IN));
}

/* The servers of this project judge by tables of their own. */
static void test_same_as_servers(void **state UNUSED)
{
	const struct exerciser_protocol_commands *pop3 = exerciser_commands(SERVER_POP3), *imap = exerciser_commands(SERVER_IMAP);
	for (size_t i = 0; i < pop3->count; i++) {
		enum pop3_verb verb;
		assert_true(pop3_command_find(str_of(pop3->commands[i].verb), &verb));
		assert_int_equal(pop3_command_info(verb)->states, pop3->commands[i].states);
	}
	for (size_t i = 0; i < imap->count; i++) {
		enum imap_verb verb;
		bool known = imap_command_find(str_of(imap->commands[i].verb), &verb);
		assert_int_equal(known,
		                 strcmp(imap->commands[i].verb, "DONE") != 0 && strcmp(imap->commands[i].verb, "UID") != 0);
		if (known && verb != IMAP_ENABLE) /* the server bears it later too */
			assert_int_equal(imap_command_info(verb)->states, imap->commands[i].states);
	}
}

static void test_line(void **state UNUSED)
{
	static const struct {
		enum server_protocol protocol;
		const char *verb, *texts[EXERCISER_ARGUMENTS_MAX], *line;
		size_t missing;
	} cases[] = {
		{ SERVER_POP3, "STAT", { "", "left over" }, "STAT", 0 },
		{ SERVER_POP3, "LIST", { "", "" }, "LIST", 0 },
		{ SERVER_POP3, "LIST", { "3", "" }, "LIST 3", 0 },
		{ SERVER_POP3, "TOP", { "3", "" }, NULL, 1 },
		{ SERVER_POP3, "PASS", { "tan \"staaf", "" }, "PASS tan \"staaf", 0 },
		{ SERVER_POP3, "AUTH", { "PLAIN", "" }, "AUTH PLAIN", 0 },
		{ SERVER_SMTP, "MAIL", { "FROM:<a@b>", "SIZE=1" }, "MAIL FROM:<a@b> SIZE=1", 0 },
		{ SERVER_SMTP, "EHLO", { "", "" }, NULL, 0 },
		{ SERVER_SMTP, ".", { "", "" }, ".", 0 },
		{ SERVER_IMAP, "NOOP", { "", "" }, "a7 NOOP", 0 },
		{ SERVER_IMAP, "DONE", { "", "" }, "DONE", 0 },
		{ SERVER_IMAP, "LOGIN", { "tim", "tanstaaf" }, "a7 LOGIN tim tanstaaf", 0 },
		{ SERVER_IMAP, "LOGIN", { "tim", "tan \"st\\aaf\"" }, "a7 LOGIN tim \"tan \\\"st\\\\aaf\\\"\"", 0 },
		{ SERVER_IMAP, "LOGIN", { "tim", "\"x\"" }, "a7 LOGIN tim \"\\\"x\\\"\"", 0 },
		{ SERVER_IMAP, "LOGIN", { "t\xc3\xa9", "{1}" }, "a7 LOGIN \"t\xc3\xa9\" \"{1}\"", 0 },
		{ SERVER_IMAP, "LOGIN", { "tim", "" }, NULL, 1 },
		{ SERVER_IMAP, "SELECT", { "Sent Items", "" }, "a7 SELECT \"Sent Items\"", 0 },
		{ SERVER_IMAP, "SELECT", { "\"Sent Items\"", "" }, "a7 SELECT \"Sent Items\"", 0 },
		{ SERVER_IMAP, "LIST", { "", "*" }, "a7 LIST \"\" *", 0 },
		{ SERVER_IMAP, "LIST", { "", "" }, NULL, 1 },
		{ SERVER_IMAP, "COPY", { "1:*", "my box" }, "a7 COPY 1:* \"my box\"", 0 },
		{ SERVER_IMAP, "FETCH", { "1:*", "(FLAGS UID)" }, "a7 FETCH 1:* (FLAGS UID)", 0 },
		{ SERVER_IMAP, "APPEND", { "inbox", "{3}" }, "a7 APPEND inbox {3}", 0 },
		{ SERVER_IMAP, "UID", { "FETCH 1:* FLAGS", "" }, "a7 UID FETCH 1:* FLAGS", 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct exerciser_protocol_commands *protocol = exerciser_commands(cases[i].protocol);
		CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(1000);
		size_t missing = 9;
		bool good = exerciser_command_line(protocol, find(protocol, cases[i].verb), 7, cases[i].texts, &line, &missing);
		assert_int_equal(good, cases[i].line != NULL);
		if (good)
			assert_string_equal(buf_text(&line), cases[i].line);
		else
			assert_int_equal(missing, cases[i].missing);
	}
}

/* What is shown of a log-in is what a replay needs to do it again. */
static void test_replay(void **state UNUSED)
{
	static const struct {
		enum server_protocol protocol;
		const char *shown, *sent;
	} cases[] = {
		{ SERVER_POP3, "PASS ***", "PASS a \"b\"" },
		{ SERVER_POP3, "STAT", "STAT" },
		{ SERVER_POP3, "**", "**" },
		{ SERVER_POP3, "*** stars", "*** stars" },
		{ SERVER_IMAP, "a1 LOGIN tim ***", "a1 LOGIN tim \"a \\\"b\\\"\"" },
		{ SERVER_IMAP, "***", "a \"b\"" },
		{ SERVER_SMTP, "AUTH PLAIN ***", "AUTH PLAIN a \"b\"" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		exerciser_fill_secret(exerciser_commands(cases[i].protocol), str_of(cases[i].shown), "a \"b\"", &out);
		assert_string_equal(buf_text(&out), cases[i].sent);
	}
}

static void test_secrets(void **state UNUSED)
{
	static const char *const secret[] = { "password", "digest", "[first answer]" }, *const open[] = { "name", "number", NULL };
	for (size_t i = 0; i < COUNT_OF(secret); i++) {
		assert_true(exerciser_argument_is_secret(secret[i]));
		assert_false(exerciser_argument_is_secret(open[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states), cmocka_unit_test(test_rules),  cmocka_unit_test(test_asked),
		cmocka_unit_test(test_same_as_servers), cmocka_unit_test(test_line), cmocka_unit_test(test_replay),
		cmocka_unit_test(test_secrets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "command.h"

#include "limits.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct pop3_situation before_login = {
	.state = POP3_AUTHORIZATION, .stls_offered = true, .clear_text_allowed = true, .user_given = true,
};
static const struct pop3_situation after_login = { .state = POP3_TRANSACTION, .tls = true };

/* The answer to a line, or "verb(argument)(argument)" for a good one. */
static const char *judge(const struct pop3_situation *situation, struct str line, struct buf *out)
{
	struct pop3_command command;
	buf_clear(out);
	if (pop3_command_check(situation, line, &command, out)) {
		assert_int_equal(out->length, 0);
		buf_add_str(out, str_of(pop3_command_info(command.verb)->keyword));
		for (unsigned i = 0; i < command.argument_count; i++)
			buf_printf(out, "(%.*s)", STR_ARG(command.arguments[i]));
		if (command.message)
			buf_printf(out, " %llu %llu", (unsigned long long)command.message, (unsigned long long)command.lines);
	}
	return buf_text(out);
}

static void commands_before_login(void **state)
{
	(void)state;
	static const struct {
		const char *line, *expected;
	} cases[] = {
		{ "CAPA", "CAPA" },
		{ "capa", "CAPA" },
		{ "STLS", "STLS" },
		{ "UTF8", "UTF8" },
		{ "LANG", "LANG" },
		{ "LANG it", "LANG(it)" },
		{ "USER mrose", "USER(mrose)" },
		{ "uSeR mrose", "USER(mrose)" },
		{ "USER žaneta@example.test", "USER(žaneta@example.test)" },
		{ "PASS secret", "PASS(secret)" },
		{ "PASS two words ", "PASS(two words )" },
		{ "PASS  led by a space", "PASS( led by a space)" },
		{ "PASS heslo žltý", "PASS(heslo žltý)" },
		{ "APOP mrose c4c9334bac560ecc979e58001b3e22fb", "APOP(mrose)(c4c9334bac560ecc979e58001b3e22fb)" },
		{ "AUTH PLAIN", "AUTH(PLAIN)" },
		{ "AUTH PLAIN AGEAYg==", "AUTH(PLAIN)(AGEAYg==)" },
		{ "QUIT", "QUIT" },
		{ "QUIT ", "QUIT" },
		{ "", "-ERR an empty line is no command\r\n" },
		{ " QUIT", "-ERR unknown command \r\n" },
		{ "XTND", "-ERR unknown command XTND\r\n" },
		{ "[AUTH]x", "-ERR unknown command [AUTH]x\r\n" },
		{ "QUITX", "-ERR unknown command QUITX\r\n" },
		{ "STAT", "-ERR STAT is only allowed after log-in: USER and PASS, APOP or AUTH come first\r\n" },
		{ "NOOP", "-ERR NOOP is only allowed after log-in: USER and PASS, APOP or AUTH come first\r\n" },
		{ "USER", "-ERR missing argument, the form is: USER name\r\n" },
		{ "USER ", "-ERR missing argument, the form is: USER name\r\n" },
		{ "USER a b", "-ERR too many arguments, the form is: USER name\r\n" },
		{ "USER  a", "-ERR arguments are separated by one space, the form is: USER name\r\n" },
		{ "PASS", "-ERR missing argument, the form is: PASS password\r\n" },
		{ "PASS ", "-ERR missing argument, the form is: PASS password\r\n" },
		{ "APOP mrose", "-ERR missing argument, the form is: APOP name digest\r\n" },
		{ "AUTH", "-ERR missing argument, the form is: AUTH mechanism [initial-response]\r\n" },
		{ "QUIT now", "-ERR too many arguments, the form is: QUIT\r\n" },
		{ "USER a\tb", "-ERR command line with a control character or broken UTF-8\r\n" },
		{ "PASS \xff", "-ERR command line with a control character or broken UTF-8\r\n" },
		{ "PASS a\rb", "-ERR command line with a control character or broken UTF-8\r\n" },
	};
	struct buf out = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(judge(&before_login, str_of(cases[i].line), &out), cases[i].expected);
	assert_string_equal(judge(&before_login, STR("USER a\0b"), &out),
		"-ERR command line with a control character or broken UTF-8\r\n");
	buf_release(&out);
}

static void commands_after_login(void **state)
{
	(void)state;
	static const struct {
		const char *line, *expected;
	} cases[] = {
		{ "STAT", "STAT" },
		{ "LIST", "LIST" },
		{ "LIST 3", "LIST(3) 3 0" },
		{ "UIDL", "UIDL" },
		{ "UIDL 1", "UIDL(1) 1 0" },
		{ "RETR 2", "RETR(2) 2 0" },
		{ "retr 007", "RETR(007) 7 0" },
		{ "DELE 18446744073709551615", "DELE(18446744073709551615) 18446744073709551615 0" },
		{ "DELE 18446744073709551616", "DELE(18446744073709551616) 18446744073709551615 0" },
		{ "TOP 1 4294967295", "TOP(1)(4294967295) 1 4294967295" },
		{ "TOP 1 0", "TOP(1)(0) 1 0" },
		{ "TOP 1 99999999999999999999999", "TOP(1)(99999999999999999999999) 1 18446744073709551615" },
		{ "LANG *", "LANG(*)" },
		{ "CAPA", "CAPA" },
		{ "RSET", "RSET" },
		{ "NOOP", "NOOP" },
		{ "QUIT", "QUIT" },
		{ "DELE 0", "-ERR no such message, numbers begin with 1\r\n" },
		{ "DELE -1", "-ERR not a number: -1\r\n" },
		{ "DELE +1", "-ERR not a number: +1\r\n" },
		{ "DELE 1x", "-ERR not a number: 1x\r\n" },
		{ "DELE", "-ERR missing argument, the form is: DELE message\r\n" },
		{ "DELE 1 2", "-ERR too many arguments, the form is: DELE message\r\n" },
		{ "LIST 1 2", "-ERR too many arguments, the form is: LIST [message]\r\n" },
		{ "TOP 1", "-ERR missing argument, the form is: TOP message lines\r\n" },
		{ "TOP 1 -1", "-ERR not a number: -1\r\n" },
		{ "TOP 0 1", "-ERR no such message, numbers begin with 1\r\n" },
		{ "TOP 1 2 3", "-ERR too many arguments, the form is: TOP message lines\r\n" },
		{ "RETR  1", "-ERR arguments are separated by one space, the form is: RETR message\r\n" },
		{ "USER mrose", "-ERR USER is only allowed before log-in\r\n" },
		{ "STLS", "-ERR STLS is only allowed before log-in\r\n" },
		{ "UTF8", "-ERR UTF8 is only allowed before log-in\r\n" },
	};
	struct buf out = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(judge(&after_login, str_of(cases[i].line), &out), cases[i].expected);
	buf_release(&out);
}

static void tls_and_order(void **state)
{
	(void)state;
	static const struct {
		struct pop3_situation situation;
		const char *line, *expected;
	} cases[] = {
		{ { .state = POP3_AUTHORIZATION, .stls_offered = true, .tls = true }, "STLS",
			"-ERR TLS is active already\r\n" },
		{ { .state = POP3_AUTHORIZATION }, "STLS", "-ERR TLS is not offered here\r\n" },
		{ { .state = POP3_AUTHORIZATION, .stls_offered = true, .utf8 = true }, "STLS",
			"-ERR STLS must come before UTF8\r\n" },
		{ { .state = POP3_AUTHORIZATION, .stls_offered = true }, "USER a",
			"-ERR passwords in clear text are refused: use STLS first, or port 995\r\n" },
		{ { .state = POP3_AUTHORIZATION, .user_given = true }, "PASS a",
			"-ERR passwords in clear text are refused: use STLS first, or port 995\r\n" },
		{ { .state = POP3_AUTHORIZATION, .tls = true }, "USER a", "USER(a)" },
		{ { .state = POP3_AUTHORIZATION, .tls = true }, "PASS a", "-ERR PASS needs USER right before it\r\n" },
		{ { .state = POP3_AUTHORIZATION, .tls = true, .user_given = true }, "PASS a", "PASS(a)" },
		{ { .state = POP3_AUTHORIZATION }, "APOP a b", "APOP(a)(b)" },
		{ { .state = POP3_TRANSACTION, .language = POP3_SLOVAK }, "DELE x", "-ERR toto nie je číslo: x\r\n" },
		{ { .state = POP3_TRANSACTION, .language = POP3_ITALIAN }, "XYZ", "-ERR comando XYZ sconosciuto\r\n" },
	};
	struct buf out = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(judge(&cases[i].situation, str_of(cases[i].line), &out), cases[i].expected);
	buf_release(&out);
}

static void line_lengths(void **state)
{
	(void)state;
	struct buf line = BUF_WITH_LIMIT(20000), out = BUF_WITH_LIMIT(20000);
	static const struct {
		const char *start;
		size_t length_max;
	} cases[] = {
		{ "PASS ", LIMIT_POP3_LINE_MAX - 2 },
		{ "AUTH PLAIN ", LIMIT_POP3_AUTH_LINE_MAX - 2 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buf_clear(&line);
		buf_add_str(&line, str_of(cases[i].start));
		while (line.length < cases[i].length_max)
			buf_add_char(&line, 'A');
		assert_string_not_equal(judge(&before_login, buf_str(&line), &out), "");
		assert_int_equal(out.data[0], cases[i].start[0]);
		buf_add_char(&line, 'A');
		assert_true(str_starts(str_of(judge(&before_login, buf_str(&line), &out)),
			STR("-ERR command line longer than ")));
	}
	buf_clear(&out);
	pop3_command_too_long(&out, POP3_ENGLISH);
	assert_string_equal(buf_text(&out), "-ERR command line longer than 255 octets\r\n");
	buf_release(&line);
	buf_release(&out);
}

/* A multi-line answer cannot be told apart from the next one without this. */
static void listings(void **state)
{
	(void)state;
	assert_true(pop3_command_has_listing(POP3_VERB_LIST, 0));
	assert_false(pop3_command_has_listing(POP3_VERB_LIST, 1));
	assert_true(pop3_command_has_listing(POP3_VERB_LANG, 0));
	assert_false(pop3_command_has_listing(POP3_VERB_LANG, 1));
	assert_true(pop3_command_has_listing(POP3_VERB_RETR, 1));
	assert_true(pop3_command_has_listing(POP3_VERB_TOP, 2));
	assert_true(pop3_command_has_listing(POP3_VERB_CAPA, 0));
	assert_false(pop3_command_has_listing(POP3_VERB_STAT, 0));
}

static void table(void **state)
{
	(void)state;
	for (unsigned i = 0; i < POP3_VERB_COUNT; i++) {
		const struct pop3_command_info *info = pop3_command_info((enum pop3_verb)i);
		enum pop3_verb verb;
		assert_true(pop3_command_find(str_of(info->keyword), &verb));
		assert_int_equal(verb, i);
		assert_in_range(strlen(info->keyword), 3, 4); /* RFC 2449 §3 */
		assert_true(info->states && !(info->states & ~(unsigned)POP3_ANY_STATE));
		assert_true(info->arguments_min <= info->arguments_max && info->arguments_max <= 2);
		assert_true(str_starts(str_of(info->form), str_of(info->keyword)));
		assert_true(info->help[strlen(info->help) - 1] == '.');
		assert_true(str_starts(str_of(info->rfc), STR("RFC ")));
	}
}

static void masking(void **state)
{
	(void)state;
	static const struct {
		const char *line, *shown;
	} cases[] = {
		{ "PASS secret", "PASS ***" },
		{ "pass secret words", "pass ***" },
		{ "PASS", "PASS" },
		{ "APOP mrose c4c9334bac560ecc979e58001b3e22fb", "APOP mrose ***" },
		{ "APOP mrose", "APOP mrose" },
		{ "AUTH PLAIN AGEAYg==", "AUTH PLAIN ***" },
		{ "AUTH PLAIN a b", "AUTH PLAIN ***" },
		{ "AUTH PLAIN", "AUTH PLAIN" },
		{ "USER mrose", "USER mrose" },
		{ "TOP 1 10", "TOP 1 10" },
		{ "PAS secret", "PAS ***" },
		{ "", "" },
	};
	struct buf out = BUF_WITH_LIMIT(100);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buf_clear(&out);
		pop3_command_mask(&out, str_of(cases[i].line));
		assert_string_equal(buf_text(&out), cases[i].shown);
	}
	buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_before_login), cmocka_unit_test(commands_after_login),
		cmocka_unit_test(tls_and_order),         cmocka_unit_test(line_lengths),
		cmocka_unit_test(listings),              cmocka_unit_test(table),
		cmocka_unit_test(masking),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

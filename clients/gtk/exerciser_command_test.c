#include "exerciser_command.h"

#include "check.h"
#include "exerciser.h"

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

static void test_fits(void **state UNUSED)
{
	static const struct {
		enum server_protocol protocol;
		const char *verb, *state;
		bool fits;
	} cases[] = {
		{ SERVER_POP3, "USER", "AUTHORIZATION", true }, { SERVER_POP3, "USER", "TRANSACTION", false },
		{ SERVER_POP3, "DELE", "AUTHORIZATION", false }, { SERVER_POP3, "DELE", "TRANSACTION", true },
		{ SERVER_POP3, "QUIT", "UPDATE", false },       { SERVER_POP3, "QUIT", NULL, false },
		{ SERVER_IMAP, "FETCH", "AUTHENTICATED", false }, { SERVER_IMAP, "FETCH", "SELECTED", true },
		{ SERVER_IMAP, "LOGIN", "NOT AUTHENTICATED", true }, { SERVER_SMTP, "RCPT", "READY", false },
		{ SERVER_SMTP, "RCPT", "MAIL", true },          { SERVER_SMTP, "DATA", "RCPT", true },
		{ SERVER_SMTP, "DATA", "unheard of", false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct exerciser_protocol_commands *protocol = exerciser_commands(cases[i].protocol);
		assert_int_equal(exerciser_command_fits(protocol, find(protocol, cases[i].verb), cases[i].state), cases[i].fits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_states), cmocka_unit_test(test_fits) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

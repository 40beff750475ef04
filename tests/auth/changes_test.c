/* What a change of the directory or the configuration ends. */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Whatever takes an account's password away takes its sessions, tokens and remembered log-ins too. */
static void a_change_ends_what_was_begun(void **state)
{
	const char *const *const changes[] = {
		WORDS("password", "set", "bob@example.test", "new and longer"),
		WORDS("account", "disable", "bob@example.test"),
		WORDS("account", "delete", "bob@example.test"),
		WORDS("password", "hash-import", "bob@example.test",
		      "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"),
	};
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		struct scene s;
		enum auth_reason reason;
		(void)state;
		scene_open(&s, NULL);
		struct ipc_id token = submit(&s, 1);
		tell(&s.office, changes[i]);
		expect_token_ended(&s.queue, &token);
		expect_changed(&s.queue);
		expect_session_drop(&s.office, 1);
		expect_drop(&s.office, 2);
		assert_false(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "battery staple", &reason));
		assert_int_equal(reason, AUTH_REASON_CREDENTIALS);
		assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "alice", "correct horse", NULL));
		scene_close(&s);
	}
}

static void an_account_comes_back(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	tell(&s.office, WORDS("account", "disable", "bob@example.test"));
	tell(&s.office, WORDS("account", "enable", "bob@example.test"));
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "battery staple", NULL));
	tell(&s.office, WORDS("account", "delete", "bob@example.test"));
	assert_false(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "battery staple", NULL));
	tell(&s.office, WORDS("account", "undelete", "bob@example.test"));
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "battery staple", NULL));
	/* All of it is on disk. */
	ipc_channel_release(&s.porter);
	office_kill(&s.office);
	office_start(&s.office, NULL);
	office_wire_porter(&s.office, KIND_USERS, PORTER, &s.porter, NULL);
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "battery staple", NULL));
	scene_close(&s);
}

static void a_new_configuration_holds(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "battery staple", NULL));
	office_reconfigure(&s.office, WORDS("connections_per_address_max=1", "argon2_memory_kb=16"));
	assert_true(is_allowed(&s, 1, PEER));
	assert_false(is_allowed(&s, 2, PEER));
	/* The hash of other cost is still right, and made anew. */
	assert_true(log_in(&s.porter, SERVICE_POP3S, "192.0.2.2", "alice", "correct horse", NULL));
	assert_true(log_in(&s.porter, SERVICE_POP3S, "192.0.2.2", "alice", "correct horse", NULL));
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_ends_what_was_begun),
		cmocka_unit_test(an_account_comes_back),
		cmocka_unit_test(a_new_configuration_holds),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

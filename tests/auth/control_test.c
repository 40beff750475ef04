/* posthornctl's verbs, and the door for users' own passwords. */
#include "scene.h"

#include "clock.h"
#include "file.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void verbs_answer(void **state)
{
	const struct {
		const char *const *words;
		unsigned status;
		const char *key, *value; /* in the first row that has the key, or NULL */
	} cases[] = {
		{ WORDS("domain", "list"), 0, "default", "yes" },
		{ WORDS("domain", "add", "example.test"), 1 + FAIL_EXISTS, NULL, NULL },
		{ WORDS("domain", "add", "Second.Test"), 0, NULL, NULL },
		{ WORDS("domain", "set", "second.test", "catch-all", "alice@example.test", "quota-messages", "4"), 0, NULL,
		  NULL },
		{ WORDS("domain", "set", "second.test", "quota-messages", "4", "colour", "blue"), 1 + FAIL_INVALID, NULL,
		  NULL },
		{ WORDS("domain", "set", "second.test", "quota-messages"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("domain", "set", "second.test", "catch-all", "nobody@second.test"), 1 + FAIL_NOT_FOUND, NULL, NULL },
		{ WORDS("domain", "set", "second.test", "postmaster", "nobody@example.test"), 1 + FAIL_NOT_FOUND, NULL, NULL },
		{ WORDS("domain", "set", "second.test", "postmaster", "root@elsewhere.test", "catch-all", ""), 0, NULL, NULL },
		{ WORDS("domain", "remove", "second.test"), 0, NULL, NULL },
		{ WORDS("domain", "remove", "example.test"), 1 + FAIL_BUSY, NULL, NULL },
		{ WORDS("domain"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("nonsense", "add"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("account", "add", "alice@example.test"), 1 + FAIL_EXISTS, NULL, NULL },
		{ WORDS("account", "add", "dora@example.test", "password", "short"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("account", "add", "dora@example.test", "name"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("account", "add", "dora@where.test"), 1 + FAIL_NOT_FOUND, NULL, NULL },
		{ WORDS("account", "add", "dora@example.test", "name", "Dora", "quota-bytes", "77"), 0, "number", "3" },
		{ WORDS("account", "show", "dora@example.test"), 0, "quota-bytes", "77" },
		{ WORDS("account", "show", "3"), 0, "password", "no" },
		{ WORDS("account", "set", "dora@example.test", "name", "Dora D.", "quota-bytes", "default"), 0, NULL, NULL },
		{ WORDS("account", "show", "dora@example.test"), 0, "name", "Dora D." },
		{ WORDS("account", "set", "dora@example.test", "password", "long enough"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("account", "list", "example.test"), 0, "address", "alice@example.test" },
		{ WORDS("account", "list", "where.test"), 1 + FAIL_NOT_FOUND, NULL, NULL },
		{ WORDS("password", "verify", "alice@example.test", "correct horse"), 0, NULL, NULL },
		{ WORDS("password", "verify", "alice@example.test", "wrong horse"), 1 + FAIL_DENIED, NULL, NULL },
		{ WORDS("password", "verify", "dora@example.test", "wrong horse"), 1 + FAIL_NOT_FOUND, NULL, NULL },
		{ WORDS("password", "set", "dora@example.test", "short"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("password", "set", "dora@example.test", "long enough"), 0, NULL, NULL },
		{ WORDS("password", "verify", "dora@example.test", "long enough"), 0, NULL, NULL },
		{ WORDS("password", "hash-import", "dora@example.test", "$9$what"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("alias", "add", "one@example.test", "two@example.test"), 1 + FAIL_NOT_FOUND, NULL, NULL },
		{ WORDS("alias", "add", "one@example.test", "alice", "bob"), 0, NULL, NULL },
		{ WORDS("alias", "add", "two@example.test", "one"), 0, NULL, NULL },
		{ WORDS("alias", "add", "one@example.test", "two"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("alias", "list", "two@example.test"), 0, "target", "one@example.test" },
		{ WORDS("alias", "list"), 0, "alias", "one@example.test" },
		{ WORDS("alias", "remove", "two@example.test"), 0, NULL, NULL },
		{ WORDS("alias", "import", "example.test"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("sender", "add", "dora@example.test", "sales@where.test"), 0, NULL, NULL },
		{ WORDS("sender", "list", "dora@example.test"), 0, "address", "sales@where.test" },
		{ WORDS("sender", "remove", "dora@example.test", "sales@where.test"), 0, NULL, NULL },
		{ WORDS("optin", "add", "dora@example.test", "digest-md5", "long enough"), 1 + FAIL_INVALID, NULL, NULL },
		{ WORDS("optin", "add", "dora@example.test", "apop", "long enough"), 0, NULL, NULL },
		{ WORDS("account", "show", "dora@example.test"), 0, "cram-md5", "yes" },
		{ WORDS("account", "delete", "dora@example.test", "0"), 0, NULL, NULL },
		{ WORDS("account", "show", "dora@example.test"), 1 + FAIL_NOT_FOUND, NULL, NULL },
		{ WORDS("account", "show", "3"), 0, "state", "deleted" },
		{ WORDS("account", "purge", "1"), 1 + FAIL_DENIED, NULL, NULL },
		{ WORDS("account", "purge", "3"), 0, NULL, NULL },
		{ WORDS("account", "undelete", "dora@example.test"), 1 + FAIL_NOT_FOUND, NULL, NULL },
		{ WORDS("failures", "list"), 0, NULL, NULL },
	};
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 20);
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned status = ask(&s.office.control, &answer, -1, cases[i].words);
		if (status != cases[i].status)
			fail_msg("case %zu, %s %s: status %u, %s", i, cases[i].words[0], cases[i].words[1], status,
			         buf_text(&answer));
		if (cases[i].key)
			expect_text(value_of(&answer, cases[i].key), cases[i].value);
	}
	scene_close(&s);
}

static void many_accounts_share_one_hash(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 20);
	struct scene s;
	struct ipc_frame frame;
	(void)state;
	scene_open(&s, NULL);
	tell(&s.office, WORDS("account", "add-range", "user%d@example.test", "100", "password", "one for all", "optin",
	                      "apop,scram-sha-1"));
	expect(&s.porter, MSG_AUTH_OFFER, &frame);
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "user0", "one for all", NULL));
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "user99", "one for all", NULL));
	assert_false(log_in(&s.porter, SERVICE_POP3S, PEER, "user100", "one for all", NULL));
	open_connection(&s, 1, SERVICE_POP3S);
	assert_true(log_in_by(&s.porter, 1, SERVICE_POP3S, "CRAM-MD5", "user50", "one for all", STR(""), NULL));
	assert_true(log_in_by(&s.porter, 1, SERVICE_POP3S, "SCRAM-SHA-1", "user51", "one for all", STR(""), NULL));
	/* All or none: x2 exists. */
	tell(&s.office, WORDS("account", "add", "x2@example.test"));
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("account", "add-range", "x%d@example.test", "5")),
	                 1 + FAIL_EXISTS);
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("account", "show", "x0@example.test")),
	                 1 + FAIL_NOT_FOUND);
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("account", "add-range", "x%d@example.test", "0")),
	                 1 + FAIL_INVALID);
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("account", "add-range", "user%d%s@example.test", "2")),
	                 1 + FAIL_INVALID);
	scene_close(&s);
}

static void aliases_are_imported_from_a_file(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 20), targets = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	int ends[2];
	int memory = file_sealed_memory("aliases", STR("# old\nroot: alice\nnews: bob,\n alice\nbad: |/bin/sh\n"), NULL);
	(void)state;
	scene_open(&s, NULL);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(ask(&s.office.control, &answer, ends[0], WORDS("alias", "import", "example.test")),
	                 1 + FAIL_INVALID);
	close(ends[1]);
	assert_int_not_equal(ask(&s.office.control, &answer, dup(memory), WORDS("alias", "import", "example.test")), 0);
	assert_int_equal(ask(&s.office.control, &answer, memory, WORDS("alias", "import", "example.test", "skip")), 0);
	expect_text(value_of(&answer, "imported"), "2");
	assert_int_not_equal(value_of(&answer, "left-out").length, 0);
	expect_changed(&s.queue);
	assert_int_equal(resolve(&s.queue, "root@example.test", &targets), RESOLVE_OK);
	scene_close(&s);
}

static void an_app_password_logs_in_until_it_is_removed(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	struct ipc_channel local;
	(void)state;
	scene_open(&s, NULL);
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("app-password", "add", "alice@example.test", "phone")),
	                 0);
	CLEANUP(mem_free) char *password = str_copy(value_of(&answer, "password"));
	assert_true(log_in(&s.porter, SERVICE_IMAPS, PEER, "alice", password, NULL));
	assert_false(log_in(&s.porter, SERVICE_IMAPS, PEER, "bob", password, NULL));
	/* It is not the key to the account. */
	office_password(&s.office, &local);
	assert_int_equal(ask(&local, &answer, -1, WORDS("password", "alice@example.test", password, "long enough")),
	                 1 + FAIL_DENIED);
	ipc_channel_release(&local);
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("app-password", "list", "alice@example.test")), 0);
	expect_text(value_of(&answer, "name"), "phone");
	tell(&s.office, WORDS("app-password", "remove", "alice@example.test", "phone"));
	expect_drop(&s.office, 1);
	assert_false(log_in(&s.porter, SERVICE_IMAPS, PEER, "alice", password, NULL));
	scene_close(&s);
}

/* An imported hash lets its owner in and is replaced then: SCRAM works from the next log-in on. */
static void an_imported_hash_is_made_anew(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	(void)state;
	scene_open(&s, NULL);
	tell(&s.office,
	     WORDS("password", "hash-import", "bob@example.test", "{SSHA}0QFLFysT2LZ2WedYpTCZYEshcMBUYXN0eVNhbHQ="));
	expect_changed(&s.queue);
	open_connection(&s, 1, SERVICE_IMAPS);
	assert_false(log_in_by(&s.porter, 1, SERVICE_IMAPS, "SCRAM-SHA-256", "bob", "battery staple", STR(""), NULL));
	assert_true(log_in(&s.porter, SERVICE_IMAPS, PEER, "bob", "battery staple", NULL));
	/* Queue hears what the account may have, and that something changed. */
	expect(&s.queue, MSG_QUOTA, &frame);
	expect(&s.queue, MSG_DIRECTORY_CHANGED, &frame);
	assert_true(log_in_by(&s.porter, 1, SERVICE_IMAPS, "SCRAM-SHA-256", "bob", "battery staple", STR(""), NULL));
	assert_true(log_in(&s.porter, SERVICE_IMAPS, PEER, "bob", "battery staple", NULL));
	scene_close(&s);
}

static void users_change_their_own_password(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	struct ipc_channel local;
	(void)state;
	scene_open(&s, NULL);
	office_password(&s.office, &local);
	int64_t before = clock_monotonic_ms();
	assert_int_equal(ask(&local, &answer, -1, WORDS("password", "bob@example.test", "wrong", "new and longer")),
	                 1 + FAIL_DENIED);
	assert_true(clock_monotonic_ms() - before >= ANSWER_TIME_MS);
	assert_int_equal(ask(&local, &answer, -1, WORDS("password", "nobody@example.test", "wrong", "new and longer")),
	                 1 + FAIL_DENIED);
	assert_int_equal(ask(&local, &answer, -1, WORDS("password", "bob@example.test", "battery staple", "short")),
	                 1 + FAIL_INVALID);
	assert_int_equal(
		ask(&local, &answer, -1, WORDS("password", "bob@example.test", "battery staple", "new and longer")), 0);
	expect_drop(&s.office, 2);
	assert_false(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "battery staple", NULL));
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "new and longer", NULL));
	/* Guessing here ends as elsewhere. */
	for (int i = 0; i < BLOCK_AFTER; i++)
		ask(&local, &answer, -1, WORDS("password", "bob@example.test", "wrong", "new and longer"));
	assert_int_equal(ask(&local, &answer, -1, WORDS("password", "bob@example.test", "new and longer", "another one")),
	                 1 + FAIL_LIMIT);
	ipc_channel_release(&local);
	scene_close(&s);
}

/* posthornctl goes away while its password is hashed. */
static void work_goes_on_when_posthornctl_is_gone(void **state)
{
	struct scene s;
	struct msg_ctl_request request = { .words = str_from("password\0set\0bob@example.test\0new and longer", 44) };
	(void)state;
	scene_open(&s, NULL);
	msg_ctl_request_send(&s.office.control, 0, &request, -1);
	ipc_channel_release(&s.office.control);
	expect_changed(&s.queue);
	expect_drop(&s.office, 2);
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "new and longer", NULL));
	scene_close(&s);
}

static void sessions_are_listed(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	open_connection(&s, 0xabc, SERVICE_POP3S);
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("sessions")), 0);
	expect_text(buf_str(&answer), "");
	assert_true(log_in_by(&s.porter, 0xabc, SERVICE_POP3S, "PLAIN", "alice", "correct horse", STR(""), NULL));
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("sessions")), 0);
	expect_text(value_of(&answer, "session"), "0000000000000abc");
	expect_text(value_of(&answer, "account"), "alice@example.test");
	expect_text(value_of(&answer, "service"), "pop3s");
	expect_text(value_of(&answer, "peer"), PEER);
	close_connection(&s.porter, 0xabc);
	assert_true(is_allowed(&s, 1, PEER));
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("sessions")), 0);
	expect_text(buf_str(&answer), "");
	scene_close(&s);
}

static void a_session_is_dropped_by_its_number(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	struct ipc_frame frame;
	struct msg_session_drop drop;
	(void)state;
	static const char *const none[] = { "abc", "xyz", "00000000000000abcd", "-1" };
	scene_open(&s, NULL);
	open_connection(&s, 0xabc, SERVICE_POP3S);
	for (size_t i = 0; i < COUNT_OF(none); i++)
		assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("session", "drop", none[i])), 1 + FAIL_NOT_FOUND);
	assert_true(log_in_by(&s.porter, 0xabc, SERVICE_POP3S, "PLAIN", "alice", "correct horse", STR(""), NULL));
	assert_int_equal(expect(&s.office.master, MSG_SESSION_ACCOUNT, &frame), 0xabc);
	tell(&s.office, WORDS("session", "drop", "abc"));
	assert_int_equal(expect(&s.office.master, MSG_SESSION_DROP, &frame), 0xabc);
	assert_true(msg_session_drop_read(&frame, &drop));
	assert_int_equal(drop.porter, PORTER);
	tell(&s.office, WORDS("session", "drop", "0000000000000ABC"));
	assert_int_equal(expect(&s.office.master, MSG_SESSION_DROP, &frame), 0xabc);
	scene_close(&s);
}

/* Into an office that has nothing: log-ins work at once, and porters are offered what accounts have. */
static void a_directory_is_restored(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 16);
	CLEANUP(file_close) int file = memfd_create("backup", MFD_CLOEXEC);
	CLEANUP(file_close) int rubbish = memfd_create("rubbish", MFD_CLOEXEC);
	struct scene s;
	struct office empty;
	struct ipc_channel porter;
	struct msg_auth_offer offer;
	(void)state;
	scene_open(&s, NULL);
	tell(&s.office, WORDS("optin", "add", "alice@example.test", "cram-md5", "correct horse"));
	assert_int_equal(ask(&s.office.control, &answer, dup(file), WORDS("backup")), 0);
	assert_int_equal(ask(&s.office.control, &answer, dup(file), WORDS("restore")), 1 + FAIL_EXISTS);
	office_open(&empty, NULL);
	office_wire_porter(&empty, KIND_USERS, PORTER, &porter, &offer);
	assert_true(file_write_at(rubbish, "no database, but long enough to be none for sure", 48, 0, NULL));
	assert_int_not_equal(ask(&empty.control, &answer, dup(rubbish), WORDS("restore")), 0);
	assert_int_equal(ask(&empty.control, &answer, -1, WORDS("restore")), 1 + FAIL_INVALID);
	assert_int_equal(ask(&empty.control, &answer, dup(file), WORDS("restore")), 0);
	struct ipc_frame frame;
	expect(&porter, MSG_AUTH_OFFER, &frame);
	assert_true(msg_auth_offer_read(&frame, &offer));
	assert_int_not_equal(offer.mechanisms, s.offer.mechanisms);
	assert_true(log_in(&porter, SERVICE_POP3S, PEER, "alice", "correct horse", NULL));
	assert_false(log_in(&porter, SERVICE_POP3S, PEER, "alice", "wrong", NULL));
	ipc_channel_release(&porter);
	office_close(&empty);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verbs_answer),
		cmocka_unit_test(many_accounts_share_one_hash),
		cmocka_unit_test(aliases_are_imported_from_a_file),
		cmocka_unit_test(an_app_password_logs_in_until_it_is_removed),
		cmocka_unit_test(an_imported_hash_is_made_anew),
		cmocka_unit_test(users_change_their_own_password),
		cmocka_unit_test(work_goes_on_when_posthornctl_is_gone),
		cmocka_unit_test(sessions_are_listed),
		cmocka_unit_test(a_session_is_dropped_by_its_number),
		cmocka_unit_test(a_directory_is_restored),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

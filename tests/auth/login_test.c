/* Log-ins: names, failures that look alike, order, plaintext. */
#include "scene.h"

#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void master_hears_of_a_log_in_before_porter(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	struct msg_session_account named;
	struct msg_quota quota;
	(void)state;
	scene_open(&s, NULL);
	open_connection(&s, 5, SERVICE_POP3S);
	send_password(&s.porter, 5, SERVICE_POP3S, "alice@example.test", "correct horse");
	expect_ok(&s.porter, 5, &ok, &frame);
	expect_text(ok.account, "alice@example.test");
	expect_text(ok.language, "it");
	assert_true(is_zero(&ok.token));
	/* Without waiting: it was sent before. */
	assert_int_equal(ipc_receive_wait(&s.office.master, &frame, 0), IPC_FRAME);
	assert_int_equal(frame.request, 5);
	assert_true(msg_session_account_read(&frame, &named));
	assert_int_equal(named.porter, PORTER);
	assert_int_equal(named.account, 1);
	/* Queue hears what the account may have, once. */
	assert_int_equal(ipc_receive_wait(&s.queue, &frame, 0), IPC_FRAME);
	assert_true(msg_quota_read(&frame, &quota));
	assert_int_equal(quota.account, 1);
	expect_nothing(&s.queue);
	scene_close(&s);
}

static void names_are_found_in_all_their_forms(void **state)
{
	static const char *const names[] = { "alice@example.test", "alice", "ALICE@EXAMPLE.TEST", "Alice",
		                                 "alice@example.test." };
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (!log_in(&s.porter, SERVICE_IMAPS, PEER, names[i], "correct horse", NULL))
			fail_msg("%s cannot log in", names[i]);
	scene_close(&s);
}

static void failures_look_the_same(void **state)
{
	static const char *const tries[][2] = {
		{ "alice@example.test", "wrong" },         { "nobody@example.test", "correct horse" },
		{ "carol@example.test", "correct horse" }, { "alice@elsewhere.test", "correct horse" },
		{ "correct horse", "alice" },              { "alice@example.test", "" },
		{ "bob@example.test", "correct horse" },   { "", "" },
	};
	struct scene s;
	(void)state;
	scene_open(&s, WORDS("block_after_failures=0"));
	tell(&s.office, WORDS("account", "add", "carol@example.test", "password", "correct horse"));
	tell(&s.office, WORDS("account", "disable", "carol@example.test"));
	for (size_t i = 0; i < COUNT_OF(tries); i++) {
		struct ipc_frame frame;
		struct msg_auth_failed failed;
		open_connection(&s, i + 1, SERVICE_POP3S);
		int64_t before = clock_monotonic_ms();
		send_password(&s.porter, i + 1, SERVICE_POP3S, tries[i][0], tries[i][1]);
		assert_int_equal(expect(&s.porter, MSG_AUTH_FAILED, &frame), i + 1);
		assert_true(clock_monotonic_ms() - before >= ANSWER_TIME_MS);
		assert_true(msg_auth_failed_read(&frame, &failed));
		assert_int_equal(failed.reason, AUTH_REASON_CREDENTIALS);
		expect_text(failed.text, "wrong user or password");
	}
	scene_close(&s);
}

/* What was sent has been taken, and the next thing happens well behind it. */
static void let_time_pass(struct scene *s, uint64_t connection)
{
	open_connection(s, connection, SERVICE_IMAPS);
	for (int64_t now = clock_monotonic_ms(); clock_monotonic_ms() <= now + 20;)
		;
}

/* Whatever had to be done for each, the answers come in the order of the questions; a success does not wait. */
static void answers_come_in_the_order_of_the_questions(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	(void)state;
	scene_open(&s, WORDS("answer_time_ms=1000", "failure_delay_ms=0", "failure_delay_max_ms=0"));
	for (uint64_t c = 1; c <= 4; c++)
		open_connection(&s, c, SERVICE_POP3S);
	send_password(&s.porter, 1, SERVICE_POP3S, "alice@example.test", "wrong");
	let_time_pass(&s, 11);
	send_password(&s.porter, 2, SERVICE_POP3S, "nobody@example.test", "wrong");
	let_time_pass(&s, 12);
	send_password(&s.porter, 3, SERVICE_POP3S, "bob@example.test", "wrong");
	send_password(&s.porter, 4, SERVICE_POP3S, "bob@example.test", "battery staple");
	expect_ok(&s.porter, 4, &ok, &frame);
	expect_failed(&s.porter, 1, AUTH_REASON_CREDENTIALS);
	expect_failed(&s.porter, 2, AUTH_REASON_CREDENTIALS);
	expect_failed(&s.porter, 3, AUTH_REASON_CREDENTIALS);
	scene_close(&s);
}

static void a_failed_log_in_can_be_followed_by_a_good_one(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	(void)state;
	scene_open(&s, NULL);
	open_connection(&s, 9, SERVICE_IMAPS);
	send_password(&s.porter, 9, SERVICE_IMAPS, "bob@example.test", "correct horse");
	expect_failed(&s.porter, 9, AUTH_REASON_CREDENTIALS);
	send_password(&s.porter, 9, SERVICE_IMAPS, "bob@example.test", "battery staple");
	expect_ok(&s.porter, 9, &ok, &frame);
	expect_text(ok.account, "bob@example.test");
	scene_close(&s);
}

/* A password in the clear: only from this host here. */
static void plaintext_needs_permission(void **state)
{
	static const struct {
		const char *peer;
		bool allowed;
	} cases[] = { { PEER, false }, { "127.0.0.1", true }, { "::1", true }, { "2001:db8::1", false } };
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	for (uint64_t c = 1; c <= COUNT_OF(cases); c++) {
		struct ipc_frame frame;
		struct msg_connection_verdict verdict;
		struct msg_auth_ok ok;
		struct msg_auth_password login = {
			.service = SERVICE_POP3, .tls = 0, .user = STR("alice@example.test"), .password = STR("correct horse"),
		};
		struct msg_auth_start start = {
			.service = SERVICE_POP3,
			.mechanism = STR("PLAIN"),
			.has_initial = 1,
			.initial = str_from("\0bob\0battery staple", 19),
		};
		announce(&s.porter, c, SERVICE_POP3, cases[c - 1].peer, &verdict);
		msg_auth_password_send(&s.porter, c, &login, -1);
		if (cases[c - 1].allowed)
			expect_ok(&s.porter, c, &ok, &frame);
		else
			expect_failed(&s.porter, c, AUTH_REASON_MECHANISM);
		msg_auth_start_send(&s.porter, c, &start, -1);
		if (cases[c - 1].allowed)
			expect_ok(&s.porter, c, &ok, &frame);
		else
			expect_failed(&s.porter, c, AUTH_REASON_MECHANISM);
	}
	scene_close(&s);
}

static void pop3_log_ins_keep_their_distance(void **state)
{
	struct scene s;
	enum auth_reason reason;
	(void)state;
	scene_open(&s, WORDS("pop3_login_delay_seconds=3600"));
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "alice", "correct horse", NULL));
	assert_false(log_in(&s.porter, SERVICE_POP3S, PEER, "alice", "correct horse", &reason));
	assert_int_equal(reason, AUTH_REASON_LOGIN_DELAY);
	assert_true(log_in(&s.porter, SERVICE_IMAPS, PEER, "alice", "correct horse", NULL));
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "bob", "battery staple", NULL));
	scene_close(&s);
}

/* The connection is of an auth before this one, or was never announced. */
static void a_connection_that_is_not_known_is_answered(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	send_password(&s.porter, 12345, SERVICE_POP3S, "alice", "correct horse");
	expect_failed(&s.porter, 12345, AUTH_REASON_TEMPORARY);
	msg_auth_step_send(&s.porter, 12345, &(struct msg_auth_step){}, -1);
	expect_failed(&s.porter, 12345, AUTH_REASON_TEMPORARY);
	close_connection(&s.porter, 12345);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(master_hears_of_a_log_in_before_porter),
		cmocka_unit_test(names_are_found_in_all_their_forms),
		cmocka_unit_test(failures_look_the_same),
		cmocka_unit_test(answers_come_in_the_order_of_the_questions),
		cmocka_unit_test(a_failed_log_in_can_be_followed_by_a_good_one),
		cmocka_unit_test(plaintext_needs_permission),
		cmocka_unit_test(pop3_log_ins_keep_their_distance),
		cmocka_unit_test(a_connection_that_is_not_known_is_answered),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

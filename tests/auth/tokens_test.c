/* Tokens: who may submit, and for how long. */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void a_token_lives_as_long_as_its_connection(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	struct ipc_id first = submit(&s, 1), second = submit(&s, 2);
	assert_memory_not_equal(&first, &second, sizeof first);
	close_connection(&s.porter, 1);
	expect_token_ended(&s.queue, &first);
	/* A new queue hears of those that live. */
	ipc_channel_release(&s.queue);
	office_wire(&s.office, ROLE_QUEUE, KIND_WORLD, 2, &s.queue);
	struct ipc_id again = expect_token(&s.queue, 2, "bob@example.test");
	assert_memory_equal(&again, &second, sizeof second);
	/* With the porter its tokens end. */
	ipc_channel_release(&s.porter);
	expect_token_ended(&s.queue, &second);
	scene_close(&s);
}

static void a_second_log_in_replaces_the_first(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	(void)state;
	scene_open(&s, NULL);
	struct ipc_id first = submit(&s, 1);
	send_password(&s.porter, 1, SERVICE_SUBMISSIONS, "alice", "correct horse");
	expect_ok(&s.porter, 1, &ok, &frame);
	struct ipc_id second = ok.token;
	expect_token_ended(&s.queue, &first);
	struct ipc_id told = expect_token(&s.queue, 1, "alice@example.test");
	assert_memory_equal(&told, &second, sizeof told);
	scene_close(&s);
}

static void trusted_networks_get_a_token_without_account(void **state)
{
	struct scene s;
	struct ipc_channel world;
	struct msg_connection_verdict verdict;
	(void)state;
	scene_open(&s, NULL);
	office_wire_porter(&s.office, KIND_WORLD, 72, &world, NULL);
	announce(&world, 1, SERVICE_SMTP, "203.0.113.5", &verdict);
	assert_int_equal(verdict.trusted, 1);
	struct ipc_id given = verdict.token, told = expect_token(&s.queue, 0, "");
	assert_memory_equal(&given, &told, sizeof given);
	announce(&s.porter, 1, SERVICE_POP3S, "203.0.113.5", &verdict);
	assert_int_equal(verdict.trusted, 1);
	assert_true(is_zero(&verdict.token));
	close_connection(&world, 1);
	expect_token_ended(&s.queue, &given);
	ipc_channel_release(&world);
	scene_close(&s);
}

/* Ends auth as a crash does; what it told is only with queue then. */
static void start_again(struct scene *s)
{
	ipc_channel_release(&s->porter);
	ipc_channel_release(&s->queue);
	office_kill(&s->office);
	office_start(&s->office, NULL);
	office_wire_porter(&s->office, KIND_USERS, PORTER, &s->porter, NULL);
	office_wire(&s->office, ROLE_QUEUE, KIND_WORLD, 1, &s->queue);
}

static void tell_token(struct scene *s, uint64_t porter, uint64_t connection, const struct ipc_id *token)
{
	struct msg_token told = { .token = *token, .porter = porter, .account = 2, .address = STR("bob@example.test") };
	msg_token_send(&s->queue, connection, &told, -1);
}

/* Porter or queue may be the first to tell a new auth of it. */
static void a_token_of_before_goes_on(void **state)
{
	(void)state;
	for (int porter_first = 0; porter_first < 2; porter_first++) {
		struct scene s;
		scene_open(&s, NULL);
		struct ipc_id token = submit(&s, 1);
		start_again(&s);
		tell(&s.office, WORDS("account", "disable", "alice@example.test")); /* nothing to bob */
		expect_changed(&s.queue);
		expect_drop(&s.office, 1);
		if (porter_first)
			open_connection(&s, 1, SERVICE_SUBMISSIONS);
		tell_token(&s, PORTER, 1, &token);
		if (!porter_first) {
			msg_may_send_send(&s.queue, 2, &(struct msg_may_send){ .account = 2, .address = STR("x@y.test") }, -1);
			struct ipc_frame frame;
			expect(&s.queue, MSG_MAY_SEND_ANSWER, &frame);
			open_connection(&s, 1, SERVICE_SUBMISSIONS);
		}
		struct ipc_id again = expect_token(&s.queue, 2, "bob@example.test");
		assert_memory_equal(&again, &token, sizeof again);
		tell(&s.office, WORDS("account", "disable", "bob@example.test"));
		expect_token_ended(&s.queue, &token);
		expect_changed(&s.queue);
		expect_session_drop(&s.office, 1);
		expect_drop(&s.office, 2);
		scene_close(&s);
	}
}

static void a_token_whose_right_is_gone_ends(void **state)
{
	const struct {
		uint64_t porter;
		const char *const *before, *const *after; /* what is changed before auth starts again, and before queue tells */
	} cases[] = {
		{ PORTER + 1, NULL, NULL },
		{ PORTER, WORDS("account", "disable", "bob@example.test"), NULL },
		{ PORTER, WORDS("account", "delete", "bob@example.test"), NULL },
		{ PORTER, NULL, WORDS("password", "set", "bob@example.test", "new and longer") },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct scene s;
		struct ipc_frame frame;
		struct msg_session_drop drop;
		scene_open(&s, NULL);
		struct ipc_id token = submit(&s, 1);
		if (cases[i].before)
			tell(&s.office, cases[i].before);
		start_again(&s);
		open_connection(&s, 1, SERVICE_SUBMISSIONS);
		if (cases[i].after) {
			tell(&s.office, cases[i].after);
			expect_changed(&s.queue);
			expect_drop(&s.office, 2);
		}
		tell_token(&s, cases[i].porter, 1, &token);
		expect_token_ended(&s.queue, &token);
		assert_int_equal(expect(&s.office.master, MSG_SESSION_DROP, &frame), 1);
		assert_true(msg_session_drop_read(&frame, &drop));
		assert_int_equal(drop.porter, cases[i].porter);
		scene_close(&s);
	}
}

/* Its connection may be gone, and porter never tell of it. */
static void a_token_that_waits_for_porter_ends_with_its_account(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	(void)state;
	scene_open(&s, NULL);
	struct ipc_id token = submit(&s, 1);
	start_again(&s);
	tell_token(&s, PORTER, 1, &token);
	msg_may_send_send(&s.queue, 2, &(struct msg_may_send){ .account = 2, .address = STR("x@y.test") }, -1);
	expect(&s.queue, MSG_MAY_SEND_ANSWER, &frame);
	tell(&s.office, WORDS("account", "disable", "bob@example.test"));
	expect_token_ended(&s.queue, &token);
	expect_changed(&s.queue);
	expect_session_drop(&s.office, 1);
	expect_drop(&s.office, 2);
	scene_close(&s);
}

/* One that names what no porter tells of must not fill the memory. */
static void more_tokens_than_queue_can_have_end_it(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_offender offender;
	const struct ipc_id token = { .bytes = { 1 } };
	(void)state;
	scene_open(&s, NULL);
	start_again(&s);
	for (uint64_t connection = 1; connection <= LIMIT_QUEUE_TOKENS_MAX + 1; connection++)
		tell_token(&s, PORTER, connection, &token);
	expect_closed(&s.queue);
	expect(&s.office.master, MSG_OFFENDER, &frame);
	assert_true(msg_offender_read(&frame, &offender));
	assert_int_equal(offender.role, ROLE_QUEUE);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_lives_as_long_as_its_connection),
		cmocka_unit_test(a_second_log_in_replaces_the_first),
		cmocka_unit_test(trusted_networks_get_a_token_without_account),
		cmocka_unit_test(a_token_of_before_goes_on),
		cmocka_unit_test(a_token_whose_right_is_gone_ends),
		cmocka_unit_test(a_token_that_waits_for_porter_ends_with_its_account),
		cmocka_unit_test(more_tokens_than_queue_can_have_end_it),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

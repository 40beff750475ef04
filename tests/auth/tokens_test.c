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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_lives_as_long_as_its_connection),
		cmocka_unit_test(a_second_log_in_replaces_the_first),
		cmocka_unit_test(trusted_networks_get_a_token_without_account),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

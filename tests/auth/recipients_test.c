/* What queue asks: recipients, limits, senders. */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void recipients_are_resolved_and_their_limits_told_first(void **state)
{
	static const struct {
		const char *address;
		enum resolve_verdict verdict;
		const char *targets;
	} cases[] = {
		{ "alice@example.test", RESOLVE_OK, "[1 5000 7]1 alice@example.test ;" },
		{ "Alice+Shop@EXAMPLE.test", RESOLVE_OK, "1 alice@example.test Shop;" },
		{ "team@example.test", RESOLVE_OK, "[2 0 9]1 alice@example.test ;2 bob@example.test ;0 Else@where.test ;" },
		{ "nobody@example.test", RESOLVE_UNKNOWN_USER, "" },
		{ "carol@example.test", RESOLVE_DISABLED, "" },
		{ "x@where.test", RESOLVE_NOT_OURS, "" },
		{ "postmaster@example.test", RESOLVE_OK, "1 alice@example.test ;" },
		{ "postmaster", RESOLVE_OK, "1 alice@example.test ;" },
		{ "PostMaster@Mail.example.test", RESOLVE_OK, "1 alice@example.test ;" }, /* the name in the greeting */
		{ "alice@mail.example.test", RESOLVE_NOT_OURS, "" },
		{ "no address", RESOLVE_UNKNOWN_USER, "" },
		{ "", RESOLVE_UNKNOWN_USER, "" },
	};
	CLEANUP(buf_release) struct buf targets = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	(void)state;
	scene_open(&s, WORDS("quota_default_messages=9"));
	tell(&s.office, WORDS("account", "set", "alice@example.test", "quota-bytes", "5000", "quota-messages", "7"));
	tell(&s.office, WORDS("account", "add", "carol@example.test"));
	tell(&s.office, WORDS("account", "disable", "carol@example.test"));
	tell(&s.office, WORDS("alias", "add", "team@example.test", "alice", "bob@example.test", "Else@where.test"));
	for (int i = 0; i < 4; i++)
		expect_changed(&s.queue);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if (resolve(&s.queue, cases[i].address, &targets) != cases[i].verdict)
			fail_msg("%s: other verdict", cases[i].address);
		expect_text(buf_str(&targets), cases[i].targets);
	}
	scene_close(&s);
}

static void changed_limits_are_told(void **state)
{
	CLEANUP(buf_release) struct buf targets = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	struct ipc_frame frame;
	struct msg_quota quota;
	(void)state;
	scene_open(&s, NULL);
	assert_int_equal(resolve(&s.queue, "alice@example.test", &targets), RESOLVE_OK);
	tell(&s.office, WORDS("domain", "set", "example.test", "quota-bytes", "123"));
	expect_changed(&s.queue);
	expect(&s.queue, MSG_QUOTA, &frame);
	assert_true(msg_quota_read(&frame, &quota));
	assert_int_equal(quota.account, 1);
	assert_int_equal(quota.limit_bytes, 123);
	/* Bob was never asked for. */
	assert_int_equal(resolve(&s.queue, "bob@example.test", &targets), RESOLVE_OK);
	expect_text(buf_str(&targets), "[2 123 0]2 bob@example.test ;");
	/* A new queue knows nothing yet. */
	ipc_channel_release(&s.queue);
	office_wire(&s.office, ROLE_QUEUE, KIND_WORLD, 2, &s.queue);
	assert_int_equal(resolve(&s.queue, "alice@example.test", &targets), RESOLVE_OK);
	expect_text(buf_str(&targets), "[1 123 0]1 alice@example.test ;");
	scene_close(&s);
}

static void the_configured_postmaster_stands_in(void **state)
{
	CLEANUP(buf_release) struct buf targets = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	(void)state;
	scene_open(&s, WORDS("postmaster=bob@example.test"));
	assert_int_equal(resolve(&s.queue, "Postmaster", &targets), RESOLVE_OK);
	expect_text(buf_str(&targets), "[2 0 0]2 bob@example.test ;");
	assert_int_equal(resolve(&s.queue, "postmaster@example.test", &targets), RESOLVE_OK);
	expect_text(buf_str(&targets), "2 bob@example.test ;");
	assert_int_equal(resolve(&s.queue, "postmaster@mail.example.test", &targets), RESOLVE_OK);
	expect_text(buf_str(&targets), "2 bob@example.test ;");
	assert_int_equal(resolve(&s.queue, "postmaster@where.test", &targets), RESOLVE_NOT_OURS);
	tell(&s.office, WORDS("domain", "set", "example.test", "postmaster", "alice"));
	expect_changed(&s.queue);
	assert_int_equal(resolve(&s.queue, "postmaster@example.test", &targets), RESOLVE_OK);
	expect_text(buf_str(&targets), "[1 0 0]1 alice@example.test ;");
	office_reconfigure(&s.office, WORDS("postmaster=root@where.test"));
	expect_changed(&s.queue);
	assert_int_equal(resolve(&s.queue, "postmaster", &targets), RESOLVE_OK);
	expect_text(buf_str(&targets), "0 root@where.test ;");
	scene_close(&s);
}

static bool may_send(struct ipc_channel *queue, uint64_t account, const char *address)
{
	struct ipc_frame frame;
	struct msg_may_send_answer answer;
	msg_may_send_send(queue, 4, &(struct msg_may_send){ .account = account, .address = str_of(address) }, -1);
	assert_int_equal(expect(queue, MSG_MAY_SEND_ANSWER, &frame), 4);
	assert_true(msg_may_send_answer_read(&frame, &answer));
	return answer.allowed;
}

static void senders_are_the_accounts_own_addresses(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	assert_true(may_send(&s.queue, 1, "alice@example.test"));
	assert_true(may_send(&s.queue, 1, "alice+x@example.test"));
	assert_false(may_send(&s.queue, 1, "bob@example.test"));
	assert_false(may_send(&s.queue, 1, "alice@where.test"));
	assert_false(may_send(&s.queue, 0, "alice@example.test"));
	assert_false(may_send(&s.queue, UINT64_MAX, "alice@example.test"));
	tell(&s.office, WORDS("sender", "add", "alice@example.test", "@where.test"));
	expect_changed(&s.queue);
	assert_true(may_send(&s.queue, 1, "alice@where.test"));
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_are_resolved_and_their_limits_told_first),
		cmocka_unit_test(changed_limits_are_told),
		cmocka_unit_test(the_configured_postmaster_stands_in),
		cmocka_unit_test(senders_are_the_accounts_own_addresses),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

/* Delays, blocked addresses, connections per address, networks. */
#include "scene.h"

#include "clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void fail_from(struct scene *s, const char *peer, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		assert_false(log_in(&s->porter, SERVICE_POP3S, peer, "alice", "wrong", NULL));
}

static void failures_block_an_address(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	assert_true(is_allowed(&s, 1, PEER));
	fail_from(&s, PEER, BLOCK_AFTER);
	assert_false(is_allowed(&s, 2, PEER));
	/* A connection that was open before is no way around it, not even with the right password. */
	send_password(&s.porter, 1, SERVICE_POP3S, "alice", "correct horse");
	expect_failed(&s.porter, 1, AUTH_REASON_BLOCKED);
	/* Others are not harmed. */
	assert_true(log_in(&s.porter, SERVICE_POP3S, "192.0.2.2", "alice", "correct horse", NULL));
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("failures", "list")), 0);
	expect_text(value_of(&answer, "name"), PEER);
	expect_text(value_of(&answer, "blocked"), "yes");
	tell(&s.office, WORDS("failures", "clear", PEER));
	assert_true(is_allowed(&s, 3, PEER));
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("failures", "list")), 0);
	expect_text(buf_str(&answer), "");
	scene_close(&s);
}

/* By address for different names, and by name for different addresses. */
static void failures_wait_longer_and_longer(void **state)
{
	static const struct {
		const char *peer, *user;
		int64_t wait_ms;
	} cases[] = {
		{ "192.0.2.1", "alice", 0 },  { "192.0.2.1", "bob", 60 },       { "192.0.2.1", "nobody", 120 },
		{ "192.0.2.1", "none", 200 }, { "192.0.2.1", "no more", 200 },  { "192.0.2.2", "alice", 60 },
		{ "192.0.2.3", "ALICE@example.test", 120 }, { "192.0.2.4", "nobody", 60 },
	};
	struct scene s;
	(void)state;
	scene_open(&s, WORDS("failure_delay_ms=60", "failure_delay_max_ms=200", "block_after_failures=0"));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t before = clock_monotonic_ms();
		assert_false(log_in(&s.porter, SERVICE_POP3S, cases[i].peer, cases[i].user, "wrong", NULL));
		assert_true(clock_monotonic_ms() - before >= ANSWER_TIME_MS + cases[i].wait_ms);
	}
	scene_close(&s);
}

static void an_ipv6_network_counts_as_one_address(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	fail_from(&s, "2001:db8::1", BLOCK_AFTER - 1);
	fail_from(&s, "2001:db8::2:3", 1);
	assert_false(is_allowed(&s, 1, "2001:db8::99"));
	assert_true(is_allowed(&s, 2, "2001:db8:0:1::1"));
	scene_close(&s);
}

static void exempt_networks_are_never_blocked(void **state)
{
	struct scene s;
	struct msg_connection_verdict verdict;
	(void)state;
	scene_open(&s, WORDS("connections_per_address_max=1"));
	fail_from(&s, "198.51.100.7", BLOCK_AFTER + 1);
	for (uint64_t c = 1; c < 4; c++) {
		announce(&s.porter, c, SERVICE_POP3S, "198.51.100.7", &verdict);
		assert_int_equal(verdict.allowed, 1);
		assert_int_equal(verdict.exempt, 1);
	}
	scene_close(&s);
}

/* Who hangs up before the answer has failed all the same. */
static void hanging_up_does_not_undo_a_failure(void **state)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 16);
	struct scene s;
	(void)state;
	scene_open(&s, WORDS("failure_delay_ms=0"));
	for (uint64_t c = 1; c <= BLOCK_AFTER; c++) {
		open_connection(&s, c, SERVICE_POP3S);
		send_password(&s.porter, c, SERVICE_POP3S, "nobody", "wrong");
		close_connection(&s.porter, c);
	}
	/* From elsewhere: when this is answered, the ones before it have been decided. */
	assert_false(log_in(&s.porter, SERVICE_POP3S, "192.0.2.99", "bob", "wrong", NULL));
	assert_false(is_allowed(&s, 100, PEER));
	assert_int_equal(ask(&s.office.control, &answer, -1, WORDS("failures", "list")), 0);
	/* What was typed is nowhere. */
	assert_int_equal(str_find(buf_str(&answer), STR("nobody")), answer.length);
	scene_close(&s);
}

static void connections_of_an_address_are_counted_over_all_porters(void **state)
{
	struct scene s;
	struct ipc_channel other;
	struct msg_connection_verdict verdict;
	(void)state;
	scene_open(&s, WORDS("connections_per_address_max=3"));
	office_wire_porter(&s.office, KIND_WORLD, 72, &other, NULL);
	open_connection(&s, 1, SERVICE_POP3S);
	open_connection(&s, 2, SERVICE_IMAPS);
	announce(&other, 1, SERVICE_SMTP, PEER, &verdict);
	assert_int_equal(verdict.allowed, 1);
	announce(&other, 2, SERVICE_SMTP, PEER, &verdict);
	assert_int_equal(verdict.allowed, 0);
	announce(&other, 3, SERVICE_SMTP, "192.0.2.2", &verdict);
	assert_int_equal(verdict.allowed, 1);
	/* One that was refused is not counted, one that ends is not any more. */
	close_connection(&other, 2);
	close_connection(&s.porter, 1);
	assert_true(is_allowed(&s, 3, PEER));
	assert_false(is_allowed(&s, 4, PEER));
	/* With a porter its connections end. */
	ipc_channel_release(&other);
	office_wire_porter(&s.office, KIND_WORLD, 73, &other, NULL);
	tell(&s.office, WORDS("failures", "clear"));
	assert_true(is_allowed(&s, 5, PEER));
	ipc_channel_release(&other);
	scene_close(&s);
}

static void lmtp_is_for_its_networks(void **state)
{
	static const struct {
		const char *peer;
		unsigned allowed;
	} cases[] = {
		{ "local", 1 }, { "/run/lmtp.socket", 1 }, { "127.0.0.1", 0 }, { "192.0.2.1", 1 }, { "192.0.2.2", 0 }
	};
	struct scene s;
	struct ipc_channel world;
	(void)state;
	scene_open(&s, WORDS("lmtp_networks=192.0.2.1"));
	office_wire_porter(&s.office, KIND_WORLD, 72, &world, NULL);
	for (uint64_t c = 1; c <= COUNT_OF(cases); c++) {
		struct msg_connection_verdict verdict;
		announce(&world, c, SERVICE_LMTP, cases[c - 1].peer, &verdict);
		assert_int_equal(verdict.allowed, cases[c - 1].allowed);
		assert_true(is_zero(&verdict.token));
	}
	ipc_channel_release(&world);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_block_an_address),
		cmocka_unit_test(failures_wait_longer_and_longer),
		cmocka_unit_test(an_ipv6_network_counts_as_one_address),
		cmocka_unit_test(exempt_networks_are_never_blocked),
		cmocka_unit_test(hanging_up_does_not_undo_a_failure),
		cmocka_unit_test(connections_of_an_address_are_counted_over_all_porters),
		cmocka_unit_test(lmtp_is_for_its_networks),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

/* Log-ins, connections, tokens, recipients, administration: what posthorn-auth answers, seen from its peers. */
#include "fixture.h"

#include "clock.h"
#include "file.h"
#include "mem.h"
#include "text.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PEER "192.0.2.1"

/* An office with a porter of users and a queue. */
struct scene {
	struct office office;
	struct ipc_channel porter, queue;
	struct msg_auth_offer offer;
};

enum { PORTER = 71 };

static void scene_open(struct scene *s, const char *const *settings)
{
	struct ipc_frame frame;
	office_open(&s->office, settings);
	office_furnish(&s->office);
	office_wire_porter(&s->office, KIND_USERS, PORTER, &s->porter, &s->offer);
	office_wire(&s->office, ROLE_QUEUE, KIND_WORLD, 1, &s->queue);
	msg_may_send_send(&s->queue, 1, &(struct msg_may_send){ .account = 1, .address = STR("x@y.test") }, -1);
	expect(&s->queue, MSG_MAY_SEND_ANSWER, &frame);
}

static void scene_close(struct scene *s)
{
	ipc_channel_release(&s->porter);
	ipc_channel_release(&s->queue);
	office_close(&s->office);
}

/* The frame's text lives until the next one. */
static void expect_ok(struct ipc_channel *porter, uint64_t connection, struct msg_auth_ok *ok, struct ipc_frame *frame)
{
	assert_int_equal(expect(porter, MSG_AUTH_OK, frame), connection);
	assert_true(msg_auth_ok_read(frame, ok));
}

static void expect_failed(struct ipc_channel *porter, uint64_t connection, enum auth_reason reason)
{
	struct ipc_frame frame;
	struct msg_auth_failed failed;
	assert_int_equal(expect(porter, MSG_AUTH_FAILED, &frame), connection);
	assert_true(msg_auth_failed_read(&frame, &failed));
	assert_int_equal(failed.reason, reason);
}

static void expect_text(struct str text, const char *wanted)
{
	if (!str_equal(text, str_of(wanted)))
		fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(text), wanted);
}

static bool is_zero(const struct ipc_id *id)
{
	static const struct ipc_id zero;
	return memcmp(id, &zero, sizeof zero) == 0;
}

static void open_connection(struct scene *s, uint64_t connection, enum service service)
{
	struct msg_connection_verdict verdict;
	announce(&s->porter, connection, service, PEER, &verdict);
	assert_int_equal(verdict.allowed, 1);
	assert_int_equal(verdict.trusted, 0);
	assert_true(is_zero(&verdict.token));
}

static void close_connection(struct ipc_channel *porter, uint64_t connection)
{
	msg_connection_closed_send(porter, connection, &(struct msg_connection_closed){}, -1);
}

/* ---- log-in -------------------------------------------------------------------------------- */

static void master_hears_of_a_log_in_before_porter(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	struct msg_session_account named;
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

/* ---- SASL ---------------------------------------------------------------------------------- */

static const char exporter_bytes[] = "0123456789abcdef0123456789abcdef";
#define EXPORTER str_from(exporter_bytes, 32)

static void mechanisms_of_every_account(void **state)
{
	static const char *const mechanisms[] = { "PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS" };
	struct scene s;
	enum auth_reason reason;
	(void)state;
	scene_open(&s, WORDS("block_after_failures=0"));
	assert_int_equal(s.offer.mechanisms,
	                 MECHANISM_PLAIN | MECHANISM_LOGIN | MECHANISM_SCRAM_SHA_256 | MECHANISM_SCRAM_SHA_256_PLUS);
	assert_int_equal(s.offer.apop, 0);
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		open_connection(&s, i + 1, SERVICE_IMAPS);
		assert_false(
			log_in_by(&s.porter, i + 1, SERVICE_IMAPS, mechanisms[i], "alice", "wrong horse", EXPORTER, &reason));
		assert_int_equal(reason, AUTH_REASON_CREDENTIALS);
		assert_false(
			log_in_by(&s.porter, i + 1, SERVICE_IMAPS, mechanisms[i], "nobody", "correct horse", EXPORTER, &reason));
		assert_int_equal(reason, AUTH_REASON_CREDENTIALS);
		assert_true(
			log_in_by(&s.porter, i + 1, SERVICE_IMAPS, mechanisms[i], "alice", "correct horse", EXPORTER, &reason));
	}
	scene_close(&s);
}

static void mechanisms_that_an_account_opts_in_to(void **state)
{
	static const struct {
		const char *mechanism;
		unsigned bits;
	} cases[] = {
		{ "SCRAM-SHA-1", MECHANISM_SCRAM_SHA_1 | MECHANISM_SCRAM_SHA_1_PLUS },
		{ "CRAM-MD5", MECHANISM_CRAM_MD5 },
	};
	struct scene s;
	(void)state;
	scene_open(&s, WORDS("block_after_failures=0"));
	open_connection(&s, 1, SERVICE_SUBMISSION);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 16);
		struct ipc_frame frame;
		struct msg_auth_offer offer;
		enum auth_reason reason;
		const char *name = i == 0 ? "scram-sha-1" : "cram-md5";
		assert_false(log_in_by(&s.porter, 1, SERVICE_SUBMISSION, cases[i].mechanism, "alice", "correct horse", STR(""),
		                       &reason));
		assert_int_equal(reason, AUTH_REASON_MECHANISM);
		assert_int_equal(
			ask(&s.office.control, &answer, -1, WORDS("optin", "add", "alice@example.test", name, "wrong horse")),
			1 + FAIL_DENIED);
		expect_nothing(&s.porter);
		tell(&s.office, WORDS("optin", "add", "alice@example.test", name, "correct horse"));
		expect(&s.porter, MSG_AUTH_OFFER, &frame);
		assert_true(msg_auth_offer_read(&frame, &offer));
		assert_int_equal(offer.mechanisms & cases[i].bits, cases[i].bits);
		assert_true(log_in_by(&s.porter, 1, SERVICE_SUBMISSION, cases[i].mechanism, "alice", "correct horse", STR(""),
		                      &reason));
		assert_false(
			log_in_by(&s.porter, 1, SERVICE_SUBMISSION, cases[i].mechanism, "alice", "wrong horse", STR(""), &reason));
		assert_int_equal(reason, AUTH_REASON_CREDENTIALS);
		/* Bob did not opt in. */
		assert_false(
			log_in_by(&s.porter, 1, SERVICE_SUBMISSION, cases[i].mechanism, "bob", "battery staple", STR(""), &reason));
		assert_int_equal(reason, AUTH_REASON_CREDENTIALS);
		tell(&s.office, WORDS("optin", "remove", "alice@example.test", name));
		expect(&s.porter, MSG_AUTH_OFFER, &frame);
		assert_true(msg_auth_offer_read(&frame, &offer));
		assert_int_equal(offer.mechanisms & cases[i].bits, 0);
	}
	scene_close(&s);
}

static void start(struct ipc_channel *porter, uint64_t connection, enum service service, const char *mechanism,
                  struct str initial)
{
	struct msg_auth_start message = {
		.service = (uint32_t)service, .tls = 1, .mechanism = str_of(mechanism), .has_initial = 1, .initial = initial,
	};
	msg_auth_start_send(porter, connection, &message, -1);
}

static void nonsense_in_sasl_is_refused(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	(void)state;
	scene_open(&s, NULL);
	open_connection(&s, 1, SERVICE_POP3S);
	start(&s.porter, 1, SERVICE_POP3S, "DIGEST-MD5", STR(""));
	expect_failed(&s.porter, 1, AUTH_REASON_MECHANISM);
	start(&s.porter, 1, SERVICE_POP3S, "SCRAM-SHA-256-PLUS", STR("p=tls-exporter,,n=alice,r=abc"));
	expect_failed(&s.porter, 1, AUTH_REASON_MECHANISM);
	start(&s.porter, 1, SERVICE_POP3S, "PLAIN", STR("nonsense"));
	expect_failed(&s.porter, 1, AUTH_REASON_SYNTAX);
	start(&s.porter, 1, SERVICE_POP3S, "SCRAM-SHA-256", STR("nonsense"));
	expect_failed(&s.porter, 1, AUTH_REASON_SYNTAX);
	/* Acting for somebody else. */
	start(&s.porter, 1, SERVICE_POP3S, "PLAIN", str_from("bob\0alice\0correct horse", 23));
	expect_failed(&s.porter, 1, AUTH_REASON_CREDENTIALS);
	/* A cancelled exchange leaves nothing behind. */
	start(&s.porter, 1, SERVICE_POP3S, "LOGIN", STR(""));
	expect(&s.porter, MSG_AUTH_CHALLENGE, &frame);
	msg_auth_cancel_send(&s.porter, 1, &(struct msg_auth_cancel){}, -1);
	start(&s.porter, 1, SERVICE_POP3S, "plain", str_from("\0alice\0correct horse", 20));
	expect_ok(&s.porter, 1, &ok, &frame);
	scene_close(&s);
}

/* Begun with the old password, ended after the change: it must not count. */
static void a_change_within_an_exchange_ends_it(void **state)
{
	CLEANUP(sasl_cleanup) struct sasl *sasl = sasl_new();
	CLEANUP(buf_release) struct buf output = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	struct sasl_facts facts = { .tls = true };
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *x =
		sasl_client_start(sasl, STR("SCRAM-SHA-256"), &facts, STR("alice"), STR("correct horse"), NULL);
	struct scene s;
	struct ipc_frame frame;
	struct msg_auth_challenge challenge;
	(void)state;
	scene_open(&s, NULL);
	open_connection(&s, 1, SERVICE_POP3S);
	sasl_client_step(x, STR(""), &output);
	start(&s.porter, 1, SERVICE_POP3S, "SCRAM-SHA-256", buf_str(&output));
	for (int i = 0; i < 2; i++) {
		expect(&s.porter, MSG_AUTH_CHALLENGE, &frame);
		assert_true(msg_auth_challenge_read(&frame, &challenge));
		assert_int_not_equal(sasl_client_step(x, challenge.challenge, &output), SASL_FAILED);
		if (i == 1)
			tell(&s.office, WORDS("password", "set", "alice@example.test", "new and longer"));
		msg_auth_step_send(&s.porter, 1, &(struct msg_auth_step){ .response = buf_str(&output) }, -1);
	}
	expect_failed(&s.porter, 1, AUTH_REASON_TEMPORARY);
	scene_close(&s);
}

/* The password is right when it is asked for, and the account disabled before it has been checked. */
static void a_change_while_a_password_is_checked_holds(void **state)
{
	enum { OTHERS = 30 };
	struct scene s;
	struct ipc_frame frame;
	(void)state;
	/* Hashes that take their time: those of the others are worked at before. */
	scene_open(&s, WORDS("argon2_operations=2", "argon2_memory_kb=32768", "block_after_failures=0"));
	for (uint64_t c = 1; c <= OTHERS + 1; c++)
		open_connection(&s, c, SERVICE_POP3S);
	for (uint64_t c = 1; c <= OTHERS; c++)
		send_password(&s.porter, c, SERVICE_POP3S, "nobody", "wrong");
	send_password(&s.porter, OTHERS + 1, SERVICE_POP3S, "alice", "correct horse");
	open_connection(&s, OTHERS + 2, SERVICE_POP3S);
	tell(&s.office, WORDS("account", "disable", "alice@example.test"));
	for (unsigned i = 0; i <= OTHERS; i++)
		expect(&s.porter, MSG_AUTH_FAILED, &frame);
	scene_close(&s);
}

static void hex_md5(struct str one, const char *two, struct buf *out)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length;
	buf_add_str(&text, one);
	buf_add_str(&text, str_of(two));
	assert_int_equal(EVP_Digest(text.data, text.length, digest, &length, EVP_md5(), NULL), 1);
	text_hex_encode(out, str_from((const char *)digest, length));
}

static void apop(struct scene *s, uint64_t connection, const struct msg_connection_verdict *verdict, const char *user,
                 const char *secret)
{
	CLEANUP(buf_release) struct buf digest = BUF_WITH_LIMIT(100);
	hex_md5(verdict->apop_timestamp, secret, &digest);
	msg_auth_apop_send(&s->porter, connection,
	                   &(struct msg_auth_apop){ .user = str_of(user), .digest = buf_str(&digest) }, -1);
}

static void apop_for_who_opted_in(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	struct msg_connection_verdict before, first, second, imap;
	(void)state;
	scene_open(&s, NULL);
	announce(&s.porter, 1, SERVICE_POP3, PEER, &before);
	assert_int_equal(before.apop_timestamp.length, 0);
	apop(&s, 1, &before, "alice", "correct horse");
	expect_failed(&s.porter, 1, AUTH_REASON_MECHANISM);
	tell(&s.office, WORDS("optin", "add", "alice@example.test", "apop", "correct horse"));
	expect(&s.porter, MSG_AUTH_OFFER, &frame);
	announce(&s.porter, 4, SERVICE_IMAP, PEER, &imap);
	assert_int_equal(imap.apop_timestamp.length, 0);
	announce(&s.porter, 2, SERVICE_POP3, PEER, &first);
	CLEANUP(mem_free) char *kept = str_copy(first.apop_timestamp);
	assert_true(str_ends_nocase(first.apop_timestamp, STR("@mail.example.test>")));
	announce(&s.porter, 3, SERVICE_POP3, PEER, &second);
	assert_false(str_equal(str_of(kept), second.apop_timestamp));
	apop(&s, 3, &second, "alice", "wrong horse");
	expect_failed(&s.porter, 3, AUTH_REASON_CREDENTIALS);
	apop(&s, 3, &second, "bob", "battery staple");
	expect_failed(&s.porter, 3, AUTH_REASON_CREDENTIALS);
	/* Another connection's timestamp. */
	first.apop_timestamp = str_of(kept);
	apop(&s, 3, &first, "alice", "correct horse");
	expect_failed(&s.porter, 3, AUTH_REASON_CREDENTIALS);
	apop(&s, 2, &first, "alice", "correct horse");
	expect_ok(&s.porter, 2, &ok, &frame);
	scene_close(&s);
}

/* ---- limits -------------------------------------------------------------------------------- */

static void fail_from(struct scene *s, const char *peer, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		assert_false(log_in(&s->porter, SERVICE_POP3S, peer, "alice", "wrong", NULL));
}

static bool is_allowed(struct scene *s, uint64_t connection, const char *peer)
{
	struct msg_connection_verdict verdict;
	announce(&s->porter, connection, SERVICE_POP3S, peer, &verdict);
	return verdict.allowed;
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

/* ---- tokens -------------------------------------------------------------------------------- */

/* Queue's next message is a token for this account; returns it. */
static struct ipc_id expect_token(struct ipc_channel *queue, uint64_t account, const char *address)
{
	struct ipc_frame frame;
	struct msg_token token;
	expect(queue, MSG_TOKEN, &frame);
	assert_true(msg_token_read(&frame, &token));
	assert_int_equal(token.account, account);
	expect_text(token.address, address);
	return token.token;
}

static void expect_token_ended(struct ipc_channel *queue, const struct ipc_id *token)
{
	struct ipc_frame frame;
	struct msg_token_ended ended;
	expect(queue, MSG_TOKEN_ENDED, &frame);
	assert_true(msg_token_ended_read(&frame, &ended));
	assert_memory_equal(&ended.token, token, sizeof *token);
}

static struct ipc_id submit(struct scene *s, uint64_t connection)
{
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	struct ipc_id token;
	open_connection(s, connection, SERVICE_SUBMISSIONS);
	send_password(&s->porter, connection, SERVICE_SUBMISSIONS, "bob", "battery staple");
	expect_ok(&s->porter, connection, &ok, &frame);
	token = ok.token;
	assert_false(is_zero(&token));
	/* Queue's was sent before. */
	assert_int_equal(ipc_receive_wait(&s->queue, &frame, 0), IPC_FRAME);
	struct msg_token told;
	assert_true(msg_token_read(&frame, &told));
	assert_int_equal(told.account, 2);
	expect_text(told.address, "bob@example.test");
	assert_memory_equal(&told.token, &token, sizeof token);
	return token;
}

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

/* ---- bad peers ----------------------------------------------------------------------------- */

enum harm {
	HARM_NO_FRAME,
	HARM_SHORT,
	HARM_FORBIDDEN,
	HARM_KIND,
	HARM_TWICE,
	HARM_TWO_AT_ONCE,
	HARM_STEP,
	HARM_SERVICE,
	HARM_COUNT
};

static void do_harm(struct ipc_channel *porter, enum harm harm)
{
	struct msg_connection_opened opened = { .service = SERVICE_POP3S, .peer = STR(PEER) };
	struct msg_connection_verdict verdict;
	switch (harm) {
	case HARM_NO_FRAME: assert_true(send(porter->descriptor, "garbage", 7, 0) == 7); break;
	case HARM_SHORT: ipc_send(porter, MSG_CONNECTION_OPENED, 1, STR("x"), NULL, 0); break;
	case HARM_FORBIDDEN: msg_token_send(porter, 1, &(struct msg_token){ .account = 1 }, -1); break;
	case HARM_KIND:
		opened.service = SERVICE_SMTP;
		msg_connection_opened_send(porter, 1, &opened, -1);
		break;
	case HARM_TWICE:
		announce(porter, 1, SERVICE_POP3S, PEER, &verdict);
		msg_connection_opened_send(porter, 1, &opened, -1);
		break;
	case HARM_TWO_AT_ONCE:
		announce(porter, 1, SERVICE_POP3S, PEER, &verdict);
		send_password(porter, 1, SERVICE_POP3S, "alice", "wrong");
		send_password(porter, 1, SERVICE_POP3S, "alice", "correct horse");
		break;
	case HARM_STEP:
		announce(porter, 1, SERVICE_POP3S, PEER, &verdict);
		msg_auth_step_send(porter, 1, &(struct msg_auth_step){}, -1);
		break;
	case HARM_SERVICE:
		announce(porter, 1, SERVICE_POP3S, PEER, &verdict);
		send_password(porter, 1, SERVICE_SUBMISSION, "alice", "correct horse");
		break;
	case HARM_COUNT: break;
	}
}

static void a_bad_porter_ends_alone(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	for (enum harm harm = 0; harm < HARM_COUNT; harm++) {
		struct ipc_channel bad;
		office_wire_porter(&s.office, KIND_USERS, 80 + harm, &bad, NULL);
		do_harm(&bad, harm);
		expect_closed(&bad);
		ipc_channel_release(&bad);
		assert_true(log_in(&s.porter, SERVICE_POP3S, "192.0.2.2", "alice", "correct horse", NULL));
	}
	scene_close(&s);
}

static void porters_of_strangers_cannot_log_in(void **state)
{
	struct scene s;
	struct ipc_channel world;
	(void)state;
	scene_open(&s, NULL);
	office_wire_porter(&s.office, KIND_WORLD, 72, &world, NULL);
	send_password(&world, 1, SERVICE_SMTP, "alice", "correct horse");
	expect_closed(&world);
	ipc_channel_release(&world);
	scene_close(&s);
}

static void bad_words_end_a_posthornctl_and_a_queue_alone(void **state)
{
	struct scene s;
	struct ipc_channel local;
	struct msg_ctl_request request = { .words = str_from("password\0a\0b", 12) };
	(void)state;
	scene_open(&s, NULL);
	office_password(&s.office, &local);
	msg_ctl_request_send(&local, 0, &request, -1);
	expect_closed(&local);
	ipc_channel_release(&local);
	ipc_send(&s.queue, MSG_RESOLVE, 1, STR(""), NULL, 0);
	expect_closed(&s.queue);
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "alice", "correct horse", NULL));
	scene_close(&s);
}

/* ---- changes ------------------------------------------------------------------------------- */

static void expect_drop(struct office *o, uint64_t account)
{
	struct ipc_frame frame;
	struct msg_account_drop drop;
	do
		assert_int_equal(ipc_receive_wait(&o->master, &frame, 60000), IPC_FRAME);
	while (frame.type == MSG_SESSION_ACCOUNT);
	assert_true(msg_account_drop_read(&frame, &drop));
	assert_int_equal(drop.account, account);
}

static void expect_changed(struct ipc_channel *queue)
{
	struct ipc_frame frame;
	expect(queue, MSG_DIRECTORY_CHANGED, &frame);
}

/* Whatever takes an account's password away takes its sessions, tokens and remembered log-ins too. */
static void a_change_ends_what_was_begun(void **state)
{
	const char *const *const changes[] = {
		WORDS("password", "set", "bob@example.test", "new and longer"),
		WORDS("account", "disable", "bob@example.test"),
		WORDS("account", "delete", "bob@example.test"),
		WORDS("password", "hash-import", "bob@example.test",
		      "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1"),
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

/* ---- recipients ---------------------------------------------------------------------------- */

static enum resolve_verdict resolve(struct ipc_channel *queue, const char *address, struct buf *targets)
{
	struct ipc_frame frame;
	struct msg_resolved resolved;
	struct msg_quota quota;
	struct target target;
	msg_resolve_send(queue, 3, &(struct msg_resolve){ .address = str_of(address) }, -1);
	buf_clear(targets);
	while (ipc_receive_wait(queue, &frame, 60000) == IPC_FRAME && frame.type == MSG_QUOTA) {
		assert_true(msg_quota_read(&frame, &quota));
		buf_printf(targets, "[%llu %llu %llu]", (unsigned long long)quota.account,
		           (unsigned long long)quota.limit_bytes, (unsigned long long)quota.limit_messages);
	}
	assert_int_equal(frame.type, MSG_RESOLVED);
	assert_int_equal(frame.request, 3);
	assert_true(msg_resolved_read(&frame, &resolved));
	while (target_next(&resolved.targets, &target))
		buf_printf(targets, "%llu %.*s %.*s;", (unsigned long long)target.account, STR_ARG(target.address),
		           STR_ARG(target.detail));
	assert_int_equal(resolved.targets.length, 0);
	return (enum resolve_verdict)resolved.verdict;
}

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

/* ---- administration ------------------------------------------------------------------------ */

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
	/* Queue hears that something changed. */
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

/* Root would have auth become posthorn-auth, which need not exist where this runs. */
static void give_up_root(void)
{
	enum { NOBODY = 65534 };
	if (geteuid() == 0)
		must(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
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
		cmocka_unit_test(mechanisms_of_every_account),
		cmocka_unit_test(mechanisms_that_an_account_opts_in_to),
		cmocka_unit_test(nonsense_in_sasl_is_refused),
		cmocka_unit_test(a_change_within_an_exchange_ends_it),
		cmocka_unit_test(a_change_while_a_password_is_checked_holds),
		cmocka_unit_test(apop_for_who_opted_in),
		cmocka_unit_test(failures_block_an_address),
		cmocka_unit_test(failures_wait_longer_and_longer),
		cmocka_unit_test(an_ipv6_network_counts_as_one_address),
		cmocka_unit_test(exempt_networks_are_never_blocked),
		cmocka_unit_test(hanging_up_does_not_undo_a_failure),
		cmocka_unit_test(connections_of_an_address_are_counted_over_all_porters),
		cmocka_unit_test(lmtp_is_for_its_networks),
		cmocka_unit_test(a_token_lives_as_long_as_its_connection),
		cmocka_unit_test(a_second_log_in_replaces_the_first),
		cmocka_unit_test(trusted_networks_get_a_token_without_account),
		cmocka_unit_test(a_bad_porter_ends_alone),
		cmocka_unit_test(porters_of_strangers_cannot_log_in),
		cmocka_unit_test(bad_words_end_a_posthornctl_and_a_queue_alone),
		cmocka_unit_test(a_change_ends_what_was_begun),
		cmocka_unit_test(an_account_comes_back),
		cmocka_unit_test(a_new_configuration_holds),
		cmocka_unit_test(recipients_are_resolved_and_their_limits_told_first),
		cmocka_unit_test(changed_limits_are_told),
		cmocka_unit_test(the_configured_postmaster_stands_in),
		cmocka_unit_test(senders_are_the_accounts_own_addresses),
		cmocka_unit_test(verbs_answer),
		cmocka_unit_test(many_accounts_share_one_hash),
		cmocka_unit_test(aliases_are_imported_from_a_file),
		cmocka_unit_test(an_app_password_logs_in_until_it_is_removed),
		cmocka_unit_test(an_imported_hash_is_made_anew),
		cmocka_unit_test(users_change_their_own_password),
		cmocka_unit_test(work_goes_on_when_posthornctl_is_gone),
		cmocka_unit_test(sessions_are_listed),
	};
	if (argc < 2) {
		fprintf(stderr, "usage: auth_test POSTHORN-AUTH [TEST]\n");
		return 2;
	}
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	auth_program = argv[1];
	give_up_root();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

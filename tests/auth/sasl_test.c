/* SASL exchanges and APOP. */
#include "scene.h"

#include "mem.h"
#include "text.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mechanisms_of_every_account),
		cmocka_unit_test(mechanisms_that_an_account_opts_in_to),
		cmocka_unit_test(nonsense_in_sasl_is_refused),
		cmocka_unit_test(a_change_within_an_exchange_ends_it),
		cmocka_unit_test(a_change_while_a_password_is_checked_holds),
		cmocka_unit_test(apop_for_who_opted_in),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

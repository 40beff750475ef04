/* Who may do what, and what ends a peer. */
#include "kit.h"

#include <unistd.h>

/* ---- who may do what ------------------------------------------------------------------------- */

static void recipients_are_judged(void **state)
{
	static const struct {
		const char *address;
		enum verdict_kind world, submission;
	} cases[] = {
		{ "u1@example.test", VERDICT_OK, VERDICT_OK },
		{ "nobody@example.test", VERDICT_UNKNOWN_USER, VERDICT_UNKNOWN_USER },
		{ "off@example.test", VERDICT_DISABLED, VERDICT_DISABLED },
		{ "broken@example.test", VERDICT_TEMPORARY, VERDICT_TEMPORARY },
		{ "x@elsewhere.test", VERDICT_RELAY_DENIED, VERDICT_OK },
		{ "away@example.test", VERDICT_OK, VERDICT_OK },
	};
	struct scene s;
	(void)state;
	scene_open(&s);
	give_token(&s, 5);
	assert_int_equal(begin(&s, &s.world, 1, "x@y.test", 0), VERDICT_OK);
	assert_int_equal(begin(&s, &s.users, 2, "u5@example.test", 5), VERDICT_OK);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(recipient(&s, &s.world, 1, cases[i].address), cases[i].world);
		assert_int_equal(recipient(&s, &s.users, 2, cases[i].address), cases[i].submission);
	}
	scene_close(&s);
}

/* The first recipient may come with MAIL_BEGIN, and is answered for both. */
static void a_transaction_may_begin_with_its_recipient(void **state)
{
	static const struct {
		const char *address;
		uint64_t size;
		enum verdict_kind kind;
	} cases[] = {
		{ "u1@example.test", 0, VERDICT_OK },
		{ "nobody@example.test", 0, VERDICT_UNKNOWN_USER },
		{ "u1@example.test", UINT64_C(1) << 40, VERDICT_TOO_BIG },
	};
	struct scene s;
	struct ipc_frame frame;
	struct msg_recipient_verdict read;
	(void)state;
	scene_open(&s);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct msg_mail_begin begin = {
			.sender = STR("a@b.test"), .size = cases[i].size, .address = str_of(cases[i].address), .session = i + 1,
		};
		msg_mail_begin_send(&s.world, i + 1, &begin, -1);
		expect(&s, &s.world, MSG_RECIPIENT_VERDICT, &frame);
		assert_true(msg_recipient_verdict_read(&frame, &read) && frame.request == i + 1);
		assert_int_equal(read.kind, cases[i].kind);
		bool is_refused = cases[i].kind == VERDICT_TOO_BIG;
		assert_int_equal(recipient(&s, &s.world, i + 1, "u2@example.test"), is_refused ? VERDICT_TOO_BIG : VERDICT_OK);
		msg_mail_abort_send(&s.world, i + 1, &(struct msg_mail_abort){}, -1);
	}
	scene_close(&s);
}

/* A users' smtpd without a token is nobody, and so is LMTP with one. */
static void only_a_log_in_relays(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s);
	give_token(&s, 5);
	assert_int_equal(begin(&s, &s.users, 1, "u5@example.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.users, 1, "x@elsewhere.test"), VERDICT_RELAY_DENIED);
	msg_mail_abort_send(&s.users, 1, &(struct msg_mail_abort){}, -1);
	mail_begin(&s.users, 2, "u5@example.test", 5, MAIL_LMTP, 0);
	assert_int_equal(verdict(&s, &s.users, 2), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.users, 2, "x@elsewhere.test"), VERDICT_RELAY_DENIED);
	scene_close(&s);
}

static void the_sender_must_be_the_accounts(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s);
	give_token(&s, 5);
	assert_int_equal(begin(&s, &s.users, 1, "u6@example.test", 5), VERDICT_SENDER_DENIED);
	assert_int_equal(begin(&s, &s.users, 2, "", 5), VERDICT_OK);
	msg_mail_abort_send(&s.users, 2, &(struct msg_mail_abort){}, -1);
	assert_int_equal(begin(&s, &s.users, 3, "u5@example.test", 5), VERDICT_OK);
	msg_mail_from_header_send(&s.users, 3, &(struct msg_mail_from_header){ .address = STR("u6@example.test") }, -1);
	assert_int_equal(verdict(&s, &s.users, 3), VERDICT_SENDER_DENIED);
	msg_mail_from_header_send(&s.users, 3, &(struct msg_mail_from_header){ .address = STR("u5@example.test") }, -1);
	assert_int_equal(verdict(&s, &s.users, 3), VERDICT_OK);
	scene_close(&s);
}

static void a_token_may_come_after_its_use(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s);
	mail_begin(&s.users, 1, "u5@example.test", 5, 0, 0);
	expect_nothing(&s, &s.users);
	give_token(&s, 5);
	assert_int_equal(verdict(&s, &s.users, 1), VERDICT_OK);
	mail_begin(&s.users, 1, "u5@example.test", 5, 0, 0);
	expect_closed(&s, &s.users); /* one transaction at a time */
	scene_close(&s);
}

static void an_ended_token_is_worth_nothing(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s);
	give_token(&s, 5);
	assert_int_equal(begin(&s, &s.users, 1, "u5@example.test", 5), VERDICT_OK);
	msg_mail_abort_send(&s.users, 1, &(struct msg_mail_abort){}, -1);
	msg_token_ended_send(&s.auth, 0, &(struct msg_token_ended){ .token = token_of(5) }, -1);
	give_token(&s, 6); /* the same channel: when this is known, the other is gone */
	assert_int_equal(begin(&s, &s.users, 2, "u6@example.test", 6), VERDICT_OK);
	msg_mail_abort_send(&s.users, 2, &(struct msg_mail_abort){}, -1);
	assert_int_equal(begin(&s, &s.users, 3, "u5@example.test", 5), VERDICT_TEMPORARY);
	scene_close(&s);
}

/* What a trusted network may is no account's to lose, so no auth asks for it. */
static void a_new_auth_hears_of_log_ins(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	struct msg_token told, network = { .token = token_of(77) };
	const struct ipc_id given = token_of(5);
	(void)state;
	scene_open(&s);
	msg_token_send(&s.auth, 3, &network, -1);
	give_token(&s, 5);
	assert_int_equal(begin(&s, &s.users, 1, "u5@example.test", 5), VERDICT_OK);
	msg_mail_abort_send(&s.users, 1, &(struct msg_mail_abort){}, -1);
	ipc_channel_release(&s.auth);
	wire(&s, ROLE_AUTH, KIND_WORLD, 1, &s.auth);
	assert_int_equal(ipc_receive_wait(&s.auth, &frame, ANSWER_MS), IPC_FRAME);
	assert_int_equal(frame.request, 3);
	assert_true(msg_token_read(&frame, &told));
	assert_int_equal(told.account, 5);
	assert_int_equal(told.porter, 71);
	assert_memory_equal(&told.token, &given, sizeof given);
	msg_token_ended_send(&s.auth, 0, &(struct msg_token_ended){ .token = told.token }, -1);
	give_token(&s, 6); /* as above */
	assert_int_equal(begin(&s, &s.users, 2, "u6@example.test", 6), VERDICT_OK);
	msg_mail_abort_send(&s.users, 2, &(struct msg_mail_abort){}, -1);
	assert_int_equal(begin(&s, &s.users, 3, "u5@example.test", 5), VERDICT_TEMPORARY);
	scene_close(&s);
}

/* ---- what ends a peer ------------------------------------------------------------------------ */

static void send_token_from_the_world(struct ipc_channel *c)
{
	mail_begin(c, 1, "u5@example.test", 5, 0, 0);
}

static void send_recipient_first(struct ipc_channel *c)
{
	msg_mail_recipient_send(c, 1, &(struct msg_mail_recipient){ .address = STR("u1@example.test") }, -1);
}

static void send_body_first(struct ipc_channel *c)
{
	mail_begin(c, 1, "a@b.test", 0, 0, 0);
	send_body(c, 1, STR("x"));
}

static void send_commit_without_body(struct ipc_channel *c)
{
	mail_begin(c, 1, "a@b.test", 0, 0, 0);
	msg_mail_commit_send(c, 1, &(struct msg_mail_commit){ .size = 0 }, -1);
}

static void send_two_begins(struct ipc_channel *c)
{
	mail_begin(c, 1, "a@b.test", 0, 0, 0);
	mail_begin(c, 2, "a@b.test", 0, 0, 0);
}

/* With a token its account is to be asked for first. */
static void send_first_recipient_with_token(struct ipc_channel *c)
{
	struct msg_mail_begin begin = { .token = token_of(5), .sender = STR("u5@example.test"), .address = STR("u1@example.test") };
	msg_mail_begin_send(c, 1, &begin, -1);
}

static void send_line_end_in_first_recipient(struct ipc_channel *c)
{
	struct msg_mail_begin begin = { .sender = STR("a@b.test"), .address = STR("u1@example.test\r\nDATA") };
	msg_mail_begin_send(c, 1, &begin, -1);
}

static void send_other_request(struct ipc_channel *c)
{
	mail_begin(c, 1, "a@b.test", 0, 0, 0);
	msg_mail_recipient_send(c, 2, &(struct msg_mail_recipient){ .address = STR("u1@example.test") }, -1);
}

static void send_line_end_in_address(struct ipc_channel *c)
{
	mail_begin(c, 1, "a@b.test\r\nRCPT TO:<x@y.test>", 0, 0, 0);
}

static void send_foreign_message(struct ipc_channel *c)
{
	msg_token_send(c, 1, &(struct msg_token){ .token = token_of(5), .account = 5 }, -1);
}

static void send_half_a_message(struct ipc_channel *c)
{
	ipc_send(c, MSG_MAIL_BEGIN, 1, STR("\1\2\3"), NULL, 0);
}

static void send_unknown_type(struct ipc_channel *c)
{
	ipc_send(c, (enum msg_type)9999, 1, STR(""), NULL, 0);
}

static void a_wrong_message_ends_that_peer_only(void **state)
{
	static void (*const wrong[])(struct ipc_channel *c) = {
		send_token_from_the_world, send_recipient_first,     send_body_first,      send_commit_without_body,
		send_two_begins,           send_first_recipient_with_token, send_line_end_in_first_recipient,
		send_other_request,        send_line_end_in_address, send_foreign_message, send_half_a_message,
		send_unknown_type,
	};
	struct scene s;
	struct ipc_channel another;
	(void)state;
	scene_open(&s);
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		wire(&s, ROLE_SMTPD, KIND_WORLD, 100 + i, &another);
		wrong[i](&another);
		expect_closed(&s, &another);
		ipc_channel_release(&another);
		assert_int_equal(begin(&s, &s.world, i + 1, "a@b.test", 0), VERDICT_OK);
		msg_mail_abort_send(&s.world, i + 1, &(struct msg_mail_abort){}, -1);
	}
	scene_close(&s);
}

static void a_size_that_is_wrong_ends_the_peer(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s);
	assert_int_equal(begin(&s, &s.world, 1, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	send_body(&s.world, 1, STR("abc"));
	msg_mail_commit_send(&s.world, 1, &(struct msg_mail_commit){ .size = 4 }, -1);
	expect_closed(&s, &s.world);
	scene_close(&s);
}

static void a_mailbox_cannot_answer_for_others(void **state)
{
	struct scene s;
	struct ipc_channel one, two;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	mailbox_open(&s, 1, false, &one);
	mailbox_open(&s, 2, false, &two);
	expect(&s, &one, MSG_REPLAY_END, &frame);
	expect(&s, &two, MSG_REPLAY_END, &frame);
	submit(&s, "u1@example.test", "for one\r\n");
	expect_mail(&s, &one, "for one\r\n", &got);
	acknowledge(&two, &got.mail, 0);
	expect_closed(&s, &two);
	acknowledge(&one, &got.mail, 0);
	submit(&s, "u1@example.test", "again\r\n");
	expect_mail(&s, &one, "again\r\n", &got);
	scene_close(&s);
}

/* Each mail is stored once, however many one answer names. */
static void a_mailbox_cannot_answer_twice(void **state)
{
	CLEANUP(buf_release) struct buf places = BUF_WITH_LIMIT(100);
	struct scene s;
	struct ipc_channel one;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	mailbox_open(&s, 1, false, &one);
	expect(&s, &one, MSG_REPLAY_END, &frame);
	submit(&s, "u1@example.test", "for one\r\n");
	expect_mail(&s, &one, "for one\r\n", &got);
	for (size_t i = 0; i < 2; i++)
		delivery_place_add(&places, &(struct delivery_place){ got.mail.sequence, got.mail.recipient });
	msg_stored_send(&one, 0, &(struct msg_stored){ .journal = got.mail.journal, .places = buf_str(&places) }, -1);
	expect_closed(&s, &one);
	scene_close(&s);
}

static void auth_that_talks_nonsense_is_replaced(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s);
	s.auth_is_silent = true;
	assert_int_equal(begin(&s, &s.world, 1, "a@b.test", 0), VERDICT_OK);
	msg_mail_recipient_send(&s.world, 1, &(struct msg_mail_recipient){ .address = STR("u1@example.test") }, -1);
	expect_nothing(&s, &s.world);
	ipc_send(&s.auth, MSG_RESOLVED, 1, STR("?"), NULL, 0);
	expect_closed(&s, &s.auth);
	ipc_channel_release(&s.auth);
	s.auth_is_silent = false;
	wire(&s, ROLE_AUTH, KIND_WORLD, 1, &s.auth); /* is asked what the other one owed */
	struct ipc_frame frame;
	struct msg_recipient_verdict read;
	expect(&s, &s.world, MSG_RECIPIENT_VERDICT, &frame);
	assert_true(msg_recipient_verdict_read(&frame, &read) && read.kind == VERDICT_OK);
	scene_close(&s);
}

static void answers_of_auth_are_remembered(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s);
	assert_int_equal(begin(&s, &s.world, 1, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	unsigned before = s.resolved;
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	assert_int_equal(s.resolved, before);
	msg_directory_changed_send(&s.auth, 0, &(struct msg_directory_changed){ .generation = 2 }, -1);
	give_token(&s, 5); /* known: so is the change before it */
	assert_int_equal(begin(&s, &s.users, 2, "", 5), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	assert_int_equal(s.resolved, before + 1);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_are_judged),
		cmocka_unit_test(a_transaction_may_begin_with_its_recipient),
		cmocka_unit_test(only_a_log_in_relays),
		cmocka_unit_test(the_sender_must_be_the_accounts),
		cmocka_unit_test(a_token_may_come_after_its_use),
		cmocka_unit_test(an_ended_token_is_worth_nothing),
		cmocka_unit_test(a_new_auth_hears_of_log_ins),
		cmocka_unit_test(a_wrong_message_ends_that_peer_only),
		cmocka_unit_test(a_size_that_is_wrong_ends_the_peer),
		cmocka_unit_test(a_mailbox_cannot_answer_for_others),
		cmocka_unit_test(a_mailbox_cannot_answer_twice),
		cmocka_unit_test(auth_that_talks_nonsense_is_replaced),
		cmocka_unit_test(answers_of_auth_are_remembered),
	};
	return kit_start(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

/* What posthorn-queue promises to each of its peers. */
#include "kit.h"

#include "clock.h"
#include "file.h"
#include "mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool has(const struct buf *rows, const char *part)
{
	return str_find(buf_str(rows), str_of(part)) < rows->length;
}

static bool same_name(const struct msg_deliver *a, const struct msg_deliver *b)
{
	return memcmp(&a->journal, &b->journal, sizeof a->journal) == 0 && a->sequence == b->sequence &&
	    a->recipient == b->recipient;
}

/* ---- from smtpd to the mailbox --------------------------------------------------------------- */

static void mail_is_accepted_and_delivered(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	submit(&s, "u7+shop@example.test", "Subject: x\r\n\r\nHello\r\n");
	mailbox_start(&s, 7, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	expect_mail(&s, &mailbox, "Subject: x\r\n\r\nHello\r\n", &got);
	assert_true(str_equal(got.mail.sender, STR("someone@elsewhere.test")));
	assert_true(str_equal(got.mail.original, STR("u7+shop@example.test")));
	assert_true(str_equal(got.mail.detail, STR("shop")));
	assert_int_equal(got.mail.replay, 0);
	acknowledge(&mailbox, &got.mail, 0);
	submit(&s, "u7@example.test", "second\r\n");
	expect_mail(&s, &mailbox, "second\r\n", &got);
	acknowledge(&mailbox, &got.mail, 0);
	expect_nothing(&s, &mailbox);
	scene_close(&s);
}

static void an_account_gets_a_mail_once(void **state)
{
	struct scene s;
	struct ipc_channel mailboxes[4];
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	for (uint64_t i = 1; i <= 3; i++)
		mailbox_open(&s, i, false, &mailboxes[i]);
	assert_int_equal(begin(&s, &s.world, 5, "", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 5, "u2@example.test"), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 5, "all@example.test"), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 5, "u2+x@example.test"), VERDICT_OK);
	send_body(&s.world, 5, STR("x\r\n"));
	assert_int_equal(commit(&s, &s.world, 5, 3, NULL), VERDICT_OK);
	for (uint64_t i = 1; i <= 3; i++) {
		expect(&s, &mailboxes[i], MSG_REPLAY_END, &frame);
		expect_mail(&s, &mailboxes[i], "x\r\n", &got);
		assert_true(str_equal(got.mail.original, i == 2 ? STR("u2@example.test") : STR("all@example.test")));
		expect_nothing(&s, &mailboxes[i]);
	}
	scene_close(&s);
}

static void bodies_of_all_sizes_arrive(void **state)
{
	static const size_t sizes[] = { 1, 119999, 120000, 120001, 500000, 1048576 };
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	mailbox_open(&s, 1, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		CLEANUP(mem_free) char *body = mem_alloc(sizes[i] + 1);
		CLEANUP(mem_free) char *read = mem_alloc(sizes[i] + 1);
		for (size_t k = 0; k < sizes[i]; k++)
			body[k] = (char)('a' + k * 7 % 23 + k / 1000 % 3);
		submit(&s, "u1@example.test", body);
		expect_mail(&s, &mailbox, NULL, &got);
		assert_int_equal(got.mail.size, sizes[i]);
		assert_int_equal(got.file >= 0, sizes[i] > 120000);
		if (got.file >= 0)
			assert_true(file_read_at(got.file, read, sizes[i], got.mail.offset, NULL));
		else
			memcpy(read, got.mail.content.data, sizes[i]);
		assert_memory_equal(read, body, sizes[i]);
		if (got.file >= 0)
			assert_int_equal(pwrite(got.file, "x", 1, 0), -1);
		file_close(&got.file);
		acknowledge(&mailbox, &got.mail, 0);
	}
	scene_close(&s);
}

/* A message in a file: smtpd writes it. Survives a crash before delivery. */
static void large_messages_come_in_files(void **state)
{
	enum { SIZE = 3 << 20 };
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	CLEANUP(mem_free) char *body = mem_alloc(SIZE);
	CLEANUP(mem_free) char *read = mem_alloc(SIZE);
	(void)state;
	memset(body, 'b', SIZE);
	scene_open(&s);
	assert_int_equal(begin(&s, &s.world, 8, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 8, "u4@example.test"), VERDICT_OK);
	msg_mail_file_send(&s.world, 8, &(struct msg_mail_file){}, -1);
	expect(&s, &s.world, MSG_MAIL_FILE_ANSWER, &frame);
	int file = ipc_take_descriptor(&frame);
	assert_true(file >= 0 && file_write_at(file, body, SIZE, 0, NULL));
	close(file);
	assert_int_equal(commit(&s, &s.world, 8, SIZE, NULL), VERDICT_OK);
	scene_restart(&s);
	mailbox_start(&s, 4, true, &mailbox);
	expect_mail(&s, &mailbox, NULL, &got);
	assert_int_equal(got.mail.size, SIZE);
	assert_true(got.file >= 0 && file_read_at(got.file, read, SIZE, got.mail.offset, NULL));
	assert_memory_equal(read, body, SIZE);
	file_close(&got.file);
	scene_close(&s);
}

/* What smtpd said of the size must be true. */
static void a_file_of_another_size_is_not_taken(void **state)
{
	struct scene s;
	struct ipc_frame frame;
	(void)state;
	scene_open(&s);
	assert_int_equal(begin(&s, &s.world, 8, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 8, "u4@example.test"), VERDICT_OK);
	msg_mail_file_send(&s.world, 8, &(struct msg_mail_file){}, -1);
	expect(&s, &s.world, MSG_MAIL_FILE_ANSWER, &frame);
	int file = ipc_take_descriptor(&frame);
	assert_int_equal(write(file, "12345", 5), 5);
	close(file);
	assert_int_equal(commit(&s, &s.world, 8, 6, NULL), VERDICT_TEMPORARY);
	expect_nothing(&s, &s.master);
	scene_close(&s);
}

static void what_is_aborted_is_gone(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s);
	assert_int_equal(begin(&s, &s.world, 5, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 5, "u2@example.test"), VERDICT_OK);
	send_body(&s.world, 5, STR("x\r\n"));
	msg_mail_abort_send(&s.world, 5, &(struct msg_mail_abort){}, -1);
	msg_mail_abort_send(&s.world, 5, &(struct msg_mail_abort){}, -1);
	expect_nothing(&s, &s.master);
	assert_int_equal(begin(&s, &s.world, 6, "a@b.test", 0), VERDICT_OK);
	scene_close(&s);
}

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
		    send_two_begins,
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

/* ---- quota ----------------------------------------------------------------------------------- */

static void a_full_account_refuses(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	(void)state;
	scene_open(&s);
	wire(&s, ROLE_MAILBOX, KIND_USERS, 1, &mailbox);
	mailbox_say_opened(&mailbox, false, 900, 1000);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	mail_begin(&s.world, 1, "a@b.test", 0, 0, 101);
	assert_int_equal(verdict(&s, &s.world, 1), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OVER_QUOTA);
	assert_int_equal(recipient(&s, &s.world, 1, "u2@example.test"), VERDICT_OK);
	msg_mail_abort_send(&s.world, 1, &(struct msg_mail_abort){}, -1);
	mail_begin(&s.world, 2, "a@b.test", 0, 0, 1001);
	assert_int_equal(verdict(&s, &s.world, 2), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 2, "u1@example.test"), VERDICT_TOO_BIG_FOR_ACCOUNT);
	msg_mail_abort_send(&s.world, 2, &(struct msg_mail_abort){}, -1);
	mail_begin(&s.world, 3, "a@b.test", 0, 0, 100);
	assert_int_equal(verdict(&s, &s.world, 3), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 3, "u1@example.test"), VERDICT_OK);
	/* What was promised to one is not there for another. */
	mail_begin(&s.users, 4, "a@b.test", 0, 0, 1);
	assert_int_equal(verdict(&s, &s.users, 4), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.users, 4, "u1@example.test"), VERDICT_OVER_QUOTA);
	msg_mail_abort_send(&s.world, 3, &(struct msg_mail_abort){}, -1);
	expect_nothing(&s, &s.world);
	assert_int_equal(recipient(&s, &s.users, 4, "u1@example.test"), VERDICT_OK);
	scene_close(&s);
}

/* The size was not said before: it shows at the end. */
static void the_real_size_counts(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct msg_mail_done done;
	(void)state;
	scene_open(&s);
	wire(&s, ROLE_MAILBOX, KIND_USERS, 1, &mailbox);
	mailbox_say_opened(&mailbox, false, 0, 10);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	assert_int_equal(begin(&s, &s.world, 1, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	send_body(&s.world, 1, STR("more than ten\r\n"));
	assert_int_equal(commit(&s, &s.world, 1, 15, NULL), VERDICT_TOO_BIG_FOR_ACCOUNT);
	mail_begin(&s.world, 2, "a@b.test", 0, MAIL_LMTP, 0);
	assert_int_equal(verdict(&s, &s.world, 2), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 2, "u1@example.test"), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 2, "u2@example.test"), VERDICT_OK);
	send_body(&s.world, 2, STR("more than ten\r\n"));
	msg_mail_commit_send(&s.world, 2, &(struct msg_mail_commit){ .size = 15 }, -1);
	expect(&s, &s.world, MSG_MAIL_DONE, &frame);
	assert_true(msg_mail_done_read(&frame, &done));
	assert_int_equal(done.kind, VERDICT_OK);
	assert_int_equal(done.kinds.length, 2);
	assert_int_equal(done.kinds.data[0], VERDICT_TOO_BIG_FOR_ACCOUNT);
	assert_int_equal(done.kinds.data[1], VERDICT_OK);
	expect_nothing(&s, &mailbox);
	scene_close(&s);
}

/* By SMTP there is one answer: who cannot take it is told of by a bounce. */
static void a_refusal_among_others_is_bounced(void **state)
{
	struct scene s;
	struct ipc_channel full, other, sender;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	wire(&s, ROLE_MAILBOX, KIND_USERS, 1, &full);
	mailbox_say_opened(&full, false, 0, 10);
	mailbox_open(&s, 2, false, &other);
	mailbox_open(&s, 3, false, &sender);
	expect(&s, &full, MSG_REPLAY_END, &frame);
	expect(&s, &other, MSG_REPLAY_END, &frame);
	expect(&s, &sender, MSG_REPLAY_END, &frame);
	assert_int_equal(begin(&s, &s.world, 1, "u3@example.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u2@example.test"), VERDICT_OK);
	send_body(&s.world, 1, STR("more than ten\r\n"));
	assert_int_equal(commit(&s, &s.world, 1, 15, NULL), VERDICT_OK);
	expect_mail(&s, &other, "more than ten\r\n", &got);
	expect_mail(&s, &sender, NULL, &got);
	assert_int_equal(got.mail.sender.length, 0);
	assert_true(str_find(got.mail.content, STR("u1@example.test")) < got.mail.content.length);
	expect_nothing(&s, &full);
	scene_close(&s);
}

/* ---- results --------------------------------------------------------------------------------- */

static void a_failure_for_good_is_bounced_once(void **state)
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
	assert_int_equal(begin(&s, &s.world, 1, "u2@example.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	send_body(&s.world, 1, STR("x\r\n"));
	assert_int_equal(commit(&s, &s.world, 1, 3, NULL), VERDICT_OK);
	expect_mail(&s, &one, "x\r\n", &got);
	acknowledge(&one, &got.mail, 1 + FAIL_TOO_BIG);
	expect_mail(&s, &two, NULL, &got);
	assert_true(str_find(got.mail.content, STR("To: <u2@example.test>\r\n")) < got.mail.content.length);
	assert_true(str_find(got.mail.content, STR("because")) < got.mail.content.length);
	/* The bounce has the null sender: it is never bounced itself. */
	acknowledge(&two, &got.mail, 1 + FAIL_TOO_BIG);
	expect_nothing(&s, &one);
	expect_nothing(&s, &two);
	scene_close(&s);
}

static void what_may_pass_is_tried_again(void **state)
{
	static const enum fail_kind kinds[] = { FAIL_NO_SPACE, FAIL_IO, FAIL_BUSY, FAIL_CORRUPT };
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered first, again;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	mailbox_open(&s, 1, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	submit(&s, "u1@example.test", "x\r\n");
	expect_mail(&s, &mailbox, "x\r\n", &first);
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		acknowledge(&mailbox, &first.mail, 1 + (uint32_t)kinds[i]);
		expect_nothing(&s, &mailbox);
		assert_int_equal(control(&s, "retry all", &rows), 0);
		expect_mail(&s, &mailbox, "x\r\n", &again);
		assert_true(same_name(&first.mail, &again.mail));
		assert_int_equal(again.mail.replay, 1);
	}
	scene_close(&s);
}

/* ---- crashes --------------------------------------------------------------------------------- */

static void what_was_acknowledged_survives_kill_9(void **state)
{
	enum { MAILS = 20 };
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	char body[32];
	(void)state;
	scene_open(&s);
	for (int i = 0; i < MAILS; i++) {
		snprintf(body, sizeof body, "mail %d\r\n", i);
		submit(&s, "u1@example.test", body);
	}
	scene_restart(&s);
	mailbox_start(&s, 1, true, &mailbox);
	for (int i = 0; i < MAILS; i++) {
		snprintf(body, sizeof body, "mail %d\r\n", i);
		expect_mail(&s, &mailbox, body, &got);
		acknowledge(&mailbox, &got.mail, 0);
	}
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	expect_nothing(&s, &mailbox);
	scene_close(&s);
}

static bool wants_mailbox(struct scene *s)
{
	struct ipc_frame frame;
	return await(s, &s->master, &frame, SOON_MS) && frame.type == MSG_WANT_MAILBOX;
}

/* Until it is synced and trimmed it comes again under the same name, then never. */
static void what_is_applied_does_not_come_for_ever(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered first, again;
	(void)state;
	scene_open(&s);
	submit(&s, "u1@example.test", "once\r\n");
	mailbox_start(&s, 1, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	expect_mail(&s, &mailbox, "once\r\n", &first);
	struct msg_deliver name = first.mail;
	acknowledge(&mailbox, &first.mail, 0);
	bool came = true;
	for (int tries = 0; came && tries < 20; tries++) {
		expect_nothing(&s, &mailbox);
		expect_nothing(&s, &mailbox);
		ipc_channel_release(&mailbox);
		scene_restart(&s);
		came = wants_mailbox(&s);
		mailbox_open(&s, 1, true, &mailbox);
		if (came) {
			expect_mail(&s, &mailbox, "once\r\n", &again);
			assert_true(same_name(&name, &again.mail));
			acknowledge(&mailbox, &again.mail, 0);
		}
		expect(&s, &mailbox, MSG_REPLAY_END, &frame);
		for (int i = 0; came && i < 6; i++)
			expect_nothing(&s, &mailbox);
	}
	assert_false(came);
	scene_close(&s);
}

/* Its write-ahead log may be lost: what was applied and not synced is sent again, in order and before REPLAY_END. */
static bool try_unclean_mailbox(struct scene *s)
{
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	mailbox_open(s, 1, false, &mailbox);
	expect(s, &mailbox, MSG_REPLAY_END, &frame);
	submit(s, "u1@example.test", "first\r\n");
	expect_mail(s, &mailbox, "first\r\n", &got);
	acknowledge(&mailbox, &got.mail, 0);
	submit(s, "u1@example.test", "second\r\n");
	expect_mail(s, &mailbox, "second\r\n", &got);
	ipc_channel_release(&mailbox);
	mailbox_open(s, 1, true, &mailbox);
	expect(s, &mailbox, MSG_DELIVER, &got.frame);
	assert_true(msg_deliver_read(&got.frame, &got.mail));
	bool both = str_equal(got.mail.content, STR("first\r\n"));
	acknowledge(&mailbox, &got.mail, 0);
	if (both) {
		expect_mail(s, &mailbox, "second\r\n", &got);
		acknowledge(&mailbox, &got.mail, 0);
	}
	expect(s, &mailbox, MSG_REPLAY_END, &frame);
	ipc_channel_release(&mailbox);
	return both;
}

static void an_unclean_mailbox_gets_all_again(void **state)
{
	struct scene s;
	bool both = false;
	(void)state;
	scene_open(&s);
	/* A sync between the answer and the crash makes the first one durable; that is rare. */
	for (int tries = 0; !both && tries < 10; tries++)
		both = try_unclean_mailbox(&s);
	assert_true(both);
	scene_close(&s);
}

/* A message that fails while it is replayed keeps nobody from the account. */
static void replay_ends_whatever_fails(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	submit(&s, "u1@example.test", "one\r\n");
	submit(&s, "u1@example.test", "two\r\n");
	mailbox_start(&s, 1, true, &mailbox);
	expect_mail(&s, &mailbox, "one\r\n", &got);
	acknowledge(&mailbox, &got.mail, 1 + FAIL_NO_SPACE);
	expect_mail(&s, &mailbox, "two\r\n", &got);
	acknowledge(&mailbox, &got.mail, 1 + FAIL_NO_SPACE);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	scene_close(&s);
}

/* ---- a disk that fails ----------------------------------------------------------------------- */

/* The flush of the first group (the one before is of the journal's opening): 451, and a new journal takes what follows. */
static void a_journal_that_failed_is_replaced(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct delivered got;
	(void)state;
	scene_open_with_fault(&s, "fdatasync", 2);
	assert_int_equal(begin(&s, &s.world, 1, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	send_body(&s.world, 1, STR("refused\r\n"));
	assert_int_equal(commit(&s, &s.world, 1, 9, NULL), VERDICT_TEMPORARY);
	expect_nothing(&s, &s.master);
	submit(&s, "u1@example.test", "taken\r\n");
	scene_restart(&s);
	mailbox_start(&s, 1, true, &mailbox);
	do { /* the disk may have the refused one all the same: its client tries again, and it comes twice */
		expect_mail(&s, &mailbox, NULL, &got);
		acknowledge(&mailbox, &got.mail, 0);
	} while (str_equal(got.mail.content, STR("refused\r\n")));
	assert_true(str_equal(got.mail.content, STR("taken\r\n")));
	scene_close(&s);
}

static void after_a_failed_sync_all_is_applied_again(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered first, again;
	(void)state;
	scene_open_with_fault(&s, "syncfs", 1);
	mailbox_open(&s, 1, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	submit(&s, "u1@example.test", "x\r\n");
	expect_mail(&s, &mailbox, "x\r\n", &first);
	acknowledge(&mailbox, &first.mail, 0);
	expect_mail(&s, &mailbox, "x\r\n", &again);
	assert_true(same_name(&first.mail, &again.mail));
	acknowledge(&mailbox, &again.mail, 0);
	for (int i = 0; i < 8; i++)
		expect_nothing(&s, &mailbox);
	scene_close(&s);
}

/* ---- accounts that lag ----------------------------------------------------------------------- */

static void wait_for_row(struct scene *s, const char *words, const char *part, struct buf *rows)
{
	int64_t until = clock_monotonic_ms() + 20000;
	do {
		control(s, words, rows);
		if (has(rows, part))
			return;
		expect_nothing(s, &s->master);
	} while (clock_monotonic_ms() < until);
	fail_msg("no %s in %.*s", part, STR_ARG(buf_str(rows)));
}

static void wait_for_no_row(struct scene *s, const char *part, struct ipc_channel *quiet, struct buf *rows)
{
	int64_t until = clock_monotonic_ms() + 20000;
	while (control(s, "list", rows) == 0 && has(rows, part) && clock_monotonic_ms() < until)
		expect_nothing(s, quiet);
	assert_false(has(rows, part));
}

static void a_stuck_mailbox_delays_no_other(void **state)
{
	enum { MAILS = 100 };
	struct scene s;
	struct ipc_channel stuck, other;
	struct ipc_frame frame;
	struct delivered got;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	mailbox_open(&s, 1, false, &stuck);
	mailbox_open(&s, 2, false, &other);
	expect(&s, &other, MSG_REPLAY_END, &frame);
	for (int i = 0; i < MAILS; i++) {
		submit(&s, "u1@example.test", "for the stuck one\r\n");
		submit(&s, "u2@example.test", "for the other one\r\n");
		expect_mail(&s, &other, "for the other one\r\n", &got);
		acknowledge(&other, &got.mail, 0);
	}
	/* The window is bounded. */
	expect(&s, &stuck, MSG_REPLAY_END, &frame);
	for (int i = 0; i < 64; i++)
		expect_mail(&s, &stuck, "for the stuck one\r\n", &got);
	expect_nothing(&s, &stuck);
	/* They move to files, and from there they come again, also after a crash. */
	wait_for_row(&s, "list", "place=file", &rows);
	ipc_channel_release(&stuck);
	scene_restart(&s);
	mailbox_start(&s, 1, true, &stuck);
	for (int i = 0; i < MAILS; i++) {
		expect_mail(&s, &stuck, "for the stuck one\r\n", &got);
		acknowledge(&stuck, &got.mail, 0);
	}
	expect(&s, &stuck, MSG_REPLAY_END, &frame);
	wait_for_no_row(&s, "recipient=u1@example.test", &stuck, &rows);
	scene_close(&s);
}

/* More than the ring holds, for an account that takes nothing: it goes to files, and nobody hears of it. */
static void a_full_journal_makes_room(void **state)
{
	enum { MAILS = 24, SIZE = 1060000 };
	struct scene s;
	struct ipc_channel stuck;
	struct ipc_frame frame;
	struct delivered got;
	CLEANUP(mem_free) char *body = mem_alloc(SIZE + 1);
	CLEANUP(mem_free) char *read = mem_alloc(SIZE + 1);
	(void)state;
	memset(body, 'y', SIZE);
	scene_open(&s);
	mailbox_open(&s, 1, false, &stuck);
	for (int i = 0; i < MAILS; i++) {
		snprintf(body, SIZE, "%8d", i);
		body[8] = 'y';
		submit(&s, "u1@example.test", body);
	}
	ipc_channel_release(&stuck);
	scene_restart(&s);
	mailbox_start(&s, 1, true, &stuck);
	for (int i = 0; i < MAILS; i++) {
		expect_mail(&s, &stuck, NULL, &got);
		assert_int_equal(got.mail.size, SIZE);
		assert_true(file_read_at(got.file, read, SIZE, got.mail.offset, NULL));
		file_close(&got.file);
		acknowledge(&stuck, &got.mail, 0);
		uint64_t number;
		assert_true(str_to_u64(str_trim(str_from(read, 8)), MAILS, &number));
		assert_memory_equal(read + 8, body + 8, SIZE - 8);
		assert_int_equal(number, i);
	}
	expect(&s, &stuck, MSG_REPLAY_END, &frame);
	scene_close(&s);
}

static size_t files_in_spool(const struct scene *s)
{
	CLEANUP(mem_free) char *command = mem_printf("ls %s/spool | grep -c '^[0-9a-f]\\{16\\}'", s->folder);
	FILE *pipe = popen(command, "r");
	unsigned count = 0;
	assert_true(pipe && fscanf(pipe, "%u", &count) == 1);
	pclose(pipe);
	return count;
}

/* From the file: applied, synced, logged, and the file goes when the journal's mark has passed. */
static void a_file_goes_when_all_have_it(void **state)
{
	struct scene s;
	struct ipc_channel one, two;
	struct ipc_frame frame;
	struct delivered got;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	mailbox_open(&s, 1, false, &one);
	mailbox_open(&s, 2, false, &two);
	expect(&s, &one, MSG_REPLAY_END, &frame);
	expect(&s, &two, MSG_REPLAY_END, &frame);
	assert_int_equal(begin(&s, &s.world, 1, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u2@example.test"), VERDICT_OK);
	send_body(&s.world, 1, STR("x\r\n"));
	assert_int_equal(commit(&s, &s.world, 1, 3, NULL), VERDICT_OK);
	expect_mail(&s, &one, "x\r\n", &got);
	acknowledge(&one, &got.mail, 0);
	wait_for_row(&s, "list", "place=file", &rows);
	assert_false(has(&rows, "recipient=u1@example.test"));
	expect_mail(&s, &two, "x\r\n", &got);
	acknowledge(&two, &got.mail, 0);
	int64_t until = clock_monotonic_ms() + 20000;
	while (files_in_spool(&s) > 0 && clock_monotonic_ms() < until)
		expect_nothing(&s, &two);
	assert_int_equal(files_in_spool(&s), 0);
	scene_close(&s);
}

/* ---- mail for other hosts -------------------------------------------------------------------- */

static void remote_mail_waits_in_its_file(void **state)
{
	struct scene s;
	uint64_t id;
	char text[40];
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	give_token(&s, 5);
	assert_int_equal(begin(&s, &s.users, 1, "u5@example.test", 5), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.users, 1, "x@elsewhere.test"), VERDICT_OK);
	send_body(&s.users, 1, STR("x\r\n"));
	assert_int_equal(commit(&s, &s.users, 1, 3, &id), VERDICT_OK);
	wait_for_row(&s, "list", "place=file", &rows);
	scene_restart(&s);
	assert_int_equal(control(&s, "list", &rows), 0);
	snprintf(text, sizeof text, "id=%016" PRIx64 " ", id);
	assert_true(has(&rows, text) && has(&rows, "sender=u5@example.test") && has(&rows, "recipient=x@elsewhere.test") &&
	            has(&rows, "state=remote") && has(&rows, "place=file") && has(&rows, "size=3"));
	snprintf(text, sizeof text, "delete %016" PRIx64, id);
	assert_int_equal(control(&s, text, &rows), 0);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_int_equal(rows.length, 0);
	assert_int_equal(control(&s, text, &rows) != 0 && rows.length == 0, 1);
	scene_close(&s);
}

/* ---- posthornctl ----------------------------------------------------------------------------- */

static void a_held_queue_takes_and_keeps(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct delivered got;
	struct ipc_frame frame;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	assert_int_equal(control(&s, "hold", &rows), 0);
	submit(&s, "u1@example.test", "x\r\n");
	expect_nothing(&s, &s.master);
	scene_restart(&s);
	expect_nothing(&s, &s.master);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_true(has(&rows, "state=held"));
	assert_int_equal(control(&s, "release", &rows), 0);
	mailbox_start(&s, 1, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	expect_mail(&s, &mailbox, "x\r\n", &got);
	assert_true(control(&s, "nonsense", &rows) != 0);
	assert_true(control(&s, "show", &rows) != 0);
	scene_close(&s);
}

static void drain_ends_it(void **state)
{
	struct scene s;
	int status;
	(void)state;
	scene_open(&s);
	submit(&s, "u1@example.test", "x\r\n");
	msg_drain_send(&s.master, 0, &(struct msg_drain){}, -1);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	CLEANUP(mem_free) char *command = mem_printf("rm -r %s", s.folder);
	assert_int_equal(system(command), 0);
	ipc_channel_release(&s.master);
	ipc_channel_release(&s.auth);
	ipc_channel_release(&s.users);
	ipc_channel_release(&s.world);
}

/* Root would have queue become posthorn-queue, which need not exist where this runs. */
static void give_up_root(void)
{
	enum { NOBODY = 65534 };
	if (geteuid() == 0)
		must(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_is_accepted_and_delivered),
		cmocka_unit_test(an_account_gets_a_mail_once),
		cmocka_unit_test(bodies_of_all_sizes_arrive),
		cmocka_unit_test(large_messages_come_in_files),
		cmocka_unit_test(a_file_of_another_size_is_not_taken),
		cmocka_unit_test(what_is_aborted_is_gone),
		cmocka_unit_test(recipients_are_judged),
		cmocka_unit_test(only_a_log_in_relays),
		cmocka_unit_test(the_sender_must_be_the_accounts),
		cmocka_unit_test(a_token_may_come_after_its_use),
		cmocka_unit_test(an_ended_token_is_worth_nothing),
		cmocka_unit_test(a_wrong_message_ends_that_peer_only),
		cmocka_unit_test(a_size_that_is_wrong_ends_the_peer),
		cmocka_unit_test(a_mailbox_cannot_answer_for_others),
		cmocka_unit_test(auth_that_talks_nonsense_is_replaced),
		cmocka_unit_test(answers_of_auth_are_remembered),
		cmocka_unit_test(a_full_account_refuses),
		cmocka_unit_test(the_real_size_counts),
		cmocka_unit_test(a_refusal_among_others_is_bounced),
		cmocka_unit_test(a_failure_for_good_is_bounced_once),
		cmocka_unit_test(what_may_pass_is_tried_again),
		cmocka_unit_test(what_was_acknowledged_survives_kill_9),
		cmocka_unit_test(what_is_applied_does_not_come_for_ever),
		cmocka_unit_test(an_unclean_mailbox_gets_all_again),
		cmocka_unit_test(replay_ends_whatever_fails),
		cmocka_unit_test(a_journal_that_failed_is_replaced),
		cmocka_unit_test(after_a_failed_sync_all_is_applied_again),
		cmocka_unit_test(a_stuck_mailbox_delays_no_other),
		cmocka_unit_test(a_full_journal_makes_room),
		cmocka_unit_test(a_file_goes_when_all_have_it),
		cmocka_unit_test(remote_mail_waits_in_its_file),
		cmocka_unit_test(a_held_queue_takes_and_keeps),
		cmocka_unit_test(drain_ends_it),
	};
	if (argc < 3) {
		fprintf(stderr, "usage: queue_test POSTHORN-QUEUE FAULTS.SO [TESTS]\n");
		return 2;
	}
	kit_program = argv[1];
	kit_faults = argv[2];
	give_up_root();
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

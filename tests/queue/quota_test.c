/* Accounts that are full. */
#include "kit.h"

#include <fcntl.h>
#include <unistd.h>

static void a_full_account_refuses(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	(void)state;
	scene_open(&s);
	wire(&s, ROLE_MAILBOX, KIND_USERS, 1, &mailbox);
	s.limit = 1000;
	mailbox_say_opened(&mailbox, false, 900);
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
	s.limit = 10;
	mailbox_say_opened(&mailbox, false, 0);
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
	expect(&s, &mailbox, MSG_QUOTA, &frame);
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
	s.limit = 10;
	mailbox_say_opened(&full, false, 0);
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
	expect(&s, &full, MSG_QUOTA, &frame);
	expect_nothing(&s, &full);
	scene_close(&s);
}

/* What a mailbox process that has just begun says of limits is nothing new: auth's word stands, and it hears it. */
static void limits_outlive_the_process(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct msg_quota quota;
	(void)state;
	scene_open(&s);
	s.limit = 10;
	assert_int_equal(begin(&s, &s.world, 1, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u1@example.test"), VERDICT_OK);
	msg_mail_abort_send(&s.world, 1, &(struct msg_mail_abort){}, -1);
	for (int i = 0; i < 2; i++) {
		wire(&s, ROLE_MAILBOX, KIND_USERS, 1, &mailbox);
		mailbox_say_opened(&mailbox, false, 0);
		expect(&s, &mailbox, MSG_QUOTA, &frame);
		assert_true(msg_quota_read(&frame, &quota));
		assert_int_equal(quota.limit_bytes, 10);
		expect(&s, &mailbox, MSG_REPLAY_END, &frame);
		ipc_channel_release(&mailbox);
	}
	mail_begin(&s.world, 2, "a@b.test", 0, 0, 11);
	assert_int_equal(verdict(&s, &s.world, 2), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 2, "u1@example.test"), VERDICT_TOO_BIG_FOR_ACCOUNT);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_account_refuses),
		cmocka_unit_test(the_real_size_counts),
		cmocka_unit_test(a_refusal_among_others_is_bounced),
		cmocka_unit_test(limits_outlive_the_process),
	};
	return kit_start(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

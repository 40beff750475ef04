/* Ends of the process, of mailboxes and of the disk. */
#include "kit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

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

/* The flush of the first group (the one before is of the journal's opening): 451, and a new journal takes what
 * follows. */
static void a_journal_that_failed_is_replaced(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct delivered got;
	(void)state;
	scene_open_with_fault(&s, "fdatasync", 2, 1, EIO);
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
	scene_open_with_fault(&s, "syncfs", 1, 1, EIO);
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

/* A second of deliveries is made durable by each account instead, and then trimmed without a flush of the file
 * system. */
static void where_a_sync_is_slow_each_account_makes_its_mail_durable(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open_with_fault(&s, "syncfs", 1, 1000, FAULT_IS_SLOW); /* the next one, of what was sent meanwhile, too */
	mailbox_open(&s, 1, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	got.mail.flags = 0;
	for (int i = 0; i < 100 && !got.mail.flags; i++) {
		submit(&s, "u1@example.test", "x\r\n");
		expect_mail(&s, &mailbox, "x\r\n", &got);
		acknowledge(&mailbox, &got.mail, 0);
		expect_nothing(&s, &mailbox);
	}
	assert_int_equal(got.mail.flags, DELIVER_DURABLE);
	for (int i = 0; i < 8; i++)
		expect_nothing(&s, &mailbox); /* what was sent before it was known to be slow has its flush */
	uint64_t calls = scene_calls(&s);
	submit(&s, "u1@example.test", "y\r\n");
	expect_mail(&s, &mailbox, "y\r\n", &got);
	assert_int_equal(got.mail.flags, DELIVER_DURABLE);
	acknowledge(&mailbox, &got.mail, 0);
	for (int i = 0; i < 20; i++)
		expect_nothing(&s, &mailbox);
	assert_int_equal(scene_calls(&s), calls);
	scene_restart(&s);
	mailbox_open(&s, 1, true, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame); /* nothing comes again: the mark is behind all */
	scene_close(&s);
}

/* The disk of the accounts does not answer any more; that of the spool does. The mail is more than the journal
 * holds. */
static void a_sync_that_does_not_return_stops_nobody(void **state)
{
	enum { MAILS = 190, SIZE = 100000 };
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	static char body[SIZE + 1];
	(void)state;
	memset(body, 'x', SIZE);
	memcpy(body + SIZE - 2, "\r\n", 2);
	scene_open_with_fault(&s, "syncfs", 1, 1000, FAULT_HANGS);
	mailbox_open(&s, 1, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	for (int i = 0; i < MAILS; i++) {
		submit(&s, "u1@example.test", body);
		expect_mail(&s, &mailbox, body, &got);
		acknowledge(&mailbox, &got.mail, 0);
	}
	assert_int_equal(scene_calls(&s), 1);
	scene_restart(&s);
	mailbox_start(&s, 1, true, &mailbox);
	for (int i = 0; i < MAILS; i++) {
		expect_mail(&s, &mailbox, body, &got);
		acknowledge(&mailbox, &got.mail, 0);
	}
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	scene_close(&s);
}

/* Both journals are named as long as the failed one has mail, and then one. */
static void a_gone_journal_is_told(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open_with_fault(&s, "fdatasync", 3, 1, EIO);
	submit(&s, "u1@example.test", "in the first\r\n");
	assert_int_equal(begin(&s, &s.world, 1, "a@b.test", 0), VERDICT_OK);
	assert_int_equal(recipient(&s, &s.world, 1, "u2@example.test"), VERDICT_OK);
	send_body(&s.world, 1, STR("refused\r\n"));
	assert_int_equal(commit(&s, &s.world, 1, 9, NULL), VERDICT_TEMPORARY);
	mailbox_start(&s, 1, true, &mailbox);
	expect_mail(&s, &mailbox, "in the first\r\n", &got);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	for (int i = 0; i < 30 && s.journals == 0; i++)
		expect_nothing(&s, &mailbox);
	assert_int_equal(s.journals, 2);
	acknowledge(&mailbox, &got.mail, 0);
	for (int i = 0; i < 60 && s.journals == 2; i++)
		expect_nothing(&s, &mailbox);
	assert_int_equal(s.journals, 1);
	scene_close(&s);
}

/* ---- a disk that is full ---------------------------------------------------------------------- */

enum { FULL_TIMES = 2, TRIES = 60 };

/* Until it is taken; each refusal says that there is no room, or that it may pass. */
static unsigned submit_until_taken(struct scene *s, const char *to, struct str body)
{
	static uint64_t request = 5000;
	struct ipc_frame frame;
	enum verdict_kind kind = VERDICT_NO_SPACE;
	unsigned refused = 0;
	for (unsigned i = 0; i < TRIES && kind != VERDICT_OK; i++) {
		request++;
		assert_int_equal(begin(s, &s->world, request, "a@b.test", 0), VERDICT_OK);
		assert_int_equal(recipient(s, &s->world, request, to), VERDICT_OK);
		send_body(&s->world, request, body);
		kind = commit(s, &s->world, request, body.length, NULL);
		assert_true(kind == VERDICT_OK || kind == VERDICT_NO_SPACE);
		refused += kind != VERDICT_OK;
		if (kind != VERDICT_OK)
			await(s, &s->master, &frame, SOON_MS);
	}
	assert_int_equal(kind, VERDICT_OK);
	return refused;
}

/* The n-th write and the one after it find no room: who is refused hears why, and what was taken is there after a
 * crash. What was refused may come, too, since the disk may have a part of it. */
static void a_full_disk_breaks_no_promise(void **state)
{
	uint64_t struck = 1;
	unsigned refused = 0;
	(void)state;
	for (unsigned at = 1; struck > 0; at++) {
		struct scene s;
		struct ipc_channel mailbox;
		struct delivered got;
		scene_open_with_fault(&s, "write,size,rename", at, FULL_TIMES, ENOSPC);
		for (unsigned i = 0; i < 3; i++)
			refused += submit_until_taken(&s, "u1@example.test", STR("taken\r\n"));
		struck = scene_faults(&s);
		scene_restart(&s);
		mailbox_start(&s, 1, true, &mailbox);
		for (unsigned i = 0; i < 3; i++) {
			expect_mail(&s, &mailbox, "taken\r\n", &got);
			acknowledge(&mailbox, &got.mail, 0);
		}
		scene_close(&s);
	}
	assert_true(refused > 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_acknowledged_survives_kill_9),
		cmocka_unit_test(what_is_applied_does_not_come_for_ever),
		cmocka_unit_test(an_unclean_mailbox_gets_all_again),
		cmocka_unit_test(replay_ends_whatever_fails),
		cmocka_unit_test(a_journal_that_failed_is_replaced),
		cmocka_unit_test(after_a_failed_sync_all_is_applied_again),
		cmocka_unit_test(where_a_sync_is_slow_each_account_makes_its_mail_durable),
		cmocka_unit_test(a_sync_that_does_not_return_stops_nobody),
		cmocka_unit_test(a_gone_journal_is_told),
		cmocka_unit_test(a_full_disk_breaks_no_promise),
	};
	return kit_start(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

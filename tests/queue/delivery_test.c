/* From smtpd through the journal to the mailbox, and what the mailbox answers. */
#include "kit.h"

#include "clock.h"
#include "file.h"
#include "mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
	assert_int_equal(got.mail.flags, 0);
	acknowledge(&mailbox, &got.mail, 0);
	submit(&s, "u7@example.test", "second\r\n");
	expect_mail(&s, &mailbox, "second\r\n", &got);
	acknowledge(&mailbox, &got.mail, 0);
	expect_nothing(&s, &mailbox);
	scene_close(&s);
}

/* The subaddress is what auth found on the way: an alias may have one of its own. */
static void an_alias_gives_the_detail(void **state)
{
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	submit(&s, "alias+lists@example.test", "x\r\n");
	scene_restart(&s);
	mailbox_open(&s, 1, true, &mailbox);
	expect_mail(&s, &mailbox, "x\r\n", &got);
	assert_true(str_equal(got.mail.original, STR("alias+lists@example.test")));
	assert_true(str_equal(got.mail.detail, STR("own")));
	acknowledge(&mailbox, &got.mail, 0);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	scene_close(&s);
}

static void submit_many(struct scene *s, unsigned count)
{
	char body[24];
	for (unsigned i = 0; i < count; i++) {
		snprintf(body, sizeof body, "mail %u\r\n", i);
		submit(s, "u7@example.test", body);
	}
}

static void expect_many(struct scene *s, struct ipc_channel *mailbox, struct buf *places, struct delivered *last,
                        unsigned count)
{
	char body[24];
	for (unsigned i = 0; i < count; i++) {
		snprintf(body, sizeof body, "mail %u\r\n", i);
		expect_mail(s, mailbox, body, last);
		delivery_place_add(places, &(struct delivery_place){ last->mail.sequence, last->mail.recipient });
	}
}

/* What is held back while nobody looks comes in order, and one answer does for all. */
static void mail_that_is_held_back_comes_together(void **state)
{
	CLEANUP(buf_release) struct buf places = BUF_WITH_LIMIT(2000), rows = BUF_WITH_LIMIT(60000);
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	submit(&s, "u7@example.test", "first\r\n");
	mailbox_start(&s, 7, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	expect_mail(&s, &mailbox, "first\r\n", &got);
	acknowledge(&mailbox, &got.mail, 0);
	submit_many(&s, 20);
	expect_many(&s, &mailbox, &places, &got, 20);
	msg_stored_send(&mailbox, 0, &(struct msg_stored){ .journal = got.mail.journal, .places = buf_str(&places) }, -1);
	wait_for_no_row(&s, "recipient=u7@example.test", &mailbox, &rows);
	scene_close(&s);
}

/* A client that logs in sees all that was accepted before, and what comes then at once. */
static void a_client_ends_the_holding_back(void **state)
{
	CLEANUP(buf_release) struct buf places = BUF_WITH_LIMIT(2000);
	struct scene s;
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	(void)state;
	scene_open(&s);
	submit(&s, "u7@example.test", "first\r\n");
	mailbox_start(&s, 7, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	expect_mail(&s, &mailbox, "first\r\n", &got);
	submit_many(&s, 3);
	msg_clients_send(&mailbox, 0, &(struct msg_clients){ .present = 1 }, -1);
	expect_many(&s, &mailbox, &places, &got, 3);
	expect(&s, &mailbox, MSG_UP_TO_DATE, &frame);
	msg_clients_send(&mailbox, 0, &(struct msg_clients){ .present = 0 }, -1);
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

/* The record says still that it is to be sent, and the report that it was refused. */
static void what_was_reported_is_not_sent_after_a_kill(void **state)
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
	scene_restart(&s);
	ipc_channel_release(&one);
	ipc_channel_release(&two);
	mailbox_start(&s, 2, false, &two);
	expect(&s, &two, MSG_REPLAY_END, &frame);
	expect_mail(&s, &two, NULL, &got);
	expect_nothing(&s, &s.master); /* account 1 is not asked for */
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
		assert_int_equal(again.mail.flags, DELIVER_AGAIN);
	}
	scene_close(&s);
}

/* ---- accounts that lag ----------------------------------------------------------------------- */

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
	assert_false(has_row(&rows, "recipient=u1@example.test"));
	expect_mail(&s, &two, "x\r\n", &got);
	acknowledge(&two, &got.mail, 0);
	int64_t until = clock_monotonic_ms() + 20000;
	while (files_in_spool(&s) > 0 && clock_monotonic_ms() < until)
		expect_nothing(&s, &two);
	assert_int_equal(files_in_spool(&s), 0);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_is_accepted_and_delivered),
		cmocka_unit_test(an_alias_gives_the_detail),
		cmocka_unit_test(mail_that_is_held_back_comes_together),
		cmocka_unit_test(a_client_ends_the_holding_back),
		cmocka_unit_test(an_account_gets_a_mail_once),
		cmocka_unit_test(bodies_of_all_sizes_arrive),
		cmocka_unit_test(large_messages_come_in_files),
		cmocka_unit_test(a_file_of_another_size_is_not_taken),
		cmocka_unit_test(what_is_aborted_is_gone),
		cmocka_unit_test(a_failure_for_good_is_bounced_once),
		cmocka_unit_test(what_was_reported_is_not_sent_after_a_kill),
		cmocka_unit_test(what_may_pass_is_tried_again),
		cmocka_unit_test(a_stuck_mailbox_delays_no_other),
		cmocka_unit_test(a_full_journal_makes_room),
		cmocka_unit_test(a_file_goes_when_all_have_it),
	};
	return kit_start(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

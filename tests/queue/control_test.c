/* Mail for other hosts, and posthornctl. */
#include "kit.h"

#include "mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- mail for other hosts -------------------------------------------------------------------- */

static uint64_t submit_elsewhere(struct scene *s, uint64_t request)
{
	uint64_t id;
	assert_int_equal(begin(s, &s->users, request, "u5@example.test", 5), VERDICT_OK);
	assert_int_equal(recipient(s, &s->users, request, "x@elsewhere.test"), VERDICT_OK);
	send_body(&s->users, request, STR("x\r\n"));
	assert_int_equal(commit(s, &s->users, request, 3, &id), VERDICT_OK);
	return id;
}

static void remote_mail_waits_in_its_file(void **state)
{
	struct scene s;
	char text[40];
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	give_token(&s, 5);
	uint64_t id = submit_elsewhere(&s, 1);
	wait_for_row(&s, "list", "place=file", &rows);
	scene_restart(&s);
	assert_int_equal(control(&s, "list", &rows), 0);
	snprintf(text, sizeof text, "id=%016" PRIx64 " ", id);
	assert_true(has_row(&rows, text) && has_row(&rows, "sender=u5@example.test") &&
	            has_row(&rows, "recipient=x@elsewhere.test") && has_row(&rows, "state=waiting") &&
	            has_row(&rows, "place=file") && has_row(&rows, "size=3"));
	snprintf(text, sizeof text, "delete %016" PRIx64, id);
	assert_int_equal(control(&s, text, &rows), 0);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_int_equal(rows.length, 0);
	assert_int_equal(control(&s, text, &rows) != 0 && rows.length == 0, 1);
	scene_close(&s);
}

static size_t count_rows(const struct buf *rows, const char *part)
{
	size_t count = 0;
	struct str rest = buf_str(rows), part_text = str_of(part);
	for (size_t at; (at = str_find(rest, part_text)) < rest.length; count++)
		rest = str_from_index(rest, at + part_text.length);
	return count;
}

/* What is done to all of a sender, or to all, is done to each, and holding outlives a kill. */
static void many_at_a_time(void **state)
{
	struct scene s;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	assert_int_equal(control(&s, "retry all", &rows), 0);
	give_token(&s, 5);
	for (uint64_t request = 1; request <= 3; request++)
		submit_elsewhere(&s, request);
	assert_true(control(&s, "hold sender:nobody@example.test", &rows) != 0);
	assert_int_equal(control(&s, "hold sender:U5@example.test", &rows), 0);
	scene_restart(&s);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_int_equal(count_rows(&rows, "state=held"), 3);
	assert_int_equal(control(&s, "retry all", &rows), 0);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_int_equal(count_rows(&rows, "state=held"), 3);
	assert_int_equal(control(&s, "release domain:elsewhere.test", &rows), 0);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_int_equal(count_rows(&rows, "state=waiting"), 3);
	assert_int_equal(control(&s, "delete sender:u5@example.test", &rows), 0);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_int_equal(rows.length, 0);
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
	assert_true(has_row(&rows, "state=held"));
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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remote_mail_waits_in_its_file),
		cmocka_unit_test(many_at_a_time),
		cmocka_unit_test(a_held_queue_takes_and_keeps),
		cmocka_unit_test(drain_ends_it),
	};
	return kit_start(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}

#include "generate.h"
#include "imap_session.h"
#include "options.h"
#include "stats.h"
#include "steps.h"
#include "task.h"

#include <stdio.h>
#include <strings.h>

static void imap_append_task(int id)
{
	struct imap im;
	CLEANUP(buf_release) struct buf message = BUF_WITH_LIMIT(GENERATE_MESSAGE_MAX);
	long batch = opt.batch, index;
	if (!imap_open(&im, id, NULL))
		return;
	if (strcasecmp(opt.mailbox, "INBOX")) {
		imap_create(&im, opt.mailbox);
	}
	if (!im.multiappend)
		batch = 1;
	while (!im.c.failed && task_take_operation(&index)) {
		long n = opt.count && opt.count - index < batch ? opt.count - index : batch;
		uint64_t t = stats_now_ns();
		task_take_more(n - 1);
		if (!imap_append(&im, opt.mailbox, index, n, &message))
			break;
		stats.ops += (uint64_t)n;
		stats_sample(stats_now_ns() - t);
	}
	imap_close(&im);
}

void imap_append_run(void)
{
	char extra[60];
	stats_begin();
	task_run_all(opt.conns, imap_append_task);
	stats_end();
	snprintf(extra, sizeof extra, "\"batch\":%d", opt.batch);
	stats_print("append", extra);
}

static void transfer_task(int id UNUSED)
{
	struct imap im;
	char command[300];
	bool move = !strcmp(opt.command, "imap-move");
	if (!imap_open(&im, 0, NULL))
		return;
	imap_create(&im, opt.dest);
	if (!imap_command(&im, "SELECT \"%s\"", opt.mailbox))
		return;
	snprintf(command, sizeof command, "%s 1:%ld \"%s\"", move ? "MOVE" : "COPY", opt.count, opt.dest);
	stats_begin();
	(void)imap_command(&im, "%s", command);
	imap_print_timed(&im, move ? "move" : "copy", (uint64_t)opt.count, 1);
	imap_close(&im);
}

void imap_transfer_run(void)
{
	task_run_all(1, transfer_task);
}

static void expunge_task(int id UNUSED)
{
	struct imap im;
	if (!imap_open(&im, 0, opt.mailbox))
		return;
	if (imap_command(&im, "STORE 1:%ld +FLAGS.SILENT (\\Deleted)", opt.count))
		(void)imap_timed(&im, 1, "expunge", "EXPUNGE");
	imap_close(&im);
}

void imap_expunge_run(void)
{
	task_run_all(1, expunge_task);
}

#include "generate.h"
#include "imap_session.h"
#include "mem.h"
#include "options.h"
#include "smtp_load.h"
#include "stats.h"
#include "steps.h"
#include "task.h"

#include <stdio.h>
#include <stdlib.h>

static struct idler {
	uint64_t pushed_at;
	bool ready, closed;
} * idlers;
static struct delivery {
	uint64_t sent_at, accepted_at;
} * deliveries;
static int nready, nclosed;
static bool idle_over;

/* Collects pushes until the deliverer says it is over. */
static void idle_collect(struct imap *im, struct idler *me)
{
	uint64_t before = im->exists;
	while (!idle_over) {
		int r = conn_try_fill(&im->c);
		if (r < 0) {
			conn_fail(&im->c, "idle connection closed by server");
			return;
		}
		while (conn_has_line(&im->c))
			imap_answer(im);
		if (im->exists != before && !me->pushed_at)
			me->pushed_at = stats_now_ns();
		if (r == 0)
			task_yield();
	}
}

static void idle_task(int id)
{
	struct imap im;
	struct idler *me = &idlers[id];
	/* log in at most 64 at a time; the farther back in the line, the longer the nap */
	while (id >= nready + nclosed + 64)
		task_sleep_until(stats_now_ns() + 5000000 + (uint64_t)(id - nready - nclosed) * 200000);
	bool good = imap_open(&im, id, opt.mailbox);
	if (good) {
		imap_queue(&im, "IDLE");
		good = imap_send(&im) && imap_result(&im) == IMAP_CONTINUE;
	}
	if (!good) {
		nclosed++;
		conn_close(&im.c);
		return;
	}
	nready++;
	me->ready = true;
	buf_release(&im.c.out);
	idle_collect(&im, me);
	conn_close(&im.c);
}

static void deliver_pushes(void)
{
	struct conn c;
	CLEANUP(buf_release) struct buf message = BUF_WITH_LIMIT(GENERATE_MESSAGE_MAX);
	bool chunking;
	if (!opt.deliver_port || !opt.count)
		return;
	if (!smtp_open(&c, opt.deliver_port, opt.deliver_lmtp, 0, &chunking))
		return;
	for (long i = 0; i < opt.count && i < opt.nusers; i++) {
		deliveries[i].sent_at = stats_now_ns();
		if (smtp_deliver(&c, i, opt.deliver_lmtp, false, &message))
			deliveries[i].accepted_at = stats_now_ns();
		task_sleep_until(stats_now_ns() + (uint64_t)opt.gap_ms * 1000000u);
	}
	smtp_command(&c, 221, "QUIT\r\n");
	conn_close(&c);
}

static long pushes_missing(void)
{
	long missing = 0;
	for (int i = 0; i < opt.conns; i++)
		missing += idlers[i].ready && deliveries[i % opt.nusers].accepted_at && !idlers[i].pushed_at;
	return missing;
}

static void idle_report(long missing)
{
	char extra[200];
	uint64_t early = 0;
	stats.ops = 0;
	for (int i = 0; i < opt.conns; i++) {
		const struct delivery *d = &deliveries[i % opt.nusers];
		if (!d->accepted_at || !idlers[i].pushed_at)
			continue;
		early += idlers[i].pushed_at < d->accepted_at;
		stats.ops++;
		stats_sample(idlers[i].pushed_at > d->accepted_at ? idlers[i].pushed_at - d->accepted_at : 0);
	}
	snprintf(extra, sizeof extra,
	         "\"idle\":%d,\"refused\":%d,\"pushed\":%llu,\"missing\":%ld,\"before_250\":%llu", nready, nclosed,
	         (unsigned long long)stats.ops, missing, (unsigned long long)early);
	stats_print("push", extra);
}

/* The last task: waits for everybody to idle, reports, delivers, waits for the pushes. */
static void idle_conductor(void)
{
	uint64_t give_up = stats_now_ns() + (uint64_t)opt.timeout_s * 1000000000u;
	while (nready + nclosed < opt.conns && stats_now_ns() < give_up)
		task_sleep_until(stats_now_ns() + 20000000);
	stats_end();
	stats.ops = (uint64_t)nready;
	stats_print("all-idle", "");
	if (opt.at_idle && system(opt.at_idle) != 0)
		fprintf(stderr, "mailbench: --at-idle command failed\n");
	stats_begin();
	deliver_pushes();
	give_up = stats_now_ns() + (uint64_t)opt.hold * 1000000000u;
	while (pushes_missing() && stats_now_ns() < give_up)
		task_sleep_until(stats_now_ns() + 20000000);
	stats_end();
	idle_report(pushes_missing());
	idle_over = true;
	task_wake_others();
}

static void idle_or_conduct(int id)
{
	if (id < opt.conns)
		idle_task(id);
	else
		idle_conductor();
}

void imap_idle_run(void)
{
	idlers = mem_alloc((size_t)opt.conns * sizeof *idlers);
	deliveries = mem_alloc((size_t)opt.nusers * sizeof *deliveries);
	stats_begin();
	task_run_all(opt.conns + 1, idle_or_conduct);
}

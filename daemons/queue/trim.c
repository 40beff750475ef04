/*
 * The barrier between "the account has it" and "the disk has it": one syncfs for all accounts, about once a second.
 *
 * What was applied while a round is open becomes DONE when a syncfs that began after it succeeded. The marks that
 * follow from it are written in the next round, by the same thread.
 *
 * syncfs waits for all that anybody has written to that file system. Where it takes over SLOW_MS, mailbox processes
 * are asked to make durable what they get before they say STORED (DELIVER_DURABLE), and a round of such deliveries
 * needs none. It is tried again every PROBE_MS. One that does not return for HANG_MS is not waited for when the ring
 * is half full: what it was to make durable goes to files of its own, and the marks follow.
 */
#include "trim.h"
#include "queue.h"

#include "clock.h"
#include "log.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { HEADROOM_MS = 1000, HURRY_MS = 100, SLOW_MS = 2000, HANG_MS = 10000, PROBE_MS = 300000 };

void trim_note_applied(struct delivery *d)
{
	struct sync *sync = &d->mail->queue->sync;
	d->round = sync->round;
	*array_add(&sync->applied) = d;
}

/* ---- in the syncer's thread ---- */

static void run_sync(struct job *job)
{
	struct sync *sync = (struct sync *)job;
	for (size_t i = 0; i < sync->journal_count; i++)
		journal_write_mark(sync->journals[i], NULL); /* a failure closes that journal; its writer sees it */
	int64_t began_ms = clock_monotonic_ms();
	sync->good = !sync->with_accounts || syncfs(sync->queue->accounts_folder) == 0;
	sync->error = errno;
	sync->took_ms = clock_monotonic_ms() - began_ms;
	sync->results_good = results_sync(sync->queue, &sync->error);
}

/* ---- in the loop's thread ---- */

static void close_ring(struct queue *q, struct ring **at)
{
	struct ring *ring = *at;
	CLEANUP(fail_free) struct fail *fail = NULL;
	*at = ring->next;
	for (size_t i = 0; i < q->gone.count; i++)
		if (q->gone.items[i].ring == ring)
			q->gone.items[i].ring = NULL;
	for (struct mail *mail = q->first; mail; mail = mail->next)
		if (mail->ring == ring)
			mail->ring = NULL;
	journal_close(ring->journal);
	q->journals_generation++;
	q->may_know_less |= !spool_retire_journal(q, ring, &fail);
	if (fail)
		log_event(LOG_WARNING, 0, "journal-not-removed", LOG_TEXT("why", str_of(fail_text(fail))));
	free(ring);
}

/* A journal that is not written any more goes when its last record went. */
static void close_drained(struct queue *q)
{
	for (struct ring **at = &q->rings; *at;) {
		struct ring *ring = *at;
		uint64_t sequence;
		uint32_t length;
		bool is_used = ring == q->current || (q->group.under_way && q->group.ring == ring);
		if (is_used || ring->first || journal_next(ring->journal, 0, &sequence, &length))
			at = &ring->next;
		else
			close_ring(q, at);
	}
}

static void move_marks(struct queue *q)
{
	for (struct ring *ring = q->rings; ring; ring = ring->next)
		if (ring->last_sequence)
			journal_trim(ring->journal, ring->first ? ring->first->sequence - 1 : ring->last_sequence);
}

/* After a failed sync nobody knows what the disk has: all since the last good one is applied again. */
static void apply_again(struct queue *q)
{
	struct sync *sync = &q->sync;
	log_event(LOG_ERROR, 0, "sync-failed", LOG_TEXT("why", str_of(strerror(sync->error))),
	          LOG_NUMBER("messages", sync->syncing.count));
	for (size_t i = 0; i < sync->syncing.count; i++) {
		struct delivery *d = sync->syncing.items[i];
		if (d->state != DELIVERY_APPLIED || d->round >= sync->round)
			continue;
		if (!d->account) {
			trim_note_applied(d);
			continue;
		}
		deliver_again(d);
		deliver_retry_soon(d->account);
	}
}

/* RFC 3461 §5.2.3: whoever asked for it is told of the delivery to an account first. */
static void finish(struct delivery *d)
{
	if (!d->account || !d->mail->has_sender || !(d->notify & ENVELOPE_NOTIFY_SUCCESS)) {
		mail_settle(d, DELIVERY_DONE);
		return;
	}
	d->state = DELIVERY_BOUNCING;
	d->report = REPORT_DELIVERED;
	bounce_report(d, REPORT_DELIVERED);
}

static void settle_synced(struct queue *q)
{
	struct sync *sync = &q->sync;
	/* One that was applied twice in a round stands here twice, and may be freed by the first. */
	size_t count = 0;
	for (size_t i = 0; i < sync->syncing.count; i++) {
		struct delivery *d = sync->syncing.items[i];
		if (d->state != DELIVERY_APPLIED || d->round >= sync->round)
			continue;
		if (!d->account && (!sync->results_good || q->results.behind)) {
			trim_note_applied(d); /* the log of results is written anew */
			continue;
		}
		d->round = sync->round;
		sync->syncing.items[count++] = d;
	}
	for (size_t i = 0; i < count; i++)
		finish(sync->syncing.items[i]);
}

static void note_speed(struct sync *sync)
{
	bool is_slow = sync->took_ms > SLOW_MS;
	sync->looked_ms = clock_monotonic_ms();
	if (is_slow == sync->is_slow)
		return;
	sync->is_slow = is_slow;
	log_event(is_slow ? LOG_WARNING : LOG_INFO, 0, is_slow ? "sync-slow" : "sync-fast",
	          LOG_NUMBER("took-ms", (uint64_t)sync->took_ms));
}

static void sync_done(struct job *job)
{
	struct sync *sync = (struct sync *)job;
	struct queue *q = sync->queue;
	sync->under_way = false;
	if (sync->with_accounts && sync->good)
		note_speed(sync);
	results_synced(q, sync->results_good);
	if (sync->good)
		settle_synced(q);
	else
		apply_again(q);
	sync->syncing.count = 0;
	move_marks(q);
	spool_remove_gone(q);
	close_drained(q);
	commit_retry(q);
}

/* Not for what went to other hosts, nor for what is durable already, but to see whether it is fast again. */
static bool needs_syncfs(const struct sync *sync)
{
	bool any = false;
	for (size_t i = 0; i < sync->syncing.count; i++) {
		const struct delivery *d = sync->syncing.items[i];
		if (d->account && !d->durable)
			return true;
		any = any || d->account;
	}
	return any && sync->is_slow && clock_monotonic_ms() - sync->looked_ms >= PROBE_MS;
}

static void begin_sync(struct queue *q)
{
	struct sync *sync = &q->sync;
	sync->job = (struct job){ .run = run_sync, .done = sync_done };
	sync->queue = q;
	sync->under_way = true;
	sync->began_ms = clock_monotonic_ms();
	move_marks(q);
	sync->marks_moved = false;
	sync->journal_count = 0;
	for (struct ring *ring = q->rings; ring && sync->journal_count < JOURNALS_MAX; ring = ring->next)
		sync->journals[sync->journal_count++] = ring->journal;
	struct applied empty = sync->syncing;
	sync->syncing = sync->applied;
	sync->applied = empty;
	sync->with_accounts = needs_syncfs(sync);
	sync->round++;
	worker_give(&q->syncer, &sync->job);
}

static void sync_if_useful(struct queue *q)
{
	if (!q->sync.under_way && (q->sync.applied.count > 0 || q->sync.marks_moved))
		begin_sync(q);
}

static void hurry_is_due(void *owner)
{
	sync_if_useful(owner);
}

void trim_hurry(struct queue *q)
{
	int64_t wait = q->sync.began_ms + HURRY_MS - clock_monotonic_ms();
	if (wait <= 0)
		sync_if_useful(q);
	else if (q->sync.hurry_timer.place == 0)
		loop_start_timer(q->loop, &q->sync.hurry_timer, wait, hurry_is_due, q);
}

bool trim_sync_hangs(const struct queue *q)
{
	return q->sync.under_way && clock_monotonic_ms() - q->sync.began_ms >= HANG_MS;
}

void trim_tick(struct queue *q)
{
	if (trim_sync_hangs(q))
		move_marks(q);
	sync_if_useful(q);
	commit_retry(q);
	spool_remove_gone(q);
}

static bool has_room(int folder, uint64_t headroom)
{
	struct statvfs facts;
	/* what cannot be asked is no reason to refuse */
	return fstatvfs(folder, &facts) != 0 || facts.f_bavail * facts.f_frsize >= headroom;
}

bool trim_has_headroom(struct queue *q)
{
	struct sync *sync = &q->sync;
	int64_t now = loop_now_ms(q->loop);
	if (sync->headroom_ms && now - sync->headroom_ms < HEADROOM_MS)
		return sync->headroom;
	uint64_t wanted = q->daemon.config.spool_headroom;
	sync->headroom = has_room(q->spool, wanted) && has_room(q->accounts_folder, wanted);
	sync->headroom_ms = now;
	return sync->headroom;
}

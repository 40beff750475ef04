#include "commit.h"
#include "queue.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

enum { GROUP_OCTETS_MAX = 4 << 20, GROUP_MAX = 1000, ROOM_PATIENCE_MS = 10000, RING_RETRY_MS = 1000,
       GROUP_WORTH = 16, COMPANY_MS = 1 };

static void list_add(struct commit_list *list, struct commit *commit)
{
	commit->next = NULL;
	*(list->last ? &list->last->next : &list->first) = commit;
	list->last = commit;
	list->count++;
}

static struct commit *list_take(struct commit_list *list)
{
	struct commit *commit = list->first;
	if (!commit)
		return NULL;
	list->first = commit->next;
	if (!list->first)
		list->last = NULL;
	list->count--;
	return commit;
}

/* ---- journals ---- */

struct journal *commit_make_journal(int spool, uint64_t size, struct fail **fail)
{
	struct journal_uuid uuid;
	struct journal_report report;
	uint64_t whole = size / 4096 * 4096;
	return journal_create(spool, whole, &uuid, fail) ? journal_open(spool, &uuid, &report, fail) : NULL;
}

struct ring *commit_add_ring(struct queue *q, struct journal *journal)
{
	struct ring *ring = mem_alloc(sizeof *ring);
	ring->journal = journal;
	ring->uuid = journal_uuid_of(journal);
	ring->next = q->rings;
	q->rings = ring;
	return ring;
}

/* ---- in the writer's thread ---- */

static void fail_commit(struct commit *commit, struct fail **fail)
{
	commit->failed = true;
	commit->why = (*fail)->kind;
	fail_free(fail);
}

/* Bodies in files are made durable before the records that name them. */
static size_t prepare(struct group *g)
{
	size_t count = 0;
	for (struct commit *c = g->commits.first; c; c = c->next) {
		struct fail *fail = NULL;
		struct mail *mail = c->mail;
		if (mail->body_in_file && !c->body_finished && !c->failed) {
			if (!spoolfile_body_finish(g->queue->spool, mail->id, mail->size, &fail))
				fail_commit(c, &fail);
			c->body_finished = true;
		}
		if (c->failed)
			continue;
		struct str body = mail->body_in_file ? (struct str){} : str_from(mail->body, mail->size);
		g->entries[count++] = (struct journal_entry){ .head = str_from(mail->head, mail->head_length), .body = body };
	}
	return count;
}

static void note_sequences(struct group *g)
{
	size_t i = 0;
	for (struct commit *c = g->commits.first; c; c = c->next)
		if (!c->failed)
			c->mail->sequence = g->entries[i++].sequence;
}

static void make_journal(struct group *g)
{
	struct fail *why = NULL;
	g->fresh = commit_make_journal(g->queue->spool, g->queue->daemon.config.journal_size, &why);
	if (!g->fresh)
		fail_prefix(&why, "no new journal");
	if (why && !g->fail)
		g->fail = TAKE(why);
	fail_free(&why);
}

static void run_group(struct job *job)
{
	struct group *g = (struct group *)job;
	g->tried = true;
	if (!g->ring)
		make_journal(g);
	size_t count = prepare(g);
	struct journal *journal = g->ring ? g->ring->journal : g->fresh;
	if (!journal || count == 0)
		return;
	if (journal_append_group(journal, g->entries, count, &g->fail))
		note_sequences(g);
	else if (g->fail->kind == FAIL_LIMIT)
		g->full = true;
	else if (g->ring && journal_is_failed(journal))
		make_journal(g);
}

/* ---- in the loop's thread ---- */

static void enter_ring(struct ring *ring, struct mail *mail)
{
	must(mail->sequence > ring->last_sequence);
	mail->ring = ring;
	mail->journal = ring->uuid;
	mail->ring_previous = ring->last;
	*(ring->last ? &ring->last->ring_next : &ring->first) = mail;
	ring->last = mail;
	ring->last_sequence = mail->sequence;
}

/* Done is said before anything is sent to an account. */
static void start_mail(struct ring *ring, struct commit *commit)
{
	struct mail *mail = commit->mail;
	enter_ring(ring, mail);
	mail_enqueue(mail);
	mail->busy = true;
	commit->done(commit, true);
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].account)
			gather_new(&mail->deliveries[i]);
	mail->busy = false;
	mail_proceed(mail);
}

static void drop_mail(struct queue *q, struct commit *commit)
{
	struct mail *mail = commit->mail;
	if (mail->body_in_file) {
		spoolfile_remove(q->spool, mail->id, NULL);
		spoolfile_body_abandon(q->spool, mail->id);
	}
	commit->done(commit, false);
	mail_free(mail);
}

static void answer(struct group *g, struct commit *commit)
{
	bool durable = !g->fail && !commit->failed;
	if (!durable && !commit->failed)
		commit->why = g->fail->kind;
	if (durable)
		start_mail(g->ring, commit);
	else
		drop_mail(g->queue, commit);
}

/* The journal failed and is only read from now on, or there was none. */
static void change_ring(struct group *g)
{
	struct queue *q = g->queue;
	if (g->fail)
		log_event(LOG_ERROR, 0, "journal-failed", LOG_TEXT("why", str_of(fail_text(g->fail))));
	q->current = NULL;
	q->no_ring_why = g->fail && g->fail->kind == FAIL_NO_SPACE ? FAIL_NO_SPACE : FAIL_UNAVAILABLE;
	q->ring_retry_ms = clock_monotonic_ms() + RING_RETRY_MS;
	if (!g->fresh)
		return;
	log_event(LOG_WARNING, 0, "journal-replaced");
	q->current = commit_add_ring(q, TAKE(g->fresh));
	if (!g->ring)
		g->ring = q->current;
}

static void begin_group_soon(struct queue *q);

static void finish_group(struct group *g)
{
	struct queue *q = g->queue;
	bool lost_ring = !g->ring || journal_is_failed(g->ring->journal);
	if (g->tried && (g->fresh || (g->fail && !g->full && lost_ring)))
		change_ring(g);
	struct commit_list commits = g->commits;
	g->commits = (struct commit_list){};
	for (struct commit *c; (c = list_take(&commits)) != NULL;)
		answer(g, c);
	fail_free(&g->fail);
	g->full = false;
	g->under_way = false;
	if (q->current && journal_is_half_full(q->current->journal))
		trim_hurry(q);
	if (q->waiting.first)
		begin_group_soon(q);
}

static void group_done(struct job *job)
{
	struct group *g = (struct group *)job;
	if (g->full && clock_monotonic_ms() - g->since_ms < ROOM_PATIENCE_MS) {
		g->waits = true;
		trim_hurry(g->queue); /* commit_retry comes when something was trimmed */
		return;
	}
	finish_group(g);
}

void commit_retry(struct queue *q)
{
	struct group *g = &q->group;
	if (!g->waits)
		return;
	fail_free(&g->fail);
	g->full = g->waits = false;
	worker_give(&q->writer, &g->job);
}

static void begin_group(struct queue *q)
{
	struct group *g = &q->group;
	if (g->under_way || !q->waiting.first)
		return;
	*g = (struct group){ .job = { .run = run_group, .done = group_done }, .queue = q, .ring = q->current,
		                 .entries = g->entries, .capacity = g->capacity, .since_ms = clock_monotonic_ms(),
		                 .under_way = true };
	for (uint64_t octets = 0; q->waiting.first && g->commits.count < GROUP_MAX && octets < GROUP_OCTETS_MAX;) {
		struct commit *commit = list_take(&q->waiting);
		octets += commit->mail->octets;
		list_add(&g->commits, commit);
	}
	if (g->commits.count > g->capacity) {
		g->capacity = g->commits.count * 2;
		g->entries = mem_resize(g->entries, g->capacity, sizeof *g->entries);
	}
	if (!g->ring && clock_monotonic_ms() < q->ring_retry_ms) {
		fail_set(&g->fail, q->no_ring_why, "there is no journal");
		finish_group(g);
		return;
	}
	worker_give(&q->writer, &g->job);
}

static void group_is_due(void *owner)
{
	begin_group(owner);
}

/* At the end of this round, or a moment later when others are about to commit: a group costs the same for one mail
 * and for ten. */
static void begin_group_soon(struct queue *q)
{
	bool alone = q->commits_coming == 0 || q->waiting.count >= GROUP_WORTH;
	if (alone || q->commit_timer.place == 0)
		loop_start_timer(q->loop, &q->commit_timer, alone ? 0 : COMPANY_MS, group_is_due, q);
}

void commit_add(struct queue *q, struct commit *commit)
{
	list_add(&q->waiting, commit);
	if (!q->group.under_way)
		begin_group_soon(q);
}

bool commit_is_idle(const struct queue *q)
{
	return !q->group.under_way && !q->waiting.first;
}

#include "spool.h"
#include "queue.h"

#include "clock.h"
#include "file.h"
#include "log.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	LAG_MS = 5000,           /* not applied after this: it moves to a file of its own */
	LAG_HALF_FULL_MS = 500,
};
enum { MOVES_MAX = 64, LOG_RETRY_MS = 5000, REMOVED_AT_ONCE = 1000 };

/* By its checksum, which the message's own file has. */
static int open_unchecked(struct mail *mail, struct fail **fail)
{
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = spoolfile_open(mail->queue->spool, mail->id, fail);
	uint64_t offset;
	int file = f ? spoolfile_body(f, &offset, fail) : -1;
	mail->body_unchecked = file < 0;
	return file;
}

int spool_open_body(struct mail *mail, struct fail **fail)
{
	char name[32];
	if (mail->body_unchecked && mail->in_file && !mail->damaged)
		return open_unchecked(mail, fail);
	snprintf(name, sizeof name, "%016" PRIx64 ".body", mail->id);
	int file = openat(mail->queue->spool, name, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		fail_set_errno(fail, FAIL_NOT_FOUND, "the body of a message");
	return file;
}

int spool_open_content(struct mail *mail, struct fail **fail)
{
	if (mail->body_in_file)
		return spool_open_body(mail, fail);
	return file_sealed_memory("mail", str_from(mail->body, mail->size), fail);
}

/* ---- moving a record to a file ---- */

struct move {
	struct job job;
	struct mail *mail;
	struct arena *arena;
	struct envelope envelope; /* looks into the mail's octets */
	struct str body;
	struct fail *fail;
};

/* What smtpd put before the message may make it longer than what such a file holds. */
static bool write_body(struct move *move)
{
	int spool = move->mail->queue->spool;
	uint64_t id = move->mail->id;
	CLEANUP(file_close) int file = spoolfile_body_begin(spool, id, &move->fail);
	if (file < 0 || !file_write_at(file, move->body.data, move->body.length, 0, &move->fail) ||
	    !spoolfile_body_finish(spool, id, move->body.length, &move->fail))
		return false;
	move->envelope.body_in_file = true;
	move->body = (struct str){};
	return true;
}

static void run_move(struct job *job)
{
	struct move *move = (struct move *)job;
	int spool = move->mail->queue->spool;
	bool is_long = move->body.length > LIMIT_INLINE_BODY_MAX;
	if ((!is_long || write_body(move)) && spoolfile_create(spool, &move->envelope, move->body, &move->fail))
		return;
	if (is_long)
		spoolfile_remove(spool, move->mail->id, NULL); /* of the body; the record still has it */
}

/* The file says the same as the log of results. */
static void release_results(struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++) {
		const struct delivery *d = &mail->deliveries[i];
		bool has_result = d->state == DELIVERY_APPLIED || d->state == DELIVERY_BOUNCING || delivery_is_final(d);
		if (!d->account && has_result && !d->logged)
			return;
	}
	if (mail->results)
		results_release(mail->queue, mail->results);
	mail->results = 0;
}

static void log_moved(const struct move *move)
{
	const struct mail *mail = move->mail;
	char id[17];
	envelope_id_text(mail->id, id);
	if (move->fail)
		log_event(LOG_ERROR, mail->session, "not-spooled", LOG_TEXT("queue-id", str_of(id)),
		          LOG_TEXT("why", str_of(fail_text(move->fail))));
	else
		log_event(LOG_INFO, mail->session, "spooled", LOG_TEXT("queue-id", str_of(id)), LOG_NUMBER("open", mail->open));
}

static void move_done(struct job *job)
{
	struct move *move = (struct move *)job;
	struct mail *mail = move->mail;
	struct queue *q = mail->queue;
	q->moves--;
	mail->busy = mail->pinned = false;
	log_moved(move);
	if (move->fail) {
		mail->queued_ms = clock_monotonic_ms(); /* tried again when it lags anew */
		mail->may_not_move = true;
	} else {
		mail_leave_ring(mail);
		mail->in_file = true;
		mail->body_in_file = move->envelope.body_in_file;
		for (uint32_t i = 0; i < mail->count; i++)
			mail->deliveries[i].logged = move->envelope.recipients[i].state != ENVELOPE_PENDING;
		mail_release_logged(mail);
		release_results(mail);
	}
	mail_unload(mail);
	fail_free(&move->fail);
	arena_free(move->arena);
	free(move);
	mail_proceed(mail);
	if (q->moves == MOVES_MAX / 2)
		spool_tick(q);
}

/* Copies a journal record into its own file. */
static void move_out(struct mail *mail)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct move *move = mem_alloc(sizeof *move);
	must(!mail->busy && !mail->in_file);
	move->job = (struct job){ .run = run_move, .done = move_done };
	move->mail = mail;
	move->arena = arena_new(ENVELOPE_ARENA_MAX);
	if (!mail_envelope(mail, move->arena, &move->envelope, &fail)) {
		arena_free(move->arena);
		free(move);
		mail->queued_ms = clock_monotonic_ms();
		mail->may_not_move = true;
		if (fail->kind == FAIL_CORRUPT)
			mail_give_up_damaged(mail, fail);
		return;
	}
	if (!mail->body_in_file)
		move->body = str_from(mail->body, mail->size);
	mail->busy = mail->pinned = true;
	mail->queue->moves++;
	worker_give(&mail->queue->filer, &move->job);
}

void spool_move_soon(struct mail *mail)
{
	if (mail->queue->moves < MOVES_MAX)
		move_out(mail);
}

/* What is only waiting for a sync does not lag, unless that does not return. */
static bool lags(const struct mail *mail, bool sync_hangs)
{
	for (uint32_t i = 0; i < mail->count; i++) {
		enum delivery_state state = mail->deliveries[i].state;
		if (state == DELIVERY_PENDING || state == DELIVERY_HELD || state == DELIVERY_SENT ||
		    state == DELIVERY_BOUNCING || (sync_hangs && state == DELIVERY_APPLIED))
			return true;
	}
	return false;
}

void spool_tick(struct queue *q)
{
	int64_t now = clock_monotonic_ms();
	for (struct ring *ring = q->rings; ring; ring = ring->next) {
		bool half_full = journal_is_half_full(ring->journal), sync_hangs = half_full && trim_sync_hangs(q);
		int64_t limit = half_full ? LAG_HALF_FULL_MS : LAG_MS;
		for (struct mail *mail = ring->first, *next; mail && q->moves < MOVES_MAX; mail = next) {
			next = mail->ring_next;
			if (now - mail->queued_ms < limit)
				break;
			mail->may_not_move = false;
			if (!mail->busy && !mail->damaged && lags(mail, sync_hangs))
				move_out(mail);
		}
	}
}

/* ---- logging what became final ---- */

struct log_job {
	struct job job;
	struct mail *mail;
	struct timer timer;
	ARRAY(struct spoolfile_result) results;
	struct fail *fail;
};

/* A file that failed once is not written again: its message gets a new one. */
static void run_log(struct job *job)
{
	struct log_job *log = (struct log_job *)job;
	int spool = log->mail->queue->spool;
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = spoolfile_open(spool, log->mail->id, &log->fail);
	if (!f || spoolfile_log(f, log->results.items, log->results.count, &log->fail))
		return;
	fail_free(&log->fail);
	if (spoolfile_rewrite(f, &log->fail))
		spoolfile_log(f, log->results.items, log->results.count, &log->fail);
}

static void release_texts(struct log_job *log)
{
	for (size_t i = 0; i < log->results.count; i++)
		free((char *)log->results.items[i].reply.data);
}

static void try_log_again(void *owner)
{
	struct log_job *log = owner;
	fail_free(&log->fail);
	worker_give(&log->mail->queue->filer, &log->job);
}

static void log_done(struct job *job)
{
	struct log_job *log = (struct log_job *)job;
	struct mail *mail = log->mail;
	if (log->fail) {
		log_event(LOG_ERROR, mail->session, "result-not-written", LOG_TEXT("why", str_of(fail_text(log->fail))));
		loop_start_timer(mail->queue->loop, &log->timer, LOG_RETRY_MS, try_log_again, log);
		return;
	}
	for (size_t i = 0; i < log->results.count; i++)
		mail->deliveries[log->results.items[i].recipient].logged |= log->results.items[i].state != ENVELOPE_PENDING;
	mail_release_logged(mail);
	release_results(mail);
	release_texts(log);
	array_release(&log->results);
	free(log);
	mail->busy = false;
	mail_proceed(mail);
}

static void add_result(struct log_job *log, struct delivery *d)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(SPOOLFILE_REPLY_MAX);
	const struct attempt_facts last = attempt_facts(d->last);
	if (d->last)
		attempt_pack(&packed, &last);
	*array_add(&log->results) = (struct spoolfile_result){
		.recipient = d->index,
		.state = d->state == DELIVERY_DONE ? ENVELOPE_APPLIED : d->state == DELIVERY_FAILED ? ENVELOPE_FAILED : ENVELOPE_PENDING,
		.attempts = d->attempts ? d->attempts : 1, .last_attempt = d->last_attempt ? d->last_attempt : clock_wall_seconds(),
		.next_attempt = schedule_next(d), .reply = { packed.data, packed.length },
	};
	packed = (struct buf){};
	d->unlogged = false;
}

void spool_log(struct mail *mail)
{
	struct log_job *log = mem_alloc(sizeof *log);
	log->job = (struct job){ .run = run_log, .done = log_done };
	log->mail = mail;
	for (uint32_t i = 0; i < mail->count; i++)
		if ((delivery_is_final(&mail->deliveries[i]) && !mail->deliveries[i].logged) || mail->deliveries[i].unlogged)
			add_result(log, &mail->deliveries[i]);
	mail->busy = true;
	worker_give(&mail->queue->filer, &log->job);
}

/* ---- removing ---- */

void spool_forget(struct mail *mail)
{
	struct queue *q = mail->queue;
	bool has_file = mail->in_file || mail->body_in_file || mail->held;
	if (has_file || mail->results)
		*array_add(&q->gone) = (struct gone){
			.id = mail->id, .has_file = has_file, .results = mail->results, .ring = mail->ring,
			.sequence = mail->sequence,
		};
	mail_free(mail);
}

struct removal {
	struct job job;
	struct queue *queue;
	ARRAY(uint64_t) ids;
};

/* What stays is done by its log. */
static void remove_files(const struct queue *q, uint64_t id)
{
	char name[32];
	snprintf(name, sizeof name, "%016" PRIx64 ".held", id);
	unlinkat(q->spool, name, 0);
	spoolfile_remove(q->spool, id, NULL);
}

static void run_removal(struct job *job)
{
	struct removal *removal = (struct removal *)job;
	for (size_t i = 0; i < removal->ids.count; i++)
		remove_files(removal->queue, removal->ids.items[i]);
}

static void removal_done(struct job *job)
{
	struct removal *removal = (struct removal *)job;
	removal->queue->removing = false;
	array_release(&removal->ids);
	free(removal);
}

/* Invariant 4. */
static bool may_go(const struct gone *gone)
{
	return !gone->ring || journal_durable_mark(gone->ring->journal) > gone->sequence;
}

void spool_remove_gone(struct queue *q)
{
	if (q->removing || q->gone.count == 0)
		return;
	struct removal *removal = mem_alloc(sizeof *removal);
	removal->job = (struct job){ .run = run_removal, .done = removal_done };
	removal->queue = q;
	size_t kept = 0;
	for (size_t i = 0; i < q->gone.count; i++) {
		struct gone *gone = &q->gone.items[i];
		if (removal->ids.count >= REMOVED_AT_ONCE || !may_go(gone)) {
			q->gone.items[kept++] = *gone;
			continue;
		}
		if (gone->has_file)
			*array_add(&removal->ids) = gone->id;
		if (gone->results)
			results_release(q, gone->results);
	}
	q->gone.count = kept;
	q->removing = true;
	worker_give(&q->filer, &removal->job);
}

/* ---- setting aside ---- */

/* False when it may come back under its name. */
static bool rename_damaged(struct queue *q, const char *name, struct fail **fail)
{
	CLEANUP(mem_free) char *aside = mem_printf("damaged-%s", name);
	if (renameat(q->spool, name, q->spool, aside) == 0 ? fsync(q->spool) == 0 : errno == ENOENT)
		return true;
	q->may_know_less = true;
	return fail_set_errno(fail, FAIL_IO, "renaming %s", name);
}

static void rename_damaged_message(struct queue *q, uint64_t id)
{
	char name[32];
	snprintf(name, sizeof name, "%016" PRIx64, id);
	rename_damaged(q, name, NULL);
	snprintf(name, sizeof name, "%016" PRIx64 ".body", id);
	rename_damaged(q, name, NULL);
}

void spool_set_aside(struct mail *mail)
{
	struct queue *q = mail->queue;
	if (mail->in_file || mail->body_in_file)
		rename_damaged_message(q, mail->id);
	if (!mail->in_file && mail->ring) {
		mail->ring->damaged = true;
		/* Nothing may overwrite what somebody may still read by hand. */
		if (q->current == mail->ring)
			q->current = NULL;
	}
	mail_free(mail);
}

static void journal_name(char name[48], const struct journal_uuid *uuid)
{
	int length = snprintf(name, 48, "journal-");
	for (size_t i = 0; i < sizeof uuid->bytes; i++)
		length += snprintf(name + length, 48 - (size_t)length, "%02x", uuid->bytes[i]);
}

bool spool_retire_journal(struct queue *q, const struct ring *ring, struct fail **fail)
{
	char name[48];
	if (!ring->damaged)
		return journal_remove(q->spool, &ring->uuid, fail);
	journal_name(name, &ring->uuid);
	return rename_damaged(q, name, fail);
}

/* ---- the start ---- */

struct recovery {
	struct queue *queue;
	struct arena *arena;
	ARRAY(struct mail *) mails;
	ARRAY(uint64_t) bodies;
	struct map *origins; /* (journal, sequence) → mail */
	struct map *ids;     /* of those that have a body in a file, or may have */
	struct map *held;    /* ids of those that the administrator holds */
};

struct origin_key {
	struct journal_uuid journal;
	uint64_t sequence;
};

static void recover_delivery(struct delivery *d, const struct spoolfile_result *result)
{
	d->replay = true;
	d->attempts = result->attempts;
	if (d->account || delivery_is_final(d) || result->attempts == 0)
		return;
	const struct attempt_facts facts = attempt_unpack(result->reply, RELAY_DEFERRED);
	struct attempt *last = d->destination->last_failure;
	attempt_note(d, last && attempt_is(last, &facts) ? attempt_ref(last) : attempt_new(&facts), result->last_attempt);
	if (!last)
		d->destination->last_failure = attempt_ref(d->last);
	schedule_recovered(d, result->last_attempt, result->next_attempt);
}

static void add_file(struct recovery *r, uint64_t id)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = spoolfile_open(r->queue->spool, id, &fail);
	struct spoolfile_result *results;
	struct envelope e;
	arena_reset(r->arena);
	if (!f || !spoolfile_load(f, r->arena, &e, &results, &fail)) {
		char text[17];
		envelope_id_text(id, text);
		log_event(LOG_ERROR, 0, "message-unreadable", LOG_TEXT("queue-id", str_of(text)),
		          LOG_TEXT("why", str_of(fail_text(fail))));
		if (fail->kind == FAIL_CORRUPT)
			rename_damaged_message(r->queue, id);
		else
			r->queue->may_know_less = true;
		map_set(r->ids, MAP_KEY(id), r); /* what cannot be read now keeps its body */
		return;
	}
	struct mail *mail = mail_new(r->queue, &e);
	mail->in_file = true;
	mail->body_unchecked = mail->body_in_file;
	for (uint32_t i = 0; i < mail->count; i++)
		recover_delivery(&mail->deliveries[i], &results[i]);
	results_apply(mail);
	bounce_note_recovered(r->queue, &e);
	struct origin_key key = { mail->journal, mail->sequence };
	if (mail->sequence)
		map_set(r->origins, MAP_KEY(key), mail);
	if (mail->body_in_file)
		map_set(r->ids, MAP_KEY(id), r);
	*array_add(&r->mails) = mail;
}

static void walk_files(struct recovery *r)
{
	struct fail *fail = NULL;
	struct spoolfile_walk *walk = spoolfile_walk_begin(r->queue->spool, &fail);
	enum spoolfile_kind kind;
	uint64_t id;
	if (!walk)
		daemon_die("cannot-read-spool", fail);
	while (spoolfile_walk_next(walk, &id, &kind)) {
		if (kind == SPOOLFILE_MESSAGE)
			add_file(r, id);
		else if (kind == SPOOLFILE_BODY)
			*array_add(&r->bodies) = id;
		else if (kind == SPOOLFILE_HELD)
			map_set(r->held, MAP_KEY(id), r);
		else
			spoolfile_remove_parts(r->queue->spool, id);
	}
	spoolfile_walk_end(walk);
}

/* False when it cannot be read. */
static bool add_record(struct recovery *r, struct ring *ring, uint64_t sequence, struct fail **fail)
{
	CLEANUP(buf_release) struct buf record = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX);
	struct origin_key key = { ring->uuid, sequence };
	struct envelope e;
	struct str body;
	if (map_get(r->origins, MAP_KEY(key)))
		return true; /* it has its file */
	arena_reset(r->arena);
	if (!journal_read(ring->journal, sequence, &record, fail) ||
	    !envelope_decode_record(buf_str(&record), r->arena, &e, &body, fail))
		return false;
	e.origin = ring->uuid;
	e.origin_sequence = sequence;
	struct mail *mail = mail_new(r->queue, &e);
	mail->ring = ring;
	for (uint32_t i = 0; i < mail->count; i++)
		mail->deliveries[i].replay = true;
	results_apply(mail);
	bounce_note_recovered(r->queue, &e);
	mail->ring_previous = ring->last;
	*(ring->last ? &ring->last->ring_next : &ring->first) = mail;
	ring->last = mail;
	if (mail->body_in_file)
		map_set(r->ids, MAP_KEY(mail->id), r);
	*array_add(&r->mails) = mail;
	return true;
}

static void read_records(struct recovery *r, struct ring *ring)
{
	uint64_t sequence = 0;
	uint32_t length;
	while (journal_next(ring->journal, sequence, &sequence, &length)) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		ring->last_sequence = sequence;
		if (add_record(r, ring, sequence, &fail))
			continue;
		log_event(LOG_ERROR, 0, "record-damaged", LOG_NUMBER("sequence", sequence),
		          LOG_TEXT("why", str_of(fail_text(fail))));
		ring->damaged = true;
	}
}

/* What is lost was acknowledged: nobody may overlook it. */
static void log_report(struct ring *ring, const struct journal_report *report)
{
	log_event(LOG_INFO, 0, "journal-opened", LOG_NUMBER("records", report->records), LOG_NUMBER("torn", report->torn),
	          LOG_NUMBER("gaps", report->gap_count), LOG_NUMBER("unreadable-blocks", report->unreadable));
	if (report->salvaged || report->slot_damaged)
		log_event(LOG_WARNING, 0, "journal-header-damaged", LOG_NUMBER("salvaged", report->salvaged));
	for (size_t i = 0; i < report->gap_count && i < COUNT_OF(report->gaps); i++) {
		if (!report->gaps[i].synced)
			continue;
		log_event(LOG_ERROR, 0, "records-lost", LOG_NUMBER("first", report->gaps[i].first),
		          LOG_NUMBER("last", report->gaps[i].last));
		ring->damaged = true;
	}
}

static void open_journal(struct recovery *r, const struct journal_uuid *uuid)
{
	struct queue *q = r->queue;
	struct fail *fail = NULL;
	struct journal_report report;
	struct journal *journal = journal_open(q->spool, uuid, &report, &fail);
	if (!journal && fail->kind == FAIL_CORRUPT) {
		char name[48];
		log_event(LOG_ERROR, 0, "journal-unreadable", LOG_TEXT("why", str_of(fail_text(fail))));
		fail_free(&fail);
		journal_name(name, uuid);
		rename_damaged(q, name, NULL);
		return;
	}
	if (!journal)
		daemon_die("cannot-open-journal", fail); /* another queue may still have it */
	struct ring *ring = commit_add_ring(q, journal);
	log_report(ring, &report);
	read_records(r, ring);
	bool fits = journal_size(journal) == q->daemon.config.journal_size / 4096 * 4096;
	if (fits && !report.read_only && !ring->damaged && !journal_is_failed(journal))
		q->current = ring;
}

static void open_journals(struct recovery *r)
{
	struct queue *q = r->queue;
	struct fail *fail = NULL;
	struct journal_uuid uuids[JOURNALS_MAX];
	size_t count;
	if (!journal_list(q->spool, uuids, COUNT_OF(uuids), &count, &fail))
		daemon_die("cannot-read-spool", fail);
	q->may_know_less |= count == COUNT_OF(uuids); /* there may be more */
	for (size_t i = 0; i < count; i++)
		open_journal(r, &uuids[i]);
	if (q->current)
		return;
	struct journal *journal = commit_make_journal(q->spool, q->daemon.config.journal_size, &fail);
	if (journal)
		q->current = commit_add_ring(q, journal);
	else
		log_event(LOG_ERROR, 0, "no-journal", LOG_TEXT("why", str_of(fail_text(fail)))); /* tried again at each mail */
	fail_free(&fail);
}

static int by_age(const void *a, const void *b)
{
	const struct mail *left = *(struct mail *const *)a, *right = *(struct mail *const *)b;
	if (left->received != right->received)
		return left->received < right->received ? -1 : 1;
	return left->sequence < right->sequence ? -1 : left->sequence > right->sequence;
}

static void find_ring(struct queue *q, struct mail *mail)
{
	for (struct ring *ring = q->rings; ring && !mail->ring; ring = ring->next)
		if (memcmp(&ring->uuid, &mail->journal, sizeof ring->uuid) == 0)
			mail->ring = ring;
}

static void enqueue_all(struct recovery *r)
{
	struct queue *q = r->queue;
	if (r->mails.count)
		qsort(r->mails.items, r->mails.count, sizeof *r->mails.items, by_age);
	for (size_t i = 0; i < r->mails.count; i++) {
		struct mail *mail = r->mails.items[i];
		find_ring(q, mail);
		mail->held = map_remove(r->held, MAP_KEY(mail->id)) != NULL;
		mail_enqueue(mail);
	}
	bounce_settle_recovered(q);
	for (size_t i = 0; i < r->mails.count; i++)
		if (r->mails.items[i]->open == 0 || r->mails.items[i]->in_file)
			mail_proceed(r->mails.items[i]);
	if (r->mails.count)
		log_event(LOG_INFO, 0, "recovered", LOG_NUMBER("messages", r->mails.count));
}

static void remove_orphans(struct recovery *r)
{
	for (size_t i = 0; i < r->bodies.count; i++)
		if (!map_get(r->ids, MAP_KEY(r->bodies.items[i])))
			spoolfile_remove(r->queue->spool, r->bodies.items[i], NULL);
}

/* Of mail that is gone; what cannot be read now keeps its mark. */
static void remove_marks(struct recovery *r)
{
	size_t position = 0;
	struct str key;
	void *value;
	while (map_next(r->held, &position, &key, &value)) {
		uint64_t id;
		memcpy(&id, key.data, sizeof id);
		if (!map_get(r->ids, key))
			remove_files(r->queue, id);
	}
}

void spool_recover(struct queue *q)
{
	struct recovery r = { .queue = q, .arena = arena_new(ENVELOPE_ARENA_MAX), .origins = map_new(), .ids = map_new(),
		                  .held = map_new() };
	results_load(q);
	walk_files(&r);
	open_journals(&r);
	results_loaded(q);
	remove_orphans(&r);
	enqueue_all(&r);
	remove_marks(&r);
	map_free(r.origins);
	map_free(r.ids);
	map_free(r.held);
	array_release(&r.mails);
	array_release(&r.bodies);
	arena_free(r.arena);
}

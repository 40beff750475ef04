/*
 * Group commit: all that came in one round of the loop, and while the group before was on its way, becomes durable by
 * one flush.
 *
 * Guarantee: done(commit, true) is called only after the record was written and flushed (journal.h). A commit belongs
 * to its giver until then. A journal that is full makes the group wait for room; one that fails is left for a fresh
 * one, and mail hears "try again" meanwhile. Threads: records are appended by the worker `writer`, all else is the
 * loop's.
 */
#ifndef POSTHORN_QUEUE_COMMIT_H
#define POSTHORN_QUEUE_COMMIT_H

#include "fail.h"
#include "journal.h"
#include "worker.h"

struct mail;
struct queue;

struct ring {
	struct ring *next;
	struct journal *journal;
	struct journal_uuid uuid;
	struct mail *first, *last;  /* those that hold their records */
	uint64_t last_sequence;     /* known to be appended */
	bool damaged;               /* keeps its file when it is drained */
};

/* What is to become durable; belongs to its giver until done. */
struct commit {
	struct commit *next;
	struct mail *mail;          /* head and body in memory */
	bool body_finished;
	bool failed;                /* its own part failed, not the group */
	enum fail_kind why;
	/* durable: mail is in the queue, and is sent after this; or else it is freed after this. */
	void (*done)(struct commit *commit, bool durable);
	void *owner;
};

struct commit_list {
	struct commit *first, *last;
	size_t count;
};

/* One group on its way to the disk. */
struct group {
	struct job job;
	struct queue *queue;
	struct commit_list commits;
	struct ring *ring;           /* NULL: there is none, make one */
	struct journal_entry *entries;
	size_t capacity;
	bool tried;                  /* the job was run */
	bool full;                   /* the job found no room */
	bool waits;                  /* for room; the job is not under way */
	int64_t since_ms;
	struct fail *fail;
	struct journal *fresh;       /* made because the old one failed */
	bool under_way;
};

/* Appends it with the others of this round of the loop. */
void commit_add(struct queue *q, struct commit *commit);

/* The ring has room again. */
void commit_retry(struct queue *q);
bool commit_is_idle(const struct queue *q);

/* Makes and opens a journal; in any thread. */
struct journal *commit_make_journal(int spool, uint64_t size, struct fail **fail);
struct ring *commit_add_ring(struct queue *q, struct journal *journal);

#endif

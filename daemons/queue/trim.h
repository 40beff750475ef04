/*
 * The barrier between "the account has it" and "the disk has it": one syncfs for all accounts, about once a second,
 * by the worker `syncer`. What was applied while a round is open becomes DONE when a syncfs that began after it
 * succeeded; the marks of the journals follow. A syncfs that fails makes all that waited for it PENDING again; one
 * that hangs is not waited for when a ring is half full.
 */
#ifndef POSTHORN_QUEUE_TRIM_H
#define POSTHORN_QUEUE_TRIM_H

#include "loop.h"
#include "mail.h"
#include "spool.h"
#include "worker.h"

struct queue;

struct applied {
	struct delivery **items;
	size_t count;
	size_t capacity;
};

struct sync {
	struct job job;
	struct queue *queue;
	uint32_t round;              /* of what is applied now */
	struct applied applied;
	struct applied syncing;
	struct journal *journals[JOURNALS_MAX];
	size_t journal_count;
	bool under_way;
	bool with_accounts;          /* this one calls syncfs */
	bool is_slow;                /* syncfs takes too long: each account makes durable what comes to it */
	int64_t took_ms, looked_ms;  /* the last syncfs, and when it ended */
	bool good;
	bool results_good;
	bool marks_moved;            /* trimmed in memory, not on disk */
	int64_t began_ms;
	struct timer hurry_timer;
	int error;
	int64_t headroom_ms;
	bool headroom;
};

/* The account said DELIVERED: DONE after the next sync. */
void trim_note_applied(struct delivery *d);
void trim_tick(struct queue *q);

/* The sync under way has taken so long that what waits for it should be elsewhere. */
bool trim_sync_hangs(const struct queue *q);

/* The ring fills: begins a sync before its time if something would be gained and the last one is not just over. */
void trim_hurry(struct queue *q);

/* Statistics of file systems, at most a second old. */
bool trim_has_headroom(struct queue *q);

#endif

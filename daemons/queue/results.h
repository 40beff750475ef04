/*
 * The results log: what relay said for good, in files "results-<generation>" that are only appended to.
 *
 * An entry is written before relay is told that the result is noted, so that no mail is sent again because queue was
 * killed. It is flushed by the syncer, before the trim mark passes its record. A file goes when every mail that it
 * tells of is gone for good or has the same in the log of its own file; a file goes never before an older one, so
 * that a mail needs to know only the first that tells of it. A disk that does not take an entry is tried again
 * (results_tick); what is damaged at the start is passed over and logged.
 */
#ifndef POSTHORN_QUEUE_RESULTS_H
#define POSTHORN_QUEUE_RESULTS_H

#include "arena.h"
#include "array.h"
#include "hash.h"
#include "mail.h"

struct queue;

struct results_file {
	uint64_t generation;
	size_t mails;                /* that need it */
};

struct results {
	int file;                    /* -1: none */
	uint64_t generation;         /* of the file that is written; they rise */
	uint64_t length;
	bool is_new;                 /* its name is not flushed */
	bool behind;                 /* not all is written */
	ARRAY(struct results_file) files; /* oldest first */
	struct map *loaded;          /* at the start: queue id → what is told of it */
	struct arena *memory;
};

enum result_kind {
	RESULT_DELIVERED = 1,
	RESULT_TO_REPORT,   /* + enum report_kind: BOUNCING */
	RESULT_FAILED = RESULT_TO_REPORT + REPORT_RELAYED + 1,
};

/* Its state, APPLIED, BOUNCING or FAILED, survives the end of this process from now on. False: the disk does not take
 * it; it is tried again, and relay_say_noted called then. */
bool results_write(struct delivery *d);
bool results_are_written(const struct queue *q);

/* The report of d, which was BOUNCING, is durable, or there is none to be made. d may be gone when it returns. */
void result_reported(struct delivery *d);

/* Nothing in the log needs to speak for this mail any more. */
void results_release(struct queue *q, uint64_t generation);

/* By the syncer: false when it must be called again, or when results_synced must write all anew. */
bool results_sync(struct queue *q, int *error);
void results_synced(struct queue *q, bool good);

/* At the start: what the files say is told to each mail that is read; then the files that nobody needs go. */
void results_load(struct queue *q);
void results_apply(struct mail *mail);
void results_loaded(struct queue *q);
void results_tick(struct queue *q);

#endif

/*
 * A message in its own file: one that waits for a lagging account or a remote host, or whose
 * body is too large for the journal.
 *
 * "<id>" (16 hexadecimal digits) holds a header of 4096 octets, the envelope, the body and, at
 * its end, the log of attempts: entries that are only ever appended, each with a checksum bound
 * to file and place; for each recipient the last whole one counts, and a damaged one hides no
 * other. "<id>.body" holds a body alone; it is what another process may fill, so that no
 * other process ever has the envelope open for writing. Files get their name when they are
 * flushed; "<id>.part" and "<id>.body.part" are unfinished and worth nothing after a crash.
 *
 * Guarantees: when spoolfile_create returns true, the message is durable (file flushed, renamed,
 * directory flushed); when spoolfile_log returns true, so are the results. Neither a torn write
 * nor a crash loses what was durable before. A failed flush is final for a file: logging is then
 * refused with FAIL_IO, and spoolfile_rewrite gives the message a new file.
 *
 * Moving a journal record here (a record that not everybody took in time):
 *   1. envelope.origin, origin_sequence := the record; recipients' states := what is known; all
 *      recipients stay, in their order, since their place in the list is their name;
 *   2. spoolfile_create: the message is now durable twice. A crash here: at start the queue lists
 *      the files first, and a record that is the origin of a file is not applied from the journal;
 *   3. journal_trim; the mark becomes durable some time later. A crash before that is as in 2;
 *   4. spoolfile_remove only when journal_durable_mark is above origin_sequence (same journal),
 *      or the record would come back without its file and be sent again.
 *
 * One process owns the directory. A struct spoolfile is used by one thread at a time.
 */
#ifndef POSTHORN_JOURNAL_SPOOLFILE_H
#define POSTHORN_JOURNAL_SPOOLFILE_H

#include "envelope.h"

enum { SPOOLFILE_REPLY_MAX = 1000 };

struct spoolfile;

/* What became of one attempt for one recipient. */
struct spoolfile_result {
	uint32_t recipient; /* place in the envelope */
	enum envelope_state state;
	uint32_t attempts;
	int64_t last_attempt; /* wall clock, seconds; 0: none */
	int64_t next_attempt;
	struct str reply; /* for the bounce; cut at SPOOLFILE_REPLY_MAX */
};

/* What is read of each file at start; fixed size. */
struct spoolfile_summary {
	uint64_t id;
	int64_t received;
	uint64_t body_size;
	struct journal_uuid origin;
	uint64_t origin_sequence;
	uint32_t recipient_count;
	uint32_t pending;
	uint32_t attempts;    /* the most that a pending recipient had */
	int64_t next_attempt; /* the earliest of a pending recipient; 0 when one was never tried */
	bool body_in_file;
};

/* Writes message and envelope under envelope->id. With envelope->body_in_file the body was finished
 * before and body is empty; else body has envelope->body_size octets. FAIL_EXISTS, FAIL_NO_SPACE, FAIL_IO. */
bool spoolfile_create(int directory, const struct envelope *envelope, struct str body, struct fail **fail);

/* Begins "<id>.body.part" and gives a descriptor for reading and writing, which may go to another process; -1 on
 * failure. */
int spoolfile_body_begin(int directory, uint64_t id, struct fail **fail);

/* Checks the size, flushes, names it "<id>.body", flushes the directory. What is written through a
 * descriptor kept by the other process afterwards is found by its checksum. FAIL_INVALID: another size. */
bool spoolfile_body_finish(int directory, uint64_t id, uint64_t size, struct fail **fail);

/* Drops an unfinished body; it may be missing. */
void spoolfile_body_abandon(int directory, uint64_t id);

/* FAIL_NOT_FOUND; FAIL_CORRUPT when header, or later envelope, does not match its checksum. */
struct spoolfile *spoolfile_open(int directory, uint64_t id, struct fail **fail);
void spoolfile_close(struct spoolfile *f);
void spoolfile_cleanup(struct spoolfile **f); /* for CLEANUP */

const struct spoolfile_summary *spoolfile_summary(const struct spoolfile *f);

/* The envelope with the latest states, and the latest result of each recipient (as many as
 * recipients; never tried: attempts 0). All of it lives in the arena. */
bool spoolfile_load(struct spoolfile *f, struct arena *arena, struct envelope *envelope,
                    struct spoolfile_result **results, struct fail **fail);

/* Each whole entry of the log, oldest first; its reply lives during the call. */
bool spoolfile_attempts(struct spoolfile *f, void (*take)(void *owner, const struct spoolfile_result *result),
                        void *owner, struct fail **fail);

/* Appends results: one write, one fdatasync. FAIL_LIMIT: the log has reached LIMIT_SPOOL_LOG_MAX. */
bool spoolfile_log(struct spoolfile *f, const struct spoolfile_result *results, size_t count, struct fail **fail);

/* A descriptor for reading and where the body begins; verifies the body's checksum. The caller closes it. */
int spoolfile_body(struct spoolfile *f, uint64_t *offset, struct fail **fail);

/* Puts a new file with the latest result of each recipient in the place of this one: after a failed
 * flush, or to shorten the log. On success f is the new file. */
bool spoolfile_rewrite(struct spoolfile *f, struct fail **fail);

/* Unlinks message and body. Not flushed: what comes back after a crash tells by its log that it is done. */
bool spoolfile_remove(int directory, uint64_t id, struct fail **fail);

enum spoolfile_kind {
	SPOOLFILE_MESSAGE,
	SPOOLFILE_BODY, /* orphaned when neither a message nor a journal record names it */
	SPOOLFILE_PART, /* unfinished: to be removed at start */
	SPOOLFILE_HELD, /* "<id>.held", an empty file: its owner does not want the message to be sent */
};

struct spoolfile_walk;

/* Walks the directory in no order, in bounded memory; names of other kinds are passed over. */
struct spoolfile_walk *spoolfile_walk_begin(int directory, struct fail **fail);

/* False at the end. */
bool spoolfile_walk_next(struct spoolfile_walk *walk, uint64_t *id, enum spoolfile_kind *kind);
void spoolfile_walk_end(struct spoolfile_walk *walk);

/* Removes both kinds of unfinished file of an id. */
void spoolfile_remove_parts(int directory, uint64_t id);

#endif

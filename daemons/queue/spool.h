/*
 * Files of their own: for what an account does not take in time, and for what waits for other hosts (spoolfile.h has
 * their format); and reading all that is in the spool at the start.
 *
 * Guarantee: a file is removed only when its log says that all recipients are done and the durable mark of the
 * journal it came from has passed the record. What cannot be read is kept under another name. Files are written and
 * removed by the worker `filer`.
 */
#ifndef POSTHORN_QUEUE_SPOOL_H
#define POSTHORN_QUEUE_SPOOL_H

#include "fail.h"
#include "mail.h"
#include "spoolfile.h"

struct queue;
struct ring;

enum { JOURNALS_MAX = 16 };

/* A record or file whose message can go when the mark has passed. */
struct gone {
	uint64_t id;
	bool has_file;
	uint64_t results;            /* the file of results that need not speak for it then, 0: none */
	struct ring *ring;
	uint64_t sequence;
};

/* Copies a journal record into its own file, unless too many are under way: then when it lags. */
void spool_move_soon(struct mail *mail);

/* Writes what became final into the log of the mail's file. */
void spool_log(struct mail *mail);

/* The mail is done: its files go when the mark allows it. Frees it. */
void spool_forget(struct mail *mail);
void spool_remove_gone(struct queue *q);

/* A mail that cannot be read: its file, or the journal once it is drained, is kept under another name. Frees it. */
void spool_set_aside(struct mail *mail);

/* Moves what lags. */
void spool_tick(struct queue *q);

/* Reads all that is in the spool. */
void spool_recover(struct queue *q);

/* The file of a drained journal goes, or is kept under another name. */
bool spool_retire_journal(struct queue *q, const struct ring *ring, struct fail **fail);

/* "<id>.body", for reading. FAIL_CORRUPT: it is not what it was. */
int spool_open_body(struct mail *mail, struct fail **fail);

/* The content alone, for another process, which never sees the envelope with all recipients. The mail is loaded. */
int spool_open_content(struct mail *mail, struct fail **fail);

#endif

/*
 * Evaluation of a search program over the messages that a session knows (RFC 9051 §6.4.4, RFC 5255 §4.6).
 *
 * Exact: a message is found if it matches, whatever is cached. Cheap keys come first: those answered by the rows of
 * the index, then what the list has of dates and fields, then headers, then whole texts (text_store.h); each
 * looks only at what the ones before have left. Mail that is not in the search text is read. The collation is the
 * session's comparator: both find substrings of text with encodings undone, case folded, and each run of white space
 * taken as one blank.
 *
 * Nothing is locked while the client is written to or waited for. What others expunge meanwhile matches nothing.
 * Memory: a few words per message, one bit per message and level of the program, and the buffers of one scan.
 */
#ifndef POSTHORN_MAILBOX_IMAP_SEARCH_RUN_H
#define POSTHORN_MAILBOX_IMAP_SEARCH_RUN_H

#include "imap.h"
#include "imap_bits.h"
#include "imap_search_key.h"
#include "text_store.h"

struct imap_search_text_key;

struct imap_search_run {
	struct imap_session *s;
	struct imap_search_program program;
	struct arena *arena;         /* of the program */
	size_t count;
	uint32_t *uids;              /* by position */
	struct imap_numbers *sets;   /* by node: UIDs that NUMBERS and UIDS stand for */
	struct imap_search_text_key *keys; /* by node: of HEADER, BODY and TEXT */
	int64_t now;                 /* for OLDER and YOUNGER */
	struct text_make *make;      /* for mail that is read */
	struct buf mail;
	uint64_t mail_message;       /* the one in `mail`; 0: none */
	bool silent;                 /* no command waits for it */
};

/* After parsing: what the keys mean. False with the answer written: bad charset, numbers that are not there. The
 * program's texts live in the arena. */
bool imap_search_begin(struct imap_search_run *run, struct imap_session *s, const struct imap_search_program *program);

/* A set that goes on standing for what it stood for when the command came: of numbers, or "$". One of UIDs takes in
 * what arrives. RFC 5267 §4.3 */
bool imap_search_set_stays(const struct imap_search_node *node);

/* The same for a program whose sets that stay were found out before, in the order of the nodes. */
void imap_search_begin_again(struct imap_search_run *run, struct imap_session *s,
                             const struct imap_search_program *program,
                             struct arena *arena, const struct imap_numbers *sets, size_t set_count);
void imap_search_end(struct imap_search_run *run); /* for CLEANUP too; zeroed is nothing */

/* Those of the candidates (NULL: of all messages) that match. The caller releases hits, whatever happened. */
bool imap_search_evaluate(struct imap_search_run *run, const struct imap_bits *candidates, struct imap_bits *hits,
                          struct fail **fail);

/* ---- for SORT and THREAD ---- */

/* Rows of these positions, with the index locked; those that are gone are left out. */
struct imap_row_visitor {
	void (*row)(void *context, size_t position, const struct store_row *row);
	void *context;
};
bool imap_search_read_rows(struct imap_search_run *run, const struct imap_bits *positions,
                           const struct imap_row_visitor *visitor,
                           struct fail **fail);

/* Text as the session's comparator compares it, for sorting: RFC 5256 §"Internationalization". */
void imap_search_collate(const struct imap_session *s, struct buf *out, struct str utf8);

#endif

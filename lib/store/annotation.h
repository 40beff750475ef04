/*
 * Annotations of mailboxes and of the account itself: named values that clients keep (RFC 5464).
 *
 * An entry is named by a path in lower case; a value is octets. One that was removed is remembered for some time with
 * its modification sequence, so that sessions can learn that it went. Annotations follow their mailbox when it is
 * renamed and go with it; a renamed INBOX leaves a copy behind (RFC 5464 §4.1). They are part of the metadata
 * checkpoints: a store made anew from its segments has those of the last one.
 */
#ifndef POSTHORN_STORE_ANNOTATION_H
#define POSTHORN_STORE_ANNOTATION_H

#include "store.h"

struct store_annotation {
	uint64_t mailbox; /* 0: the account */
	uint64_t modseq;
	struct str entry;
	struct str value; /* data NULL: removed, or not read */
};

/* Zeroed by the caller; what the strings look at lives as long as it. */
struct store_annotations {
	ARRAY(struct store_annotation) list;
	ARRAY(char *) memory;
};
void store_annotations_release(struct store_annotations *annotations); /* for CLEANUP too */

/* Sets or, for a value without data, removes. FAIL_TOO_BIG beyond LIMIT_ANNOTATION_SIZE_MAX, FAIL_LIMIT beyond
 * LIMIT_ANNOTATIONS_MAX entries of the account. */
bool store_annotation_set(struct store_txn *txn, uint64_t mailbox, struct str entry, struct str value);

/* Those of a mailbox that have a value, by entry. */
bool store_read_annotations(struct store_reader *reader, uint64_t mailbox, struct store_annotations *annotations,
                            struct fail **fail);

/* The names, without values, of what was set or removed after a modseq, in all mailboxes, by mailbox and entry;
 * *modseq is the last of them, or the one given. */
bool store_read_annotation_changes(struct store_reader *reader, uint64_t since, struct store_annotations *annotations,
                                   uint64_t *modseq, struct fail **fail);

#endif

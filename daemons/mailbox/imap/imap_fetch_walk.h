/*
 * The walk of a FETCH over its messages: rows are copied from the mailbox's image some hundred at a time, then
 * columns and octets are read and each message is told. No lock is held and no statement of the store is open while
 * the network may block, and memory is that of one chunk and one message.
 */
#ifndef POSTHORN_MAILBOX_IMAP_FETCH_WALK_H
#define POSTHORN_MAILBOX_IMAP_FETCH_WALK_H

#include "imap.h"
#include "imap_item.h"

struct imap_fetch_walk {
	/* what is asked for; set by the caller before the begin */
	struct imap_fetch_items items;
	struct imap_fetch_modifiers modifiers;
	struct imap_numbers uids;   /* what of it the client does not know is passed over */
	bool adds_uid, adds_modseq; /* not asked for, but due */

	struct imap_session *s;
	struct imap_fields *fields; /* of each item */
	unsigned needs;             /* enum imap_item_need of all items */
	bool has_content;           /* some item is of the mail, not of its place here */
	struct imap_output output;
	struct imap_mail mail;

	/* where it is */
	size_t range;
	uint32_t next; /* UID */
	size_t hint;   /* row */
	struct imap_row *rows; /* the chunk */
	size_t room, count, told;
	size_t base;   /* of the rows that columns are being read for */
	bool full;     /* enough was written: send first */
	struct buf flags; /* of the rows */

	/* what to say at the end */
	bool expunged;     /* some message was gone */
	bool unknown_cte;
	struct fail *fail; /* of the first message that could not be read */
	bool broken;       /* the client is gone, or an answer broke off: nothing more may be sent */
};

/* The reader of the session is there. Released in any case; a zeroed walk is nothing. */
void imap_fetch_walk_begin(struct imap_fetch_walk *f, struct imap_session *s);
bool imap_fetch_walk_run(struct imap_fetch_walk *f, struct fail **fail);
void imap_fetch_walk_release(struct imap_fetch_walk *f); /* for CLEANUP too */

#endif

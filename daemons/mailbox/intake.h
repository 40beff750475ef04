/*
 * Many mails into an account: from an import, or from a backup.
 *
 * Mails gather in memory (a bounded batch) and go in by one durable transaction each batch, so that the writer lock is
 * never held while somebody is waited for, deliveries pass, and a thousand mails cost one flush. The first transaction
 * leaves the gap of docs/store.md. Quota is not asked: what an administrator brings in is meant. What was stored
 * before a failure stays.
 */
#ifndef POSTHORN_MAILBOX_INTAKE_H
#define POSTHORN_MAILBOX_INTAKE_H

#include "array.h"
#include "control.h"

struct intake_mail {
	struct buf text;
	struct store_message_columns columns;
	struct store_keywords keywords;
	struct store_id id;
	bool has_id;
	uint64_t mailbox;
	int64_t received;
	uint32_t flags;
};

struct intake {
	struct control *control;
	struct arena *arena;        /* of the columns and keywords of a batch */
	ARRAY(struct intake_mail) mails;
	size_t octets;              /* of the batch */
	struct map *keywords;       /* name → number + 1 */
	unsigned keywords_told;     /* that were left out */
	bool gap_left;
	uint64_t stored;
	uint64_t stored_octets;
	uint64_t skipped;
};

void intake_begin(struct intake *in, struct control *control);
void intake_release(struct intake *in); /* for CLEANUP too; what has not been flushed is dropped */

/* The mailbox of that name, made if need be. */
bool intake_mailbox(struct intake *in, struct str name, enum store_special_use use, bool subscribed, uint64_t *id,
					struct fail **fail);

/* Flags as IMAP writes them, "\Seen $Forwarded work", into the mail; what is no flag is left out, as is a keyword
 * too many. */
bool intake_flags(struct intake *in, struct str names, struct intake_mail *mail, struct fail **fail);

/* Takes the text out of mail; stores the batch when it is large enough. */
bool intake_add(struct intake *in, struct intake_mail *mail, struct fail **fail);

/* Stores what has gathered; all is durable then. */
bool intake_flush(struct intake *in, struct fail **fail);

/* The flags of an entry as intake_flags reads them; keywords from store_read_keywords. */
void intake_flag_names(struct buf *out, const struct store_entries *entries, const struct store_entry *entry,
                       const struct store_mailboxes *keywords);

#endif

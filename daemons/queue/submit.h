/*
 * The system's own mail: its recipient is resolved, it is signed with our keys if the domain of its From (or one
 * above it) has some, and made durable by the journal like any other mail.
 *
 * A struct submission belongs to its giver, is zeroed but for what he gives, and lives until done was called; done
 * may free it. Nothing is tried again here: the giver does, with what he has.
 */
#ifndef POSTHORN_QUEUE_SUBMIT_H
#define POSTHORN_QUEUE_SUBMIT_H

#include "queue.h"
#include "sign.h"

enum submit_outcome {
	SUBMIT_DURABLE,
	SUBMIT_NOBODY, /* no such recipient here, for good */
	SUBMIT_LATER,  /* it may pass: auth, or the journal, does not take it now */
};

struct submission {
	struct queue *queue;
	struct str recipient;     /* one address, which may be an alias; lives until done */
	uint32_t notify;          /* of RFC 3461 §4.1, as in envelope.h; a report wants ENVELOPE_NOTIFY_NEVER */
	struct buf text;          /* the whole message, CRLF line ends, with a limit of LIMIT_INLINE_BODY_MAX at most; released by the giver */
	struct envelope envelope; /* what is not zero: reverse_path, session, require_tls …; id is made if it is 0; has_8bit is found out */
	uint64_t session;         /* for the log */
	void (*done)(struct submission *s, enum submit_outcome outcome);
	void *owner;
	/* of submit.c */
	struct arena *arena;
	struct waiter waiter;
	struct signing signing;
	struct commit commit;
};

/* Calls done later, or now. s->envelope.id is known when it returns. */
void submit_mail(struct submission *s);

#endif

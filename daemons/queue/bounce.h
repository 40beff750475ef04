/*
 * What senders are told of their mail (RFC 3461, RFC 3464): one report of all recipients of a mail that come to the
 * same end at about the same time. A report is mail like any other, with the null sender; nothing follows when it
 * cannot be delivered, but a word to the postmaster where the site wants that. A report that cannot be made now is
 * made later: nothing here fails.
 */
#ifndef POSTHORN_QUEUE_BOUNCE_H
#define POSTHORN_QUEUE_BOUNCE_H

#include "array.h"
#include "hash.h"
#include "loop.h"
#include "mail.h"

struct bounce;
struct queue;

/* Reports that are being made; see bounce.c. */
struct bounce_desk {
	struct map *by_mail;
	struct bounce *first, *last; /* ready */
	unsigned under_way;
	struct timer timer;
	ARRAY(char *) recovered;     /* at the start: what each report in the spool tells of */
};

/* Tells the sender, if he wants to know. d is BOUNCING, and then FAILED or DONE, or, for REPORT_DELAYED, in any state
 * that it keeps. d may be gone when it returns. */
void bounce_report(struct delivery *d, enum report_kind kind);

/* An alias of that address led to several, and its sender asked for success: RFC 3461 §5.2.7.3 (c). e is the
 * envelope of mail, which was just taken. */
void bounce_expanded(struct mail *mail, const struct envelope *e, const struct envelope_recipient *aliases,
                     size_t count);

/* mail goes. */
void bounce_forget(struct mail *mail);

/* Only what is written here comes by such a protocol. */
bool bounce_is_report(const struct envelope *e);

/* At the start, so that nothing is told of twice: what each envelope in the spool says is noted; when all mails are
 * in the queue, what a report tells of is settled. Their ends may all be known then: mail_proceed is to be called. */
void bounce_note_recovered(struct queue *q, const struct envelope *e);
void bounce_settle_recovered(struct queue *q);

#endif

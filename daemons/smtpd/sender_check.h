/*
 * What is looked at in mail from strangers: SPF, DKIM, ARC and DMARC, and what is said of it (RFC 8601).
 *
 * Only mail that came to port 25 from no trusted network is looked at. Our own Authentication-Results field is put
 * before it; those that claim to be ours are taken out of it (RFC 8601 §5). A policy to refuse or quarantine comes
 * from DMARC, and from SPF where the administrator wants it; a DNS that does not answer refuses nothing.
 */
#ifndef POSTHORN_SMTPD_SENDER_CHECK_H
#define POSTHORN_SMTPD_SENDER_CHECK_H

#include "smtpd.h"

struct sender_check;

/* The header has come, in the content's body from its beginning on. NULL: nothing is looked at. May take fields out
 * of it. */
struct sender_check *sender_check_begin(struct session *s, struct content *content);
void sender_check_free(struct sender_check *check);

/* What follows the header, piece by piece. */
void sender_check_body(struct sender_check *check, struct str piece);

/* The message is complete: adds the field to front. The refusal, or NULL. *quarantine: it belongs into Junk. */
const struct smtp_reply *sender_check_finish(struct session *s, struct sender_check *check, struct buf *front,
                                             bool *quarantine);

/* After that: what a DMARC report tells of the message (dmarc_report.h), or empty; of one that was refused here, or
 * of one that was not. */
struct str sender_check_report(const struct sender_check *check, bool refused);

#endif

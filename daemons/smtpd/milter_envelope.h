/*
 * What filters change of the envelope: recipients that are added (SMFIR_ADDRCPT, _PAR) or deleted (SMFIR_DELRCPT) and
 * the sender (SMFIR_CHGFROM). Gathered while the filters have the message, and asked of queue when all have had it,
 * by a transaction in the place of the first: queue decides as it does for a client. So a filter of port 25 can add
 * recipients of this post office only, and one of a user's mail only a sender that the user may use; what is refused
 * is left out, and logged.
 */
#ifndef POSTHORN_SMTPD_MILTER_ENVELOPE_H
#define POSTHORN_SMTPD_MILTER_ENVELOPE_H

#include "milter_wire.h"
#include "smtpd.h"

struct milter_envelope {
	struct session *s;
	bool is_changed;
	bool has_sender;                  /* a new one: */
	struct smtp_mail mail;
	ARRAY(struct recipient) added;
};

/* One change; what makes no sense is passed over. */
void milter_envelope_take(struct milter_envelope *e, const struct milter_answer *answer);

/* Is there anybody left? */
bool milter_envelope_has_recipients(const struct milter_envelope *e);

/* Begins the transaction anew. Nothing of the message may have been given to queue but in a file, which is gone with
 * the old one (its descriptor can still be read). VERDICT_OK, or why the message cannot be taken. */
enum verdict_kind milter_envelope_apply(struct milter_envelope *e);

void milter_envelope_release(struct milter_envelope *e);

#endif

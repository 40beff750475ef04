/*
 * Milters: filters that the administrator attached, asked in their order at MAIL, RCPT and the end of the message.
 *
 * smtpd makes no connection: master gives it one that is under way. A connection lasts as long as the session is
 * here. A filter that is away, silent for milter_timeout_seconds, or that breaks the protocol is dealt with as its
 * "default" says, and asked again in the next transaction. It may refuse a command or the message, take it and throw
 * it away, put it into Junk, change the header, replace the body, and change recipients and sender as far as the
 * client could name them (milter_envelope.h). It sees the message as it came, with what we added at submission, but
 * without our Received field. Recipients that it hears of may still be refused by queue.
 */
#ifndef POSTHORN_SMTPD_MILTER_H
#define POSTHORN_SMTPD_MILTER_H

#include "milter_protocol.h"

struct milters;

/* Is any filter asked about mail of this session? */
bool milter_is_wanted(const struct session *s);

/* The refusal, or NULL; it lives until the next call. */
const struct smtp_reply *milter_mail(struct session *s);
const struct smtp_reply *milter_rcpt(struct session *s, struct str address);

/* A command of the client's that nobody knows. The answer that a filter has for it, or NULL: what comes of the
 * message does not change. Filters that are not connected, as before the first MAIL, do not hear of it. */
const struct smtp_reply *milter_unknown(struct session *s, struct str line);

/* The whole message, before queue takes it. May change content, and set its verdict when changes could not be kept;
 * *discard: say that it was accepted, and drop it. */
const struct smtp_reply *milter_message(struct session *s, struct content *content, bool *discard);

/* The transaction ends. */
void milter_abort(struct session *s);

/* The session leaves. */
void milter_end(struct session *s);

#endif

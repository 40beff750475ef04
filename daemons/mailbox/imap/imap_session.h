/*
 * Commands that concern the session as such, and what it announces (RFC 9051 §6.1, §6.3.1, §6.4.1).
 */
#ifndef POSTHORN_MAILBOX_IMAP_SESSION_H
#define POSTHORN_MAILBOX_IMAP_SESSION_H

#include "imap.h"

/* For CAPABILITY and the code in the answer to the log-in. */
struct imap_offer imap_session_offer(const struct imap_session *s);

/* Answers what could not be taken as a command, or as the rest of one; its tag may be known. */
void imap_refuse_input(struct imap_session *s, enum imap_collected got);

void imap_capability(struct imap_session *s);
void imap_noop(struct imap_session *s);
void imap_logout(struct imap_session *s);
void imap_enable(struct imap_session *s);

/* RFC 8437. */
void imap_unauthenticate(struct imap_session *s);

/* Turns extensions on, with all that follows from it; for ENABLE and for commands that imply one (RFC 7162 §3.1). */
void imap_switch_on(struct imap_session *s, unsigned bits);

#endif

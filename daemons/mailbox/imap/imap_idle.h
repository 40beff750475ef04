/*
 * IDLE (RFC 2177, RFC 9051 §6.3.13): what others change is told the moment it is committed.
 */
#ifndef POSTHORN_MAILBOX_IMAP_IDLE_H
#define POSTHORN_MAILBOX_IMAP_IDLE_H

#include "imap.h"

void imap_idle(struct imap_session *s);

#endif

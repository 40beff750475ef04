/*
 * STORE and UID STORE (RFC 9051 §6.4.6) with UNCHANGEDSINCE (RFC 7162 §3.1.3).
 */
#ifndef POSTHORN_MAILBOX_IMAP_STORE_H
#define POSTHORN_MAILBOX_IMAP_STORE_H

#include "imap.h"

void imap_store(struct imap_session *s);

#endif

/* NAMESPACE (RFC 9051 §6.3.10, RFC 2342): all mailboxes of an account are personal. */
#ifndef POSTHORN_MAILBOX_IMAP_NAMESPACE_H
#define POSTHORN_MAILBOX_IMAP_NAMESPACE_H

#include "imap.h"

void imap_namespace(struct imap_session *s);

#endif

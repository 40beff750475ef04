/* ID after log-in (RFC 2971): what the client says of itself is logged. */
#ifndef POSTHORN_MAILBOX_IMAP_CLIENT_ID_H
#define POSTHORN_MAILBOX_IMAP_CLIENT_ID_H

#include "imap.h"

void imap_client_id(struct imap_session *s);

#endif

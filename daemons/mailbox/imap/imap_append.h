/*
 * New messages from the client: APPEND (RFC 9051 §6.3.12) of one or several (RFC 3502), also put together from parts
 * (CATENATE, RFC 4469) or with UTF-8 headers (RFC 6855 §4), and REPLACE (RFC 8508).
 *
 * All messages of a command are stored in one durable transaction or none is. Until it begins nothing is written to
 * the store, and while a message comes in, no lock of it is held.
 */
#ifndef POSTHORN_MAILBOX_IMAP_APPEND_H
#define POSTHORN_MAILBOX_IMAP_APPEND_H

#include "imap.h"

void imap_append(struct imap_session *s);
void imap_replace(struct imap_session *s);

#endif

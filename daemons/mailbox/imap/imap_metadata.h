/*
 * GETMETADATA and SETMETADATA (RFC 5464), and LIST's RETURN (METADATA (…)) (RFC 9590).
 *
 * An account is one user's, so /private and /shared entries are kept alike. Two entries are computed:
 * /private/specialuse of a mailbox, which may be set as well (RFC 6154 §4), and /shared/admin of the server, which may
 * not (RFC 5464 §6.2.2).
 */
#ifndef POSTHORN_MAILBOX_IMAP_METADATA_H
#define POSTHORN_MAILBOX_IMAP_METADATA_H

#include "imap.h"

void imap_getmetadata(struct imap_session *s);
void imap_setmetadata(struct imap_session *s);

/* * METADATA name (entry value …) with NIL for what has none. What can't be read is left out (RFC 9590 §3). */
void imap_metadata_write_entries(struct imap_session *s, struct store_reader *reader,
                                 const struct store_mailbox *mailbox, const struct str *entries, size_t count);

#endif

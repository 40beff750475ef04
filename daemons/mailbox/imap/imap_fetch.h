/*
 * FETCH and UID FETCH (RFC 9051 §6.4.5, RFC 3501 §6.4.5) with the items of lib/imap/imap_fetch_items.h.
 *
 * Messages are told in ascending order, items in the order they were asked for. Rows are copied from the mailbox's
 * image some hundred at a time, then columns and octets are read and told; nothing is locked and no snapshot held
 * while the network may block. What cannot be read is left out and said so at the end.
 */
#ifndef POSTHORN_MAILBOX_IMAP_FETCH_H
#define POSTHORN_MAILBOX_IMAP_FETCH_H

#include "imap.h"

void imap_fetch(struct imap_session *s);

/* For NOTIFY's MessageNew (RFC 5465 §5.2): tells these items, a list in parentheses that was checked before, of
 * messages that the client has just learned of, with their UIDs (and MODSEQ, where CONDSTORE is enabled) and without
 * setting \Seen. The session has its reader. False when the client is gone or the store failed. */
bool imap_fetch_new(struct imap_session *s, struct str items, const struct imap_numbers *uids);

#endif

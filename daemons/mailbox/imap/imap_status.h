/*
 * STATUS (RFC 9051 §6.3.11) and its answer, which LIST and NOTIFY give as well.
 */
#ifndef POSTHORN_MAILBOX_IMAP_STATUS_H
#define POSTHORN_MAILBOX_IMAP_STATUS_H

#include "imap.h"
#include "imap_status_items.h"

void imap_status(struct imap_session *s);

/* STATUS name (items …), from counters that were read; the reader is for what has none. What can't be read is left
 * out. */
void imap_status_write(struct imap_session *s, struct store_reader *reader, const struct store_mailbox *mailbox,
                       unsigned items);

#endif

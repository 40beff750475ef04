/*
 * EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).
 */
#ifndef POSTHORN_MAILBOX_IMAP_EXPUNGE_H
#define POSTHORN_MAILBOX_IMAP_EXPUNGE_H

#include "imap.h"

void imap_expunge(struct imap_session *s);

/* Removes those of the set that have \Deleted, durably; what is gone is added to expunged, which may be NULL. */
bool imap_expunge_deleted(struct imap_session *s, const struct imap_numbers *uids, struct store_uids *expunged,
                          struct fail **fail);

/* OK to a command that removed messages: HIGHESTMODSEQ where RFC 7162 §3.2.7 asks for it, and where MESSAGELIMIT cut
 * its set (0: it did not). What went must have been told. */
void imap_ok_removed(struct imap_session *s, bool any, uint32_t lowest);

#endif

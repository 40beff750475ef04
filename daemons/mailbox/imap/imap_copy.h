/*
 * COPY, MOVE and their UID forms (RFC 9051 §6.4.7, §6.4.8), with COPYUID (RFC 4315 §3).
 */
#ifndef POSTHORN_MAILBOX_IMAP_COPY_H
#define POSTHORN_MAILBOX_IMAP_COPY_H

#include "imap.h"

void imap_copy(struct imap_session *s);
void imap_move(struct imap_session *s);

/* The id of a mailbox that mail is to go into; false with NO [TRYCREATE] written when there is none. */
bool imap_find_target(struct imap_session *s, struct str name, uint64_t *id);

#endif

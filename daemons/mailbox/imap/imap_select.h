/*
 * Which mailbox is selected: SELECT, EXAMINE, CLOSE, UNSELECT (RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2; RFC 3691),
 * with the parameters of CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).
 */
#ifndef POSTHORN_MAILBOX_IMAP_SELECT_H
#define POSTHORN_MAILBOX_IMAP_SELECT_H

#include "imap.h"

void imap_select(struct imap_session *s);
void imap_examine(struct imap_session *s);
void imap_close(struct imap_session *s);
void imap_unselect(struct imap_session *s);

#endif

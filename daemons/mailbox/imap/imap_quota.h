/*
 * GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208): one quota root, "", for all mailboxes of the account.
 *
 * The administrator sets limits (posthornctl); by SETQUOTA the owner sets lower ones of their own, which queue
 * honours too.
 */
#ifndef POSTHORN_MAILBOX_IMAP_QUOTA_H
#define POSTHORN_MAILBOX_IMAP_QUOTA_H

#include "imap.h"

void imap_getquota(struct imap_session *s);
void imap_getquotaroot(struct imap_session *s);
void imap_setquota(struct imap_session *s);

#endif

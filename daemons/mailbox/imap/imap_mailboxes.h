/*
 * CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.4 to §6.3.8, RFC 3501), special uses (RFC 6154),
 * and which names a new mailbox may have.
 */
#ifndef POSTHORN_MAILBOX_IMAP_MAILBOXES_H
#define POSTHORN_MAILBOX_IMAP_MAILBOXES_H

#include "imap.h"

void imap_create(struct imap_session *s);
void imap_delete(struct imap_session *s);
void imap_rename(struct imap_session *s);
void imap_subscribe(struct imap_session *s); /* and UNSUBSCRIBE */

/* "\Drafts" and so on; empty for none. */
struct str imap_use_name(enum store_special_use use);

/* The use that a client may give a mailbox; false for what is none, or is no mailbox of this kind ("\All"). */
bool imap_use_find(struct str name, enum store_special_use *use);

/* NO for a name or mailbox that was refused. */
void imap_refuse_mailbox(struct imap_session *s, const struct fail *fail);

/* "m12-5": an ObjectID (RFC 8474 §4); with the UIDVALIDITY, since a store that had to be made anew counts its
 * mailboxes again. */
void imap_write_mailbox_id(struct buf *out, const struct store_mailbox *mailbox);

#endif

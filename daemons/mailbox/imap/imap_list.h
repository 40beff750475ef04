/*
 * LIST (RFC 9051 §6.3.9, RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154, RFC 9590) and LSUB (RFC 3501 §6.3.9).
 */
#ifndef POSTHORN_MAILBOX_IMAP_LIST_H
#define POSTHORN_MAILBOX_IMAP_LIST_H

#include "imap.h"
#include "imap_tree.h"

void imap_list(struct imap_session *s);
void imap_lsub(struct imap_session *s);

/* LIST (attributes) "/" name, and ("OLDNAME" (…)) unless old_name is empty: for what is told without a LIST (RFC 9051
 * §6.3.9.7). A node of no mailbox is \NonExistent. */
void imap_list_write(struct imap_session *s, const struct imap_node *node, struct str old_name);

#endif

/*
 * Object identifiers of messages and threads (RFC 8474 §4): a letter that says of what, and the number that the store
 * has given it, which never means anything else. So they need no room and no look-up, and outlive a rename, a move
 * and a copy.
 */
#ifndef POSTHORN_IMAP_OBJECTID_H
#define POSTHORN_IMAP_OBJECTID_H

#include "buf.h"

enum imap_objectid { IMAP_EMAILID = 'M', IMAP_THREADID = 'T' };

void imap_objectid_write(struct buf *out, enum imap_objectid kind, uint64_t number);

/* False for what imap_objectid_write never makes: such an object does not exist. */
bool imap_objectid_read(struct str text, enum imap_objectid kind, uint64_t *number);

#endif

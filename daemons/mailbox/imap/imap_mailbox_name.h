/*
 * Which names a new mailbox may have: Net-Unicode (RFC 9051 §5.1, RFC 5198 §2) in Normalization Form C, "/" between
 * levels, no level empty, "." or "..". What the store refuses by its own limits is not looked at again here.
 */
#ifndef POSTHORN_MAILBOX_IMAP_MAILBOX_NAME_H
#define POSTHORN_MAILBOX_IMAP_MAILBOX_NAME_H

#include "str.h"

bool imap_mailbox_name_is_allowed(struct str name);

#endif

/*
 * Names of mailboxes and accounts as names of files, and back.
 *
 * A mailbox becomes what Maildir++ uses: '.' between levels and the modified UTF-7 of RFC 3501 §5.1.3, in which '.'
 * and '/' of a level are also written as &…-, so that every name comes back as it was. An address keeps its octets,
 * but those that no file name can have become %XX.
 */
#ifndef POSTHORN_CTL_ARCHIVE_NAME_H
#define POSTHORN_CTL_ARCHIVE_NAME_H

#include "buf.h"

/* False when it is no UTF-8, or becomes longer than a file's name can be. */
bool ctl_name_of_mailbox(struct buf *file, struct str mailbox);

/* What is no modified UTF-7 stays as it is. False when that is no UTF-8 either, or a control character. */
bool ctl_mailbox_of_name(struct buf *mailbox, struct str file);

void ctl_name_of_address(struct buf *file, struct str address);
bool ctl_address_of_name(struct buf *address, struct str file);

#endif

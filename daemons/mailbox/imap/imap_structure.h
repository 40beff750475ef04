/*
 * ENVELOPE, BODY and BODYSTRUCTURE of a message as IMAP writes them (RFC 9051 §7.5.2, RFC 3501 §7.4.2).
 *
 * What a header says goes out through imap_write.h or as checked plain ASCII, so nothing in a mail can break out of
 * its element. Text that is not ASCII is told as it stands in the mail: in quotes to clients that take UTF-8, in
 * literals to others.
 *
 * utf8: IMAP4rev2 or UTF8=ACCEPT is enabled. Such clients get parameters with the parts and charsets of RFC 2231 put
 * together, and the inside of message/global parts; for others, who know message/rfc822 only, a message/global is a
 * leaf (RFC 3501 §9 media-message).
 */
#ifndef POSTHORN_MAILBOX_IMAP_STRUCTURE_H
#define POSTHORN_MAILBOX_IMAP_STRUCTURE_H

#include "mime.h"

void imap_write_envelope(struct buf *out, const struct mail_envelope *envelope, bool utf8);

/* extended: BODYSTRUCTURE; else BODY. */
void imap_write_structure(struct buf *out, const struct mime_part *root, bool extended, bool utf8);

#endif

/*
 * A part without its Content-Transfer-Encoding, for BINARY and BINARY.SIZE (RFC 3516, RFC 9051 §6.4.5), in pieces.
 * Text comes with CRLF at the end of each line whatever was encoded (RFC 9051 §7.5.2). Memory is that of the decoded
 * piece.
 */
#ifndef POSTHORN_MAILBOX_IMAP_BINARY_H
#define POSTHORN_MAILBOX_IMAP_BINARY_H

#include "mime.h"

struct imap_binary {
	struct transfer_decoder decoder;
	bool is_text;
	bool after_cr;
	struct buf decoded;
};

/* Only leaves have an encoding to undo; false when it is not known (UNKNOWN-CTE). part NULL: the whole message,
 * as it is. */
bool imap_binary_is_known(const struct mime_part *part);

void imap_binary_begin(struct imap_binary *b, const struct mime_part *part);
void imap_binary_release(struct imap_binary *b); /* for CLEANUP too */

/* What the next octets of the part decode to, valid until the next call. */
struct str imap_binary_take(struct imap_binary *b, struct str octets);

/* What is left at the end. */
struct str imap_binary_end(struct imap_binary *b);

#endif

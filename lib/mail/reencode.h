/*
 * A message that came with BODY=BINARYMIME (RFC 3030 §3), made fit for mailboxes: POP3 and IMAP's BODY[] carry
 * lines, not binary. Each leaf whose Content-Transfer-Encoding is binary becomes base64, containers that say binary
 * say 8bit; all else stays octet for octet. The message always ends with CRLF.
 */
#ifndef POSTHORN_MAIL_REENCODE_H
#define POSTHORN_MAIL_REENCODE_H

#include "mime.h"

/* Does any part say binary? */
bool reencode_is_needed(const struct mime_part *root);

/* False when out has no room: a message grows by a third at most, and some octets per part. */
bool reencode_message(struct buf *out, struct str text, const struct mime_part *root);

#endif

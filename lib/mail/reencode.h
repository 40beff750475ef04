/*
 * A message made fit for those who cannot take it as it came, part by part; all that need not change stays octet for
 * octet.
 *
 * For mailboxes: POP3 and IMAP's BODY[] carry lines, not what came with BODY=BINARYMIME (RFC 3030 §3). Each leaf whose
 * Content-Transfer-Encoding is binary becomes base64, containers that say binary say 8bit.
 *
 * For hosts that take 7 bits only (RFC 6152 §3): each leaf with other octets than lines of ASCII becomes
 * quoted-printable where it is text in lines, else base64, containers say 7bit. Nothing within multipart/signed or
 * multipart/encrypted is touched (RFC 1847 §2.1), nor a header: a message that is not 7 bit then cannot be made so.
 *
 * The message always ends with CRLF.
 */
#ifndef POSTHORN_MAIL_REENCODE_H
#define POSTHORN_MAIL_REENCODE_H

#include "mime.h"

/* Does any part say binary? */
bool reencode_is_needed(const struct mime_part *root);

/* Lines of text that end with CRLF, without NUL and without another CR or LF. */
bool reencode_is_lines(struct str text);

/* For mailboxes. False when out has no room: a message grows by a third at most, and some octets per part. */
bool reencode_message(struct buf *out, struct str text, const struct mime_part *root);

/* For hosts that take 7 bits only. False when it cannot be made so, or out has no room: it grows to the threefold at
 * most, and some octets per part. */
bool reencode_to_7bit(struct buf *out, struct str text, const struct mime_part *root);

#endif

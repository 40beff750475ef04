/*
 * Elements of responses (RFC 9051 §9), added to a buf. What comes from mail can never break out of its element:
 * control bytes, quotes and line ends go as a literal, or are replaced where a literal is not allowed.
 */
#ifndef POSTHORN_IMAP_WRITE_H
#define POSTHORN_IMAP_WRITE_H

#include "buf.h"

/* quoted where that is possible and short, else a literal: `"a\"b"`, `{5}\r\na\r\nbc`. utf8: bytes over 0x7f may
 * stand in quotes (RFC 9051 §4.3, RFC 6855 §3), else they make it a literal. NUL becomes 0x80. */
void imap_write_string(struct buf *out, struct str s, bool utf8);

/* NIL for data NULL. */
void imap_write_nstring(struct buf *out, struct str s, bool utf8);

/* An atom where it is one, else a string. */
void imap_write_astring(struct buf *out, struct str s, bool utf8);

/* A mailbox name, which the store has in UTF-8: modified UTF-7 unless utf8. */
void imap_write_mailbox(struct buf *out, struct str name, bool utf8);

/* "17-Jul-1996 02:44:25 -0700" with its quotes: seconds since 1970 UTC, told in the zone so many minutes east of it. */
void imap_write_date_time(struct buf *out, int64_t seconds, int zone_minutes);

/* Modified UTF-7 (RFC 3501 §5.1.3). Decoding is strict: one form for each name; false for all else. */
void imap_mutf7_encode(struct buf *out, struct str utf8);
bool imap_mutf7_decode(struct buf *out, struct str text);

/* LIST's wildcards (RFC 9051 §6.3.9): "*" any, "%" any but the separator. Linear in name × pattern at worst, no
 * recursion. A pattern that begins with INBOX means that mailbox in any case. */
bool imap_list_matches(struct str pattern, struct str name, char separator);

#endif

/*
 * Encoded words: text of header fields that is not ASCII (RFC 2047, with the language of RFC 2231 §5).
 *
 * Decoding never fails: what is no encoded word stays. As real clients need it, words may be longer than
 * allowed, hold blanks, touch other text, split a character between two of them; raw 8-bit text is read as
 * UTF-8 or Windows-1252. Linear in the text.
 */
#ifndef POSTHORN_MAIL_ENCODED_WORD_H
#define POSTHORN_MAIL_ENCODED_WORD_H

#include "buf.h"

/* The text in UTF-8. Line breaks in it are taken off first if they stand before a blank (folding). */
void encoded_word_decode(struct buf *out, struct str text);

/* The UTF-8 text as encoded words of at most 75 characters (§2), B or Q, whichever is shorter, each
 * behind the first after CRLF and a blank; column is where the first one will stand. Safe in phrases (§5 (3)).
 * Bytes that are no UTF-8 become U+FFFD. */
void encoded_word_encode(struct buf *out, struct str utf8, size_t column);

#endif

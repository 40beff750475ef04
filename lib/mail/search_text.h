/*
 * The text of a message that IMAP's TEXT and BODY search (RFC 9051 §6.4.4), ready for comparing substrings: header
 * fields and text parts of all its messages, decoded, in UTF-8, case folded (charset.h), each run of white space
 * one blank. HTML is its source. A key folded with charset_fold_text matches in it.
 */
#ifndef POSTHORN_MAIL_SEARCH_TEXT_H
#define POSTHORN_MAIL_SEARCH_TEXT_H

#include "message.h"

/* Adds the headers, then the text parts; a caller that wants BODY only adds just those. What does not fit out's
 * limit is cut off: out->overflowed says so, and what came before can be used. */
void search_text_headers(struct buf *out, struct str text, const struct mime_part *root);
void search_text_bodies(struct buf *out, struct str text, const struct mime_part *root);

#endif

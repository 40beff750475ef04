/*
 * The text of a message that IMAP's TEXT and BODY search (RFC 9051 §6.4.4), ready for comparing substrings: header
 * fields and text parts of all its messages, decoded, in UTF-8, case folded (charset.h), each run of white space
 * one blank. HTML is its source. A key folded with charset_fold_text matches in it.
 */
#ifndef POSTHORN_MAIL_SEARCH_TEXT_H
#define POSTHORN_MAIL_SEARCH_TEXT_H

#include "array.h"
#include "message.h"

/* Where in the text that search_text_headers adds each field of the message's own header ends, counted from
 * the first octet that it adds. Fields without an end there were cut off. */
struct search_text_ends {
	ARRAY(uint32_t) list;
};

/* Adds the headers, then the text parts; a caller that wants BODY only adds just those. What does not fit out's
 * limit is cut off: out->overflowed says so, and what came before can be used. ends may be NULL. */
void search_text_headers(struct buf *out, struct str text, const struct mime_part *root, struct search_text_ends *ends);
void search_text_bodies(struct buf *out, struct str text, const struct mime_part *root);

/* Folding of case: charset_fold_text, or ASCII letters only (i;ascii-casemap, RFC 4790 §9.2) with the same blanks. */
void search_text_fold(struct buf *out, struct str utf8, bool ascii_only, bool *blank);

/* Whether a folded key is in the headers or bodies, with memory for a piece of the text only. A key without
 * octets is in every text. */
struct search_text_question {
	struct str key;
	bool ascii_only, headers, bodies;
};
bool search_text_has(const struct search_text_question *question, struct str text, const struct mime_part *root);

#endif

/*
 * The content of a mail on its way out, in pieces of any size: dot-stuffed for DATA (RFC 5321 §4.5.2) or as it is for
 * BDAT (RFC 3030), with no CR or LF that is not part of a CRLF, and with CRLF at its end.
 */
#ifndef POSTHORN_SMTP_SENDER_CONTENT_H
#define POSTHORN_SMTP_SENDER_CONTENT_H

#include "smtp_data.h"

struct smtp_sender_content {
	bool chunk;     /* BDAT */
	bool after_cr;  /* the last octet was a CR, which is held back until an LF follows */
	bool at_line_start;
	struct smtp_stuffer stuffer;
};

void smtp_sender_content_begin(struct smtp_sender_content *c, bool chunk);

/* Adds at most twice the piece and 2 octets. False when a CR or LF stands alone: what is before it was added. */
bool smtp_sender_content_add(struct smtp_sender_content *c, struct str piece, struct buf *out);

/* Would all of the piece be added, but for a CR at its end? after_cr: the last piece ended with one; set for the
 * next. */
bool smtp_sender_content_is_clean(struct str piece, bool *after_cr);

/* Adds the end: what is missing of the last line and, for DATA, the dot. False when the last octet is a CR. */
bool smtp_sender_content_end(struct smtp_sender_content *c, struct buf *out);

#endif

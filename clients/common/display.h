/*
 * Text of mails made fit for people's eyes: decoded, in UTF-8, and harmless.
 *
 * What comes out has no control characters (C0, C1, DEL), no bidirectional controls (UAX #9 §2), no line and paragraph
 * separators, tags or other invisible format characters but the joiners that scripts need, no more than a few combining
 * marks on one character, and no invalid UTF-8: each becomes U+FFFD. So a subject can neither drive a terminal nor turn
 * the text around it, and a name can't be made to look like another column. White space is one blank.
 */
#ifndef POSTHORN_COMMON_DISPLAY_H
#define POSTHORN_COMMON_DISPLAY_H

#include "address.h"
#include "date.h"

/* Octets of a text that are looked at; what is cut ends with "…". */
enum { DISPLAY_TEXT_MAX = 2000 };

/* One line of any bytes. */
void display_text(struct buf *out, struct str text);

/* A header value: folded, with encoded words (RFC 2047). */
void display_header(struct buf *out, struct str value);

/* Several lines, whose ends become LF and whose tabs stay; otherwise as display_text, without a limit of its own. */
void display_lines(struct buf *out, struct str text);

/* A line of a protocol, as it is, tabs too: what can't be shown or would do harm stands there as \xNN, octet by
 * octet. */
void display_wire(struct buf *out, struct str line);

/* The text cut or filled up with blanks to so many columns of a terminal. */
void display_column(struct buf *out, struct str text, size_t columns);

struct display_summary {
	struct buf from, to, cc, subject, date; /* decoded; empty where absent */
};

/* Takes the fields out of a header block. The caller releases it, and may use it again. */
void display_summary_init(struct display_summary *s);
void display_summary_release(struct display_summary *s);
void display_summary_take(struct display_summary *s, struct str header);

#endif

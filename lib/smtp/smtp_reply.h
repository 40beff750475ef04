/*
 * SMTP replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034, RFC 3463): written by servers, read by clients.
 *
 * Written: bytes outside printable ASCII become \xNN, so that no text from outside can end a line or forge a reply; a
 * text that does not fit into a line of 512 octets goes on in a further line of the same reply; beyond
 * LIMIT_SMTP_REPLY_TEXT_MAX it is cut with "...". Read: at most LIMIT_SMTP_REPLY_LINES_MAX lines of
 * LIMIT_SMTP_REPLY_LINE_MAX octets, in any chunks. Harmless sloppiness of servers is tolerated: LF alone as line end, a
 * last line without a space or text behind the code, and lines that differ in code, of which the last one counts.
 */
#ifndef POSTHORN_SMTP_REPLY_H
#define POSTHORN_SMTP_REPLY_H

#include "buf.h"
#include "fail.h"

/* One of our own replies; constant, never freed. */
struct smtp_reply {
	int code;
	const char *enhanced; /* "5.5.1"; NULL for replies that carry none: 220, 334, 354, EHLO */
	const char *text;
};

/* Adds the reply with its CRLF. */
void smtp_reply_add(struct buf *out, const struct smtp_reply *reply);

/* Adds a reply made on the spot; enhanced may be NULL; the text is escaped as a whole. */
void smtp_reply_printf(struct buf *out, int code, const char *enhanced, const char *format, ...) FORMAT(4, 5);

/* Adds one line of a reply of several: more says that another one follows. The text is escaped; the line is
 * cut at 512 octets. */
void smtp_reply_add_line(struct buf *out, int code, bool more, const char *enhanced, struct str text);

/* What a failed operation is answered with. final asks for the 5yz form where a kind has both: OVER_QUOTA is 452 4.2.2
 * or 552 5.2.2, LIMIT 452 4.5.3 or 550 5.5.3; the other kinds have one form only. */
const struct smtp_reply *smtp_reply_of_fail(enum fail_kind kind, bool final);

/* Reading. */
enum smtp_reply_state {
	SMTP_REPLY_MORE, /* the reply is not complete yet */
	SMTP_REPLY_DONE, /* code, enhanced and text are valid until the next smtp_reply_reader_clear */
	SMTP_REPLY_BAD,  /* not a reply: the connection is of no use any more */
};

struct smtp_reply_reader {
	int code;
	int class, subject, detail; /* enhanced status code; all 0 when there was none */
	size_t lines;
	struct buf text;            /* what stands behind code and separator, lines joined by LF; from outside */
	struct buf line;
};

void smtp_reply_reader_init(struct smtp_reply_reader *r);
void smtp_reply_reader_release(struct smtp_reply_reader *r);

/* Gets it ready for the next reply. */
void smtp_reply_reader_clear(struct smtp_reply_reader *r);

/* Takes bytes up to the end of one reply; *used says how many (the rest belongs to the next one). */
enum smtp_reply_state smtp_reply_read(struct smtp_reply_reader *r, struct str input, size_t *used);

#endif

/*
 * The body of a multi-line answer, RFC 1939 §3: a dot is doubled where it begins a line, and a dot alone ends it.
 *
 * Both directions are incremental and copy nothing: they turn a chunk into pieces that are views of it. A line
 * begins after CRLF and nowhere else, so stored bytes with a bare LF or CR pass unchanged both ways. Where the
 * content does not end with CRLF, one is added. Chunks may be cut anywhere.
 */
#ifndef POSTHORN_POP3_STUFF_H
#define POSTHORN_POP3_STUFF_H

#include "str.h"

/* What the bytes so far leave open. */
enum pop3_position {
	POP3_LINE_START,
	POP3_IN_LINE,
	POP3_AFTER_CR,
	POP3_AFTER_DOT,    /* reading: a dot at a line's start was held back */
	POP3_AFTER_DOT_CR, /* reading: and a CR behind it */
};

/* ---- writing ---- */

/* Initial value: all zero. */
struct pop3_stuffer {
	enum pop3_position position;
	bool doubled;    /* the next byte is a dot whose double went out already */
	uint64_t octets; /* before stuffing, with an added CRLF: what LIST says */
};

/* The next piece to send of *input, which moves forward; false when all of it is used up. */
bool pop3_stuff_next(struct pop3_stuffer *s, struct str *input, struct str *piece);

/* What ends the answer: the CRLF that may be missing, and the dot. To be called once, last. */
struct str pop3_stuff_end(struct pop3_stuffer *s);

/* ---- TOP ---- */

/* The headers, the blank line and some lines of the body. Lines end with LF here, so that a mail that was stored
 * with bare LF is cut too. */
struct pop3_top {
	bool in_body;
	bool line_has_bytes; /* other than CR */
	uint64_t lines_left; /* of the body */
};

struct pop3_top pop3_top_init(uint64_t lines);

/* How much of the chunk belongs to the answer; less than all of it means that nothing more does. */
size_t pop3_top_take(struct pop3_top *top, struct str chunk);

/* True when nothing more is needed. */
bool pop3_top_done(const struct pop3_top *top);

/* ---- reading ---- */

/* Initial value: all zero. */
struct pop3_unstuffer {
	enum pop3_position position;
	bool ended; /* the dot was read; *input then begins behind it */
};

/* The next piece of content in *input, which moves forward; false when all of it is used up or the end was read.
 * Pieces look into *input or at a constant. */
bool pop3_unstuff_next(struct pop3_unstuffer *u, struct str *input, struct str *piece);

#endif

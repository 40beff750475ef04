/*
 * Command lines out of a stream of bytes, in constant memory.
 *
 * A command line ends with CRLF and with nothing else (RFC 5321 §2.3.8). An LF always ends what is looked at, so that
 * the two sides can't disagree about where the next command begins, but a line with a bare LF, a bare CR or a NUL in it
 * is handed over as bad, never as a command. A line longer than the limit is dropped up to its end and reported once.
 * Views point into the input.
 */
#ifndef POSTHORN_SMTP_LINE_H
#define POSTHORN_SMTP_LINE_H

#include "smtp_reply.h"

enum smtp_line_kind {
	SMTP_LINE_NONE,     /* no complete line: read more */
	SMTP_LINE_COMMAND,  /* a line; it may be empty */
	SMTP_LINE_BAD,      /* bare LF, bare CR or NUL */
	SMTP_LINE_TOO_LONG,
};

struct smtp_line_reader {
	bool discarding; /* inside a line that is too long */
};

/* Takes one line from the front of *input: *line is without CRLF. limit counts the CRLF (LIMIT_SMTP_LINE_MAX or, within
 * AUTH, LIMIT_SMTP_AUTH_LINE_MAX). Whatever the answer, what was taken is gone from *input; after SMTP_LINE_NONE the
 * rest, fewer than limit octets, must stay at the front of the next input. */
enum smtp_line_kind smtp_line_take(struct smtp_line_reader *r, struct str *input, size_t limit, struct str *line);

/* The reply to SMTP_LINE_BAD and SMTP_LINE_TOO_LONG. */
const struct smtp_reply *smtp_line_refusal(enum smtp_line_kind kind);

#endif

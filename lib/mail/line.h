/*
 * Lines of a raw message: where the next one begins and what is in one.
 *
 * A line ends with LF or CRLF. A CR alone is an ordinary byte (RFC 5321 §2.3.8), except in a text that
 * has no LF at all, as old files have it: there each CR ends a line. line_terminator decides that once
 * for a text; it costs nothing where lines are short, because the search stops at the first LF.
 */
#ifndef POSTHORN_MAIL_LINE_H
#define POSTHORN_MAIL_LINE_H

#include "str.h"

static inline char line_terminator(struct str text)
{
	return text.length && !memchr(text.data, '\n', text.length) ? '\r' : '\n';
}

/* Index behind the end of the line that begins at start. */
static inline size_t line_next(struct str text, size_t start, char terminator)
{
	const char *end = start < text.length ? memchr(text.data + start, terminator, text.length - start) : NULL;
	return end ? (size_t)(end - text.data) + 1 : text.length;
}

/* The line between start and next without its end. */
static inline struct str line_content(struct str text, size_t start, size_t next, char terminator)
{
	size_t end = next;
	if (end > start && text.data[end - 1] == terminator) {
		end--;
		if (terminator == '\n' && end > start && text.data[end - 1] == '\r')
			end--;
	}
	return (struct str){ text.data + start, end - start };
}

#endif

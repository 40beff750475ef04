/*
 * Values with parameters, as Content-Type and Content-Disposition have them: RFC 2045 §5.1, RFC 2183 and the
 * parts, charsets and languages of RFC 2231.
 *
 * parameter_parse gives names and values as they were sent (BODYSTRUCTURE passes them on so: clients put
 * together "filename*0*" themselves), only quotes, comments and folding taken off; parameter_find gives
 * what is meant. Lenient: a missing semicolon, an unquoted value with blanks, an open quote.
 */
#ifndef POSTHORN_MAIL_PARAMETER_H
#define POSTHORN_MAIL_PARAMETER_H

#include "arena.h"
#include "buf.h"

struct parameter {
	struct parameter *next;
	struct str name;
	struct str value;
};

struct parameter_list {
	struct parameter *first;
	size_t count;
};

/* *value gets the token in front ("text/plain", "attachment"); the strings are views or lie in the arena. At
 * most max parameters are given. */
void parameter_parse(struct arena *a, struct str field, size_t max, struct str *value, struct parameter_list *list);

/* The first of that name as it was sent, or the view with data NULL. */
struct str parameter_raw(const struct parameter_list *list, struct str name);

/* The value of name in UTF-8: plain, in RFC 2231 form and parts, or in RFC 2047 form, which is wrong but
 * common. False when there is none. */
bool parameter_find(struct buf *out, const struct parameter_list *list, struct str name);

/* Adds "; name=value", quoted, or in RFC 2231 form when value is not ASCII, in parts of a line each when long. */
void parameter_add(struct buf *out, struct str name, struct str utf8);

#endif

/*
 * The tree of parts of a message (RFC 2045, 2046), found in one pass over its text.
 *
 * Offsets count from the start of the text. Every part lies within its parent's body, parts of one parent
 * follow each other. Time is linear in the text however boundaries are made: the open ones are looked up by
 * the hash of each prefix of a line that begins with "--", the longest wins. Depth, number of parts,
 * parameters, addresses and header octets are bounded by limits.h: a container beyond a limit becomes a leaf
 * application/octet-stream that reaches to the end of its place. A multipart in which no part begins is
 * text/plain. A message whose encoding hides its text is a leaf too.
 */
#ifndef POSTHORN_MAIL_MIME_H
#define POSTHORN_MAIL_MIME_H

#include "mail_envelope.h"
#include "parameter.h"
#include "transfer.h"

enum mime_kind {
	MIME_LEAF,
	MIME_MULTIPART, /* one child or more */
	MIME_MESSAGE,   /* message/rfc822 or message/global: one child, the part whose header is that message's */
	MIME_KIND_COUNT
};

struct mime_part {
	struct mime_part *parent;
	struct mime_part *first;
	struct mime_part *last;
	struct mime_part *next;
	enum mime_kind kind;
	enum transfer_encoding encoding;
	struct str type; /* never empty, in the case it came in */
	struct str subtype;
	struct parameter_list parameters;
	struct str id; /* this and what follows: data NULL when absent */
	struct str description;
	struct str encoding_name;
	struct str md5;
	struct str disposition;
	struct parameter_list disposition_parameters;
	struct str language;
	struct str location;
	size_t header_offset;
	size_t body_offset; /* behind the blank line; what lies between is the header */
	size_t body_size;   /* octets */
	size_t body_lines;  /* line ends in the body */
	size_t children;
	struct mail_envelope *envelope; /* of MIME_MESSAGE: the message inside */
};

/* Is told each field of the outermost header, so that one pass serves all. */
struct mime_visitor {
	void (*field)(void *context, const struct header_field *field);
	void *context;
};

/* The root; everything lies in the arena, texts that need no change are views of the message. visitor may be NULL. */
struct mime_part *mime_parse(struct arena *a, struct str text, const struct mime_visitor *visitor);

/* The next part in the order of their beginning, children before siblings; NULL at the end. */
struct mime_part *mime_next(const struct mime_part *part);

/* The part that IMAP numbers so (RFC 9051 §6.4.5.1); count 0 gives the root. NULL when there is none. */
struct mime_part *mime_find(struct mime_part *root, const uint32_t *numbers, size_t count);

bool mime_is_type(const struct mime_part *part, struct str type, struct str subtype);

/* A part that a reader would save, not read: disposition attachment, or a named part that is no text. */
bool mime_is_attachment(const struct mime_part *part);

static inline struct str mime_header(const struct mime_part *part, struct str text)
{
	return str_from(text.data + part->header_offset, part->body_offset - part->header_offset);
}

static inline struct str mime_body(const struct mime_part *part, struct str text)
{
	return str_from(text.data + part->body_offset, part->body_size);
}

#endif

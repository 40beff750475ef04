/*
 * What a FETCH asks for (RFC 9051 §6.4.5, RFC 3501 §6.4.5): the list of data items, and the modifiers behind it.
 *
 * Items: BINARY (RFC 3516), MODSEQ (RFC 7162), EMAILID and THREADID (RFC 8474), SAVEDATE (RFC 8514) and PREVIEW (RFC
 * 8970) with the base protocol's. Modifiers: CHANGEDSINCE and VANISHED (RFC 7162), PARTIAL (RFC 9394). Each item
 * comes with the label under which its value is told, so that a server only has to copy it. Everything lies in the
 * parser's arena or is a view of its text.
 */
#ifndef POSTHORN_IMAP_FETCH_ITEMS_H
#define POSTHORN_IMAP_FETCH_ITEMS_H

#include "imap_parse.h"

enum imap_fetch_kind {
	IMAP_FETCH_FLAGS,
	IMAP_FETCH_INTERNALDATE,
	IMAP_FETCH_UID,
	IMAP_FETCH_SIZE,          /* RFC822.SIZE */
	IMAP_FETCH_MODSEQ,
	IMAP_FETCH_SAVEDATE,
	IMAP_FETCH_EMAILID,
	IMAP_FETCH_THREADID,
	IMAP_FETCH_ENVELOPE,
	IMAP_FETCH_STRUCTURE,     /* BODY: without extension data */
	IMAP_FETCH_BODYSTRUCTURE,
	IMAP_FETCH_PREVIEW,
	IMAP_FETCH_SECTION,       /* BODY[…], RFC822, RFC822.HEADER, RFC822.TEXT */
	IMAP_FETCH_BINARY,
	IMAP_FETCH_BINARY_SIZE,
	IMAP_FETCH_KIND_COUNT
};

/* What of a part: RFC 9051 §6.4.5.1. */
enum imap_section_text {
	IMAP_SECTION_ALL,         /* the message, or the body of the numbered part */
	IMAP_SECTION_HEADER,
	IMAP_SECTION_FIELDS,
	IMAP_SECTION_FIELDS_NOT,
	IMAP_SECTION_TEXT,
	IMAP_SECTION_MIME,
};

struct imap_section {
	const uint32_t *numbers;
	size_t depth;
	enum imap_section_text text;
	const struct str *fields; /* of the two FIELDS */
	size_t field_count;
};

struct imap_fetch_item {
	enum imap_fetch_kind kind;
	struct imap_section section;
	bool sets_seen;
	bool lazy;       /* PREVIEW (LAZY) */
	bool is_partial;
	uint64_t offset; /* of the partial */
	uint64_t length;
	struct str label; /* "BODY[HEADER.FIELDS (To)]<0>" */
};

struct imap_fetch_items {
	const struct imap_fetch_item *list;
	size_t count;
	unsigned kinds; /* a bit 1 << kind for each that is there */
	bool sets_seen; /* one of them does */
};

/* One item, a macro, or a list in parentheses. */
void imap_parse_fetch_items(struct imap_parser *p, struct imap_fetch_items *items);

/* The range of PARTIAL (RFC 9394 §3.1): first <= last; from_end counts from the newest message. */
struct imap_partial {
	bool given;
	bool from_end;
	uint32_t first, last;
};

/* partial-range. */
void imap_parse_partial(struct imap_parser *p, struct imap_partial *partial);

struct imap_fetch_modifiers {
	bool has_changed_since;
	uint64_t changed_since;
	bool vanished;
	struct imap_partial partial;
};

/* " (…)" when something stands there (RFC 4466 §2.4). VANISHED only with CHANGEDSINCE, and both it and PARTIAL
 * only with UID FETCH (uid). */
void imap_parse_fetch_modifiers(struct imap_parser *p, bool uid, struct imap_fetch_modifiers *modifiers);

#endif

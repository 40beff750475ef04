/*
 * Header fields of a raw message or body part, read in one pass (RFC 5322 §2.2, §3.6.8, §4.5).
 *
 * Nothing is copied: name and value are views of the text. Lenient as real mail needs it: LF or CRLF,
 * blanks before the colon, a mbox `From ` line first, 8-bit names. A line that cannot be a field is
 * passed over when a field follows it; otherwise the body begins with it, so that no text of a message
 * with a missing blank line is lost. Fields are given out up to LIMIT_HEADER_SIZE_MAX octets and
 * LIMIT_HEADER_FIELDS_MAX fields; header_finish finds the end of the block even beyond them.
 */
#ifndef POSTHORN_MAIL_HEADER_H
#define POSTHORN_MAIL_HEADER_H

#include "arena.h"
#include "buf.h"

/* The names this library looks at; HEADER_OTHER is every other one. */
enum header_name {
	HEADER_OTHER,
	HEADER_BCC,
	HEADER_CC,
	HEADER_COMMENTS,
	HEADER_CONTENT_BASE,
	HEADER_CONTENT_DESCRIPTION,
	HEADER_CONTENT_DISPOSITION,
	HEADER_CONTENT_ID,
	HEADER_CONTENT_LANGUAGE,
	HEADER_CONTENT_LOCATION,
	HEADER_CONTENT_MD5,
	HEADER_CONTENT_TRANSFER_ENCODING,
	HEADER_CONTENT_TYPE,
	HEADER_DATE,
	HEADER_DELIVERED_TO,
	HEADER_FROM,
	HEADER_IMPORTANCE,
	HEADER_IN_REPLY_TO,
	HEADER_KEYWORDS,
	HEADER_LIST_ID,
	HEADER_LIST_POST,
	HEADER_LIST_UNSUBSCRIBE,
	HEADER_MESSAGE_ID,
	HEADER_MIME_VERSION,
	HEADER_NEWSGROUPS,
	HEADER_PRECEDENCE,
	HEADER_PRIORITY,
	HEADER_RECEIVED,
	HEADER_REFERENCES,
	HEADER_REPLY_TO,
	HEADER_RESENT_BCC,
	HEADER_RESENT_CC,
	HEADER_RESENT_FROM,
	HEADER_RESENT_MESSAGE_ID,
	HEADER_RESENT_REPLY_TO,
	HEADER_RESENT_SENDER,
	HEADER_RESENT_TO,
	HEADER_RETURN_PATH,
	HEADER_SENDER,
	HEADER_SUBJECT,
	HEADER_TO,
	HEADER_USER_AGENT,
	HEADER_X_MAILER,
	HEADER_X_PRIORITY,
	HEADER_X_SPAM_FLAG,
	HEADER_NAME_COUNT
};

struct header_field {
	enum header_name id;
	struct str name;  /* without the colon and blanks before it */
	struct str value; /* behind the colon, folded as it came, without the last line end; cut at the size limit */
	size_t offset;    /* of the field in the text */
	size_t length;    /* of the whole field with its line end */
};

struct header_reader {
	struct str text;
	size_t position;
	size_t fields;
	char terminator;
	bool ended;
};

void header_begin(struct header_reader *r, struct str text);

/* The next field; false at the end of the block or at a limit. */
bool header_next(struct header_reader *r, struct header_field *field);

/* Passes over what is left of the block; returns where the body begins, behind the blank line. */
size_t header_finish(struct header_reader *r);

/* Octets of the header block with the blank line that ends it: where the body begins. */
size_t header_size(struct str text);

/* The first field of that name (any case); false when there is none. */
bool header_find(struct str text, struct str name, struct header_field *field);

enum header_name header_name_find(struct str name);

/* As the RFCs write it; empty for HEADER_OTHER. */
struct str header_name_text(enum header_name id);

/* RFC 5322 §2.2.3: the value without its line breaks, trimmed; NUL and stray CR or LF become a blank, so
 * that the text fits every protocol. A view where nothing has to change, else a copy in the arena. */
struct str header_unfold(struct arena *a, struct str value);

/* The same, but not trimmed, added to out. */
void header_unfold_add(struct buf *out, struct str value);

#endif

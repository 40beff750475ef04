/*
 * What an IMAP server says to people, in each language of the LANGUAGE command (RFC 5255): one table of texts ×
 * languages, complete for all. English is ASCII; the others are UTF-8. Response codes are the callers'; a text never
 * begins with "[". A text may hold {number} and {text}, which is shortened and made printable.
 *
 * The table is in imap_language.c; enum imap_text grows with it. Texts are made for the person at the screen: what
 * happened and what helps.
 */
#ifndef POSTHORN_IMAP_LANGUAGE_H
#define POSTHORN_IMAP_LANGUAGE_H

#include "buf.h"

enum imap_language { IMAP_ENGLISH, IMAP_ITALIAN, IMAP_SLOVAK, IMAP_LANGUAGE_COUNT };

enum imap_text {
	IMAP_SAY_READY,
	IMAP_SAY_DONE,            /* {text}: the command's name */
	IMAP_SAY_LOGGED_IN,
	IMAP_SAY_BYE,
	IMAP_SAY_BEGIN_TLS,
	/* log-in */
	IMAP_SAY_WRONG_PASSWORD,
	IMAP_SAY_TLS_FIRST,
	IMAP_SAY_NO_MECHANISM,
	IMAP_SAY_BAD_BASE64,
	IMAP_SAY_LOGIN_CANCELLED,
	IMAP_SAY_ALREADY_TLS,
	IMAP_SAY_TLS_NOT_OFFERED,
	IMAP_SAY_PIPELINED_TLS,
	IMAP_SAY_MOVED,           /* text: the host */
	/* bad commands */
	IMAP_SAY_NO_TAG,
	IMAP_SAY_NO_COMMAND,
	IMAP_SAY_UNKNOWN_COMMAND, /* text */
	IMAP_SAY_ONLY_BEFORE_LOGIN,
	IMAP_SAY_LOGIN_FIRST,
	IMAP_SAY_SELECT_FIRST,
	IMAP_SAY_NO_UID_FORM,
	IMAP_SAY_NO_ARGUMENTS,
	IMAP_SAY_EXPECTED,        /* text: what; number: at which octet */
	IMAP_SAY_TOO_MUCH,        /* the same */
	IMAP_SAY_LINE_TOO_LONG,
	IMAP_SAY_LITERAL_TOO_BIG,
	IMAP_SAY_TOO_MANY_ERRORS,
	IMAP_SAY_UID_REQUIRED,
	IMAP_SAY_READ_ONLY,
	/* mailboxes and messages */
	IMAP_SAY_NO_MAILBOX,
	IMAP_SAY_TRY_CREATE,
	IMAP_SAY_MAILBOX_EXISTS,
	IMAP_SAY_INBOX_STAYS,
	IMAP_SAY_HAS_CHILDREN,
	IMAP_SAY_BAD_NAME,
	IMAP_SAY_NO_SPECIAL_USE,
	IMAP_SAY_NO_QUOTA_ROOT,
	IMAP_SAY_NO_LANGUAGE,     /* text */
	IMAP_SAY_NO_COMPARATOR,
	IMAP_SAY_COMPRESSED,
	IMAP_SAY_COMPRESSED_ALREADY,
	IMAP_SAY_PIPELINED_COMPRESS,
	IMAP_SAY_BAD_EVENT,
	IMAP_SAY_TOO_MANY_EVENTS,
	IMAP_SAY_NO_MESSAGES,
	IMAP_SAY_EXPUNGED,
	IMAP_SAY_OVER_QUOTA,
	IMAP_SAY_TOO_BIG,
	IMAP_SAY_BAD_CHARSET,
	IMAP_SAY_NO_CHARSET_HERE,
	IMAP_SAY_NO_FILTER,       /* text: its name */
	IMAP_SAY_TAG_IN_USE,
	IMAP_SAY_TOO_MANY_CONTEXTS,
	IMAP_SAY_UNKNOWN_CTE,
	IMAP_SAY_MODIFIED,
	IMAP_SAY_IDLING,
	IMAP_SAY_MAILBOX_DELETED,
	IMAP_SAY_FLAGS_KEPT,
	IMAP_SAY_NO_FLAGS_KEPT,
	IMAP_SAY_NO_SUCH_NUMBER,  /* number: how many there are */
	IMAP_SAY_MAILBOX_ID,
	IMAP_SAY_FIRST_UNSEEN,
	IMAP_SAY_UIDS_VALID,
	IMAP_SAY_NEXT_UID,
	IMAP_SAY_HIGHEST_MODSEQ,
	IMAP_SAY_CLOSED,
	IMAP_SAY_BAD_URL,
	IMAP_SAY_MESSAGE_LIMIT,   /* number */
	IMAP_SAY_WORKING,
	/* the server's own troubles; one for each enum fail_kind that has none above */
	IMAP_SAY_NOT_FOUND,
	IMAP_SAY_NOT_ALLOWED,
	IMAP_SAY_INVALID,
	IMAP_SAY_LIMIT,
	IMAP_SAY_IN_USE,
	IMAP_SAY_DAMAGED,
	IMAP_SAY_TEMPORARY,
	IMAP_SAY_NO_SPACE,
	IMAP_SAY_TOO_MANY_SESSIONS,
	IMAP_SAY_AUTOLOGOUT,
	IMAP_SAY_SHUTTING_DOWN,
	IMAP_TEXT_COUNT
};

struct imap_values {
	uint64_t number;
	struct str text;
};

struct str imap_language_tag(enum imap_language language);

/* RFC 4647 §3.4 look-up. "default" and "*" are the preferred one, "i-default" is English (RFC 5255 §3.2). */
bool imap_language_find(struct str range, enum imap_language preferred, enum imap_language *language);

/* RFC 5255 §3.3: "* LANGUAGE (EN IT SK i-default)" and "* LANGUAGE (IT)", each with its line's end. */
void imap_language_write_all(struct buf *out);
void imap_language_write_chosen(struct buf *out, enum imap_language language);

/* The text as it stands in the table. */
struct str imap_text_raw(enum imap_language language, enum imap_text text);

/* The text with its values filled in; values may be NULL for one without placeholders. */
void imap_text_add(struct buf *out, enum imap_language language, enum imap_text text, const struct imap_values *values);

#endif

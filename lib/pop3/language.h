/*
 * What a POP3 server says to people, in each language of the LANG command (RFC 6856 §3).
 *
 * One table of texts × languages, complete for all. English is pure ASCII, because it is what is said before
 * a client has asked for another language; the others are UTF-8, which RFC 6856 §3.2 allows from LANG on.
 * A text may hold {messages} ("2 messages"), {octets} ("320 octets"), {number} and {text}. None begins with bytes from
 * outside: a "[" there would be taken for a response code (RFC 2449 §6.4).
 */
#ifndef POSTHORN_POP3_LANGUAGE_H
#define POSTHORN_POP3_LANGUAGE_H

#include "buf.h"

enum pop3_language { POP3_ENGLISH, POP3_ITALIAN, POP3_SLOVAK, POP3_LANGUAGE_COUNT };

enum pop3_text {
	/* success */
	POP3_SAY_READY,
	POP3_SAY_DONE,
	POP3_SAY_SEND_PASSWORD,
	POP3_SAY_MAILDROP,        /* messages, octets */
	POP3_SAY_LISTING,         /* messages, octets */
	POP3_SAY_MESSAGE_FOLLOWS, /* octets */
	POP3_SAY_TOP_FOLLOWS,
	POP3_SAY_UIDL_FOLLOWS,
	POP3_SAY_CAPA_FOLLOWS,
	POP3_SAY_DELETED,         /* number */
	POP3_SAY_BYE,
	POP3_SAY_BYE_EMPTY,
	POP3_SAY_BYE_LEFT,        /* messages */
	POP3_SAY_BEGIN_TLS,
	POP3_SAY_PIPELINED_TLS,
	POP3_SAY_UTF8_ON,
	POP3_SAY_LANGUAGE_CHANGED,
	POP3_SAY_LANGUAGES_FOLLOW,
	/* log-in */
	POP3_SAY_WRONG_PASSWORD,
	POP3_SAY_USER_FIRST,
	POP3_SAY_TLS_FIRST,
	POP3_SAY_NO_MECHANISM,
	POP3_SAY_NO_APOP,
	POP3_SAY_BAD_BASE64,
	POP3_SAY_LOGIN_CANCELLED,
	POP3_SAY_IN_USE,
	POP3_SAY_LOGIN_DELAY,
	/* bad commands */
	POP3_SAY_EMPTY_LINE,
	POP3_SAY_LINE_TOO_LONG,   /* number */
	POP3_SAY_BAD_BYTES,
	POP3_SAY_UNKNOWN_COMMAND, /* text */
	POP3_SAY_ONLY_BEFORE_LOGIN, /* text */
	POP3_SAY_ONLY_AFTER_LOGIN,  /* text */
	POP3_SAY_MISSING_ARGUMENT,  /* text */
	POP3_SAY_EXTRA_ARGUMENT,    /* text */
	POP3_SAY_ONE_SPACE,         /* text */
	POP3_SAY_NOT_A_NUMBER,      /* text */
	POP3_SAY_NUMBER_ZERO,
	POP3_SAY_TLS_ACTIVE,
	POP3_SAY_TLS_NOT_OFFERED,
	POP3_SAY_TLS_BEFORE_UTF8,
	POP3_SAY_LANGUAGE_UNKNOWN,  /* text */
	POP3_SAY_TOO_MANY_ERRORS,
	/* messages */
	POP3_SAY_NO_SUCH_MESSAGE, /* messages */
	POP3_SAY_ALREADY_DELETED, /* number */
	POP3_SAY_NEEDS_UTF8,      /* number */
	POP3_SAY_DAMAGED,
	POP3_SAY_NOT_REMOVED,
	/* the server's own troubles */
	POP3_SAY_NOT_FOUND,
	POP3_SAY_NOT_ALLOWED,
	POP3_SAY_INVALID,
	POP3_SAY_TOO_BIG,
	POP3_SAY_TEMPORARY,
	POP3_SAY_PERMANENT,
	POP3_SAY_NO_SPACE,
	POP3_SAY_TIMED_OUT,
	POP3_SAY_TOO_MANY_SESSIONS,
	POP3_SAY_AUTOLOGOUT,
	POP3_SAY_SHUTTING_DOWN,
	POP3_TEXT_COUNT
};

/* What the placeholders stand for. text may come from outside: it is shortened and made printable. */
struct pop3_values {
	uint64_t messages;
	uint64_t octets;
	uint64_t number;
	struct str text;
};

/* "en"; RFC 5646. */
struct str pop3_language_tag(enum pop3_language language);

/* "English", in the language itself. */
struct str pop3_language_name(enum pop3_language language);

/* The language for a range as LANG gives it: the tag or, as in the look-up of RFC 4647 §3.4, a longer one ("it-CH").
 * "*" is preferred. False when there is none. */
bool pop3_language_find(struct str range, enum pop3_language preferred, enum pop3_language *language);

/* The text as it stands in the table. */
struct str pop3_text_raw(enum pop3_language language, enum pop3_text text);

/* The text with its values filled in; values may be NULL for one without placeholders. */
void pop3_text_add(struct buf *out, enum pop3_language language, enum pop3_text text, const struct pop3_values *values);

#endif

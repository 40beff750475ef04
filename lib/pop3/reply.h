/*
 * What a POP3 server answers: status lines with response codes (RFC 2449 §8, RFC 3206, RFC 6856 §5) and the
 * lines of listings.
 *
 * Everything is added to a buffer, with its CRLF. A status line is at most 512 octets (RFC 2449 §4), cut
 * between characters if it must be. Multi-line answers end with pop3_reply_end.
 */
#ifndef POSTHORN_POP3_REPLY_H
#define POSTHORN_POP3_REPLY_H

#include "fail.h"
#include "language.h"

enum pop3_code {
	POP3_NO_CODE,
	POP3_IN_USE,      /* RFC 2449 §8.1.2 */
	POP3_LOGIN_DELAY, /* RFC 2449 §8.1.1 */
	POP3_SYS_TEMP,    /* RFC 3206 §4 */
	POP3_SYS_PERM,    /* RFC 3206 §4 */
	POP3_AUTH,        /* RFC 3206 §5: the credentials are wrong, and nothing else is */
	POP3_UTF8,        /* RFC 6856 §5 */
	POP3_CODE_COUNT
};

/* "SYS/TEMP"; empty for POP3_NO_CODE. */
struct str pop3_code_name(enum pop3_code code);

/* values may be NULL for a text without placeholders. */
void pop3_reply_ok(struct buf *out, enum pop3_language language, enum pop3_text text, const struct pop3_values *values);
void pop3_reply_err(struct buf *out, enum pop3_language language, enum pop3_code code, enum pop3_text text,
	const struct pop3_values *values);

/* The one answer for a kind of failure; its text is ours, never that of the fail. */
void pop3_reply_fail(struct buf *out, enum pop3_language language, enum fail_kind kind);

/* The greeting; timestamp "<…>" offers APOP (RFC 1939 §7), empty where it is not offered. */
void pop3_reply_greeting(struct buf *out, struct str timestamp);

/* "+OK 2 320" for STAT, "+OK 1 120" for LIST 1. */
void pop3_reply_numbers(struct buf *out, uint64_t first, uint64_t second);

/* "+OK 1 unique-id" for UIDL 1. */
void pop3_reply_uid(struct buf *out, uint64_t number, struct str uid);

/* "+ base64" in an AUTH exchange (RFC 5034 §4). */
void pop3_reply_challenge(struct buf *out, struct str bytes);

/* LANG with an argument that was found: the tag, then text in the new language (RFC 6856 §3.2). */
void pop3_reply_language(struct buf *out, enum pop3_language language);

/* LANG without one: the whole multi-line answer. */
void pop3_reply_languages(struct buf *out, enum pop3_language language);

/* Lines of LIST and UIDL. */
void pop3_add_size(struct buf *out, uint64_t number, uint64_t octets);
void pop3_add_uid(struct buf *out, uint64_t number, struct str uid);

/* The line with the dot. */
void pop3_reply_end(struct buf *out);

#endif

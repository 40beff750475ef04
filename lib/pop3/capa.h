/*
 * The capabilities of a POP3 server (RFC 2449 §5, §6): what the server announces and what a client has read are the
 * same struct.
 *
 * The strings are views; a parsed struct looks into the arena given.
 */
#ifndef POSTHORN_POP3_CAPA_H
#define POSTHORN_POP3_CAPA_H

#include "arena.h"
#include "command.h"

#define POP3_EXPIRE_NEVER UINT32_MAX

struct pop3_capabilities {
	bool top, uidl, pipelining, resp_codes;
	bool auth_resp_code;     /* RFC 3206 §6 */
	bool user;               /* USER and PASS are offered */
	bool stls;               /* RFC 2595 §4 */
	bool utf8, utf8_user;    /* RFC 6856 §2; the second: names and passwords may be UTF-8 */
	bool lang;               /* RFC 6856 §3 */
	bool sasl;               /* AUTH is offered, */
	struct str mechanisms;   /* with these, separated by spaces */
	bool login_delay, login_delay_differs; /* known exactly after log-in only */
	uint32_t login_delay_s;
	bool expire, expire_differs;
	uint32_t expire_days;    /* or POP3_EXPIRE_NEVER */
	struct str implementation;
};

/* The whole answer to CAPA. What a server has configured and what it says now differ: STLS is left out where it is not
 * permitted (RFC 2595 §4), USER where passwords in clear text are refused, "USER" behind a value after log-in. All
 * that is said before log-in is said after it too (RFC 2449 §5). */
void pop3_capa_answer(struct buf *out, const struct pop3_capabilities *capabilities,
	const struct pop3_situation *situation);

/* Takes in one line of the answer, which begins with an all-zero struct; what is unknown or makes no sense is passed
 * over, as RFC 2449 §5 wants of clients. */
void pop3_capa_parse(struct pop3_capabilities *capabilities, struct str line, struct arena *arena);

#endif

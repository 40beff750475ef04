/*
 * A POP3 session in TRANSACTION state (RFC 1939 §5, §6) on a locked maildrop.
 *
 * The maildrop is a snapshot: message n is the same mail to the end of the session, whatever IMAP or deliveries
 * do meanwhile. Deletion marks live here only and become one durable transaction at QUIT; a session that ends
 * in any other way deletes nothing.
 */
#ifndef POSTHORN_MAILBOX_POP3_H
#define POSTHORN_MAILBOX_POP3_H

#include "command.h"
#include "mailbox.h"
#include "reply.h"

enum { MAIL_MEMORY_MAX = INT32_MAX };

struct pop3_session {
	struct session *session;
	struct stream *stream;
	struct store_reader *reader;
	struct store_maildrop drop;
	bool locked;
	bool *deleted;              /* per message of the drop */
	uint64_t *octets;           /* per message, what RETR sends before stuffing; UINT64_MAX: not known yet */
	uint64_t left, left_octets; /* messages not marked, and their octets */
	struct buf out;             /* answers, before they go to the stream */
	struct buf mail;            /* the message that is sent */
	enum pop3_language language;
	bool utf8;                  /* UTF8 was given before log-in */
	bool over;
};

/* ---- pop3_session.c ---- */
void pop3_say_ok(struct pop3_session *p, enum pop3_text text, const struct pop3_values *values);
void pop3_say_err(struct pop3_session *p, enum pop3_code code, enum pop3_text text, const struct pop3_values *values);
void pop3_send(struct pop3_session *p);

/* ---- pop3_commands.c: one function per command ---- */
void pop3_carry_out(struct pop3_session *p, const struct pop3_command *command);

/* ---- pop3_mail.c: the octets of a message as this client gets them ---- */

/* Reads message number i into p->mail, downgraded where the client does not know UTF-8 headers (RFC 6858 §2);
 * FAIL_INVALID where there is no such form of it. */
bool pop3_read_mail(struct pop3_session *p, size_t i, struct fail **fail);

/* Of p->mail, with the line end that RETR adds where there is none. */
uint64_t pop3_octets_sent(const struct pop3_session *p);

/* What LIST says of it: the octets of RETR before stuffing. */
uint64_t pop3_octets(struct pop3_session *p, size_t i);

#endif

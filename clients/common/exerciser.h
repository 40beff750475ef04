/*
 * struct exerciser: the understanding behind a protocol exerciser. It is told each line that a person sends and each
 * line that the server sends, and knows the state of the session, whose turn it is, what of a line must not be shown,
 * and what an answer means, in one sentence with its RFC section.
 *
 * It judges nothing and holds nothing back: wrong commands are as welcome as right ones. It moves no bytes itself.
 * Lines are without CRLF; memory is constant. POP3 (RFC 1939), SMTP (RFC 5321), and the dialogue of IMAP (RFC 9051) as
 * lines.
 */
#ifndef POSTHORN_COMMON_EXERCISER_H
#define POSTHORN_COMMON_EXERCISER_H

#include "server.h"

struct exerciser;

/* The server speaks first in all three protocols. */
struct exerciser *exerciser_new(enum server_protocol protocol);
void exerciser_free(struct exerciser *x);
void exerciser_cleanup(struct exerciser **x);

/* The state as the RFC names it: "AUTHORIZATION", "TRANSACTION", "UPDATE", …; and "closed", which is translated by who
 * shows it. */
const char *exerciser_state(const struct exerciser *x);

/* What else decides which commands fit. */
enum exerciser_fact {
	EXERCISER_PROTECTED = 1 << 0, /* by TLS */
	EXERCISER_LOGGED_IN = 1 << 1,
	EXERCISER_ASKED = 1 << 2,     /* the next line is no command but belongs to one: a mail, a literal, a SASL message */
	EXERCISER_LINE_ENDS = 1 << 3, /* and it has an end of its own: the dot of a mail, or DONE */
};
unsigned exerciser_facts(const struct exerciser *x);

/* The next line is part of a mail, in which no secret is looked for. */
bool exerciser_takes_mail(const struct exerciser *x);

/* A command was sent and its answer is not complete: a script waits. False also where the server has asked for more. */
bool exerciser_is_waiting(const struct exerciser *x);

/* True when one more line may be sent: so many unanswered commands are remembered, and none may follow STARTTLS. */
bool exerciser_may_send(const struct exerciser *x);

/* A line is about to be sent. shown gets it as it may be shown, with "***" in the place of what is secret: passwords,
 * all that a client says in a SASL exchange and the digest of APOP (who has it and the challenge can try passwords),
 * the arguments of commands that are unknown, and lines that may belong to a log-in that has failed. */
void exerciser_client_line(struct exerciser *x, struct str line, struct buf *shown);

struct exerciser_note {
	const char *sentence; /* NULL where there is nothing to explain */
	const char *rfc;      /* "RFC 1939 §5"; NULL where the sentence needs none */
	bool begins_tls;      /* the handshake comes next; call exerciser_tls_started after it */
};

/* A line came. octets: its length, where text is only the beginning of it. */
void exerciser_server_line(struct exerciser *x, struct str text, uint64_t octets, struct exerciser_note *note);

/* TLS is there: what was known before it is forgotten, where the protocol says so. */
void exerciser_tls_started(struct exerciser *x);

/* The command that begins TLS in this protocol: "STLS". */
struct str exerciser_tls_command(const struct exerciser *x);

#endif

/*
 * struct pop3_client: one session with a POP3 server that is not trusted (RFC 1939, 2449, 2595, 5034, 6856).
 *
 * Nothing is deleted by mistake: a server deletes only when QUIT is answered +OK, so a session that ends in any other
 * way leaves all mails where they are, and pop3_client_deletion tells which it was. Mails are named by their unique
 * ids; numbers never leave a session.
 *
 * Bounds: one line in memory, LIMIT_CLIENT_MAILS_MAX mails, LIMIT_CLIENT_TOP_MAX octets of an answer to TOP, and about
 * twice the announced size of one to RETR. Answers are taken as they come; commands are pipelined where the server says
 * that it can (RFC 2449 §6.6). What a server gets wrong without harm is told to the observer; what makes the session
 * unreliable ends it with FAIL_CORRUPT. After a failure the session can only be freed, unless it is a refusal
 * (FAIL_DENIED) of pop3_client_mark.
 */
#ifndef POSTHORN_COMMON_POP3_CLIENT_H
#define POSTHORN_COMMON_POP3_CLIENT_H

#include "connection.h"
#include "login.h"

struct pop3_mail {
	uint64_t number;
	uint64_t size;                       /* as announced */
	char uid[LIMIT_POP3_UID_MAX + 1];    /* "" when the server has none */
	bool is_repeated;                    /* another mail has the same unique id */
	bool is_marked;                      /* DELE was answered +OK */
};

struct pop3_client;

struct pop3_client_options {
	struct server server;                /* with its user */
	const char *ca_file;                 /* NULL: the authorities of the system */
	struct str password;
	enum login_method method;
	int timeout_ms;
	void (*warn)(void *context, const char *text); /* a word for the person; text may hold bytes of the server */
	/* From this call on, in the session's thread, pop3_client_interrupt may be used, until it is called again with NULL
	 * because opening failed. NULL for a session that nobody interrupts while it is opened. */
	void (*connected)(void *context, struct pop3_client *c);
	void *context;
};

/* Connects, begins TLS, logs in and reads the listing. NULL on failure: UNAVAILABLE, TIMEOUT, DENIED (the log-in), BUSY
 * (the maildrop is in use, or log-ins come too often), CORRUPT. */
struct pop3_client *pop3_client_open(const struct pop3_client_options *options, struct fail **fail);

/* Ends the connection without QUIT where it was not said. */
void pop3_client_free(struct pop3_client *c);
void pop3_client_cleanup(struct pop3_client **c);

/* The mails in the order of their numbers; they live as long as the client. */
size_t pop3_client_count(const struct pop3_client *c);
const struct pop3_mail *pop3_client_mail(const struct pop3_client *c, size_t i);

/* False when the server has no unique ids: then nothing can be named from one session to the next. */
bool pop3_client_has_uids(const struct pop3_client *c);

/* What becomes of fetched bytes. Pieces of one mail come in order, then its end. refusal is the server's text when it
 * said -ERR (then there are no pieces), else NULL. A sink that returns false, with *fail set, ends the session. */
struct pop3_sink {
	bool (*begin)(void *context, const struct pop3_mail *mail, struct fail **fail);
	bool (*take)(void *context, const struct pop3_mail *mail, struct str piece, struct fail **fail);
	bool (*end)(void *context, const struct pop3_mail *mail, const char *refusal, struct fail **fail);
	void *context;
};

/* TOP for each of the mails with these indexes: the headers and some lines of the body. */
bool pop3_client_top(struct pop3_client *c, const size_t *indexes, size_t count, uint64_t lines,
                     const struct pop3_sink *sink, struct fail **fail);

/* RETR likewise. */
bool pop3_client_fetch(struct pop3_client *c, const size_t *indexes, size_t count, const struct pop3_sink *sink,
                       struct fail **fail);

/* Marks the mails with these indexes. All or none: when the server refuses one, RSET takes the marks back. */
bool pop3_client_mark(struct pop3_client *c, const size_t *indexes, size_t count, struct fail **fail);

/* NOOP: keeps the session from being ended as idle, and tells whether it still is. */
bool pop3_client_noop(struct pop3_client *c, struct fail **fail);

/* QUIT: what is marked is deleted if it succeeds. */
bool pop3_client_quit(struct pop3_client *c, struct fail **fail);

enum pop3_deletion {
	POP3_NOTHING_DELETED,
	POP3_DELETION_UNKNOWN,  /* QUIT was sent with marks, and no answer came, or a refusal (RFC 1939 §6) */
	POP3_MARKED_DELETED,
};

enum pop3_deletion pop3_client_deletion(const struct pop3_client *c);

/* Makes reads of the session's thread end soon; from any thread. */
void pop3_client_interrupt(struct pop3_client *c);

#endif

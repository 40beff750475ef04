/*
 * struct talk: a session of the exerciser with a server: the connection and the understanding of exerciser.h together.
 *
 * Lines go out as the person wants them, right or wrong; what comes back is cut into lines, and TLS begins when the
 * server has agreed to it. What happens is told to a watch, in the caller's thread. A line of the server is kept up to
 * LIMIT_CLIENT_LINE_MAX octets; what is longer is counted and dropped.
 */
#ifndef POSTHORN_COMMON_TALK_H
#define POSTHORN_COMMON_TALK_H

#include "connection.h"
#include "exerciser.h"

struct talk_watch {
	void (*sent)(void *context, struct str shown);                          /* passwords are masked */
	void (*received)(void *context, struct str text, uint64_t octets);      /* masked too; octets: of the line, before the cut */
	void (*explained)(void *context, const char *sentence, const char *rfc); /* rfc may be NULL */
	void (*protected)(void *context, const struct connection *connection);  /* TLS is there */
	void (*state_changed)(void *context, const char *state);
	void (*facts_changed)(void *context, unsigned facts);                    /* of enum exerciser_fact; NULL: not told */
	void (*ended)(void *context, const char *why);
	void *context;
};

/* What was masked is remembered, because servers repeat what they do not understand, and IMAP's tags. */
enum { TALK_SECRETS_MAX = 8, TALK_SECRET_MIN = 4 };

/* Zero-initialised before talk_open. */
struct talk {
	struct connection connection;
	struct exerciser *exerciser;
	const struct talk_watch *watch;
	struct buf line;   /* of the server, as far as it came */
	uint64_t octets;   /* of it */
	char last;         /* octet of it */
	const char *state; /* as it was told last */
	unsigned facts;    /* likewise */
	bool is_over;      /* the server has closed the connection */
	struct buf secrets[TALK_SECRETS_MAX]; /* a ring, wiped at the end; shorter ones than TALK_SECRET_MIN are not kept */
	size_t secret_count;
};

/* Connects, with TLS where the server wants it from the start. The caller closes it in any case. */
bool talk_open(struct talk *t, const struct server *server, const char *ca_file, int timeout_ms,
               const struct talk_watch *watch, struct fail **fail);
void talk_close(struct talk *t);

/* Only when exerciser_may_send. */
void talk_send(struct talk *t, struct str line);

/* Takes what has come, without waiting for more: call it when the connection is readable. False when the session can't
 * go on: FAIL_CORRUPT for a server that can't be trusted, or an end where an answer was due. */
bool talk_receive(struct talk *t, struct fail **fail);

/* Tells state and facts if they are others than were told last. */
void talk_tell_state(struct talk *t);

#endif

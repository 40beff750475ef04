/* One filter's connection in a session: for milter.c and milter_message.c. */
#ifndef POSTHORN_SMTPD_MILTER_PROTOCOL_H
#define POSTHORN_SMTPD_MILTER_PROTOCOL_H

#include "milter_wire.h"
#include "smtpd.h"

/* What came of a question. */
enum milter_outcome { MILTER_GOES_ON, MILTER_SKIPS, MILTER_ACCEPTS, MILTER_REFUSES, MILTER_DISCARDS, MILTER_AWAY };

struct milter_link {
	const struct config_milter *config;
	uint32_t index;              /* in the configuration */
	int descriptor;              /* -1: none */
	struct milter_client client;
	struct buf input;
	bool greeted;                /* CONNECT was said */
	char helo[256];              /* that was said; empty: none */
	bool has_enough;             /* accepted the connection: is not asked again */
	enum milter_outcome greeting; /* of CONNECT and HELO: REFUSES holds for every transaction */
	bool in_mail;                /* MAIL was said and not ended */
	bool is_done;                /* accepted the transaction */
	bool is_away;                /* for this transaction */
	/* of a refusal */
	int code;
	char status[16];
	char text[LIMIT_SMTP_REPLY_TEXT_MAX + 1];
};

struct milters {
	struct milter_link *links;
	size_t count;
	int64_t until_ms; /* all about the command at hand together */
	bool discards;    /* the transaction at hand */
	struct smtp_reply reply;
};

/* Who takes the changes that a filter makes at the end of a message. False: they could not be kept. */
struct milter_taker {
	bool (*take)(void *owner, const struct milter_answer *answer);
	void *owner;
};

/* Asks and waits for what is answered. taker: only with MILTER_END. */
enum milter_outcome milter_exchange(struct session *s, struct milter_link *link, const struct milter_request *request,
                                    const struct milter_taker *taker);

/* The same with what the macros of the request are, first. */
enum milter_outcome milter_tell(struct session *s, struct milter_link *link, const struct milter_request *request,
                                const struct milter_taker *taker);

/* Adds the macros of the request: those that the filter chose, or the usual ones, as far as they have a value here. */
void milter_tell_macros(struct session *s, struct milter_link *link, const struct milter_request *request);

/* Shows the message, in its form of the moment, to one filter after another. *last: the one whose word is the
 * outcome; with GOES_ON the changes of all are in content. */
enum milter_outcome milter_show(struct session *s, struct content *content, struct milter_link **last);

#endif

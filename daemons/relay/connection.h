/*
 * A connection to another host: socket, TLS and the dialogue (smtp_sender.h) driven by the event loop.
 *
 * It serves one attempt at a time; between them it rests, and another one to the same address with the same demands
 * may take it. It tells its attempt by the functions attempt_… below, never before connection_open has returned.
 * After attempt_over the connection is not the attempt's any more. Every wait is bounded (RFC 5321 §4.5.3.2, scaled
 * by relay_timeout_percent), and so is its memory.
 */
#ifndef POSTHORN_RELAY_CONNECTION_H
#define POSTHORN_RELAY_CONNECTION_H

#include "host.h"
#include "login.h"
#include "policy.h"
#include "smtp_sender.h"
#include "tls.h"

struct attempt;

/* How a host is to be talked to. Connections are shared only where all of it is the same. */
struct demand {
	char name[LIMIT_DOMAIN_MAX + 1]; /* of the host, for its certificate */
	enum config_relay_tls tls;
	struct policy_demand policy;     /* what others demand beyond that */
	bool lmtp;
	bool login;                      /* as smarthost_user */
};

enum failure_kind {
	FAILURE_CONNECT,  /* the host could not be reached */
	FAILURE_LOCAL,    /* no socket */
	FAILURE_TLS,      /* no TLS, or not as demanded */
	FAILURE_DIALOGUE, /* the host refused the session, or it broke off */
};

struct failure {
	enum failure_kind kind;
	enum smtp_sender_stage stage;
	bool by_server;
	int code;
	const char *status;
	struct str text;  /* until attempt_over returns */
};

struct connection {
	struct relay *relay;
	struct host *host;
	struct attempt *attempt;           /* NULL: it rests, or ends */
	struct connection *previous, *next; /* of those that rest, newest first */
	struct demand demand;
	int descriptor;
	struct watch watch;
	struct timer timer;
	enum { CONNECTION_BEGINS, CONNECTION_IN_HANDSHAKE, CONNECTION_IN_DIALOGUE } state;
	struct tls_connection *tls;
	char tls_text[160];                /* "TLSv1.3 TLS_AES_256_GCM_SHA384 verified", or "" */
	struct smtp_sender *sender;
	struct buf in, out;
	uint64_t clock_number;             /* of smtp_sender_timeout */
	unsigned clock_seconds;
	unsigned looks;                    /* at a host that has not greeted yet */
	unsigned mails;
	bool rests, ends;
	int64_t rested_ms;                 /* since when */
	bool heard;                        /* something since it was taken */
	bool tls_tried, tls_told, login_begun, login_told;
	struct login login;                /* at the smarthost */
	bool input_ended, read_waits_for_room, write_waits_for_input;
	bool at_work, over;
	int error;                         /* of connect, before the loop is back */
	uint64_t socket_request;           /* to master, 0: none */
};

/* One that rests and fits, or NULL. Its attempt may call connection_mail at once. */
struct connection *connection_take(struct host *host, const struct demand *demand, struct attempt *attempt);

/* A new one: attempt_ready or attempt_over follows. */
struct connection *connection_open(struct host *host, const struct demand *demand, struct attempt *attempt);

/* Master's answer: the descriptor is taken; -1: there is none. */
void connection_take_socket(struct relay *r, uint64_t request, int descriptor);

/* In attempt_ready, or after connection_take. */
void connection_mail(struct connection *c, const struct smtp_sender_mail *mail);

/* In attempt_ready: the attempt needs it no more. */
void connection_leave(struct connection *c);

/* Breaks off; results and attempt_over follow. */
void connection_break(struct connection *c, const char *status, const char *text);

enum { CONNECTION_REST_MS = 100 };

/* True when one that rested, to any host or for CONNECTION_REST_MS to this one, was ended to make room: where much
 * mail flows the next for its own name comes sooner. */
bool connection_end_oldest(struct relay *r, const struct host *host);

/* ---- attempt.c: what a connection tells ---- */
void attempt_ready(struct attempt *attempt);
void attempt_result(struct attempt *attempt, const struct smtp_sender_event *event);
void attempt_over(struct attempt *attempt, const struct failure *failure);

/* What came of TLS, for reports; once at most for each connection. */
void attempt_tls(struct attempt *attempt, enum tlsrpt_result result, struct str reason);

#endif

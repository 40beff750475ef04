/*
 * How a client proves who it is: the choice of the mechanism and the SASL exchange, the same for POP3 and SMTP.
 *
 * LOGIN_BEST takes the strongest that is offered: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-1,
 * APOP, CRAM-MD5, PLAIN, LOGIN, USER and PASS. Inside TLS one that sends the password as it is stands ready as a second
 * try, because not every account has what a challenge needs. Without TLS there is no second try: whoever sits between
 * could ask for it by refusing the first.
 */
#ifndef POSTHORN_COMMON_LOGIN_H
#define POSTHORN_COMMON_LOGIN_H

#include "buf.h"
#include "fail.h"
#include "tls.h"

enum login_method {
	LOGIN_BEST,
	LOGIN_SCRAM_SHA_256,
	LOGIN_SCRAM_SHA_1,
	LOGIN_APOP,
	LOGIN_CRAM_MD5,
	LOGIN_PLAIN,
	LOGIN_LOGIN,
	LOGIN_USER,
	LOGIN_METHOD_COUNT
};

/* "best", "scram-sha-256" and so on. */
bool login_method_find(struct str name, enum login_method *method);
const char *login_method_name(enum login_method method);

struct login_offer {
	struct str mechanisms; /* of SASL, with spaces between */
	bool apop;             /* the greeting has a timestamp */
	bool user;             /* USER and PASS */
	bool tls;
	bool binding;          /* TLS has something that -PLUS can bind to */
};

enum { LOGIN_TRIES_MAX = 2 };

/* What to try, in order: names of SASL mechanisms, "APOP" or "USER". */
struct login_plan {
	const char *tries[LOGIN_TRIES_MAX];
	size_t count;
	bool reveals; /* the first one sends the password as it is, and there is no TLS */
};

/* FAIL_DENIED when nothing that is offered fits. */
bool login_choose(const struct login_offer *offer, enum login_method method, struct login_plan *plan,
                  struct fail **fail);

/* The true octets of a log-in. The views must outlive the exchange. */
struct login_credentials {
	struct str user;
	struct str password;
};

enum login_answer {
	LOGIN_CHALLENGE, /* the buffer has its bytes */
	LOGIN_ACCEPTED,
	LOGIN_REFUSED,   /* *fail says why */
	LOGIN_BROKEN,    /* the connection is of no use any more; *fail says why */
};

/* How AUTH looks on the wire of a protocol. */
struct login_wire {
	void *context;
	void (*send)(void *context, struct str line); /* adds the CRLF */
	enum login_answer (*receive)(void *context, struct buf *challenge, struct fail **fail);
	size_t line_max; /* of AUTH with its initial response and CRLF */
};

/* Runs the exchange. LOGIN_ACCEPTED only when the server has proved itself too, where the mechanism can tell. */
enum login_answer login_exchange(const struct login_wire *wire, const char *mechanism,
                                 const struct login_credentials *credentials, const struct tls_facts *tls,
                                 struct fail **fail);

/* RFC 1939 §7: the digest for APOP, 32 hexadecimal digits. */
void login_apop_digest(struct buf *out, struct str timestamp, struct str password);

/* Is it what RFC 1939 §7 asks for, a message id? Other timestamps are a known way to pull passwords out of MD5. */
bool login_is_apop_timestamp(struct str timestamp);

#endif

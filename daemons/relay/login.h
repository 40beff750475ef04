/*
 * Logging in at the smarthost (RFC 4954) by the strongest mechanism that it offers: SCRAM-SHA-256-PLUS, SCRAM-SHA-256,
 * SCRAM-SHA-1-PLUS, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN.
 *
 * Where the host has to prove that it knows the password (SCRAM, RFC 5802 §5), a log-in counts only when it did.
 * Inside TLS a mechanism that sends the password follows one that was refused, because not every account has what a
 * challenge needs; without TLS it does not: whoever sits between could ask for it by refusing. Embedded in its
 * connection.
 */
#ifndef POSTHORN_RELAY_LOGIN_H
#define POSTHORN_RELAY_LOGIN_H

#include "sasl.h"
#include "smtp_sender.h"
#include "tls.h"

struct login {
	struct sasl_exchange *exchange; /* or NULL */
	enum sasl_result result;
	struct buf first;               /* that did not fit into the AUTH line */
	bool reveals;                   /* it sends the password */
	const char *mechanism;          /* the one at hand */
};

struct login_credentials {
	struct str user, password;
};

/* tls: NULL without. again: the mechanism at hand was refused. False: there is none (left) that may be used; nothing
 * was said then. */
bool login_begin(struct login *l, struct sasl *sasl, struct smtp_sender *sender, const struct tls_facts *tls,
                 const struct login_credentials *credentials, bool again);

void login_answer(struct login *l, struct smtp_sender *sender, struct str challenge);

/* The host has accepted it: has it proved itself, too? */
bool login_is_proven(const struct login *l);

void login_release(struct login *l);

#endif

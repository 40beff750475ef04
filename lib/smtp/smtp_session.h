/*
 * What porter and smtpd both say: the session is one to the client, so its answers stand here once.
 */
#ifndef POSTHORN_SMTP_SESSION_H
#define POSTHORN_SMTP_SESSION_H

#include "smtp_command.h"
#include "smtp_ehlo.h"

/* The reply to a command that changes nothing but the phase: RSET, NOOP, HELP, VRFY, QUIT. NULL for all others. */
const struct smtp_reply *smtp_simple_reply(enum smtp_protocol protocol, enum smtp_command_id id);

/* What the answer to EHLO depends on. */
struct smtp_offer {
	enum smtp_protocol protocol;
	bool tls;                 /* the session is protected */
	uint64_t size;            /* of a message, at most */
	uint64_t recipient_max;
	uint64_t hold_max;        /* seconds; 0: FUTURERELEASE is not offered */
	int64_t now;              /* wall clock, seconds */
	uint64_t by_min;          /* seconds */
};

/* The extensions of MAIL, RCPT and DATA. REQUIRETLS exists under TLS only (RFC 8689 §2), FUTURERELEASE on submission
 * only (RFC 4865 §4.2). */
struct smtp_ehlo smtp_session_offer(const struct smtp_offer *offer);

#endif

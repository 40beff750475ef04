/*
 * MAIL and RCPT with their parameters (RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.1.11), as one table.
 *
 * A parameter is accepted when the extension that defines it is offered. Answers: 555 5.5.4 for one that is not,
 * 501 5.5.4 for one given twice, a bad value or bad syntax, 553 5.6.7 for an address outside ASCII without SMTPUTF8.
 * Decoded values are valid text without control characters; they live in the caller's arena. Whether what is asked for
 * is granted (the size, a hold time) is the daemon's decision.
 */
#ifndef POSTHORN_SMTP_PARAMETER_H
#define POSTHORN_SMTP_PARAMETER_H

#include "smtp_ehlo.h"
#include "smtp_path.h"

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
enum smtp_return { SMTP_RETURN_UNSPECIFIED, SMTP_RETURN_FULL, SMTP_RETURN_HEADERS };
enum smtp_notify { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };

struct smtp_mail {
	struct smtp_path from;
	uint64_t size;            /* SIZE, RFC 1870 §6.1; 0 when not given; more than 2^64 - 1 counts as that */
	enum smtp_body body;      /* RFC 6152 §2, RFC 3030 §3; 7BIT when not given */
	bool utf8;                /* SMTPUTF8, RFC 6531 §3.4 */
	bool require_tls;         /* REQUIRETLS, RFC 8689 §2 */
	bool has_auth;            /* AUTH=, RFC 4954 §5 */
	struct str auth;          /* its canonical mailbox; empty for <> */
	enum smtp_return ret;     /* RET, RFC 3461 §4.3 */
	struct str envid;         /* ENVID decoded, RFC 3461 §4.4; empty when not given */
	uint64_t hold_seconds;    /* HOLDFOR, RFC 4865 §5; 0 when not given */
	int64_t hold_until;       /* HOLDUNTIL in seconds since 1970 UTC; 0 when not given */
	bool has_by;              /* BY, RFC 2852 §4 */
	int64_t by_seconds;
	bool by_return, by_trace; /* mode R rather than N; T */
	int priority;             /* MT-PRIORITY -9 to 9, RFC 6710 §4; 0 when not given */
};

struct smtp_rcpt {
	struct smtp_path to;
	unsigned notify;          /* enum smtp_notify, RFC 3461 §4.1; 0 when not given */
	struct str orcpt_type;    /* ORCPT in lower case, RFC 3461 §4.2; empty when not given */
	struct str orcpt_address; /* decoded; for type utf-8 by RFC 6533 §3, else as xtext */
};

/* What follows "MAIL FROM:" and "RCPT TO:". extensions are those offered (enum smtp_extension), flags those of
 * enum smtp_path_flags (REVERSE is set or unset here; UTF8 follows from the extensions and from utf8, the transaction's
 * SMTPUTF8). NULL for success, else the refusal. */
const struct smtp_reply *smtp_mail_parse(struct arena *a, struct str argument, unsigned extensions, unsigned flags,
                                         struct smtp_mail *mail);
const struct smtp_reply *smtp_rcpt_parse(struct arena *a, struct str argument, unsigned extensions, unsigned flags,
                                         bool utf8, struct smtp_rcpt *rcpt);

/* xtext, RFC 3461 §4. Decoding refuses what is not xtext; out gets any octets. */
bool smtp_xtext_decode(struct buf *out, struct str text);
void smtp_xtext_encode(struct buf *out, struct str octets);

#endif

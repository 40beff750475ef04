/*
 * The argument of HELO, EHLO and LHLO (RFC 5321 §4.1.1.1): a domain or an address literal. Real clients send anything,
 * so a third kind exists; what to do with it is the daemon's decision. What is kept is bounded and safe anywhere:
 * letters, digits and "-._:[]" only, every other octet replaced by "?", so it can't inject into Received, logs or
 * replies.
 */
#ifndef POSTHORN_SMTP_HELO_H
#define POSTHORN_SMTP_HELO_H

#include "limits.h"
#include "smtp_reply.h"

enum smtp_helo_kind { SMTP_HELO_NONE, SMTP_HELO_DOMAIN, SMTP_HELO_LITERAL, SMTP_HELO_OTHER };

struct smtp_helo {
	enum smtp_helo_kind kind;
	char name[LIMIT_DOMAIN_MAX + 1]; /* cut there */
};

/* NULL for success, with helo filled in; 501 5.5.4 when there is no argument at all. Words behind the first make it
 * OTHER. */
const struct smtp_reply *smtp_helo_parse(struct str argument, struct smtp_helo *helo);

#endif

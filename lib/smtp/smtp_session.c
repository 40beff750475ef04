#include "smtp_session.h"

#include "limits.h"

static const struct smtp_reply simple_replies[SMTP_COMMAND_COUNT] = {
	[SMTP_COMMAND_RSET] = { 250, "2.0.0", "Ok" },
	[SMTP_COMMAND_NOOP] = { 250, "2.0.0", "Ok" },
	/* RFC 5321 §3.5.3, §7.3: an answer that neither confirms nor denies, against harvesting. */
	[SMTP_COMMAND_VRFY] = { 252, "2.5.0", "Cannot verify the user, but will take mail for it and try to deliver" },
	[SMTP_COMMAND_QUIT] = { 221, "2.0.0", "Bye" },
};

/* RFC 5321 §4.1.1.8: what each protocol has. */
static const struct smtp_reply help_replies[] = {
	[SMTP_ON_MX] = { 214, "2.0.0", "EHLO HELO STARTTLS MAIL RCPT DATA BDAT RSET NOOP HELP VRFY QUIT; see RFC 5321" },
	[SMTP_ON_SUBMISSION] = { 214, "2.0.0",
		"EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP HELP VRFY QUIT; see RFC 6409" },
	[SMTP_ON_LMTP] = { 214, "2.0.0", "LHLO MAIL RCPT DATA BDAT RSET NOOP HELP VRFY QUIT; see RFC 2033" },
};

const struct smtp_reply *smtp_simple_reply(enum smtp_protocol protocol, enum smtp_command_id id)
{
	if (id == SMTP_COMMAND_HELP)
		return &help_replies[protocol];
	return simple_replies[id].code ? &simple_replies[id] : NULL;
}

struct smtp_ehlo smtp_session_offer(const struct smtp_offer *offer)
{
	struct smtp_ehlo ehlo = {
		.extensions = SMTP_PIPELINING | SMTP_SIZE | SMTP_8BITMIME | SMTP_CHUNKING | SMTP_BINARYMIME | SMTP_SMTPUTF8 |
		              SMTP_ENHANCED | SMTP_LIMITS | SMTP_DSN | SMTP_DELIVERBY | SMTP_MT_PRIORITY,
		.size = offer->size,
		.mail_max = LIMIT_SMTP_TRANSACTIONS_MAX,
		.recipient_max = offer->recipient_max,
		.by_min = offer->by_min,
	};
	if (offer->tls)
		ehlo.extensions |= SMTP_REQUIRETLS;
	if (offer->protocol != SMTP_ON_LMTP)
		ehlo.extensions |= SMTP_HELP | SMTP_VRFY;
	if (offer->protocol == SMTP_ON_SUBMISSION && offer->hold_max) {
		ehlo.extensions |= SMTP_FUTURERELEASE;
		ehlo.hold_max = offer->hold_max;
		ehlo.hold_until_max = offer->now + (int64_t)offer->hold_max;
	}
	return ehlo;
}

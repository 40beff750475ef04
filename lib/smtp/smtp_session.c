#include "smtp_session.h"

static const struct smtp_reply simple_replies[SMTP_COMMAND_COUNT] = {
	[SMTP_COMMAND_RSET] = { 250, "2.0.0", "Ok" },
	[SMTP_COMMAND_NOOP] = { 250, "2.0.0", "Ok" },
	[SMTP_COMMAND_HELP] = { 214, "2.0.0", "EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP HELP VRFY QUIT; see RFC 5321" },
	/* RFC 5321 §3.5.3, §7.3: an answer that neither confirms nor denies, against harvesting. */
	[SMTP_COMMAND_VRFY] = { 252, "2.5.0", "Cannot verify the user, but will take mail for it and try to deliver" },
	[SMTP_COMMAND_QUIT] = { 221, "2.0.0", "Bye" },
};

const struct smtp_reply *smtp_simple_reply(enum smtp_command_id id)
{
	return simple_replies[id].code ? &simple_replies[id] : NULL;
}

unsigned smtp_extensions_offered(enum smtp_protocol protocol)
{
	unsigned all = SMTP_PIPELINING | SMTP_SIZE | SMTP_8BITMIME | SMTP_CHUNKING | SMTP_BINARYMIME | SMTP_SMTPUTF8 |
	               SMTP_ENHANCED | SMTP_LIMITS;
	return protocol == SMTP_ON_LMTP ? all : all | SMTP_HELP | SMTP_VRFY;
}

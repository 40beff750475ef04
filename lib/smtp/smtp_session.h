/*
 * What porter and smtpd both say: the session is one to the client, so its answers stand here once.
 */
#ifndef POSTHORN_SMTP_SESSION_H
#define POSTHORN_SMTP_SESSION_H

#include "smtp_command.h"
#include "smtp_ehlo.h"

/* The reply to a command that changes nothing but the phase: RSET, NOOP, HELP, VRFY, QUIT. NULL for all others. */
const struct smtp_reply *smtp_simple_reply(enum smtp_command_id id);

/* The extensions of MAIL, RCPT and DATA that every door offers. */
unsigned smtp_extensions_offered(enum smtp_protocol protocol);

#endif

#include "exerciser_command.h"

#include "check.h"

#include <glib/gi18n.h>

/* RFC 1939 §3 */
enum { AUTHORIZATION = 1, TRANSACTION = 2, POP3_ANY = AUTHORIZATION | TRANSACTION };

static const char *const pop3_states[] = { "AUTHORIZATION", "TRANSACTION", "UPDATE", "closed", NULL };

static const struct exerciser_command pop3[] = {
	{ "CAPA", POP3_ANY, {} },
	{ "STLS", AUTHORIZATION, {} },
	{ "USER", AUTHORIZATION, { N_("name") } },
	{ "PASS", AUTHORIZATION, { N_("password") } },
	{ "APOP", AUTHORIZATION, { N_("name"), N_("digest") } },
	{ "AUTH", AUTHORIZATION, { N_("mechanism"), N_("[first answer]") } },
	{ "STAT", TRANSACTION, {} },
	{ "LIST", TRANSACTION, { N_("[number]") } },
	{ "UIDL", TRANSACTION, { N_("[number]") } },
	{ "RETR", TRANSACTION, { N_("number") } },
	{ "TOP", TRANSACTION, { N_("number"), N_("lines") } },
	{ "DELE", TRANSACTION, { N_("number") } },
	{ "RSET", TRANSACTION, {} },
	{ "NOOP", TRANSACTION, {} },
	{ "QUIT", POP3_ANY, {} },
};

/* RFC 9051 §3 */
enum { NOT_AUTHENTICATED = 1, AUTHENTICATED = 2, SELECTED = 4, LOGGED_IN = AUTHENTICATED | SELECTED, IMAP_ANY = 7 };

static const char *const imap_states[] = { "NOT AUTHENTICATED", "AUTHENTICATED", "SELECTED", "LOGOUT", NULL };

static const struct exerciser_command imap[] = {
	{ "CAPABILITY", IMAP_ANY, {} },
	{ "STARTTLS", NOT_AUTHENTICATED, {} },
	{ "LOGIN", NOT_AUTHENTICATED, { N_("name"), N_("password") } },
	{ "AUTHENTICATE", NOT_AUTHENTICATED, { N_("mechanism"), N_("[first answer]") } },
	{ "ENABLE", AUTHENTICATED, { N_("capability") } },
	{ "NAMESPACE", LOGGED_IN, {} },
	{ "LIST", LOGGED_IN, { N_("reference"), N_("pattern") } },
	{ "STATUS", LOGGED_IN, { N_("mailbox"), N_("items in parentheses") } },
	{ "SELECT", LOGGED_IN, { N_("mailbox") } },
	{ "EXAMINE", LOGGED_IN, { N_("mailbox") } },
	{ "CREATE", LOGGED_IN, { N_("mailbox") } },
	{ "DELETE", LOGGED_IN, { N_("mailbox") } },
	{ "RENAME", LOGGED_IN, { N_("mailbox"), N_("new name") } },
	{ "SUBSCRIBE", LOGGED_IN, { N_("mailbox") } },
	{ "UNSUBSCRIBE", LOGGED_IN, { N_("mailbox") } },
	{ "IDLE", LOGGED_IN, {} },
	{ "FETCH", SELECTED, { N_("numbers"), N_("items in parentheses") } },
	{ "STORE", SELECTED, { N_("numbers"), N_("flags") } },
	{ "COPY", SELECTED, { N_("numbers"), N_("mailbox") } },
	{ "MOVE", SELECTED, { N_("numbers"), N_("mailbox") } },
	{ "SEARCH", SELECTED, { N_("criteria") } },
	{ "EXPUNGE", SELECTED, {} },
	{ "CLOSE", SELECTED, {} },
	{ "UNSELECT", SELECTED, {} },
	{ "NOOP", IMAP_ANY, {} },
	{ "LOGOUT", IMAP_ANY, {} },
};

/* RFC 5321 §4.1.4 */
enum { CONNECTED = 1, READY = 2, MAIL = 4, RCPT = 8, DATA = 16, SMTP_ANY = CONNECTED | READY | MAIL | RCPT };

static const char *const smtp_states[] = { "CONNECTED", "READY", "MAIL", "RCPT", "DATA", "closed", NULL };

static const struct exerciser_command smtp[] = {
	{ "HELO", SMTP_ANY, { N_("own name") } },
	{ "EHLO", SMTP_ANY, { N_("own name") } },
	{ "STARTTLS", READY, {} },
	{ "AUTH", READY, { N_("mechanism"), N_("[first answer]") } },
	{ "MAIL", READY, { N_("FROM:<address>"), N_("[parameters]") } },
	{ "RCPT", MAIL | RCPT, { N_("TO:<address>"), N_("[parameters]") } },
	{ "DATA", RCPT, {} },
	{ ".", DATA, {} },
	{ "RSET", SMTP_ANY, {} },
	{ "VRFY", SMTP_ANY, { N_("name") } },
	{ "NOOP", SMTP_ANY, {} },
	{ "QUIT", SMTP_ANY, {} },
};

static const struct exerciser_protocol_commands protocols[SERVER_PROTOCOL_COUNT] = {
	[SERVER_POP3] = { pop3_states, pop3, COUNT_OF(pop3), false },
	[SERVER_IMAP] = { imap_states, imap, COUNT_OF(imap), true },
	[SERVER_SMTP] = { smtp_states, smtp, COUNT_OF(smtp), false },
};

const struct exerciser_protocol_commands *exerciser_commands(enum server_protocol protocol)
{
	must((unsigned)protocol < SERVER_PROTOCOL_COUNT);
	return &protocols[protocol];
}

bool exerciser_command_fits(const struct exerciser_protocol_commands *protocol, const struct exerciser_command *command,
                            const char *state)
{
	for (unsigned i = 0; state && protocol->states[i]; i++)
		if (strcmp(protocol->states[i], state) == 0)
			return command->states & 1U << i;
	return false;
}

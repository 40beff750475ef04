#include "exerciser_command.h"

#include "check.h"
#include "exerciser.h"
#include "words.h"

enum trait {
	FIRST_STRING = 1 << 0,  /* IMAP: the first argument is an astring, RFC 9051 §9: put into quotes where it needs them */
	SECOND_STRING = 1 << 1,
	STRINGS = FIRST_STRING | SECOND_STRING,
	ENDS = 1 << 2,          /* no command, but the line that ends what the server waits for */
	UNPROTECTED = 1 << 3,   /* not inside TLS */
	STRANGER = 1 << 4,      /* not after a log-in, in protocols where no state says so */
};

/* RFC 1939 §3; STLS: RFC 2595 §4 */
enum { AUTHORIZATION = 1, TRANSACTION = 2, POP3_ANY = AUTHORIZATION | TRANSACTION };

static const char *const pop3_states[] = { "AUTHORIZATION", "TRANSACTION", "UPDATE", "closed", NULL };

static const struct exerciser_command pop3[] = {
	{ "CAPA", POP3_ANY, {}, 0 },
	{ "STLS", AUTHORIZATION, {}, UNPROTECTED },
	{ "USER", AUTHORIZATION, { N_("name") }, 0 },
	{ "PASS", AUTHORIZATION, { N_("password") }, 0 },
	{ "APOP", AUTHORIZATION, { N_("name"), N_("digest") }, 0 },
	{ "AUTH", AUTHORIZATION, { N_("mechanism"), N_("[first answer]") }, 0 },
	{ "STAT", TRANSACTION, {}, 0 },
	{ "LIST", TRANSACTION, { N_("[number]") }, 0 },
	{ "UIDL", TRANSACTION, { N_("[number]") }, 0 },
	{ "RETR", TRANSACTION, { N_("number") }, 0 },
	{ "TOP", TRANSACTION, { N_("number"), N_("lines") }, 0 },
	{ "DELE", TRANSACTION, { N_("number") }, 0 },
	{ "RSET", TRANSACTION, {}, 0 },
	{ "NOOP", TRANSACTION, {}, 0 },
	{ "QUIT", POP3_ANY, {}, 0 },
};

/* RFC 9051 §3 */
enum { NOT_AUTHENTICATED = 1, AUTHENTICATED = 2, SELECTED = 4, LOGGED_IN = AUTHENTICATED | SELECTED, IMAP_ANY = 7 };

static const char *const imap_states[] = { "NOT AUTHENTICATED", "AUTHENTICATED", "SELECTED", "LOGOUT", NULL };

static const struct exerciser_command imap[] = {
	{ "CAPABILITY", IMAP_ANY, {}, 0 },
	{ "STARTTLS", NOT_AUTHENTICATED, {}, UNPROTECTED },
	{ "LOGIN", NOT_AUTHENTICATED, { N_("name"), N_("password") }, STRINGS },
	{ "AUTHENTICATE", NOT_AUTHENTICATED, { N_("mechanism"), N_("[first answer]") }, 0 },
	{ "ENABLE", AUTHENTICATED, { N_("capability") }, 0 },
	{ "NAMESPACE", LOGGED_IN, {}, 0 },
	{ "LIST", LOGGED_IN, { N_("[reference]"), N_("pattern") }, STRINGS },
	{ "STATUS", LOGGED_IN, { N_("mailbox"), N_("items in parentheses") }, FIRST_STRING },
	{ "SELECT", LOGGED_IN, { N_("mailbox") }, FIRST_STRING },
	{ "EXAMINE", LOGGED_IN, { N_("mailbox") }, FIRST_STRING },
	{ "CREATE", LOGGED_IN, { N_("mailbox") }, FIRST_STRING },
	{ "DELETE", LOGGED_IN, { N_("mailbox") }, FIRST_STRING },
	{ "RENAME", LOGGED_IN, { N_("mailbox"), N_("new name") }, STRINGS },
	{ "SUBSCRIBE", LOGGED_IN, { N_("mailbox") }, FIRST_STRING },
	{ "UNSUBSCRIBE", LOGGED_IN, { N_("mailbox") }, FIRST_STRING },
	{ "APPEND", LOGGED_IN, { N_("mailbox"), N_("{octets of the mail}") }, FIRST_STRING },
	{ "IDLE", LOGGED_IN, {}, 0 },
	{ "DONE", LOGGED_IN, {}, ENDS },
	{ "FETCH", SELECTED, { N_("numbers"), N_("items in parentheses") }, 0 },
	{ "STORE", SELECTED, { N_("numbers"), N_("flags") }, 0 },
	{ "COPY", SELECTED, { N_("numbers"), N_("mailbox") }, SECOND_STRING },
	{ "MOVE", SELECTED, { N_("numbers"), N_("mailbox") }, SECOND_STRING },
	{ "SEARCH", SELECTED, { N_("criteria") }, 0 },
	{ "UID", SELECTED, { N_("command with UIDs") }, 0 },
	{ "EXPUNGE", SELECTED, {}, 0 },
	{ "CLOSE", SELECTED, {}, 0 },
	{ "UNSELECT", SELECTED, {}, 0 },
	{ "NOOP", IMAP_ANY, {}, 0 },
	{ "LOGOUT", IMAP_ANY, {}, 0 },
};

/* RFC 5321 §4.1.4; STARTTLS: RFC 3207 §4; AUTH: RFC 4954 §4; BDAT: RFC 3030 §2 */
enum { CONNECTED = 1, READY = 2, MAIL = 4, RCPT = 8, DATA = 16, SMTP_ANY = CONNECTED | READY | MAIL | RCPT | DATA };

static const char *const smtp_states[] = { "CONNECTED", "READY", "MAIL", "RCPT", "DATA", "closed", NULL };

static const struct exerciser_command smtp[] = {
	{ "HELO", SMTP_ANY, { N_("own name") }, 0 },
	{ "EHLO", SMTP_ANY, { N_("own name") }, 0 },
	{ "STARTTLS", READY, {}, UNPROTECTED },
	{ "AUTH", READY, { N_("mechanism"), N_("[first answer]") }, STRANGER },
	{ "MAIL", READY, { N_("FROM:<address>"), N_("[parameters]") }, 0 },
	{ "RCPT", MAIL | RCPT, { N_("TO:<address>"), N_("[parameters]") }, 0 },
	{ "DATA", RCPT, {}, 0 },
	{ ".", DATA, {}, ENDS },
	{ "BDAT", RCPT | DATA, { N_("octets"), N_("[LAST]") }, 0 },
	{ "RSET", SMTP_ANY, {}, 0 },
	{ "VRFY", SMTP_ANY, { N_("name") }, 0 },
	{ "EXPN", SMTP_ANY, { N_("list") }, 0 },
	{ "HELP", SMTP_ANY, { N_("[command]") }, 0 },
	{ "NOOP", SMTP_ANY, {}, 0 },
	{ "QUIT", SMTP_ANY, {}, 0 },
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

static bool fits_facts(unsigned traits, unsigned facts)
{
	if (traits & ENDS || facts & EXERCISER_ASKED)
		return traits & ENDS && facts & EXERCISER_LINE_ENDS;
	return !(traits & UNPROTECTED && facts & EXERCISER_PROTECTED) &&
	       !(traits & STRANGER && facts & EXERCISER_LOGGED_IN);
}

bool exerciser_command_fits(const struct exerciser_protocol_commands *protocol, const struct exerciser_command *command,
                            const char *state, unsigned facts)
{
	for (unsigned i = 0; state && protocol->states[i]; i++)
		if (strcmp(protocol->states[i], state) == 0)
			return command->states & 1U << i && fits_facts(command->traits, facts);
	return false;
}

bool exerciser_argument_is_secret(const char *argument)
{
	return argument && (strcmp(argument, "password") == 0 || strcmp(argument, "digest") == 0 ||
	                    strcmp(argument, "[first answer]") == 0);
}

/* RFC 9051 §9. */
static void add_string(struct buf *line, const char *text)
{
	bool needs_quotes = *text == '\0';
	for (const char *c = text; *c; c++)
		needs_quotes |= (unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || strchr("(){\"\\", *c);
	if (!needs_quotes) {
		buf_add_str(line, str_of(text));
		return;
	}
	buf_add_char(line, '"');
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			buf_add_char(line, '\\');
		buf_add_char(line, *c);
	}
	buf_add_char(line, '"');
}

void exerciser_fill_secret(const struct exerciser_protocol_commands *protocol, struct str line, const char *password,
                           struct buf *out)
{
	const struct str mask = STR("***");
	struct str open = str_first(line, line.length - (line.length < mask.length ? line.length : mask.length));
	if (!str_equal(str_from_index(line, open.length), mask)) {
		buf_add_str(out, line);
		return;
	}
	buf_add_str(out, open);
	if (protocol->has_tags && str_find(open, STR(" LOGIN ")) < open.length)
		add_string(out, password);
	else
		buf_add_str(out, str_of(password));
}

static bool is_quoted(struct str text)
{
	return text.length > 1 && text.data[0] == '"' && text.data[text.length - 1] == '"';
}

bool exerciser_command_line(const struct exerciser_protocol_commands *protocol, const struct exerciser_command *command,
                            unsigned tag, const char *const *texts, struct buf *line, size_t *missing)
{
	if (protocol->has_tags && !(command->traits & ENDS))
		buf_printf(line, "a%u ", tag);
	buf_add_str(line, str_of(command->verb));
	for (size_t i = 0; i < EXERCISER_ARGUMENTS_MAX && command->arguments[i]; i++) {
		bool is_string = command->traits & (i == 0 ? FIRST_STRING : SECOND_STRING);
		bool may_miss = command->arguments[i][0] == '[', is_last = i + 1 == EXERCISER_ARGUMENTS_MAX || !command->arguments[i + 1];
		if (!*texts[i] && !may_miss) {
			*missing = i;
			return false;
		}
		if (!*texts[i] && (is_last || !is_string))
			continue;
		buf_add_char(line, ' ');
		/* a password may well begin and end with a quote; what else does was put into quotes by hand */
		if (is_string && (!is_quoted(str_of(texts[i])) || exerciser_argument_is_secret(command->arguments[i])))
			add_string(line, texts[i]);
		else
			buf_add_str(line, str_of(texts[i]));
	}
	return true;
}

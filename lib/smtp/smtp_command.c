#include "smtp_command.h"

#include "smtp_bdat.h"

enum {
	ANY_TIME = SMTP_CLEARTEXT_OK | SMTP_STRANGER_OK,
	LAST = SMTP_LAST_IN_GROUP,
	ARGUMENT = SMTP_NEEDS_ARGUMENT,
	BARE = SMTP_NO_ARGUMENT,
	IN_MAIL = SMTP_MAIL_GIVEN | SMTP_RCPT_GIVEN,
};

static const struct smtp_command commands[SMTP_COMMAND_COUNT] = {
	/* RFC 5321 §4.1.1.1; HELO RFC 5321 §4.1.4; LHLO RFC 2033 §4.1 */
	{ "EHLO", NULL, SMTP_COMMAND_EHLO, SMTP_ANY_PHASE, ANY_TIME | LAST | SMTP_SMTP_ONLY | ARGUMENT },
	{ "HELO", NULL, SMTP_COMMAND_HELO, SMTP_ANY_PHASE, ANY_TIME | LAST | SMTP_SMTP_ONLY | ARGUMENT },
	{ "LHLO", NULL, SMTP_COMMAND_LHLO, SMTP_ANY_PHASE, ANY_TIME | LAST | SMTP_LMTP_ONLY | ARGUMENT },
	/* RFC 3207 §4 */
	{ "STARTTLS", NULL, SMTP_COMMAND_STARTTLS, SMTP_READY, ANY_TIME | LAST | SMTP_BEFORE_HANDOVER | BARE },
	/* RFC 4954 §4 */
	{ "AUTH", NULL, SMTP_COMMAND_AUTH, SMTP_READY,
	  SMTP_STRANGER_OK | LAST | SMTP_SUBMISSION_ONLY | SMTP_BEFORE_HANDOVER | ARGUMENT },
	/* RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.1.4 */
	{ "MAIL", "FROM:", SMTP_COMMAND_MAIL, SMTP_READY, SMTP_AFTER_HANDOVER | ARGUMENT },
	{ "RCPT", "TO:", SMTP_COMMAND_RCPT, IN_MAIL, ARGUMENT },
	{ "DATA", NULL, SMTP_COMMAND_DATA, SMTP_RCPT_GIVEN, LAST | SMTP_TEXT_BODY | BARE },
	/* RFC 3030 §2 */
	{ "BDAT", NULL, SMTP_COMMAND_BDAT, SMTP_RCPT_GIVEN | SMTP_CHUNK_GIVEN, ARGUMENT },
	/* RFC 5321 §4.1.1.5, §4.1.1.9, §4.1.1.8, §4.1.1.6, §4.1.1.7, §4.1.1.10 */
	{ "RSET", NULL, SMTP_COMMAND_RSET, SMTP_ANY_PHASE, ANY_TIME | BARE },
	{ "NOOP", NULL, SMTP_COMMAND_NOOP, SMTP_ANY_PHASE, ANY_TIME | LAST },
	{ "HELP", NULL, SMTP_COMMAND_HELP, SMTP_ANY_PHASE, ANY_TIME },
	{ "VRFY", NULL, SMTP_COMMAND_VRFY, SMTP_ANY_PHASE, LAST | ARGUMENT },
	/* RFC 5321 §3.5.4, §7.3 */
	{ "EXPN", NULL, SMTP_COMMAND_EXPN, SMTP_ANY_PHASE, LAST | SMTP_NOT_OFFERED },
	{ "QUIT", NULL, SMTP_COMMAND_QUIT, SMTP_ANY_PHASE, ANY_TIME | LAST | BARE },
};

static const struct smtp_reply unknown_command = { 500, "5.5.1", "Command not recognised" };
static const struct smtp_reply other_protocol = { 500, "5.5.1",
	                                              "This is the other protocol: LMTP begins with LHLO, SMTP with EHLO" };
static const struct smtp_reply not_offered = { 502, "5.5.1", "Command not implemented" };
static const struct smtp_reply needs_tls = { 530, "5.7.0", "Must issue a STARTTLS command first" };
/* RFC 6409 §4.3, RFC 4954 §6 */
static const struct smtp_reply needs_login = { 530, "5.7.0", "Authentication required" };
static const struct smtp_reply no_argument = { 501, "5.5.4", "This command has no argument" };
static const struct smtp_reply needs_argument = { 501, "5.5.4", "This command needs an argument" };

enum smtp_phase smtp_phase_of(bool greeted, bool mail_given, size_t recipients, bool chunk_given)
{
	if (!greeted)
		return SMTP_CONNECTED;
	if (!mail_given)
		return SMTP_READY;
	if (chunk_given)
		return SMTP_CHUNK_GIVEN;
	return recipients ? SMTP_RCPT_GIVEN : SMTP_MAIL_GIVEN;
}

const struct smtp_command *smtp_command_find(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (str_equal_nocase(name, str_of(commands[i].name)))
			return &commands[i];
	return NULL;
}

static const struct smtp_reply *check_protocol(enum smtp_protocol protocol, unsigned facts,
                                               const struct smtp_command *c)
{
	bool lmtp = protocol == SMTP_ON_LMTP;
	if ((c->traits & SMTP_LMTP_ONLY && !lmtp) || (c->traits & SMTP_SMTP_ONLY && lmtp))
		return &other_protocol;
	if (c->traits & SMTP_NOT_OFFERED || (c->traits & SMTP_SUBMISSION_ONLY && protocol != SMTP_ON_SUBMISSION))
		return &not_offered;
	bool starttls_offered = facts & (SMTP_TLS_OFFERED | SMTP_TLS_ACTIVE | SMTP_HANDED_OVER);
	return c->id == SMTP_COMMAND_STARTTLS && !starttls_offered ? &not_offered : NULL;
}

static const struct smtp_reply *check_session(unsigned facts, const struct smtp_command *c)
{
	static const struct smtp_reply handed_over = { 503, "5.5.1", "Too late for that command in this session" };
	if (c->traits & SMTP_BEFORE_HANDOVER && facts & SMTP_HANDED_OVER)
		return &handed_over;
	if (!(c->traits & SMTP_CLEARTEXT_OK) && facts & SMTP_TLS_REQUIRED && !(facts & SMTP_TLS_ACTIVE))
		return &needs_tls;
	if (!(c->traits & SMTP_STRANGER_OK) && facts & SMTP_LOGIN_REQUIRED && !(facts & SMTP_LOGGED_IN))
		return &needs_login;
	return NULL;
}

static const struct smtp_reply *check_phase(enum smtp_phase phase, unsigned facts, const struct smtp_command *c)
{
	static const struct smtp_reply greet_first = { 503, "5.5.1", "Say EHLO first (LHLO in LMTP)" };
	static const struct smtp_reply mail_first = { 503, "5.5.1", "MAIL first" };
	static const struct smtp_reply rcpt_first = { 503, "5.5.1", "No recipient was accepted yet" };
	static const struct smtp_reply in_transaction = { 503, "5.5.1", "Not within a transaction" };
	static const struct smtp_reply in_chunks = { 503, "5.5.1", "Not between chunks: BDAT or RSET" };
	static const struct smtp_reply binary = { 503, "5.5.1", "BODY=BINARYMIME goes with BDAT only" };
	static const struct smtp_reply has_tls = { 503, "5.5.1", "TLS is active already" };
	static const struct smtp_reply has_login = { 503, "5.5.1", "You are logged in already" };
	if (!(c->phases & phase)) {
		if (phase == SMTP_CONNECTED)
			return &greet_first;
		if (phase == SMTP_CHUNK_GIVEN)
			return &in_chunks;
		return phase == SMTP_READY ? &mail_first : c->phases & SMTP_READY ? &in_transaction : &rcpt_first;
	}
	if (c->traits & SMTP_TEXT_BODY && facts & SMTP_BINARY_MAIL)
		return &binary;
	if (c->id == SMTP_COMMAND_STARTTLS && facts & SMTP_TLS_ACTIVE)
		return &has_tls;
	return c->id == SMTP_COMMAND_AUTH && facts & SMTP_LOGGED_IN ? &has_login : NULL;
}

/* Mechanisms that show the password to whoever listens. */
static const struct smtp_reply *check_mechanism(unsigned facts, struct str argument)
{
	static const struct smtp_reply needs_encryption = { 538, "5.7.11", "Encryption required for this mechanism" };
	struct str mechanism = str_first(argument, str_find_char(argument, ' '));
	bool clear = str_equal_nocase(mechanism, STR("PLAIN")) || str_equal_nocase(mechanism, STR("LOGIN"));
	return clear && !(facts & (SMTP_TLS_ACTIVE | SMTP_CLEAR_LOGIN_OK)) ? &needs_encryption : NULL;
}

static const struct smtp_reply *check_argument(unsigned facts, struct smtp_request *request)
{
	static const struct smtp_reply bad_mail = { 501, "5.5.4", "Say MAIL FROM:<address>" };
	static const struct smtp_reply bad_rcpt = { 501, "5.5.4", "Say RCPT TO:<address>" };
	const struct smtp_command *c = request->command;
	if (c->traits & SMTP_NO_ARGUMENT && request->argument.length)
		return &no_argument;
	if (c->traits & SMTP_NEEDS_ARGUMENT && request->argument.length == 0)
		return &needs_argument;
	if (c->id == SMTP_COMMAND_AUTH)
		return check_mechanism(facts, request->argument);
	if (!c->prefix)
		return NULL;
	if (!str_starts_nocase(request->argument, str_of(c->prefix)))
		return c->id == SMTP_COMMAND_MAIL ? &bad_mail : &bad_rcpt;
	request->argument = str_from_index(request->argument, strlen(c->prefix));
	return NULL;
}

/* RFC 3207 §4: commands behind STARTTLS would be read as if they had come through TLS. */
static const struct smtp_reply *check_starttls_alone(struct smtp_request *request)
{
	static const struct smtp_reply not_behind_tls = { 501, "5.5.4", "Nothing may follow STARTTLS before its reply" };
	if (request->command->id != SMTP_COMMAND_STARTTLS || !request->jumped_ahead)
		return NULL;
	request->must_close = true;
	return &not_behind_tls;
}

/* The chunk follows even when BDAT is refused for another reason. */
static const struct smtp_reply *check_chunk(struct smtp_request *request)
{
	struct smtp_bdat bdat;
	if (request->command->id != SMTP_COMMAND_BDAT)
		return NULL;
	const struct smtp_reply *refusal = smtp_bdat_parse(request->argument, &bdat);
	request->must_close = refusal != NULL;
	request->octets_behind = refusal ? 0 : bdat.size;
	return refusal;
}

static void split(struct str line, struct smtp_request *request)
{
	size_t space = str_find_char(line, ' ');
	*request = (struct smtp_request){ .command = smtp_command_find(str_first(line, space)) };
	struct str argument = str_from_index(line, space + 1);
	while (argument.length && argument.data[argument.length - 1] == ' ')
		argument.length--;
	request->argument = argument;
}

const struct smtp_reply *smtp_command_check(enum smtp_protocol protocol, enum smtp_phase phase, unsigned facts,
                                            struct str line, struct smtp_request *request)
{
	split(line, request);
	const struct smtp_command *c = request->command;
	if (!c)
		return &unknown_command;
	request->jumped_ahead = c->traits & SMTP_LAST_IN_GROUP && facts & SMTP_BYTES_BEHIND;
	const struct smtp_reply *bad_chunk = check_chunk(request);
	const struct smtp_reply *refusal = check_starttls_alone(request);
	if (!refusal)
		refusal = check_protocol(protocol, facts, c);
	if (!refusal)
		refusal = check_session(facts, c);
	if (!refusal)
		refusal = check_phase(phase, facts, c);
	if (!refusal)
		refusal = check_argument(facts, request);
	return refusal ? refusal : bad_chunk;
}

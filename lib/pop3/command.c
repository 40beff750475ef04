#include "command.h"

#include "limits.h"
#include "reply.h"
#include "text.h"

/* RFC 1939 §9 sums up the first of them. */
static const struct pop3_command_info commands[POP3_VERB_COUNT] = {
	[POP3_VERB_CAPA] = { "CAPA", POP3_ANY_STATE, POP3_LISTS, 0, 0, "CAPA", "Lists what the server can do.",
		"RFC 2449 §5" },
	[POP3_VERB_STLS] = { "STLS", POP3_AUTHORIZATION, POP3_STARTS_TLS | POP3_BARRIER, 0, 0, "STLS",
		"Begins TLS on this connection.", "RFC 2595 §4" },
	[POP3_VERB_UTF8] = { "UTF8", POP3_AUTHORIZATION, 0, 0, 0, "UTF8",
		"Allows mails with UTF-8 headers to be sent as they are.", "RFC 6856 §2.1" },
	[POP3_VERB_LANG] = { "LANG", POP3_ANY_STATE, POP3_LISTS_BARE, 0, 1, "LANG [language]",
		"Lists the languages of the server's texts, or chooses one.", "RFC 6856 §3.2" },
	[POP3_VERB_USER] = { "USER", POP3_AUTHORIZATION, POP3_CLEAR_TEXT, 1, 1, "USER name",
		"Names the mailbox to log in to.", "RFC 1939 §7" },
	[POP3_VERB_PASS] = { "PASS", POP3_AUTHORIZATION,
		POP3_CLEAR_TEXT | POP3_AFTER_USER | POP3_REST_OF_LINE | POP3_SECRET_FIRST | POP3_BARRIER, 1, 1, "PASS password",
		"Gives the password and locks the maildrop.", "RFC 1939 §7" },
	[POP3_VERB_APOP] = { "APOP", POP3_AUTHORIZATION, POP3_SECRET_SECOND | POP3_BARRIER, 2, 2, "APOP name digest",
		"Logs in with a digest of the greeting's timestamp and a shared secret.", "RFC 1939 §7" },
	[POP3_VERB_AUTH] = { "AUTH", POP3_AUTHORIZATION, POP3_SECRET_SECOND | POP3_BARRIER | POP3_LONG_LINE, 1, 2,
		"AUTH mechanism [initial-response]", "Logs in with a SASL mechanism.", "RFC 5034 §4" },
	[POP3_VERB_STAT] = { "STAT", POP3_TRANSACTION, 0, 0, 0, "STAT", "Tells the number of messages and their octets.",
		"RFC 1939 §5" },
	[POP3_VERB_LIST] = { "LIST", POP3_TRANSACTION, POP3_LISTS_BARE | POP3_MESSAGE, 0, 1, "LIST [message]",
		"Tells the octets of each message, or of one.", "RFC 1939 §5" },
	[POP3_VERB_UIDL] = { "UIDL", POP3_TRANSACTION, POP3_LISTS_BARE | POP3_MESSAGE, 0, 1, "UIDL [message]",
		"Tells the lasting unique id of each message, or of one.", "RFC 1939 §7" },
	[POP3_VERB_RETR] = { "RETR", POP3_TRANSACTION, POP3_LISTS | POP3_MESSAGE, 1, 1, "RETR message",
		"Fetches a message.", "RFC 1939 §5" },
	[POP3_VERB_TOP] = { "TOP", POP3_TRANSACTION, POP3_LISTS | POP3_MESSAGE, 2, 2, "TOP message lines",
		"Fetches the headers of a message and the first lines of its body.", "RFC 1939 §7" },
	[POP3_VERB_DELE] = { "DELE", POP3_TRANSACTION, POP3_MESSAGE, 1, 1, "DELE message",
		"Marks a message to be deleted at QUIT.", "RFC 1939 §5" },
	[POP3_VERB_RSET] = { "RSET", POP3_TRANSACTION, 0, 0, 0, "RSET", "Takes back all DELE of this session.",
		"RFC 1939 §5" },
	[POP3_VERB_NOOP] = { "NOOP", POP3_TRANSACTION, 0, 0, 0, "NOOP", "Does nothing but keep the session alive.",
		"RFC 1939 §5" },
	[POP3_VERB_QUIT] = { "QUIT", POP3_ANY_STATE, POP3_BARRIER, 0, 0, "QUIT",
		"Deletes what DELE marked and ends the session.", "RFC 1939 §4, §6" },
};

/* One line on its way through the checks, which answer for themselves. */
struct check {
	const struct pop3_situation *situation;
	const struct pop3_command_info *info;
	struct pop3_command *command;
	struct buf *answer;
};

const struct pop3_command_info *pop3_command_info(enum pop3_verb verb)
{
	must((unsigned)verb < POP3_VERB_COUNT);
	return &commands[verb];
}

bool pop3_command_find(struct str keyword, enum pop3_verb *verb)
{
	for (unsigned i = 0; i < POP3_VERB_COUNT; i++)
		if (str_equal_nocase(keyword, str_of(commands[i].keyword))) {
			*verb = (enum pop3_verb)i;
			return true;
		}
	return false;
}

bool pop3_command_has_listing(enum pop3_verb verb, unsigned argument_count)
{
	unsigned traits = pop3_command_info(verb)->traits;
	return traits & POP3_LISTS || (traits & POP3_LISTS_BARE && argument_count == 0);
}

static bool refuse_text(struct check *c, enum pop3_text text, struct str shown)
{
	pop3_reply_err(c->answer, c->situation->language, POP3_NO_CODE, text, &(struct pop3_values){ .text = shown });
	return false;
}

static bool refuse(struct check *c, enum pop3_text text)
{
	return refuse_text(c, text, (struct str){});
}

static bool refuse_length(struct buf *answer, enum pop3_language language, uint64_t limit)
{
	pop3_reply_err(answer, language, POP3_NO_CODE, POP3_SAY_LINE_TOO_LONG, &(struct pop3_values){ .number = limit });
	return false;
}

void pop3_command_too_long(struct buf *answer, enum pop3_language language)
{
	refuse_length(answer, language, LIMIT_POP3_LINE_MAX);
}

/* No control characters; UTF-8 because names and passwords may hold it, RFC 6856 §2.2. */
static bool has_legal_bytes(struct str line)
{
	for (size_t i = 0; i < line.length; i++)
		if ((unsigned char)line.data[i] < 0x20 || line.data[i] == 0x7f)
			return false;
	return text_is_utf8(line);
}

static bool check_state(struct check *c)
{
	const struct pop3_situation *now = c->situation;
	unsigned traits = c->info->traits;
	if (!(c->info->states & now->state))
		return refuse_text(c, now->state == POP3_TRANSACTION ? POP3_SAY_ONLY_BEFORE_LOGIN : POP3_SAY_ONLY_AFTER_LOGIN,
			str_of(c->info->keyword));
	if (traits & POP3_STARTS_TLS && now->tls)
		return refuse(c, POP3_SAY_TLS_ACTIVE);
	if (traits & POP3_STARTS_TLS && !now->stls_offered)
		return refuse(c, POP3_SAY_TLS_NOT_OFFERED);
	if (traits & POP3_STARTS_TLS && now->utf8)
		return refuse(c, POP3_SAY_TLS_BEFORE_UTF8);
	if (traits & POP3_CLEAR_TEXT && !now->tls && !now->clear_text_allowed)
		return refuse(c, POP3_SAY_TLS_FIRST);
	if (traits & POP3_AFTER_USER && !now->user_given)
		return refuse(c, POP3_SAY_USER_FIRST);
	return true;
}

/* rest is all behind the keyword's space. */
static bool split_arguments(struct check *c, struct str rest)
{
	struct str form = str_of(c->info->form), argument;
	if (c->info->traits & POP3_REST_OF_LINE && rest.length) {
		c->command->arguments[c->command->argument_count++] = rest;
		return true;
	}
	/* Old clients leave spaces at the end of a line. */
	while (rest.length && rest.data[rest.length - 1] == ' ')
		rest.length--;
	while (str_take_until(&rest, ' ', &argument)) {
		if (argument.length == 0)
			return refuse_text(c, POP3_SAY_ONE_SPACE, form);
		if (c->command->argument_count == c->info->arguments_max)
			return refuse_text(c, POP3_SAY_EXTRA_ARGUMENT, form);
		c->command->arguments[c->command->argument_count++] = argument;
	}
	if (c->command->argument_count < c->info->arguments_min)
		return refuse_text(c, POP3_SAY_MISSING_ARGUMENT, form);
	return true;
}

/* Digits only; what 64 bits cannot hold is just larger than any number we have. */
static bool parse_number(struct str text, uint64_t *number)
{
	for (size_t i = 0; i < text.length; i++)
		if (!char_is_digit(text.data[i]))
			return false;
	if (!str_to_u64(text, UINT64_MAX, number))
		*number = UINT64_MAX;
	return text.length > 0;
}

static bool check_numbers(struct check *c)
{
	struct pop3_command *command = c->command;
	if (!(c->info->traits & POP3_MESSAGE) || command->argument_count == 0)
		return true;
	if (!parse_number(command->arguments[0], &command->message))
		return refuse_text(c, POP3_SAY_NOT_A_NUMBER, command->arguments[0]);
	if (command->message == 0)
		return refuse(c, POP3_SAY_NUMBER_ZERO);
	if (command->argument_count == 2 && !parse_number(command->arguments[1], &command->lines))
		return refuse_text(c, POP3_SAY_NOT_A_NUMBER, command->arguments[1]);
	return true;
}

bool pop3_command_check(const struct pop3_situation *situation, struct str line, struct pop3_command *command,
	struct buf *answer)
{
	struct check c = { .situation = situation, .command = command, .answer = answer };
	size_t space = str_find_char(line, ' ');
	struct str keyword = str_first(line, space);
	*command = (struct pop3_command){};
	if (line.length == 0)
		return refuse(&c, POP3_SAY_EMPTY_LINE);
	bool known = pop3_command_find(keyword, &command->verb);
	c.info = known ? &commands[command->verb] : NULL;
	size_t limit = known && c.info->traits & POP3_LONG_LINE ? LIMIT_POP3_AUTH_LINE_MAX : LIMIT_POP3_LINE_MAX;
	if (line.length + 2 > limit)
		return refuse_length(answer, situation->language, limit);
	if (!has_legal_bytes(line))
		return refuse(&c, POP3_SAY_BAD_BYTES);
	if (!known)
		return refuse_text(&c, POP3_SAY_UNKNOWN_COMMAND, keyword);
	return check_state(&c) && split_arguments(&c, str_from_index(line, space + 1)) && check_numbers(&c);
}

void pop3_command_mask(struct buf *out, struct str line)
{
	enum pop3_verb verb;
	size_t shown = str_find_char(line, ' ');
	bool known = pop3_command_find(str_first(line, shown), &verb);
	unsigned traits = known ? commands[verb].traits : POP3_SECRET_FIRST;
	if (traits & POP3_SECRET_SECOND && shown < line.length)
		shown += 1 + str_find_char(str_from_index(line, shown + 1), ' ');
	else if (!(traits & POP3_SECRET_FIRST))
		shown = line.length;
	buf_add_str(out, str_first(line, shown));
	if (shown < line.length)
		buf_add_str(out, STR(" ***"));
}

#include "imap_command.h"

#include "imap_collect.h"
#include "limits.h"

#define NOT_AUTH IMAP_NOT_AUTHENTICATED
#define BY_NUMBER (IMAP_NUMBERS | IMAP_UID_TOO)

static const struct imap_command_info commands[IMAP_VERB_COUNT] = {
	[IMAP_APPEND] = { "APPEND", IMAP_LOGGED_IN, IMAP_MESSAGE_LITERAL, "APPEND mailbox [(flags)] [date-time] message…",
		"Puts messages into a mailbox.", "RFC 9051 §6.3.12" },
	[IMAP_AUTHENTICATE] = { "AUTHENTICATE", NOT_AUTH, 0, "AUTHENTICATE mechanism [initial-response]",
		"Logs in by a SASL mechanism.", "RFC 9051 §6.2.2" },
	[IMAP_CANCELUPDATE] = { "CANCELUPDATE", IMAP_SELECTED, 0, "CANCELUPDATE \"tag\"…",
		"Ends the updates of searches and sortings.", "RFC 5267 §4.3.5" },
	[IMAP_CAPABILITY] = { "CAPABILITY", IMAP_ANY_STATE, IMAP_NO_ARGUMENTS, "CAPABILITY",
		"Lists what the server can do.", "RFC 9051 §6.1.1" },
	[IMAP_CHECK] = { "CHECK", IMAP_SELECTED, IMAP_NO_ARGUMENTS, "CHECK",
		"Asks for a checkpoint of the mailbox.", "RFC 3501 §6.4.1" },
	[IMAP_CLOSE] = { "CLOSE", IMAP_SELECTED, IMAP_NO_ARGUMENTS | IMAP_DESELECTS, "CLOSE",
		"Removes deleted messages without telling them and leaves the mailbox.", "RFC 9051 §6.4.1" },
	[IMAP_COMPARATOR] = { "COMPARATOR", IMAP_LOGGED_IN, 0, "COMPARATOR [order…]",
		"Shows or sets how texts are compared.", "RFC 5255 §4.7" },
	[IMAP_COMPRESS] = { "COMPRESS", IMAP_LOGGED_IN, 0, "COMPRESS DEFLATE",
		"Compresses the connection.", "RFC 4978 §3" },
	[IMAP_COPY] = { "COPY", IMAP_SELECTED, BY_NUMBER, "COPY messages mailbox",
		"Copies messages to a mailbox.", "RFC 9051 §6.4.7" },
	[IMAP_CREATE] = { "CREATE", IMAP_LOGGED_IN, 0, "CREATE mailbox [(USE (use))]",
		"Makes a mailbox.", "RFC 9051 §6.3.4" },
	[IMAP_DELETE] = { "DELETE", IMAP_LOGGED_IN, 0, "DELETE mailbox",
		"Removes a mailbox.", "RFC 9051 §6.3.5" },
	[IMAP_ENABLE] = { "ENABLE", IMAP_LOGGED_IN, 0, "ENABLE capability…",
		"Turns extensions on.", "RFC 9051 §6.3.1" },
	[IMAP_EXAMINE] = { "EXAMINE", IMAP_LOGGED_IN, IMAP_DESELECTS, "EXAMINE mailbox [(parameters)]",
		"Selects a mailbox for reading only.", "RFC 9051 §6.3.3" },
	/* RFC 4315 §2.1: the UID form has an argument */
	[IMAP_EXPUNGE] = { "EXPUNGE", IMAP_SELECTED, IMAP_WRITES | IMAP_UID_TOO | IMAP_NO_ARGUMENTS, "EXPUNGE",
		"Removes the messages with the flag \\Deleted.", "RFC 9051 §6.4.3" },
	[IMAP_FETCH] = { "FETCH", IMAP_SELECTED, BY_NUMBER | IMAP_NO_EXPUNGE, "FETCH messages items",
		"Shows messages or parts of them.", "RFC 9051 §6.4.5" },
	[IMAP_GETMETADATA] = { "GETMETADATA", IMAP_LOGGED_IN, 0, "GETMETADATA [(options)] mailbox entries",
		"Shows annotations.", "RFC 5464 §4.2" },
	[IMAP_GETQUOTA] = { "GETQUOTA", IMAP_LOGGED_IN, 0, "GETQUOTA root",
		"Shows how much room there is.", "RFC 9208 §4.1.1" },
	[IMAP_GETQUOTAROOT] = { "GETQUOTAROOT", IMAP_LOGGED_IN, 0, "GETQUOTAROOT mailbox",
		"Shows which quotas a mailbox counts for.", "RFC 9208 §4.1.2" },
	[IMAP_ID] = { "ID", IMAP_ANY_STATE, 0, "ID (names and values) or ID NIL",
		"Tells what each side's program is.", "RFC 2971 §3.1" },
	[IMAP_IDLE] = { "IDLE", IMAP_LOGGED_IN, IMAP_NO_ARGUMENTS, "IDLE",
		"Waits for news until DONE.", "RFC 9051 §6.3.13" },
	[IMAP_LANGUAGE] = { "LANGUAGE", IMAP_ANY_STATE, 0, "LANGUAGE [range…]",
		"Lists or sets the language of texts.", "RFC 5255 §3.2" },
	[IMAP_LIST] = { "LIST", IMAP_LOGGED_IN, 0, "LIST [(selection)] reference pattern [RETURN (options)]",
		"Lists mailboxes.", "RFC 9051 §6.3.9" },
	[IMAP_LOGIN] = { "LOGIN", NOT_AUTH, 0, "LOGIN user password",
		"Logs in.", "RFC 9051 §6.2.3" },
	[IMAP_LOGOUT] = { "LOGOUT", IMAP_ANY_STATE, IMAP_NO_ARGUMENTS, "LOGOUT",
		"Ends the session.", "RFC 9051 §6.1.3" },
	[IMAP_LSUB] = { "LSUB", IMAP_LOGGED_IN, 0, "LSUB reference pattern",
		"Lists subscribed mailboxes.", "RFC 3501 §6.3.9" },
	[IMAP_MOVE] = { "MOVE", IMAP_SELECTED, BY_NUMBER | IMAP_WRITES, "MOVE messages mailbox",
		"Moves messages to a mailbox.", "RFC 9051 §6.4.8" },
	[IMAP_NAMESPACE] = { "NAMESPACE", IMAP_LOGGED_IN, IMAP_NO_ARGUMENTS, "NAMESPACE",
		"Shows where mailboxes are.", "RFC 9051 §6.3.10" },
	[IMAP_NOOP] = { "NOOP", IMAP_ANY_STATE, IMAP_NO_ARGUMENTS, "NOOP",
		"Does nothing but show news.", "RFC 9051 §6.1.2" },
	[IMAP_NOTIFY] = { "NOTIFY", IMAP_LOGGED_IN, 0, "NOTIFY SET [STATUS] (mailboxes (events))… or NOTIFY NONE",
		"Says which news are to be told at once.", "RFC 5465 §3" },
	[IMAP_RENAME] = { "RENAME", IMAP_LOGGED_IN, 0, "RENAME mailbox name",
		"Gives a mailbox another name.", "RFC 9051 §6.3.6" },
	[IMAP_REPLACE] = { "REPLACE", IMAP_SELECTED, BY_NUMBER | IMAP_WRITES | IMAP_MESSAGE_LITERAL,
		"REPLACE message mailbox [(flags)] [date-time] message",
		"Puts a message in the place of another.", "RFC 8508 §3.2" },
	[IMAP_SEARCH] = { "SEARCH", IMAP_SELECTED, BY_NUMBER | IMAP_NO_EXPUNGE,
		"SEARCH [RETURN (options)] [CHARSET name] keys",
		"Finds messages.", "RFC 9051 §6.4.4" },
	[IMAP_SELECT] = { "SELECT", IMAP_LOGGED_IN, IMAP_DESELECTS, "SELECT mailbox [(parameters)]",
		"Opens a mailbox.", "RFC 9051 §6.3.2" },
	[IMAP_SETMETADATA] = { "SETMETADATA", IMAP_LOGGED_IN, 0, "SETMETADATA mailbox (entries and values)",
		"Sets annotations.", "RFC 5464 §4.3" },
	[IMAP_SETQUOTA] = { "SETQUOTA", IMAP_LOGGED_IN, 0, "SETQUOTA root (limits)",
		"Sets how much room there is.", "RFC 9208 §4.1.3" },
	[IMAP_SORT] = { "SORT", IMAP_SELECTED, BY_NUMBER | IMAP_NO_EXPUNGE,
		"SORT [RETURN (options)] (criteria) charset keys",
		"Finds messages and puts them in order.", "RFC 5256 §3" },
	[IMAP_STARTTLS] = { "STARTTLS", NOT_AUTH, IMAP_NO_ARGUMENTS, "STARTTLS",
		"Protects the connection.", "RFC 9051 §6.2.1" },
	[IMAP_STATUS] = { "STATUS", IMAP_LOGGED_IN, 0, "STATUS mailbox (items)",
		"Shows counts of a mailbox.", "RFC 9051 §6.3.11" },
	[IMAP_STORE] = { "STORE", IMAP_SELECTED, BY_NUMBER | IMAP_NO_EXPUNGE | IMAP_WRITES,
		"STORE messages [(modifiers)] FLAGS flags",
		"Changes flags.", "RFC 9051 §6.4.6" },
	[IMAP_SUBSCRIBE] = { "SUBSCRIBE", IMAP_LOGGED_IN, 0, "SUBSCRIBE mailbox",
		"Adds a mailbox to the subscribed ones.", "RFC 9051 §6.3.7" },
	[IMAP_THREAD] = { "THREAD", IMAP_SELECTED, BY_NUMBER | IMAP_NO_EXPUNGE, "THREAD algorithm charset keys",
		"Finds messages and groups them by conversation.", "RFC 5256 §3" },
	[IMAP_UNAUTHENTICATE] = { "UNAUTHENTICATE", IMAP_LOGGED_IN, IMAP_NO_ARGUMENTS | IMAP_DESELECTS, "UNAUTHENTICATE",
		"Logs out, but keeps the connection.", "RFC 8437 §2" },
	[IMAP_UNSELECT] = { "UNSELECT", IMAP_SELECTED, IMAP_NO_ARGUMENTS | IMAP_DESELECTS, "UNSELECT",
		"Leaves the mailbox.", "RFC 9051 §6.4.2" },
	[IMAP_UNSUBSCRIBE] = { "UNSUBSCRIBE", IMAP_LOGGED_IN, 0, "UNSUBSCRIBE mailbox",
		"Takes a mailbox off the subscribed ones.", "RFC 9051 §6.3.8" },
};

const struct imap_command_info *imap_command_info(enum imap_verb verb)
{
	must((unsigned)verb < IMAP_VERB_COUNT);
	return &commands[verb];
}

bool imap_command_find(struct str name, enum imap_verb *verb)
{
	for (unsigned i = 0; i < IMAP_VERB_COUNT; i++)
		if (str_equal_nocase(name, str_of(commands[i].name))) {
			*verb = (enum imap_verb)i;
			return true;
		}
	return false;
}

static enum imap_command_check find_name(struct imap_parser *p, struct imap_command *command)
{
	command->uid = imap_parse_word(p, "UID");
	if (command->uid)
		imap_parse_space(p);
	struct str name = imap_parse_atom(p);
	if (p->failed || !imap_command_find(name, &command->verb))
		return IMAP_COMMAND_UNKNOWN;
	command->info = &commands[command->verb];
	return IMAP_COMMAND_OK;
}

enum imap_command_check imap_command_begin(struct imap_parser *p, enum imap_state state, struct imap_command *command)
{
	*command = (struct imap_command){ .tag = imap_tag_of(p->text) };
	if (command->tag.length == 0)
		return IMAP_COMMAND_NO_TAG;
	p->at += command->tag.length;
	imap_parse_space(p);
	if (find_name(p, command) != IMAP_COMMAND_OK)
		return IMAP_COMMAND_UNKNOWN;
	if (command->uid && !(command->info->traits & IMAP_UID_TOO))
		return IMAP_COMMAND_NO_UID;
	if (!(command->info->states & state))
		return IMAP_COMMAND_WRONG_STATE;
	if (command->info->traits & IMAP_NO_ARGUMENTS && !command->uid && p->at < p->text.length)
		return IMAP_COMMAND_ARGUMENTS;
	return IMAP_COMMAND_OK;
}

/* Behind a mailbox name in any form; its octets do not matter. */
static void skip_astring(struct imap_parser *p)
{
	if (!imap_parse_skip(p, '"')) {
		imap_parse_astring(p);
		return;
	}
	for (char c; (c = imap_parse_peek(p)) != '\0' && c != '"';)
		p->at += c == '\\' && p->at + 1 < p->text.length ? 2 : 1;
	imap_parse_char(p, '"');
}

bool imap_command_literal_is_message(struct str text)
{
	/* a name that is longer than this is refused anyway, and the cost stays bounded */
	enum { LOOKED_AT_MAX = LIMIT_IMAP_TAG_MAX + 4 * LIMIT_MAILBOX_NAME_MAX };
	struct imap_parser p;
	struct imap_command command;
	imap_parser_init(&p, NULL, str_first(text, LOOKED_AT_MAX), true);
	if (imap_command_begin(&p, IMAP_ANY_STATE, &command) != IMAP_COMMAND_OK ||
	    !(command.info->traits & IMAP_MESSAGE_LITERAL))
		return false;
	imap_parse_space(&p);
	if (command.verb == IMAP_REPLACE) {
		while (char_is_digit(imap_parse_peek(&p)) || imap_parse_peek(&p) == '*')
			p.at++;
		imap_parse_space(&p);
	}
	skip_astring(&p);
	imap_parse_space(&p);
	size_t literal = str_find_last_char(text, '{');
	bool is_url = str_ends_nocase(str_first(text, literal), STR("URL ")); /* of CATENATE, RFC 4469 */
	return !p.failed && !is_url;
}

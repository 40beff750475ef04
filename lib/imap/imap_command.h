/*
 * The IMAP commands: one table for porter (before log-in), the mailbox process (after it), tests and the tools that
 * show them. It says in which states a command may come and what else must be known of it before its handler runs, so
 * that handlers check none of it. RFC 9051 §6, RFC 3501 §6 and the extensions named in the table.
 */
#ifndef POSTHORN_IMAP_COMMAND_H
#define POSTHORN_IMAP_COMMAND_H

#include "imap_parse.h"

enum imap_verb {
	IMAP_APPEND,
	IMAP_AUTHENTICATE,
	IMAP_CANCELUPDATE, /* RFC 5267 §4.3 */
	IMAP_CAPABILITY,
	IMAP_CHECK,
	IMAP_CLOSE,
	IMAP_COMPARATOR, /* RFC 5255 §4.7 */
	IMAP_COMPRESS, /* RFC 4978 */
	IMAP_COPY,
	IMAP_CREATE,
	IMAP_DELETE,
	IMAP_ENABLE, /* RFC 5161 */
	IMAP_EXAMINE,
	IMAP_EXPUNGE,
	IMAP_FETCH,
	IMAP_GETMETADATA, /* RFC 5464 */
	IMAP_GETQUOTA, /* RFC 9208 */
	IMAP_GETQUOTAROOT,
	IMAP_ID, /* RFC 2971 */
	IMAP_IDLE, /* RFC 2177 */
	IMAP_LANGUAGE, /* RFC 5255 §3.2 */
	IMAP_LIST,
	IMAP_LOGIN,
	IMAP_LOGOUT,
	IMAP_LSUB,
	IMAP_MOVE, /* RFC 6851 */
	IMAP_NAMESPACE,
	IMAP_NOOP,
	IMAP_NOTIFY, /* RFC 5465 */
	IMAP_RENAME,
	IMAP_REPLACE, /* RFC 8508 */
	IMAP_SEARCH,
	IMAP_SELECT,
	IMAP_SETMETADATA,
	IMAP_SETQUOTA,
	IMAP_SORT, /* RFC 5256 */
	IMAP_STARTTLS,
	IMAP_STATUS,
	IMAP_STORE,
	IMAP_SUBSCRIBE,
	IMAP_THREAD,
	IMAP_UNAUTHENTICATE, /* RFC 8437 */
	IMAP_UNSELECT, /* RFC 3691 */
	IMAP_UNSUBSCRIBE,
	IMAP_VERB_COUNT
};

enum imap_state {
	IMAP_NOT_AUTHENTICATED = 1 << 0,
	IMAP_AUTHENTICATED = 1 << 1,
	IMAP_SELECTED = 1 << 2,
	IMAP_LOGGED_IN = IMAP_AUTHENTICATED | IMAP_SELECTED,
	IMAP_ANY_STATE = IMAP_NOT_AUTHENTICATED | IMAP_LOGGED_IN,
};

enum imap_traits {
	IMAP_NUMBERS = 1 << 0,    /* takes or gives message numbers: refused with [UIDREQUIRED] under UIDONLY (RFC 9586 §3) unless UID */
	IMAP_NO_EXPUNGE = 1 << 1, /* no EXPUNGE may be sent while it runs (RFC 9051 §7.5.1), unless it is the UID form */
	IMAP_WRITES = 1 << 2,     /* changes the selected mailbox: refused after EXAMINE */
	IMAP_UID_TOO = 1 << 3,    /* also exists as "UID name" */
	IMAP_MESSAGE_LITERAL = 1 << 4, /* its literals may be messages, which are not kept in the command's text */
	IMAP_DESELECTS = 1 << 5,  /* ends the selection, whether it works or not */
	IMAP_NO_ARGUMENTS = 1 << 6, /* nothing may stand behind it */
};

struct imap_command_info {
	const char *name;
	unsigned states; /* of enum imap_state */
	unsigned traits;
	const char *form; /* "SELECT mailbox [(parameters)]" */
	const char *help; /* one sentence */
	const char *rfc;  /* "RFC 9051 §6.3.2" */
};

struct imap_command {
	struct str tag;
	enum imap_verb verb;
	bool uid;
	const struct imap_command_info *info;
};

const struct imap_command_info *imap_command_info(enum imap_verb verb);
bool imap_command_find(struct str name, enum imap_verb *verb);

enum imap_command_check {
	IMAP_COMMAND_OK,
	IMAP_COMMAND_NO_TAG,     /* nothing that could be a tag: answer "* BAD" */
	IMAP_COMMAND_UNKNOWN,
	IMAP_COMMAND_WRONG_STATE,
	IMAP_COMMAND_NO_UID,     /* has no UID form */
	IMAP_COMMAND_ARGUMENTS,  /* has none, and some were given */
};

/* Takes tag and name off the front of the text; p then stands behind the name. command->tag is valid in all cases but
 * NO_TAG. */
enum imap_command_check imap_command_begin(struct imap_parser *p, enum imap_state state, struct imap_command *command);

/* For the collector: whether the literal at the end of this text is a message of APPEND or REPLACE, not a mailbox
 * name. */
bool imap_command_literal_is_message(struct str text);

#endif

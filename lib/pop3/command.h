/*
 * The POP3 commands: one table for the server before and after log-in, for clients and for the tools that show them.
 *
 * pop3_command_check takes a line of a client and either gives a command that is right in keyword, state, arguments
 * and traits, so that handlers need not look at any of these again, or writes the -ERR answer itself. The views in
 * struct pop3_command look into the line and die with it.
 * RFC 1939 (POP3), 2449 (CAPA, lengths), 2595 (STLS), 5034 (AUTH), 6856 (UTF8, LANG).
 */
#ifndef POSTHORN_POP3_COMMAND_H
#define POSTHORN_POP3_COMMAND_H

#include "language.h"

enum pop3_verb {
	POP3_VERB_CAPA,
	POP3_VERB_STLS,
	POP3_VERB_UTF8,
	POP3_VERB_LANG,
	POP3_VERB_USER,
	POP3_VERB_PASS,
	POP3_VERB_APOP,
	POP3_VERB_AUTH,
	POP3_VERB_STAT,
	POP3_VERB_LIST,
	POP3_VERB_UIDL,
	POP3_VERB_RETR,
	POP3_VERB_TOP,
	POP3_VERB_DELE,
	POP3_VERB_RSET,
	POP3_VERB_NOOP,
	POP3_VERB_QUIT,
	POP3_VERB_COUNT
};

enum pop3_state {
	POP3_AUTHORIZATION = 1 << 0,
	POP3_TRANSACTION = 1 << 1,
	POP3_ANY_STATE = POP3_AUTHORIZATION | POP3_TRANSACTION,
};

enum pop3_traits {
	POP3_LISTS = 1 << 0,        /* a positive answer has several lines */
	POP3_LISTS_BARE = 1 << 1,   /* the same, but only when given without argument */
	POP3_MESSAGE = 1 << 2,      /* the first argument is a message number */
	POP3_REST_OF_LINE = 1 << 3, /* the argument may hold spaces */
	POP3_SECRET_FIRST = 1 << 4, /* the first argument and what follows must not be shown or logged */
	POP3_SECRET_SECOND = 1 << 5, /* the second argument must not be */
	POP3_CLEAR_TEXT = 1 << 6,   /* part of a log-in that sends the password as it is */
	POP3_AFTER_USER = 1 << 7,   /* only right after a USER that was answered +OK, RFC 1939 §7 */
	POP3_STARTS_TLS = 1 << 8,   /* once, and not after UTF8: RFC 2595 §4, RFC 6856 §2.1 */
	POP3_BARRIER = 1 << 9,      /* a client must wait for the answer before it sends more */
	POP3_LONG_LINE = 1 << 10,   /* lines up to LIMIT_POP3_AUTH_LINE_MAX, RFC 5034 §4 */
};

struct pop3_command_info {
	const char *keyword;
	unsigned states; /* of enum pop3_state */
	unsigned traits;
	unsigned arguments_min, arguments_max;
	const char *form; /* "TOP message lines" */
	const char *help; /* one sentence */
	const char *rfc;  /* "RFC 1939 §7" */
};

struct pop3_command {
	enum pop3_verb verb;
	unsigned argument_count;
	struct str arguments[2];
	uint64_t message; /* at least 1; UINT64_MAX for all that is larger; 0 where none was given */
	uint64_t lines;   /* of TOP; UINT64_MAX for all that is larger */
};

/* What a line is judged by. */
struct pop3_situation {
	enum pop3_state state;
	bool tls;               /* the connection is protected */
	bool stls_offered;
	bool clear_text_allowed; /* USER and PASS without TLS */
	bool user_given;        /* the command before was a USER answered +OK */
	bool utf8;              /* UTF8 was given */
	enum pop3_language language;
};

const struct pop3_command_info *pop3_command_info(enum pop3_verb verb);

/* The verb of a keyword in any case. */
bool pop3_command_find(struct str keyword, enum pop3_verb *verb);

/* line is without CRLF. False: answer has the -ERR line to send. */
NODISCARD bool pop3_command_check(const struct pop3_situation *situation, struct str line, struct pop3_command *command,
	struct buf *answer);

/* For a line that was longer than LIMIT_POP3_AUTH_LINE_MAX and is gone. */
void pop3_command_too_long(struct buf *answer, enum pop3_language language);

/* True when +OK to the command is followed by lines and a dot. */
bool pop3_command_has_listing(enum pop3_verb verb, unsigned argument_count);

/* The line as it may be shown to people, secrets and arguments of unknown commands replaced by "***". The
 * bytes are those of the line: escape them where that matters. */
void pop3_command_mask(struct buf *out, struct str line);

#endif

/*
 * What the commands of posthorn(1) share: the table of commands, one call with its options, words for people, exit
 * codes.
 *
 * Nothing from a server or a file reaches the terminal as it is: warnings and errors go through display.h.
 */
#ifndef POSTHORN_CLI_CLI_H
#define POSTHORN_CLI_CLI_H

#include "account.h"
#include "mail_file.h"
#include "words.h"

/* Documented in posthorn(1). */
enum cli_exit {
	CLI_DONE,
	CLI_FAILED,
	CLI_USAGE,
	CLI_NOT_FOUND,
	CLI_UNAVAILABLE,
	CLI_DENIED,
	CLI_EXISTS,
	CLI_DISTRUSTED,
};

enum cli_option {
	CLI_HELP = 1 << 0,
	CLI_JSON = 1 << 1,
	CLI_TLS = 1 << 2,
	CLI_CA = 1 << 3,
	CLI_PASSWORD_FILE = 1 << 4,
	CLI_LOGIN = 1 << 5,
	CLI_TIMEOUT = 1 << 6,
	CLI_DIR = 1 << 7,
	CLI_FORMAT = 1 << 8,
	CLI_AGAIN = 1 << 9,
	CLI_LINES = 1 << 10,
	CLI_RAW = 1 << 11,
	CLI_FROM = 1 << 12,
	CLI_FULL_NAME = 1 << 13,
	CLI_RECIPIENTS_IN_HEADER = 1 << 14,
	CLI_IGNORED = 1 << 15, /* what callers of sendmail give out of habit */
	CLI_PARTIAL = 1 << 16,
	CLI_SEND = 1 << 17,
	CLI_SEND_TLS = 1 << 18,
	CLI_URL = 1 << 19,
	CLI_RENAME = 1 << 20,
	CLI_VERSION = 1 << 21,
};

struct cli_call;

struct cli_command {
	const char *words[2];       /* "pop3", "list"; the second may be NULL */
	int operands_min, operands_max; /* behind the words; -1: any number */
	unsigned options;
	bool (*run)(struct cli_call *call, struct fail **fail);
	const char *form;           /* of the operands */
	const char *help;           /* one sentence */
};

struct cli_call {
	const struct cli_command *command;
	char **operands;
	int operand_count;
	unsigned given;             /* of enum cli_option */
	bool usage_wrong;           /* the failure is one of the words typed */
	enum server_tls tls, send_tls;
	enum login_method method;
	enum mail_format format;
	int timeout_ms;             /* 0: the command's own */
	uint64_t lines;
	const char *ca, *password_file, *directory, *from, *full_name, *send, *url, *rename;
};

extern const struct cli_command cli_commands[];
extern const size_t cli_command_count;

/* Fills in the call. False: *fail says what is wrong with the words. */
bool cli_call_parse(int argc, char **argv, struct cli_call *call, struct fail **fail);

/* The help for a command, or for all when it is NULL. */
void cli_help(const struct cli_command *command, struct buf *out);

enum cli_exit cli_exit_of(const struct cli_call *call, const struct fail *fail);

/* "posthorn: text" on standard error, made harmless. */
void cli_say(const char *format, ...) FORMAT(1, 2);

/* For the clients' warn. */
void cli_warn(void *context, const char *text);

/* An operand that is a URL of that protocol, or the name of an account, whose sender and log-in method it brings along.
 * Says so when the connection will not be encrypted. */
bool cli_find_server(struct cli_call *call, const char *operand, enum server_protocol protocol, struct server *server,
                     struct account *account, struct fail **fail);

/* The password for a server with a user: from --password-file, or asked for on the terminal without echo. Empty without
 * a user. Wiped by the caller. */
bool cli_password(const struct cli_call *call, const struct server *server, struct buf *password, struct fail **fail);

struct account_book *cli_open_accounts(struct fail **fail);

bool cli_pop3_list(struct cli_call *call, struct fail **fail);
bool cli_pop3_show(struct cli_call *call, struct fail **fail);
bool cli_pop3_fetch(struct cli_call *call, struct fail **fail);
bool cli_pop3_delete(struct cli_call *call, struct fail **fail);
bool cli_send(struct cli_call *call, struct fail **fail);
bool cli_talk(struct cli_call *call, struct fail **fail);
bool cli_account_list(struct cli_call *call, struct fail **fail);
bool cli_account_add(struct cli_call *call, struct fail **fail);
bool cli_account_change(struct cli_call *call, struct fail **fail);
bool cli_account_remove(struct cli_call *call, struct fail **fail);

#endif

#include "cli.h"

#include "display.h"
#include "mem.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

enum {
	SERVER = CLI_TLS | CLI_CA | CLI_PASSWORD_FILE | CLI_LOGIN | CLI_TIMEOUT,
	SENDING = CLI_FROM | CLI_FULL_NAME | CLI_RECIPIENTS_IN_HEADER | CLI_IGNORED | CLI_PARTIAL,
	ACCOUNT = CLI_TLS | CLI_LOGIN | CLI_SEND | CLI_SEND_TLS | CLI_FROM,
	TIMEOUT_MAX_S = 86400,
	LINES_DEFAULT = 20,
};

const struct cli_command cli_commands[] = {
	{ { "pop3", "list" }, 1, 1, SERVER | CLI_JSON, cli_pop3_list,
	  "ACCOUNT-OR-URL", N_("Lists the mails on a server; only headers travel.") },
	{ { "pop3", "show" }, 2, -1, SERVER | CLI_LINES | CLI_RAW, cli_pop3_show,
	  "ACCOUNT-OR-URL UIDL...", N_("Shows the headers and first lines of mails.") },
	{ { "pop3", "fetch" }, 1, -1, SERVER | CLI_DIR | CLI_FORMAT | CLI_AGAIN, cli_pop3_fetch,
	  "ACCOUNT-OR-URL [UIDL...]", N_("Saves mails to a folder; they stay on the server.") },
	{ { "pop3", "delete" }, 2, -1, SERVER, cli_pop3_delete,
	  "ACCOUNT-OR-URL UIDL...", N_("Deletes mails on the server: all of them or none.") },
	{ { "send", NULL }, 1, -1, SERVER | SENDING, cli_send,
	  "ACCOUNT-OR-URL [RECIPIENT...]", N_("Submits the mail on standard input.") },
	{ { "talk", NULL }, 2, 2, CLI_TLS | CLI_CA | CLI_TIMEOUT, cli_talk,
	  "pop3|imap|smtp HOST[:PORT]", N_("Speaks with a server line by line and explains what it says.") },
	{ { "account", "list" }, 0, 0, CLI_JSON, cli_account_list, "", N_("Lists the accounts.") },
	{ { "account", "add" }, 2, 2, ACCOUNT, cli_account_add,
	  "NAME POP3-URL", N_("Adds an account; passwords are never kept.") },
	{ { "account", "change" }, 1, 1, ACCOUNT | CLI_URL | CLI_RENAME, cli_account_change,
	  "NAME", N_("Changes what is given as options.") },
	{ { "account", "remove" }, 1, 1, 0, cli_account_remove,
	  "NAME", N_("Removes an account; its mails are not touched.") },
};

const size_t cli_command_count = COUNT_OF(cli_commands);

/* argument: NULL for none. */
static const struct option_row {
	const char *name;
	char letter;
	enum cli_option option;
	const char *argument, *help;
} options[] = {
	{ "help", 'h', CLI_HELP, NULL, N_("shows this help") },
	{ "version", 0, CLI_VERSION, NULL, N_("shows the version") },
	{ "json", 0, CLI_JSON, NULL, N_("prints a list of JSON objects") },
	{ "tls", 0, CLI_TLS, "implicit|starttls|none", N_("TLS from the start, begun by a command, or none") },
	{ "ca", 0, CLI_CA, "FILE", N_("trusts the authorities in FILE (PEM) instead of the system's") },
	{ "password-file", 0, CLI_PASSWORD_FILE, "FILE", N_("reads the password from the first line of FILE") },
	{ "login", 0, CLI_LOGIN, "METHOD", N_("best, scram-sha-256, scram-sha-1, apop, cram-md5, plain, login or user") },
	{ "timeout", 0, CLI_TIMEOUT, "SECONDS", N_("how long the server may be silent") },
	{ "dir", 0, CLI_DIR, "DIRECTORY", N_("saves there instead of here") },
	{ "format", 0, CLI_FORMAT, "eml|maildir|mbox", N_("how mails are saved; eml by default") },
	{ "again", 0, CLI_AGAIN, NULL, N_("saves also what was saved there before") },
	{ "lines", 0, CLI_LINES, "NUMBER", N_("how many lines of the body; 20 by default") },
	{ "raw", 0, CLI_RAW, NULL, N_("shows the mail as it travels") },
	{ "from", 'f', CLI_FROM, "ADDRESS", N_("the sender") },
	{ "full-name", 'F', CLI_FULL_NAME, "NAME", N_("the sender's name, where the mail has no From field") },
	{ "recipients-in-header", 't', CLI_RECIPIENTS_IN_HEADER, NULL,
	  N_("takes the recipients from To, Cc and Bcc; Bcc is removed") },
	{ "ignore-dots", 'i', CLI_IGNORED, NULL, N_("for sendmail's sake, as is -o WORD: a dot never ends the mail here") },
	{ "partial", 0, CLI_PARTIAL, NULL, N_("sends even when some of the recipients are refused") },
	{ "send", 0, CLI_SEND, "SMTP-URL", N_("the server that takes mail from this account; empty for none") },
	{ "send-tls", 0, CLI_SEND_TLS, "implicit|starttls|none", N_("as --tls, for that server") },
	{ "url", 0, CLI_URL, "POP3-URL", N_("the account's POP3 server") },
	{ "rename", 0, CLI_RENAME, "NAME", N_("the new name") },
};

/* ---- help ---- */

static void add_words(struct buf *out, const struct cli_command *c)
{
	buf_printf(out, "posthorn %s%s%s", c->words[0], c->words[1] ? " " : "", c->words[1] ? c->words[1] : "");
}

static void add_option(struct buf *out, const struct option_row *o)
{
	CLEANUP(buf_release) struct buf left = BUF_WITH_LIMIT(200);
	if (o->letter)
		buf_printf(&left, "-%c, ", o->letter);
	buf_printf(&left, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
	buf_printf(out, "  %-38s %s\n", buf_text(&left), _(o->help));
}

void cli_help(const struct cli_command *command, struct buf *out)
{
	if (command) {
		buf_printf(out, "%s ", _("Usage:"));
		add_words(out, command);
		buf_printf(out, "%s%s%s\n%s\n\n", command->options ? _(" [OPTION]...") : "", *command->form ? " " : "",
		           command->form, _(command->help));
		for (size_t i = 0; i < COUNT_OF(options); i++)
			if (options[i].option & (command->options | CLI_HELP))
				add_option(out, &options[i]);
		return;
	}
	buf_printf(out, "%s\n", _("Usage:"));
	for (size_t i = 0; i < cli_command_count; i++) {
		buf_add_str(out, STR("  "));
		add_words(out, &cli_commands[i]);
		buf_printf(out, " %s\n      %s\n", cli_commands[i].form, _(cli_commands[i].help));
	}
	buf_add_char(out, '\n');
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (options[i].option & (CLI_HELP | CLI_VERSION))
			add_option(out, &options[i]);
	buf_printf(out, "\n%s\n%s\n",
	           _("A URL is pop3s://user@host[:port], or smtps:// likewise; without the s, by STARTTLS."),
	           _("posthorn COMMAND --help shows the options; posthorn(1) has all."));
}

/* ---- the command line ---- */

static bool wrong(struct cli_call *call, struct fail **fail, const char *format, ...) FORMAT(3, 4);

static bool wrong(struct cli_call *call, struct fail **fail, const char *format, ...)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(4096);
	va_list arguments;
	va_start(arguments, format);
	buf_vprintf(&text, format, arguments);
	va_end(arguments);
	call->usage_wrong = true;
	return fail_set(fail, FAIL_INVALID, "%s", buf_text(&text));
}

static const struct cli_command *find_command(const char *first, const char *second)
{
	for (size_t i = 0; i < cli_command_count; i++) {
		const struct cli_command *c = &cli_commands[i];
		if (str_equal(str_of(first), str_of(c->words[0])) &&
		    (!c->words[1] || (second && str_equal(str_of(second), str_of(c->words[1])))))
			return c;
	}
	return NULL;
}

static bool take_number(const char *text, uint64_t max, uint64_t *number)
{
	return str_to_u64(str_of(text), max, number);
}

static bool take_option(struct cli_call *call, const struct option_row *o, const char *value, struct fail **fail)
{
	uint64_t number;
	bool good = true;
	call->given |= o->option;
	switch (o->option) {
	case CLI_TLS: good = server_tls_find(str_of(value), &call->tls); break;
	case CLI_SEND_TLS: good = server_tls_find(str_of(value), &call->send_tls); break;
	case CLI_LOGIN: good = login_method_find(str_of(value), &call->method); break;
	case CLI_FORMAT: good = mail_format_find(str_of(value), &call->format); break;
	case CLI_LINES: good = take_number(value, UINT32_MAX, &call->lines); break;
	case CLI_TIMEOUT:
		good = take_number(value, TIMEOUT_MAX_S, &number) && number > 0;
		call->timeout_ms = good ? (int)number * 1000 : 0;
		break;
	case CLI_CA: call->ca = value; break;
	case CLI_PASSWORD_FILE: call->password_file = value; break;
	case CLI_DIR: call->directory = value; break;
	case CLI_FROM: call->from = value; break;
	case CLI_FULL_NAME: call->full_name = value; break;
	case CLI_SEND: call->send = value; break;
	case CLI_URL: call->url = value; break;
	case CLI_RENAME: call->rename = value; break;
	default: break;
	}
	return good || wrong(call, fail, _("--%s takes %s, not \"%s\""), o->name, o->argument, value);
}

static const struct option_row *find_letter(int letter)
{
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (letter && options[i].letter == letter)
			return &options[i];
	return NULL;
}

/* sendmail's -oi, -om, -oem and the like change nothing here. */
static const struct option_row sendmail_o = { "o", 'o', CLI_IGNORED, "WORD", "" };

static bool take_options(int argc, char **argv, struct cli_call *call, struct fail **fail)
{
	struct option longs[COUNT_OF(options) + 1] = {};
	int found, at;
	for (size_t i = 0; i < COUNT_OF(options); i++)
		longs[i] = (struct option){ options[i].name, options[i].argument ? required_argument : no_argument, NULL, 0 };
	opterr = 0;
	while ((found = getopt_long(argc, argv, ":hf:F:tio:", longs, &at)) != -1) {
		if (found == '?' || found == ':')
			return wrong(call, fail, found == ':' ? _("%s needs a value") : _("unknown option %s"), argv[optind - 1]);
		const struct option_row *row = found == 0 ? &options[at] : found == 'o' ? &sendmail_o : find_letter(found);
		if (!take_option(call, row, optarg, fail))
			return false;
	}
	return true;
}

static bool check_options(struct cli_call *call, struct fail **fail)
{
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (call->given & options[i].option & ~call->command->options)
			return wrong(call, fail, _("--%s is no option of this command"), options[i].name);
	return true;
}

bool cli_call_parse(int argc, char **argv, struct cli_call *call, struct fail **fail)
{
	*call = (struct cli_call){ .lines = LINES_DEFAULT, .directory = "." };
	if (!take_options(argc, argv, call, fail))
		return false;
	int left = argc - optind;
	if (call->given & CLI_VERSION || (left == 0 && call->given & CLI_HELP))
		return true;
	if (left == 0)
		return wrong(call, fail, _("a command is missing; posthorn --help lists them"));
	call->command = find_command(argv[optind], left > 1 ? argv[optind + 1] : NULL);
	if (!call->command)
		return wrong(call, fail, _("there is no command \"%s%s%s\"; posthorn --help lists them"), argv[optind],
		             left > 1 ? " " : "", left > 1 ? argv[optind + 1] : "");
	if (call->given & CLI_HELP)
		return true;
	int words = call->command->words[1] ? 2 : 1;
	call->operands = argv + optind + words;
	call->operand_count = left - words;
	if (call->operand_count < call->command->operands_min ||
	    (call->command->operands_max >= 0 && call->operand_count > call->command->operands_max))
		return wrong(call, fail, _("this command takes: %s"),
		             *call->command->form ? call->command->form : _("nothing"));
	return check_options(call, fail);
}

/* ---- words for people ---- */

static const enum cli_exit exits[FAIL_KIND_COUNT] = {
	[FAIL_NOT_FOUND] = CLI_NOT_FOUND, [FAIL_EXISTS] = CLI_EXISTS,           [FAIL_DENIED] = CLI_DENIED,
	[FAIL_INVALID] = CLI_USAGE,       [FAIL_OVER_QUOTA] = CLI_FAILED,       [FAIL_TOO_BIG] = CLI_FAILED,
	[FAIL_LIMIT] = CLI_FAILED,        [FAIL_BUSY] = CLI_UNAVAILABLE,        [FAIL_CORRUPT] = CLI_DISTRUSTED,
	[FAIL_IO] = CLI_FAILED,           [FAIL_NO_SPACE] = CLI_FAILED,         [FAIL_UNAVAILABLE] = CLI_UNAVAILABLE,
	[FAIL_TIMEOUT] = CLI_UNAVAILABLE,
};

enum cli_exit cli_exit_of(const struct cli_call *call, const struct fail *fail)
{
	if (call->usage_wrong)
		return CLI_USAGE;
	return fail ? exits[fail->kind] : CLI_FAILED;
}

void cli_say(const char *format, ...)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(65536);
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(65536);
	va_list arguments;
	va_start(arguments, format);
	buf_vprintf(&text, format, arguments);
	va_end(arguments);
	display_text(&shown, buf_str(&text));
	fflush(stdout);
	fprintf(stderr, "posthorn: %s\n", buf_text(&shown));
}

void cli_warn(void *context, const char *text)
{
	(void)context;
	cli_say(_("warning: %s"), text);
}

/* ---- servers ---- */

struct account_book *cli_open_accounts(struct fail **fail)
{
	CLEANUP(mem_free) char *path = account_default_path(fail);
	return path ? account_book_open(path, fail) : NULL;
}

static bool find_account(struct cli_call *call, const char *name, enum server_protocol protocol, struct server *server,
                         struct account *account, struct fail **fail)
{
	CLEANUP(account_book_cleanup) struct account_book *book = cli_open_accounts(fail);
	if (!book || !account_find(book, name, account, fail))
		return false;
	*server = protocol == SERVER_SMTP ? account->submission : account->mailbox;
	if (!server->host[0])
		return fail_set(fail, FAIL_NOT_FOUND,
		                _("the account \"%s\" has no server to send by; posthorn account change --send sets one"),
		                name);
	if (!(call->given & CLI_LOGIN))
		call->method = account->method;
	return true;
}

static bool parse_url(struct cli_call *call, const char *url, enum server_protocol protocol, struct server *server,
                      struct fail **fail)
{
	if (!server_parse_url(str_of(url), server, fail))
		return false;
	if (server->protocol != protocol)
		return wrong(call, fail, _("this takes a URL that begins with %ss: or %s:"), server_protocol_name(protocol),
		             server_protocol_name(protocol));
	if (server->tls == SERVER_TLS_IMPLICIT && call->given & CLI_TLS && call->tls != SERVER_TLS_IMPLICIT)
		return wrong(call, fail, _("%ss: and --tls %s don't go together; say %s: instead"),
		             server_protocol_name(protocol), server_tls_name(call->tls), server_protocol_name(protocol));
	return true;
}

bool cli_find_server(struct cli_call *call, const char *operand, enum server_protocol protocol, struct server *server,
                     struct account *account, struct fail **fail)
{
	*account = (struct account){};
	bool good = server_is_url(str_of(operand)) ? parse_url(call, operand, protocol, server, fail)
	                                           : find_account(call, operand, protocol, server, account, fail);
	if (!good)
		return false;
	if (call->given & CLI_TLS)
		server->tls = call->tls;
	if (server->tls == SERVER_TLS_NONE)
		cli_say(_("warning: the connection is not encrypted; everybody on the way can read it"));
	return true;
}

/* ---- passwords ---- */

/* One octet at a time: nothing is left in a buffer that nobody wipes. */
static bool read_line(int fd, struct buf *line, struct fail **fail)
{
	char c;
	ssize_t got;
	while ((got = read(fd, &c, 1)) == 1 && c != '\n')
		buf_add_char(line, c);
	if (got < 0)
		return fail_set_errno(fail, FAIL_INVALID, _("the password can't be read"));
	if (line->length && line->data[line->length - 1] == '\r')
		buf_truncate(line, line->length - 1);
	if (line->overflowed)
		return fail_set(fail, FAIL_INVALID, _("a password has at most %d octets"), LIMIT_PASSWORD_MAX);
	if (line->length == 0)
		return fail_set(fail, FAIL_INVALID, _("the password is empty"));
	return !memchr(line->data, '\0', line->length) || fail_set(fail, FAIL_INVALID, _("a password has no NUL in it"));
}

static void close_descriptor(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void note_signal(int number)
{
	(void)number;
}

/* A signal ends the reading and not the program, which has to switch the echo on again first. */
static bool read_silently(int terminal, struct buf *password, struct fail **fail)
{
	const struct sigaction noted = { .sa_handler = note_signal };
	struct sigaction interrupt, terminate;
	sigaction(SIGINT, &noted, &interrupt);
	sigaction(SIGTERM, &noted, &terminate);
	bool good = read_line(terminal, password, fail);
	sigaction(SIGINT, &interrupt, NULL);
	sigaction(SIGTERM, &terminate, NULL);
	return good;
}

static bool ask(const struct server *server, struct buf *password, struct fail **fail)
{
	CLEANUP(close_descriptor) int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	CLEANUP(buf_release) struct buf question = BUF_WITH_LIMIT(4000), mailbox = BUF_WITH_LIMIT(2000);
	struct termios before, silent;
	if (terminal < 0 || tcgetattr(terminal, &before) != 0)
		return fail_set(fail, FAIL_INVALID, _("there is no terminal to ask for the password; give --password-file"));
	server_print_mailbox(&mailbox, server);
	buf_printf(&question, _("Password for %s: "), buf_text(&mailbox));
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(terminal, TCSAFLUSH, &silent);
	bool good = write(terminal, question.data, question.length) > 0 && read_silently(terminal, password, fail);
	tcsetattr(terminal, TCSAFLUSH, &before);
	return write(terminal, "\n", 1) == 1 && good;
}

bool cli_password(const struct cli_call *call, const struct server *server, struct buf *password, struct fail **fail)
{
	buf_init(password, LIMIT_PASSWORD_MAX);
	if (!server->user[0])
		return true;
	/* No growing: what is left behind by it would not be wiped. */
	must(buf_reserve(password, LIMIT_PASSWORD_MAX));
	if (!call->password_file)
		return ask(server, password, fail);
	CLEANUP(close_descriptor) int fd = open(call->password_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_set_errno(fail, FAIL_INVALID, "%s", call->password_file);
	return read_line(fd, password, fail) || fail_prefix(fail, "%s", call->password_file);
}

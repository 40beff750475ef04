/* sendmail and mailq: the commands that Unix programs expect; see sendmail(1). */
#include "config.h"
#include "ctl_link.h"
#include "ctl_table.h"
#include "mem.h"
#include "sendmail_submit.h"
#include "socket.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum mode { MODE_DELIVER, MODE_QUEUE, MODE_RUN_QUEUE, MODE_SESSION, MODE_ALIASES };

enum { HEADER_EXTRA = 65536, PUMP_SIZE = 65536, CONNECT_MS = 30000 };

struct invocation {
	enum mode mode;
	bool recipients_in_header;
	bool dot_is_text;
	const char *sender;    /* -f, or NULL */
	const char *name;      /* -F, or NULL */
	const char *notify;    /* -N, or NULL */
	const char *returned;  /* -R, or NULL */
	const char *id;        /* -V, or NULL */
	const char *config;    /* -C, or NULL */
	const char *directory; /* $POSTHORN_DIR, or NULL */
	char **recipients;
};

static const char usage[] =
	"Usage: sendmail [-ti] [-f SENDER] [-F NAME] [-N WHEN] [-R full|hdrs] [-V ID] [-C CONFIG] [RECIPIENT]...\n"
	"                               submits the mail on standard input\n"
	"       sendmail -bp | mailq    lists the queue\n"
	"       sendmail -q             tries the whole queue now\n"
	"       sendmail -bs            speaks SMTP on standard input and output\n";

static const int exit_codes[FAIL_KIND_COUNT] = {
	[FAIL_NOT_FOUND] = EX_NOUSER,     [FAIL_EXISTS] = EX_SOFTWARE,       [FAIL_DENIED] = EX_NOPERM,
	[FAIL_INVALID] = EX_DATAERR,      [FAIL_OVER_QUOTA] = EX_TEMPFAIL,   [FAIL_TOO_BIG] = EX_DATAERR,
	[FAIL_LIMIT] = EX_DATAERR,        [FAIL_BUSY] = EX_TEMPFAIL,         [FAIL_CORRUPT] = EX_SOFTWARE,
	[FAIL_IO] = EX_IOERR,             [FAIL_NO_SPACE] = EX_TEMPFAIL,     [FAIL_UNAVAILABLE] = EX_TEMPFAIL,
	[FAIL_TIMEOUT] = EX_TEMPFAIL,
};

static bool set_mode(struct invocation *i, const char *mode)
{
	static const struct {
		const char *name;
		enum mode mode;
	} modes[] = { { "m", MODE_DELIVER }, { "p", MODE_QUEUE }, { "s", MODE_SESSION }, { "i", MODE_ALIASES } };
	for (size_t at = 0; at < COUNT_OF(modes); at++)
		if (str_equal(str_of(mode), str_of(modes[at].name))) {
			i->mode = modes[at].mode;
			return true;
		}
	return false;
}

/* -oi is -i. How errors are told (-oe), how the mail is delivered (-od) and "me too" (-om) are as every caller wants
 * them: by the exit status, at once, and yes. The others (-o7, -oA, -oM, …) set what only the first sendmail has. */
static void set_option(struct invocation *i, const char *option)
{
	i->dot_is_text |= str_equal(str_of(option), STR("i"));
}

/* "never", or some of the others with commas between, RFC 3461 §4.1. */
static bool set_notify(struct invocation *i, const char *when)
{
	static const char *const words[] = { "success", "failure", "delay" };
	struct str rest = str_of(when), word = {};
	bool known = !str_equal_nocase(rest, STR("never"));
	i->notify = when;
	while (known && rest.length) {
		known = false;
		str_take_until(&rest, ',', &word);
		for (size_t at = 0; at < COUNT_OF(words); at++)
			known |= str_equal_nocase(word, str_of(words[at]));
	}
	return known || str_equal_nocase(str_of(when), STR("never"));
}

/* RFC 3461 §4.3, §4.4 */
static bool set_returned(struct invocation *i, const char *what)
{
	i->returned = what;
	return str_equal_nocase(str_of(what), STR("full")) || str_equal_nocase(str_of(what), STR("hdrs"));
}

static bool set_id(struct invocation *i, const char *id)
{
	size_t length = strlen(id);
	i->id = id;
	for (size_t at = 0; at < length; at++)
		if (id[at] < ' ' || id[at] > '~')
			return false;
	return length > 0 && length <= LIMIT_SMTP_ENVID_MAX;
}

static bool take_options(struct invocation *i, int argc, char **argv)
{
	int option;
	bool known = true;
	/* -B says what the body is: what it is can be seen. Of the others without effect each program knows some. */
	while (known && (option = getopt(argc, argv, "A:b:B:cC:e:f:r:F:Gh:iIL:mN:no:O:p:q::R:tUvV:X:")) != -1) {
		switch (option) {
		case 'b': known = set_mode(i, optarg); break;
		case 'o': set_option(i, optarg); break;
		case 'C': i->config = optarg; break;
		case 'f':
		case 'r': i->sender = optarg; break;
		case 'F': i->name = optarg; break;
		case 'i': i->dot_is_text = true; break;
		case 't': i->recipients_in_header = true; break;
		case 'q': i->mode = MODE_RUN_QUEUE; break;
		case 'I': i->mode = MODE_ALIASES; break;
		case 'N': known = set_notify(i, optarg); break;
		case 'R': known = set_returned(i, optarg); break;
		case 'V': known = set_id(i, optarg); break;
		default: known = option != '?'; break;
		}
	}
	i->recipients = argv + optind;
	return known;
}

static bool load(const struct invocation *i, struct config *config, struct fail **fail)
{
	const char *named = i->config ? i->config : "/etc/posthorn/posthorn.conf";
	CLEANUP(mem_free) char *path = mem_printf("%s%s", i->directory ? i->directory : named, i->directory ? "/posthorn.conf" : "");
	CLEANUP(fail_free) struct fail *why = NULL;
	return config_load(path, config, &why) || fail_set(fail, FAIL_UNAVAILABLE, "configuration: %s", fail_text(why));
}

/* The first place where users submit; "*" and the like are met on loopback. */
static bool find_server(const struct config *config, struct endpoint *server, struct fail **fail)
{
	if (config->listen_submission.count == 0)
		return fail_set(fail, FAIL_UNAVAILABLE, "listen_submission is off, so that no mail can be submitted");
	if (!config_listener_address(config, config->listen_submission.items[0], server, fail))
		return false;
	if (!endpoint_is_unspecified(server))
		return true;
	bool v4 = server->any.sa_family == AF_INET || server->every_family;
	return endpoint_parse_ip(v4 ? STR("127.0.0.1") : STR("::1"), endpoint_port(server), server, fail);
}

/* ---- mailq ---------------------------------------------------------------------------------- */

/* words: each with a NUL behind it. What comes back is printed; if nothing does, what none says. */
static bool ask_queue(const struct invocation *i, struct str words, const char *none, struct fail **fail)
{
	CLEANUP(mem_free) char *runtime_directory = ctl_runtime_directory(i->directory, i->config, fail);
	CLEANUP(ipc_channel_release) struct ipc_channel queue = { .descriptor = -1 };
	const struct ctl_request request = { .words = words, .descriptor = -1 };
	struct ctl_table table;
	if (!runtime_directory || !ctl_connect(runtime_directory, CTL_QUEUE, &queue, fail))
		return false;
	ctl_table_begin(&table, CTL_FORM_TABLE, stdout);
	bool good = ctl_ask(&queue, &request, ctl_table_take, &table, fail);
	if (good && table.row_count == 0)
		fputs(none, stdout);
	ctl_table_end(&table);
	return good;
}

/* ---- -bs ------------------------------------------------------------------------------------ */

static bool write_all(int descriptor, const char *data, size_t length)
{
	while (length) {
		ssize_t written = write(descriptor, data, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		data += written;
		length -= (size_t)written;
	}
	return true;
}

/* False when one side has no more. */
static bool pump(int from, int to)
{
	char piece[PUMP_SIZE];
	ssize_t length;
	do
		length = read(from, piece, sizeof piece);
	while (length < 0 && errno == EINTR);
	return length > 0 && write_all(to, piece, (size_t)length);
}

/* Bytes go both ways until the server ends; the end of standard input is passed on. */
static bool speak(const struct config *config, struct fail **fail)
{
	struct endpoint server;
	if (!find_server(config, &server, fail))
		return false;
	int connection = socket_connect(&server, CONNECT_MS, fail);
	if (connection < 0)
		return false;
	struct pollfd ends[2] = { { connection, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
	while (poll(ends, 2, -1) > 0 || errno == EINTR) {
		if (ends[0].revents && !pump(connection, STDOUT_FILENO))
			break;
		if (ends[1].revents && !pump(STDIN_FILENO, connection)) {
			shutdown(connection, SHUT_WR);
			ends[1].fd = -1;
		}
	}
	close(connection);
	return true;
}

/* ---- submitting ----------------------------------------------------------------------------- */

static bool read_text(const struct invocation *i, struct buf *text, struct fail **fail)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	while ((length = getline(&line, &room, stdin)) > 0) {
		struct str read = str_from(line, (size_t)length);
		if (!i->dot_is_text && (str_equal(read, STR(".\n")) || str_equal(read, STR(".\r\n"))))
			break;
		if (!buf_add_str(text, read))
			break;
	}
	free(line);
	if (text->overflowed)
		return fail_set(fail, FAIL_TOO_BIG, "the message is larger than %zu octets", text->limit);
	return !ferror(stdin) || fail_set_errno(fail, FAIL_IO, "standard input");
}

struct person {
	char *login;
	char *name;
};

static void forget_person(struct person *person)
{
	free(person->login);
	free(person->name);
}

/* The user who runs this; the name is the first part of the GECOS field. */
static struct person find_person(const struct invocation *i)
{
	const struct passwd *user = getpwuid(getuid());
	struct str gecos = str_of(user ? user->pw_gecos : ""), name = {};
	str_take_until(&gecos, ',', &name);
	return (struct person){
		.login = user ? mem_printf("%s", user->pw_name) : mem_printf("uid%u", (unsigned)getuid()),
		.name = str_copy(i->name ? str_of(i->name) : name),
	};
}

static bool compose(const struct invocation *i, struct sendmail_message *m, struct str text, struct fail **fail)
{
	CLEANUP(forget_person) struct person person = find_person(i);
	struct str from;
	if (!sendmail_set_sender(m, str_of(person.login), fail))
		return false;
	from = m->sender;
	if (i->sender && !sendmail_set_sender(m, str_of(i->sender), fail))
		return false;
	for (char **recipient = i->recipients; *recipient; recipient++)
		if (!sendmail_add_recipients(m, str_of(*recipient), fail))
			return false;
	if (m->sender.length)
		from = m->sender;
	return sendmail_take_text(m, text, from, str_of(person.name), i->recipients_in_header, fail);
}

/* A name without domain is of the postmaster's one, which is ours for certain, or else of this host. */
static const char *domain_of(const struct config *config)
{
	const char *at = strrchr(config->postmaster, '@');
	return at ? at + 1 : config->hostname;
}

static bool deliver(const struct invocation *i, const struct config *config, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(config->message_size_max);
	CLEANUP(sendmail_message_release) struct sendmail_message message;
	struct endpoint server;
	sendmail_message_init(&message, domain_of(config), config->message_size_max + HEADER_EXTRA);
	message.notify = i->notify;
	message.returned = i->returned;
	message.envelope_id = i->id;
	if (!find_server(config, &server, fail) || !read_text(i, &text, fail) ||
	    !compose(i, &message, buf_str(&text), fail))
		return false;
	return sendmail_submit(&server, config->hostname, &message, fail);
}

static bool run(const struct invocation *i, struct fail **fail)
{
	CLEANUP(config_release) struct config config = {};
	if (i->mode == MODE_QUEUE)
		return ask_queue(i, str_from("list", 5), "Mail queue is empty\n", fail);
	if (i->mode == MODE_RUN_QUEUE)
		return ask_queue(i, str_from("retry\0all", 10), "", fail);
	if (i->mode == MODE_ALIASES)
		return true; /* posthornctl keeps them in a database, where they are in force at once */
	if (!load(i, &config, fail))
		return false;
	return i->mode == MODE_SESSION ? speak(&config, fail) : deliver(i, &config, fail);
}

static void explain(const char *program, const struct fail *fail)
{
	fprintf(stderr, "%s: %s\n", program, fail_text(fail));
	if (fail->kind == FAIL_DENIED)
		fprintf(stderr,
			"%s: only hosts in trusted_networks of posthorn.conf may send without log-in; this host is among "
		                "them with trusted_networks = { 127.0.0.1, \"::1\" }\n", program);
}

int main(int argc, char **argv)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct invocation i = {};
	const char *slash = strrchr(argv[0], '/'), *program = slash ? slash + 1 : argv[0];
	signal(SIGPIPE, SIG_IGN);
	bool known = take_options(&i, argc, argv);
	i.directory = i.config ? NULL : getenv("POSTHORN_DIR");
	if (str_equal(str_of(program), STR("mailq")))
		i.mode = MODE_QUEUE;
	if (str_equal(str_of(program), STR("newaliases")))
		i.mode = MODE_ALIASES;
	if (!known || (i.mode == MODE_DELIVER && !i.recipients_in_header && !i.recipients[0])) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	if (run(&i, &fail) && fflush(stdout) == 0)
		return EX_OK;
	if (!fail)
		fail_set_errno(&fail, FAIL_IO, "standard output");
	explain(program, fail);
	return exit_codes[fail->kind];
}

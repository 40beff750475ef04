#include "options.h"

#include "stats.h"
#include "str.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

struct options opt = {
	.host = "127.0.0.1",
	.users = "user%d@example.test",
	.pass = "secret",
	.mailbox = "INBOX",
	.dest = "Dest",
	.label = "",
	.sender = "sender@example.test",
	.conns = 1,
	.nusers = 1,
	.per_conn = 100,
	.rcpts = 1,
	.batch = 1,
	.pipeline = 1,
	.passes = 1,
	.hold = 40,
	.gap_ms = 20,
	.timeout_s = 170,
	.count = 0,
	.sigma = 0.9,
	.median = 8192,
	.seed = 1,
};

const char *options_user(long i)
{
	static char names[4][256];
	static int turn;
	turn = (turn + 1) & 3;
	const char *number = strstr(opt.users, "%d");
	if (!number)
		return opt.users;
	snprintf(names[turn], sizeof names[turn], "%.*s%ld%s", (int)(number - opt.users), opt.users, i % opt.nusers,
	         number + 2);
	return names[turn];
}

enum option_kind { STRING, INT, LONG, REAL, FLAG, SEED };
static const struct option_row {
	const char *name;
	enum option_kind kind;
	void *target;
	const char *help;
} option_rows[] = {
	{ "host", STRING, &opt.host, "IPv4 address (127.0.0.1)" },
	{ "port", INT, &opt.port, "port" },
	{ "conns", INT, &opt.conns, "concurrent connections (1)" },
	{ "count", LONG, &opt.count, "operations in all" },
	{ "seconds", REAL, &opt.seconds, "run this long instead of --count" },
	{ "users", STRING, &opt.users, "log-in names, %d is the number of the user (user%d@example.test)" },
	{ "nusers", INT, &opt.nusers, "number of users (1)" },
	{ "pass", STRING, &opt.pass, "password of all users (secret)" },
	{ "seed", SEED, &opt.seed, "seed of the message generator (1)" },
	{ "bytes", INT, &opt.bytes, "fixed message size; default log-normal" },
	{ "median", INT, &opt.median, "median of the log-normal size (8192, mean about 12 KB)" },
	{ "sigma", REAL, &opt.sigma, "sigma of the log-normal size (0.9)" },
	{ "label", STRING, &opt.label, "copied to the JSON line" },
	{ "cost", STRING, &opt.cost, "cgroup directories of the server, comma separated: adds its CPU time" },
	{ "timeout", INT, &opt.timeout_s, "seconds to wait for one answer (170)" },
	{ "tls", FLAG, &opt.tls, "TLS from the first byte" },
	{ "starttls", FLAG, &opt.starttls, "STARTTLS / STLS" },
	{ "lmtp", FLAG, &opt.lmtp, "smtp: speak LMTP" },
	{ "auth", FLAG, &opt.auth, "smtp: AUTH PLAIN as user number = connection number" },
	{ "sender", STRING, &opt.sender, "smtp: MAIL FROM (sender@example.test)" },
	{ "per-conn", INT, &opt.per_conn, "smtp, imap-mixed: messages/commands per connection (100)" },
	{ "rcpts", INT, &opt.rcpts, "smtp: recipients per message (1)" },
	{ "settle", STRING, &opt.settle,
	  "smtp: shell command polled until it succeeds; its time counts (end to end)" },
	{ "pipelining", FLAG, &opt.pipelining, "smtp: MAIL, RCPT, DATA in one packet" },
	{ "chunking", FLAG, &opt.chunking, "smtp: BDAT where offered" },
	{ "dele", FLAG, &opt.dele, "pop3: DELE what was read" },
	{ "uidl", FLAG, &opt.uidl, "pop3: UIDL instead of LIST" },
	{ "pipeline", INT, &opt.pipeline, "pop3 RETR, imap-fetch body: commands under way (1)" },
	{ "mailbox", STRING, &opt.mailbox, "IMAP mailbox (INBOX)" },
	{ "dest", STRING, &opt.dest, "imap-copy, imap-move: target (Dest)" },
	{ "what", STRING, &opt.what, "only these items of a battery, comma separated" },
	{ "key", STRING, &opt.key, "one IMAP command instead of the battery, e.g. 'SEARCH TEXT x'" },
	{ "passes", INT, &opt.passes, "repeat the battery in a new session each time (1)" },
	{ "batch", INT, &opt.batch, "imap-append: messages per command (1)" },
	{ "sync-literal", FLAG, &opt.sync_literal, "imap-append: never use LITERAL+" },
	{ "deliver-port", INT, &opt.deliver_port, "imap-idle: port to deliver to" },
	{ "deliver-lmtp", FLAG, &opt.deliver_lmtp, "imap-idle: deliver by LMTP" },
	{ "gap-ms", INT, &opt.gap_ms, "imap-idle: pause between deliveries (20)" },
	{ "hold", INT, &opt.hold, "imap-idle: wait this long for missing pushes (40 s)" },
	{ "at-idle", STRING, &opt.at_idle, "imap-idle: shell command to run when all are idle" },
};
enum { NOPTIONS = sizeof option_rows / sizeof *option_rows };

static void print_help(void (*print_commands)(void))
{
	puts("usage: mailbench COMMAND [options]\n\ncommands:");
	print_commands();
	puts("\noptions:");
	for (int i = 0; i < NOPTIONS; i++)
		printf("  --%-14s %s\n", option_rows[i].name, option_rows[i].help);
}

static long whole_number(const struct option_row *row, const char *value, long max)
{
	uint64_t number;
	if (!str_to_u64(str_of(value), (uint64_t)max, &number))
		die("--%s %s: not a number up to %ld", row->name, value, max);
	return (long)number;
}

static void set_option(const struct option_row *row, const char *value)
{
	switch (row->kind) {
	case STRING: *(const char **)row->target = value; break;
	case INT: *(int *)row->target = (int)whole_number(row, value, INT32_MAX); break;
	case LONG: *(long *)row->target = whole_number(row, value, INT64_MAX); break;
	case REAL: *(double *)row->target = strtod(value, NULL); break;
	case SEED: *(uint64_t *)row->target = (uint64_t)whole_number(row, value, INT64_MAX); break;
	case FLAG: *(bool *)row->target = true; break;
	}
}

void options_parse(int argc, char **argv, void (*print_commands)(void))
{
	struct option longs[NOPTIONS + 2] = {};
	int index = 0, c;
	for (int i = 0; i < NOPTIONS; i++)
		longs[i] = (struct option){ option_rows[i].name,
			                        option_rows[i].kind == FLAG ? no_argument : required_argument, NULL, 1 };
	longs[NOPTIONS] = (struct option){ "help", no_argument, NULL, 'h' };
	while ((c = getopt_long(argc, argv, "h", longs, &index)) != -1) {
		if (c == 1) {
			set_option(&option_rows[index], optarg);
		} else {
			print_help(print_commands);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (optind + 1 != argc) {
		print_help(print_commands);
		exit(2);
	}
	opt.command = argv[optind];
}

/*
 * mailbench: a server-agnostic load generator for SMTP, LMTP, POP3 and IMAP.
 *
 * One thread, epoll, closed loop: every connection is a small coroutine. Messages are made
 * from --seed, so two servers can be given the same mailboxes. Every measurement is one JSON
 * object on one line of standard output.
 */
#include "generate.h"
#include "options.h"
#include "stats.h"
#include "steps.h"
#include "task.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static void generate_run(void)
{
	CLEANUP(buf_release) struct buf b = BUF_WITH_LIMIT(GENERATE_MESSAGE_MAX);
	uint64_t total = 0;
	for (long i = 0; i < opt.count; i++) {
		generate_message(&b, (uint64_t)i);
		total += b.length;
		if (!opt.dest || strcmp(opt.dest, "-"))
			continue;
		fwrite(b.data, 1, b.length, stdout);
	}
	fprintf(stderr, "%ld messages, %llu bytes, mean %.0f\n", opt.count, (unsigned long long)total,
	        (double)total / (double)(opt.count ? opt.count : 1));
}

static const struct command {
	const char *name;
	void (*run)(void);
	const char *help;
} commands[] = {
	{ "smtp", smtp_run,
	  "deliver --count messages (or for --seconds), --per-conn K per connection; --lmtp for LMTP" },
	{ "pop3", pop3_run,
	  "log in, STAT, LIST or UIDL, RETR all (--count at most), --dele, QUIT; one user per connection" },
	{ "pop3-login", pop3_login_run, "connect, USER, PASS, QUIT" },
	{ "imap-login", imap_login_run, "connect, LOGIN, LOGOUT" },
	{ "imap-fetch", imap_fetch_run,
	  "user 0: SELECT, then flags,envelope,bodystructure,headers,bodyrange,body (--what)" },
	{ "imap-store", imap_store_run, "user 0: STORE on 1:*, then on --count single messages" },
	{ "imap-append", imap_append_run,
	  "APPEND --count messages to --mailbox, --batch per command where MULTIAPPEND" },
	{ "imap-copy", imap_transfer_run, "user 0: COPY 1:count from --mailbox to --dest" },
	{ "imap-move", imap_transfer_run, "user 0: MOVE 1:count from --mailbox to --dest" },
	{ "imap-expunge", imap_expunge_run, "user 0: flag 1:count deleted, then a timed EXPUNGE" },
	{ "imap-search", imap_search_run,
	  "user 0: unseen,flagged,since,larger,from,subject,messageid,body,text (--what)" },
	{ "imap-sort", imap_sort_run, "user 0: sort-arrival,sort-date,sort-subject,sort-from,sort-size (--what)" },
	{ "imap-thread", imap_thread_run, "user 0: thread-references,thread-orderedsubject (--what)" },
	{ "imap-idle", imap_idle_run,
	  "--conns idle sessions over --nusers, then --count deliveries, push latency" },
	{ "imap-mixed", imap_mixed_run, "a mix of commands, --per-conn per session" },
	{ "generate", generate_run,
	  "make --count messages; --dest - writes them to stdout; prints their mean size" },
	{ NULL, NULL, NULL },
};

static void raise_file_limit(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void print_commands(void)
{
	for (const struct command *c = commands; c->name; c++)
		printf("  %-13s %s\n", c->name, c->help);
}

int main(int argc, char **argv)
{
	options_parse(argc, argv, print_commands);
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	generate_prepare();
	task_prepare();
	for (const struct command *c = commands; c->name; c++)
		if (!strcmp(c->name, opt.command)) {
			c->run();
			return stats.errors ? 1 : 0;
		}
	die("unknown command '%s' (see --help)", opt.command);
}

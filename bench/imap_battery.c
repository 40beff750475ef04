#include "generate.h"
#include "imap_session.h"
#include "options.h"
#include "stats.h"
#include "steps.h"
#include "task.h"

#include <stdio.h>

/* Batteries: one session, one JSON line per command. */

struct item {
	const char *name, *command;
};

static const struct item fetch_items[] = {
	{ "flags", "FETCH 1:* (UID FLAGS)" },
	{ "envelope", "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)" },
	{ "bodystructure", "FETCH 1:* (UID BODYSTRUCTURE)" },
	{ "headers", "FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE MESSAGE-ID "
	             "REFERENCES)])" },
	{ "bodyrange", "FETCH 1:* (UID BODY.PEEK[])" },
	{ "body", NULL },
	{ NULL, NULL },
};

static const struct item store_items[] = {
	{ "store-add-silent", "STORE 1:* +FLAGS.SILENT (\\Flagged)" },
	{ "store-del", "STORE 1:* -FLAGS (\\Flagged)" },
	{ "store-add", "STORE 1:* +FLAGS (\\Answered $Label1)" },
	{ "store-undo", "STORE 1:* -FLAGS.SILENT (\\Answered $Label1)" },
	{ NULL, NULL },
};

static const struct item search_items[] = {
	{ "unseen", "SEARCH UNSEEN" },
	{ "flagged", "SEARCH FLAGGED" },
	{ "since", "SEARCH SENTSINCE 1-Jun-2026" },
	{ "larger", "SEARCH LARGER 50000" },
	{ "from", "SEARCH FROM restinre" },
	{ "subject", "SEARCH SUBJECT invoice" },
	{ "messageid", "SEARCH HEADER MESSAGE-ID .777@gen" },
	{ "body", "SEARCH BODY zanzibar" },
	{ "text", "SEARCH TEXT zanzibar" },
	{ NULL, NULL },
};

static const struct item sort_items[] = {
	{ "sort-arrival", "SORT (REVERSE ARRIVAL) UTF-8 ALL" },
	{ "sort-date", "SORT (REVERSE DATE) UTF-8 ALL" },
	{ "sort-subject", "SORT (SUBJECT) UTF-8 ALL" },
	{ "sort-from", "SORT (FROM DATE) UTF-8 ALL" },
	{ "sort-size", "SORT (SIZE) UTF-8 ALL" },
	{ NULL, NULL },
};

static const struct item thread_items[] = {
	{ "thread-references", "THREAD REFERENCES UTF-8 ALL" },
	{ "thread-orderedsubject", "THREAD ORDEREDSUBJECT UTF-8 ALL" },
	{ NULL, NULL },
};

static const struct item *battery;

/* FETCH n BODY.PEEK[] for every message, --pipeline commands under way. */
static bool fetch_bodies(struct imap *im, int pass)
{
	uint64_t n = opt.count && (uint64_t)opt.count < im->exists ? (uint64_t)opt.count : im->exists;
	im->c.received = 0;
	stats_begin();
	for (uint64_t sent = 0, got = 0; got < n; got++) {
		uint64_t t = stats_now_ns();
		while (sent < n && sent - got < (uint64_t)opt.pipeline)
			imap_queue(im, "FETCH %llu (UID BODY.PEEK[])", (unsigned long long)++sent);
		if (!imap_send(im) || imap_result(im) != IMAP_OK)
			return false;
		stats_sample(stats_now_ns() - t);
	}
	imap_print_timed(im, "body", n, pass);
	return true;
}

static bool is_wanted(const char *name)
{
	struct str list = str_of(opt.what), wanted;
	while (str_take_until(&list, ',', &wanted))
		if (str_equal(wanted, str_of(name)))
			return true;
	return !opt.what;
}

static bool timed_select(struct imap *im, int pass)
{
	char command[300];
	snprintf(command, sizeof command, "SELECT \"%s\"", opt.mailbox);
	return imap_timed(im, pass, "select", command);
}

static void battery_task(int id UNUSED)
{
	for (int pass = 1; pass <= opt.passes; pass++) {
		struct imap im;
		bool good = imap_open(&im, 0, NULL) && timed_select(&im, pass);
		if (opt.key)
			good = good && imap_timed(&im, pass, NULL, opt.key);
		for (const struct item *it = battery; good && !opt.key && it->name; it++)
			if (is_wanted(it->name))
				good = it->command ? imap_timed(&im, pass, it->name, it->command) : fetch_bodies(&im, pass);
		if (!good)
			fprintf(stderr, "mailbench: %s stopped: %s %s\n", opt.command, stats.first_error, im.status);
		imap_close(&im);
	}
}

static void run_battery(const struct item *items)
{
	battery = items;
	task_run_all(1, battery_task);
}

void imap_fetch_run(void)
{
	run_battery(fetch_items);
}
void imap_search_run(void)
{
	run_battery(search_items);
}
void imap_sort_run(void)
{
	run_battery(sort_items);
}
void imap_thread_run(void)
{
	run_battery(thread_items);
}

static void store_singles_task(int id UNUSED)
{
	struct imap im;
	if (!imap_open(&im, 0, opt.mailbox) || !im.exists)
		return;
	im.c.received = 0;
	stats_begin();
	for (long i = 0; i < opt.count; i++) {
		uint64_t t = stats_now_ns(), n = 1 + generate_hash((uint64_t)i, 71) % im.exists;
		if (!imap_command(&im, "STORE %llu %cFLAGS (\\Seen)", (unsigned long long)n, i & 1 ? '-' : '+'))
			break;
		stats_operation(t);
	}
	imap_print_timed(&im, "store-single", stats.ops, 1);
	imap_close(&im);
}

void imap_store_run(void)
{
	run_battery(store_items);
	if (opt.count)
		task_run_all(1, store_singles_task);
}

/* connect, LOGIN, LOGOUT */
static void imap_login_task(int id UNUSED)
{
	long index;
	while (stats.errors < 1000 && task_take_operation(&index)) {
		struct imap im;
		uint64_t t = stats_now_ns();
		bool good = imap_login(&im, index);
		if (good)
			stats_operation(t);
		imap_close(&im);
	}
}

void imap_login_run(void)
{
	stats_begin();
	task_run_all(opt.conns, imap_login_task);
	stats_end();
	stats_print("connect+LOGIN+LOGOUT", "");
}

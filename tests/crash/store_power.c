/*
 * A post office that works under powerloss.so or faults.so and says on the marks file what it has promised; and what
 * looks afterwards at what is left of it.
 *
 *	store_power run TREE MARKS STEPS SEED
 *	store_power check TREE
 *	store_power recover TREE
 *
 * The marks (A: account, N: a mail's number, M: a mailbox's id, V: its UIDVALIDITY); those in -ing come before the
 * attempt, after which either may be found; the others when it is acknowledged:
 *
 *	acked N RECIPIENTS                 the mail got its 250
 *	told A N M V UID ID FLAGS          a session was told of it
 *	state A M V UIDNEXT MODSEQ         of a mailbox
 *	flagging A N FLAGS   flagged A N FLAGS MODSEQ
 *	expunging A N        expunged A N MODSEQ
 *	moving A N
 *	replacing A N N2                   N goes and N2 comes in one transaction
 *	annotating A ENTRY VALUE   annotated A ENTRY VALUE     "-": none
 *	created A M V NAME   deleting A M   deleted A M
 *
 * check recovers all, and prints the same as it finds it, with a mail that arrives then:
 *
 *	damage A WHAT
 *	mailbox A M V UIDNEXT MODSEQ NAME
 *	mail A N M V UID ID FLAGS MODSEQ   N 0: its octets are wrong
 *	new A M V UID MODSEQ
 *	annotation A ENTRY VALUE
 *
 * With SQLITE_MALLOC=N in the environment the N-th allocation of SQLite and the next two fail while it runs (0: none), and
 * the number of all is said at the end.
 *
 * With TRIM_EARLY it makes the mistake of trimming before the flush of the file system.
 *
 * recover recovers all, as check does, and does the care that can be done.
 *
 * Exit status 0: it came to its end; 3: it stopped because a disk failed.
 */
#include "power_world.h"

#include "annotation.h"
#include "clock.h"
#include "mem.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STOPPED = 3, MAILBOXES_MAX = 4, GROUP_MAX = 4, MAINTAIN_STEPS = 12, YEAR = 365 * 86400 };

/* A mail as a session was told of it. */
struct told {
	uint64_t number;
	uint64_t message;
	uint64_t mailbox;
	uint64_t modseq;
	uint32_t uid;
	uint32_t flags;
	struct store_id id;
};

/* What a session is told of a mailbox. */
struct listing {
	struct store_mailbox mailbox;
	ARRAY(struct told) mails;
	char name[64];
};

struct office {
	struct world world;
	int marks;
	uint64_t random;
	uint64_t next_number;
	uint64_t known[ACCOUNTS][4096]; /* by message number: the modseq it was told with; 0: not told */
};

static void listing_release(struct listing *listing)
{
	array_release(&listing->mails);
}

static uint64_t dice(struct office *o, uint64_t below)
{
	o->random = o->random * 6364136223846793005u + 1442695040888963407u;
	return (o->random >> 33) % below;
}

/* ---- saying ---- */

static FORMAT(2, 3) void mark(struct office *o, const char *format, ...)
{
	char line[200];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(line, sizeof line - 1, format, arguments);
	va_end(arguments);
	must(length > 0 && (size_t)length < sizeof line - 1);
	line[length++] = '\n';
	must(write(o->marks, line, (size_t)length) == length);
}

#define U(number) ((unsigned long long)(number))

static void id_text(const struct store_id *id, char text[33])
{
	CLEANUP(buf_release) struct buf hex = BUF_WITH_LIMIT(32);
	text_hex_encode(&hex, str_from((const char *)id->bytes, sizeof id->bytes));
	snprintf(text, 33, "%s", buf_text(&hex));
}

__attribute__((noreturn)) static void stop(const char *why)
{
	fprintf(stderr, "stopped: %s\n", why);
	exit(STOPPED);
}

/* A store that stopped writing is left at the end of the step. */
static void note_failure(struct account *a, struct fail **fail)
{
	a->broken = a->broken || (*fail && (*fail)->kind == FAIL_IO);
	complain("account", fail);
}

/* What master does: it starts another process for the account. */
static void open_again(struct office *o, struct account *a)
{
	a->broken = false;
	account_drop(a);
	if (!account_open(&o->world, a))
		stop("an account does not open any more");
}

/* ---- looking ---- */

static bool read_mail(struct store_reader *reader, struct told *mail, struct fail **fail)
{
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(MAIL_MAX);
	if (!store_read_body(reader, mail->message, &body, fail))
		return false;
	mail->number = mail_number(buf_str(&body));
	return true;
}

static bool read_mails(struct store_reader *reader, struct listing *l, struct fail **fail)
{
	CLEANUP(store_entries_release) struct store_entries entries = {};
	CLEANUP(store_ids_release) struct store_ids ids = {};
	struct store_selection all = { l->mailbox.id, &(struct store_range){ 1, UINT32_MAX }, 1 };
	if (!store_read_entries(reader, &all, 0, &entries, fail) || !store_read_ids(reader, l->mailbox.id, &ids, fail))
		return false;
	must(entries.list.count == ids.list.count);
	for (size_t i = 0; i < entries.list.count; i++) {
		const struct store_entry *e = &entries.list.items[i];
		struct told mail = { .message = e->message, .mailbox = l->mailbox.id, .modseq = e->modseq, .uid = e->uid,
			                 .flags = e->flags, .id = ids.list.items[i].id };
		must(mail.uid == ids.list.items[i].uid);
		if (!read_mail(reader, &mail, fail) && (*fail)->kind != FAIL_CORRUPT)
			return false;
		fail_free(fail);
		*array_add(&l->mails) = mail;
	}
	return true;
}

/* A mailbox of the account with all its mails; index counts by name. False without *fail: there is no such. */
static bool list_mailbox(struct account *a, size_t index, struct listing *l, struct fail **fail)
{
	CLEANUP(store_mailboxes_release) struct store_mailboxes all = {};
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(a->store, fail);
	*l = (struct listing){};
	if (!reader || !store_read_mailboxes(reader, &all, fail) || index >= all.list.count)
		return false;
	l->mailbox = all.list.items[index];
	snprintf(l->name, sizeof l->name, "%.*s", (int)l->mailbox.name.length, l->mailbox.name.data);
	l->mailbox.name = str_of(l->name);
	return read_mails(reader, l, fail);
}

static size_t count_mailboxes(struct account *a)
{
	CLEANUP(store_mailboxes_release) struct store_mailboxes all = {};
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(a->store, NULL);
	return reader && store_read_mailboxes(reader, &all, NULL) ? all.list.count : 1;
}

/* INBOX comes first of all names that there are, and is where most happens. */
static size_t any_mailbox(struct office *o, struct account *a)
{
	return dice(o, 2) ? 0 : dice(o, count_mailboxes(a));
}

static void tell(struct office *o, struct account *a, const struct listing *l, const struct told *mail)
{
	char id[33];
	id_text(&mail->id, id);
	mark(o, "told %u %llu %llu %u %u %s %u", a->number, U(mail->number), U(mail->mailbox), l->mailbox.uidvalidity,
	     mail->uid, id, mail->flags);
}

/* SELECT: everything is durable before it is told. The listing is the caller's when it returns true. */
static bool select_mailbox(struct office *o, struct account *a, size_t index, struct listing *l)
{
	struct fail *fail = NULL;
	uint64_t *known = o->known[a->number - 1];
	if (!list_mailbox(a, index, l, &fail) || !store_barrier(a->store, &fail)) {
		if (fail)
			note_failure(a, &fail);
		listing_release(l);
		return false;
	}
	for (size_t i = 0; i < l->mails.count; i++) {
		const struct told *mail = &l->mails.items[i];
		must(mail->number && mail->message);
		if (known[mail->message % COUNT_OF(o->known[0])] == mail->modseq)
			continue;
		known[mail->message % COUNT_OF(o->known[0])] = mail->modseq;
		tell(o, a, l, mail);
	}
	mark(o, "state %u %llu %u %u %llu", a->number, U(l->mailbox.id), l->mailbox.uidvalidity, l->mailbox.uidnext,
	     U(l->mailbox.highestmodseq));
	return true;
}

/* ---- mail comes in ---- */

static struct account *any_account(struct office *o)
{
	return &o->world.accounts[dice(o, ACCOUNTS)];
}

static void apply_to(struct office *o, struct account *a)
{
	struct fail *fail = NULL;
	if (!account_apply(&o->world, a, &fail))
		note_failure(a, &fail);
}

/* The syncer of the queue: trims what was applied before a flush of the file system began. */
static bool sync_and_trim(struct office *o)
{
	struct world *w = &o->world;
	struct journal_uuid uuid = journal_uuid_of(w->journal);
	uint64_t applied = UINT64_MAX;
	for (size_t i = 0; i < ACCOUNTS; i++)
		applied = w->accounts[i].applied < applied ? w->accounts[i].applied : applied;
	if (getenv("TRIM_EARLY"))
		journal_trim(w->journal, applied);
	journal_write_mark(w->journal, NULL);
	if (syncfs(w->accounts_folder) < 0) {
		/* nobody knows what the disk has: all is applied again */
		for (size_t i = 0; i < ACCOUNTS; i++)
			w->accounts[i].applied = 0;
		return false;
	}
	journal_trim(w->journal, applied);
	for (size_t i = 0; i < ACCOUNTS; i++) {
		struct fail *fail = NULL;
		struct store_txn *txn = store_begin_deferred(w->accounts[i].store);
		store_trim(txn, uuid.bytes, journal_durable_mark(w->journal));
		if (!store_commit(&txn, &fail))
			note_failure(&w->accounts[i], &fail);
	}
	return true;
}

/* The journal failed and is not written any more: what it has goes to the accounts, and another takes its place. */
static void replace_journal(struct office *o)
{
	struct world *w = &o->world;
	struct journal_uuid uuid = journal_uuid_of(w->journal);
	uint64_t sequence;
	uint32_t length;
	for (size_t i = 0; i < ACCOUNTS; i++)
		apply_to(o, &w->accounts[i]);
	if (!sync_and_trim(o) || journal_next(w->journal, 0, &sequence, &length))
		stop("the journal failed, and not all of it is in the accounts");
	journal_close(TAKE(w->journal));
	if (!journal_remove(w->spool, &uuid, NULL) || !world_new_journal(w))
		stop("there is no journal");
	for (size_t i = 0; i < ACCOUNTS; i++)
		w->accounts[i].applied = 0;
}

static void append_group(struct office *o)
{
	struct fail *fail = NULL;
	struct journal_entry entries[GROUP_MAX] = {};
	struct record records[GROUP_MAX] = {};
	struct buf bodies[GROUP_MAX] = {};
	size_t count = 1 + dice(o, GROUP_MAX);
	for (size_t i = 0; i < count; i++) {
		records[i].number = o->next_number++;
		records[i].recipients = 1 + (uint32_t)dice(o, (1 << ACCOUNTS) - 1);
		buf_init(&bodies[i], MAIL_MAX);
		mail_write(records[i].number, &bodies[i]);
		entries[i].head = str_from((const char *)&records[i], sizeof records[i]);
		entries[i].body = buf_str(&bodies[i]);
	}
	bool durable = journal_append_group(o->world.journal, entries, count, &fail);
	for (size_t i = 0; i < count; i++) {
		if (durable)
			mark(o, "acked %llu %u", U(records[i].number), records[i].recipients);
		buf_release(&bodies[i]);
	}
	if (!durable)
		complain("append", &fail);
}

static void deliver(struct office *o)
{
	append_group(o);
	if (journal_is_failed(o->world.journal))
		replace_journal(o);
	for (size_t i = 0; i < ACCOUNTS; i++)
		if (dice(o, 4)) /* else it lags */
			apply_to(o, &o->world.accounts[i]);
	if (!journal_is_half_full(o->world.journal))
		return;
	for (size_t i = 0; i < ACCOUNTS; i++)
		apply_to(o, &o->world.accounts[i]);
	sync_and_trim(o);
}

static void synchronise(struct office *o)
{
	sync_and_trim(o);
}

/* ---- sessions ---- */

static void commit_or_complain(struct account *a, struct store_txn **txn, bool *done)
{
	struct fail *fail = NULL;
	*done = store_commit(txn, &fail);
	if (!*done)
		note_failure(a, &fail);
}

static struct store_selection only(const struct told *mail, struct store_range *range)
{
	*range = (struct store_range){ mail->uid, mail->uid };
	return (struct store_selection){ mail->mailbox, range, 1 };
}

static void look(struct office *o)
{
	struct account *a = any_account(o);
	struct listing l;
	if (select_mailbox(o, a, any_mailbox(o, a), &l))
		listing_release(&l);
}

static void set_flags(struct office *o)
{
	bool done;
	struct account *a = any_account(o);
	struct listing l;
	struct store_range range;
	if (!select_mailbox(o, a, any_mailbox(o, a), &l))
		return;
	if (l.mails.count) {
		CLEANUP(store_uids_release) struct store_uids changed = {};
		const struct told *mail = &l.mails.items[dice(o, l.mails.count)];
		struct store_selection selection = only(mail, &range);
		struct store_change change = { .how = STORE_FLAGS_REPLACE, .flags = (uint32_t)dice(o, 16),
			                           .unchanged_since = UINT64_MAX };
		mark(o, "flagging %u %llu %u", a->number, U(mail->number), change.flags);
		struct store_txn *txn = store_begin(a->store);
		store_flags(txn, &selection, &change, &changed, NULL);
		commit_or_complain(a, &txn, &done);
		if (done)
			mark(o, "flagged %u %llu %u %llu", a->number, U(mail->number), change.flags, U(changed.modseq));
	}
	listing_release(&l);
}

static void expunge_some(struct office *o, struct account *a, const struct listing *l, uint64_t one_in)
{
	bool done;
	CLEANUP(store_uids_release) struct store_uids gone = {};
	ARRAY(uint64_t) numbers = {};
	struct store_txn *txn = store_begin(a->store);
	for (size_t i = 0; i < l->mails.count; i++) {
		struct store_range range;
		struct store_selection selection = only(&l->mails.items[i], &range);
		if (dice(o, one_in))
			continue;
		mark(o, "expunging %u %llu", a->number, U(l->mails.items[i].number));
		*array_add(&numbers) = l->mails.items[i].number;
		store_expunge(txn, &selection, true, &gone);
	}
	commit_or_complain(a, &txn, &done);
	for (size_t i = 0; done && i < numbers.count; i++)
		mark(o, "expunged %u %llu %llu", a->number, U(numbers.items[i]), U(gone.modseq));
	array_release(&numbers);
}

static void expunge(struct office *o)
{
	struct account *a = any_account(o);
	struct listing l;
	if (!select_mailbox(o, a, any_mailbox(o, a), &l))
		return;
	expunge_some(o, a, &l, 8);
	listing_release(&l);
}

/* A POP3 session: what it lists stays readable though others expunge it and the dead are collected. */
static void pop(struct office *o)
{
	struct fail *fail = NULL;
	struct account *a = any_account(o);
	struct store_maildrop drop;
	struct listing l;
	struct store_care care = { .now = clock_wall_seconds(), .bytes_max = MAIL_MAX, .rows_max = 5 };
	bool more;
	if (!select_mailbox(o, a, 0, &l))
		return;
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(a->store, &fail);
	if (reader && store_maildrop_lock(reader, l.mailbox.id, &drop, &fail)) {
		expunge_some(o, a, &l, 4);
		store_maintain(a->store, &care, &more, NULL);
		for (size_t i = 0; i < l.mails.count; i++)
			if (!read_mail(reader, &l.mails.items[i], &fail))
				complain("RETR", &fail);
		store_maildrop_unlock(&drop);
	}
	fail_free(&fail);
	listing_release(&l);
}

static void move(struct office *o)
{
	bool done;
	struct account *a = any_account(o);
	struct listing from, to;
	size_t count = count_mailboxes(a), source = any_mailbox(o, a), target = dice(o, count);
	if (source == target || !select_mailbox(o, a, source, &from))
		return;
	if (from.mails.count && select_mailbox(o, a, target, &to)) {
		struct store_range range;
		const struct told *mail = &from.mails.items[dice(o, from.mails.count)];
		struct store_selection selection = only(mail, &range);
		CLEANUP(store_uids_release) struct store_uids moved = {};
		mark(o, "moving %u %llu", a->number, U(mail->number));
		struct store_txn *txn = store_begin(a->store);
		store_move(txn, &selection, to.mailbox.id, &moved);
		commit_or_complain(a, &txn, &done);
		struct told there = *mail;
		there.mailbox = to.mailbox.id;
		there.uid = done ? moved.to.items[0] : 0;
		if (done)
			tell(o, a, &to, &there);
		listing_release(&to);
	}
	listing_release(&from);
}

/* APPEND, or REPLACE (RFC 8508): then an old one goes in the same transaction. */
static void append(struct office *o)
{
	bool done;
	struct store_range range;
	struct account *a = any_account(o);
	struct listing l;
	struct store_placed placed;
	CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(MAIL_MAX);
	if (!select_mailbox(o, a, any_mailbox(o, a), &l))
		return;
	struct told told = { .number = o->next_number++, .mailbox = l.mailbox.id };
	mail_write(told.number, &mail);
	struct store_delivery delivery = { .body.bytes = buf_str(&mail), .mailbox = l.mailbox.id, .received = 1700000000,
		                               .flags = STORE_SEEN };
	const struct told *old = l.mails.count && !dice(o, 3) ? &l.mails.items[dice(o, l.mails.count)] : NULL;
	CLEANUP(store_uids_release) struct store_uids gone = {};
	if (old) {
		mark(o, "expunging %u %llu", a->number, U(old->number));
		mark(o, "replacing %u %llu %llu", a->number, U(old->number), U(told.number));
	}
	struct store_txn *txn = store_begin(a->store);
	if (old) {
		struct store_selection selection = only(old, &range);
		store_expunge(txn, &selection, true, &gone);
	}
	store_deliver(txn, &delivery, &placed);
	commit_or_complain(a, &txn, &done);
	told.uid = placed.uid;
	told.id = placed.id;
	told.flags = STORE_SEEN;
	if (done)
		tell(o, a, &l, &told);
	if (done && gone.uids.count)
		mark(o, "expunged %u %llu %llu", a->number, U(old->number), U(gone.modseq));
	listing_release(&l);
}

/* SETMETADATA: one of a few entries gets another value, or loses it. */
static void annotate(struct office *o)
{
	bool done;
	char entry[20], value[20] = "-";
	struct account *a = any_account(o);
	snprintf(entry, sizeof entry, "/private/%u", (unsigned)dice(o, 5));
	if (dice(o, 4))
		snprintf(value, sizeof value, "%u", (unsigned)dice(o, 1000));
	mark(o, "annotating %u %s %s", a->number, entry, value);
	struct store_txn *txn = store_begin(a->store);
	store_annotation_set(txn, 0, str_of(entry), value[0] == '-' ? str_from(NULL, 0) : str_of(value));
	commit_or_complain(a, &txn, &done);
	if (done)
		mark(o, "annotated %u %s %s", a->number, entry, value);
}

static void create_mailbox(struct office *o, struct account *a)
{
	bool done;
	char name[20];
	uint64_t id = 0;
	struct listing l;
	snprintf(name, sizeof name, "m%u", (unsigned)dice(o, 10));
	struct store_txn *txn = store_begin(a->store);
	if (!store_mailbox_create(txn, str_of(name), STORE_USE_NONE, &id)) {
		store_rollback(&txn); /* it may be there */
		return;
	}
	commit_or_complain(a, &txn, &done);
	for (size_t i = 0; done && i < count_mailboxes(a); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		done = list_mailbox(a, i, &l, &fail);
		if (done && l.mailbox.id == id)
			mark(o, "created %u %llu %u %s", a->number, U(id), l.mailbox.uidvalidity, name);
		listing_release(&l);
	}
}

static void delete_mailbox(struct office *o, struct account *a)
{
	bool done;
	struct listing l;
	if (!select_mailbox(o, a, 1 + dice(o, count_mailboxes(a) - 1), &l))
		return;
	for (size_t i = 0; i < l.mails.count; i++)
		mark(o, "expunging %u %llu", a->number, U(l.mails.items[i].number));
	mark(o, "deleting %u %llu", a->number, U(l.mailbox.id));
	struct store_txn *txn = store_begin(a->store);
	store_mailbox_delete(txn, l.mailbox.name, &(uint64_t){ 0 });
	commit_or_complain(a, &txn, &done);
	if (done)
		mark(o, "deleted %u %llu", a->number, U(l.mailbox.id));
	for (size_t i = 0; done && i < l.mails.count; i++)
		mark(o, "expunged %u %llu 0", a->number, U(l.mails.items[i].number));
	listing_release(&l);
}

static void mailboxes(struct office *o)
{
	struct account *a = any_account(o);
	size_t count = count_mailboxes(a);
	if (count < 2 || (count < MAILBOXES_MAX && dice(o, 3)))
		create_mailbox(o, a);
	else
		delete_mailbox(o, a);
}

/* ---- care ---- */

/* With a clock that is ahead, so that what waits for age need not. */
static bool maintain(struct account *a, int64_t ahead, int64_t recompress_age, int steps, struct fail **fail)
{
	struct store_care care = { .now = clock_wall_seconds() + ahead, .recompress_age = recompress_age,
		                       .bytes_max = 10000, .rows_max = 7 };
	bool more = true, good = true;
	for (int i = 0; good && more && i < steps; i++)
		good = store_maintain(a->store, &care, &more, fail);
	return good;
}

static void care(struct office *o)
{
	struct fail *fail = NULL;
	struct account *a = any_account(o);
	int64_t ahead = (int64_t)dice(o, 2) * YEAR;
	/* one call seals, the next ones compact, and at times all is recompressed */
	bool good = maintain(a, YEAR, YEAR / 2, 1, &fail) && maintain(a, ahead, 0, MAINTAIN_STEPS, &fail) &&
	            (dice(o, 3) || maintain(a, YEAR, YEAR / 2, MAINTAIN_STEPS, &fail));
	if (!good)
		note_failure(a, &fail);
}

/* Its process had nothing to do for a while. */
static void rest(struct office *o)
{
	struct account *a = any_account(o);
	open_again(o, a);
}

/* ---- run ---- */

static void step(struct office *o)
{
	static const struct {
		unsigned share; /* of 100 */
		void (*act)(struct office *o);
	} actions[] = {
		{ 30, deliver }, { 10, look }, { 10, set_flags }, { 7, expunge }, { 6, pop }, { 6, move }, { 8, append },
		{ 6, mailboxes }, { 2, annotate }, { 7, synchronise }, { 6, care }, { 2, rest },
	};
	uint64_t thrown = dice(o, 100);
	size_t i = 0;
	for (; thrown >= actions[i].share; i++)
		thrown -= actions[i].share;
	actions[i].act(o);
	for (i = 0; i < ACCOUNTS; i++)
		if (o->world.accounts[i].broken)
			open_again(o, &o->world.accounts[i]);
}

/* ---- SQLite's memory ---- */

static sqlite3_mem_methods memory;
static uint64_t allocations, allocations_fail_at;

static bool memory_fails(void)
{
	allocations++;
	return allocations_fail_at && allocations >= allocations_fail_at && allocations < allocations_fail_at + 3;
}

static void *failing_malloc(int size)
{
	return memory_fails() ? NULL : memory.xMalloc(size);
}

static void *failing_realloc(void *old, int size)
{
	return memory_fails() ? NULL : memory.xRealloc(old, size);
}

static void count_memory(const char *fail_at)
{
	sqlite3_mem_methods failing;
	must(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory) == SQLITE_OK);
	failing = memory;
	failing.xMalloc = failing_malloc;
	failing.xRealloc = failing_realloc;
	must(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) == SQLITE_OK);
	store_preload();
	allocations = 0; /* without memory at its beginning a program does not begin */
	allocations_fail_at = strtoull(fail_at, NULL, 10);
}

static int run(const char *tree, const char *marks, unsigned steps, uint64_t seed)
{
	static struct office office;
	office.random = seed;
	office.next_number = 1;
	office.marks = open(marks, O_WRONLY | O_APPEND | O_CLOEXEC);
	must(office.marks >= 0);
	if (getenv("SQLITE_MALLOC"))
		count_memory(getenv("SQLITE_MALLOC"));
	store_preload();
	if (!world_enter(&office.world, tree) || !world_new_journal(&office.world))
		return STOPPED;
	for (size_t i = 0; i < ACCOUNTS; i++)
		if (!account_open(&office.world, &office.world.accounts[i]))
			return STOPPED;
	/* before the first flush of the file system, which covers what should have been durable by itself */
	for (unsigned i = 0; i < 5; i++) {
		deliver(&office);
		append(&office);
		set_flags(&office);
	}
	for (unsigned i = 0; i < steps; i++)
		step(&office);
	for (size_t i = 0; i < ACCOUNTS; i++)
		account_drop(&office.world.accounts[i]);
	journal_close(office.world.journal);
	if (getenv("SQLITE_MALLOC"))
		fprintf(stderr, "sqlite malloc: %llu\n", U(allocations));
	return 0;
}

/* ---- check ---- */

static void damage_found(void *context, enum fail_kind kind, const char *what)
{
	const struct account *a = context;
	printf("damage %u %s %s\n", a->number, fail_kind_name(kind), what);
}

static bool show_mailbox(struct account *a, size_t index)
{
	struct fail *fail = NULL;
	CLEANUP(listing_release) struct listing l;
	char id[33];
	if (!list_mailbox(a, index, &l, &fail))
		return fail ? complain("list", &fail) : false;
	printf("mailbox %u %llu %u %u %llu %s\n", a->number, U(l.mailbox.id), l.mailbox.uidvalidity, l.mailbox.uidnext,
	       U(l.mailbox.highestmodseq), l.name);
	for (size_t i = 0; i < l.mails.count; i++) {
		const struct told *mail = &l.mails.items[i];
		id_text(&mail->id, id);
		printf("mail %u %llu %llu %u %u %s %u %llu\n", a->number, U(mail->number), U(mail->mailbox),
		       l.mailbox.uidvalidity, mail->uid, id, mail->flags, U(mail->modseq));
	}
	struct store_placed placed;
	struct store_delivery delivery = { .body.bytes = STR("new\r\n"), .mailbox = l.mailbox.id };
	struct store_txn *txn = store_begin(a->store);
	store_deliver(txn, &delivery, &placed);
	if (!store_commit(&txn, &fail))
		return complain("new mail", &fail);
	printf("new %u %llu %u %u %llu\n", a->number, U(l.mailbox.id), placed.uidvalidity, placed.uid, U(placed.modseq));
	return true;
}

static bool show_annotations(struct account *a)
{
	struct fail *fail = NULL;
	CLEANUP(store_annotations_release) struct store_annotations all = {};
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(a->store, &fail);
	if (!reader || !store_read_annotations(reader, 0, &all, &fail))
		return complain("annotations", &fail);
	for (size_t i = 0; i < all.list.count; i++)
		printf("annotation %u %.*s %.*s\n", a->number, STR_ARG(all.list.items[i].entry),
		       STR_ARG(all.list.items[i].value));
	return true;
}

static bool check_account(struct world *w, struct account *a)
{
	struct fail *fail = NULL;
	uint64_t damages;
	const struct store_report report = { damage_found, a };
	if (!account_open(w, a))
		return false;
	if (!store_check(a->store, &report, &damages, &fail))
		return complain("store_check", &fail);
	for (size_t i = 0, count = count_mailboxes(a); i < count; i++)
		if (!show_mailbox(a, i))
			return false;
	if (!show_annotations(a))
		return false;
	if (!maintain(a, YEAR, YEAR / 2, 200, &fail) || !store_check(a->store, &report, &damages, &fail))
		return complain("care", &fail);
	return account_close(a);
}

static bool recover_account(struct world *w, struct account *a)
{
	struct fail *fail = NULL;
	if (!account_open(w, a))
		return false;
	if (!maintain(a, YEAR, YEAR / 2, 200, &fail))
		return complain("care", &fail);
	return account_close(a);
}

/* The same for each account; those after one that failed too. */
static int each_account(const char *tree, bool (*act)(struct world *w, struct account *a))
{
	static struct world world;
	store_preload();
	bool good = world_enter(&world, tree);
	for (size_t i = 0; i < ACCOUNTS; i++)
		good = act(&world, &world.accounts[i]) && good;
	return good ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "run") == 0)
		return run(argv[2], argv[3], (unsigned)strtoul(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
	if (argc == 3 && strcmp(argv[1], "check") == 0)
		return each_account(argv[2], check_account);
	if (argc == 3 && strcmp(argv[1], "recover") == 0)
		return each_account(argv[2], recover_account);
	fprintf(stderr, "usage: store_power run TREE MARKS STEPS SEED | check TREE | recover TREE\n");
	return 2;
}

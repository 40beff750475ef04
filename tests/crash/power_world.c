#include "power_world.h"

#include "mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_MAX = MAIL_MAX + sizeof(struct record), JOURNALS_MAX = 16 };

/* ---- mails ---- */

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* Some come by a file of their own, as large bodies do. */
static bool has_file(uint64_t number)
{
	return number % 12 == 5;
}

void mail_write(uint64_t number, struct buf *out)
{
	uint64_t lines = has_file(number) ? 300 : 2 + mix(number) % 110;
	buf_printf(out, "Subject: %llu\r\nMessage-ID: <%llu@example.test>\r\n\r\n", (unsigned long long)number,
	           (unsigned long long)number);
	for (uint64_t i = 0; i < lines; i++)
		buf_printf(out, "%016llx%016llx%016llx\r\n", (unsigned long long)mix(number + i), (unsigned long long)i,
		           (unsigned long long)mix(number * i));
}

uint64_t mail_number(struct str octets)
{
	static const struct str start = { "Subject: ", 9 };
	CLEANUP(buf_release) struct buf expected = BUF_WITH_LIMIT(MAIL_MAX);
	struct str rest = str_from_index(octets, start.length), digits;
	uint64_t number = 0;
	if (!str_starts(octets, start) || !str_take_until(&rest, '\r', &digits) ||
	    !str_to_u64(digits, UINT32_MAX, &number))
		return 0;
	mail_write(number, &expected);
	return str_equal(octets, buf_str(&expected)) ? number : 0;
}

int mail_file(struct str octets)
{
	int file = memfd_create("mail", MFD_CLOEXEC);
	must(file > 0 && write(file, octets.data, octets.length) == (ssize_t)octets.length);
	return file;
}

/* ---- the tree ---- */

bool complain(const char *what, struct fail **fail)
{
	fprintf(stderr, "%s: %s: %s\n", what, *fail ? fail_kind_name((*fail)->kind) : "?", fail_text(*fail));
	fail_free(fail);
	return false;
}

bool world_enter(struct world *w, const char *tree)
{
	CLEANUP(mem_free) char *spool = mem_printf("%s/spool", tree);
	CLEANUP(mem_free) char *accounts = mem_printf("%s/accounts", tree);
	*w = (struct world){ .tree = tree };
	w->spool = open(spool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->accounts_folder = open(accounts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < ACCOUNTS; i++)
		w->accounts[i] = (struct account){ .number = i + 1, .directory = -1,
			                               .path = mem_printf("%s/%u", accounts, i + 1) };
	if (w->spool >= 0 && w->accounts_folder >= 0)
		return true;
	fprintf(stderr, "%s has no spool and no accounts\n", tree);
	return false;
}

bool world_new_journal(struct world *w)
{
	struct fail *fail = NULL;
	struct journal_uuid uuid;
	struct journal_report report;
	if (!journal_create(w->spool, RING_SIZE, &uuid, &fail))
		return complain("journal_create", &fail);
	w->journal = journal_open(w->spool, &uuid, &report, &fail);
	return w->journal || complain("journal_open", &fail);
}

/* ---- from the journal to the accounts ---- */

static bool apply_record(struct account *a, struct store_txn *txn, struct journal *journal, uint64_t sequence,
                         struct str payload)
{
	struct record record;
	struct store_placed placed;
	must(payload.length > sizeof record);
	memcpy(&record, payload.data, sizeof record);
	if (!(record.recipients & 1u << (a->number - 1)))
		return true;
	struct journal_uuid uuid = journal_uuid_of(journal);
	struct store_origin origin = { .seq = sequence, .recipient = a->number };
	memcpy(origin.journal, uuid.bytes, sizeof origin.journal);
	struct str octets = str_from_index(payload, sizeof record);
	struct store_delivery delivery = { .origin = &origin, .body.bytes = octets, .received = 1700000000 };
	if (!store_mailbox_find(txn, STR("INBOX"), &delivery.mailbox))
		return false;
	if (!has_file(record.number))
		return store_deliver(txn, &delivery, &placed);
	delivery.body = (struct store_body){ .file = mail_file(octets), .size = octets.length };
	bool done = store_deliver(txn, &delivery, &placed);
	close(delivery.body.file);
	return done;
}

static bool apply_journal(struct account *a, struct journal *journal, uint64_t after, uint64_t *last,
                          struct fail **fail)
{
	uint32_t length;
	CLEANUP(buf_release) struct buf payload = BUF_WITH_LIMIT(RECORD_MAX);
	CLEANUP(store_rollback) struct store_txn *txn = store_begin_deferred(a->store);
	*last = after;
	while (journal_next(journal, *last, last, &length)) {
		buf_clear(&payload);
		if (!journal_read(journal, *last, &payload, fail))
			return false;
		if (!apply_record(a, txn, journal, *last, buf_str(&payload)))
			break; /* the commit says why */
	}
	return store_commit(&txn, fail);
}

bool account_apply(struct world *w, struct account *a, struct fail **fail)
{
	uint64_t last = 0;
	if (!apply_journal(a, w->journal, a->applied, &last, fail))
		return false;
	a->applied = last;
	return true;
}

/* All journals there are; the one that is open is read as it is. */
static bool replay(struct world *w, struct account *a, struct fail **fail)
{
	struct journal_uuid uuids[JOURNALS_MAX];
	struct journal_report report;
	uint64_t last = 0;
	size_t count = 0;
	a->applied = 0;
	if (w->journal)
		return account_apply(w, a, fail);
	if (!journal_list(w->spool, uuids, JOURNALS_MAX, &count, fail))
		return false;
	for (size_t i = 0; i < count; i++) {
		CLEANUP(journal_cleanup) struct journal *journal = journal_open(w->spool, &uuids[i], &report, fail);
		if (!journal || !apply_journal(a, journal, 0, &last, fail))
			return false;
	}
	return true;
}

/* ---- accounts ---- */

/* As a mailbox process does it: what it acknowledges has to have a name. */
static bool make_directory(struct world *w, struct account *a)
{
	struct fail *fail = NULL;
	char name[2] = { (char)('0' + a->number), '\0' };
	bool made = mkdirat(w->accounts_folder, name, 0700) == 0;
	if (made && fsync(w->accounts_folder) < 0) {
		unlinkat(w->accounts_folder, name, AT_REMOVEDIR);
		fail_set_errno(&fail, FAIL_IO, "fsync");
		return complain("account's directory", &fail);
	}
	a->directory = openat(w->accounts_folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->directory >= 0)
		return true;
	fail_set_errno(&fail, FAIL_IO, "open");
	return complain("account's directory", &fail);
}

bool account_open(struct world *w, struct account *a)
{
	struct fail *fail = NULL;
	const struct store_options options = { .path = a->path, .create = true };
	if (a->directory < 0 && !make_directory(w, a))
		return false;
	a->store = store_open(a->directory, &options, &fail);
	if (!a->store)
		return complain("store_open", &fail);
	if (replay(w, a, &fail) && (!store_needs_recovery(a->store) || store_finish_recovery(a->store, &fail)))
		return true;
	account_drop(a);
	return complain("recovery", &fail);
}

bool account_close(struct account *a)
{
	struct fail *fail = NULL;
	return store_close(&a->store, &fail) || complain("store_close", &fail);
}

void account_drop(struct account *a)
{
	store_cleanup(&a->store);
}

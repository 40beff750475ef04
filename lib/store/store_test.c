#include "store_test_help.h"

#include <pthread.h>
#include <sys/wait.h>

static bool opens(struct account *account, enum fail_kind *kind)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct store_options options = { .path = account->path };
	CLEANUP(store_cleanup) struct store *store = store_open(account->directory, &options, &fail);
	if (!store)
		*kind = fail->kind;
	return store;
}

static void a_second_process_is_refused(void **state)
{
	struct account *account = *state;
	pid_t child = fork();
	if (child == 0) {
		enum fail_kind kind = FAIL_KIND_COUNT;
		_exit(!opens(account, &kind) && kind == FAIL_BUSY ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	account_close(account);
	enum fail_kind kind = FAIL_KIND_COUNT;
	assert_true(opens(account, &kind));
}

static void what_is_no_account_is_refused(void **state)
{
	struct account *account = *state;
	enum fail_kind kind = FAIL_KIND_COUNT;
	account_close(account);
	account_overwrite(account, "version", 17, STR("2"));
	assert_false(opens(account, &kind));
	assert_int_equal(kind, FAIL_INVALID);
	account_overwrite(account, "version", 0, STR("something else"));
	assert_false(opens(account, &kind));
	assert_int_equal(kind, FAIL_CORRUPT);
	account_delete(account, "version");
	assert_false(opens(account, &kind));
	assert_int_equal(kind, FAIL_NOT_FOUND);
	struct store_options elsewhere = { .path = "/" };
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_null(store_open(account->directory, &elsewhere, &fail));
	assert_int_equal(fail->kind, FAIL_INVALID);
}

/* As the first version of the schema made it. */
static const char first_schema[] =
	"DROP TABLE page; DROP TABLE annotation; CREATE INDEX placement_modseq ON placement(mailbox, modseq);"
	"ALTER TABLE mailbox DROP COLUMN paged; ALTER TABLE mailbox DROP COLUMN recent;"
	"ALTER TABLE tombstone DROP COLUMN count; ALTER TABLE account DROP COLUMN own_bytes;"
	"ALTER TABLE account DROP COLUMN own_messages; PRAGMA user_version = 1;";

static void an_older_schema_is_brought_forward(void **state)
{
	struct account *account = *state;
	struct database db;
	char path[300];
	uint64_t damages = 0;
	for (unsigned i = 0; i < 5; i++)
		deliver_text(account, 0, 0, "text");
	expunge_uid(account, inbox_of(account), 2);
	uint64_t modseq = mailbox_now(account, "INBOX").highestmodseq;
	account_close(account);
	snprintf(path, sizeof path, "%s/meta.db", account->path);
	assert_true(database_open(&db, path, SQLITE_OPEN_READWRITE, NULL));
	assert_true(database_execute(&db, first_schema, NULL));
	database_close(&db);
	account_open(account);
	assert_int_equal(number_of(account, "PRAGMA user_version"), 3);
	assert_int_equal(mailbox_now(account, "INBOX").messages, 4);
	assert_int_equal(mailbox_now(account, "INBOX").highestmodseq, modseq);
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct store_uids vanished = {};
	bool complete = false;
	assert_true(store_read_vanished(reader, inbox_of(account), 0, &vanished, &complete, NULL));
	assert_int_equal(vanished.uids.count, 1);
	assert_int_equal(vanished.uids.items[0], 2);
	store_uids_release(&vanished);
	deliver_text(account, 0, 0, "text");
	expunge_uid(account, inbox_of(account), 3);
	assert_counters(account);
	assert_true(store_check(account->store, NULL, &damages, NULL));
	assert_int_equal(damages, 0);
}

static void a_newer_schema_is_not_touched(void **state)
{
	struct account *account = *state;
	enum fail_kind kind = FAIL_KIND_COUNT;
	account_close(account);
	char name[300];
	snprintf(name, sizeof name, "%s/meta.db", account->path);
	struct database db;
	assert_true(database_open(&db, name, SQLITE_OPEN_READWRITE, NULL));
	assert_true(database_execute(&db, "PRAGMA user_version = 1000", NULL));
	database_close(&db);
	assert_false(opens(account, &kind));
	assert_int_equal(kind, FAIL_INVALID);
}

static void a_damaged_database_is_told(void **state)
{
	struct account *account = *state;
	enum fail_kind kind = FAIL_KIND_COUNT;
	static char zeros[200000];
	deliver_text(account, 0, 1, "one");
	account_close(account);
	account_overwrite(account, "meta.db", 0, STR("not a database at all"));
	assert_false(opens(account, &kind));
	assert_int_equal(kind, FAIL_CORRUPT);
	account_overwrite(account, "meta.db", 0, str_from(zeros, sizeof zeros));
	assert_false(opens(account, &kind));
	assert_int_equal(kind, FAIL_CORRUPT);
}

static void clean_is_said_only_when_all_is_durable(void **state)
{
	struct account *account = *state;
	account_close(account);
	account_open(account);
	assert_true(account->store->version.clean);
	mailbox_now(account, "INBOX");
	assert_true(account->store->version.clean);
	deliver_text(account, 0, 1, "one");
	assert_false(account->store->version.clean);
	assert_true(atomic_load(&account->store->deferred));
	assert_true(store_barrier(account->store, NULL));
	assert_false(atomic_load(&account->store->deferred));
	assert_int_equal(account->store->segments.dirty.count, 0);
	deliver_text(account, 0, 2, "two");
	struct store_txn *txn = store_begin(account->store);
	commit(&txn);
	/* nothing was written, so nothing was synced */
	assert_true(atomic_load(&account->store->deferred));
	make_mailbox(account, "a");
	assert_false(atomic_load(&account->store->deferred));
}

/* Calls fn while the tail's file is one that can't be synced. */
static bool while_sync_fails(struct account *account, bool (*fn)(struct account *, struct fail **), struct fail **fail)
{
	int pipes[2];
	int file = account->store->tail.file->file;
	int saved = dup(file);
	assert_true(saved >= 0 && pipe(pipes) == 0 && dup2(pipes[1], file) == file);
	bool ok = fn(account, fail);
	assert_int_equal(dup2(saved, file), file);
	close(saved);
	close(pipes[0]);
	close(pipes[1]);
	return ok;
}

static bool barrier(struct account *account, struct fail **fail)
{
	return store_barrier(account->store, fail);
}

static bool create_mailbox(struct account *account, struct fail **fail)
{
	uint64_t id = 0;
	struct store_txn *txn = store_begin(account->store);
	store_mailbox_create(txn, STR("new"), STORE_USE_NONE, &id);
	return store_commit(&txn, fail);
}

/* What the failed sync should have written may be lost though the page cache still has it: it moves, and only
 * then is anything called durable. */
static void a_failed_sync_abandons_the_segment(void **state)
{
	struct account *account = *state;
	bool (*const syncs[])(struct account *, struct fail **) = { barrier, create_mailbox };
	for (uint64_t i = 0; i < COUNT_OF(syncs); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct store_placed placed = deliver_text(account, 0, i + 1, "one mail");
		char query[100];
		snprintf(query, sizeof query, "SELECT segment FROM body WHERE message = %llu",
		         (unsigned long long)placed.message);
		int64_t segment = number_of(account, query);
		assert_false(while_sync_fails(account, syncs[i], &fail));
		assert_int_equal(fail->kind, FAIL_IO);
		assert_true(account->store->suspect);
		assert_null(account->store->tail.file);
		assert_body(account, placed.message, STR("one mail"));
		struct store_placed next = deliver_text(account, 0, i + 11, "another");
		assert_true(store_barrier(account->store, NULL));
		assert_false(account->store->suspect);
		assert_int_not_equal(number_of(account, query), segment);
		assert_body(account, placed.message, STR("one mail"));
		assert_body(account, next.message, STR("another"));
	}
	assert_true(create_mailbox(account, NULL));
	uint64_t damages = 1;
	assert_true(store_check(account->store, NULL, &damages, NULL));
	assert_int_equal(damages, 0);
}

struct reading {
	struct account *account;
	uint64_t inbox;
	atomic_bool *stop;
	uint64_t bodies;
	bool failed;
};

static bool read_everything(struct reading *r, struct store_reader *reader)
{
	struct store_entries entries = {};
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(100000);
	struct store_selection all = { r->inbox, &(struct store_range){ 1, UINT32_MAX }, 1 };
	bool ok = store_read_entries(reader, &all, 0, &entries, NULL);
	for (size_t i = 0; ok && i < entries.list.count; i++) {
		struct fail *fail = NULL;
		buf_clear(&body);
		if (store_read_body(reader, entries.list.items[i].message, &body, &fail))
			r->bodies++;
		else
			ok = fail->kind == FAIL_NOT_FOUND;
		fail_free(&fail);
	}
	store_entries_release(&entries);
	return ok;
}

static void *read_until_stopped(void *context)
{
	struct reading *r = context;
	while (!atomic_load(r->stop) && !r->failed) {
		CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(r->account->store, NULL);
		r->failed = !reader || !read_everything(r, reader);
	}
	return NULL;
}

/* Deliveries, expunges, compaction and recompression under the eyes of readers. */
static void readers_see_whole_mails_while_all_changes(void **state)
{
	struct account *account = *state;
	atomic_bool stop = false;
	struct reading readings[3];
	pthread_t threads[COUNT_OF(readings)];
	uint64_t inbox = inbox_of(account);
	for (size_t i = 0; i < COUNT_OF(readings); i++) {
		readings[i] = (struct reading){ .account = account, .inbox = inbox, .stop = &stop };
		assert_int_equal(pthread_create(&threads[i], NULL, read_until_stopped, &readings[i]), 0);
	}
	struct store_origin origin = origin_of(0);
	static char text[3000];
	memset(text, 'm', sizeof text - 1);
	for (uint64_t round = 0; round < 8; round++) {
		for (uint64_t i = 0; i < 30; i++)
			deliver_text(account, inbox, round * 30 + i + 1, text);
		struct store_txn *txn = store_begin(account->store);
		assert_true(store_trim(txn, origin.journal, UINT32_MAX) && segment_seal(txn, &account->store->tail));
		commit(&txn);
		struct store_selection some = { inbox,
			                            &(struct store_range){ (uint32_t)round * 30 + 1, (uint32_t)round * 30 + 20 },
			                            1 };
		txn = store_begin(account->store);
		assert_true(store_expunge(txn, &some, true, NULL));
		commit(&txn);
		care_for(account, INT64_MAX / 2 + (int64_t)round * 1000, round % 2 ? 1 : 0);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < COUNT_OF(readings); i++) {
		pthread_join(threads[i], NULL);
		assert_false(readings[i].failed);
	}
	assert_int_equal(mailbox_now(account, "INBOX").messages, 80);
	uint64_t damages = 1;
	assert_true(store_check(account->store, NULL, &damages, NULL));
	assert_int_equal(damages, 0);
}

static void keep(void *context, enum fail_kind kind, const char *what)
{
	(void)kind;
	buf_add_str(context, str_of(what));
}

static void check_finds_what_is_wrong(void **state)
{
	struct account *account = *state;
	uint64_t damages = 1;
	CLEANUP(buf_release) struct buf said = BUF_WITH_LIMIT(10000);
	struct store_report report = { keep, &said };
	struct store_placed placed = deliver_text(account, 0, 1, "one mail");
	assert_true(store_check(account->store, &report, &damages, NULL));
	assert_int_equal(damages, 0);
	account_overwrite(account, "seg/0001", SEGMENT_START_SIZE + 70, STR("?"));
	assert_true(store_check(account->store, &report, &damages, NULL));
	assert_int_equal(damages, 1);
	assert_non_null(strstr(buf_text(&said), "header"));
	static const struct {
		const char *sql, *says;
	} wrongs[] = {
		{ "UPDATE mailbox SET unseen = 7", "counters" },
		{ "UPDATE mailbox SET unseen = 1, uidnext = 1", "UIDNEXT" },
		{ "UPDATE mailbox SET uidnext = 9; INSERT INTO body SELECT 99, segment, start + 1, header, stored, size, "
		  "checksum,"
		  " codec, stable FROM body",
		  "at 65" },
		{ "DELETE FROM body; DELETE FROM message", "no message" },
	};
	for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
		buf_clear(&said);
		assert_true(database_execute(&account->store->writer, wrongs[i].sql, NULL));
		assert_true(store_check(account->store, &report, &damages, NULL));
		assert_true(damages > 0);
		assert_non_null(strstr(buf_text(&said), wrongs[i].says));
	}
	assert_body_fails(account, placed.message, FAIL_NOT_FOUND);
}

static void a_backup_opens_with_a_gap(void **state)
{
	struct account *account = *state;
	struct account copy = {};
	struct store_placed first = deliver_text(account, 0, 1, "one mail");
	account_make_directory(&copy);
	struct fail *fail = NULL;
	if (!store_backup(account->store, copy.directory, copy.path, &fail))
		fail_msg("%s", fail_text(fail));
	deliver_text(account, 0, 2, "after the backup");
	account_open(&copy);
	assert_true(store_needs_recovery(copy.store));
	assert_true(store_finish_recovery(copy.store, NULL));
	assert_int_equal(mailbox_now(&copy, "INBOX").messages, 1);
	assert_int_equal(mailbox_now(&copy, "INBOX").uidnext, first.uid + 1 + LIMIT_UID_GAP);
	assert_body(&copy, first.message, STR("one mail"));
	uint64_t damages = 1;
	assert_true(store_check(copy.store, NULL, &damages, NULL));
	assert_int_equal(damages, 0);
	struct account *heap = mem_alloc(sizeof *heap);
	*heap = copy;
	void *copy_state = heap;
	account_teardown(&copy_state);
	/* not over something that is there */
	assert_false(store_backup(account->store, account->directory, account->path, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_second_process_is_refused),
		store_test(what_is_no_account_is_refused),
		store_test(a_newer_schema_is_not_touched), store_test(an_older_schema_is_brought_forward),
		store_test(a_damaged_database_is_told),
		store_test(clean_is_said_only_when_all_is_durable),
		store_test(a_failed_sync_abandons_the_segment),
		store_test(readers_see_whole_mails_while_all_changes),
		store_test(check_finds_what_is_wrong),
		store_test(a_backup_opens_with_a_gap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

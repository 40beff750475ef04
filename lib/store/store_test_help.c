#include "store_test_help.h"

#include <ftw.h>
#include <sys/mman.h>

void account_open(struct account *account)
{
	struct fail *fail = NULL;
	struct store_options options = { .path = account->path, .create = true };
	account->store = store_open(account->directory, &options, &fail);
	if (!account->store)
		fail_msg("open: %s", fail_text(fail));
}

void account_make_directory(struct account *account)
{
	const char *where = getenv("TMPDIR");
	snprintf(account->path, sizeof account->path, "%s/store-test.XXXXXX", where ? where : P_tmpdir);
	assert_non_null(mkdtemp(account->path));
	account->directory = open(account->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(account->directory >= 0);
}

int account_setup(void **state)
{
	struct account *account = mem_alloc(sizeof *account);
	account_make_directory(account);
	account_open(account);
	assert_false(store_needs_recovery(account->store));
	*state = account;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

int account_teardown(void **state)
{
	struct account *account = *state;
	if (account->store) {
		/* a failed assertion jumps over what would have given these back */
		struct store_txn *open_txn = &account->store->txn;
		if (pthread_mutex_trylock(&account->store->writer_lock))
			store_rollback(&open_txn);
		else
			pthread_mutex_unlock(&account->store->writer_lock);
		account->store->readers = 0;
		account->store->maildrops = NULL;
		account->store->listeners = NULL;
		if (index_is_used(account->store))
			account->store->indexes = NULL;
		store_close(&account->store, NULL);
	}
	close(account->directory);
	nftw(account->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(account);
	return 0;
}

void account_close(struct account *account)
{
	struct fail *fail = NULL;
	if (!store_close(&account->store, &fail))
		fail_msg("close: %s", fail_text(fail));
}

void account_crash(struct account *account)
{
	/* a store that is recovering does not call itself clean */
	account->store->recovering = true;
	assert_false(store_close(&account->store, NULL));
}

static int open_below(struct account *account, const char *name)
{
	int file = openat(account->directory, name, O_RDWR | O_CLOEXEC);
	assert_true(file >= 0);
	return file;
}

void account_overwrite(struct account *account, const char *name, long offset, struct str bytes)
{
	int file = open_below(account, name);
	assert_int_equal(pwrite(file, bytes.data, bytes.length, offset), (ssize_t)bytes.length);
	close(file);
}

void account_truncate(struct account *account, const char *name, long length)
{
	int file = open_below(account, name);
	assert_int_equal(ftruncate(file, length), 0);
	close(file);
}

void account_delete(struct account *account, const char *name)
{
	assert_int_equal(unlinkat(account->directory, name, 0), 0);
}

void commit(struct store_txn **txn)
{
	struct fail *fail = NULL;
	if (!store_commit(txn, &fail))
		fail_msg("commit: %s", fail_text(fail));
}

struct store_mailbox mailbox_now(struct account *account, const char *name)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	assert_non_null(reader);
	struct store_mailbox mailbox = {};
	assert_true(store_read_mailbox(reader, str_of(name), &mailbox, NULL));
	return mailbox;
}

uint64_t inbox_of(struct account *account)
{
	return mailbox_now(account, "INBOX").id;
}

uint64_t make_mailbox(struct account *account, const char *name)
{
	uint64_t id = 0;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(account->store);
	assert_true(store_mailbox_create(txn, str_of(name), STORE_USE_NONE, &id));
	commit(&txn);
	return id;
}

struct store_entries entries_of(struct account *account, uint64_t mailbox)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	assert_non_null(reader);
	struct store_entries entries = {};
	struct store_selection all = { mailbox, &(struct store_range){ 1, UINT32_MAX }, 1 };
	assert_true(store_read_entries(reader, &all, 0, &entries, NULL));
	return entries;
}

struct store_origin origin_of(uint64_t seq)
{
	return (struct store_origin){ .journal = "journal of test", .seq = seq, .recipient = 1 };
}

static struct store_placed deliver(struct account *account, uint64_t mailbox, uint64_t seq, struct store_body body)
{
	struct store_origin origin = origin_of(seq);
	struct store_delivery delivery = { .origin = seq ? &origin : NULL,
		                               .body = body,
		                               .mailbox = mailbox ? mailbox : inbox_of(account),
		                               .received = 1700000000 };
	struct store_placed placed;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin_deferred(account->store);
	if (!store_deliver(txn, &delivery, &placed))
		fail_msg("deliver: %s", fail_text(txn->fail));
	commit(&txn);
	return placed;
}

struct store_placed deliver_text(struct account *account, uint64_t mailbox, uint64_t seq, const char *text)
{
	return deliver(account, mailbox, seq, (struct store_body){ .bytes = str_of(text) });
}

struct store_placed deliver_file(struct account *account, uint64_t seq, struct str bytes)
{
	int file = memfd_create("mail", MFD_CLOEXEC);
	assert_true(file > 0);
	assert_int_equal(write(file, bytes.data, bytes.length), (ssize_t)bytes.length);
	struct store_placed placed = deliver(account, 0, seq, (struct store_body){ .file = file, .size = bytes.length });
	close(file);
	return placed;
}

void expunge_uid(struct account *account, uint64_t mailbox, uint32_t uid)
{
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(account->store);
	struct store_selection one = { mailbox, &(struct store_range){ uid, uid }, 1 };
	assert_true(store_expunge(txn, &one, true, NULL));
	commit(&txn);
}

void assert_body(struct account *account, uint64_t message, struct str expected)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(LIMIT_MESSAGE_SIZE);
	struct fail *fail = NULL;
	if (!store_read_body(reader, message, &body, &fail))
		fail_msg("body: %s", fail_text(fail));
	assert_true(str_equal(buf_str(&body), expected));
}

void assert_body_fails(struct account *account, uint64_t message, enum fail_kind kind)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(LIMIT_MESSAGE_SIZE);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(store_read_body(reader, message, &body, &fail));
	assert_int_equal(fail->kind, kind);
}

int64_t number_of(struct account *account, const char *sql)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	sqlite3_stmt *query = NULL;
	assert_int_equal(sqlite3_prepare_v2(reader->database.handle, sql, -1, &query, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(query), SQLITE_ROW);
	int64_t number = sqlite3_column_int64(query, 0);
	sqlite3_finalize(query);
	return number;
}

void assert_counters(struct account *account)
{
	assert_int_equal(number_of(account,
	                           "SELECT count(*) FROM mailbox m WHERE name NOT NULL AND (messages, unseen, deleted,"
	                           " bytes) != (SELECT count(*), coalesce(sum(flags & 1 = 0), 0),"
	                           " coalesce(sum(flags & 16 != 0), 0), coalesce(sum(size), 0) FROM placement"
	                           " WHERE mailbox = m.id)"),
	                 0);
	struct store_usage usage;
	store_usage(account->store, &usage);
	assert_int_equal(usage.bytes,
	                 number_of(account, "SELECT coalesce(sum(bytes), 0) FROM mailbox WHERE name NOT NULL"));
	assert_int_equal(usage.messages,
	                 number_of(account, "SELECT coalesce(sum(messages), 0) FROM mailbox WHERE name NOT NULL"));
}

void care_for(struct account *account, int64_t now, int64_t recompress_age)
{
	struct store_care care = { .now = now, .recompress_age = recompress_age, .bytes_max = 100000, .rows_max = 100 };
	struct fail *fail = NULL;
	bool more = true;
	for (int steps = 0; more; steps++) {
		assert_true(steps < 10000);
		if (!store_maintain(account->store, &care, &more, &fail))
			fail_msg("maintain: %s", fail_text(fail));
	}
}

#include "store_internal.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MESSAGE_BLOCK = 1000,  /* numbers reserved at a time, so that a delivery need not write the account row */
	WAL_PAGES_MAX = 16384, /* a checkpoint is made though the store is not idle */
	HEADERS_MAX = 2 * SEGMENT_HEADER_MAX,
};

/* ---- open ---- */

/* An account without meta.db, or with one that a crash left without tables, is new only if it has no mail either. */
static bool may_create(struct store *store, bool create)
{
	return create && !segments_may_exist(&store->segments);
}

static bool same_directory(int directory, const char *path)
{
	struct stat a;
	struct stat b;
	return fstat(directory, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int on_wal_commit(void *context, sqlite3 *handle, const char *name, int pages)
{
	(void)handle;
	(void)name;
	struct store *store = context;
	store->wal_pages = pages;
	store->wal_written = true;
	return SQLITE_OK;
}

bool store_open_database(struct store *store, const struct store_options *options, bool create, struct fail **fail)
{
	if (!create && faccessat(store->directory, "meta.db", F_OK, 0) < 0 && errno == ENOENT)
		return fail_set(fail, FAIL_CORRUPT, "meta.db is lost: rebuild it from the segments");
	store->path = mem_printf("%s/meta.db", options->path);
	/* made here, since SQLite would let the group read it */
	int file = create ? openat(store->directory, "meta.db", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : 0;
	if (file < 0)
		return fail_set_errno(fail, FAIL_IO, "create meta.db");
	if (create)
		close(file);
	bool created = false;
	if (!database_open(&store->writer, store->path, SQLITE_OPEN_READWRITE, fail) ||
	    !schema_open(&store->writer, create, options, &created, fail))
		return false;
	if (created)
		store->recovering = false; /* no UID was ever given: no gap is needed */
	store->created = created;
	store->writer_durable = true;
	sqlite3_wal_hook(store->writer.handle, on_wal_commit, store);
	return true;
}

bool store_load_counters(struct store *store, struct fail **fail)
{
	sqlite3_stmt *query = database_query(
		&store->writer,
		"SELECT message_next, max(modseq, (SELECT coalesce(max(highestmodseq), 0) FROM mailbox)),"
		" (SELECT coalesce(sum(bytes), 0) FROM mailbox WHERE name NOT NULL),"
		" (SELECT coalesce(sum(messages), 0) FROM mailbox WHERE name NOT NULL), own_bytes, own_messages FROM account");
	enum database_step step = database_step(&store->writer, query, fail);
	if (step != DATABASE_ROW)
		return step == DATABASE_DONE ? fail_set(fail, FAIL_CORRUPT, "meta.db has no account row") : false;
	store->message_next = store->message_reserved = column_u64(query, 0);
	store->modseq = column_u64(query, 1);
	atomic_store(&store->changes, store->modseq);
	atomic_store(&store->bytes, column_u64(query, 2));
	atomic_store(&store->messages, column_u64(query, 3));
	atomic_store(&store->own_bytes, column_u64(query, 4));
	atomic_store(&store->own_messages, column_u64(query, 5));
	database_done(query);
	return true;
}

/* Where the next record goes: behind all bytes there are and all that rows speak of. After a power loss the
 * file may be shorter than its rows say; the replay fills the rest again. */
static bool tail_end(struct store *store, struct segment_tail *tail, struct fail **fail)
{
	tail->end = segment_file_size(tail->file);
	if (!store->recovering)
		return true;
	sqlite3_stmt *query =
		database_query(&store->writer, "SELECT max(start + header + stored) FROM body WHERE segment = ?");
	bind_u64(query, 1, tail->file->number);
	if (database_step(&store->writer, query, fail) != DATABASE_ROW)
		return false;
	uint64_t end = column_u64(query, 0);
	database_done(query);
	if (end > tail->end)
		tail->end = end;
	return true;
}

static bool tail_load(struct store *store, struct segment_tail *tail, enum segment_codec codec, struct fail **fail)
{
	segments_unuse(&store->segments, tail->file);
	*tail = (struct segment_tail){};
	sqlite3_stmt *query =
		database_query(&store->writer, "SELECT max(number) FROM segment WHERE state = 0 AND codec = ?");
	bind_u64(query, 1, codec);
	if (database_step(&store->writer, query, fail) != DATABASE_ROW)
		return false;
	uint64_t number = column_u64(query, 0);
	database_done(query);
	if (!number)
		return true;
	struct fail *why = NULL;
	tail->file = segments_use(&store->segments, number, &why);
	bool lost = !tail->file && why->kind == FAIL_NOT_FOUND;
	if (lost)
		tail->file = segments_create(&store->segments, number, codec, &why);
	if (!tail->file)
		fail_set(fail, why->kind, "%s", why->text);
	fail_free(&why);
	return tail->file && tail_end(store, tail, fail);
}

/* Finds the files that appends go on in. */
static bool tails_load(struct store *store, struct fail **fail)
{
	return tail_load(store, &store->tail, SEGMENT_RAW, fail) && tail_load(store, &store->archive, SEGMENT_ZSTD, fail);
}

/* The rescue of an earlier life may not have come to its end; and whether the account was ever rebuilt. */
static bool look_back(struct store *store, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&store->writer, "SELECT EXISTS(SELECT 1 FROM segment WHERE state = 2),"
	                                                     " EXISTS(SELECT 1 FROM rebuilt)");
	if (database_step(&store->writer, query, fail) != DATABASE_ROW)
		return false;
	store->suspect = column_u64(query, 0);
	store->rebuilt = column_u64(query, 1);
	database_done(query);
	return true;
}

void store_free(struct store *store)
{
	for (size_t i = 0; i < store->idle.count; i++)
		reader_free(store->idle.items[i]);
	array_release(&store->idle);
	mailbox_forget_all(store);
	array_release(&store->mailboxes);
	index_drop_unused(store, INT64_MAX);
	array_release(&store->txn.notes);
	if (store->writer.handle)
		database_close(&store->writer);
	segments_unuse(&store->segments, store->tail.file);
	segments_unuse(&store->segments, store->archive.file);
	segments_release(&store->segments);
	version_close(&store->version);
	pthread_mutex_destroy(&store->turn_lock);
	pthread_mutex_destroy(&store->writer_lock);
	pthread_mutex_destroy(&store->readers_lock);
	pthread_mutex_destroy(&store->watch_lock);
	buf_release(&store->header);
	array_release(&store->txn.created);
	array_release(&store->move.messages);
	segment_numbers_release(&store->orphans);
	segment_numbers_release(&store->begun);
	free(store->path);
	free(store);
}

struct store *store_new(int directory, const struct store_options *options)
{
	struct store *store = mem_alloc(sizeof *store);
	store->directory = directory;
	store->segments.directory = -1;
	pthread_mutex_init(&store->segments.lock, NULL);
	pthread_mutex_init(&store->turn_lock, NULL);
	pthread_mutex_init(&store->writer_lock, NULL);
	pthread_mutex_init(&store->readers_lock, NULL);
	pthread_mutex_init(&store->watch_lock, NULL);
	buf_init(&store->header, HEADERS_MAX);
	store_set_quota(store, options->bytes_max, options->messages_max);
	return store;
}

bool store_open_files(struct store *store, bool create, struct fail **fail)
{
	if (!version_open(&store->version, store->directory, create, fail) ||
	    !segments_init(&store->segments, store->directory, &store->version.key, fail))
		return false;
	store->recovering = !store->version.clean;
	return true;
}

static bool open_parts(struct store *store, const struct store_options *options, struct fail **fail)
{
	return store_open_files(store, options->create, fail) &&
	       store_open_database(store, options, may_create(store, options->create), fail) &&
	       store_load_counters(store, fail) && tails_load(store, fail) && look_back(store, fail);
}

struct store *store_open(int account_directory, const struct store_options *options, struct fail **fail)
{
	if (!same_directory(account_directory, options->path)) {
		fail_set(fail, FAIL_INVALID, "%s is not the account's directory", options->path);
		return NULL;
	}
	struct store *store = store_new(account_directory, options);
	if (open_parts(store, options, fail))
		return store;
	store_free(store);
	return NULL;
}

bool store_needs_recovery(const struct store *store)
{
	return store->recovering;
}

bool store_was_created(const struct store *store)
{
	return store->created;
}

bool store_leave_gap(struct store_txn *txn)
{
	struct store *store = txn->store;
	must(!txn->modseq);
	txn->modseq = store->modseq + LIMIT_UID_GAP;
	sqlite3_stmt *mailboxes = txn_query(txn, "UPDATE mailbox SET uidnext = min(uidnext + ?, 4294967295),"
	                                         " highestmodseq = ?");
	bind_u64(mailboxes, 1, LIMIT_UID_GAP);
	bind_u64(mailboxes, 2, txn->modseq);
	txn_run(txn, mailboxes);
	store->message_next = store->message_reserved = store->message_next + LIMIT_UID_GAP;
	sqlite3_stmt *account = txn_query(txn, "UPDATE account SET message_next = ?, modseq = ?");
	bind_u64(account, 1, store->message_next);
	bind_u64(account, 2, txn->modseq);
	txn_run(txn, account);
	mailbox_forget_all(store);
	txn->all_changed = true;
	return txn_ok(txn);
}

bool store_finish_recovery(struct store *store, struct fail **fail)
{
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(store);
	if (store->recovering)
		store_leave_gap(txn);
	if (!store_commit(&txn, fail))
		return false;
	pthread_mutex_lock(&store->writer_lock);
	store->recovering = false;
	bool loaded = store_load_counters(store, fail);
	pthread_mutex_unlock(&store->writer_lock);
	return loaded;
}

bool store_close(struct store **store, struct fail **fail)
{
	struct store *s = *store;
	*store = NULL;
	must(s->readers == 0 && !s->listeners && !s->maildrops && !index_is_used(s));
	pthread_mutex_lock(&s->writer_lock);
	if (!s->recovering)
		index_write_recent(s, NULL);
	pthread_mutex_unlock(&s->writer_lock);
	bool ok = s->version.clean;
	if (!ok && !s->recovering)
		ok = store_barrier(s, fail) &&
		     (sqlite3_wal_checkpoint_v2(s->writer.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK ||
		      database_fail(&s->writer, "checkpoint", fail)) &&
		     version_write(&s->version, true, fail);
	else if (!ok)
		fail_set(fail, FAIL_UNAVAILABLE, "the recovery was not finished");
	store_free(s);
	return ok;
}

void store_cleanup(struct store **store)
{
	if (*store)
		store_close(store, NULL);
}

/* ---- transactions ---- */

bool txn_ok(const struct store_txn *txn)
{
	return !txn->fail;
}

bool store_txn_failed(const struct store_txn *txn)
{
	return txn->fail;
}

bool txn_set_fail(struct store_txn *txn, enum fail_kind kind, const char *format, ...)
{
	if (txn->fail)
		return false;
	va_list arguments;
	va_start(arguments, format);
	char *text = NULL;
	must(vasprintf(&text, format, arguments) >= 0);
	va_end(arguments);
	fail_set(&txn->fail, kind, "%s", text);
	free(text);
	return false;
}

sqlite3_stmt *txn_query(struct store_txn *txn, const char *sql)
{
	return txn->fail ? NULL : database_query(&txn->store->writer, sql);
}

enum database_step txn_step(struct store_txn *txn, sqlite3_stmt *query)
{
	return txn->fail ? DATABASE_FAILED : database_step(&txn->store->writer, query, &txn->fail);
}

bool txn_run(struct store_txn *txn, sqlite3_stmt *query)
{
	return !txn->fail && database_run(&txn->store->writer, query, &txn->fail);
}

uint64_t txn_number(struct store_txn *txn, sqlite3_stmt *query)
{
	if (txn_step(txn, query) != DATABASE_ROW)
		return 0;
	uint64_t number = column_u64(query, 0);
	database_done(query);
	return number;
}

uint64_t txn_modseq(struct store_txn *txn)
{
	if (!txn->modseq)
		txn->modseq = txn->store->modseq + 1;
	return txn->modseq;
}

uint64_t txn_message_number(struct store_txn *txn)
{
	struct store *store = txn->store;
	if (store->message_next >= store->message_reserved) {
		store->message_reserved = store->message_next + MESSAGE_BLOCK;
		sqlite3_stmt *query = txn_query(txn, "UPDATE account SET message_next = ?");
		bind_u64(query, 1, store->message_reserved);
		txn_run(txn, query);
	}
	return store->message_next++;
}

static bool prepare_writer(struct store_txn *txn)
{
	struct store *store = txn->store;
	if (atomic_load(&store->broken))
		return txn_set_fail(txn, FAIL_IO, "the store stopped writing after a failed sync");
	/* Invariant 9. */
	if (store->version.clean && !version_write(&store->version, false, &txn->fail))
		return false;
	if (txn->durable == store->writer_durable)
		return true;
	store->writer_durable = txn->durable;
	return database_execute(&store->writer, txn->durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
	                        &txn->fail);
}

static struct tail_mark mark_of(const struct segment_tail *tail)
{
	return (struct tail_mark){ tail->file ? tail->file->number : 0, tail->end };
}

struct store_txn *txn_begin_locked(struct store *store, bool durable)
{
	struct store_txn *txn = &store->txn;
	store->wal_written = false;
	*txn = (struct store_txn){ .store = store,
		                       .durable = durable,
		                       .now = clock_wall_seconds(),
		                       .message_next = store->message_next,
		                       .message_reserved = store->message_reserved,
		                       .tail = mark_of(&store->tail),
		                       .archive = mark_of(&store->archive),
		                       .created = { store->txn.created.items, 0, store->txn.created.capacity },
		                       .notes = { store->txn.notes.items, 0, store->txn.notes.capacity } };
	txn->active = prepare_writer(txn) && txn_run(txn, txn_query(txn, "BEGIN IMMEDIATE"));
	return txn;
}

/* In turn: who begins one transaction after the other must let those pass who have waited. */
static void take_writer_lock(struct store *store)
{
	pthread_mutex_lock(&store->turn_lock);
	pthread_mutex_lock(&store->writer_lock);
	pthread_mutex_unlock(&store->turn_lock);
}

struct store_txn *store_begin(struct store *store)
{
	struct fail *why = NULL;
	take_writer_lock(store);
	if (store->suspect)
		store_rescue(store, &why);
	struct store_txn *txn = txn_begin_locked(store, true);
	if (why)
		txn_set_fail(txn, why->kind, "%s", why->text);
	fail_free(&why);
	return txn;
}

struct store_txn *store_begin_deferred(struct store *store)
{
	take_writer_lock(store);
	return txn_begin_locked(store, false);
}

static void truncate_tail(struct store *store, struct segment_tail *tail, const struct tail_mark *before)
{
	if (tail->file && tail->file->number == before->number && tail->end > before->end &&
	    segments_truncate(&store->segments, tail->file, before->end, NULL))
		tail->end = before->end;
}

/* Puts the memory back to what the database has. uncertain: the rows may yet come back after a crash, so
 * the bytes must stay. */
static void undo(struct store_txn *txn, bool uncertain)
{
	struct store *store = txn->store;
	if (txn->active && !sqlite3_get_autocommit(store->writer.handle))
		sqlite3_exec(store->writer.handle, "ROLLBACK", NULL, NULL, NULL);
	mailbox_forget_all(store);
	index_forget_notes(txn);
	store->journal_row = 0;
	if (txn->tails_moved || txn->created.count) {
		for (size_t i = 0; !uncertain && i < txn->created.count; i++)
			segments_unlink(&store->segments, txn->created.items[i], NULL);
		if (!tails_load(store, NULL))
			atomic_store(&store->broken, true);
	}
	if (!uncertain) {
		truncate_tail(store, &store->tail, &txn->tail);
		truncate_tail(store, &store->archive, &txn->archive);
	}
	store->message_next = txn->message_next;
	store->message_reserved = txn->message_reserved;
}

void store_rollback(struct store_txn **txn)
{
	struct store_txn *t = *txn;
	*txn = NULL;
	if (!t)
		return;
	undo(t, false);
	fail_free(&t->fail);
	pthread_mutex_unlock(&t->store->writer_lock);
}

/* The file is left for good: its row says so, durably, and what is in it moves before anything is called durable
 * again. */
static void abandon(struct store *store, uint64_t number)
{
	store->suspect = true;
	struct segment_tail *tails[] = { &store->tail, &store->archive };
	for (size_t i = 0; i < COUNT_OF(tails); i++)
		if (tails[i]->file && tails[i]->file->number == number) {
			segments_unuse(&store->segments, tails[i]->file);
			*tails[i] = (struct segment_tail){};
		}
	sqlite3_stmt *query = database_query(&store->writer, "UPDATE segment SET state = 2 WHERE number = ?");
	bind_u64(query, 1, number);
	if (!database_run(&store->writer, query, NULL))
		atomic_store(&store->broken, true);
}

/* A failed sync is final: what it should have written may be lost though the next sync says nothing. A segment
 * is abandoned; the WAL and a directory can't be, so the store stops writing. Outside a transaction only. */
static void settle_failed_sync(struct store *store)
{
	uint64_t number = store->segments.failed_number;
	store->segments.failed_number = 0;
	if (number)
		abandon(store, number);
	else
		atomic_store(&store->broken, true);
}

/* True when the rows are committed; *uncertain when that is not known. */
static bool commit_rows(struct store_txn *txn, bool *uncertain)
{
	struct store *store = txn->store;
	if (txn_run(txn, txn_query(txn, "COMMIT")))
		return true;
	*uncertain = true;
	if (txn->fail->kind != FAIL_NO_SPACE)
		atomic_store(&store->broken, true);
	return false;
}

bool barrier_locked(struct store *store, struct fail **fail)
{
	if (!atomic_load(&store->deferred) && !store->suspect)
		return true;
	if (atomic_load(&store->broken))
		return fail_set(fail, FAIL_IO, "the store stopped writing after a failed sync");
	/* the rescue commits durably, and with it all that came before */
	if (store->suspect && !store_rescue(store, fail))
		return false;
	if (!atomic_load(&store->deferred))
		return true;
	if (!segments_sync(&store->segments, fail)) {
		settle_failed_sync(store);
		return false;
	}
	sqlite3_file *wal = NULL;
	int result = sqlite3_file_control(store->writer.handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&wal);
	if (result == SQLITE_OK && wal && wal->pMethods)
		result = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
	if (result != SQLITE_OK) {
		atomic_store(&store->broken, true);
		return fail_set(fail, FAIL_IO, "sync of the WAL failed (%d)", result);
	}
	atomic_store(&store->deferred, false);
	return true;
}

/* A WAL that only grew would have to be read back as a whole after a crash. */
static void checkpoint_when_large(struct store *store)
{
	if (store->wal_pages < WAL_PAGES_MAX || !barrier_locked(store, NULL))
		return;
	sqlite3_wal_checkpoint_v2(store->writer.handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	store->wal_pages = 0;
}

bool txn_commit_locked(struct store_txn *t, struct fail **fail)
{
	struct store *store = t->store;
	bool uncertain = false;
	bool written = txn_ok(t) && mailbox_write_back(t);
	bool synced = written && (!t->durable || segments_sync(&store->segments, &t->fail));
	if (!synced || !commit_rows(t, &uncertain)) {
		undo(t, uncertain);
		if (written && !synced)
			settle_failed_sync(store);
		fail_set(fail, t->fail->kind, "%s", t->fail->text);
		fail_free(&t->fail);
		return false;
	}
	if (t->modseq) {
		store->modseq = t->modseq;
		atomic_store(&store->changes, t->modseq);
	}
	atomic_fetch_add(&store->bytes, (uint64_t)t->bytes_change);
	atomic_fetch_add(&store->messages, (uint64_t)t->messages_change);
	/* a transaction that changed nothing synced nothing either */
	if (store->wal_written)
		atomic_store(&store->deferred, !t->durable);
	/* a replay may write octets again and no row */
	else if (store->segments.dirty.count)
		atomic_store(&store->deferred, true);
	index_publish_notes(t);
	watch_tell(t);
	mailbox_settle(store);
	return true;
}

bool store_commit(struct store_txn **txn, struct fail **fail)
{
	struct store_txn *t = *txn;
	struct store *store = t->store;
	*txn = NULL;
	bool ok = txn_commit_locked(t, fail);
	if (ok)
		checkpoint_when_large(store);
	pthread_mutex_unlock(&store->writer_lock);
	return ok;
}

bool store_barrier(struct store *store, struct fail **fail)
{
	if (!atomic_load(&store->deferred))
		return true;
	pthread_mutex_lock(&store->writer_lock);
	bool ok = barrier_locked(store, fail);
	pthread_mutex_unlock(&store->writer_lock);
	return ok;
}

/* ---- quota ---- */

static uint64_t lower_limit(uint64_t administrators, uint64_t own)
{
	return own && (!administrators || own < administrators) ? own : administrators;
}

uint64_t store_changes(struct store *store)
{
	return atomic_load(&store->changes);
}

void store_usage(struct store *store, struct store_usage *usage)
{
	*usage = (struct store_usage){ atomic_load(&store->bytes), atomic_load(&store->messages),
		                           lower_limit(atomic_load(&store->bytes_max), atomic_load(&store->own_bytes)),
		                           lower_limit(atomic_load(&store->messages_max), atomic_load(&store->own_messages)) };
}

void store_set_quota(struct store *store, uint64_t bytes_max, uint64_t messages_max)
{
	atomic_store(&store->bytes_max, bytes_max);
	atomic_store(&store->messages_max, messages_max);
}

bool store_set_own_quota(struct store *store, uint64_t bytes_max, uint64_t messages_max, struct fail **fail)
{
	uint64_t bytes = atomic_load(&store->bytes_max), messages = atomic_load(&store->messages_max);
	if (lower_limit(bytes, bytes_max) < bytes_max || lower_limit(messages, messages_max) < messages_max)
		return fail_set(fail, FAIL_DENIED, "the administrator's limit is lower");
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(store);
	sqlite3_stmt *query = txn_query(txn, "UPDATE account SET own_bytes = ?, own_messages = ?");
	bind_u64(query, 1, bytes_max);
	bind_u64(query, 2, messages_max);
	txn_run(txn, query);
	if (!store_commit(&txn, fail))
		return false;
	atomic_store(&store->own_bytes, bytes_max);
	atomic_store(&store->own_messages, messages_max);
	return true;
}

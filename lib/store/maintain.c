#include "store_internal.h"

#include "clock.h"

/* What can wait, in steps that are short enough to let a delivery pass between them. Each step is done by
 * the first of the jobs below that has something to do. */

enum { INDEX_LINGER_MS = 60000, CHECKPOINT_INTERVAL = 300, TOMBSTONES_KEPT = 100000, SEAL_MIN = 65536 };

enum job_result { JOB_FAILED = -1, JOB_IDLE, JOB_DONE };

static enum job_result commit_job(struct store_txn *txn, bool worked, struct fail **fail)
{
	if (!txn_commit_locked(txn, fail))
		return JOB_FAILED;
	return worked ? JOB_DONE : JOB_IDLE;
}

/* One number from a query without parameters: 0 when there is none. */
static uint64_t number_of(struct store *store, const char *sql, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&store->writer, sql);
	if (database_step(&store->writer, query, fail) != DATABASE_ROW)
		return 0;
	uint64_t number = column_u64(query, 0);
	database_done(query);
	return number;
}

/* ---- mailboxes that were deleted ---- */

static bool run_limited(struct store_txn *txn, const char *sql, uint64_t mailbox, unsigned limit)
{
	sqlite3_stmt *query = txn_query(txn, sql);
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, limit);
	return txn_run(txn, query);
}

static bool drop_mailbox(struct store_txn *txn, uint64_t mailbox)
{
	sqlite3_stmt *keep = txn_query(txn, "UPDATE account SET modseq = max(modseq, (SELECT highestmodseq FROM mailbox"
	                                    " WHERE id = ?))");
	bind_u64(keep, 1, mailbox);
	sqlite3_stmt *pages = txn_query(txn, "DELETE FROM page WHERE mailbox = ?");
	bind_u64(pages, 1, mailbox);
	sqlite3_stmt *drop = txn_query(txn, "DELETE FROM mailbox WHERE id = ?");
	bind_u64(drop, 1, mailbox);
	return txn_run(txn, keep) && txn_run(txn, pages) && txn_run(txn, drop);
}

static enum job_result purge_mailboxes(struct store *store, const struct store_care *care, struct fail **fail)
{
	uint64_t mailbox = number_of(store, "SELECT id FROM mailbox WHERE name IS NULL LIMIT 1", fail);
	if (!mailbox)
		return JOB_IDLE;
	struct store_txn *txn = txn_begin_locked(store, true);
	run_limited(txn,
	            "INSERT OR IGNORE INTO dead(message) SELECT message FROM placement WHERE mailbox = ? ORDER BY uid"
	            " LIMIT ?",
	            mailbox, care->rows_max);
	run_limited(txn,
	            "DELETE FROM placement WHERE mailbox = ?1 AND uid IN (SELECT uid FROM placement WHERE mailbox = ?1"
	            " ORDER BY uid LIMIT ?2)",
	            mailbox, care->rows_max);
	bool empty = txn_ok(txn) && !sqlite3_changes(store->writer.handle);
	if (empty)
		run_limited(txn,
		            "DELETE FROM tombstone WHERE mailbox = ?1 AND (modseq, uid) IN (SELECT modseq, uid FROM tombstone"
		            " WHERE mailbox = ?1 LIMIT ?2)",
		            mailbox, care->rows_max);
	if (empty && txn_ok(txn) && !sqlite3_changes(store->writer.handle))
		drop_mailbox(txn, mailbox);
	return commit_job(txn, true, fail);
}

/* ---- the dead ---- */

static bool drop_rows(struct store_txn *txn, uint64_t message)
{
	sqlite3_stmt *dead = txn_query(txn, "UPDATE segment SET dead = dead + b.header + b.stored FROM body b"
	                                    " WHERE b.message = ? AND segment.number = b.segment");
	sqlite3_stmt *body = txn_query(txn, "DELETE FROM body WHERE message = ?");
	sqlite3_stmt *columns = txn_query(txn, "DELETE FROM message WHERE message = ?");
	sqlite3_stmt *thread = txn_query(txn, "DELETE FROM thread WHERE message = ?");
	bind_u64(dead, 1, message);
	bind_u64(body, 1, message);
	bind_u64(columns, 1, message);
	bind_u64(thread, 1, message);
	return txn_run(txn, dead) && txn_run(txn, body) && txn_run(txn, columns) && txn_run(txn, thread);
}

static bool has_placement(struct store_txn *txn, uint64_t message)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT 1 FROM placement WHERE message = ? LIMIT 1");
	bind_u64(query, 1, message);
	return txn_number(txn, query);
}

static bool collect(struct store_txn *txn, uint64_t message)
{
	if (!has_placement(txn, message) && txn_ok(txn))
		drop_rows(txn, message);
	sqlite3_stmt *query = txn_query(txn, "DELETE FROM dead WHERE message = ?");
	bind_u64(query, 1, message);
	return txn_run(txn, query);
}

struct dead_list {
	ARRAY(uint64_t) messages;
};

static bool read_dead(struct store *store, unsigned limit, struct dead_list *dead, struct fail **fail)
{
	enum database_step step;
	sqlite3_stmt *query = database_query(&store->writer, "SELECT message FROM dead ORDER BY message");
	while ((step = database_step(&store->writer, query, fail)) == DATABASE_ROW && dead->messages.count < limit)
		if (!watch_is_pinned(store, column_u64(query, 0)))
			*array_add(&dead->messages) = column_u64(query, 0);
	database_done(query);
	return step != DATABASE_FAILED;
}

static enum job_result collect_dead(struct store *store, const struct store_care *care, struct fail **fail)
{
	struct dead_list dead = {};
	if (!read_dead(store, care->rows_max, &dead, fail)) {
		array_release(&dead.messages);
		return JOB_FAILED;
	}
	if (!dead.messages.count)
		return JOB_IDLE;
	struct store_txn *txn = txn_begin_locked(store, true);
	for (size_t i = 0; txn_ok(txn) && i < dead.messages.count; i++)
		collect(txn, dead.messages.items[i]);
	array_release(&dead.messages);
	return commit_job(txn, true, fail);
}

/* ---- segments ---- */

/* Sealed, of the kind asked for, and nothing in it that the journal may have to write again. */
#define MOVABLE                                                                               \
	" state = 1 AND NOT EXISTS (SELECT 1 FROM applied a JOIN body b ON b.message = a.message" \
	" WHERE b.segment = segment.number) "

/* About as long as a full metadata checkpoint is; exact once this process has written one. */
static uint64_t checkpoint_size(struct store *store, struct fail **fail)
{
	if (store->checkpoint_size)
		return store->checkpoint_size;
	return number_of(store, "SELECT sum(messages) * 128 + count(*) * 256 FROM mailbox WHERE name NOT NULL", fail);
}

/* Metadata counts as dead, so with many messages its segments are always sparse. One that goes takes a new full
 * checkpoint, which must not be more than what it frees. */
static bool is_chain_worth_it(struct store *store, struct fail **fail)
{
	uint64_t dead = number_of(store, "SELECT sum(dead) FROM segment WHERE" HOLDS_METADATA
	                                 "AND number >= (SELECT checkpoint_segment FROM account)", fail);
	return dead > 2 * checkpoint_size(store, fail);
}

static uint64_t find_sparse(struct store *store, enum segment_codec *codec, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&store->writer, "SELECT number, codec FROM segment WHERE (size - dead) * 100 <"
	                                                     " size * 60 AND" MOVABLE "AND (? OR NOT" HOLDS_METADATA
	                                                     "OR (SELECT checkpoint_segment = 0 OR number < checkpoint_segment"
	                                                     " FROM account)) LIMIT 1");
	bind_u64(query, 1, is_chain_worth_it(store, fail));
	if (database_step(&store->writer, query, fail) != DATABASE_ROW)
		return 0;
	uint64_t number = column_u64(query, 0);
	*codec = (enum segment_codec)column_u64(query, 1);
	database_done(query);
	return number;
}

/* Large bodies stay raw: they are mostly attachments, which hardly shrink, and one would take as much memory as it
 * is long. */
static uint64_t find_old(struct store *store, const struct store_care *care, struct fail **fail)
{
	if (!care->recompress_age)
		return 0;
	sqlite3_stmt *query = database_query(&store->writer, "SELECT number FROM segment WHERE codec = 0 AND large = 0"
	                                                     " AND since < ? AND" MOVABLE "LIMIT 1");
	bind_i64(query, 1, care->now - care->recompress_age);
	if (database_step(&store->writer, query, fail) != DATABASE_ROW)
		return 0;
	uint64_t number = column_u64(query, 0);
	database_done(query);
	return number;
}

static enum job_result move_bodies(struct store *store, const struct store_care *care, struct fail **fail)
{
	struct fail *why = NULL;
	enum segment_codec codec = SEGMENT_RAW;
	if (store->backups)
		return JOB_IDLE;
	if (!store->move.segment) {
		uint64_t segment = find_sparse(store, &codec, &why);
		if (!segment && !why) {
			segment = find_old(store, care, &why);
			codec = SEGMENT_ZSTD;
		}
		if (segment && !why)
			move_begin(store, segment, codec, &why);
	}
	bool worked = !why && store->move.segment;
	if (worked)
		move_step(store, care->bytes_max, &why);
	if (!why)
		return worked ? JOB_DONE : JOB_IDLE;
	fail_set(fail, why->kind, "%s", why->text);
	fail_free(&why);
	return JOB_FAILED;
}

static bool was_begun_since(const struct store *store, uint64_t number)
{
	for (size_t i = 0; i < store->begun.list.count; i++)
		if (store->begun.list.items[i] == number)
			return true;
	return false;
}

/* One that was there at the open: what a failed commit leaves behind later may yet get its row back by a crash. */
static enum job_result collect_orphan(struct store *store, const struct store_care *care, struct fail **fail)
{
	(void)care;
	struct orphan_contents contents;
	if (!store->orphans_known && !orphans_find(store, &store->writer, &store->orphans, fail))
		return JOB_FAILED;
	store->orphans_known = true;
	if (!store->orphans.list.count || store->backups)
		return JOB_IDLE;
	uint64_t number = store->orphans.list.items[--store->orphans.list.count];
	if (was_begun_since(store, number))
		return JOB_DONE;
	if (!orphan_read(store, &store->writer, number, &contents, fail))
		return JOB_FAILED;
	if (!contents.only_here && !segments_unlink(&store->segments, number, fail))
		return JOB_FAILED;
	return JOB_DONE;
}

/* An account that gets little mail would else never seal, and so never recompress. */
static enum job_result seal_old_tail(struct store *store, const struct store_care *care, struct fail **fail)
{
	if (!care->recompress_age || !store->tail.file || store->tail.end < SEAL_MIN)
		return JOB_IDLE;
	sqlite3_stmt *query = database_query(&store->writer, "SELECT 1 FROM segment WHERE number = ? AND since < ?");
	bind_u64(query, 1, store->tail.file->number);
	bind_i64(query, 2, care->now - care->recompress_age);
	bool old = database_step(&store->writer, query, fail) == DATABASE_ROW;
	database_done(query);
	if (!old)
		return JOB_IDLE;
	struct store_txn *txn = txn_begin_locked(store, true);
	segment_seal(txn, &store->tail);
	return commit_job(txn, true, fail);
}

/* ---- threads ---- */

static enum job_result assign_threads(struct store *store, const struct store_care *care, struct fail **fail)
{
	if (!number_of(store,
	               "SELECT EXISTS(SELECT 1 FROM message WHERE message > (SELECT coalesce(max(message), 0)"
	               " FROM thread))",
	               fail))
		return JOB_IDLE;
	bool more = false;
	struct store_txn *txn = txn_begin_locked(store, false);
	store_assign_threads(txn, care->rows_max, &more);
	return commit_job(txn, true, fail);
}

/* ---- pages ---- */

/* What deliveries left to be read one by one. */
static enum job_result cover_by_pages(struct store *store, const struct store_care *care, struct fail **fail)
{
	(void)care;
	sqlite3_stmt *query = database_query(&store->writer, "SELECT id FROM mailbox WHERE uidnext - paged > ? AND"
	                                                     " name NOT NULL LIMIT 1");
	bind_u64(query, 1, UID_PAGES_UNCOVERED_IDLE);
	if (database_step(&store->writer, query, fail) != DATABASE_ROW)
		return JOB_IDLE;
	uint64_t id = column_u64(query, 0);
	database_done(query);
	struct store_txn *txn = txn_begin_locked(store, false);
	struct mailbox_state *mailbox = mailbox_state(txn, id);
	if (mailbox && uid_pages_write_back(txn, mailbox, UID_PAGES_UNCOVERED_IDLE))
		mailbox->changed = true;
	return commit_job(txn, true, fail);
}

/* ---- tombstones ---- */

/* A client that was away for longer gets all UIDs instead (RFC 7162 §3.2.5.2 allows it). */
static enum job_result prune_tombstones(struct store *store, const struct store_care *care, struct fail **fail)
{
	uint64_t mailbox = 0;
	sqlite3_stmt *find = database_query(&store->writer, "SELECT mailbox FROM tombstone GROUP BY mailbox"
	                                                    " HAVING count(*) > ? LIMIT 1");
	bind_u64(find, 1, TOMBSTONES_KEPT);
	if (database_step(&store->writer, find, fail) != DATABASE_ROW)
		return JOB_IDLE;
	mailbox = column_u64(find, 0);
	database_done(find);
	struct store_txn *txn = txn_begin_locked(store, true);
	run_limited(txn,
	            "UPDATE mailbox SET vanished_floor = (SELECT max(modseq) FROM (SELECT modseq FROM tombstone WHERE"
	            " mailbox = ?1 ORDER BY modseq LIMIT ?2)) WHERE id = ?1",
	            mailbox, care->rows_max);
	run_limited(txn,
	            "DELETE FROM tombstone WHERE mailbox = ?1 AND modseq <= (SELECT vanished_floor FROM mailbox"
	            " WHERE id = ?1 AND ?2)",
	            mailbox, 1);
	return commit_job(txn, true, fail);
}

/* ---- metadata and WAL ---- */

static enum job_result append_metadata(struct store *store, const struct store_care *care, struct fail **fail)
{
	if ((store->checkpoint_time && care->now - store->checkpoint_time < CHECKPOINT_INTERVAL) ||
	    number_of(store, "SELECT checkpoint_modseq FROM account", fail) >= store->modseq)
		return JOB_IDLE;
	store->checkpoint_time = care->now;
	struct store_txn *txn = txn_begin_locked(store, true);
	checkpoint_append(txn, false);
	return commit_job(txn, true, fail);
}

static enum job_result write_recent(struct store *store, const struct store_care *care, struct fail **fail)
{
	(void)care;
	return index_write_recent(store, fail) ? JOB_IDLE : JOB_FAILED;
}

static enum job_result checkpoint_wal(struct store *store, const struct store_care *care, struct fail **fail)
{
	(void)care;
	if (!store->wal_pages)
		return JOB_IDLE;
	if (!barrier_locked(store, fail))
		return JOB_FAILED;
	int result = sqlite3_wal_checkpoint_v2(store->writer.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	/* a reader that is at work is no failure: next time */
	if (result != SQLITE_OK && result != SQLITE_BUSY) {
		database_fail(&store->writer, "checkpoint", fail);
		return JOB_FAILED;
	}
	store->wal_pages = 0;
	return JOB_IDLE;
}

bool store_maintain(struct store *store, const struct store_care *care, bool *more, struct fail **fail)
{
	static enum job_result (*const jobs[])(struct store *, const struct store_care *, struct fail **) = {
		purge_mailboxes, assign_threads,   cover_by_pages, collect_dead,    collect_orphan, seal_old_tail,
		move_bodies,     prune_tombstones, write_recent,   append_metadata, checkpoint_wal,
	};
	enum job_result result = JOB_IDLE;
	index_drop_unused(store, clock_monotonic_ms() - INDEX_LINGER_MS);
	pthread_mutex_lock(&store->writer_lock);
	if (store->recovering)
		fail_set(fail, FAIL_UNAVAILABLE, "the recovery was not finished");
	else if (store->suspect && !store_rescue(store, fail))
		result = JOB_FAILED;
	for (size_t i = 0; !store->recovering && result == JOB_IDLE && i < COUNT_OF(jobs); i++)
		result = jobs[i](store, care, fail);
	*more = result == JOB_DONE;
	bool ok = !store->recovering && result != JOB_FAILED;
	pthread_mutex_unlock(&store->writer_lock);
	return ok;
}

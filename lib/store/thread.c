#include "store_internal.h"

#include <xxhash.h>

/*
 * Threads, RFC 8621 §3 and RFC 8474 §5.2: two mails are in one thread when they share a Message-ID among
 * their Message-ID, In-Reply-To and References fields and have the same base subject. A thread's number is
 * that of its first mail, and never changes for a mail that has one. References are scattered over the
 * table, so a delivery leaves them alone; they are entered for many mails at once, in order of arrival.
 */

struct message_keys {
	uint64_t message;
	uint64_t keys[LIMIT_REFERENCES_MAX + 1];
	size_t count;
};

static uint64_t key_of(uint64_t reference, struct str subject)
{
	return XXH3_64bits_withSeed(subject.data, subject.length, reference);
}

static void read_keys(sqlite3_stmt *query, struct message_keys *m)
{
	struct str references = column_bytes(query, 2);
	struct str subject = column_bytes(query, 3);
	uint64_t own = column_u64(query, 1);
	*m = (struct message_keys){ .message = column_u64(query, 0) };
	if (own)
		m->keys[m->count++] = key_of(own, subject);
	for (size_t i = 0; i + sizeof own <= references.length && m->count < COUNT_OF(m->keys); i += sizeof own) {
		uint64_t reference;
		memcpy(&reference, references.data + i, sizeof reference);
		m->keys[m->count++] = key_of(reference, subject);
	}
}

/* Of several threads that a late mail joins, it goes to the oldest. */
static uint64_t find_thread(struct store_txn *txn, const struct message_keys *m)
{
	uint64_t thread = m->message;
	for (size_t i = 0; txn_ok(txn) && i < m->count; i++) {
		sqlite3_stmt *query = txn_query(txn, "SELECT thread FROM thread_reference WHERE hash = ?");
		bind_u64(query, 1, m->keys[i]);
		uint64_t found = txn_number(txn, query);
		thread = found && found < thread ? found : thread;
	}
	return thread;
}

static bool enter(struct store_txn *txn, const struct message_keys *m)
{
	uint64_t thread = find_thread(txn, m);
	for (size_t i = 0; txn_ok(txn) && i < m->count; i++) {
		sqlite3_stmt *query = txn_query(txn, "INSERT OR IGNORE INTO thread_reference(hash, thread) VALUES(?, ?)");
		bind_u64(query, 1, m->keys[i]);
		bind_u64(query, 2, thread);
		txn_run(txn, query);
	}
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO thread(message, thread) VALUES(?, ?)");
	bind_u64(query, 1, m->message);
	bind_u64(query, 2, thread);
	return txn_run(txn, query);
}

bool store_assign_threads(struct store_txn *txn, unsigned rows_max, bool *more)
{
	ARRAY(struct message_keys) messages = {};
	sqlite3_stmt *query = txn_query(txn, "SELECT message, message_id, refs, subject FROM message WHERE message >"
	                                     " (SELECT coalesce(max(message), 0) FROM thread) ORDER BY message LIMIT ?");
	bind_u64(query, 1, rows_max);
	while (txn_step(txn, query) == DATABASE_ROW)
		read_keys(query, array_add(&messages));
	for (size_t i = 0; txn_ok(txn) && i < messages.count; i++)
		enter(txn, &messages.items[i]);
	*more = messages.count == rows_max;
	array_release(&messages);
	return txn_ok(txn);
}

bool store_read_thread(struct store_reader *reader, uint64_t message, uint64_t *thread, struct fail **fail)
{
	struct database *db = &reader->database;
	sqlite3_stmt *query = database_query(db, "SELECT thread FROM thread WHERE message = ?");
	bind_u64(query, 1, message);
	enum database_step step = database_step(db, query, fail);
	if (step == DATABASE_DONE)
		fail_set(fail, FAIL_NOT_FOUND, "message %llu has no thread yet", (unsigned long long)message);
	if (step != DATABASE_ROW)
		return false;
	*thread = column_u64(query, 0);
	database_done(query);
	return true;
}

#include "store_internal.h"

/*
 * Wide and immutable: message. Narrow, and what changes: placement. body says where the octets lie.
 * Every table that a delivery touches grows at its right end, so that one delivery dirties one
 * page of each; what would need a page at a random place (threads) is made later, in batches.
 * placement_modseq is what a client that comes back asks for (RFC 7162), placement_message what
 * tells whether a message still has a place.
 */
enum { SCHEMA_VERSION = 1, APPLICATION = 0x506f7374 };

static const char schema[] =
	"CREATE TABLE account(id INTEGER PRIMARY KEY CHECK(id = 1), uidvalidity INTEGER NOT NULL, modseq INTEGER NOT NULL,"
	" message_next INTEGER NOT NULL, checkpoint_modseq INTEGER NOT NULL DEFAULT 0,"
	" checkpoint_rows INTEGER NOT NULL DEFAULT 0, checkpoint_segment INTEGER NOT NULL DEFAULT 0);"

	"CREATE TABLE mailbox(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, uidvalidity INTEGER NOT NULL,"
	" uidnext INTEGER NOT NULL, highestmodseq INTEGER NOT NULL, special_use INTEGER NOT NULL, messages INTEGER NOT "
	"NULL,"
	" unseen INTEGER NOT NULL, deleted INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	" vanished_floor INTEGER NOT NULL DEFAULT 0);"
	"CREATE TABLE subscription(name TEXT PRIMARY KEY) WITHOUT ROWID;"
	"CREATE TABLE keyword(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE);"

	"CREATE TABLE segment(number INTEGER PRIMARY KEY AUTOINCREMENT, codec INTEGER NOT NULL, state INTEGER NOT NULL,"
	" large INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL, dead INTEGER NOT NULL, since INTEGER NOT NULL);"

	"CREATE TABLE message(message INTEGER PRIMARY KEY, size INTEGER NOT NULL, lines INTEGER NOT NULL,"
	" received INTEGER NOT NULL, sent INTEGER NOT NULL, message_id INTEGER NOT NULL, refs BLOB, subject TEXT,"
	" preview TEXT, headers BLOB, structure BLOB, traits INTEGER NOT NULL);"
	"CREATE INDEX message_traits ON message(message) WHERE traits != 0;"
	"CREATE TABLE body(message INTEGER PRIMARY KEY, segment INTEGER NOT NULL, start INTEGER NOT NULL,"
	" header INTEGER NOT NULL, stored INTEGER NOT NULL, size INTEGER NOT NULL, checksum INTEGER NOT NULL,"
	" codec INTEGER NOT NULL, stable BLOB NOT NULL);"
	"CREATE TABLE placement(mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, message INTEGER NOT NULL,"
	" flags INTEGER NOT NULL, modseq INTEGER NOT NULL, size INTEGER NOT NULL, received INTEGER NOT NULL,"
	" saved INTEGER NOT NULL, keywords BLOB, PRIMARY KEY(mailbox, uid)) WITHOUT ROWID;"
	"CREATE INDEX placement_message ON placement(message);"
	"CREATE INDEX placement_modseq ON placement(mailbox, modseq);"
	"CREATE TABLE tombstone(mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" PRIMARY KEY(mailbox, modseq, uid)) WITHOUT ROWID;"
	"CREATE TABLE dead(message INTEGER PRIMARY KEY);"

	"CREATE TABLE journal(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE);"
	"CREATE TABLE applied(journal INTEGER NOT NULL, seq INTEGER NOT NULL, recipient INTEGER NOT NULL,"
	" message INTEGER NOT NULL, PRIMARY KEY(journal, seq, recipient)) WITHOUT ROWID;"

	"CREATE TABLE thread(message INTEGER PRIMARY KEY, thread INTEGER NOT NULL);"
	"CREATE TABLE thread_reference(hash INTEGER PRIMARY KEY, thread INTEGER NOT NULL);"

	/* what a rebuild found, until the journal has been replayed once: it must not deliver that again */
	"CREATE TABLE rebuilt(stable BLOB PRIMARY KEY, message INTEGER NOT NULL) WITHOUT ROWID;";

static bool read_number(struct database *db, const char *sql, int64_t *number, struct fail **fail)
{
	sqlite3_stmt *query = NULL;
	bool ok = sqlite3_prepare_v2(db->handle, sql, -1, &query, NULL) == SQLITE_OK && sqlite3_step(query) == SQLITE_ROW;
	if (ok)
		*number = sqlite3_column_int64(query, 0);
	else
		database_fail(db, sql, fail);
	sqlite3_finalize(query);
	return ok;
}

bool schema_configure(struct database *db, bool writer, struct fail **fail)
{
	/*
	 * Small pages: a delivery changes a few bytes on each of some nine pages, and the WAL gets whole ones. What it
	 * wrote it seldom reads again, so the cache is small, and grows only for a large transaction. Temporary files
	 * would need a directory of their own.
	 */
	const char *pragmas = writer ? "PRAGMA page_size=1024; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-256;"
	                               "PRAGMA cache_spill=1024;"
	                               "PRAGMA journal_mode=WAL;"
	                               "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF;"
	                               "PRAGMA foreign_keys=OFF"
	                             : "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-256; PRAGMA query_only=ON";
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return database_execute(db, pragmas, fail);
}

static bool create_rows(struct database *db, uint32_t uidvalidity, struct fail **fail)
{
	sqlite3_stmt *account =
		database_query(db, "INSERT INTO account(id, uidvalidity, modseq, message_next) VALUES(1, ?, 1, 1)");
	bind_u64(account, 1, uidvalidity);
	sqlite3_stmt *inbox =
		database_query(db, "INSERT INTO mailbox(name, uidvalidity, uidnext, highestmodseq, special_use,"
	                       " messages, unseen, deleted, bytes) VALUES('INBOX', ?, 1, 1, 0, 0, 0, 0, 0)");
	bind_u64(inbox, 1, uidvalidity);
	return database_run(db, account, fail) && database_run(db, inbox, fail);
}

static bool create_schema(struct database *db, uint32_t uidvalidity, struct fail **fail)
{
	char versions[128];
	sqlite3_snprintf(sizeof versions, versions, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT", APPLICATION,
	                 SCHEMA_VERSION);
	if (database_execute(db, "BEGIN IMMEDIATE", fail) && database_execute(db, schema, fail) &&
	    create_rows(db, uidvalidity, fail) && database_execute(db, versions, fail))
		return true;
	sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

bool schema_open(struct database *db, bool create, uint32_t uidvalidity, bool *created, struct fail **fail)
{
	int64_t version = 0;
	int64_t application = 0;
	/* Before any statement that could change a file which is not ours, or newer. */
	if (!read_number(db, "PRAGMA user_version", &version, fail) ||
	    !read_number(db, "PRAGMA application_id", &application, fail))
		return false;
	if (version == 0 && application == 0 && create) {
		*created = schema_configure(db, true, fail) && create_schema(db, uidvalidity, fail);
		return *created;
	}
	if (application != APPLICATION)
		return fail_set(fail, FAIL_CORRUPT, "meta.db is not a store");
	if (version != SCHEMA_VERSION)
		return fail_set(fail, FAIL_INVALID, "meta.db has schema %lld, this program knows %d", (long long)version,
		                SCHEMA_VERSION);
	return schema_configure(db, true, fail);
}

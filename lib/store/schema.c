#include "store_internal.h"

/*
 * Wide and immutable: message, with the columns that lists need most in front. Narrow, and what changes: placement.
 * body says where the octets lie. Every table that a delivery touches grows at its right end, so that one delivery
 * dirties one page of each; what would need a page at a random place (threads) is made later, in batches.
 * placement_message tells whether a message still has a place. What changed since a modseq, which a client that comes
 * back asks for (RFC 7162), is found by the pages that hold it (uid_page.h).
 */
enum { SCHEMA_VERSION = 3, APPLICATION = 0x506f7374 };

#define PAGE_TABLE                                                                             \
	"CREATE TABLE page(mailbox INTEGER NOT NULL, number INTEGER NOT NULL, modseq INTEGER NOT NULL," \
	" uids BLOB NOT NULL, unseen BLOB NOT NULL, PRIMARY KEY(mailbox, number)) WITHOUT ROWID;"
#define ANNOTATION_TABLE                                                                                    \
	"CREATE TABLE annotation(mailbox INTEGER NOT NULL, entry TEXT NOT NULL, modseq INTEGER NOT NULL, value BLOB," \
	" PRIMARY KEY(mailbox, entry));"

static const char schema[] =
	"CREATE TABLE account(id INTEGER PRIMARY KEY CHECK(id = 1), uidvalidity INTEGER NOT NULL, modseq INTEGER NOT NULL,"
	" message_next INTEGER NOT NULL, checkpoint_modseq INTEGER NOT NULL DEFAULT 0,"
	" checkpoint_rows INTEGER NOT NULL DEFAULT 0, checkpoint_segment INTEGER NOT NULL DEFAULT 0,"
	" own_bytes INTEGER NOT NULL DEFAULT 0, own_messages INTEGER NOT NULL DEFAULT 0);"

	"CREATE TABLE mailbox(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, uidvalidity INTEGER NOT NULL,"
	" uidnext INTEGER NOT NULL, highestmodseq INTEGER NOT NULL, special_use INTEGER NOT NULL, messages INTEGER NOT "
	"NULL,"
	" unseen INTEGER NOT NULL, deleted INTEGER NOT NULL, bytes INTEGER NOT NULL,"
	" vanished_floor INTEGER NOT NULL DEFAULT 0, paged INTEGER NOT NULL DEFAULT 1, recent INTEGER NOT NULL DEFAULT 1);"
	"CREATE TABLE subscription(name TEXT PRIMARY KEY) WITHOUT ROWID;"
	ANNOTATION_TABLE
	"CREATE TABLE keyword(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE COLLATE NOCASE);"

	"CREATE TABLE segment(number INTEGER PRIMARY KEY AUTOINCREMENT, codec INTEGER NOT NULL, state INTEGER NOT NULL,"
	" large INTEGER NOT NULL DEFAULT 0, size INTEGER NOT NULL, dead INTEGER NOT NULL, since INTEGER NOT NULL);"

	"CREATE TABLE message(message INTEGER PRIMARY KEY, size INTEGER NOT NULL, lines INTEGER NOT NULL,"
	" received INTEGER NOT NULL, sent INTEGER NOT NULL, message_id INTEGER NOT NULL, traits INTEGER NOT NULL,"
	" structure BLOB, headers BLOB, preview TEXT, subject TEXT, refs BLOB);"
	"CREATE INDEX message_traits ON message(message) WHERE traits != 0;"
	"CREATE TABLE body(message INTEGER PRIMARY KEY, segment INTEGER NOT NULL, start INTEGER NOT NULL,"
	" header INTEGER NOT NULL, stored INTEGER NOT NULL, size INTEGER NOT NULL, checksum INTEGER NOT NULL,"
	" codec INTEGER NOT NULL, stable BLOB NOT NULL);"
	"CREATE TABLE placement(mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, message INTEGER NOT NULL,"
	" flags INTEGER NOT NULL, modseq INTEGER NOT NULL, size INTEGER NOT NULL, received INTEGER NOT NULL,"
	" saved INTEGER NOT NULL, keywords BLOB, PRIMARY KEY(mailbox, uid)) WITHOUT ROWID;"
	"CREATE INDEX placement_message ON placement(message);"
	PAGE_TABLE
	/* uid and the count - 1 that follow it */
	"CREATE TABLE tombstone(mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" count INTEGER NOT NULL DEFAULT 1, PRIMARY KEY(mailbox, modseq, uid)) WITHOUT ROWID;"
	"CREATE TABLE dead(message INTEGER PRIMARY KEY);"

	"CREATE TABLE journal(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL UNIQUE);"
	"CREATE TABLE applied(journal INTEGER NOT NULL, seq INTEGER NOT NULL, recipient INTEGER NOT NULL,"
	" message INTEGER NOT NULL, PRIMARY KEY(journal, seq, recipient)) WITHOUT ROWID;"

	"CREATE TABLE thread(message INTEGER PRIMARY KEY, thread INTEGER NOT NULL);"
	"CREATE TABLE thread_reference(hash INTEGER PRIMARY KEY, thread INTEGER NOT NULL);"

	/* what a rebuild found: the journal must not deliver that again, and nothing tells when it can't any more */
	"CREATE TABLE rebuilt(stable BLOB PRIMARY KEY, message INTEGER NOT NULL) WITHOUT ROWID;";

/* From the version that is its index to the next. Pages are made by and by: no mailbox has any yet. */
static const char *const migrations[SCHEMA_VERSION] = {
	[1] = ANNOTATION_TABLE PAGE_TABLE "DROP INDEX placement_modseq;"
	      "ALTER TABLE mailbox ADD COLUMN paged INTEGER NOT NULL DEFAULT 1;"
	      "ALTER TABLE mailbox ADD COLUMN recent INTEGER NOT NULL DEFAULT 1;"
	      "ALTER TABLE tombstone ADD COLUMN count INTEGER NOT NULL DEFAULT 1;",
	[2] = "ALTER TABLE account ADD COLUMN own_bytes INTEGER NOT NULL DEFAULT 0;"
	      "ALTER TABLE account ADD COLUMN own_messages INTEGER NOT NULL DEFAULT 0;",
};

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
	 * wrote it seldom reads again, so the cache is small, and grows only for a large transaction. SQLite takes the
	 * low eight bits of cache_spill for a yes or no as well: with 1024 a transaction would stay in memory as a whole.
	 * Temporary files would need a directory of their own.
	 */
	const char *pragmas = writer ? "PRAGMA page_size=1024; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-256;"
	                               "PRAGMA cache_spill=1000;"
	                               "PRAGMA journal_mode=WAL;"
	                               "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF;"
	                               "PRAGMA foreign_keys=OFF"
	                             : "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-256; PRAGMA query_only=ON";
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return database_execute(db, pragmas, fail);
}

static bool create_mailbox(struct database *db, struct str name, enum store_special_use use, uint32_t uidvalidity,
                           struct fail **fail)
{
	sqlite3_stmt *mailbox =
		database_query(db, "INSERT INTO mailbox(name, uidvalidity, uidnext, highestmodseq, special_use,"
	                       " messages, unseen, deleted, bytes) VALUES(?, ?, 1, 1, ?, 0, 0, 0, 0)");
	bind_text(mailbox, 1, name);
	bind_u64(mailbox, 2, uidvalidity);
	bind_u64(mailbox, 3, use);
	return database_run(db, mailbox, fail);
}

/* Those that an account begins with; an INBOX in any case. */
static bool create_first(struct database *db, const struct store_options *options, uint32_t uidvalidity,
                         struct fail **fail)
{
	bool ok = create_mailbox(db, STR("INBOX"), STORE_USE_NONE, uidvalidity, fail);
	for (size_t i = 0; ok && i < options->first_count; i++) {
		const struct store_first_mailbox *first = &options->first[i];
		ok = create_mailbox(db, first->name, first->use, uidvalidity + 1 + (uint32_t)i, fail);
	}
	return ok &&
	       (!options->first_count || database_execute(db, "INSERT INTO subscription SELECT name FROM mailbox", fail));
}

static bool create_rows(struct database *db, const struct store_options *options, struct fail **fail)
{
	uint32_t uidvalidity = options->uidvalidity ? options->uidvalidity : 1;
	sqlite3_stmt *account =
		database_query(db, "INSERT INTO account(id, uidvalidity, modseq, message_next) VALUES(1, ?, 1, 1)");
	bind_u64(account, 1, uidvalidity + options->first_count);
	return database_run(db, account, fail) && create_first(db, options, uidvalidity, fail);
}

static bool create_schema(struct database *db, const struct store_options *options, struct fail **fail)
{
	char versions[128];
	sqlite3_snprintf(sizeof versions, versions, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT", APPLICATION,
	                 SCHEMA_VERSION);
	if (database_execute(db, "BEGIN IMMEDIATE", fail) && database_execute(db, schema, fail) &&
	    create_rows(db, options, fail) && database_execute(db, versions, fail))
		return true;
	sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

/* One version onward, all or nothing. */
static bool migrate(struct database *db, int64_t from, struct fail **fail)
{
	char version[64];
	sqlite3_snprintf(sizeof version, version, "PRAGMA user_version=%d; COMMIT", (int)from + 1);
	if (database_execute(db, "BEGIN IMMEDIATE", fail) && database_execute(db, migrations[from], fail) &&
	    database_execute(db, version, fail))
		return true;
	sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	return false;
}

bool schema_open(struct database *db, bool create, const struct store_options *options, bool *created,
                 struct fail **fail)
{
	int64_t version = 0;
	int64_t application = 0;
	/* Before any statement that could change a file which is not ours, or newer. */
	if (!read_number(db, "PRAGMA user_version", &version, fail) ||
	    !read_number(db, "PRAGMA application_id", &application, fail))
		return false;
	if (version == 0 && application == 0 && create) {
		*created = schema_configure(db, true, fail) && create_schema(db, options, fail);
		return *created;
	}
	if (application != APPLICATION)
		return fail_set(fail, FAIL_CORRUPT, "meta.db is not a store");
	if (version < 1 || version > SCHEMA_VERSION)
		return fail_set(fail, FAIL_INVALID, "meta.db has schema %lld, this program knows %d", (long long)version,
		                SCHEMA_VERSION);
	bool ok = schema_configure(db, true, fail);
	for (; ok && version < SCHEMA_VERSION; version++)
		ok = migrate(db, version, fail);
	return ok;
}

#include "database.h"

#include "store.h"
#include "wal_vfs.h"

#include <errno.h>

enum { BUSY_MS = 10000 };

bool database_open(struct database *db, const char *path, int flags, struct fail **fail)
{
	*db = (struct database){};
	if (sqlite3_open_v2(path, &db->handle, flags | SQLITE_OPEN_NOMUTEX, wal_vfs_name()) == SQLITE_OK) {
		sqlite3_extended_result_codes(db->handle, 1);
		/* One process, so a lock that is taken passes soon. */
		sqlite3_busy_timeout(db->handle, BUSY_MS);
		return true;
	}
	if (db->handle)
		database_fail(db, "open", fail);
	else
		fail_set(fail, FAIL_IO, "meta.db: no memory for a connection");
	database_close(db);
	return false;
}

void database_close(struct database *db)
{
	for (size_t i = 0; i < DATABASE_STATEMENTS_MAX; i++)
		sqlite3_finalize(db->statements[i].statement);
	int result = sqlite3_close(db->handle);
	must(result == SQLITE_OK);
	*db = (struct database){};
}

static enum fail_kind kind_of(struct database *db)
{
	int code = sqlite3_extended_errcode(db->handle);
	switch (code & 0xff) {
	case SQLITE_FULL:
		return FAIL_NO_SPACE;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return FAIL_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR:
		return FAIL_CORRUPT;
	case SQLITE_CONSTRAINT:
		return FAIL_EXISTS;
	case SQLITE_TOOBIG:
		return FAIL_TOO_BIG;
	default: {
		int system_error = sqlite3_system_errno(db->handle);
		return system_error == ENOSPC || system_error == EDQUOT ? FAIL_NO_SPACE : FAIL_IO;
	}
	}
}

bool database_fail(struct database *db, const char *what, struct fail **fail)
{
	return fail_set(fail, kind_of(db), "meta.db: %s: %s (%d)", what, sqlite3_errmsg(db->handle),
	                sqlite3_extended_errcode(db->handle));
}

bool database_execute(struct database *db, const char *sql, struct fail **fail)
{
	return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK || database_fail(db, sql, fail);
}

sqlite3_stmt *database_query(struct database *db, const char *sql)
{
	size_t slot = ((uintptr_t)sql * UINT64_C(0x9e3779b97f4a7c15)) >> 56;
	while (db->statements[slot].sql && db->statements[slot].sql != sql)
		slot = (slot + 1) % DATABASE_STATEMENTS_MAX;
	if (db->statements[slot].sql)
		return db->statements[slot].statement;
	sqlite3_stmt *statement = NULL;
	if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
		return NULL;
	/* one slot stays empty, so that a search ends */
	must(++db->count < DATABASE_STATEMENTS_MAX);
	db->statements[slot].sql = sql;
	db->statements[slot].statement = statement;
	return statement;
}

enum database_step database_step(struct database *db, sqlite3_stmt *query, struct fail **fail)
{
	int result = query ? sqlite3_step(query) : SQLITE_ERROR;
	if (result == SQLITE_ROW)
		return DATABASE_ROW;
	if (result != SQLITE_DONE)
		database_fail(db, query ? sqlite3_sql(query) : "prepare", fail);
	database_done(query);
	return result == SQLITE_DONE ? DATABASE_DONE : DATABASE_FAILED;
}

bool database_run(struct database *db, sqlite3_stmt *query, struct fail **fail)
{
	enum database_step step = database_step(db, query, fail);
	must(step != DATABASE_ROW);
	return step == DATABASE_DONE;
}

void database_done(sqlite3_stmt *query)
{
	sqlite3_reset(query);
}

void store_preload(void)
{
	unsigned char seed[16];
	/* The statistics cost a lock around each allocation, and nobody reads them. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	must(sqlite3_initialize() == SQLITE_OK);
	sqlite3_randomness(sizeof seed, seed);
}

/*
 * struct database: one SQLite connection with its prepared statements.
 *
 * A connection belongs to one thread at a time. Statements are found by the address of their
 * SQL text, so a query must be a string literal; each is prepared once per connection. A query
 * that failed to prepare is NULL; binding to it does nothing and the step reports why. Every
 * function that steps leaves the statement reset, unless it returned a row: then the caller
 * steps on or calls database_done, since a statement left standing holds a read transaction.
 */
#ifndef POSTHORN_STORE_DATABASE_H
#define POSTHORN_STORE_DATABASE_H

#include "fail.h"
#include "str.h"

#include <sqlite3.h>

enum { DATABASE_STATEMENTS_MAX = 256 };

struct database {
	sqlite3 *handle;
	struct {
		const char *sql;
		sqlite3_stmt *statement;
	} statements[DATABASE_STATEMENTS_MAX];
	size_t count;
};

enum database_step { DATABASE_FAILED = -1, DATABASE_DONE = 0, DATABASE_ROW = 1 };

/* flags as for sqlite3_open_v2. */
bool database_open(struct database *db, const char *path, int flags, struct fail **fail);
void database_close(struct database *db);

/* For statements without parameters that run once: schema, pragmas. */
bool database_execute(struct database *db, const char *sql, struct fail **fail);

sqlite3_stmt *database_query(struct database *db, const char *sql);
enum database_step database_step(struct database *db, sqlite3_stmt *query, struct fail **fail);

/* Runs a query that gives no row. */
bool database_run(struct database *db, sqlite3_stmt *query, struct fail **fail);
void database_done(sqlite3_stmt *query);

/* Turns the connection's last error into a fail; returns false. */
bool database_fail(struct database *db, const char *what, struct fail **fail);

/* Bytes are not copied: they must live until the statement has run. */
static inline void bind_u64(sqlite3_stmt *query, int index, uint64_t value)
{
	sqlite3_bind_int64(query, index, (sqlite3_int64)value);
}

static inline void bind_i64(sqlite3_stmt *query, int index, int64_t value)
{
	sqlite3_bind_int64(query, index, value);
}

static inline void bind_text(sqlite3_stmt *query, int index, struct str text)
{
	sqlite3_bind_text64(query, index, text.data ? text.data : "", text.length, SQLITE_STATIC, SQLITE_UTF8);
}

/* No data is NULL. */
static inline void bind_bytes(sqlite3_stmt *query, int index, struct str bytes)
{
	if (bytes.data)
		sqlite3_bind_blob64(query, index, bytes.data, bytes.length, SQLITE_STATIC);
	else
		sqlite3_bind_null(query, index);
}

static inline uint64_t column_u64(sqlite3_stmt *query, int column)
{
	return (uint64_t)sqlite3_column_int64(query, column);
}

/* Lives until the next step or reset. */
static inline struct str column_bytes(sqlite3_stmt *query, int column)
{
	const void *data = sqlite3_column_blob(query, column);
	return str_from(data, data ? (size_t)sqlite3_column_bytes(query, column) : 0);
}

#endif

#include "directory_sql.h"

#include <stdlib.h>

#define DIRECTORY_SQL_TEXT(name, text) text,
static const char *const sql_text[DIRECTORY_SQL_COUNT] = { DIRECTORY_SQL(DIRECTORY_SQL_TEXT) };
#undef DIRECTORY_SQL_TEXT

static bool database_fail(struct directory *d, struct fail **fail)
{
	static const struct {
		int code;
		enum fail_kind kind;
	} kinds[] = {
		{ SQLITE_FULL, FAIL_NO_SPACE },  { SQLITE_BUSY, FAIL_BUSY },      { SQLITE_LOCKED, FAIL_BUSY },
		{ SQLITE_CORRUPT, FAIL_CORRUPT }, { SQLITE_NOTADB, FAIL_CORRUPT }, { SQLITE_CONSTRAINT, FAIL_EXISTS },
	};
	enum fail_kind kind = FAIL_IO;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if ((sqlite3_errcode(d->db) & 0xff) == kinds[i].code)
			kind = kinds[i].kind;
	}
	return fail_set(fail, kind, "the directory database: %s", sqlite3_errmsg(d->db));
}

static bool query_fail(struct query *q)
{
	q->failed = true;
	return database_fail(q->d, q->fail);
}

struct query query_begin(struct directory *d, enum directory_sql which, struct fail **fail)
{
	struct query q = { .d = d, .fail = fail };
	/* A full disk makes SQLite undo the whole batch: what follows must not be kept without it. */
	if (d->depth > 0 && sqlite3_get_autocommit(d->db)) {
		q.failed = true;
		fail_set(fail, FAIL_IO, "the changes made together have been undone after an earlier failure");
	}
	q.failed = q.failed || d->refused > 0;
	sqlite3_stmt **kept = &d->statements[which];
	if (!*kept && sqlite3_prepare_v3(d->db, sql_text[which], -1, SQLITE_PREPARE_PERSISTENT, kept, NULL) != SQLITE_OK)
		query_fail(&q);
	q.statement = d->statements[which];
	must(!q.statement || !sqlite3_stmt_busy(q.statement));
	return q;
}

void query_end(struct query *q)
{
	sqlite3_reset(q->statement);
	sqlite3_clear_bindings(q->statement);
}

void query_text(struct query *q, int parameter, struct str value)
{
	const char *data = value.data ? value.data : "";
	if (!q->failed && sqlite3_bind_text64(q->statement, parameter, data, value.length, SQLITE_STATIC, SQLITE_UTF8))
		query_fail(q);
}

void query_blob(struct query *q, int parameter, struct str value)
{
	const char *data = value.data ? value.data : "";
	if (!q->failed && sqlite3_bind_blob64(q->statement, parameter, data, value.length, SQLITE_STATIC))
		query_fail(q);
}

void query_number(struct query *q, int parameter, int64_t value)
{
	if (!q->failed && sqlite3_bind_int64(q->statement, parameter, value))
		query_fail(q);
}

bool query_row(struct query *q)
{
	if (q->failed)
		return false;
	int code = sqlite3_step(q->statement);
	if (code == SQLITE_ROW)
		return true;
	if (code != SQLITE_DONE)
		query_fail(q);
	return false;
}

bool query_run(struct query *q)
{
	must(!query_row(q));
	return !q->failed;
}

int64_t query_get_number(struct query *q, int column)
{
	return sqlite3_column_int64(q->statement, column);
}

struct str query_get(struct query *q, int column)
{
	const char *data = sqlite3_column_blob(q->statement, column);
	int length = sqlite3_column_bytes(q->statement, column);
	return str_from(data ? data : "", (size_t)length);
}

void query_copy(struct query *q, int column, char *text, size_t size)
{
	struct str value = query_get(q, column);
	text[0] = 0;
	if (value.length >= size) {
		q->failed = true;
		fail_set(q->fail, FAIL_CORRUPT, "the directory database: a value of %zu octets is too long", value.length);
		return;
	}
	memcpy(text, value.data, value.length);
	text[value.length] = 0;
}

bool query_numbers(struct directory *d, enum directory_sql which, int64_t one, int64_t two, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, which, fail);
	query_number(&q, 1, one);
	if (q.statement && sqlite3_bind_parameter_count(q.statement) > 1)
		query_number(&q, 2, two);
	return query_run(&q);
}

struct change change_begin(struct directory *d, struct fail **fail)
{
	struct change c = { .d = d, .fail = fail };
	bool undone = d->depth > 0 && sqlite3_get_autocommit(d->db);
	c.open = !undone && sqlite3_exec(d->db, "SAVEPOINT change", NULL, NULL, NULL) == SQLITE_OK;
	c.refused = !c.open;
	d->depth += c.open;
	d->refused += c.refused;
	if (c.refused && !undone)
		database_fail(d, fail);
	return c;
}

bool change_commit(struct change *c)
{
	struct directory *d = c->d;
	if (!c->open)
		return false;
	CLEANUP(query_end) struct query q = query_begin(d, SQL_GENERATION_ADD, c->fail);
	if (!query_run(&q))
		return false;
	query_end(&q);
	if (sqlite3_exec(d->db, "RELEASE change", NULL, NULL, NULL) != SQLITE_OK)
		return database_fail(d, c->fail);
	c->open = false;
	d->depth--;
	d->generation++;
	return true;
}

void change_end(struct change *c)
{
	c->d->refused -= c->refused;
	c->refused = false;
	if (!c->open)
		return;
	c->open = false;
	c->d->depth--;
	/* After some failures SQLite has rolled all back already: then both do nothing. */
	sqlite3_exec(c->d->db, "ROLLBACK TO change", NULL, NULL, NULL);
	sqlite3_exec(c->d->db, "RELEASE change", NULL, NULL, NULL);
}

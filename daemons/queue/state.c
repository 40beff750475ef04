#include "state.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "queue.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum { PENDING_MAX = 200000, PURGE_SECONDS = 3600, PATH_ROOM = 4096 };

/* One value to be written. Its map key is the kind, NUL and the key. */
struct state_change {
	struct state_change *next; /* in a batch */
	const char *kind;
	bool removed;
	int64_t expires;
	size_t key_length, value_length;
	char octets[];             /* key and value */
};

struct state {
	struct job job;
	struct queue *queue;
	sqlite3 *db;
	sqlite3_stmt *put, *remove, *purge;
	struct map *pending;         /* → struct state_change */
	struct state_change *batch;  /* the job's */
	bool under_way;
	bool purging;                /* in this job */
	int64_t purged;              /* wall clock, seconds */
	int error;                   /* of the job */
	struct worker worker;
};

static const char schema[] =
	"PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;"
	"PRAGMA trusted_schema=OFF;"
	"CREATE TABLE IF NOT EXISTS state(kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, expires INTEGER NOT NULL,"
	" PRIMARY KEY(kind, key)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS state_expires ON state(expires);"
	"PRAGMA user_version=1; PRAGMA synchronous=FULL;";

static const char put_text[] = "INSERT INTO state VALUES(?1,?2,?3,?4) ON CONFLICT DO UPDATE SET value=?3, expires=?4";

/* ---- the database; in whichever thread has its turn ---- */

static int open_database(struct state *s, const char *path)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	int code = sqlite3_open_v2(path, &s->db, flags, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(s->db, schema, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(s->db, put_text, -1, &s->put, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(s->db, "DELETE FROM state WHERE kind=?1 AND key=?2", -1, &s->remove, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(s->db, "DELETE FROM state WHERE expires<?1", -1, &s->purge, NULL);
	return code;
}

static void close_database(struct state *s)
{
	sqlite3_finalize(s->put);
	sqlite3_finalize(s->remove);
	sqlite3_finalize(s->purge);
	sqlite3_close(s->db);
	s->put = s->remove = s->purge = NULL;
	s->db = NULL;
}

static int step(sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);
	sqlite3_reset(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int write_change(struct state *s, const struct state_change *c)
{
	sqlite3_stmt *statement = c->removed ? s->remove : s->put;
	sqlite3_bind_text(statement, 1, c->kind, -1, SQLITE_STATIC);
	sqlite3_bind_blob64(statement, 2, c->octets, c->key_length, SQLITE_STATIC);
	if (!c->removed) {
		sqlite3_bind_blob64(statement, 3, c->octets + c->key_length, c->value_length, SQLITE_STATIC);
		sqlite3_bind_int64(statement, 4, c->expires);
	}
	return step(statement);
}

static int purge(struct state *s)
{
	if (!s->purging)
		return SQLITE_OK;
	sqlite3_bind_int64(s->purge, 1, clock_wall_seconds());
	return step(s->purge);
}

static void run(struct job *job)
{
	struct state *s = (struct state *)job;
	s->error = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (s->error != SQLITE_OK)
		return;
	for (const struct state_change *c = s->batch; c && s->error == SQLITE_OK; c = c->next)
		s->error = write_change(s, c);
	if (s->error == SQLITE_OK)
		s->error = purge(s);
	if (s->error == SQLITE_OK)
		s->error = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
	if (s->error != SQLITE_OK)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- the start ---- */

static void set_aside(const char *path)
{
	static const char *const endings[] = { "", "-wal" };
	char from[PATH_ROOM], to[PATH_ROOM];
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		snprintf(from, sizeof from, "%s%s", path, endings[i]);
		snprintf(to, sizeof to, "%s.damaged%s", path, endings[i]);
		rename(from, to);
	}
}

void state_init(struct queue *q)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/state.db", q->daemon.folder);
	struct state *s = mem_alloc(sizeof *s);
	s->queue = q;
	s->pending = map_new();
	s->purged = clock_wall_seconds();
	q->state = s;
	int code = open_database(s, path);
	if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB) {
		log_event(LOG_ERROR, 0, "state-damaged", LOG_TEXT("why", str_of(sqlite3_errstr(code))));
		close_database(s);
		set_aside(path);
		code = open_database(s, path);
	}
	if (code != SQLITE_OK) {
		log_event(LOG_ERROR, 0, "no-state", LOG_TEXT("why", str_of(sqlite3_errstr(code))));
		close_database(s);
		return;
	}
	worker_start(&s->worker, q->loop);
}

static struct str column(sqlite3_stmt *query, int index)
{
	const char *octets = sqlite3_column_blob(query, index);
	return str_from(octets, (size_t)sqlite3_column_bytes(query, index));
}

void state_load(struct queue *q, const char *kind,
                void (*take)(void *owner, struct str key, struct str value, int64_t expires), void *owner)
{
	struct state *s = q->state;
	sqlite3_stmt *query;
	must(!s->under_way);
	if (!s->db)
		return;
	int code = sqlite3_prepare_v2(s->db, "SELECT key, value, expires FROM state WHERE kind=?1 AND expires>=?2", -1,
	                              &query, NULL);
	sqlite3_bind_text(query, 1, kind, -1, SQLITE_STATIC);
	sqlite3_bind_int64(query, 2, clock_wall_seconds());
	while (code == SQLITE_OK && sqlite3_step(query) == SQLITE_ROW)
		take(owner, column(query, 0), column(query, 1), sqlite3_column_int64(query, 2));
	code = sqlite3_finalize(query);
	if (code != SQLITE_OK)
		log_event(LOG_ERROR, 0, "state-not-read", LOG_TEXT("kind", str_of(kind)),
		          LOG_TEXT("why", str_of(sqlite3_errstr(code))));
}

/* ---- changes ---- */

static void note(struct queue *q, const struct state_change *what, struct str key, struct str value)
{
	struct state *s = q->state;
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(STATE_KEY_MAX + 100);
	must(key.length <= STATE_KEY_MAX && value.length <= STATE_VALUE_MAX);
	if (!s->db || map_count(s->pending) >= PENDING_MAX)
		return;
	struct state_change *c = mem_alloc(sizeof *c + key.length + value.length);
	*c = *what;
	c->key_length = key.length;
	c->value_length = value.length;
	if (key.length)
		memcpy(c->octets, key.data, key.length);
	if (value.length)
		memcpy(c->octets + key.length, value.data, value.length);
	buf_append(&name, what->kind, strlen(what->kind) + 1);
	buf_add_str(&name, key);
	free(map_set(s->pending, buf_str(&name), c));
}

void state_put(struct queue *q, const char *kind, struct str key, struct str value, int64_t expires)
{
	note(q, &(struct state_change){ .kind = kind, .expires = expires }, key, value);
}

void state_remove(struct queue *q, const char *kind, struct str key)
{
	note(q, &(struct state_change){ .kind = kind, .removed = true }, key, (struct str){});
}

static void written(struct job *job)
{
	struct state *s = (struct state *)job;
	for (struct state_change *c; (c = s->batch) != NULL;) {
		s->batch = c->next;
		free(c);
	}
	s->under_way = false;
	if (s->error != SQLITE_OK)
		log_event(LOG_ERROR, 0, "state-not-written", LOG_TEXT("why", str_of(sqlite3_errstr(s->error))));
}

void state_tick(struct queue *q)
{
	struct state *s = q->state;
	size_t position = 0;
	struct str key;
	void *change;
	s->purging = clock_wall_seconds() - s->purged >= PURGE_SECONDS;
	if (!s->db || s->under_way || (map_count(s->pending) == 0 && !s->purging))
		return;
	if (s->purging)
		s->purged = clock_wall_seconds();
	while (map_next(s->pending, &position, &key, &change)) {
		((struct state_change *)change)->next = s->batch;
		s->batch = change;
	}
	map_free(s->pending);
	s->pending = map_new();
	s->under_way = true;
	s->job = (struct job){ .run = run, .done = written };
	worker_give(&s->worker, &s->job);
}

bool state_is_written(struct queue *q)
{
	state_tick(q);
	return !q->state->db || (!q->state->under_way && map_count(q->state->pending) == 0);
}

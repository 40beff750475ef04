#include "desk.h"

#include "check.h"
#include "mem.h"
#include "words.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUSY_MS = 5000, SCHEMA_VERSION = 1, DAY = 86400 };

struct desk {
	sqlite3 *database;
	char *path;
};

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS rule (property INTEGER NOT NULL, action INTEGER NOT NULL, value TEXT NOT NULL) STRICT;"
	"CREATE TABLE IF NOT EXISTS seen (mailbox TEXT NOT NULL, uid TEXT NOT NULL, PRIMARY KEY (mailbox, uid))"
	" STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS deletion (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, fate INTEGER NOT NULL,"
	" mailbox TEXT NOT NULL, uid TEXT NOT NULL, sender TEXT NOT NULL, subject TEXT NOT NULL, header BLOB NOT NULL,"
	" copy TEXT NOT NULL) STRICT;";

static bool failed(const struct desk *d, struct fail **fail)
{
	return fail_set(fail, sqlite3_errcode(d->database) == SQLITE_FULL ? FAIL_NO_SPACE : FAIL_IO, "%s: %s", d->path,
	                sqlite3_errmsg(d->database));
}

static bool run(struct desk *d, const char *sql, struct fail **fail)
{
	return sqlite3_exec(d->database, sql, NULL, NULL, NULL) == SQLITE_OK || failed(d, fail);
}

static void finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

static sqlite3_stmt *prepare(struct desk *d, const char *sql, struct fail **fail)
{
	sqlite3_stmt *statement = NULL;
	if (sqlite3_prepare_v2(d->database, sql, -1, &statement, NULL) != SQLITE_OK)
		failed(d, fail);
	return statement;
}

static void bind_text(sqlite3_stmt *statement, int at, struct str text)
{
	must(sqlite3_bind_text64(statement, at, text.data ? text.data : "", text.length, SQLITE_TRANSIENT, SQLITE_UTF8) ==
	     SQLITE_OK);
}

static bool step_once(struct desk *d, sqlite3_stmt *statement, struct fail **fail)
{
	bool good = sqlite3_step(statement) == SQLITE_DONE || failed(d, fail);
	sqlite3_reset(statement);
	return good;
}

static const char *text_column(sqlite3_stmt *statement, int at)
{
	const char *text = (const char *)sqlite3_column_text(statement, at);
	return text ? text : "";
}

/* The end of a transaction whose steps went well, or not. */
static bool end_transaction(struct desk *d, bool good, struct fail **fail)
{
	if (good && run(d, "COMMIT", fail))
		return true;
	run(d, "ROLLBACK", NULL);
	return false;
}

static bool prepare_schema(struct desk *d, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(d, "PRAGMA user_version", fail);
	if (!statement || sqlite3_step(statement) != SQLITE_ROW)
		return failed(d, fail);
	int version = sqlite3_column_int(statement, 0);
	if (version > SCHEMA_VERSION)
		return fail_set(fail, FAIL_CORRUPT, _("%s is of a later version of this program"), d->path);
	sqlite3_reset(statement);
	CLEANUP(mem_free) char *mark = mem_printf("PRAGMA user_version=%d", SCHEMA_VERSION);
	return version == SCHEMA_VERSION || (run(d, schema, fail) && run(d, mark, fail));
}

struct desk *desk_open(const char *path, struct fail **fail)
{
	CLEANUP(desk_cleanup) struct desk *d = mem_alloc(sizeof *d);
	d->path = mem_printf("%s", path);
	mode_t before = umask(077);
	int code = sqlite3_open_v2(path, &d->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (code == SQLITE_OK)
		sqlite3_busy_timeout(d->database, BUSY_MS);
	bool good = code == SQLITE_OK ? prepare_schema(d, fail) : failed(d, fail);
	umask(before);
	return good ? TAKE(d) : NULL;
}

void desk_close(struct desk *d)
{
	if (!d)
		return;
	sqlite3_close(d->database);
	free(d->path);
	free(d);
}

void desk_cleanup(struct desk **d)
{
	desk_close(*d);
	*d = NULL;
}

/* ---- settings ---- */

char *desk_get(struct desk *d, const char *key, const char *otherwise)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(d, "SELECT value FROM setting WHERE key=?", NULL);
	if (!statement)
		return mem_printf("%s", otherwise);
	bind_text(statement, 1, str_of(key));
	bool found = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_bytes(statement, 0) <= DESK_VALUE_MAX;
	return mem_printf("%s", found ? text_column(statement, 0) : otherwise);
}

bool desk_set(struct desk *d, const char *key, const char *value, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement =
		prepare(d, "INSERT INTO setting VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value=?2", fail);
	if (!statement)
		return false;
	bind_text(statement, 1, str_of(key));
	bind_text(statement, 2, str_of(value));
	return step_once(d, statement, fail);
}

/* ---- rules ---- */

bool desk_load_rules(struct desk *d, struct desk_rules *rules, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(d, "SELECT property, action, value FROM rule", fail);
	int code = SQLITE_DONE;
	if (!statement)
		return false;
	while (rules->list.count < DESK_RULES_MAX && (code = sqlite3_step(statement)) == SQLITE_ROW) {
		struct rule rule = { .property = (enum rule_property)sqlite3_column_int(statement, 0),
			                 .action = (enum rule_action)sqlite3_column_int(statement, 1) };
		str_copy_to_array(str_of(text_column(statement, 2)), rule.value, sizeof rule.value);
		if (rule_is_valid(&rule))
			*array_add(&rules->list) = rule;
	}
	return code == SQLITE_DONE || code == SQLITE_ROW || failed(d, fail);
}

static bool insert_rules(struct desk *d, const struct desk_rules *rules, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(d, "INSERT INTO rule VALUES (?, ?, ?)", fail);
	bool good = statement != NULL;
	for (size_t i = 0; good && i < rules->list.count; i++) {
		const struct rule *rule = &rules->list.items[i];
		sqlite3_bind_int(statement, 1, (int)rule->property);
		sqlite3_bind_int(statement, 2, (int)rule->action);
		bind_text(statement, 3, str_of(rule->value));
		good = step_once(d, statement, fail);
	}
	return good;
}

bool desk_save_rules(struct desk *d, const struct desk_rules *rules, struct fail **fail)
{
	return run(d, "BEGIN IMMEDIATE", fail) &&
	       end_transaction(d, run(d, "DELETE FROM rule", fail) && insert_rules(d, rules, fail), fail);
}

/* ---- what was seen ---- */

bool desk_load_seen(struct desk *d, const char *mailbox, struct map *seen, struct fail **fail)
{
	static char there;
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(d, "SELECT uid FROM seen WHERE mailbox=?", fail);
	int code;
	if (!statement)
		return false;
	bind_text(statement, 1, str_of(mailbox));
	while ((code = sqlite3_step(statement)) == SQLITE_ROW)
		map_set(seen, str_of(text_column(statement, 0)), &there);
	return code == SQLITE_DONE || failed(d, fail);
}

static bool forget_seen(struct desk *d, const char *mailbox, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(d, "DELETE FROM seen WHERE mailbox=?", fail);
	if (!statement)
		return false;
	bind_text(statement, 1, str_of(mailbox));
	return step_once(d, statement, fail);
}

static bool insert_seen(struct desk *d, const char *mailbox, const struct map *seen, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(d, "INSERT INTO seen VALUES (?, ?)", fail);
	bool good = statement != NULL;
	size_t position = 0;
	struct str uid;
	void *value;
	while (good && map_next(seen, &position, &uid, &value)) {
		bind_text(statement, 1, str_of(mailbox));
		bind_text(statement, 2, uid);
		good = step_once(d, statement, fail);
	}
	return good;
}

bool desk_save_seen(struct desk *d, const char *mailbox, const struct map *seen, struct fail **fail)
{
	return run(d, "BEGIN IMMEDIATE", fail) &&
	       end_transaction(d, forget_seen(d, mailbox, fail) && insert_seen(d, mailbox, seen, fail), fail);
}

/* ---- deletions ---- */

static bool insert_deletions(struct desk *d, const struct desk_deletion *deletions, size_t count, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement =
		prepare(d, "INSERT INTO deletion (at, fate, mailbox, uid, sender, subject, header, copy)"
	               " VALUES (?, ?, ?, ?, ?, ?, ?, ?)", fail);
	bool good = statement != NULL;
	for (size_t i = 0; good && i < count; i++) {
		const struct desk_deletion *one = &deletions[i];
		const char *texts[] = { one->mailbox, one->uid, one->from, one->subject };
		sqlite3_bind_int64(statement, 1, one->when);
		sqlite3_bind_int(statement, 2, (int)one->fate);
		for (int k = 0; k < (int)COUNT_OF(texts); k++)
			bind_text(statement, 3 + k, str_of(texts[k]));
		must(sqlite3_bind_blob64(statement, 7, one->header.data ? one->header.data : "", one->header.length,
		                         SQLITE_TRANSIENT) == SQLITE_OK);
		bind_text(statement, 8, str_of(one->copy));
		good = step_once(d, statement, fail);
	}
	return good;
}

bool desk_log_begin(struct desk *d, const struct desk_deletion *deletions, size_t count, struct fail **fail)
{
	return run(d, "BEGIN IMMEDIATE", fail) && end_transaction(d, insert_deletions(d, deletions, count, fail), fail);
}

bool desk_log_end(struct desk *d, const char *mailbox, enum desk_fate fate, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement =
		prepare(d, fate == DESK_PENDING ? "DELETE FROM deletion WHERE mailbox=? AND fate=?"
	                                    : "UPDATE deletion SET fate=?3 WHERE mailbox=?1 AND fate=?2", fail);
	if (!statement)
		return false;
	bind_text(statement, 1, str_of(mailbox));
	sqlite3_bind_int(statement, 2, DESK_PENDING);
	if (fate != DESK_PENDING)
		sqlite3_bind_int(statement, 3, (int)fate);
	return step_once(d, statement, fail);
}

struct outcome {
	int64_t id;
	enum desk_fate fate;
};

struct outcomes {
	ARRAY(struct outcome) list;
};

static bool look_for_deletions(struct desk *d, const char *mailbox, const struct map *there, struct outcomes *outcomes,
                               struct desk_outcome *outcome, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement =
		prepare(d, "SELECT id, uid, fate FROM deletion WHERE mailbox=?1 AND fate<?2 AND uid<>''", fail);
	int code;
	if (!statement)
		return false;
	bind_text(statement, 1, str_of(mailbox));
	sqlite3_bind_int(statement, 2, DESK_GONE);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		bool stays = map_get(there, str_of(text_column(statement, 1))) != NULL;
		*array_add(&outcomes->list) =
			(struct outcome){ sqlite3_column_int64(statement, 0), stays ? DESK_STILL_THERE : DESK_GONE };
		outcome->still_there += stays;
		outcome->gone += !stays && sqlite3_column_int(statement, 2) != DESK_DELETED;
	}
	return code == SQLITE_DONE || failed(d, fail);
}

static bool note_outcomes(struct desk *d, const struct outcomes *outcomes, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(d, "UPDATE deletion SET fate=? WHERE id=?", fail);
	bool good = statement != NULL;
	for (size_t i = 0; good && i < outcomes->list.count; i++) {
		sqlite3_bind_int(statement, 1, (int)outcomes->list.items[i].fate);
		sqlite3_bind_int64(statement, 2, outcomes->list.items[i].id);
		good = step_once(d, statement, fail);
	}
	return good;
}

bool desk_log_check(struct desk *d, const char *mailbox, const struct map *there, struct desk_outcome *outcome,
                    struct fail **fail)
{
	struct outcomes outcomes = {};
	*outcome = (struct desk_outcome){};
	bool good = run(d, "BEGIN IMMEDIATE", fail) &&
	            end_transaction(d, look_for_deletions(d, mailbox, there, &outcomes, outcome, fail) &&
	                                   note_outcomes(d, &outcomes, fail), fail);
	array_release(&outcomes.list);
	return good;
}

bool desk_log_each(struct desk *d, void (*visit)(void *context, const struct desk_deletion *deletion), void *context,
                   struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement =
		prepare(d, "SELECT id, at, fate, mailbox, uid, sender, subject, header, copy FROM deletion"
	               " ORDER BY at DESC, id DESC", fail);
	int code;
	if (!statement)
		return false;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct desk_deletion one = {
			.id = sqlite3_column_int64(statement, 0),
			.when = sqlite3_column_int64(statement, 1),
			.fate = (enum desk_fate)sqlite3_column_int(statement, 2),
			.mailbox = text_column(statement, 3),
			.uid = text_column(statement, 4),
			.from = text_column(statement, 5),
			.subject = text_column(statement, 6),
			.header = str_from(sqlite3_column_blob(statement, 7), (size_t)sqlite3_column_bytes(statement, 7)),
			.copy = text_column(statement, 8),
		};
		visit(context, &one);
	}
	return code == SQLITE_DONE || failed(d, fail);
}

bool desk_log_purge(struct desk *d, int64_t now, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement =
		prepare(d, "DELETE FROM deletion WHERE at < ? RETURNING copy", fail);
	int code;
	if (!statement)
		return false;
	sqlite3_bind_int64(statement, 1, now - (int64_t)DESK_LOG_DAYS * DAY);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW)
		if (*text_column(statement, 0))
			unlink(text_column(statement, 0));
	return code == SQLITE_DONE || failed(d, fail);
}

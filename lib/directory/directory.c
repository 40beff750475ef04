#include "directory.h"

#include "directory_sql.h"
#include "mem.h"

#include <sodium.h>
#include <stdlib.h>

#define FORMAT_VERSION 1
#define APPLICATION_ID 0x506f7374 /* "Post" */

static const char schema[] =
	"CREATE TABLE setting(name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE domain(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
	" catch_all TEXT NOT NULL DEFAULT '', postmaster TEXT NOT NULL DEFAULT '',"
	" quota_bytes INTEGER NOT NULL DEFAULT 0, quota_messages INTEGER NOT NULL DEFAULT 0,"
	" created INTEGER NOT NULL) STRICT;"
	"CREATE TABLE account(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" domain_id INTEGER NOT NULL REFERENCES domain(id), local TEXT NOT NULL, directory TEXT NOT NULL,"
	" display_name TEXT NOT NULL, language TEXT NOT NULL, enabled INTEGER NOT NULL DEFAULT 1,"
	" mechanisms INTEGER NOT NULL DEFAULT 0, quota_bytes INTEGER NOT NULL DEFAULT -1,"
	" quota_messages INTEGER NOT NULL DEFAULT -1, created INTEGER NOT NULL,"
	" purge_at INTEGER NOT NULL DEFAULT 0) STRICT;"
	"CREATE INDEX account_domain ON account(domain_id, id);"
	"CREATE INDEX account_purge ON account(purge_at) WHERE purge_at!=0;"
	"CREATE TABLE alias(id INTEGER PRIMARY KEY AUTOINCREMENT, created INTEGER NOT NULL) STRICT;"
	"CREATE TABLE alias_target(alias_id INTEGER NOT NULL REFERENCES alias(id), position INTEGER NOT NULL,"
	" target TEXT NOT NULL, PRIMARY KEY(alias_id, position)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE address(domain_id INTEGER NOT NULL REFERENCES domain(id), local TEXT NOT NULL,"
	" account_id INTEGER REFERENCES account(id), alias_id INTEGER REFERENCES alias(id),"
	" PRIMARY KEY(domain_id, local), CHECK(account_id IS NOT NULL OR alias_id IS NOT NULL)) STRICT, WITHOUT ROWID;"
	"CREATE UNIQUE INDEX address_account ON address(account_id) WHERE account_id IS NOT NULL;"
	"CREATE UNIQUE INDEX address_alias ON address(alias_id) WHERE alias_id IS NOT NULL;"
	"CREATE TABLE sender(account_id INTEGER NOT NULL REFERENCES account(id), address TEXT NOT NULL,"
	" PRIMARY KEY(account_id, address)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE credential(account_id INTEGER PRIMARY KEY REFERENCES account(id), hash TEXT NOT NULL,"
	" scram_sha256 TEXT NOT NULL, scram_sha1 TEXT NOT NULL, secret BLOB NOT NULL, changed INTEGER NOT NULL) STRICT;"
	"CREATE INDEX credential_sha1 ON credential(account_id) WHERE scram_sha1!='';"
	"CREATE INDEX credential_secret ON credential(account_id) WHERE secret!=x'';"
	"CREATE TABLE app_password(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" account_id INTEGER NOT NULL REFERENCES account(id), name TEXT NOT NULL, hash BLOB NOT NULL,"
	" created INTEGER NOT NULL, last_used INTEGER NOT NULL, UNIQUE(account_id, name), UNIQUE(account_id, hash)) STRICT;"
	"INSERT INTO setting VALUES('generation', 1);";

/* Nothing on disk but the database and its log: the sandbox allows one folder. One process: no
 * shared memory file, and a second process is kept out. */
static const char before_use[] =
	"PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
	"PRAGMA temp_store=MEMORY; PRAGMA foreign_keys=ON; PRAGMA cache_size=-16384; PRAGMA trusted_schema=OFF;"
	"PRAGMA secure_delete=ON; BEGIN IMMEDIATE; COMMIT;";

static const struct {
	const char *name;
	const char *at_first;
} settings[DIRECTORY_SETTING_COUNT] = {
	[DIRECTORY_SEPARATORS] = { "subaddress-separators", "+" },
	[DIRECTORY_DEFAULT_DOMAIN] = { "default-domain", "" },
	[DIRECTORY_PASSWORD_MIN] = { "password-min", "8" },
};

static bool open_fail(struct directory *d, const char *path, struct fail **fail)
{
	int code = sqlite3_errcode(d->db) & 0xff;
	if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
		return fail_set(fail, FAIL_BUSY, "%s is in use by another process", path);
	if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
		return fail_set(fail, FAIL_CORRUPT, "%s is damaged: %s", path, sqlite3_errmsg(d->db));
	enum fail_kind kind = code == SQLITE_FULL ? FAIL_NO_SPACE : FAIL_IO;
	return fail_set(fail, kind, "cannot open %s: %s", path, sqlite3_errmsg(d->db));
}

static bool pragma_number(struct directory *d, const char *text, int64_t *number)
{
	sqlite3_stmt *statement = NULL;
	bool known = sqlite3_prepare_v2(d->db, text, -1, &statement, NULL) == SQLITE_OK &&
	             sqlite3_step(statement) == SQLITE_ROW;
	if (known)
		*number = sqlite3_column_int64(statement, 0);
	return sqlite3_finalize(statement) == SQLITE_OK && known;
}

static bool make_schema(struct directory *d)
{
	unsigned char key[DIRECTORY_KEY_SIZE];
	char hex[2 * sizeof key + 1];
	randombytes_buf(key, sizeof key);
	sodium_bin2hex(hex, sizeof hex, key, sizeof key);
	CLEANUP(mem_free) char *rest = mem_printf("INSERT INTO setting VALUES('key', x'%s'); PRAGMA application_id=%d;"
	                                          "PRAGMA user_version=%d; COMMIT", hex, APPLICATION_ID, FORMAT_VERSION);
	return sqlite3_exec(d->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
	       sqlite3_exec(d->db, schema, NULL, NULL, NULL) == SQLITE_OK &&
	       sqlite3_exec(d->db, rest, NULL, NULL, NULL) == SQLITE_OK;
}

/* A file of somebody else, or of a later version, is never written to. */
static bool check_format(struct directory *d, const char *path, struct fail **fail)
{
	int64_t version;
	int64_t application;
	int64_t tables;
	if (!pragma_number(d, "PRAGMA user_version", &version) ||
	    !pragma_number(d, "PRAGMA application_id", &application) ||
	    !pragma_number(d, "SELECT count(*) FROM sqlite_schema", &tables))
		return open_fail(d, path, fail);
	if (version == 0 && application == 0 && tables == 0)
		return make_schema(d) || open_fail(d, path, fail);
	if (application != APPLICATION_ID)
		return fail_set(fail, FAIL_INVALID, "%s is not a directory database", path);
	if (version != FORMAT_VERSION)
		return fail_set(fail, FAIL_INVALID, "%s has format %lld, this program knows format %d", path,
		                (long long)version, FORMAT_VERSION);
	return true;
}

static bool setting_keep(struct directory *d, struct str name, struct query *q)
{
	enum directory_setting setting;
	if (str_equal(name, STR("generation")))
		d->generation = (uint64_t)query_get_number(q, 1);
	else if (str_equal(name, STR("key")) && query_get(q, 1).length == sizeof d->key)
		memcpy(d->key, query_get(q, 1).data, sizeof d->key);
	else if (directory_setting_find(name, &setting))
		query_copy(q, 1, d->settings[setting], sizeof d->settings[setting]);
	return !q->failed;
}

static bool load_settings(struct directory *d, struct fail **fail)
{
	for (size_t i = 0; i < DIRECTORY_SETTING_COUNT; i++)
		memcpy(d->settings[i], settings[i].at_first, strlen(settings[i].at_first) + 1);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_SETTING_ALL, fail);
	while (query_row(&q)) {
		if (!setting_keep(d, query_get(&q, 0), &q))
			return false;
	}
	if (q.failed)
		return false;
	if (sodium_is_zero(d->key, sizeof d->key))
		return fail_set(fail, FAIL_CORRUPT, "the directory database has lost its key");
	return true;
}

struct directory *directory_open(const char *path, struct fail **fail)
{
	CLEANUP(directory_cleanup) struct directory *d = mem_alloc(sizeof *d);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	if (sqlite3_open_v2(path, &d->db, flags, NULL) != SQLITE_OK) {
		must(d->db);
		open_fail(d, path, fail);
		return NULL;
	}
	sqlite3_extended_result_codes(d->db, 1);
	sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (sqlite3_exec(d->db, before_use, NULL, NULL, NULL) != SQLITE_OK) {
		open_fail(d, path, fail);
		return NULL;
	}
	if (!check_format(d, path, fail) || !load_settings(d, fail))
		return NULL;
	return TAKE(d);
}

void directory_close(struct directory *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < DIRECTORY_SQL_COUNT; i++)
		sqlite3_finalize(d->statements[i]);
	must(sqlite3_close(d->db) == SQLITE_OK);
	mem_wipe(d->key, sizeof d->key);
	free(d);
}

void directory_cleanup(struct directory **d)
{
	directory_close(*d);
	*d = NULL;
}

uint64_t directory_generation(const struct directory *d)
{
	return d->generation;
}

bool directory_begin(struct directory *d, struct fail **fail)
{
	must(!d->in_batch && d->depth == 0);
	struct change c = change_begin(d, fail);
	d->in_batch = c.open;
	bool open = c.open;
	if (!open)
		change_end(&c);
	return open;
}

bool directory_commit(struct directory *d, struct fail **fail)
{
	must(d->in_batch && d->depth == 1);
	struct change c = { .d = d, .fail = fail, .open = true };
	d->in_batch = false;
	if (change_commit(&c))
		return true;
	change_end(&c);
	load_settings(d, NULL);
	return false;
}

void directory_rollback(struct directory *d)
{
	if (!d->in_batch)
		return;
	struct change c = { .d = d, .open = true };
	d->in_batch = false;
	change_end(&c);
	load_settings(d, NULL);
}

bool directory_backup(struct directory *d, const char *path, struct fail **fail)
{
	char *quoted = sqlite3_mprintf("VACUUM INTO %Q", path);
	must(quoted);
	bool done = sqlite3_exec(d->db, quoted, NULL, NULL, NULL) == SQLITE_OK;
	sqlite3_free(quoted);
	return done || fail_set(fail, FAIL_IO, "cannot write the copy %s: %s", path, sqlite3_errmsg(d->db));
}

static bool must_be_empty(struct directory *d, struct fail **fail)
{
	int64_t rows;
	if (!pragma_number(d, "SELECT (SELECT count(*) FROM domain) + (SELECT count(*) FROM account)", &rows))
		return fail_set(fail, FAIL_CORRUPT, "the directory database cannot be read: %s", sqlite3_errmsg(d->db));
	return rows == 0 || fail_set(fail, FAIL_EXISTS, "the directory has domains or accounts already");
}

/* One write transaction of SQLite's: a crash leaves the old or the new. */
static bool take_pages(struct directory *d, struct directory *copy, struct fail **fail)
{
	sqlite3_backup *pages = sqlite3_backup_init(d->db, "main", copy->db, "main");
	if (pages) {
		sqlite3_backup_step(pages, -1);
		if (sqlite3_backup_finish(pages) == SQLITE_OK)
			return true;
	}
	enum fail_kind kind = (sqlite3_errcode(d->db) & 0xff) == SQLITE_FULL ? FAIL_NO_SPACE : FAIL_IO;
	return fail_set(fail, kind, "cannot take over the copy of the directory: %s", sqlite3_errmsg(d->db));
}

bool directory_restore(struct directory *d, const char *path, struct fail **fail)
{
	must(!d->in_batch && d->depth == 0);
	uint64_t before = d->generation;
	CLEANUP(directory_cleanup) struct directory *copy = must_be_empty(d, fail) ? directory_open(path, fail) : NULL;
	if (!copy || !directory_verify(copy, fail))
		return false;
	/* What was remembered under a generation of the copy or of this one is stale: the next one is above both. */
	CLEANUP(query_end) struct query q = query_begin(copy, SQL_SETTING_SET, fail);
	query_text(&q, 1, STR("generation"));
	query_number(&q, 2, (int64_t)((before > copy->generation ? before : copy->generation) + 1));
	query_row(&q);
	return !q.failed && take_pages(d, copy, fail) && load_settings(d, fail);
}

/* The first row says what is wrong; "ok" for integrity_check, none for foreign_key_check. */
static bool pragma_is_clean(struct directory *d, const char *text, struct fail **fail)
{
	sqlite3_stmt *statement = NULL;
	bool clean = true;
	int code = sqlite3_prepare_v2(d->db, text, -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		const char *found = (const char *)sqlite3_column_text(statement, 0);
		clean = found && strcmp(found, "ok") == 0;
		if (!clean)
			fail_set(fail, FAIL_CORRUPT, "the directory database is damaged: %s", found ? found : "no reason given");
	} else if (code != SQLITE_DONE) {
		clean = fail_set(fail, FAIL_CORRUPT, "the directory database cannot be read: %s", sqlite3_errmsg(d->db));
	}
	sqlite3_finalize(statement);
	return clean;
}

bool directory_verify(struct directory *d, struct fail **fail)
{
	return pragma_is_clean(d, "PRAGMA integrity_check(1)", fail) &&
	       pragma_is_clean(d, "PRAGMA foreign_key_check", fail);
}

bool directory_setting_find(struct str name, enum directory_setting *setting)
{
	for (size_t i = 0; i < DIRECTORY_SETTING_COUNT; i++) {
		if (str_equal(name, str_of(settings[i].name))) {
			*setting = (enum directory_setting)i;
			return true;
		}
	}
	return false;
}

const char *directory_setting(const struct directory *d, enum directory_setting setting)
{
	must((unsigned)setting < DIRECTORY_SETTING_COUNT);
	return d->settings[setting];
}

static bool separators_are_good(struct str value, struct fail **fail)
{
	for (size_t i = 0; i < value.length; i++) {
		if (!value.data[i] || !strchr("+-=._#", value.data[i]))
			return fail_set(fail, FAIL_INVALID, "a subaddress separator is one of + - = . _ #");
	}
	return true;
}

/* The value as it is kept, or false. */
static bool setting_prepare(enum directory_setting setting, struct str value, char kept[DIRECTORY_SETTING_MAX + 1],
                            struct fail **fail)
{
	uint64_t number;
	if (value.length > DIRECTORY_SETTING_MAX)
		return fail_set(fail, FAIL_TOO_BIG, "the value of %s is too long", settings[setting].name);
	memcpy(kept, value.data ? value.data : "", value.length);
	kept[value.length] = 0;
	switch (setting) {
	case DIRECTORY_SEPARATORS:
		return separators_are_good(value, fail);
	case DIRECTORY_DEFAULT_DOMAIN:
		return str_is_empty(value) || directory_domain_name(value, kept, fail);
	case DIRECTORY_PASSWORD_MIN:
		return str_to_u64(value, LIMIT_PASSWORD_MAX, &number) ||
		       fail_set(fail, FAIL_INVALID, "password-min is a number up to %d", LIMIT_PASSWORD_MAX);
	case DIRECTORY_SETTING_COUNT:
		break;
	}
	must(setting < DIRECTORY_SETTING_COUNT);
	return false;
}

bool directory_setting_set(struct directory *d, enum directory_setting setting, struct str value, struct fail **fail)
{
	char kept[DIRECTORY_SETTING_MAX + 1];
	if (!setting_prepare(setting, value, kept, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_SETTING_SET, fail);
	query_text(&q, 1, str_of(settings[setting].name));
	query_text(&q, 2, str_of(kept));
	if (!query_run(&q) || !change_commit(&change))
		return false;
	memcpy(d->settings[setting], kept, sizeof kept);
	return true;
}

void directory_key(const struct directory *d, const char *purpose, unsigned char key[DIRECTORY_KEY_SIZE])
{
	must(crypto_generichash(key, DIRECTORY_KEY_SIZE, (const unsigned char *)purpose, strlen(purpose), d->key,
	                        sizeof d->key) == 0);
}

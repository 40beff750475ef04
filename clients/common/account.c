#include "account.h"

#include "file.h"
#include "mem.h"
#include "smtp_path.h"
#include "text.h"
#include "words.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { SCHEMA_VERSION = 1, APPLICATION_ID = 0x50486163, BUSY_MS = 5000, ADDRESS_MEMORY = 65536 }; /* "PHac" */

struct account_book {
	sqlite3 *database;
	char *path;
};

static const char schema[] =
	"CREATE TABLE account (name TEXT PRIMARY KEY COLLATE NOCASE NOT NULL, mailbox TEXT NOT NULL,"
	" mailbox_tls TEXT NOT NULL, submission TEXT NOT NULL, submission_tls TEXT NOT NULL, login TEXT NOT NULL,"
	" address TEXT NOT NULL) STRICT, WITHOUT ROWID;";

#define COLUMNS "name, mailbox, mailbox_tls, submission, submission_tls, login, address"

enum { COLUMN_COUNT = 7 };

char *account_default_path(struct fail **fail)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	/* Relative paths are to be passed over: XDG Base Directory Specification. */
	if (data && data[0] == '/')
		return mem_printf("%s/posthorn/accounts.db", data);
	if (home && home[0] == '/')
		return mem_printf("%s/.local/share/posthorn/accounts.db", home);
	fail_set(fail, FAIL_NOT_FOUND, _("neither XDG_DATA_HOME nor HOME says where your data is kept"));
	return NULL;
}

static enum fail_kind kind_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_BUSY:
		return FAIL_BUSY;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return FAIL_CORRUPT;
	case SQLITE_FULL:
		return FAIL_NO_SPACE;
	default:
		return FAIL_IO;
	}
}

static bool failed(const struct account_book *b, struct fail **fail)
{
	return fail_set(fail, kind_of(sqlite3_errcode(b->database)), "%s: %s", b->path, sqlite3_errmsg(b->database));
}

static bool run(struct account_book *b, const char *sql, struct fail **fail)
{
	return sqlite3_exec(b->database, sql, NULL, NULL, NULL) == SQLITE_OK || failed(b, fail);
}

/* ---- opening ---- */

static bool make_folders(const char *path, struct fail **fail)
{
	CLEANUP(mem_free) char *folder = mem_printf("%s", path);
	for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (!file_make_directory(folder, 0700, fail))
			return false;
		*slash = '/';
	}
	return true;
}

static bool read_number(struct account_book *b, const char *pragma, int *number, struct fail **fail)
{
	sqlite3_stmt *statement = NULL;
	bool good = sqlite3_prepare_v2(b->database, pragma, -1, &statement, NULL) == SQLITE_OK &&
	            sqlite3_step(statement) == SQLITE_ROW;
	if (good)
		*number = sqlite3_column_int(statement, 0);
	else
		failed(b, fail);
	sqlite3_finalize(statement);
	return good;
}

static bool make_schema(struct account_book *b, struct fail **fail)
{
	CLEANUP(mem_free) char *marks =
		mem_printf("PRAGMA application_id=%d; PRAGMA user_version=%d;", APPLICATION_ID, SCHEMA_VERSION);
	return run(b, schema, fail) && run(b, marks, fail);
}

static bool check_schema(struct account_book *b, struct fail **fail)
{
	int version, application, tables;
	if (!run(b, "BEGIN IMMEDIATE", fail) || !read_number(b, "PRAGMA user_version", &version, fail) ||
	    !read_number(b, "PRAGMA application_id", &application, fail) ||
	    !read_number(b, "SELECT count(*) FROM sqlite_schema", &tables, fail))
		return false;
	if (version == 0 && application == 0 && tables == 0 && !make_schema(b, fail))
		return false;
	if (!run(b, "COMMIT", fail))
		return false;
	if (tables && (application != APPLICATION_ID || version != SCHEMA_VERSION))
		return fail_set(fail, FAIL_CORRUPT, _("%s is not a list of accounts that this program can read"), b->path);
	return true;
}

struct account_book *account_book_open(const char *path, struct fail **fail)
{
	CLEANUP(account_book_cleanup) struct account_book *b = mem_alloc(sizeof *b);
	b->path = mem_printf("%s", path);
	if (!make_folders(path, fail))
		return NULL;
	mode_t before = umask(077);
	int code = sqlite3_open_v2(path, &b->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (code == SQLITE_OK)
		sqlite3_busy_timeout(b->database, BUSY_MS);
	bool good = code == SQLITE_OK ? check_schema(b, fail) : failed(b, fail);
	umask(before);
	return good ? TAKE(b) : NULL;
}

void account_book_close(struct account_book *b)
{
	if (!b)
		return;
	sqlite3_close(b->database);
	free(b->path);
	free(b);
}

void account_book_cleanup(struct account_book **b)
{
	account_book_close(*b);
	*b = NULL;
}

/* ---- one account ---- */

static bool is_name(struct str name)
{
	for (size_t i = 0; i < name.length; i++)
		if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7f)
			return false;
	return name.length > 0 && name.length <= ACCOUNT_NAME_MAX && text_is_utf8(name) && !server_is_url(name) &&
	       name.data[0] != '-';
}

static bool is_address(struct str text)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ADDRESS_MEMORY);
	struct smtp_path path;
	return smtp_mailbox_parse(arena, text, SMTP_PATH_UTF8 | SMTP_PATH_SLOPPY, &path);
}

static bool check(const struct account *account, struct fail **fail)
{
	const struct server *mailbox = &account->mailbox, *submission = &account->submission;
	if (!is_name(str_of(account->name)))
		return fail_set(fail, FAIL_INVALID,
		                _("the name of an account has 1 to %d octets, no control characters, no \"://\" and no "
		                "\"-\" in front"),
		                ACCOUNT_NAME_MAX);
	if (mailbox->protocol != SERVER_POP3 || !mailbox->host[0])
		return fail_set(fail, FAIL_INVALID, _("an account needs a POP3 server: pop3s://user@host"));
	if (!mailbox->user[0])
		return fail_set(fail, FAIL_INVALID, _("the URL of the POP3 server lacks the user: pop3s://user@host"));
	if (submission->host[0] && submission->protocol != SERVER_SMTP)
		return fail_set(fail, FAIL_INVALID, _("the server to send by must be an SMTP server: smtps://user@host"));
	if (account->address[0] && !is_address(str_of(account->address)))
		return fail_set(fail, FAIL_INVALID, _("the sender of an account is an address like me@example.org"));
	return true;
}

static void add_url(struct buf *out, const struct server *server)
{
	if (server->host[0])
		server_print_url(out, server);
}

static void bind(sqlite3_stmt *statement, const struct account *account)
{
	CLEANUP(buf_release) struct buf mailbox = BUF_WITH_LIMIT(4096), submission = BUF_WITH_LIMIT(4096);
	add_url(&mailbox, &account->mailbox);
	add_url(&submission, &account->submission);
	const char *texts[COLUMN_COUNT] = { account->name,
		                                buf_text(&mailbox),
		                                server_tls_name(account->mailbox.tls),
		                                buf_text(&submission),
		                                server_tls_name(account->submission.tls),
		                                login_method_name(account->method),
		                                account->address };
	for (int i = 0; i < COLUMN_COUNT; i++)
		must(sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_TRANSIENT) == SQLITE_OK);
}

static struct str column(sqlite3_stmt *statement, int i)
{
	return str_from((const char *)sqlite3_column_text(statement, i), (size_t)sqlite3_column_bytes(statement, i));
}

static bool copy_text(char *to, size_t size, struct str text)
{
	if (text.length >= size || str_find_char(text, '\0') < text.length)
		return false;
	if (text.length)
		memcpy(to, text.data, text.length);
	to[text.length] = '\0';
	return true;
}

static bool load_server(struct str url, struct str tls, struct server *server)
{
	return server_parse_url(url, server, NULL) && server_tls_find(tls, &server->tls);
}

static bool load(struct account_book *b, sqlite3_stmt *statement, struct account *account, struct fail **fail)
{
	*account = (struct account){};
	bool good = copy_text(account->name, sizeof account->name, column(statement, 0)) &&
	            load_server(column(statement, 1), column(statement, 2), &account->mailbox) &&
	            (column(statement, 3).length == 0 ||
	             load_server(column(statement, 3), column(statement, 4), &account->submission)) &&
	            login_method_find(column(statement, 5), &account->method) &&
	            copy_text(account->address, sizeof account->address, column(statement, 6)) && check(account, NULL);
	return good || fail_set(fail, FAIL_CORRUPT, _("%s: the account \"%.*s\" is damaged"), b->path,
	                        STR_ARG(column(statement, 0)));
}

/* ---- statements ---- */

static void finalize(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}

static sqlite3_stmt *prepare(struct account_book *b, const char *sql, struct fail **fail)
{
	sqlite3_stmt *statement = NULL;
	if (sqlite3_prepare_v2(b->database, sql, -1, &statement, NULL) != SQLITE_OK)
		failed(b, fail);
	return statement;
}

/* Runs a statement that changes something; which says what for. */
static bool change(struct account_book *b, sqlite3_stmt *statement, const char *name, struct fail **fail)
{
	int code = sqlite3_step(statement);
	if (code == SQLITE_CONSTRAINT)
		return fail_set(fail, FAIL_EXISTS, _("there is an account \"%s\" already"), name);
	return code == SQLITE_DONE || failed(b, fail);
}

static bool changed_one(struct account_book *b, const char *name, struct fail **fail)
{
	return sqlite3_changes(b->database) == 1 || fail_set(fail, FAIL_NOT_FOUND, _("there is no account \"%s\""), name);
}

bool account_add(struct account_book *b, const struct account *account, struct fail **fail)
{
	if (!check(account, fail))
		return false;
	CLEANUP(finalize) sqlite3_stmt *statement =
		prepare(b, "INSERT INTO account (" COLUMNS ") VALUES (?,?,?,?,?,?,?)", fail);
	if (!statement)
		return false;
	bind(statement, account);
	return change(b, statement, account->name, fail);
}

bool account_change(struct account_book *b, const char *name, const struct account *account, struct fail **fail)
{
	static const char sql[] = "UPDATE account SET name=?, mailbox=?, mailbox_tls=?, submission=?, submission_tls=?,"
	                          " login=?, address=? WHERE name=?";
	if (!check(account, fail))
		return false;
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(b, sql, fail);
	if (!statement)
		return false;
	bind(statement, account);
	must(sqlite3_bind_text(statement, COLUMN_COUNT + 1, name, -1, SQLITE_TRANSIENT) == SQLITE_OK);
	return change(b, statement, account->name, fail) && changed_one(b, name, fail);
}

bool account_remove(struct account_book *b, const char *name, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(b, "DELETE FROM account WHERE name=?", fail);
	if (!statement)
		return false;
	must(sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT) == SQLITE_OK);
	return change(b, statement, name, fail) && changed_one(b, name, fail);
}

bool account_find(struct account_book *b, const char *name, struct account *account, struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(b, "SELECT " COLUMNS " FROM account WHERE name=?", fail);
	if (!statement)
		return false;
	must(sqlite3_bind_text(statement, 1, name, -1, SQLITE_TRANSIENT) == SQLITE_OK);
	int code = sqlite3_step(statement);
	if (code == SQLITE_DONE)
		return fail_set(fail, FAIL_NOT_FOUND, _("there is no account \"%s\""), name);
	return code == SQLITE_ROW ? load(b, statement, account, fail) : failed(b, fail);
}

bool account_each(struct account_book *b, void (*visit)(void *context, const struct account *account), void *context,
                  struct fail **fail)
{
	CLEANUP(finalize) sqlite3_stmt *statement = prepare(b, "SELECT " COLUMNS " FROM account ORDER BY name", fail);
	struct account account;
	int code;
	if (!statement)
		return false;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (!load(b, statement, &account, fail))
			return false;
		visit(context, &account);
	}
	return code == SQLITE_DONE || failed(b, fail);
}

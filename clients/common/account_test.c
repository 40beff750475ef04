#include "account.h"

#include "mem.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct place {
	char folder[64];
	char path[100];
	struct account_book *book;
};

static int make_place(void **state)
{
	struct place *p = mem_alloc(sizeof *p);
	snprintf(p->folder, sizeof p->folder, "/tmp/account_test.XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->path, sizeof p->path, "%s/a/accounts.db", p->folder);
	p->book = account_book_open(p->path, NULL);
	assert_non_null(p->book);
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	char folder[80];
	account_book_close(p->book);
	snprintf(folder, sizeof folder, "%s/a", p->folder);
	unlink(p->path);
	rmdir(folder);
	rmdir(p->folder);
	free(p);
	return 0;
}

static struct account make(const char *name, const char *url)
{
	struct account account = { .method = LOGIN_APOP };
	snprintf(account.name, sizeof account.name, "%s", name);
	assert_true(server_parse_url(str_of(url), &account.mailbox, NULL));
	return account;
}

static void test_round_trip(void **state)
{
	const struct place *p = *state;
	struct account account = make("Práca", "pop3://a%20b@example.org:1110"), found;
	account.mailbox.tls = SERVER_TLS_NONE;
	assert_true(server_parse_url(STR("smtps://c@example.org"), &account.submission, NULL));
	snprintf(account.address, sizeof account.address, "me@example.org");
	assert_true(account_add(p->book, &account, NULL));
	assert_true(account_find(p->book, "Práca", &found, NULL));
	assert_memory_equal(&found, &account, sizeof found);
}

static void test_names(void **state)
{
	const struct place *p = *state;
	struct account account = make("Home", "pop3s://a@h"), found;
	struct fail *fail = NULL;
	assert_true(account_add(p->book, &account, NULL));
	snprintf(account.name, sizeof account.name, "home");
	assert_false(account_add(p->book, &account, &fail));
	assert_int_equal(fail->kind, FAIL_EXISTS);
	assert_false(account_find(p->book, "work", &found, &fail));
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
	assert_true(account_find(p->book, "HOME", &found, NULL));
	fail_free(&fail);
}

static void test_change(void **state)
{
	const struct place *p = *state;
	struct account one = make("one", "pop3s://a@h"), two = make("two", "pop3s://b@h"), found;
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_true(account_add(p->book, &one, NULL) && account_add(p->book, &two, NULL));
	assert_false(account_change(p->book, "one", &two, &fail));
	assert_int_equal(fail->kind, FAIL_EXISTS);
	struct account three = make("three", "pop3s://c@h");
	assert_true(account_change(p->book, "one", &three, NULL));
	assert_true(account_find(p->book, "three", &found, NULL));
	assert_string_equal(found.mailbox.user, "c");
	assert_false(account_change(p->book, "one", &three, &fail));
	assert_true(fail->kind == FAIL_NOT_FOUND || fail->kind == FAIL_EXISTS);
	assert_true(account_remove(p->book, "three", NULL));
	assert_false(account_remove(p->book, "three", &fail));
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
}

static void add_name(void *context, const struct account *account)
{
	buf_add_str(context, str_of(account->name));
}

static void test_order(void **state)
{
	const struct place *p = *state;
	CLEANUP(buf_release) struct buf names = BUF_WITH_LIMIT(100);
	static const char *const given[] = { "b", "A", "c" };
	for (size_t i = 0; i < COUNT_OF(given); i++) {
		struct account account = make(given[i], "pop3s://a@h");
		assert_true(account_add(p->book, &account, NULL));
	}
	assert_true(account_each(p->book, add_name, &names, NULL));
	assert_string_equal(buf_text(&names), "Abc");
}

static void test_nonsense(void **state)
{
	static const struct {
		const char *name, *url;
	} cases[] = {
		{ "", "pop3s://a@h" }, { "a\nb", "pop3s://a@h" }, { "pop3s://a@h", "pop3s://a@h" }, { "-x", "pop3s://a@h" },
		{ "a", "pop3s://h" },  { "a", "smtps://a@h" },    { "\xff", "pop3s://a@h" },
	};
	const struct place *p = *state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct account account = make(cases[i].name, cases[i].url);
		assert_false(account_add(p->book, &account, &fail));
		assert_int_equal(fail->kind, FAIL_INVALID);
	}
}

static void test_sender(void **state)
{
	static const char *const addresses[] = { "me", "me@", "a b@h", "me@h\r\nX" };
	const struct place *p = *state;
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		struct account account = make("a", "pop3s://a@h");
		snprintf(account.address, sizeof account.address, "%s", addresses[i]);
		assert_false(account_add(p->book, &account, NULL));
	}
}

static void test_private(void **state)
{
	const struct place *p = *state;
	struct stat facts;
	assert_int_equal(stat(p->path, &facts), 0);
	assert_int_equal(facts.st_mode & 077, 0);
}

static void run_sql(const struct place *p, const char *sql)
{
	sqlite3 *database;
	assert_int_equal(sqlite3_open(p->path, &database), SQLITE_OK);
	assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(database);
}

/* Other programs of the user can write the file. */
static void test_damaged_row(void **state)
{
	const struct place *p = *state;
	struct account account = make("a", "pop3s://a@h"), found;
	CLEANUP(buf_release) struct buf names = BUF_WITH_LIMIT(100);
	struct fail *fail = NULL;
	assert_true(account_add(p->book, &account, NULL));
	run_sql(p, "UPDATE account SET mailbox='pop3s://a%0d%0aDELE@h'");
	assert_false(account_find(p->book, "a", &found, &fail));
	assert_int_equal(fail->kind, FAIL_CORRUPT);
	run_sql(p, "UPDATE account SET mailbox='pop3s://a@h', login='telepathy'");
	assert_false(account_each(p->book, add_name, &names, &fail));
	assert_int_equal(fail->kind, FAIL_CORRUPT);
	fail_free(&fail);
}

static void test_later_version(void **state)
{
	const struct place *p = *state;
	struct fail *fail = NULL;
	run_sql(p, "PRAGMA user_version=2");
	assert_null(account_book_open(p->path, &fail));
	assert_int_equal(fail->kind, FAIL_CORRUPT);
	fail_free(&fail);
}

static void test_other_file(void **state)
{
	const struct place *p = *state;
	struct fail *fail = NULL;
	FILE *file = fopen(p->path, "we");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database\n", file);
	fclose(file);
	assert_null(account_book_open(p->path, &fail));
	assert_int_equal(fail->kind, FAIL_CORRUPT);
	fail_free(&fail);
}

static void test_default_path(void **state)
{
	(void)state;
	setenv("HOME", "/home/me", 1);
	setenv("XDG_DATA_HOME", "relative", 1);
	CLEANUP(mem_free) char *at_home = account_default_path(NULL);
	assert_string_equal(at_home, "/home/me/.local/share/posthorn/accounts.db");
	setenv("XDG_DATA_HOME", "/data", 1);
	CLEANUP(mem_free) char *elsewhere = account_default_path(NULL);
	assert_string_equal(elsewhere, "/data/posthorn/accounts.db");
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(test_round_trip),  IN_PLACE(test_names),
		IN_PLACE(test_change),      IN_PLACE(test_order),
		IN_PLACE(test_nonsense),    IN_PLACE(test_private), IN_PLACE(test_sender),
		IN_PLACE(test_damaged_row), IN_PLACE(test_later_version),
		IN_PLACE(test_other_file),  cmocka_unit_test(test_default_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

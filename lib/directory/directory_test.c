#include "clock.h"
#include "directory_fixture.h"
#include "directory_sql.h"

#include <fcntl.h>

static void it_is_one_process_matter(void **state)
{
	struct fixture *f = *state;
	bad(FAIL_BUSY, "in use by another process", directory_open(f->path, fail));
}

static void all_is_there_after_reopening(void **state)
{
	struct fixture *f = *state;
	struct directory_account account;
	uint64_t generation = directory_generation(f->d);
	unsigned char before[DIRECTORY_KEY_SIZE];
	unsigned char after[DIRECTORY_KEY_SIZE];
	directory_key(f->d, "test", before);
	good(directory_setting_set(f->d, DIRECTORY_SEPARATORS, STR("+-"), fail));
	fixture_reopen(f);
	assert_int_equal(directory_generation(f->d), generation + 1);
	assert_string_equal(directory_setting(f->d, DIRECTORY_SEPARATORS), "+-");
	directory_key(f->d, "test", after);
	assert_memory_equal(before, after, sizeof before);
	directory_key(f->d, "another", after);
	assert_memory_not_equal(before, after, sizeof before);
	good(directory_account_get(f->d, STR("ALICE@example.test"), &account, fail));
	assert_int_equal(account.id, f->alice);
	good(directory_verify(f->d, fail));
}

static void foreign_files_are_left_alone(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;
	assert_int_equal(sqlite3_open(f->copy, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE x(y)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	bad(FAIL_INVALID, "is not a directory database", directory_open(f->copy, fail));
	assert_int_equal(unlink(f->copy), 0);
	FILE *file = fopen(f->copy, "w");
	for (int i = 0; i < 1000; i++)
		fprintf(file, "This is a text file, and no database.\n");
	fclose(file);
	bad(FAIL_CORRUPT, "damaged", directory_open(f->copy, fail));
	bad(FAIL_IO, "cannot open", directory_open("/nowhere/directory.db", fail));
}

static void a_later_format_is_refused(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(sqlite3_exec(f->d->db, "PRAGMA user_version=2", NULL, NULL, NULL), SQLITE_OK);
	directory_close(TAKE(f->d));
	bad(FAIL_INVALID, "has format 2", directory_open(f->path, fail));
}

static void damage_is_found(void **state)
{
	struct fixture *f = *state;
	static const char harm[] = "PRAGMA foreign_keys=OFF; DELETE FROM domain WHERE name='example.test'";
	assert_int_equal(sqlite3_exec(f->d->db, harm, NULL, NULL, NULL), SQLITE_OK);
	bad(FAIL_CORRUPT, "damaged", directory_verify(f->d, fail));
}

static void a_backup_is_a_directory(void **state)
{
	struct fixture *f = *state;
	struct directory_account account;
	good(directory_backup(f->d, f->copy, fail));
	bad(FAIL_IO, "cannot write the copy", directory_backup(f->d, f->copy, fail));
	struct directory *copy = directory_open(f->copy, NULL);
	assert_non_null(copy);
	good(directory_account_get(copy, STR("bob@example.test"), &account, fail));
	assert_int_equal(account.id, f->bob);
	directory_close(copy);
}

/* Everything comes back, answers of before are stale, and nothing that is there is overwritten. */
static void a_backup_is_taken_over(void **state)
{
	struct fixture *f = *state;
	struct directory_account account;
	CLEANUP(mem_free) char *path = mem_printf("%s.empty", f->path);
	unsigned char key[DIRECTORY_KEY_SIZE], restored_key[DIRECTORY_KEY_SIZE];
	directory_key(f->d, "test", key);
	good(directory_backup(f->d, f->copy, fail));
	bad(FAIL_EXISTS, "already", directory_restore(f->d, f->copy, fail));
	CLEANUP(directory_cleanup) struct directory *empty = directory_open(path, NULL);
	assert_non_null(empty);
	uint64_t generation = directory_generation(empty);
	CLEANUP(mem_free) char *other = mem_printf("%s.other", f->path);
	sqlite3 *foreign;
	assert_int_equal(sqlite3_open(other, &foreign), SQLITE_OK);
	assert_int_equal(sqlite3_exec(foreign, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(foreign);
	bad(FAIL_INVALID, "is not a directory database", directory_restore(empty, other, fail));
	assert_int_equal(unlink(other), 0);
	good(directory_restore(empty, f->copy, fail));
	assert_true(directory_generation(empty) > generation);
	assert_true(directory_generation(empty) > directory_generation(f->d));
	directory_key(empty, "test", restored_key);
	assert_memory_equal(restored_key, key, sizeof key);
	directory_close(TAKE(empty));
	empty = directory_open(path, NULL);
	assert_non_null(empty);
	good(directory_verify(empty, fail));
	good(directory_account_get(empty, STR("bob@example.test"), &account, fail));
	assert_int_equal(account.id, f->bob);
	bad(FAIL_EXISTS, "already", directory_restore(empty, f->copy, fail));
	directory_close(TAKE(empty));
	assert_int_equal(unlink(path), 0);
}

/* An account's name is short; mail may come for it with a longer subaddress, and aliases may have longer names and
 * targets. */
static void long_names(void **state)
{
	struct fixture *f = *state;
	struct directory_account account;
	char name[300];
	int64_t id;
	for (size_t length = LIMIT_ACCOUNT_LOCAL_PART_MAX; length <= LIMIT_ACCOUNT_LOCAL_PART_MAX + 1; length++) {
		memset(name, 'x', length);
		memcpy(name + length, "@example.test", 14);
		if (length == LIMIT_ACCOUNT_LOCAL_PART_MAX)
			good(directory_account_add(f->d, str_of(name), STR(""), STR(""), &id, fail));
		else
			bad(FAIL_INVALID, "at most 64", directory_account_add(f->d, str_of(name), STR(""), STR(""), &id, fail));
	}
	good(directory_account_get_by_id(f->d, id, &account, fail));
	for (size_t length = LIMIT_LOCAL_PART_MAX; length <= LIMIT_LOCAL_PART_MAX + 1; length++) {
		struct str target = STR("bob@example.test");
		memset(name, 'y', length);
		memcpy(name + length, "@example.test", 14);
		if (length == LIMIT_LOCAL_PART_MAX)
			good(directory_alias_set(f->d, str_of(name), &target, 1, fail));
		else
			bad(FAIL_INVALID, "too long", directory_alias_set(f->d, str_of(name), &target, 1, fail));
	}
}

static void a_batch_is_one_change(void **state)
{
	struct fixture *f = *state;
	struct directory_domain domain;
	good(directory_begin(f->d, fail));
	good(directory_domain_add(f->d, STR("one.example"), fail));
	good(directory_setting_set(f->d, DIRECTORY_SEPARATORS, STR(""), fail));
	directory_rollback(f->d);
	bad(FAIL_NOT_FOUND, "posthornctl domain add one.example",
	    directory_domain_get(f->d, STR("one.example"), &domain, fail));
	assert_string_equal(directory_setting(f->d, DIRECTORY_SEPARATORS), "+");
	good(directory_begin(f->d, fail));
	good(directory_domain_add(f->d, STR("one.example"), fail));
	bad(FAIL_EXISTS, "already", directory_domain_add(f->d, STR("ONE.example"), fail));
	good(directory_domain_add(f->d, STR("two.example"), fail));
	good(directory_commit(f->d, fail));
	fixture_reopen(f);
	good(directory_domain_get(f->d, STR("one.example"), &domain, fail));
	good(directory_domain_get(f->d, STR("two.example"), &domain, fail));
}

/* A full disk in the middle of a batch: nothing of it is kept, and no later change sneaks in. */
static void a_full_disk_undoes_the_batch(void **state)
{
	struct fixture *f = *state;
	struct directory_domain domain;
	char name[200];
	bool added = true;
	assert_int_equal(sqlite3_exec(f->d->db, "PRAGMA max_page_count=1", NULL, NULL, NULL), SQLITE_OK);
	good(directory_begin(f->d, fail));
	CLEANUP(fail_free) struct fail *trouble = NULL;
	for (int i = 0; added && i < 1000; i++) {
		snprintf(name, sizeof name, "%050d.%050d.example", i, i);
		added = directory_domain_add(f->d, str_of(name), &trouble);
	}
	assert_false(added);
	assert_int_equal(trouble->kind, FAIL_NO_SPACE);
	if (directory_domain_add(f->d, STR("x.example"), NULL))
		directory_rollback(f->d);
	else
		assert_false(directory_commit(f->d, NULL));
	snprintf(name, sizeof name, "%050d.%050d.example", 0, 0);
	bad(FAIL_NOT_FOUND, "is not ours", directory_domain_get(f->d, str_of(name), &domain, fail));
	bad(FAIL_NOT_FOUND, "is not ours", directory_domain_get(f->d, STR("x.example"), &domain, fail));
	good(directory_verify(f->d, fail));
}

static void settings_are_checked(void **state)
{
	struct fixture *f = *state;
	enum directory_setting setting;
	assert_true(directory_setting_find(STR("default-domain"), &setting));
	assert_int_equal(setting, DIRECTORY_DEFAULT_DOMAIN);
	assert_false(directory_setting_find(STR("key"), &setting));
	assert_string_equal(directory_setting(f->d, DIRECTORY_PASSWORD_MIN), "8");
	bad(FAIL_INVALID, "separator", directory_setting_set(f->d, DIRECTORY_SEPARATORS, STR("+@"), fail));
	bad(FAIL_INVALID, "separator", directory_setting_set(f->d, DIRECTORY_SEPARATORS, str_from("\0", 1), fail));
	bad(FAIL_INVALID, "number", directory_setting_set(f->d, DIRECTORY_PASSWORD_MIN, STR("many"), fail));
	bad(FAIL_INVALID, "domain", directory_setting_set(f->d, DIRECTORY_DEFAULT_DOMAIN, STR("a b"), fail));
	good(directory_setting_set(f->d, DIRECTORY_DEFAULT_DOMAIN, STR("M\u00fcnchen.example"), fail));
	assert_string_equal(directory_setting(f->d, DIRECTORY_DEFAULT_DOMAIN), "xn--mnchen-3ya.example");
}

static void the_generation_grows_with_changes_only(void **state)
{
	struct fixture *f = *state;
	struct directory_account account;
	uint64_t generation = directory_generation(f->d);
	good(directory_account_get(f->d, STR("alice@example.test"), &account, fail));
	bad(FAIL_EXISTS, "", directory_domain_add(f->d, STR("example.test"), fail));
	assert_int_equal(directory_generation(f->d), generation);
	good(directory_account_set_enabled(f->d, f->alice, false, fail));
	assert_int_equal(directory_generation(f->d), generation + 1);
}

static void domains(void **state)
{
	struct fixture *f = *state;
	struct directory_domain domain = { .id = 0 };
	assert_true(directory_domain_next(f->d, &domain, NULL));
	assert_string_equal(domain.name, "example.test");
	assert_true(directory_domain_next(f->d, &domain, NULL));
	assert_string_equal(domain.name, "xn--mnchen-3ya.example");
	assert_false(directory_domain_next(f->d, &domain, NULL));
	bad(FAIL_BUSY, "still has accounts", directory_domain_remove(f->d, STR("example.test"), fail));
	bad(FAIL_INVALID, "not a domain name", directory_domain_add(f->d, STR("two words"), fail));
	bad(FAIL_NOT_FOUND, "posthornctl domain add other.example",
	    directory_domain_remove(f->d, STR("other.example"), fail));
	good(directory_domain_add(f->d, STR("other.example"), fail));
	good(directory_domain_set_catch_all(f->d, STR("other.example"), STR("Any"), fail));
	good(directory_domain_set_postmaster(f->d, STR("other.example"), STR("Root@Elsewhere.example"), fail));
	good(directory_domain_set_quota(f->d, STR("other.example"), 1000, 10, fail));
	good(directory_domain_get(f->d, STR("OTHER.example"), &domain, fail));
	assert_string_equal(domain.catch_all, "any@other.example");
	assert_string_equal(domain.postmaster, "Root@elsewhere.example");
	assert_int_equal(domain.quota_bytes, 1000);
	assert_int_equal(domain.quota_messages, 10);
	good(directory_domain_set_catch_all(f->d, STR("other.example"), STR(""), fail));
	good(directory_domain_get(f->d, STR("other.example"), &domain, fail));
	assert_string_equal(domain.catch_all, "");
	good(directory_domain_remove(f->d, STR("other.example"), fail));
	bad(FAIL_NOT_FOUND, "", directory_domain_get(f->d, STR("other.example"), &domain, fail));
}

static void accounts(void **state)
{
	struct fixture *f = *state;
	struct directory_account account = { .id = 0 };
	int64_t id;
	good(directory_account_get(f->d, STR("alice@EXAMPLE.test"), &account, fail));
	assert_string_equal(account.address, "alice@example.test");
	assert_string_equal(account.display_name, "Alice");
	assert_string_equal(account.language, "en");
	assert_string_equal(account.directory, "example.test/alice.1");
	assert_true(account.enabled);
	assert_int_equal(account.purge_at, 0);
	bad(FAIL_EXISTS, "exists already",
	    directory_account_add(f->d, STR("BOB@example.test"), STR(""), STR(""), &id, fail));
	bad(FAIL_NOT_FOUND, "posthornctl domain add nowhere.example",
	    directory_account_add(f->d, STR("x@nowhere.example"), STR(""), STR(""), &id, fail));
	bad(FAIL_INVALID, "write dave@DOMAIN", directory_account_add(f->d, STR("dave"), STR(""), STR(""), &id, fail));
	bad(FAIL_INVALID, "en, it, sk", directory_account_add(f->d, STR("d@example.test"), STR(""), STR("fr"), &id, fail));
	bad(FAIL_INVALID, "control", directory_account_add(f->d, STR("d@example.test"), STR("a\nb"), STR(""), &id, fail));
	bad(FAIL_NOT_FOUND, "posthornctl account add d@example.test",
	    directory_account_get(f->d, STR("D@example.test"), &account, fail));
	bad(FAIL_NOT_FOUND, "number 99", directory_account_get_by_id(f->d, 99, &account, fail));
	bad(FAIL_NOT_FOUND, "number 99", directory_account_set_enabled(f->d, 99, true, fail));
	good(directory_account_set_display_name(f->d, f->alice, STR("\u013dubica"), fail));
	good(directory_account_set_language(f->d, f->alice, STR("sk"), fail));
	good(directory_account_set_enabled(f->d, f->alice, false, fail));
	good(directory_account_get_by_id(f->d, f->alice, &account, fail));
	assert_string_equal(account.display_name, "\u013dubica");
	assert_string_equal(account.language, "sk");
	assert_false(account.enabled);
}

static void directory_names_are_plain(void **state)
{
	struct fixture *f = *state;
	struct directory_account account;
	int64_t id;
	good(directory_account_add(f->d, STR("\"../..//\u00e9 x\"@example.test"), STR(""), STR(""), &id, fail));
	good(directory_account_get_by_id(f->d, id, &account, fail));
	assert_string_equal(account.directory, "example.test/_._.._____x.4");
	assert_string_equal(account.address, "\"../..//\u00e9 x\"@example.test");
}

static void quotas_come_from_the_domain(void **state)
{
	struct fixture *f = *state;
	struct directory_account account;
	good(directory_domain_set_quota(f->d, STR("example.test"), 5000, 50, fail));
	good(directory_account_set_quota(f->d, f->bob, 100, DIRECTORY_QUOTA_INHERIT, fail));
	good(directory_account_get_by_id(f->d, f->alice, &account, fail));
	assert_int_equal(account.quota_bytes, 5000);
	assert_int_equal(account.quota_messages, 50);
	assert_int_equal(account.own_quota_bytes, DIRECTORY_QUOTA_INHERIT);
	good(directory_account_get_by_id(f->d, f->bob, &account, fail));
	assert_int_equal(account.quota_bytes, 100);
	assert_int_equal(account.quota_messages, 50);
	good(directory_account_set_quota(f->d, f->bob, 0, 0, fail));
	good(directory_account_get_by_id(f->d, f->bob, &account, fail));
	assert_int_equal(account.quota_bytes, 0);
	bad(FAIL_INVALID, "quota", directory_account_set_quota(f->d, f->bob, -2, 0, fail));
}

static void accounts_are_walked_in_order(void **state)
{
	struct fixture *f = *state;
	struct directory_account account = { .id = 0 };
	struct directory_domain domain;
	const int64_t all[] = { f->alice, f->bob, f->carol };
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		assert_true(directory_account_next(f->d, 0, &account, NULL));
		assert_int_equal(account.id, all[i]);
	}
	assert_false(directory_account_next(f->d, 0, &account, NULL));
	good(directory_domain_get(f->d, STR("m\u00fcnchen.example"), &domain, fail));
	account.id = 0;
	assert_true(directory_account_next(f->d, domain.id, &account, NULL));
	assert_int_equal(account.id, f->carol);
	assert_false(directory_account_next(f->d, domain.id, &account, NULL));
}

static void deletion_has_a_grace_time(void **state)
{
	struct fixture *f = *state;
	struct directory_account account;
	struct directory_login login;
	int64_t again, before = clock_wall_seconds();
	good(directory_account_delete(f->d, f->bob, 1000, fail));
	bad(FAIL_NOT_FOUND, "deleted already", directory_account_delete(f->d, f->bob, 1000, fail));
	bad(FAIL_NOT_FOUND, "", directory_account_get(f->d, STR("bob@example.test"), &account, fail));
	good(directory_login_find(f->d, STR("bob@example.test"), &login, fail));
	assert_false(login.known);
	good(directory_account_get_by_id(f->d, f->bob, &account, fail));
	assert_true(account.purge_at >= before + 1000);
	good(directory_account_undelete(f->d, f->bob, fail));
	good(directory_account_get(f->d, STR("bob@example.test"), &account, fail));
	bad(FAIL_DENIED, "not deleted", directory_account_purge(f->d, f->bob, fail));
	good(directory_account_delete(f->d, f->bob, 0, fail));
	good(directory_account_add(f->d, STR("bob@example.test"), STR(""), STR(""), &again, fail));
	assert_true(again > f->carol);
	bad(FAIL_EXISTS, "account number 4", directory_account_undelete(f->d, f->bob, fail));
	good(directory_account_purge(f->d, f->bob, fail));
	bad(FAIL_NOT_FOUND, "", directory_account_get_by_id(f->d, f->bob, &account, fail));
}

static void numbers_are_never_used_again(void **state)
{
	struct fixture *f = *state;
	int64_t first;
	int64_t second;
	good(directory_account_add(f->d, STR("temp@example.test"), STR(""), STR(""), &first, fail));
	good(directory_account_delete(f->d, first, 0, fail));
	good(directory_account_purge(f->d, first, fail));
	fixture_reopen(f);
	good(directory_account_add(f->d, STR("temp@example.test"), STR(""), STR(""), &second, fail));
	assert_true(second > first);
}

static const struct {
	const char *typed;
	const char *name;
	const char *account; /* NULL: unknown */
} logins[] = {
	{ "alice@example.test", "alice@example.test", "alice@example.test" },
	{ "ALICE@Example.Test", "alice@example.test", "alice@example.test" },
	{ "Alice", "alice@example.test", "alice@example.test" },
	{ "carol@m\u00fcnchen.example", "carol@xn--mnchen-3ya.example", "carol@xn--mnchen-3ya.example" },
	{ "carol", "carol@example.test", NULL },
	{ "alice+list@example.test", "alice+list@example.test", NULL },
	{ "sales@example.test", "sales@example.test", NULL },
	{ "Nobody@example.test", "nobody@example.test", NULL },
	{ "x@elsewhere.example", "x@elsewhere.example", NULL },
	{ "Not An Address", "not an address", NULL },
	{ "", "", NULL },
};

static void login_names(void **state)
{
	struct fixture *f = *state;
	good(directory_alias_set(f->d, STR("sales@example.test"), &STR("alice"), 1, fail));
	for (size_t i = 0; i < COUNT_OF(logins); i++) {
		struct directory_login login;
		good(directory_login_find(f->d, str_of(logins[i].typed), &login, fail));
		assert_string_equal(login.name, logins[i].name);
		assert_int_equal(login.known, logins[i].account != NULL);
		if (login.known)
			assert_string_equal(login.account.address, logins[i].account);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(it_is_one_process_matter),
		fixture_test(all_is_there_after_reopening),
		fixture_test(foreign_files_are_left_alone),
		fixture_test(a_later_format_is_refused),
		fixture_test(damage_is_found),
		fixture_test(a_backup_is_a_directory),
		fixture_test(a_backup_is_taken_over),
		fixture_test(long_names),
		fixture_test(a_batch_is_one_change),
		fixture_test(a_full_disk_undoes_the_batch),
		fixture_test(settings_are_checked),
		fixture_test(the_generation_grows_with_changes_only),
		fixture_test(domains),
		fixture_test(accounts),
		fixture_test(directory_names_are_plain),
		fixture_test(quotas_come_from_the_domain),
		fixture_test(accounts_are_walked_in_order),
		fixture_test(deletion_has_a_grace_time),
		fixture_test(numbers_are_never_used_again),
		fixture_test(login_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "store_test_help.h"

#include <sys/sendfile.h>

/* Files under seg/ that no row names: as a crash between a file and its commit leaves them, or an older meta.db. */

static void copy(struct account *account, const char *from, const char *to)
{
	int source = openat(account->directory, from, O_RDONLY | O_CLOEXEC);
	int target = openat(account->directory, to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct stat status;
	assert_true(source >= 0 && target >= 0 && fstat(source, &status) == 0);
	assert_int_equal(sendfile(target, source, NULL, (size_t)status.st_size), status.st_size);
	close(source);
	close(target);
}

static bool has_file(struct account *account, const char *name)
{
	return faccessat(account->directory, name, F_OK, 0) == 0;
}

struct findings {
	int count;
	char last[200];
};

static void note(void *context, enum fail_kind kind, const char *what)
{
	struct findings *findings = context;
	assert_int_equal(kind, FAIL_CORRUPT);
	findings->count++;
	snprintf(findings->last, sizeof findings->last, "%s", what);
}

static void assert_finds(struct account *account, int count, const char *words)
{
	struct findings findings = {};
	const struct store_report report = { note, &findings };
	uint64_t damages = 0;
	assert_true(store_check(account->store, &report, &damages, NULL));
	assert_int_equal(findings.count, count);
	assert_int_equal(damages, count);
	if (count)
		assert_non_null(strstr(findings.last, words));
}

static void open_again(struct account *account)
{
	account_close(account);
	account_open(account);
}

static void what_is_elsewhere_goes_after_the_next_open(void **state)
{
	struct account *account = *state;
	struct store_placed one = deliver_text(account, 0, 1, "one");
	struct store_placed two = deliver_text(account, 0, 2, "two");
	assert_true(store_barrier(account->store, NULL));
	care_for(account, 0, 0);
	copy(account, "seg/0001", "seg/0007");
	assert_finds(account, 1, "segment 7 is named by no row and of no use");
	/* it was not there at the open */
	care_for(account, 0, 0);
	assert_true(has_file(account, "seg/0007"));
	open_again(account);
	care_for(account, 0, 0);
	assert_false(has_file(account, "seg/0007"));
	assert_finds(account, 0, "");
	assert_body(account, one.message, STR("one"));
	assert_body(account, two.message, STR("two"));
}

static void torn_octets_go(void **state)
{
	struct account *account = *state;
	deliver_text(account, 0, 1, "one");
	assert_true(store_barrier(account->store, NULL));
	copy(account, "seg/0001", "seg/0002");
	account_truncate(account, "seg/0002", SEGMENT_START_SIZE + 10);
	open_again(account);
	care_for(account, 0, 0);
	assert_false(has_file(account, "seg/0002"));
}

/* The good copy is the one that no row names. */
static void what_is_damaged_elsewhere_stays(void **state)
{
	struct account *account = *state;
	deliver_text(account, 0, 1, "one");
	assert_true(store_barrier(account->store, NULL));
	copy(account, "seg/0001", "seg/0002");
	account_overwrite(account, "seg/0001", number_of(account, "SELECT start + header FROM body"), STR("ONE"));
	open_again(account);
	care_for(account, 0, 0);
	assert_true(has_file(account, "seg/0002"));
	assert_finds(account, 2, "1 of its 1 mails are nowhere else");
}

static void rebuild(struct account *account)
{
	struct store_rebuilt rebuilt;
	const struct store_options options = { .path = account->path };
	account_close(account);
	assert_true(store_rebuild(account->directory, &options, NULL, NULL, &rebuilt, NULL));
	account_open(account);
	assert_true(store_finish_recovery(account->store, NULL));
}

static void an_older_meta_db_loses_no_mail(void **state)
{
	struct account *account = *state;
	static char large[1200000];
	deliver_text(account, 0, 1, "one");
	account_close(account);
	copy(account, "meta.db", "older");
	account_open(account);
	deliver_file(account, 2, str_from(large, sizeof large));
	account_close(account);
	copy(account, "older", "meta.db");
	account_delete(account, "older");
	account_open(account);
	care_for(account, 0, 0);
	assert_true(has_file(account, "seg/0002"));
	assert_finds(account, 1, "1 of its 1 mails are nowhere else: rebuild has them");
	rebuild(account);
	assert_finds(account, 0, "");
	assert_int_equal(number_of(account, "SELECT count(*) FROM body WHERE size = 1200000"), 1);
}

/* As a crash leaves it: the row is lost, the file is not, and the journal has the mail. */
static void it_stays_until_the_journal_was_replayed(void **state)
{
	struct account *account = *state;
	static char large[1200000];
	struct store_care care = { .bytes_max = 100000, .rows_max = 100 };
	bool more = false;
	account_close(account);
	copy(account, "meta.db", "older");
	account_open(account);
	struct store_placed first = deliver_file(account, 1, str_from(large, sizeof large));
	account_crash(account);
	copy(account, "older", "meta.db");
	unlinkat(account->directory, "meta.db-wal", 0);
	account_open(account);
	assert_true(store_needs_recovery(account->store));
	assert_false(store_maintain(account->store, &care, &more, NULL));
	assert_true(has_file(account, "seg/0001"));
	struct store_placed again = deliver_file(account, 1, str_from(large, sizeof large));
	assert_memory_equal(&again.id, &first.id, sizeof first.id);
	assert_true(store_finish_recovery(account->store, NULL));
	assert_true(has_file(account, "seg/0001"));
	care_for(account, 0, 0);
	assert_false(has_file(account, "seg/0001"));
	assert_body(account, again.message, str_from(large, sizeof large));
	assert_finds(account, 0, "");
}

/* An APPEND that was not acknowledged and came again has another id, but the same octets. */
static void the_same_octets_are_enough(void **state)
{
	struct account *account = *state;
	static char large[1200000];
	account_close(account);
	copy(account, "meta.db", "older");
	account_open(account);
	deliver_file(account, 0, str_from(large, sizeof large));
	account_close(account);
	copy(account, "older", "meta.db");
	account_open(account);
	deliver_file(account, 0, str_from(large, sizeof large));
	care_for(account, 0, 0);
	assert_false(has_file(account, "seg/0001"));
	assert_finds(account, 0, "");
}

/* A commit that failed may yet get its row back from the WAL by a crash. */
static void what_a_failed_commit_left_stays(void **state)
{
	struct account *account = *state;
	static char large[1200000];
	struct store_placed placed = deliver_file(account, 0, str_from(large, sizeof large));
	struct store_txn *txn = store_begin(account->store);
	assert_true(database_execute(&account->store->writer, "DELETE FROM segment WHERE number = 1", NULL));
	assert_true(store_commit(&txn, NULL));
	care_for(account, 0, 0);
	assert_true(placed.message && has_file(account, "seg/0001"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(what_is_elsewhere_goes_after_the_next_open),
		store_test(torn_octets_go),
		store_test(what_is_damaged_elsewhere_stays),
		store_test(what_a_failed_commit_left_stays),
		store_test(an_older_meta_db_loses_no_mail),
		store_test(it_stays_until_the_journal_was_replayed),
		store_test(the_same_octets_are_enough),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

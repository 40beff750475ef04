#include "store_test_help.h"

static enum fail_kind failure_of(struct store_txn **txn)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(store_commit(txn, &fail));
	return fail->kind;
}

static void names_are_checked(void **state)
{
	(void)state;
	static char deep[2 * (LIMIT_MAILBOX_DEPTH_MAX + 1)];
	for (size_t i = 0; i < sizeof deep; i++)
		deep[i] = i % 2 ? '/' : 'a';
	static char long_name[LIMIT_MAILBOX_NAME_MAX + 1];
	memset(long_name, 'x', sizeof long_name);
	const struct {
		struct str name;
		bool valid;
	} cases[] = {
		{ STR("a"), true },
		{ STR("a/b c/\xc3\xa4"), true },
		{ STR(""), false },
		{ STR("/a"), false },
		{ STR("a/"), false },
		{ STR("a//b"), false },
		{ STR("a\nb"), false },
		{ STR("a\0b"), false },
		{ STR("\xff"), false },
		{ str_from(long_name, LIMIT_MAILBOX_NAME_MAX), true },
		{ str_from(long_name, LIMIT_MAILBOX_NAME_MAX + 1), false },
		{ str_from(deep, 2 * LIMIT_MAILBOX_DEPTH_MAX - 1), true },
		{ str_from(deep, 2 * LIMIT_MAILBOX_DEPTH_MAX + 1), false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(mailbox_name_is_valid(cases[i].name), cases[i].valid);
}

static void create_makes_parents_and_fresh_uidvalidity(void **state)
{
	struct account *account = *state;
	make_mailbox(account, "a/b/c");
	uint32_t first = mailbox_now(account, "a/b/c").uidvalidity;
	assert_int_not_equal(mailbox_now(account, "a").uidvalidity, mailbox_now(account, "a/b").uidvalidity);
	uint64_t id = 0, gone;
	struct store_txn *txn = store_begin(account->store);
	assert_false(store_mailbox_create(txn, STR("inbox"), STORE_USE_NONE, &id));
	assert_int_equal(failure_of(&txn), FAIL_EXISTS);
	txn = store_begin(account->store);
	assert_true(store_mailbox_delete(txn, STR("a/b/c"), &gone));
	commit(&txn);
	make_mailbox(account, "a/b/c");
	assert_true(mailbox_now(account, "a/b/c").uidvalidity > first);
}

static void rename_takes_children_along(void **state)
{
	struct account *account = *state;
	uint64_t child = make_mailbox(account, "a/b/c");
	make_mailbox(account, "a0");
	struct store_placed placed = deliver_text(account, child, 1, "one");
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_mailbox_rename(txn, STR("a"), STR("x/y")));
	commit(&txn);
	assert_int_equal(mailbox_now(account, "x/y/b/c").id, child);
	assert_int_equal(mailbox_now(account, "x").messages, 0);
	assert_int_equal(mailbox_now(account, "a0").messages, 0);
	assert_body(account, placed.message, STR("one"));
	static const struct {
		const char *from, *to;
		enum fail_kind kind;
	} failures[] = {
		{ "nothing", "z", FAIL_NOT_FOUND },
		{ "x", "a0", FAIL_EXISTS },
		{ "x", "x/inside", FAIL_INVALID },
		{ "x", "a//b", FAIL_INVALID },
	};
	for (size_t i = 0; i < COUNT_OF(failures); i++) {
		txn = store_begin(account->store);
		assert_false(store_mailbox_rename(txn, str_of(failures[i].from), str_of(failures[i].to)));
		assert_int_equal(failure_of(&txn), failures[i].kind);
	}
}

static void rename_of_inbox_leaves_an_empty_one(void **state)
{
	struct account *account = *state;
	make_mailbox(account, "INBOX/child");
	struct store_placed placed = deliver_text(account, 0, 1, "one");
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_mailbox_rename(txn, STR("Inbox"), STR("old")));
	commit(&txn);
	assert_int_equal(mailbox_now(account, "old").messages, 1);
	assert_int_equal(mailbox_now(account, "INBOX").messages, 0);
	assert_int_equal(mailbox_now(account, "INBOX").uidnext, placed.uid + 1);
	assert_int_equal(mailbox_now(account, "inbox/child").messages, 0);
	assert_counters(account);
}

static void delete_frees_at_once_and_purges_later(void **state)
{
	struct account *account = *state;
	uint64_t id = make_mailbox(account, "a/b");
	struct store_placed placed = { .message = 0 };
	for (uint64_t i = 1; i <= 250; i++)
		placed = deliver_text(account, id, i, "mail");
	uint64_t gone;
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_mailbox_delete(txn, STR("a"), &gone));
	assert_false(store_mailbox_delete(txn, STR("a"), &gone)); /* a level that is no mailbox */
	assert_int_equal(failure_of(&txn), FAIL_DENIED);
	txn = store_begin(account->store);
	assert_false(store_mailbox_delete(txn, STR("INBOX"), &gone));
	assert_int_equal(failure_of(&txn), FAIL_DENIED);
	txn = store_begin(account->store);
	assert_true(store_mailbox_delete(txn, STR("a/b"), &gone));
	commit(&txn);
	struct store_usage usage;
	store_usage(account->store, &usage);
	assert_int_equal(usage.messages, 0);
	assert_int_equal(usage.bytes, 0);
	uint64_t modseq = account->store->modseq;
	care_for(account, 0, 0);
	assert_int_equal(number_of(account, "SELECT (SELECT count(*) FROM placement) + (SELECT count(*) FROM body)"), 0);
	assert_body_fails(account, placed.message, FAIL_NOT_FOUND);
	/* the highest modseq was that of the mailbox that is gone */
	account_close(account);
	account_open(account);
	assert_true(account->store->modseq >= modseq);
	assert_counters(account);
}

static void subscriptions_outlive_mailboxes(void **state)
{
	struct account *account = *state;
	uint64_t gone;
	make_mailbox(account, "a");
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_subscribe(txn, STR("a"), true));
	assert_true(store_subscribe(txn, STR("never was"), true));
	assert_true(store_subscribe(txn, STR("a"), true));
	commit(&txn);
	assert_true(mailbox_now(account, "a").subscribed);
	txn = store_begin(account->store);
	assert_true(store_mailbox_delete(txn, STR("a"), &gone));
	commit(&txn);
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct store_mailboxes names = {};
	assert_true(store_read_subscriptions(reader, &names, NULL));
	assert_int_equal(names.names.count, 2);
	assert_string_equal(names.names.items[0], "a");
	store_mailboxes_release(&names);
	txn = store_begin(account->store);
	assert_true(store_subscribe(txn, STR("a"), false));
	commit(&txn);
	assert_true(store_read_subscriptions(reader, &names, NULL));
	assert_int_equal(names.names.count, 1);
	store_mailboxes_release(&names);
}

static void special_use_is_kept(void **state)
{
	struct account *account = *state;
	uint64_t id = 0;
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_mailbox_create(txn, STR("Sent"), STORE_USE_SENT, &id));
	assert_true(store_mailbox_use(txn, inbox_of(account), STORE_USE_IMPORTANT));
	commit(&txn);
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct store_mailboxes all = {};
	assert_true(store_read_mailboxes(reader, &all, NULL));
	assert_int_equal(all.list.count, 2);
	assert_int_equal(all.list.items[0].use, STORE_USE_IMPORTANT);
	assert_int_equal(all.list.items[1].use, STORE_USE_SENT);
	assert_true(str_equal(all.list.items[1].name, STR("Sent")));
	store_mailboxes_release(&all);
}

static void a_new_account_has_its_first_mailboxes(void **state)
{
	(void)state;
	struct account account = {};
	struct fail *fail = NULL;
	const struct store_first_mailbox first[] = { { STR("Drafts"), STORE_USE_DRAFTS }, { STR("Mail/Sent"), STORE_USE_SENT } };
	account_make_directory(&account);
	const struct store_options options = {
		.path = account.path, .create = true, .uidvalidity = 7, .first = first, .first_count = COUNT_OF(first),
	};
	account.store = store_open(account.directory, &options, &fail);
	assert_non_null(account.store);
	assert_true(mailbox_now(&account, "INBOX").subscribed && mailbox_now(&account, "INBOX").uidvalidity == 7);
	assert_int_equal(mailbox_now(&account, "Drafts").use, STORE_USE_DRAFTS);
	assert_int_equal(mailbox_now(&account, "Drafts").uidvalidity, 8);
	assert_true(mailbox_now(&account, "Mail/Sent").subscribed);
	/* the next one does not share a number with them */
	make_mailbox(&account, "more");
	assert_int_equal(mailbox_now(&account, "more").uidvalidity, 10);
	/* they are not made again */
	uint64_t gone;
	struct store_txn *txn = store_begin(account.store);
	assert_true(store_mailbox_delete(txn, STR("Drafts"), &gone));
	commit(&txn);
	assert_true(store_close(&account.store, NULL));
	account.store = store_open(account.directory, &options, &fail);
	assert_int_equal(number_of(&account, "SELECT count(*) FROM mailbox WHERE name = 'Drafts'"), 0);
	void *owned = mem_alloc(sizeof account);
	memcpy(owned, &account, sizeof account);
	account_teardown(&owned);
}

static void fill(struct store_txn *txn, const char *sql, int first, int last)
{
	sqlite3_stmt *query = txn_query(txn, sql);
	sqlite3_bind_int(query, 1, first);
	sqlite3_bind_int(query, 2, last);
	assert_true(txn_run(txn, query));
}

static bool is_created(struct account *account, const char *name)
{
	uint64_t id;
	struct store_txn *txn = store_begin(account->store);
	bool created = store_mailbox_create(txn, str_of(name), STORE_USE_NONE, &id);
	if (created)
		commit(&txn);
	else
		assert_int_equal(failure_of(&txn), FAIL_LIMIT);
	return created;
}

/* Parents count like the rest. What was refused is not there, and the names stay what they are. */
static void there_is_an_end_of_mailboxes(void **state)
{
	struct account *account = *state;
	struct store_txn *txn = store_begin(account->store);
	fill(txn, "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)"
	          " INSERT INTO mailbox(name, uidvalidity, uidnext, highestmodseq, special_use, messages, unseen, deleted, bytes)"
	          " SELECT 'n' || i, i, 1, 1, 0, 0, 0, 0, 0 FROM n", 1000, 1000 + LIMIT_MAILBOXES_MAX);
	fill(txn, "DELETE FROM mailbox WHERE id > ?1 + ?2", LIMIT_MAILBOXES_MAX, -1);
	commit(&txn);
	assert_int_equal(number_of(account, "SELECT count(*) FROM mailbox"), LIMIT_MAILBOXES_MAX - 1);
	assert_false(is_created(account, "a/b"));
	assert_int_equal(number_of(account, "SELECT count(*) FROM mailbox WHERE name IN ('a', 'a/b')"), 0);
	txn = store_begin(account->store);
	assert_false(store_mailbox_rename(txn, STR("n1000"), STR("a/b/c")));
	assert_int_equal(failure_of(&txn), FAIL_LIMIT);
	assert_true(is_created(account, "a"));
	assert_false(is_created(account, "b"));
	txn = store_begin(account->store);
	assert_true(store_mailbox_rename(txn, STR("n1000"), STR("a/b")));
	commit(&txn);
}

static void there_is_an_end_of_subscriptions(void **state)
{
	struct account *account = *state;
	int there = (int)number_of(account, "SELECT count(*) FROM subscription");
	struct store_txn *txn = store_begin(account->store);
	fill(txn, "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)"
	          " INSERT INTO subscription(name) SELECT 'n' || i FROM n", there + 1, LIMIT_SUBSCRIPTIONS_MAX);
	assert_true(store_subscribe(txn, STR("n100"), true));
	commit(&txn);
	txn = store_begin(account->store);
	assert_false(store_subscribe(txn, STR("more"), true));
	assert_int_equal(failure_of(&txn), FAIL_LIMIT);
	txn = store_begin(account->store);
	assert_true(store_subscribe(txn, STR("n100"), false) && store_subscribe(txn, STR("more"), true));
	commit(&txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_checked),
		store_test(create_makes_parents_and_fresh_uidvalidity),
		store_test(rename_takes_children_along),
		store_test(rename_of_inbox_leaves_an_empty_one),
		store_test(delete_frees_at_once_and_purges_later),
		store_test(subscriptions_outlive_mailboxes),
		store_test(special_use_is_kept),
		store_test(there_is_an_end_of_mailboxes),
		store_test(there_is_an_end_of_subscriptions),
		cmocka_unit_test(a_new_account_has_its_first_mailboxes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

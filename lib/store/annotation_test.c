#include "annotation.h"
#include "store_test_help.h"

#include <sys/eventfd.h>

static void set(struct account *account, uint64_t mailbox, const char *entry, struct str value)
{
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_annotation_set(txn, mailbox, str_of(entry), value));
	commit(&txn);
}

static struct store_annotations annotations_of(struct account *account, uint64_t mailbox)
{
	struct store_annotations found = {};
	struct store_reader *reader = store_reader_acquire(account->store, NULL);
	assert_true(store_read_annotations(reader, mailbox, &found, NULL));
	store_reader_release(&reader);
	return found;
}

static struct store_annotations changes_since(struct account *account, uint64_t since, uint64_t *modseq)
{
	struct store_annotations found = {};
	struct store_reader *reader = store_reader_acquire(account->store, NULL);
	assert_true(store_read_annotation_changes(reader, since, &found, modseq, NULL));
	store_reader_release(&reader);
	return found;
}

static void assert_value(const struct store_annotations *found, size_t i, const char *entry, struct str value)
{
	assert_true(i < found->list.count);
	assert_true(str_equal(found->list.items[i].entry, str_of(entry)));
	assert_non_null(found->list.items[i].value.data);
	assert_true(str_equal(found->list.items[i].value, value));
}

static void values_are_kept_by_mailbox(void **state)
{
	struct account *account = *state;
	uint64_t other = make_mailbox(account, "other");
	set(account, 0, "/shared/comment", STR("server"));
	set(account, other, "/private/b", STR("two\0octets"));
	set(account, other, "/private/a", STR(""));
	set(account, other, "/private/b", STR("again"));
	account_close(account);
	account_open(account);
	struct store_annotations found = annotations_of(account, other);
	assert_int_equal(found.list.count, 2);
	assert_value(&found, 0, "/private/a", STR(""));
	assert_value(&found, 1, "/private/b", STR("again"));
	store_annotations_release(&found);
	found = annotations_of(account, 0);
	assert_int_equal(found.list.count, 1);
	assert_value(&found, 0, "/shared/comment", STR("server"));
	store_annotations_release(&found);
}

static void a_removal_is_a_change(void **state)
{
	struct account *account = *state;
	uint64_t before = 0, after = 0;
	set(account, 0, "/shared/a", STR("1"));
	set(account, 0, "/shared/b", STR("1"));
	struct store_annotations found = changes_since(account, 0, &before);
	assert_int_equal(found.list.count, 2);
	store_annotations_release(&found);
	set(account, 0, "/shared/a", (struct str){});
	set(account, 0, "/shared/never", (struct str){});
	found = changes_since(account, before, &after);
	assert_int_equal(found.list.count, 1);
	assert_true(str_equal(found.list.items[0].entry, STR("/shared/a")));
	assert_true(after > before);
	store_annotations_release(&found);
	found = annotations_of(account, 0);
	assert_int_equal(found.list.count, 1);
	store_annotations_release(&found);
	found = changes_since(account, after, &before);
	assert_int_equal(found.list.count, 0);
	assert_int_equal(before, after);
	store_annotations_release(&found);
}

static void they_follow_their_mailbox(void **state)
{
	struct account *account = *state;
	uint64_t id = make_mailbox(account, "a");
	set(account, id, "/private/x", STR("1"));
	set(account, inbox_of(account), "/private/y", STR("2"));
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_mailbox_rename(txn, STR("a"), STR("b")));
	assert_true(store_mailbox_rename(txn, STR("INBOX"), STR("old")));
	commit(&txn);
	struct store_annotations found = annotations_of(account, mailbox_now(account, "b").id);
	assert_value(&found, 0, "/private/x", STR("1"));
	store_annotations_release(&found);
	found = annotations_of(account, mailbox_now(account, "old").id);
	assert_value(&found, 0, "/private/y", STR("2"));
	store_annotations_release(&found);
	found = annotations_of(account, inbox_of(account));
	assert_value(&found, 0, "/private/y", STR("2"));
	store_annotations_release(&found);
	txn = store_begin(account->store);
	assert_true(store_mailbox_delete(txn, STR("b"), &(uint64_t){ 0 }));
	commit(&txn);
	assert_int_equal(number_of(account, "SELECT count(*) FROM annotation"), 2);
}

static void there_are_limits(void **state)
{
	struct account *account = *state;
	static char large[LIMIT_ANNOTATION_SIZE_MAX + 1];
	CLEANUP(fail_free) struct fail *fail = NULL;
	char entry[64];
	set(account, 0, "/shared/large", str_from(large, LIMIT_ANNOTATION_SIZE_MAX));
	struct store_txn *txn = store_begin(account->store);
	assert_false(store_annotation_set(txn, 0, STR("/shared/large"), str_from(large, sizeof large)));
	assert_false(store_commit(&txn, &fail));
	assert_int_equal(fail->kind, FAIL_TOO_BIG);
	txn = store_begin(account->store);
	for (int i = 1; i < LIMIT_ANNOTATIONS_MAX; i++) {
		snprintf(entry, sizeof entry, "/shared/%d", i);
		assert_true(store_annotation_set(txn, 0, str_of(entry), STR("x")));
	}
	commit(&txn);
	txn = store_begin(account->store);
	assert_false(store_annotation_set(txn, 0, STR("/shared/more"), STR("x")));
	assert_false(store_commit(&txn, &fail));
	assert_int_equal(fail->kind, FAIL_LIMIT);
	/* what was removed makes room */
	set(account, 0, "/shared/1", (struct str){});
	set(account, 0, "/shared/more", STR("x"));
}

static void a_listener_of_all_hears_them(void **state)
{
	struct account *account = *state;
	struct store_listener ear = { 0, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), NULL };
	eventfd_t told = 0;
	store_listen(account->store, &ear);
	set(account, 0, "/shared/a", STR("1"));
	assert_int_equal(eventfd_read(ear.event, &told), 0);
	store_unlisten(account->store, &ear);
	close(ear.event);
}

static void modseq_is_not_given_again(void **state)
{
	struct account *account = *state;
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_annotation_set(txn, 0, STR("/private/comment"), STR("x")));
	uint64_t modseq = txn->modseq;
	commit(&txn);
	account_close(account);
	account_open(account);
	assert_true(deliver_text(account, 0, 0, "text").modseq > modseq);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(modseq_is_not_given_again),
		store_test(values_are_kept_by_mailbox),
		store_test(a_removal_is_a_change),
		store_test(they_follow_their_mailbox),
		store_test(there_are_limits),
		store_test(a_listener_of_all_hears_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

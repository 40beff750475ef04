#include "store_test_help.h"

static uint64_t deliver_mail(struct account *account, const char *subject, const char *id, const char *reference)
{
	struct str references[] = { str_of(reference) };
	struct store_message_columns columns = { .subject = str_of(subject),
		                                     .message_id = str_of(id),
		                                     .references = references,
		                                     .reference_count = reference ? 1 : 0 };
	struct store_delivery delivery = { .body.bytes = str_of(subject),
		                               .mailbox = inbox_of(account),
		                               .columns = &columns };
	struct store_placed placed;
	struct store_txn *txn = store_begin_deferred(account->store);
	assert_true(store_deliver(txn, &delivery, &placed));
	commit(&txn);
	return placed.message;
}

static uint64_t thread_of(struct account *account, uint64_t message)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	uint64_t thread = 0;
	return store_read_thread(reader, message, &thread, NULL) ? thread : 0;
}

static void mails_that_refer_to_each_other_are_one_thread(void **state)
{
	struct account *account = *state;
	uint64_t first = deliver_mail(account, "plan", "<1@x>", NULL);
	uint64_t reply = deliver_mail(account, "plan", "<2@x>", "<1@x>");
	uint64_t other_subject = deliver_mail(account, "lunch", "<3@x>", "<1@x>");
	uint64_t stranger = deliver_mail(account, "plan", "<4@x>", NULL);
	uint64_t nameless = deliver_mail(account, "plan", "", NULL);
	assert_int_equal(thread_of(account, first), 0);
	care_for(account, 0, 0);
	assert_int_equal(thread_of(account, first), first);
	assert_int_equal(thread_of(account, reply), first);
	assert_int_equal(thread_of(account, other_subject), other_subject);
	assert_int_equal(thread_of(account, stranger), stranger);
	assert_int_equal(thread_of(account, nameless), nameless);
	/* later, and the first one gone */
	expunge_uid(account, inbox_of(account), 1);
	care_for(account, 0, 0);
	uint64_t late = deliver_mail(account, "plan", "<5@x>", "<2@x>");
	care_for(account, 0, 0);
	assert_int_equal(thread_of(account, late), first);
	assert_int_equal(thread_of(account, reply), first);
	assert_int_equal(thread_of(account, first), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(mails_that_refer_to_each_other_are_one_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

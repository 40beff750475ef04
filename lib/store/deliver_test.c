#include "store_test_help.h"

static const char mail[] = "Subject: one\r\n\r\nfirst\r\n";

static void a_delivery_is_listed_and_read_back(void **state)
{
	struct account *account = *state;
	struct store_placed placed = deliver_text(account, 0, 1, mail);
	assert_int_equal(placed.uid, 1);
	assert_false(placed.replayed);
	struct store_entries entries = entries_of(account, inbox_of(account));
	assert_int_equal(entries.list.count, 1);
	assert_int_equal(entries.list.items[0].uid, 1);
	assert_int_equal(entries.list.items[0].size, sizeof mail - 1);
	assert_int_equal(entries.list.items[0].received, 1700000000);
	assert_int_equal(entries.list.items[0].modseq, placed.modseq);
	assert_body(account, entries.list.items[0].message, str_of(mail));
	store_entries_release(&entries);
	struct store_mailbox inbox = mailbox_now(account, "inbox");
	assert_int_equal(inbox.uidnext, 2);
	assert_int_equal(inbox.messages, 1);
	assert_int_equal(inbox.unseen, 1);
	assert_int_equal(inbox.highestmodseq, placed.modseq);
	assert_counters(account);
}

static void everything_is_there_after_a_reopen(void **state)
{
	struct account *account = *state;
	struct store_placed first = deliver_text(account, 0, 1, mail);
	account_close(account);
	account_open(account);
	assert_false(store_needs_recovery(account->store));
	struct store_placed second = deliver_text(account, 0, 2, "second\r\n");
	assert_int_equal(second.uid, 2);
	assert_true(second.message > first.message);
	assert_true(second.modseq > first.modseq);
	assert_body(account, first.message, str_of(mail));
	assert_body(account, second.message, STR("second\r\n"));
	assert_int_equal(number_of(account, "SELECT count(*) FROM segment"), 1);
	assert_counters(account);
}

static void a_large_body_gets_a_segment_of_its_own(void **state)
{
	struct account *account = *state;
	CLEANUP(buf_release) struct buf large = BUF_WITH_LIMIT(LIMIT_MESSAGE_SIZE);
	while (large.length < 3 * LIMIT_INLINE_BODY_MAX)
		buf_printf(&large, "line %zu of a long mail\r\n", large.length);
	struct store_placed small = deliver_text(account, 0, 1, mail);
	struct store_placed placed = deliver_file(account, 2, buf_str(&large));
	assert_body(account, small.message, str_of(mail));
	assert_body(account, placed.message, buf_str(&large));
	assert_int_equal(number_of(account, "SELECT count(*) FROM segment WHERE state = 1"), 1);
	assert_int_equal(number_of(account, "SELECT count(*) FROM body WHERE segment = 2"), 1);
	assert_int_equal(faccessat(account->directory, "seg/0002", F_OK, 0), 0);
	assert_int_not_equal(faccessat(account->directory, "seg/new", F_OK, 0), 0);
}

static void a_stream_gives_the_same_octets(void **state)
{
	struct account *account = *state;
	struct store_placed placed = deliver_text(account, 0, 1, mail);
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	uint64_t size = 0;
	CLEANUP(store_stream_close) struct store_stream *stream = store_stream_open(reader, placed.message, &size, NULL);
	assert_non_null(stream);
	assert_int_equal(size, sizeof mail - 1);
	CLEANUP(buf_release) struct buf all = BUF_WITH_LIMIT(1000);
	char piece[5];
	for (int64_t got; (got = store_stream_read(stream, piece, sizeof piece, NULL)) != 0;) {
		assert_true(got > 0);
		buf_append(&all, piece, (size_t)got);
	}
	assert_true(str_equal(buf_str(&all), str_of(mail)));
}

static void an_empty_mail_is_a_mail(void **state)
{
	struct account *account = *state;
	struct store_placed placed = deliver_text(account, 0, 1, "");
	assert_body(account, placed.message, STR(""));
}

static void a_record_is_applied_once(void **state)
{
	struct account *account = *state;
	struct store_placed first = deliver_text(account, 0, 7, mail);
	struct store_placed again = deliver_text(account, 0, 7, mail);
	assert_true(again.replayed);
	assert_int_equal(again.uid, 0);
	assert_int_equal(again.message, first.message);
	assert_memory_equal(&again.id, &first.id, sizeof first.id);
	assert_int_equal(mailbox_now(account, "INBOX").messages, 1);
	struct store_placed other = deliver_text(account, 0, 8, mail);
	assert_memory_not_equal(&other.id, &first.id, sizeof first.id);
}

static void an_expunged_mail_does_not_come_back(void **state)
{
	struct account *account = *state;
	struct store_placed first = deliver_text(account, 0, 7, mail);
	expunge_uid(account, inbox_of(account), first.uid);
	assert_true(deliver_text(account, 0, 7, mail).replayed);
	assert_int_equal(mailbox_now(account, "INBOX").messages, 0);
	assert_counters(account);
}

static void a_record_below_the_trim_mark_is_forgotten(void **state)
{
	struct account *account = *state;
	deliver_text(account, 0, 7, mail);
	deliver_text(account, 0, 8, mail);
	struct store_origin origin = origin_of(0);
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(account->store);
	assert_true(store_trim(txn, origin.journal, 8));
	commit(&txn);
	assert_int_equal(number_of(account, "SELECT count(*) FROM applied"), 1);
	assert_true(deliver_text(account, 0, 8, mail).replayed);
}

static void what_a_gone_journal_applied_is_forgotten(void **state)
{
	struct account *account = *state;
	struct store_origin origin = origin_of(0), other = { .journal = { 1, 2, 3 }, .seq = 5 };
	struct store_delivery delivery = { .origin = &other, .body = { .bytes = str_of(mail) }, .mailbox = inbox_of(account) };
	struct store_placed placed;
	deliver_text(account, 0, 7, mail);
	CLEANUP(store_rollback) struct store_txn *txn = store_begin_deferred(account->store);
	assert_true(store_deliver(txn, &delivery, &placed));
	commit(&txn);
	assert_int_equal(number_of(account, "SELECT count(*) FROM applied"), 2);
	txn = store_begin_deferred(account->store);
	assert_true(store_trim_journals(txn, origin.journal, 1));
	commit(&txn);
	assert_int_equal(number_of(account, "SELECT count(*) FROM applied"), 1);
	assert_int_equal(number_of(account, "SELECT count(*) FROM journal"), 1);
	assert_true(deliver_text(account, 0, 7, mail).replayed);
	txn = store_begin_deferred(account->store);
	assert_true(store_trim_journals(txn, NULL, 0));
	commit(&txn);
	assert_int_equal(number_of(account, "SELECT count(*) FROM applied"), 0);
	/* the number of a row that went may be another journal's now */
	assert_false(deliver_text(account, 0, 8, mail).replayed);
	assert_true(deliver_text(account, 0, 8, mail).replayed);
}

/* The WAL survived, the segment's pages did not. */
static void replay_writes_lost_octets_again(void **state)
{
	struct account *account = *state;
	struct store_placed first = deliver_text(account, 0, 1, mail);
	struct store_placed second = deliver_text(account, 0, 2, "second\r\n");
	account_crash(account);
	account_truncate(account, "seg/0001", 30);
	account_open(account);
	assert_true(store_needs_recovery(account->store));
	assert_body_fails(account, first.message, FAIL_CORRUPT);
	struct store_placed third = deliver_text(account, 0, 3, "third\r\n");
	assert_true(deliver_text(account, 0, 2, "second\r\n").replayed);
	assert_true(deliver_text(account, 0, 1, mail).replayed);
	/* no row changed, but what was written again is durable only after a barrier */
	assert_true(store_barrier(account->store, NULL));
	assert_int_equal(account->store->segments.dirty.count, 0);
	assert_true(deliver_text(account, 0, 1, mail).replayed);
	assert_int_equal(account->store->segments.dirty.count, 0);
	assert_body(account, first.message, str_of(mail));
	assert_body(account, second.message, STR("second\r\n"));
	assert_body(account, third.message, STR("third\r\n"));
	assert_int_equal(number_of(account, "SELECT count(DISTINCT segment) FROM body"), 1);
}

static void replay_writes_a_lost_file_again(void **state)
{
	struct account *account = *state;
	CLEANUP(buf_release) struct buf large = BUF_WITH_LIMIT(LIMIT_MESSAGE_SIZE);
	while (large.length < 2 * LIMIT_INLINE_BODY_MAX)
		buf_add_u64(&large, large.length);
	struct store_placed small = deliver_text(account, 0, 1, mail);
	struct store_placed placed = deliver_file(account, 2, buf_str(&large));
	account_crash(account);
	account_delete(account, "seg/0001");
	account_delete(account, "seg/0002");
	account_open(account);
	assert_true(deliver_text(account, 0, 1, mail).replayed);
	assert_true(deliver_file(account, 2, buf_str(&large)).replayed);
	assert_body(account, small.message, str_of(mail));
	assert_body(account, placed.message, buf_str(&large));
}

static void recovery_leaves_a_gap(void **state)
{
	struct account *account = *state;
	struct store_placed before = deliver_text(account, 0, 1, mail);
	uint32_t uidvalidity = mailbox_now(account, "INBOX").uidvalidity;
	account_crash(account);
	account_open(account);
	assert_true(store_needs_recovery(account->store));
	assert_true(store_finish_recovery(account->store, NULL));
	assert_false(store_needs_recovery(account->store));
	struct store_placed after = deliver_text(account, 0, 2, mail);
	assert_int_equal(after.uid, before.uid + 1 + LIMIT_UID_GAP);
	assert_true(after.modseq > before.modseq + LIMIT_UID_GAP);
	assert_true(after.message >= before.message + LIMIT_UID_GAP);
	assert_int_equal(mailbox_now(account, "INBOX").uidvalidity, uidvalidity);
	account_close(account);
	account_open(account);
	assert_false(store_needs_recovery(account->store));
}

static void an_import_leaves_the_same_gap(void **state)
{
	struct account *account = *state;
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct store_placed before = deliver_text(account, 0, 1, mail);
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_leave_gap(txn));
	assert_true(store_commit(&txn, &fail));
	struct store_placed after = deliver_text(account, 0, 2, mail);
	assert_int_equal(after.uid, before.uid + 1 + LIMIT_UID_GAP);
	assert_true(after.modseq > before.modseq + LIMIT_UID_GAP);
	assert_true(after.message > before.message + LIMIT_UID_GAP);
	assert_int_equal(mailbox_now(account, "INBOX").highestmodseq, after.modseq);
	txn = store_begin(account->store);
	assert_true(store_leave_gap(txn));
	store_rollback(&txn);
	struct store_placed last = deliver_text(account, 0, 3, mail);
	assert_int_equal(last.uid, after.uid + 1);
	assert_int_equal(last.message, after.message + 1);
}

static void a_mail_put_back_keeps_its_id(void **state)
{
	struct account *account = *state;
	CLEANUP(store_ids_release) struct store_ids ids = {};
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct store_placed first = deliver_text(account, 0, 1, mail), again;
	const struct store_id id = { { 1, 2, 3 } };
	struct store_txn *txn = store_begin(account->store);
	struct store_delivery delivery = { .id = &id, .body.bytes = STR("back\r\n") };
	assert_true(store_mailbox_find(txn, STR("INBOX"), &delivery.mailbox));
	assert_true(store_deliver(txn, &delivery, &again));
	assert_true(store_commit(&txn, NULL));
	assert_true(store_read_ids(reader, delivery.mailbox, &ids, NULL));
	assert_int_equal(ids.list.count, 2);
	assert_memory_equal(&ids.list.items[0].id, &first.id, sizeof id);
	assert_memory_equal(&ids.list.items[1].id, &id, sizeof id);
	assert_int_equal(ids.list.items[1].uid, again.uid);
	assert_int_equal(ids.list.items[1].size, 6);
}

static void a_large_body_passes_over_a_number_that_a_crash_left(void **state)
{
	struct account *account = *state;
	int left = openat(account->directory, "seg/0001", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(left >= 0);
	close(left);
	struct store_placed placed = deliver_file(account, 1, STR("large\r\n"));
	assert_body(account, placed.message, STR("large\r\n"));
	assert_int_equal(number_of(account, "SELECT segment FROM body"), 2);
}

/* A roll-back gives a number again, though it could not remove the file. */
static void a_number_given_again_is_the_new_file(void **state)
{
	struct account *account = *state;
	struct segments *segments = &account->store->segments;
	struct stat read, named;
	struct segment_file *file = segments_create_temporary(segments, 7, NULL);
	assert_non_null(file);
	assert_int_equal(mkdirat(account->directory, "seg/0007", 0700), 0);
	assert_false(segments_unlink(segments, 7, NULL));
	segments_unuse(segments, file);
	assert_int_equal(unlinkat(account->directory, "seg/0007", AT_REMOVEDIR), 0);
	file = segments_create_temporary(segments, 7, NULL);
	assert_true(file && segments_publish(segments, file, NULL));
	segments_unuse(segments, file);
	file = segments_use(segments, 7, NULL);
	assert_non_null(file);
	assert_int_equal(fstat(file->file, &read), 0);
	assert_int_equal(fstatat(account->directory, "seg/0007", &named, 0), 0);
	assert_int_equal(read.st_ino, named.st_ino);
	segments_unuse(segments, file);
}

static void a_roll_back_leaves_nothing(void **state)
{
	struct account *account = *state;
	struct store_placed placed;
	struct store_placed first = deliver_text(account, 0, 1, mail);
	uint64_t end = account->store->tail.end;
	struct store_txn *txn = store_begin(account->store);
	struct store_delivery delivery = { .body.bytes = str_of(mail), .mailbox = inbox_of(account) };
	assert_true(store_deliver(txn, &delivery, &placed));
	assert_true(account->store->tail.end > end);
	store_rollback(&txn);
	assert_int_equal(account->store->tail.end, end);
	struct stat status;
	assert_int_equal(fstatat(account->directory, "seg/0001", &status, 0), 0);
	assert_int_equal(status.st_size, end);
	struct store_placed next = deliver_text(account, 0, 2, mail);
	assert_int_equal(next.uid, first.uid + 1);
	assert_body(account, next.message, str_of(mail));
	assert_counters(account);
}

static void the_first_failure_stays(void **state)
{
	struct account *account = *state;
	struct store_placed placed;
	struct store_txn *txn = store_begin(account->store);
	struct store_delivery nowhere = { .body.bytes = str_of(mail), .mailbox = 999 };
	struct store_delivery inbox = { .body.bytes = str_of(mail), .mailbox = inbox_of(account) };
	assert_false(store_deliver(txn, &nowhere, &placed));
	assert_false(store_deliver(txn, &inbox, &placed));
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(store_commit(&txn, &fail));
	assert_null(txn);
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
	assert_int_equal(mailbox_now(account, "INBOX").messages, 0);
}

static void quota_binds_an_append_but_no_delivery(void **state)
{
	struct account *account = *state;
	struct store_placed placed;
	store_set_quota(account->store, 2 * sizeof mail, 0);
	deliver_text(account, 0, 1, mail);
	struct store_delivery append = { .body.bytes = str_of(mail), .mailbox = inbox_of(account), .within_quota = true };
	for (int i = 0; i < 2; i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct store_txn *txn = store_begin(account->store);
		assert_int_equal(store_deliver(txn, &append, &placed), i == 0);
		assert_int_equal(store_commit(&txn, &fail), i == 0);
		assert_true(i == 0 || fail->kind == FAIL_OVER_QUOTA);
	}
	deliver_text(account, 0, 2, mail);
	assert_int_equal(mailbox_now(account, "INBOX").messages, 3);
	store_set_quota(account->store, 0, 3);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct store_txn *txn = store_begin(account->store);
	assert_false(store_deliver(txn, &append, &placed));
	assert_false(store_commit(&txn, &fail));
	assert_int_equal(fail->kind, FAIL_OVER_QUOTA);
	assert_counters(account);
}

static void columns_come_back(void **state)
{
	struct account *account = *state;
	struct str references[] = { STR("<a@x>"), STR("<b@x>") };
	struct store_message_columns columns = { .structure = STR("struct\0ure"),
		                                     .headers = STR("h"),
		                                     .subject = STR("one"),
		                                     .message_id = STR("<c@x>"),
		                                     .references = references,
		                                     .reference_count = 2,
		                                     .sent = -5,
		                                     .lines = 3 };
	struct store_delivery delivery = { .body.bytes = str_of(mail), .mailbox = inbox_of(account), .columns = &columns };
	struct store_placed placed;
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_deliver(txn, &delivery, &placed));
	commit(&txn);
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(1000);
	struct store_message_columns read;
	assert_true(store_read_columns(reader, placed.message, &read, &memory, NULL));
	assert_true(str_equal(read.structure, columns.structure));
	assert_true(str_equal(read.headers, columns.headers));
	assert_true(str_equal(read.subject, columns.subject));
	assert_true(str_is_empty(read.preview));
	assert_int_equal(read.sent, -5);
	assert_int_equal(read.lines, 3);
}

static void a_damaged_body_is_told_and_the_rest_served(void **state)
{
	struct account *account = *state;
	struct store_placed first = deliver_text(account, 0, 1, mail);
	struct store_placed second = deliver_text(account, 0, 2, "second\r\n");
	account_overwrite(account, "seg/0001", number_of(account, "SELECT start + header FROM body WHERE message = 1"),
	                  STR("\0\0\0\0"));
	assert_body_fails(account, first.message, FAIL_CORRUPT);
	assert_body(account, second.message, STR("second\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_delivery_is_listed_and_read_back),
		store_test(everything_is_there_after_a_reopen),
		store_test(a_large_body_gets_a_segment_of_its_own),
		store_test(a_stream_gives_the_same_octets),
		store_test(an_empty_mail_is_a_mail),
		store_test(a_record_is_applied_once),
		store_test(an_expunged_mail_does_not_come_back),
		store_test(a_record_below_the_trim_mark_is_forgotten),
		store_test(what_a_gone_journal_applied_is_forgotten),
		store_test(replay_writes_lost_octets_again),
		store_test(replay_writes_a_lost_file_again),
		store_test(recovery_leaves_a_gap),
		store_test(an_import_leaves_the_same_gap),
		store_test(a_mail_put_back_keeps_its_id),
		store_test(a_large_body_passes_over_a_number_that_a_crash_left),
		store_test(a_number_given_again_is_the_new_file),
		store_test(a_roll_back_leaves_nothing),
		store_test(the_first_failure_stays),
		store_test(quota_binds_an_append_but_no_delivery),
		store_test(columns_come_back),
		store_test(a_damaged_body_is_told_and_the_rest_served),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "store_test_help.h"

#include <sys/eventfd.h>

static struct store_selection uids(uint64_t mailbox, const struct store_range *ranges, size_t count)
{
	return (struct store_selection){ mailbox, ranges, count };
}

static uint32_t flags_of(struct account *account, uint64_t mailbox, uint32_t uid)
{
	struct store_entries entries = entries_of(account, mailbox);
	uint32_t flags = UINT32_MAX;
	for (size_t i = 0; i < entries.list.count; i++)
		if (entries.list.items[i].uid == uid)
			flags = entries.list.items[i].flags;
	store_entries_release(&entries);
	return flags;
}

static void flags_are_added_removed_and_replaced(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	deliver_text(account, 0, 1, "one");
	static const struct {
		enum store_flags_how how;
		uint32_t given, after;
		size_t changed;
	} steps[] = {
		{ STORE_FLAGS_ADD, STORE_SEEN | STORE_FLAGGED, STORE_SEEN | STORE_FLAGGED, 1 },
		{ STORE_FLAGS_ADD, STORE_SEEN, STORE_SEEN | STORE_FLAGGED, 0 },
		{ STORE_FLAGS_REMOVE, STORE_SEEN | STORE_DRAFT, STORE_FLAGGED, 1 },
		{ STORE_FLAGS_REPLACE, STORE_DELETED, STORE_DELETED, 1 },
		{ STORE_FLAGS_REPLACE, 0, 0, 1 },
	};
	uint64_t modseq = mailbox_now(account, "INBOX").highestmodseq;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct store_uids changed = {};
		struct store_selection one = uids(inbox, &(struct store_range){ 1, 1 }, 1);
		struct store_change change = { .how = steps[i].how, .flags = steps[i].given, .unchanged_since = UINT64_MAX };
		struct store_txn *txn = store_begin(account->store);
		assert_true(store_flags(txn, &one, &change, &changed, NULL));
		commit(&txn);
		assert_int_equal(changed.uids.count, steps[i].changed);
		assert_int_equal(flags_of(account, inbox, 1), steps[i].after);
		uint64_t now = mailbox_now(account, "INBOX").highestmodseq;
		assert_int_equal(now > modseq, steps[i].changed);
		modseq = now;
		assert_counters(account);
		store_uids_release(&changed);
	}
}

static void keywords_are_merged(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	deliver_text(account, 0, 1, "one");
	uint16_t numbers[3];
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_keyword(txn, STR("$Forwarded"), &numbers[0]));
	assert_true(store_keyword(txn, STR("work"), &numbers[1]));
	assert_true(store_keyword(txn, STR("WORK"), &numbers[2]));
	assert_int_equal(numbers[1], numbers[2]);
	static const struct {
		enum store_flags_how how;
		uint16_t given[2];
		size_t given_count;
		uint16_t after[2];
		size_t after_count;
	} steps[] = {
		{ STORE_FLAGS_ADD, { 1 }, 1, { 1 }, 1 },     { STORE_FLAGS_ADD, { 0, 1 }, 2, { 0, 1 }, 2 },
		{ STORE_FLAGS_REMOVE, { 0 }, 1, { 1 }, 1 },  { STORE_FLAGS_REMOVE, { 0 }, 1, { 1 }, 1 },
		{ STORE_FLAGS_REPLACE, { 0 }, 1, { 0 }, 1 }, { STORE_FLAGS_REMOVE, { 0, 1 }, 2, {}, 0 },
	};
	commit(&txn);
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		struct store_selection one = uids(inbox, &(struct store_range){ 1, 1 }, 1);
		struct store_change change = { .how = steps[i].how,
			                           .keywords = { steps[i].given, steps[i].given_count },
			                           .unchanged_since = UINT64_MAX };
		txn = store_begin(account->store);
		assert_true(store_flags(txn, &one, &change, NULL, NULL));
		commit(&txn);
		struct store_entries entries = entries_of(account, inbox);
		assert_int_equal(entries.list.items[0].keyword_count, steps[i].after_count);
		for (size_t k = 0; k < steps[i].after_count; k++)
			assert_int_equal(entries.keywords.items[entries.list.items[0].keywords + k], steps[i].after[k]);
		store_entries_release(&entries);
	}
	txn = store_begin(account->store);
	assert_false(store_keyword(txn, STR("two words"), &numbers[0]));
	store_rollback(&txn);
}

static void a_newer_change_is_a_conflict(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	struct store_placed first = deliver_text(account, 0, 1, "one");
	deliver_text(account, 0, 2, "two");
	struct store_uids changed = {};
	struct store_uids conflicts = {};
	struct store_selection all = uids(inbox, &(struct store_range){ 1, UINT32_MAX }, 1);
	struct store_change change = { .how = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = first.modseq };
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_flags(txn, &all, &change, &changed, &conflicts));
	commit(&txn);
	assert_int_equal(changed.uids.count, 1);
	assert_int_equal(changed.uids.items[0], 1);
	assert_int_equal(conflicts.uids.count, 1);
	assert_int_equal(conflicts.uids.items[0], 2);
	store_uids_release(&changed);
	store_uids_release(&conflicts);
}

static void copies_share_the_message(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	uint64_t archive = make_mailbox(account, "Archive");
	struct store_placed first = deliver_text(account, 0, 1, "one");
	deliver_text(account, 0, 2, "two");
	struct store_uids copied = {};
	struct store_selection all = uids(inbox, &(struct store_range){ 1, UINT32_MAX }, 1);
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_copy(txn, &all, archive, &copied));
	commit(&txn);
	assert_int_equal(copied.to.count, 2);
	assert_int_equal(copied.to.items[1], 2);
	assert_int_equal(copied.to_uidvalidity, mailbox_now(account, "Archive").uidvalidity);
	expunge_uid(account, inbox, first.uid);
	care_for(account, 0, 0);
	struct store_entries entries = entries_of(account, archive);
	assert_int_equal(entries.list.count, 2);
	assert_int_equal(entries.list.items[0].message, first.message);
	assert_body(account, first.message, STR("one"));
	store_entries_release(&entries);
	store_uids_release(&copied);
	assert_counters(account);
}

static void a_move_leaves_tombstones(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	uint64_t archive = make_mailbox(account, "Archive");
	struct store_placed first = deliver_text(account, 0, 1, "one");
	deliver_text(account, 0, 2, "two");
	struct store_uids moved = {};
	struct store_selection one = uids(inbox, &(struct store_range){ 1, 1 }, 1);
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_move(txn, &one, archive, &moved));
	commit(&txn);
	store_uids_release(&moved);
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct store_uids vanished = {};
	bool complete = false;
	assert_true(store_read_vanished(reader, inbox, first.modseq, &vanished, &complete, NULL));
	assert_true(complete);
	assert_int_equal(vanished.uids.count, 1);
	assert_int_equal(vanished.uids.items[0], 1);
	store_uids_release(&vanished);
	assert_int_equal(mailbox_now(account, "Archive").messages, 1);
	assert_int_equal(mailbox_now(account, "INBOX").messages, 1);
	assert_counters(account);
}

static void expunge_takes_the_deleted_only(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	for (uint64_t i = 1; i <= 3; i++)
		deliver_text(account, 0, i, "mail");
	struct store_selection all = uids(inbox, &(struct store_range){ 1, UINT32_MAX }, 1);
	struct store_selection two = uids(inbox, &(struct store_range){ 2, 2 }, 1);
	struct store_change change = { .how = STORE_FLAGS_ADD, .flags = STORE_DELETED, .unchanged_since = UINT64_MAX };
	struct store_uids expunged = {};
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_flags(txn, &two, &change, NULL, NULL));
	assert_true(store_expunge(txn, &all, false, &expunged));
	commit(&txn);
	assert_int_equal(expunged.uids.count, 1);
	assert_int_equal(expunged.uids.items[0], 2);
	store_uids_release(&expunged);
	/* what is gone is no failure */
	expunge_uid(account, inbox, 2);
	assert_int_equal(mailbox_now(account, "INBOX").messages, 2);
	assert_counters(account);
}

static void changes_are_found_by_modseq(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	struct store_placed placed[4];
	for (uint64_t i = 1; i <= 4; i++)
		placed[i - 1] = deliver_text(account, 0, i, "mail");
	struct store_range ranges[] = { { 1, 2 }, { 4, 4 } };
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	for (size_t count = 1; count <= 2; count++) {
		struct store_entries entries = {};
		struct store_selection some = uids(inbox, ranges, count);
		assert_true(store_read_entries(reader, &some, placed[0].modseq, &entries, NULL));
		assert_int_equal(entries.list.count, count);
		assert_int_equal(entries.list.items[0].uid, 2);
		store_entries_release(&entries);
	}
}

static void a_listener_is_told_of_its_mailbox(void **state)
{
	struct account *account = *state;
	uint64_t other = make_mailbox(account, "Other");
	struct store_listener inbox_ear = { inbox_of(account), eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), NULL };
	struct store_listener other_ear = { other, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), NULL };
	store_listen(account->store, &inbox_ear);
	store_listen(account->store, &other_ear);
	deliver_text(account, 0, 1, "one");
	eventfd_t told = 0;
	assert_int_equal(eventfd_read(inbox_ear.event, &told), 0);
	assert_int_equal(told, 1);
	assert_int_equal(eventfd_read(other_ear.event, &told), -1);
	store_unlisten(account->store, &inbox_ear);
	deliver_text(account, 0, 2, "two");
	assert_int_equal(eventfd_read(inbox_ear.event, &told), -1);
	store_unlisten(account->store, &other_ear);
	close(inbox_ear.event);
	close(other_ear.event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(flags_are_added_removed_and_replaced),
		store_test(keywords_are_merged),
		store_test(a_newer_change_is_a_conflict),
		store_test(copies_share_the_message),
		store_test(a_move_leaves_tombstones),
		store_test(expunge_takes_the_deleted_only),
		store_test(changes_are_found_by_modseq),
		store_test(a_listener_is_told_of_its_mailbox),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

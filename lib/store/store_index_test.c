#include "index_image.h"
#include "store_test_help.h"

#include <pthread.h>

/* What the index says must be what the database says. */

enum { MAILS_MAX = 400, STEPS = 1500 };

static uint64_t random_state;

static uint32_t dice(uint32_t below)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(random_state >> 33) % below;
}

static struct store_index *open_index(struct account *account, uint64_t mailbox)
{
	struct fail *fail = NULL;
	struct store_index *index = store_index_open(account->store, mailbox, &fail);
	if (!index)
		fail_msg("open: %s", fail_text(fail));
	return index;
}

static void refresh(struct account *account, struct store_index *index)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct fail *fail = NULL;
	if (!store_index_refresh(index, reader, &fail))
		fail_msg("refresh: %s", fail_text(fail));
}

static void lock(struct account *account, struct store_index *index)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct fail *fail = NULL;
	if (!store_index_lock(index, reader, &fail))
		fail_msg("lock: %s", fail_text(fail));
}

static void assert_state(struct account *account, struct store_index *index, const struct store_entries *entries,
                         const char *name)
{
	struct store_mailbox mailbox = mailbox_now(account, name);
	struct store_index_state state;
	CLEANUP(uidmap_release) struct uidmap uids = {};
	store_index_uids(index, &uids, &state);
	assert_int_equal(state.modseq, mailbox.highestmodseq);
	assert_int_equal(state.messages, mailbox.messages);
	assert_int_equal(state.unseen, mailbox.unseen);
	assert_int_equal(state.deleted, mailbox.deleted);
	assert_int_equal(state.bytes, mailbox.bytes);
	assert_int_equal(state.uidnext, mailbox.uidnext);
	assert_int_equal(state.uidvalidity, mailbox.uidvalidity);
	assert_int_equal(uidmap_count(&uids), entries->list.count);
	uint32_t first_unseen = 0;
	for (size_t i = 0; i < entries->list.count; i++) {
		assert_int_equal(uidmap_uid(&uids, (uint32_t)i + 1), entries->list.items[i].uid);
		if (!first_unseen && !(entries->list.items[i].flags & STORE_SEEN))
			first_unseen = entries->list.items[i].uid;
	}
	assert_int_equal(state.first_unseen, first_unseen);
}

static void assert_rows(struct account *account, struct store_index *index, const struct store_entries *entries)
{
	lock(account, index);
	const struct store_row *rows = store_index_rows(index);
	assert_int_equal(store_index_count(index), entries->list.count);
	for (size_t i = 0; i < entries->list.count; i++) {
		const struct store_entry *entry = &entries->list.items[i];
		assert_int_equal(rows[i].uid, entry->uid);
		assert_int_equal(rows[i].message, entry->message);
		assert_int_equal(rows[i].modseq, entry->modseq);
		assert_int_equal(rows[i].size, entry->size);
		assert_int_equal(rows[i].received, entry->received);
		assert_int_equal(rows[i].saved, entry->saved);
		assert_int_equal(rows[i].flags, entry->flags);
		struct store_keywords keywords = store_index_keywords(index, rows[i].keywords);
		assert_int_equal(keywords.count, entry->keyword_count);
		for (size_t k = 0; k < keywords.count; k++)
			assert_int_equal(keywords.numbers[k], entries->keywords.items[entry->keywords + k]);
	}
	store_index_unlock(index);
}

static void assert_changed(struct account *account, struct store_index *index, const struct store_entries *entries,
                           uint64_t since)
{
	struct store_positions positions = {};
	size_t found = 0;
	lock(account, index);
	store_index_changed(index, since, &positions);
	for (size_t i = 0; i < entries->list.count; i++)
		if (entries->list.items[i].modseq > since) {
			assert_true(found < positions.list.count);
			assert_int_equal(positions.list.items[found++], i);
		}
	store_index_unlock(index);
	assert_int_equal(positions.list.count, found);
	store_positions_release(&positions);
}

static void assert_index_true(struct account *account, struct store_index *index, const char *name)
{
	struct store_entries entries = entries_of(account, mailbox_now(account, name).id);
	refresh(account, index);
	assert_state(account, index, &entries, name);
	assert_rows(account, index, &entries);
	uint64_t modseq = mailbox_now(account, name).highestmodseq;
	assert_changed(account, index, &entries, 0);
	assert_changed(account, index, &entries, modseq);
	assert_changed(account, index, &entries, modseq - dice((uint32_t)(modseq < 20 ? modseq : 20)));
	store_entries_release(&entries);
}

static void deliver_many(struct account *account, uint64_t mailbox, unsigned count)
{
	struct store_delivery delivery = { .body.bytes = STR("mail"), .mailbox = mailbox, .received = 5 };
	struct store_placed placed;
	struct store_txn *txn = store_begin_deferred(account->store);
	for (unsigned i = 0; i < count; i++) {
		delivery.flags = i % 3 ? STORE_SEEN : 0;
		store_deliver(txn, &delivery, &placed);
	}
	commit(&txn);
}

/* ---- one thing after the other ---- */

static void empty_mailbox(void **state)
{
	struct account *account = *state;
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox_of(account));
	assert_index_true(account, index, "INBOX");
}

static void mailbox_that_is_not_there(void **state)
{
	struct account *account = *state;
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_null(store_index_open(account->store, 77, &fail));
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
}

static void deleted_mailbox(void **state)
{
	struct account *account = *state;
	uint64_t mailbox = make_mailbox(account, "gone");
	deliver_text(account, mailbox, 0, "text");
	CLEANUP(store_index_close) struct store_index *index = open_index(account, mailbox);
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct store_txn *txn = store_begin(account->store);
	store_mailbox_delete(txn, STR("gone"), &(uint64_t){ 0 });
	commit(&txn);
	for (int twice = 0; twice < 2; twice++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		assert_false(store_index_refresh(index, reader, &fail));
		assert_int_equal(fail->kind, FAIL_NOT_FOUND);
	}
	/* what a session looked at stays */
	struct store_index_state old;
	store_index_state(index, &old);
	assert_int_equal(old.messages, 1);
}

static void rolled_back(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	deliver_text(account, inbox, 0, "one");
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	assert_index_true(account, index, "INBOX");
	struct store_selection all = { inbox, &(struct store_range){ 1, UINT32_MAX }, 1 };
	struct store_change change = { .how = STORE_FLAGS_ADD, .flags = STORE_FLAGGED, .unchanged_since = UINT64_MAX };
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_flags(txn, &all, &change, NULL, NULL));
	assert_true(store_expunge(txn, &all, true, NULL));
	store_rollback(&txn);
	assert_index_true(account, index, "INBOX");
	/* the same modseq is given again, for something else */
	deliver_text(account, inbox, 0, "two");
	assert_index_true(account, index, "INBOX");
	struct store_index_state now;
	store_index_state(index, &now);
	assert_int_equal(now.messages, 2);
	assert_int_equal(now.removals, 0);
}

static void opened_in_a_transaction(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	struct store_delivery delivery = { .body.bytes = STR("mail"), .mailbox = inbox, .received = 5 };
	struct store_placed placed;
	struct store_txn *txn = store_begin(account->store);
	store_deliver(txn, &delivery, &placed);
	/* opened between two changes of one transaction: it would hear of the second one only */
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	store_deliver(txn, &delivery, &placed);
	commit(&txn);
	assert_index_true(account, index, "INBOX");
	struct store_index_state now;
	store_index_state(index, &now);
	assert_int_equal(now.messages, 2);
}

static void warm_and_dropped(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	struct store_index *index = open_index(account, inbox);
	struct store_index *same = open_index(account, inbox);
	assert_ptr_equal(index, same);
	store_index_close(&same);
	index_drop_unused(account->store, INT64_MAX);
	/* still in use */
	assert_index_true(account, index, "INBOX");
	deliver_text(account, inbox, 0, "text");
	store_index_close(&index);
	deliver_text(account, inbox, 0, "text");
	index = open_index(account, inbox);
	assert_index_true(account, index, "INBOX");
	store_index_close(&index);
	index_drop_unused(account->store, INT64_MAX);
	assert_null(account->store->indexes);
	index = open_index(account, inbox);
	assert_index_true(account, index, "INBOX");
	store_index_close(&index);
}

static void gap(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	deliver_text(account, inbox, 0, "text");
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	struct store_txn *txn = store_begin(account->store);
	store_leave_gap(txn);
	commit(&txn);
	assert_index_true(account, index, "INBOX");
	deliver_text(account, inbox, 0, "text");
	assert_index_true(account, index, "INBOX");
}

static void renamed_inbox(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	deliver_text(account, inbox, 0, "text");
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_mailbox_rename(txn, STR("INBOX"), STR("old")));
	commit(&txn);
	assert_index_true(account, index, "INBOX");
	struct store_uids gone = {};
	assert_true(store_index_removed(index, 0, &gone));
	assert_int_equal(gone.uids.count, 1);
	store_uids_release(&gone);
}

static void durable_before_it_shows(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	deliver_text(account, inbox, 0, "text");
	assert_true(atomic_load(&account->store->deferred));
	refresh(account, index);
	assert_false(atomic_load(&account->store->deferred));
	deliver_text(account, inbox, 0, "text");
	assert_true(atomic_load(&account->store->deferred));
	CLEANUP(store_index_close) struct store_index *other = open_index(account, inbox);
	assert_false(atomic_load(&account->store->deferred));
	assert_ptr_equal(other, index);
}

static void many_removals(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	enum { ALL = 2 * STORE_INDEX_REMOVALS + 1 };
	struct store_selection half = { inbox, &(struct store_range){ 1, STORE_INDEX_REMOVALS / 2 }, 1 };
	struct store_selection rest = { inbox, &(struct store_range){ 1, UINT32_MAX }, 1 };
	deliver_many(account, inbox, ALL);
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	for (int i = 0; i < 2; i++) {
		struct store_txn *txn = store_begin(account->store);
		store_expunge(txn, i ? &rest : &half, true, NULL);
		commit(&txn);
		assert_index_true(account, index, "INBOX");
	}
	struct store_uids gone = {};
	assert_false(store_index_removed(index, 0, &gone));
	assert_false(store_index_removed(index, ALL - 2 * STORE_INDEX_REMOVALS - 1, &gone));
	assert_int_equal(gone.uids.count, 0);
	assert_true(store_index_removed(index, ALL - STORE_INDEX_REMOVALS, &gone));
	assert_int_equal(gone.uids.count, STORE_INDEX_REMOVALS);
	for (uint32_t i = 0; i < STORE_INDEX_REMOVALS; i++)
		assert_int_equal(gone.uids.items[i], ALL - STORE_INDEX_REMOVALS + 1 + i);
	assert_true(store_index_removed(index, ALL, &gone));
	assert_false(store_index_removed(index, ALL + 1, &gone));
	assert_int_equal(gone.uids.count, STORE_INDEX_REMOVALS);
	store_uids_release(&gone);
}

static void finds_rows(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	for (unsigned i = 0; i < 10; i++)
		deliver_text(account, inbox, 0, "text");
	expunge_uid(account, inbox, 4);
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	static const uint32_t uids[] = { 1, 2, 3, 4, 5, 10, 11, 3, 2, 9, UINT32_MAX, 1 };
	size_t hint = 0;
	lock(account, index);
	for (size_t i = 0; i < COUNT_OF(uids); i++) {
		const struct store_row *row = store_index_find(index, uids[i], &hint);
		bool there = uids[i] <= 10 && uids[i] != 4;
		assert_int_equal(!!row, there);
		if (there)
			assert_int_equal(row->uid, uids[i]);
	}
	assert_int_equal(store_index_at(index, 4), 3);
	assert_int_equal(store_index_at(index, 5), 3);
	assert_int_equal(store_index_at(index, 11), 9);
	store_index_unlock(index);
}

/* ---- anything after anything ---- */

struct model {
	struct account *account;
	uint64_t mailboxes[2];
	struct store_index *indexes[2];
	struct uidmap views[2]; /* carried forward by removals alone */
	uint64_t removals[2];
	uint16_t keywords[6];
	bool rows[2]; /* looked at */
};

static struct store_range some_range(struct account *account, const char *name)
{
	uint32_t uidnext = mailbox_now(account, name).uidnext;
	uint32_t first = 1 + dice(uidnext);
	return (struct store_range){ first, first + (dice(3) ? dice(4) : dice(200)) };
}

static size_t some_keywords(const struct model *m, uint16_t *numbers)
{
	size_t count = 0;
	for (size_t i = 0; i < COUNT_OF(m->keywords); i++)
		if (!dice(3))
			numbers[count++] = m->keywords[i];
	return count;
}

static void deliver_some(struct model *m, struct store_txn *txn, size_t where)
{
	uint16_t numbers[COUNT_OF(m->keywords)];
	size_t count = some_keywords(m, numbers);
	struct store_delivery delivery = { .body.bytes = str_first(STR("0123456789abcdef"), dice(16)),
		                               .mailbox = m->mailboxes[where],
		                               .received = 1000 + dice(100000),
		                               .flags = dice(32),
		                               .keywords = { numbers, count } };
	struct store_placed placed;
	for (unsigned i = 1 + dice(8); i--;)
		store_deliver(txn, &delivery, &placed);
}

static void change_some(struct model *m, struct store_txn *txn, size_t where)
{
	static const char *const names[] = { "INBOX", "other" };
	struct store_range range = some_range(m->account, names[where]);
	struct store_selection selection = { m->mailboxes[where], &range, 1 };
	uint16_t numbers[COUNT_OF(m->keywords)];
	size_t count = some_keywords(m, numbers);
	struct store_change change = { .how = (enum store_flags_how)dice(3),
		                           .flags = dice(32),
		                           .keywords = { numbers, dice(2) ? count : 0 },
		                           .unchanged_since = UINT64_MAX };
	switch (dice(8)) {
	case 0:
		store_expunge(txn, &selection, dice(2), NULL);
		break;
	case 1:
		store_move(txn, &selection, m->mailboxes[!where], NULL);
		break;
	case 2:
		store_copy(txn, &selection, m->mailboxes[dice(2)], NULL);
		break;
	case 3:
		deliver_some(m, txn, where);
		break;
	default:
		store_flags(txn, &selection, &change, NULL, NULL);
	}
}

/* What a session does: it takes out what went, and adds what came. */
static void follow(struct model *m, size_t where)
{
	struct store_uids gone = {};
	struct store_index_state state;
	CLEANUP(uidmap_release) struct uidmap now = {};
	CLEANUP(uidmap_release) struct uidmap left = {};
	assert_true(store_index_removed(m->indexes[where], m->removals[where], &gone));
	for (size_t i = 0; i < gone.uids.count; i++)
		uidmap_remove(&m->views[where], gone.uids.items[i]);
	m->removals[where] += gone.uids.count;
	store_uids_release(&gone);
	store_index_uids(m->indexes[where], &now, &state);
	assert_int_equal(state.removals, m->removals[where]);
	uidmap_minus(&m->views[where], &now, &left);
	assert_int_equal(uidmap_count(&left), 0);
	for (uint32_t uid = uidmap_last(&m->views[where]); (uid = uidmap_next(&now, uid + 1));)
		uidmap_append(&m->views[where], uid);
	assert_true(uidmap_equal(&m->views[where], &now));
}

static void look(struct model *m, size_t where)
{
	static const char *const names[] = { "INBOX", "other" };
	if (!dice(40)) {
		store_index_close(&m->indexes[where]);
		if (dice(2)) {
			index_drop_unused(m->account->store, INT64_MAX);
			m->removals[where] = 0;
			uidmap_release(&m->views[where]);
		}
		m->indexes[where] = open_index(m->account, m->mailboxes[where]);
	}
	assert_index_true(m->account, m->indexes[where], names[where]);
	follow(m, where);
}

static void keep_small(struct model *m)
{
	for (size_t i = 0; i < 2; i++) {
		struct store_mailbox mailbox = mailbox_now(m->account, i ? "other" : "INBOX");
		if (mailbox.messages <= MAILS_MAX)
			continue;
		struct store_range low = { 1, mailbox.uidnext - MAILS_MAX / 4 };
		struct store_selection selection = { mailbox.id, &low, 1 };
		struct store_txn *txn = store_begin(m->account->store);
		store_expunge(txn, &selection, true, NULL);
		commit(&txn);
	}
}

static void assert_sound(struct account *account)
{
	uint64_t damages = 0;
	assert_true(store_check(account->store, NULL, &damages, NULL));
	assert_int_equal(damages, 0);
}

static void step(struct model *m)
{
	struct store_txn *txn = dice(2) ? store_begin(m->account->store) : store_begin_deferred(m->account->store);
	for (unsigned i = 1 + dice(4); i--;)
		change_some(m, txn, dice(2));
	if (!dice(50))
		store_subscribe(txn, STR("other"), dice(2));
	if (dice(10))
		commit(&txn);
	else
		store_rollback(&txn);
	if (!dice(3))
		look(m, dice(2));
	keep_small(m);
}

static void equals_database(void **state)
{
	struct account *account = *state;
	struct model m = { .account = account, .mailboxes = { inbox_of(account), make_mailbox(account, "other") } };
	random_state = 3;
	struct store_txn *txn = store_begin(account->store);
	for (size_t i = 0; i < COUNT_OF(m.keywords); i++) {
		char name[] = { 'k', (char)('a' + i), 0 };
		assert_true(store_keyword(txn, str_of(name), &m.keywords[i]));
	}
	commit(&txn);
	for (size_t i = 0; i < 2; i++)
		m.indexes[i] = open_index(account, m.mailboxes[i]);
	for (unsigned i = 1; i <= STEPS; i++) {
		step(&m);
		if (i % 300 == 0)
			care_for(account, 1700000000 + i, 0);
		if (i % 100 == 0)
			assert_sound(account);
	}
	for (size_t i = 0; i < 2; i++) {
		look(&m, i);
		store_index_close(&m.indexes[i]);
		uidmap_release(&m.views[i]);
	}
	assert_counters(account);
}

/* ---- pages ---- */

static void assert_opens_true(struct account *account)
{
	index_drop_unused(account->store, INT64_MAX);
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox_of(account));
	assert_index_true(account, index, "INBOX");
	assert_sound(account);
}

static void pages_cover_what_came(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	deliver_many(account, inbox, UID_PAGES_UNCOVERED_MAX);
	assert_int_equal(number_of(account, "SELECT count(*) FROM page"), 0);
	assert_opens_true(account);
	deliver_many(account, inbox, 1);
	assert_int_equal(number_of(account, "SELECT paged FROM mailbox WHERE name = 'INBOX'"), UID_PAGES_UNCOVERED_MAX + 2);
	assert_int_equal(number_of(account, "SELECT count(*) FROM page"), 1);
	assert_opens_true(account);
	deliver_many(account, inbox, UIDMAP_PAGE_BITS);
	assert_int_equal(number_of(account, "SELECT count(*) FROM page"), 2);
	assert_opens_true(account);
	/* when idle, also the few that are left */
	deliver_many(account, inbox, UID_PAGES_UNCOVERED_IDLE + 1);
	care_for(account, 1700000000, 0);
	assert_int_equal(number_of(account, "SELECT uidnext - paged FROM mailbox WHERE name = 'INBOX'"), 0);
	assert_opens_true(account);
	expunge_uid(account, inbox, 1);
	assert_opens_true(account);
	struct store_selection all = { inbox, &(struct store_range){ 1, UINT32_MAX }, 1 };
	struct store_txn *txn = store_begin(account->store);
	store_expunge(txn, &all, true, NULL);
	commit(&txn);
	assert_int_equal(number_of(account, "SELECT count(*) FROM page"), 0);
	assert_opens_true(account);
}

static void damaged_pages_are_no_loss(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	static const char *const damages[] = {
		"UPDATE page SET uids = x'00ff'", "UPDATE page SET unseen = x''", "UPDATE page SET uids = x'00010102'",
		"UPDATE page SET number = number + 7", "DELETE FROM page",
	};
	deliver_many(account, inbox, 2 * UID_PAGES_UNCOVERED_MAX);
	for (size_t i = 0; i < COUNT_OF(damages); i++) {
		uint64_t found = 0;
		mailbox_forget_all(account->store);
		assert_true(database_execute(&account->store->writer, damages[i], NULL));
		assert_true(store_check(account->store, NULL, &found, NULL));
		assert_true(found > 0);
		index_drop_unused(account->store, INT64_MAX);
		CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
		assert_index_true(account, index, "INBOX");
		assert_true(database_execute(&account->store->writer, "DELETE FROM page; UPDATE mailbox SET paged = 1", NULL));
		mailbox_forget_all(account->store);
		deliver_many(account, inbox, 1);
	}
	assert_opens_true(account);
}

/* A change to a page that can't be read makes it anew. */
static void damaged_page_is_made_anew(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	deliver_many(account, inbox, 2 * UID_PAGES_UNCOVERED_MAX);
	mailbox_forget_all(account->store);
	assert_true(database_execute(&account->store->writer, "UPDATE page SET unseen = x'00ff'", NULL));
	expunge_uid(account, inbox, 5);
	assert_opens_true(account);
}

static void assert_changed_entries(struct account *account, uint64_t mailbox, uint64_t since)
{
	struct store_entries all = entries_of(account, mailbox);
	struct store_entries changed = {};
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	struct store_selection selection = { mailbox, &(struct store_range){ 2, UINT32_MAX }, 1 };
	assert_true(store_read_entries(reader, &selection, since, &changed, NULL));
	size_t found = 0;
	for (size_t i = 0; i < all.list.count; i++)
		if (all.list.items[i].uid >= 2 && all.list.items[i].modseq > since) {
			assert_true(found < changed.list.count);
			assert_int_equal(changed.list.items[found++].uid, all.list.items[i].uid);
		}
	assert_int_equal(found, changed.list.count);
	store_entries_release(&all);
	store_entries_release(&changed);
}

static void changes_are_found_by_page(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	random_state = 4;
	deliver_many(account, inbox, 2 * UIDMAP_PAGE_BITS + 100);
	deliver_many(account, inbox, 100);
	uint64_t first = mailbox_now(account, "INBOX").highestmodseq;
	for (unsigned i = 0; i < 60; i++) {
		uint32_t uid = 1 + dice(mailbox_now(account, "INBOX").uidnext);
		struct store_selection one = { inbox, &(struct store_range){ uid, uid + dice(5) }, 1 };
		struct store_change change = { .how = STORE_FLAGS_REPLACE, .flags = dice(32), .unchanged_since = UINT64_MAX };
		struct store_txn *txn = store_begin_deferred(account->store);
		store_flags(txn, &one, &change, NULL, NULL);
		commit(&txn);
		deliver_many(account, inbox, dice(60));
		if (i % 5 == 0)
			assert_changed_entries(account, inbox, first - 2 + dice(i + 4));
	}
	assert_opens_true(account);
}

/* ---- \Recent ---- */

static void recent(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	struct store_index *index = open_index(account, inbox);
	assert_int_equal(store_index_take_recent(index, 1), 1);
	deliver_many(account, inbox, 3);
	assert_int_equal(store_index_recent(index), 1);
	assert_int_equal(mailbox_now(account, "INBOX").recent_uid, 1);
	assert_int_equal(store_index_take_recent(index, 4), 1);
	assert_int_equal(store_index_take_recent(index, 4), 4);
	assert_int_equal(store_index_take_recent(index, 2), 4);
	assert_int_equal(mailbox_now(account, "INBOX").recent_uid, 4);
	store_index_close(&index);
	/* it stays until that was written */
	index_drop_unused(account->store, INT64_MAX - 1);
	assert_non_null(account->store->indexes);
	care_for(account, 1700000000, 0);
	assert_int_equal(number_of(account, "SELECT recent FROM mailbox WHERE name = 'INBOX'"), 4);
	index_drop_unused(account->store, INT64_MAX - 1);
	assert_null(account->store->indexes);
	assert_int_equal(mailbox_now(account, "INBOX").recent_uid, 4);
	deliver_many(account, inbox, 1);
	index = open_index(account, inbox);
	assert_int_equal(store_index_take_recent(index, 5), 4);
	store_index_close(&index);
	account_close(account);
	account_open(account);
	assert_int_equal(mailbox_now(account, "INBOX").recent_uid, 5);
}

/* ---- many sets of keywords ---- */

static void unused_sets_go(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	deliver_text(account, inbox, 0, "text");
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	struct store_selection all = { inbox, &(struct store_range){ 1, UINT32_MAX }, 1 };
	uint16_t numbers[12];
	struct store_txn *txn = store_begin(account->store);
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		char name[] = { 'k', (char)('a' + i), 0 };
		store_keyword(txn, str_of(name), &numbers[i]);
	}
	commit(&txn);
	uint32_t highest = 0;
	for (uint32_t bits = 1; bits < 1 << COUNT_OF(numbers); bits++) {
		uint16_t chosen[COUNT_OF(numbers)];
		size_t count = 0;
		for (size_t i = 0; i < COUNT_OF(numbers); i++)
			if (bits >> i & 1)
				chosen[count++] = numbers[i];
		struct store_change change = { .how = STORE_FLAGS_REPLACE, .keywords = { chosen, count },
			                           .unchanged_since = UINT64_MAX };
		txn = store_begin_deferred(account->store);
		store_flags(txn, &all, &change, NULL, NULL);
		commit(&txn);
		if (bits % 64 == 0)
			assert_index_true(account, index, "INBOX");
		lock(account, index);
		highest = store_index_rows(index)->keywords > highest ? store_index_rows(index)->keywords : highest;
		store_index_unlock(index);
	}
	assert_in_range(highest, 1000, 1100);
}

/* ---- many threads ---- */

struct reading {
	struct account *account;
	uint64_t mailbox;
	atomic_bool *over;
};

/* A session: its view is true at each moment, whatever the writers do. */
static void *read_along(void *context)
{
	struct reading *r = context;
	struct store_reader *reader = store_reader_acquire(r->account->store, NULL);
	struct store_index *index = store_index_open(r->account->store, r->mailbox, NULL);
	uint64_t modseq = 0;
	while (!atomic_load(r->over)) {
		struct store_index_state state;
		CLEANUP(uidmap_release) struct uidmap uids = {};
		must(store_index_refresh(index, reader, NULL));
		store_index_uids(index, &uids, &state);
		must(state.modseq >= modseq && uidmap_count(&uids) == state.messages);
		modseq = state.modseq;
		must(store_index_lock(index, reader, NULL));
		uint64_t bytes = 0;
		for (size_t i = 0; i < store_index_count(index); i++)
			bytes += store_index_rows(index)[i].size;
		must(!store_index_count(index) || bytes == 4 * store_index_count(index));
		store_index_unlock(index);
		if (uidmap_count(&uids) % 7 == 0) {
			store_index_close(&index);
			index_drop_unused(r->account->store, INT64_MAX);
			index = store_index_open(r->account->store, r->mailbox, NULL);
			must(index);
		}
	}
	store_index_close(&index);
	store_reader_release(&reader);
	return NULL;
}

static void write_along(struct account *account, uint64_t inbox)
{
	struct store_selection all = { inbox, &(struct store_range){ 1, UINT32_MAX }, 1 };
	struct store_change change = { .how = STORE_FLAGS_REPLACE, .unchanged_since = UINT64_MAX };
	for (unsigned i = 1; i <= 300; i++) {
		deliver_text(account, inbox, 0, "mail");
		struct store_txn *txn = store_begin_deferred(account->store);
		change.flags = i % 32;
		store_flags(txn, &all, &change, NULL, NULL);
		if (i % 20 == 0)
			store_expunge(txn, &all, false, NULL);
		commit(&txn);
	}
}

static void with_threads(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	atomic_bool over = false;
	struct reading reading = { account, inbox, &over };
	pthread_t threads[3];
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_along, &reading), 0);
	write_along(account, inbox);
	atomic_store(&over, true);
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		pthread_join(threads[i], NULL);
	CLEANUP(store_index_close) struct store_index *index = open_index(account, inbox);
	assert_index_true(account, index, "INBOX");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(empty_mailbox),   store_test(mailbox_that_is_not_there), store_test(deleted_mailbox),
		store_test(rolled_back),     store_test(opened_in_a_transaction),   store_test(warm_and_dropped),
		store_test(gap),             store_test(renamed_inbox),             store_test(durable_before_it_shows),
		store_test(many_removals),   store_test(finds_rows),                store_test(equals_database),
		store_test(unused_sets_go),  store_test(with_threads),              store_test(pages_cover_what_came),
		store_test(recent),          store_test(damaged_pages_are_no_loss), store_test(damaged_page_is_made_anew),
		store_test(changes_are_found_by_page),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

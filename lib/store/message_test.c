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

static void add_flags(struct account *account, struct store_range range, struct store_change change)
{
	struct store_selection selection = uids(inbox_of(account), &range, 1);
	struct store_txn *txn = store_begin(account->store);
	change.how = STORE_FLAGS_ADD;
	assert_true(store_flags(txn, &selection, &change, NULL, NULL));
	commit(&txn);
}

/* News is what changes now and had changed since `known`: not what stays as it is, nor what is left alone. */
static void what_somebody_else_changed_is_news(void **state)
{
	static const struct {
		uint32_t flags;   /* that are added to all */
		bool conditional; /* where nothing has changed since the second message came */
		uint32_t news[4]; /* ends with 0 */
	} cases[] = {
		{ STORE_SEEN, false, { 3 } }, /* 1 has it already, and 2 was known as it was */
		{ STORE_ANSWERED, false, { 1, 2, 3 } },
		{ STORE_ANSWERED, false, {} },
		{ STORE_DELETED, true, {} },
	};
	struct account *account = *state;
	deliver_text(account, 0, 1, "one");
	uint64_t known = deliver_text(account, 0, 2, "two").modseq;
	add_flags(account, (struct store_range){ 1, 1 },
	          (struct store_change){ .flags = STORE_SEEN, .unchanged_since = UINT64_MAX });
	deliver_text(account, 0, 3, "three");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t count = 0;
		struct store_uids news = {};
		add_flags(account, (struct store_range){ 1, UINT32_MAX },
		          (struct store_change){ .flags = cases[i].flags, .known = known, .news = &news,
		                                 .unchanged_since = cases[i].conditional ? known : UINT64_MAX });
		for (; cases[i].news[count]; count++)
			assert_true(count < news.uids.count && news.uids.items[count] == cases[i].news[count]);
		assert_int_equal(news.uids.count, count);
		store_uids_release(&news);
	}
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

/* ---- anything, against an array ---- */

enum { MODEL_MAX = 120, MODEL_STEPS = 400, MODEL_KEYWORDS = 3 };

struct model_row {
	uint64_t message, modseq;
	uint32_t uid, flags, keywords; /* keywords: bits */
};

struct model {
	ARRAY(struct model_row) rows[2];
	uint32_t uidnext[2];
	uint64_t mailboxes[2];
	uint16_t keywords[MODEL_KEYWORDS];
};

static uint64_t random_state;

static uint32_t dice(uint32_t below)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(random_state >> 33) % below;
}

static size_t numbers_of(const struct model *m, uint32_t bits, uint16_t *numbers)
{
	size_t count = 0;
	for (size_t i = 0; i < MODEL_KEYWORDS; i++)
		if (bits >> i & 1)
			numbers[count++] = m->keywords[i];
	return count;
}

static bool selected(const struct store_selection *s, uint32_t uid)
{
	for (size_t i = 0; i < s->count; i++)
		if (uid >= s->ranges[i].first && uid <= s->ranges[i].last)
			return true;
	return false;
}

static size_t some_ranges(uint32_t uidnext, struct store_range *ranges, size_t max)
{
	size_t count = 0;
	uint32_t width = 1 + dice(3) * 20;
	uint32_t at = 1 + dice(uidnext);
	while (count < max && at < uidnext + 2) {
		uint32_t last = dice(8) ? at + dice(width) : UINT32_MAX;
		ranges[count++] = (struct store_range){ at, last };
		at = last == UINT32_MAX ? last : last + 1 + dice(width);
	}
	return count;
}

static void model_flags(struct model *m, size_t box, struct store_txn *txn, const struct store_selection *s)
{
	uint16_t numbers[MODEL_KEYWORDS];
	uint32_t bits = dice(3) ? 0 : dice(1 << MODEL_KEYWORDS);
	uint64_t median = m->rows[box].count ? m->rows[box].items[m->rows[box].count / 2].modseq : 0;
	struct store_change change = { .how = (enum store_flags_how)dice(3), .flags = dice(32),
		                           .unchanged_since = dice(3) ? UINT64_MAX : median };
	change.keywords = (struct store_keywords){ numbers, numbers_of(m, bits, numbers) };
	struct store_uids changed = {};
	struct store_uids conflicts = {};
	assert_true(store_flags(txn, s, &change, &changed, &conflicts));
	size_t c = 0;
	size_t x = 0;
	for (size_t i = 0; i < m->rows[box].count; i++) {
		struct model_row *row = &m->rows[box].items[i];
		if (!selected(s, row->uid))
			continue;
		if (row->modseq > change.unchanged_since) {
			assert_int_equal(conflicts.uids.items[x++], row->uid);
			continue;
		}
		uint32_t flags = change.how == STORE_FLAGS_ADD      ? row->flags | change.flags
		                 : change.how == STORE_FLAGS_REMOVE ? row->flags & ~change.flags
		                                                    : change.flags;
		uint32_t words = change.how == STORE_FLAGS_ADD      ? row->keywords | bits
		                 : change.how == STORE_FLAGS_REMOVE ? row->keywords & ~bits
		                                                    : bits;
		if (flags == row->flags && words == row->keywords)
			continue;
		assert_int_equal(changed.uids.items[c++], row->uid);
		row->flags = flags;
		row->keywords = words;
		row->modseq = changed.modseq;
	}
	assert_int_equal(changed.uids.count, c);
	assert_int_equal(conflicts.uids.count, x);
	store_uids_release(&changed);
	store_uids_release(&conflicts);
}

static void model_expunge(struct model *m, size_t box, struct store_txn *txn, const struct store_selection *s)
{
	bool any = dice(2);
	struct store_uids gone = {};
	assert_true(store_expunge(txn, s, any, &gone));
	size_t g = 0;
	size_t kept = 0;
	for (size_t i = 0; i < m->rows[box].count; i++) {
		struct model_row *row = &m->rows[box].items[i];
		if (selected(s, row->uid) && (any || row->flags & STORE_DELETED))
			assert_int_equal(gone.uids.items[g++], row->uid);
		else
			m->rows[box].items[kept++] = *row;
	}
	m->rows[box].count = kept;
	assert_int_equal(gone.uids.count, g);
	store_uids_release(&gone);
}

static void model_copy(struct model *m, size_t box, struct store_txn *txn, const struct store_selection *s)
{
	size_t to = dice(2);
	bool move = dice(2);
	struct store_uids copied = {};
	assert_true(move ? store_move(txn, s, m->mailboxes[to], &copied) : store_copy(txn, s, m->mailboxes[to], &copied));
	size_t c = 0;
	size_t kept = 0;
	for (size_t i = 0, count = m->rows[box].count; i < m->rows[box].count; i++) {
		struct model_row row = m->rows[box].items[i];
		bool taken = i < count && selected(s, row.uid);
		if (!taken || !move)
			m->rows[box].items[kept++] = row;
		if (!taken)
			continue;
		assert_int_equal(copied.uids.items[c], row.uid);
		assert_int_equal(copied.to.items[c++], m->uidnext[to]);
		row.uid = m->uidnext[to]++;
		row.modseq = copied.modseq;
		*array_add(&m->rows[to]) = row;
	}
	m->rows[box].count = kept;
	assert_int_equal(copied.uids.count, c);
	store_uids_release(&copied);
}

static void model_deliver(struct model *m, size_t box, struct store_txn *txn)
{
	uint16_t numbers[MODEL_KEYWORDS];
	for (unsigned i = 1 + dice(10); i-- && m->rows[box].count < MODEL_MAX;) {
		struct model_row row = { .flags = dice(32), .keywords = dice(3) ? 0 : dice(1 << MODEL_KEYWORDS) };
		struct store_delivery delivery = { .body.bytes = STR("mail"), .mailbox = m->mailboxes[box],
			                               .flags = row.flags };
		delivery.keywords = (struct store_keywords){ numbers, numbers_of(m, row.keywords, numbers) };
		struct store_placed placed;
		assert_true(store_deliver(txn, &delivery, &placed));
		assert_int_equal(placed.uid, m->uidnext[box]++);
		row.uid = placed.uid;
		row.message = placed.message;
		row.modseq = placed.modseq;
		*array_add(&m->rows[box]) = row;
	}
}

static void model_step(struct model *m, struct store_txn *txn)
{
	struct store_range ranges[8];
	size_t box = dice(2);
	struct store_selection s = { m->mailboxes[box], ranges, some_ranges(m->uidnext[box], ranges, 1 + dice(8)) };
	switch (dice(6)) {
	case 0:
		model_expunge(m, box, txn, &s);
		break;
	case 1:
		model_copy(m, box, txn, &s);
		break;
	case 2:
		model_deliver(m, box, txn);
		break;
	default:
		model_flags(m, box, txn, &s);
	}
}

static void assert_model(struct account *account, const struct model *m, size_t box)
{
	struct store_entries entries = entries_of(account, m->mailboxes[box]);
	uint16_t numbers[MODEL_KEYWORDS];
	assert_int_equal(entries.list.count, m->rows[box].count);
	for (size_t i = 0; i < entries.list.count; i++) {
		const struct store_entry *entry = &entries.list.items[i];
		const struct model_row *row = &m->rows[box].items[i];
		assert_int_equal(entry->uid, row->uid);
		assert_int_equal(entry->message, row->message);
		assert_int_equal(entry->flags, row->flags);
		assert_int_equal(entry->modseq, row->modseq);
		assert_int_equal(entry->keyword_count, numbers_of(m, row->keywords, numbers));
		for (size_t k = 0; k < entry->keyword_count; k++)
			assert_int_equal(entries.keywords.items[entry->keywords + k], numbers[k]);
	}
	store_entries_release(&entries);
}

/* The gaps make the UIDs more than one piece (rows.h). */
static void flags_change_over_gaps(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	for (unsigned i = 0; i < 12; i++) {
		deliver_text(account, inbox, 0, "mail");
		if (i % 4 != 3)
			continue;
		struct store_txn *txn = store_begin(account->store);
		store_leave_gap(txn);
		commit(&txn);
	}
	struct store_change change = { .how = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = UINT64_MAX };
	struct store_selection all = { inbox, (struct store_range[]){ { 2, 3 }, { 4, UINT32_MAX } }, 2 };
	struct store_uids changed = {};
	uint64_t modseq = mailbox_now(account, "INBOX").highestmodseq;
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_flags(txn, &all, &change, &changed, NULL));
	commit(&txn);
	assert_int_equal(changed.uids.count, 11);
	assert_int_equal(mailbox_now(account, "INBOX").unseen, 1);
	assert_int_equal(changed.modseq, mailbox_now(account, "INBOX").highestmodseq);
	assert_int_equal(changed.modseq, modseq + 1);
	struct store_uids conflicts = {};
	change = (struct store_change){ .how = STORE_FLAGS_REPLACE, .unchanged_since = modseq };
	changed.uids.count = 0;
	all.ranges = (struct store_range[]){ { 1, 1 }, { 2, UINT32_MAX } };
	change.flags = STORE_DELETED;
	txn = store_begin(account->store);
	assert_true(store_flags(txn, &all, &change, &changed, &conflicts));
	commit(&txn);
	assert_int_equal(changed.uids.count, 1);
	assert_int_equal(conflicts.uids.count, 11);
	store_uids_release(&changed);
	store_uids_release(&conflicts);
	assert_counters(account);
}

/* With rows from the index, where the mailbox has one, and from the table. */
static void run_model(struct account *account, bool with_index, unsigned gap_every)
{
	struct model m = { .uidnext = { 1, 1 }, .mailboxes = { inbox_of(account), make_mailbox(account, "other") } };
	uint64_t damages = 0;
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	CLEANUP(store_index_close)
	struct store_index *index = with_index ? store_index_open(account->store, m.mailboxes[0], NULL) : NULL;
	struct store_txn *txn = store_begin(account->store);
	for (size_t i = 0; i < MODEL_KEYWORDS; i++)
		store_keyword(txn, str_of((const char *[]){ "a", "b", "c" }[i]), &m.keywords[i]);
	commit(&txn);
	for (unsigned i = 1; i <= MODEL_STEPS; i++) {
		txn = store_begin_deferred(account->store);
		if (gap_every && i % gap_every == 0) {
			store_leave_gap(txn);
			m.uidnext[0] += LIMIT_UID_GAP;
			m.uidnext[1] += LIMIT_UID_GAP;
		}
		for (unsigned k = 1 + dice(2); k--;)
			model_step(&m, txn);
		commit(&txn);
		assert_model(account, &m, 0);
		assert_model(account, &m, 1);
		if (index && i % 2) {
			assert_true(store_index_lock(index, reader, NULL));
			store_index_unlock(index);
			assert_true(store_index_refresh(index, reader, NULL));
		}
	}
	assert_counters(account);
	assert_true(store_check(account->store, NULL, &damages, NULL));
	assert_int_equal(damages, 0);
	array_release(&m.rows[0]);
	array_release(&m.rows[1]);
}

static void equals_model(void **state)
{
	random_state = 1;
	run_model(*state, false, 0);
}

static void equals_model_with_index(void **state)
{
	random_state = 2;
	run_model(*state, true, 0);
}

/* Gaps make a selection longer than one piece. */
static void equals_model_in_pieces(void **state)
{
	random_state = 3;
	run_model(*state, true, 7);
}

/* The pages that it changed go to the WAL before its end. */
static void a_large_change_needs_little_memory(void **state)
{
	struct account *account = *state;
	const struct store_selection all = uids(inbox_of(account), &(struct store_range){ 1, UINT32_MAX }, 1);
	deliver_text(account, 0, 1, "one");
	for (size_t count = 1; count < 1 << 16; count *= 2) {
		struct store_txn *txn = store_begin(account->store);
		assert_true(store_copy(txn, &all, all.mailbox, NULL));
		commit(&txn);
	}
	struct store_txn *txn = store_begin(account->store);
	const struct store_change change = { .flags = STORE_SEEN, .unchanged_since = UINT64_MAX };
	assert_true(store_flags(txn, &all, &change, NULL, NULL));
	int used, highest;
	sqlite3_db_status(account->store->writer.handle, SQLITE_DBSTATUS_CACHE_USED, &used, &highest, 0);
	assert_in_range(used, 1, 2 << 20);
	commit(&txn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(flags_are_added_removed_and_replaced),
		store_test(keywords_are_merged),
		store_test(a_newer_change_is_a_conflict),
		store_test(what_somebody_else_changed_is_news),
		store_test(copies_share_the_message),
		store_test(a_move_leaves_tombstones),
		store_test(expunge_takes_the_deleted_only),
		store_test(changes_are_found_by_modseq),
		store_test(a_listener_is_told_of_its_mailbox),
		store_test(flags_change_over_gaps),
		store_test(a_large_change_needs_little_memory),
		store_test(equals_model),
		store_test(equals_model_with_index),
		store_test(equals_model_in_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

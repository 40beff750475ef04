#include "rows.h"

/* What is the same for many placements in a row is done by one statement. */

static void add_uid(struct store_uids *uids, uint32_t uid)
{
	if (uids)
		*array_add(&uids->uids) = uid;
}

/* ---- flags ---- */

/* Both lists ascend; merges them (add) or takes the second out of the first (remove). */
static struct str combine_keywords(struct str have, struct str given, bool add, struct buf *memory)
{
	buf_clear(memory);
	size_t h = 0;
	size_t g = 0;
	while (h < have.length / 2 || (add && g < given.length / 2)) {
		bool have_left = h < have.length / 2;
		bool given_left = g < given.length / 2;
		bool both = have_left && given_left && keyword_at(have, h) == keyword_at(given, g);
		bool from_have = have_left && (!given_left || keyword_at(have, h) <= keyword_at(given, g));
		if (from_have ? add || !both : add)
			buf_append(memory, from_have ? have.data + 2 * h : given.data + 2 * g, 2);
		h += from_have;
		g += both || !from_have;
	}
	return memory->length ? buf_str(memory) : str_from(NULL, 0);
}

static uint32_t combine_flags(uint32_t have, const struct store_change *change)
{
	uint32_t given = change->flags & STORE_FLAGS_ALL;
	return change->how == STORE_FLAGS_ADD ? have | given : change->how == STORE_FLAGS_REMOVE ? have & ~given : given;
}

/* Rows one after the other that all change in one way. */
struct change_run {
	struct store_txn *txn;
	const struct store_change *change;
	struct mailbox_state *mailbox;
	uint32_t first, last;
	size_t count;
	bool keywords_change;
	struct buf keywords; /* then these are what they all have */
};

static sqlite3_stmt *run_statement(struct change_run *run)
{
	if (!run->keywords_change)
		return txn_query(run->txn, "UPDATE placement SET flags = (flags & ?1) | ?2, modseq = ?3 WHERE mailbox = ?4 AND"
		                           " uid >= ?5 AND uid <= ?6");
	sqlite3_stmt *query = txn_query(run->txn, "UPDATE placement SET flags = (flags & ?1) | ?2, modseq = ?3,"
	                                          " keywords = ?7 WHERE mailbox = ?4 AND uid >= ?5 AND uid <= ?6");
	bind_bytes(query, 7, run->keywords.length ? buf_str(&run->keywords) : str_from(NULL, 0));
	return query;
}

static void finish_run(struct change_run *run)
{
	struct store_txn *txn = run->txn;
	if (!run->count)
		return;
	uint32_t given = run->change->flags & STORE_FLAGS_ALL;
	uint32_t lasting = ~given & STORE_FLAGS_ALL;
	enum store_flags_how how = run->change->how;
	sqlite3_stmt *query = run_statement(run);
	bind_u64(query, 1, how == STORE_FLAGS_REPLACE ? 0 : how == STORE_FLAGS_ADD ? STORE_FLAGS_ALL : lasting);
	bind_u64(query, 2, how == STORE_FLAGS_REMOVE ? 0 : given);
	bind_u64(query, 3, txn_modseq(txn));
	bind_u64(query, 4, run->mailbox->id);
	bind_u64(query, 5, run->first);
	bind_u64(query, 6, run->last);
	if (txn_run(txn, query) && (size_t)sqlite3_changes64(txn->store->writer.handle) != run->count)
		txn_set_fail(txn, FAIL_CORRUPT, "the placements of mailbox %s are not those that were read",
		             run->mailbox->name);
	run->count = 0;
}

static void add_to_run(struct change_run *run, const struct placement *row, struct str keywords)
{
	bool keywords_change = !str_equal(keywords, row->keywords);
	if (run->count && (run->keywords_change != keywords_change ||
	                   (keywords_change && !str_equal(keywords, buf_str(&run->keywords)))))
		finish_run(run);
	if (!run->count) {
		run->first = row->uid;
		run->keywords_change = keywords_change;
		buf_clear(&run->keywords);
		buf_add_str(&run->keywords, keywords_change ? keywords : str_from(NULL, 0));
	}
	run->last = row->uid;
	run->count++;
}

static void count_flags(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t before, uint32_t after)
{
	mailbox->unseen += (uint64_t) !(after & STORE_SEEN) - (uint64_t) !(before & STORE_SEEN);
	mailbox->deleted += (uint64_t) !!(after & STORE_DELETED) - (uint64_t) !!(before & STORE_DELETED);
	mailbox->highestmodseq = txn_modseq(txn);
	mailbox->changed = true;
}

/* True when the row changes. */
static bool change_row(struct change_run *run, const struct placement *row, struct str given, struct buf *memory)
{
	struct placement after = *row;
	after.flags = combine_flags(row->flags, run->change);
	after.keywords = given;
	if (run->change->how != STORE_FLAGS_REPLACE)
		after.keywords = combine_keywords(row->keywords, given, run->change->how == STORE_FLAGS_ADD, memory);
	if (after.flags == row->flags && str_equal(after.keywords, row->keywords))
		return false;
	after.modseq = txn_modseq(run->txn);
	count_flags(run->txn, run->mailbox, row->flags, after.flags);
	index_note_change(run->txn, &after);
	uid_page_set(run->txn, run->mailbox, row->uid, after.flags);
	add_to_run(run, row, after.keywords);
	return true;
}

/* One piece. */
static void change_rows(struct change_run *run, struct rows *rows, struct store_uids *changed,
                        struct store_uids *conflicts)
{
	const struct store_change *change = run->change;
	CLEANUP(buf_release) struct buf given_memory = BUF_WITH_LIMIT(2 * LIMIT_KEYWORDS_PER_MAILBOX);
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(4 * LIMIT_KEYWORDS_PER_MAILBOX);
	struct str given = keywords_pack(&change->keywords, &given_memory);
	for (size_t i = 0; txn_ok(run->txn) && i < rows->list.count; i++) {
		const struct placement *row = &rows->list.items[i];
		bool conflict = row->modseq > change->unchanged_since;
		if (rows_break(rows, i))
			finish_run(run);
		if (conflict)
			add_uid(conflicts, row->uid);
		else if (change_row(run, row, given, &memory)) {
			add_uid(changed, row->uid);
			if (row->modseq > change->known)
				add_uid(change->news, row->uid);
			continue;
		}
		finish_run(run);
	}
	finish_run(run);
}

/* Pieces from the position on: all there are, or one. */
bool store_flags(struct store_txn *txn, const struct store_selection *selection, const struct store_change *change,
                 struct store_uids *changed, struct store_uids *conflicts)
{
	must(change->keywords.count <= LIMIT_KEYWORDS_PER_MAILBOX);
	CLEANUP(rows_release) struct rows rows = {};
	struct mailbox_state *mailbox = mailbox_state(txn, selection->mailbox);
	if (!mailbox)
		return false;
	struct change_run run = { .txn = txn, .change = change, .mailbox = mailbox,
		                      .keywords.limit = 4 * LIMIT_KEYWORDS_PER_MAILBOX };
	rows_init(&rows, txn, mailbox, selection);
	while (rows_read(&rows))
		change_rows(&run, &rows, changed, conflicts);
	buf_release(&run.keywords);
	if (changed && txn->modseq)
		changed->modseq = txn->modseq;
	return txn_ok(txn);
}

/* ---- copy ---- */

static bool copy_row(struct store_txn *txn, struct mailbox_state *to, const struct placement *row,
                     struct store_uids *copied)
{
	struct placement copy = *row;
	copy.mailbox = to->id;
	copy.uid = mailbox_take_uid(txn, to);
	copy.modseq = txn_modseq(txn);
	copy.saved = txn->now;
	mailbox_count(txn, to, copy.flags, copy.size, 1);
	if (copied) {
		*array_add(&copied->uids) = row->uid;
		*array_add(&copied->to) = copy.uid;
	}
	return txn_ok(txn) && placement_insert(txn, &copy);
}

/* One piece. */
static void copy_rows(struct store_txn *txn, const struct rows *rows, uint64_t to, struct store_uids *copied)
{
	struct mailbox_state *target = mailbox_state(txn, to);
	for (size_t i = 0; target && txn_ok(txn) && i < rows->list.count; i++)
		copy_row(txn, target, &rows->list.items[i], copied);
}

static void tell_copied(struct store_txn *txn, uint64_t to, struct store_uids *copied)
{
	const struct mailbox_state *target = mailbox_state(txn, to);
	if (!copied || !target)
		return;
	copied->to_uidvalidity = target->uidvalidity;
	copied->modseq = txn->modseq;
}

static uint64_t sum_sizes(const struct rows *rows)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < rows->list.count; i++)
		sum += rows->list.items[i].size;
	return sum;
}

bool store_copy(struct store_txn *txn, const struct store_selection *selection, uint64_t to, struct store_uids *copied)
{
	CLEANUP(rows_release) struct rows rows = {};
	struct mailbox_state *mailbox = mailbox_state(txn, selection->mailbox);
	if (!mailbox)
		return false;
	rows_init(&rows, txn, mailbox, selection);
	while (rows_read(&rows) && quota_allows(txn, sum_sizes(&rows), rows.list.count))
		copy_rows(txn, &rows, to, copied);
	tell_copied(txn, to, copied);
	return txn_ok(txn);
}

/* ---- expunge and move ---- */

static bool delete_placements(struct store_txn *txn, uint64_t mailbox, const struct store_range *range)
{
	sqlite3_stmt *query = txn_query(txn, "DELETE FROM placement WHERE mailbox = ? AND uid >= ? AND uid <= ?");
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, range->first);
	bind_u64(query, 3, range->last);
	return txn_run(txn, query);
}

static bool bury(struct store_txn *txn, uint64_t mailbox, const struct store_range *range)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO tombstone(mailbox, modseq, uid, count) VALUES(?, ?, ?, ?)");
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, txn_modseq(txn));
	bind_u64(query, 3, range->first);
	bind_u64(query, 4, (uint64_t)range->last - range->first + 1);
	return txn_run(txn, query);
}

/* Some may have another place. The collector looks before it drops anything, so one too many does no harm. */
static bool mark_dead(struct store_txn *txn, uint64_t mailbox, const struct store_range *range)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT OR IGNORE INTO dead(message) SELECT message FROM placement WHERE"
	                                     " mailbox = ? AND uid >= ? AND uid <= ?");
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, range->first);
	bind_u64(query, 3, range->last);
	return txn_run(txn, query);
}

/* Rows that go, with no other between them, and the last of them whose UIDs follow each other. */
struct gone_run {
	struct store_txn *txn;
	struct mailbox_state *mailbox;
	bool moved; /* so that their messages have another place */
	struct store_range rows, uids;
	bool open;
};

static void finish_uids(struct gone_run *run)
{
	if (run->open)
		bury(run->txn, run->mailbox->id, &run->uids);
}

static void finish_gone(struct gone_run *run)
{
	if (!run->open)
		return;
	finish_uids(run);
	if (!run->moved)
		mark_dead(run->txn, run->mailbox->id, &run->rows);
	delete_placements(run->txn, run->mailbox->id, &run->rows);
	run->open = false;
}

static void add_gone(struct gone_run *run, const struct placement *row)
{
	mailbox_count(run->txn, run->mailbox, row->flags, row->size, -1);
	index_note_gone(run->txn, row->mailbox, row->uid);
	uid_page_remove(run->txn, run->mailbox, row->uid);
	bool follows = run->open && row->uid == run->uids.last + 1;
	if (!follows) {
		finish_uids(run);
		run->uids.first = row->uid;
	}
	if (!run->open)
		run->rows.first = row->uid;
	run->open = true;
	run->rows.last = run->uids.last = row->uid;
}

/* One piece. */
static void expunge_rows(struct gone_run *run, struct rows *rows, bool any, struct store_uids *expunged)
{
	for (size_t i = 0; txn_ok(run->txn) && i < rows->list.count; i++) {
		const struct placement *row = &rows->list.items[i];
		bool goes = any || row->flags & STORE_DELETED;
		if (rows_break(rows, i) || !goes)
			finish_gone(run);
		if (!goes)
			continue;
		add_uid(expunged, row->uid);
		add_gone(run, row);
	}
	finish_gone(run);
}

bool store_expunge(struct store_txn *txn, const struct store_selection *selection, bool any,
                   struct store_uids *expunged)
{
	CLEANUP(rows_release) struct rows rows = {};
	struct gone_run run = { .txn = txn, .mailbox = mailbox_state(txn, selection->mailbox) };
	if (!run.mailbox)
		return false;
	rows_init(&rows, txn, run.mailbox, selection);
	while (rows_read(&rows))
		expunge_rows(&run, &rows, any, expunged);
	if (expunged)
		expunged->modseq = txn->modseq;
	return txn_ok(txn);
}

/* RFC 6851: copied and gone at once; the account's usage is what it was. */
bool store_move(struct store_txn *txn, const struct store_selection *selection, uint64_t to, struct store_uids *moved)
{
	CLEANUP(rows_release) struct rows rows = {};
	struct gone_run run = { .txn = txn, .mailbox = mailbox_state(txn, selection->mailbox), .moved = true };
	if (!run.mailbox)
		return false;
	rows_init(&rows, txn, run.mailbox, selection);
	while (rows_read(&rows)) {
		copy_rows(txn, &rows, to, moved);
		expunge_rows(&run, &rows, true, NULL);
	}
	tell_copied(txn, to, moved);
	return txn_ok(txn);
}

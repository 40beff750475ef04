#include "store_internal.h"

#include <stdlib.h>

/* The rows that an operation works on are read first: what changes a table must not walk it. */
struct rows {
	ARRAY(struct placement) list;
	struct buf keywords; /* of all rows, one after the other */
};

enum { KEYWORD_BYTES_MAX = 1 << 28 };

static void rows_release(struct rows *rows)
{
	array_release(&rows->list);
	buf_release(&rows->keywords);
}

static void read_row(sqlite3_stmt *query, struct rows *rows, uint64_t mailbox)
{
	struct placement *row = array_add(&rows->list);
	*row = (struct placement){ .mailbox = mailbox,
		                       .uid = (uint32_t)column_u64(query, 0),
		                       .message = column_u64(query, 1),
		                       .flags = (uint32_t)column_u64(query, 2),
		                       .modseq = column_u64(query, 3),
		                       .size = column_u64(query, 4),
		                       .received = sqlite3_column_int64(query, 5),
		                       .saved = sqlite3_column_int64(query, 6),
		                       .keywords = column_bytes(query, 7) };
	buf_add_str(&rows->keywords, row->keywords);
}

static bool read_rows(struct store_txn *txn, const struct store_selection *selection, struct rows *rows)
{
	buf_init(&rows->keywords, KEYWORD_BYTES_MAX);
	for (size_t i = 0; txn_ok(txn) && i < selection->count; i++) {
		sqlite3_stmt *query = txn_query(txn, "SELECT uid, message, flags, modseq, size, received, saved, keywords"
		                                     " FROM placement WHERE mailbox = ? AND uid >= ? AND uid <= ?");
		bind_u64(query, 1, selection->mailbox);
		bind_u64(query, 2, selection->ranges[i].first);
		bind_u64(query, 3, selection->ranges[i].last);
		while (txn_step(txn, query) == DATABASE_ROW)
			read_row(query, rows, selection->mailbox);
	}
	if (rows->keywords.overflowed)
		txn_set_fail(txn, FAIL_LIMIT, "too many keywords at once");
	const char *at = rows->keywords.data;
	for (size_t i = 0; txn_ok(txn) && i < rows->list.count; i++) {
		struct str *keywords = &rows->list.items[i].keywords;
		*keywords = str_from(keywords->length ? at : NULL, keywords->length);
		at += keywords->length;
	}
	return txn_ok(txn);
}

static void add_uid(struct store_uids *uids, uint32_t uid)
{
	if (uids)
		*array_add(&uids->uids) = uid;
}

/* ---- flags ---- */

static uint16_t number_at(struct str packed, size_t index)
{
	const unsigned char *bytes = (const unsigned char *)packed.data + 2 * index;
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

/* Both lists ascend; merges them (add) or takes the second out of the first (remove). */
static struct str combine_keywords(struct str have, struct str given, bool add, struct buf *memory)
{
	buf_clear(memory);
	size_t h = 0;
	size_t g = 0;
	while (h < have.length / 2 || (add && g < given.length / 2)) {
		bool have_left = h < have.length / 2;
		bool given_left = g < given.length / 2;
		bool both = have_left && given_left && number_at(have, h) == number_at(given, g);
		bool from_have = have_left && (!given_left || number_at(have, h) <= number_at(given, g));
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

static bool update_row(struct store_txn *txn, const struct placement *row, uint32_t flags, struct str keywords)
{
	sqlite3_stmt *query =
		txn_query(txn, "UPDATE placement SET flags = ?, modseq = ?, keywords = ? WHERE mailbox = ? AND uid = ?");
	bind_u64(query, 1, flags);
	bind_u64(query, 2, txn_modseq(txn));
	bind_bytes(query, 3, keywords);
	bind_u64(query, 4, row->mailbox);
	bind_u64(query, 5, row->uid);
	return txn_run(txn, query);
}

static void count_flags(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t before, uint32_t after)
{
	mailbox->unseen += (uint64_t) !(after & STORE_SEEN) - (uint64_t) !(before & STORE_SEEN);
	mailbox->deleted += (uint64_t) !!(after & STORE_DELETED) - (uint64_t) !!(before & STORE_DELETED);
	mailbox->highestmodseq = txn_modseq(txn);
	mailbox->changed = true;
}

static bool change_row(struct store_txn *txn, struct mailbox_state *mailbox, const struct placement *row,
                       const struct store_change *change, struct str given, struct buf *memory, bool *changed)
{
	uint32_t flags = combine_flags(row->flags, change);
	struct str keywords = given;
	if (change->how != STORE_FLAGS_REPLACE)
		keywords = combine_keywords(row->keywords, given, change->how == STORE_FLAGS_ADD, memory);
	*changed = flags != row->flags || !str_equal(keywords, row->keywords);
	if (!*changed)
		return true;
	count_flags(txn, mailbox, row->flags, flags);
	return update_row(txn, row, flags, keywords);
}

static bool change_rows(struct store_txn *txn, const struct rows *rows, const struct store_change *change,
                        struct mailbox_state *mailbox, struct store_uids *changed, struct store_uids *conflicts)
{
	CLEANUP(buf_release) struct buf given_memory = BUF_WITH_LIMIT(2 * LIMIT_KEYWORDS_PER_MAILBOX);
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(4 * LIMIT_KEYWORDS_PER_MAILBOX);
	struct str given = keywords_pack(&change->keywords, &given_memory);
	for (size_t i = 0; txn_ok(txn) && i < rows->list.count; i++) {
		const struct placement *row = &rows->list.items[i];
		bool differs = false;
		if (row->modseq > change->unchanged_since)
			add_uid(conflicts, row->uid);
		else if (change_row(txn, mailbox, row, change, given, &memory, &differs) && differs)
			add_uid(changed, row->uid);
	}
	if (changed)
		changed->modseq = txn->modseq;
	return txn_ok(txn);
}

bool store_flags(struct store_txn *txn, const struct store_selection *selection, const struct store_change *change,
                 struct store_uids *changed, struct store_uids *conflicts)
{
	must(change->keywords.count <= LIMIT_KEYWORDS_PER_MAILBOX);
	CLEANUP(rows_release) struct rows rows = {};
	struct mailbox_state *mailbox = mailbox_state(txn, selection->mailbox);
	return mailbox && read_rows(txn, selection, &rows) && change_rows(txn, &rows, change, mailbox, changed, conflicts);
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

static bool copy_rows(struct store_txn *txn, const struct rows *rows, uint64_t to, struct store_uids *copied)
{
	struct mailbox_state *mailbox = mailbox_state(txn, to);
	if (!mailbox)
		return false;
	for (size_t i = 0; txn_ok(txn) && i < rows->list.count; i++)
		copy_row(txn, mailbox, &rows->list.items[i], copied);
	if (copied) {
		copied->to_uidvalidity = mailbox->uidvalidity;
		copied->modseq = txn->modseq;
	}
	return txn_ok(txn);
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
	return mailbox_state(txn, selection->mailbox) && read_rows(txn, selection, &rows) &&
	       quota_allows(txn, sum_sizes(&rows), rows.list.count) && copy_rows(txn, &rows, to, copied);
}

/* ---- expunge and move ---- */

static bool delete_placement(struct store_txn *txn, const struct placement *row)
{
	sqlite3_stmt *query = txn_query(txn, "DELETE FROM placement WHERE mailbox = ? AND uid = ?");
	bind_u64(query, 1, row->mailbox);
	bind_u64(query, 2, row->uid);
	return txn_run(txn, query);
}

static bool bury(struct store_txn *txn, const struct placement *row)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO tombstone(mailbox, modseq, uid) VALUES(?, ?, ?)");
	bind_u64(query, 1, row->mailbox);
	bind_u64(query, 2, txn_modseq(txn));
	bind_u64(query, 3, row->uid);
	return txn_run(txn, query);
}

/* The collector looks again before it drops anything, so one too many does no harm. */
static bool mark_dead(struct store_txn *txn, uint64_t message)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT OR IGNORE INTO dead(message) SELECT ?1 WHERE NOT EXISTS"
	                                     " (SELECT 1 FROM placement WHERE message = ?1)");
	bind_u64(query, 1, message);
	return txn_run(txn, query);
}

static bool expunge_row(struct store_txn *txn, struct mailbox_state *mailbox, const struct placement *row,
                        struct store_uids *expunged)
{
	mailbox_count(txn, mailbox, row->flags, row->size, -1);
	add_uid(expunged, row->uid);
	return delete_placement(txn, row) && bury(txn, row) && mark_dead(txn, row->message);
}

bool store_expunge(struct store_txn *txn, const struct store_selection *selection, bool any,
                   struct store_uids *expunged)
{
	CLEANUP(rows_release) struct rows rows = {};
	struct mailbox_state *mailbox = mailbox_state(txn, selection->mailbox);
	if (!mailbox || !read_rows(txn, selection, &rows))
		return false;
	for (size_t i = 0; txn_ok(txn) && i < rows.list.count; i++)
		if (any || rows.list.items[i].flags & STORE_DELETED)
			expunge_row(txn, mailbox, &rows.list.items[i], expunged);
	if (expunged)
		expunged->modseq = txn->modseq;
	return txn_ok(txn);
}

/* RFC 6851: copied and gone at once; the account's usage is what it was. */
bool store_move(struct store_txn *txn, const struct store_selection *selection, uint64_t to, struct store_uids *moved)
{
	CLEANUP(rows_release) struct rows rows = {};
	struct mailbox_state *mailbox = mailbox_state(txn, selection->mailbox);
	if (!mailbox || !read_rows(txn, selection, &rows) || !copy_rows(txn, &rows, to, moved))
		return false;
	for (size_t i = 0; txn_ok(txn) && i < rows.list.count; i++)
		expunge_row(txn, mailbox, &rows.list.items[i], NULL);
	return txn_ok(txn);
}

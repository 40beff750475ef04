#include "rows.h"

enum { PIECE_UIDS = 8192, PIECE_RANGES = 65536, KEYWORD_BYTES_MAX = 1 << 28 };

void rows_init(struct rows *rows, struct store_txn *txn, const struct mailbox_state *mailbox,
               const struct store_selection *selection)
{
	*rows = (struct rows){ .txn = txn, .selection = selection, .last = mailbox->uidnext - 1 };
	rows->from_index = index_is_usable(txn, mailbox);
	buf_init(&rows->keywords, KEYWORD_BYTES_MAX);
}

void rows_release(struct rows *rows)
{
	array_release(&rows->list);
	array_release(&rows->ranges);
	array_release(&rows->breaks);
	buf_release(&rows->keywords);
}

/* Takes so many UIDs from the selection as make a piece. */
static void choose_ranges(struct rows *rows)
{
	uint64_t room = PIECE_UIDS;
	rows->ranges.count = 0;
	while (room && rows->ranges.count < PIECE_RANGES && rows->range < rows->selection->count) {
		const struct store_range *range = &rows->selection->ranges[rows->range];
		uint64_t first = range->first > rows->next ? range->first : rows->next;
		uint64_t end = (uint64_t)(range->last < rows->last ? range->last : rows->last) + 1;
		uint64_t stop = first + room < end ? first + room : end;
		if (first < stop) {
			*array_add(&rows->ranges) = (struct store_range){ (uint32_t)first, (uint32_t)(stop - 1) };
			room -= stop - first;
			rows->next = stop;
		}
		rows->range += stop >= end;
	}
}

static void add_row(struct rows *rows, sqlite3_stmt *query)
{
	struct placement *row = array_add(&rows->list);
	*row = (struct placement){ .mailbox = rows->selection->mailbox,
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

static void read_table(struct rows *rows)
{
	struct store_txn *txn = rows->txn;
	for (size_t i = 0; txn_ok(txn) && i < rows->ranges.count; i++) {
		sqlite3_stmt *query = txn_query(txn, "SELECT uid, message, flags, modseq, size, received, saved, keywords"
		                                     " FROM placement WHERE mailbox = ? AND uid >= ? AND uid <= ?");
		bind_u64(query, 1, rows->selection->mailbox);
		bind_u64(query, 2, rows->ranges.items[i].first);
		bind_u64(query, 3, rows->ranges.items[i].last);
		*array_add(&rows->breaks) = rows->list.count;
		while (txn_step(txn, query) == DATABASE_ROW)
			add_row(rows, query);
	}
}

/* While rows were read the memory of their keywords moved. */
static void place_keywords(struct rows *rows)
{
	struct str rest = buf_str(&rows->keywords);
	for (size_t i = 0; i < rows->list.count; i++) {
		struct str *keywords = &rows->list.items[i].keywords;
		*keywords = str_first(rest, keywords->length);
		rest = str_from_index(rest, keywords->length);
	}
}

bool rows_read(struct rows *rows)
{
	rows->list.count = 0;
	rows->breaks.count = 0;
	rows->next_break = 0;
	buf_clear(&rows->keywords);
	choose_ranges(rows);
	if (!rows->ranges.count || !txn_ok(rows->txn))
		return false;
	if (!rows->from_index || !index_read_rows(rows))
		read_table(rows);
	if (rows->keywords.overflowed)
		txn_set_fail(rows->txn, FAIL_LIMIT, "too many keywords at once");
	place_keywords(rows);
	return txn_ok(rows->txn);
}

bool rows_break(struct rows *rows, size_t row)
{
	bool found = row == 0;
	for (; rows->next_break < rows->breaks.count && rows->breaks.items[rows->next_break] <= row; rows->next_break++)
		found = true;
	return found;
}

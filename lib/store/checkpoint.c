#include "store_internal.h"

#include "text.h"

#include <xxhash.h>

/*
 * Metadata in the segments: what a rebuild needs beside the mails. A checkpoint is one or more
 * records of kind meta, text, one fact a line:
 *
 *	checkpoint <modseq> since <modseq> part <n> more|last      since 0: full
 *	account <uidvalidity> <modseq> <message_next>
 *	segment <number> <end>                          all; a mail before end that no place names is dead
 *	mailbox <id> <uidvalidity> <uidnext> <modseq> <use> <name>    all
 *	subscribed <name>                               all
 *	keyword <number> <name>                         all
 *	annotation <mailbox> .<hex value>|- <entry>     "-": removed
 *	place <mailbox> <uid> <id> <flags> <modseq> <received> <saved> <keyword,...|->
 *	gone <mailbox> <uid>
 *
 * Names are last on their line and have no control characters (mailbox_name_is_valid). A full one
 * has all places and annotations; a delta those changed since the checkpoint before, and what has gone.
 */

enum { PART_SIZE = 1 << 20, PART_ROOM = PART_SIZE + 4 * LIMIT_ANNOTATION_SIZE_MAX, DELTA_ROWS_FREE = 1000 };

struct writing {
	struct store_txn *txn;
	struct buf text;
	uint64_t modseq; /* it stands for */
	uint64_t since;  /* a delta's start; 0: full */
	uint64_t rows;
	uint64_t size; /* of the records */
	unsigned part;
};

static void start_part(struct writing *w)
{
	buf_clear(&w->text);
	buf_printf(&w->text, "checkpoint %llu since %llu part %u ", (unsigned long long)w->modseq,
	           (unsigned long long)w->since, w->part++);
	/* the last word is known when the part is finished */
	buf_add_str(&w->text, STR("more\n"));
}

static bool finish_part(struct writing *w, bool last)
{
	struct store_txn *txn = w->txn;
	size_t line = str_find_char(buf_str(&w->text), '\n');
	if (last)
		memcpy(w->text.data + line - 4, "last", 4);
	struct body_place place = {};
	struct segment_header header = { .kind = SEGMENT_META, .size = w->text.length, .received = txn->now };
	header.check = XXH3_64bits(w->text.data, w->text.length);
	if (w->text.overflowed)
		return txn_set_fail(txn, FAIL_LIMIT, "a metadata checkpoint has too long a line");
	if (!body_append(txn, &txn->store->tail, &header, buf_str(&w->text), &place))
		return false;
	/* the first part of a full one is where the chain begins */
	if (!w->since && w->part == 1) {
		sqlite3_stmt *chain = txn_query(txn, "UPDATE account SET checkpoint_segment = ?");
		bind_u64(chain, 1, place.segment);
		txn_run(txn, chain);
	}
	w->size += place.header + place.stored;
	sqlite3_stmt *dead = txn_query(txn, "UPDATE segment SET dead = dead + ? WHERE number = ?");
	bind_u64(dead, 1, place.header + place.stored);
	bind_u64(dead, 2, place.segment);
	return txn_run(txn, dead);
}

static void part_when_full(struct writing *w)
{
	if (w->text.length >= PART_SIZE && finish_part(w, false))
		start_part(w);
}

static void write_account(struct writing *w)
{
	sqlite3_stmt *query = txn_query(w->txn, "SELECT uidvalidity, message_next FROM account");
	if (txn_step(w->txn, query) != DATABASE_ROW)
		return;
	buf_printf(&w->text, "account %llu %llu %llu\n", (unsigned long long)column_u64(query, 0),
	           (unsigned long long)w->modseq, (unsigned long long)column_u64(query, 1));
	database_done(query);
}

static void write_segments(struct writing *w)
{
	struct store *store = w->txn->store;
	sqlite3_stmt *query = txn_query(w->txn, "SELECT number, size, state FROM segment WHERE state != 4 ORDER BY number");
	while (txn_step(w->txn, query) == DATABASE_ROW) {
		uint64_t number = column_u64(query, 0);
		uint64_t end = column_u64(query, 1);
		if (store->tail.file && store->tail.file->number == number)
			end = store->tail.end;
		else if (store->archive.file && store->archive.file->number == number)
			end = store->archive.end;
		buf_printf(&w->text, "segment %llu %llu\n", (unsigned long long)number, (unsigned long long)end);
		part_when_full(w);
	}
}

static void write_mailboxes(struct writing *w)
{
	sqlite3_stmt *query =
		txn_query(w->txn, "SELECT id, uidvalidity, uidnext, highestmodseq, special_use, name FROM mailbox"
	                      " WHERE name NOT NULL ORDER BY id");
	while (txn_step(w->txn, query) == DATABASE_ROW) {
		buf_printf(&w->text, "mailbox %llu %llu %llu %llu %llu ", (unsigned long long)column_u64(query, 0),
		           (unsigned long long)column_u64(query, 1), (unsigned long long)column_u64(query, 2),
		           (unsigned long long)column_u64(query, 3), (unsigned long long)column_u64(query, 4));
		buf_add_str(&w->text, column_bytes(query, 5));
		buf_add_char(&w->text, '\n');
		part_when_full(w);
	}
}

static void write_names(struct writing *w)
{
	sqlite3_stmt *query = txn_query(w->txn, "SELECT name FROM subscription");
	while (txn_step(w->txn, query) == DATABASE_ROW) {
		buf_add_str(&w->text, STR("subscribed "));
		buf_add_str(&w->text, column_bytes(query, 0));
		buf_add_char(&w->text, '\n');
		part_when_full(w);
	}
	query = txn_query(w->txn, "SELECT number, name FROM keyword ORDER BY number");
	while (txn_step(w->txn, query) == DATABASE_ROW) {
		buf_printf(&w->text, "keyword %llu ", (unsigned long long)column_u64(query, 0));
		buf_add_str(&w->text, column_bytes(query, 1));
		buf_add_char(&w->text, '\n');
		part_when_full(w);
	}
}

static void write_annotations(struct writing *w)
{
	sqlite3_stmt *query = txn_query(w->txn, "SELECT mailbox, entry, value NOT NULL, value FROM annotation"
	                                        " WHERE modseq > ?");
	bind_u64(query, 1, w->since);
	while (txn_step(w->txn, query) == DATABASE_ROW) {
		buf_printf(&w->text, "annotation %llu ", (unsigned long long)column_u64(query, 0));
		/* a value of no octets is no removal: the point tells them apart */
		buf_add_char(&w->text, column_u64(query, 2) ? '.' : '-');
		text_hex_encode(&w->text, column_bytes(query, 3));
		buf_add_char(&w->text, ' ');
		buf_add_str(&w->text, column_bytes(query, 1));
		buf_add_char(&w->text, '\n');
		part_when_full(w);
	}
}

static void write_keywords(struct writing *w, struct str packed)
{
	if (!packed.length)
		buf_add_char(&w->text, '-');
	for (size_t i = 0; i + 1 < packed.length; i += 2) {
		if (i)
			buf_add_char(&w->text, ',');
		buf_add_u64(&w->text, (uint64_t)((unsigned char)packed.data[i] | (unsigned char)packed.data[i + 1] << 8));
	}
	buf_add_char(&w->text, '\n');
}

static void add_number(struct writing *w, uint64_t number)
{
	buf_add_u64(&w->text, number);
	buf_add_char(&w->text, ' ');
}

/* May be before 1970. */
static void add_date(struct writing *w, int64_t date)
{
	if (date < 0)
		buf_add_char(&w->text, '-');
	add_number(w, date < 0 ? -(uint64_t)date : (uint64_t)date);
}

/* Nobody else writes meanwhile, and a mailbox may have a million: hence without printf. */
static void write_places(struct writing *w, uint64_t mailbox)
{
	sqlite3_stmt *query = txn_query(w->txn, "SELECT p.uid, (SELECT stable FROM body b WHERE b.message = p.message),"
	                                        " p.flags, p.modseq, p.received, p.saved, p.keywords"
	                                        " FROM " CHANGED_PLACEMENTS);
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, w->since);
	while (txn_step(w->txn, query) == DATABASE_ROW) {
		buf_add_str(&w->text, STR("place "));
		add_number(w, mailbox);
		add_number(w, column_u64(query, 0));
		text_hex_encode(&w->text, column_bytes(query, 1));
		buf_add_char(&w->text, ' ');
		add_number(w, column_u64(query, 2));
		add_number(w, column_u64(query, 3));
		add_date(w, sqlite3_column_int64(query, 4));
		add_date(w, sqlite3_column_int64(query, 5));
		write_keywords(w, column_bytes(query, 6));
		w->rows++;
		part_when_full(w);
	}
}

static void write_gone(struct writing *w, uint64_t mailbox)
{
	sqlite3_stmt *query = txn_query(w->txn, "SELECT uid, count FROM tombstone WHERE mailbox = ? AND modseq > ?");
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, w->since);
	while (txn_step(w->txn, query) == DATABASE_ROW) {
		for (uint64_t uid = column_u64(query, 0), end = uid + column_u64(query, 1); uid < end; uid++) {
			buf_add_str(&w->text, STR("gone "));
			add_number(w, mailbox);
			buf_add_u64(&w->text, uid);
			buf_add_char(&w->text, '\n');
			w->rows++;
			part_when_full(w);
		}
	}
}

/* The mailboxes are listed first, since a part that is finished writes to the database. */
static void write_all(struct writing *w)
{
	ARRAY(uint64_t) mailboxes = {};
	sqlite3_stmt *query = txn_query(w->txn, "SELECT id FROM mailbox WHERE name NOT NULL");
	while (txn_step(w->txn, query) == DATABASE_ROW)
		*array_add(&mailboxes) = column_u64(query, 0);
	write_account(w);
	write_segments(w);
	write_mailboxes(w);
	write_names(w);
	write_annotations(w);
	for (size_t i = 0; txn_ok(w->txn) && i < mailboxes.count; i++) {
		write_places(w, mailboxes.items[i]);
		if (w->since)
			write_gone(w, mailboxes.items[i]);
	}
	array_release(&mailboxes);
}

/* Where the last one left off; a full one is due when the deltas have more rows than it would. */
static bool plan(struct store_txn *txn, bool full, uint64_t *since, uint64_t *rows)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT checkpoint_modseq, checkpoint_rows,"
	                                     " (SELECT sum(messages) FROM mailbox WHERE name NOT NULL),"
	                                     " EXISTS(SELECT 1 FROM mailbox WHERE vanished_floor > checkpoint_modseq)"
	                                     " FROM account");
	if (txn_step(txn, query) != DATABASE_ROW)
		return false;
	*since = column_u64(query, 0);
	*rows = column_u64(query, 1);
	uint64_t messages = column_u64(query, 2);
	bool forgotten = column_u64(query, 3);
	database_done(query);
	if (full || forgotten || *rows > messages + DELTA_ROWS_FREE)
		*since = *rows = 0;
	return true;
}

bool checkpoint_append(struct store_txn *txn, bool full)
{
	struct writing w = { .txn = txn, .modseq = txn->store->modseq };
	if (!mailbox_write_back(txn) || !plan(txn, full, &w.since, &w.rows))
		return false;
	buf_init(&w.text, PART_ROOM);
	start_part(&w);
	write_all(&w);
	if (txn_ok(txn))
		finish_part(&w, true);
	buf_release(&w.text);
	if (!w.since)
		txn->store->checkpoint_size = w.size;
	sqlite3_stmt *query = txn_query(txn, "UPDATE account SET checkpoint_modseq = ?, checkpoint_rows = ?");
	bind_u64(query, 1, w.modseq);
	bind_u64(query, 2, w.rows);
	return txn_run(txn, query);
}

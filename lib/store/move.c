#include "store_internal.h"

#include <zstd.h>

/* Moving bodies from one segment to another: compaction, recompression, rescue. The order is always the
 * same: write, sync, commit durably, unlink (invariant 10). */

enum { COMPRESSION_LEVEL = 3 };

bool move_begin(struct store *store, uint64_t segment, enum segment_codec codec, struct fail **fail)
{
	struct segment_move *move = &store->move;
	move->segment = segment;
	move->codec = codec;
	move->messages.count = 0;
	move->next = 0;
	sqlite3_stmt *query = database_query(&store->writer, "SELECT message FROM body WHERE segment = ? ORDER BY start");
	bind_u64(query, 1, segment);
	enum database_step step;
	while ((step = database_step(&store->writer, query, fail)) == DATABASE_ROW)
		*array_add(&move->messages) = column_u64(query, 0);
	if (step != DATABASE_DONE)
		move->segment = 0;
	return step == DATABASE_DONE;
}

/* The new record says where the mail is now, which is better to salvage from than where it was delivered. */
static bool describe(struct store_txn *txn, uint64_t message, struct segment_header *header, struct buf *name)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT p.uid, p.flags, p.received, m.uidvalidity, m.name FROM placement p"
	                                     " JOIN mailbox m ON m.id = p.mailbox WHERE p.message = ? AND m.name NOT NULL"
	                                     " ORDER BY p.mailbox LIMIT 1");
	bind_u64(query, 1, message);
	header->message = message;
	if (txn_step(txn, query) != DATABASE_ROW)
		return txn_ok(txn);
	header->uid = (uint32_t)column_u64(query, 0);
	header->flags = (uint32_t)column_u64(query, 1);
	header->received = sqlite3_column_int64(query, 2);
	header->uidvalidity = (uint32_t)column_u64(query, 3);
	buf_clear(name);
	buf_add_str(name, column_bytes(query, 4));
	database_done(query);
	header->mailbox = buf_str(name);
	return true;
}

static bool compress(struct store_txn *txn, struct str mail, struct buf *out)
{
	size_t bound = ZSTD_compressBound(mail.length);
	buf_clear(out);
	out->limit = bound;
	char *to = buf_reserve(out, bound);
	must(to);
	size_t length = ZSTD_compress(to, bound, mail.data, mail.length, COMPRESSION_LEVEL);
	if (ZSTD_isError(length))
		return txn_set_fail(txn, FAIL_IO, "zstd: %s", ZSTD_getErrorName(length));
	buf_claim(out, length);
	return true;
}

static bool count_dead(struct store_txn *txn, uint64_t segment, const struct body_place *place)
{
	sqlite3_stmt *query = txn_query(txn, "UPDATE segment SET dead = dead + ? WHERE number = ?");
	bind_u64(query, 1, place->header + place->stored);
	bind_u64(query, 2, segment);
	return txn_run(txn, query);
}

/* What one body needs on its way. */
struct carrier {
	struct buf mail, compressed, name;
};

static void carrier_release(struct carrier *carrier)
{
	buf_release(&carrier->mail);
	buf_release(&carrier->compressed);
	buf_release(&carrier->name);
}

static bool carry(struct store_txn *txn, uint64_t message, struct body_place *place, struct carrier *carrier)
{
	struct store *store = txn->store;
	struct body_place old = *place;
	enum segment_codec codec = store->move.codec;
	struct segment_header header = { .codec = codec, .size = place->size, .check = place->check };
	memcpy(header.id, place->id.bytes, sizeof header.id);
	struct str stored = buf_str(&carrier->mail);
	if (!describe(txn, message, &header, &carrier->name))
		return false;
	if (codec == SEGMENT_ZSTD) {
		if (!compress(txn, stored, &carrier->compressed))
			return false;
		stored = buf_str(&carrier->compressed);
	}
	return body_append(txn, codec == SEGMENT_ZSTD ? &store->archive : &store->tail, &header, stored, place) &&
	       body_insert(txn, message, place) && count_dead(txn, old.segment, &old);
}

static bool move_one(struct store_txn *txn, uint64_t message, struct carrier *carrier, uint64_t *moved)
{
	struct store *store = txn->store;
	struct body_place place;
	struct fail *why = NULL;
	bool found = body_find(&store->writer, message, &place, &why);
	if (!found && why->kind != FAIL_NOT_FOUND)
		txn_set_fail(txn, why->kind, "%s", why->text);
	fail_free(&why);
	if (!found || place.segment != store->move.segment)
		return txn_ok(txn);
	struct segment_file *file = segments_use(&store->segments, place.segment, NULL);
	buf_clear(&carrier->mail);
	carrier->mail.limit = place.size;
	bool readable = file && body_read(file, &place, &carrier->mail, NULL);
	segments_unuse(&store->segments, file);
	if (!readable) {
		/* a damaged body is left where it is, and the file with it: a person may still make sense of it */
		return true;
	}
	*moved += place.size;
	return carry(txn, message, &place, carrier);
}

static bool move_some(struct store_txn *txn, uint64_t bytes_max)
{
	struct segment_move *move = &txn->store->move;
	CLEANUP(carrier_release)
	struct carrier carrier = { .name.limit = LIMIT_MAILBOX_NAME_MAX };
	uint64_t moved = 0;
	for (; txn_ok(txn) && move->next < move->messages.count && moved < bytes_max; move->next++)
		move_one(txn, move->messages.items[move->next], &carrier, &moved);
	return txn_ok(txn);
}

static bool set_state(struct store_txn *txn, uint64_t segment, enum segment_state state)
{
	sqlite3_stmt *query = txn_query(txn, "UPDATE segment SET state = ? WHERE number = ?");
	bind_u64(query, 1, state);
	bind_u64(query, 2, segment);
	return txn_run(txn, query);
}

/* The list was made some steps ago; only a look at all rows says that nothing is left. */
static bool is_empty(struct store_txn *txn, uint64_t segment)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT 1 FROM body WHERE segment = ? LIMIT 1");
	bind_u64(query, 1, segment);
	return !txn_number(txn, query) && txn_ok(txn);
}

static bool holds_checkpoint(struct store_txn *txn, uint64_t segment)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT 1 FROM account, segment WHERE number = ? AND" HOLDS_METADATA
	                                     "AND checkpoint_segment BETWEEN 1 AND number");
	bind_u64(query, 1, segment);
	return txn_number(txn, query);
}

static void leave(struct store_txn *txn, uint64_t segment)
{
	if (!is_empty(txn, segment)) {
		set_state(txn, segment, SEGMENT_KEPT);
		return;
	}
	/* the metadata that a rebuild begins from may lie here */
	if (holds_checkpoint(txn, segment))
		checkpoint_append(txn, true);
	set_state(txn, segment, SEGMENT_GONE);
}

/* Unlinks the files of segments that hold nothing. */
static bool unlink_gone(struct store *store, struct fail **fail)
{
	ARRAY(uint64_t) gone = {};
	sqlite3_stmt *query = database_query(&store->writer, "SELECT number FROM segment WHERE state = 4");
	while (database_step(&store->writer, query, fail) == DATABASE_ROW)
		*array_add(&gone) = column_u64(query, 0);
	if (!gone.count)
		return true;
	struct store_txn *txn = txn_begin_locked(store, true);
	for (size_t i = 0; txn_ok(txn) && i < gone.count; i++) {
		/* the row goes after the file, so that a crash between the two leaves no file that nobody knows */
		segments_unlink(&store->segments, gone.items[i], &txn->fail);
		sqlite3_stmt *drop = txn_query(txn, "DELETE FROM segment WHERE number = ?");
		bind_u64(drop, 1, gone.items[i]);
		txn_run(txn, drop);
	}
	array_release(&gone);
	return txn_commit_locked(txn, fail);
}

bool move_step(struct store *store, uint64_t bytes_max, struct fail **fail)
{
	struct segment_move *move = &store->move;
	size_t before = move->next;
	struct store_txn *txn = txn_begin_locked(store, true);
	bool done = move_some(txn, bytes_max) && move->next == move->messages.count;
	if (done)
		leave(txn, move->segment);
	if (!txn_commit_locked(txn, fail)) {
		move->next = before;
		return false;
	}
	if (!done)
		return true;
	move->segment = 0;
	return unlink_gone(store, fail);
}

static uint64_t next_abandoned(struct store *store, enum segment_codec *codec, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&store->writer, "SELECT number, codec FROM segment WHERE state = 2 LIMIT 1");
	if (database_step(&store->writer, query, fail) != DATABASE_ROW)
		return 0;
	uint64_t number = column_u64(query, 0);
	*codec = (enum segment_codec)column_u64(query, 1);
	database_done(query);
	return number;
}

/* A move that was under way begins again another time. Each pass takes one segment out of the abandoned. */
bool store_rescue(struct store *store, struct fail **fail)
{
	struct fail *why = NULL;
	enum segment_codec codec = SEGMENT_RAW;
	store->suspect = false;
	for (uint64_t segment; !why && (segment = next_abandoned(store, &codec, &why));)
		if (move_begin(store, segment, codec, &why))
			while (!why && store->move.segment)
				move_step(store, LIMIT_SEGMENT_SIZE, &why);
	if (!why)
		return true;
	store->suspect = true;
	store->move.segment = 0;
	fail_set(fail, why->kind, "%s", why->text);
	fail_free(&why);
	return false;
}

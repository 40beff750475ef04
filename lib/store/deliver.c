#include "store_internal.h"

#include "store_date.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>
#include <xxhash.h>

enum { COPY_BLOCK = 262144, SEGMENT_NUMBERS_TRIED = 1000 };

/* ---- identity ---- */

/* The same record gives the same id again: a client that saw its UIDL must not meet it under another. */
static struct store_id id_of_origin(const struct store_origin *origin)
{
	uint8_t key[28];
	memcpy(key, origin->journal, 16);
	for (size_t i = 0; i < 8; i++)
		key[16 + i] = (uint8_t)(origin->seq >> 8 * i);
	for (size_t i = 0; i < 4; i++)
		key[24 + i] = (uint8_t)(origin->recipient >> 8 * i);
	XXH128_canonical_t canonical;
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(key, sizeof key));
	struct store_id id;
	memcpy(id.bytes, canonical.digest, sizeof id.bytes);
	return id;
}

static struct store_id make_id(struct store_txn *txn, const struct store_delivery *delivery)
{
	struct store_id id = {};
	if (delivery->id)
		return *delivery->id;
	if (delivery->origin)
		return id_of_origin(delivery->origin);
	if (getrandom(&id, sizeof id, 0) != sizeof id)
		txn_set_fail(txn, FAIL_IO, "no random bytes");
	return id;
}

static uint64_t hash_of_text(struct str text)
{
	return str_is_empty(text) ? 0 : XXH3_64bits(text.data, text.length);
}

struct str keywords_pack(const struct store_keywords *keywords, struct buf *memory)
{
	buf_clear(memory);
	for (size_t i = 0; i < keywords->count; i++) {
		buf_add_char(memory, (char)(keywords->numbers[i] & 255));
		buf_add_char(memory, (char)(keywords->numbers[i] >> 8));
	}
	return keywords->count ? buf_str(memory) : str_from(NULL, 0);
}

/* ---- segments ---- */

/* A row for a new segment and its number. */
static uint64_t segment_insert(struct store_txn *txn, enum segment_codec codec)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO segment(codec, state, size, dead, since) VALUES(?, 0, 0, 0, ?)");
	bind_u64(query, 1, codec);
	bind_i64(query, 2, txn->now);
	return txn_run(txn, query) ? (uint64_t)sqlite3_last_insert_rowid(txn->store->writer.handle) : 0;
}

static void segment_remove_row(struct store_txn *txn, uint64_t number)
{
	sqlite3_stmt *query = txn_query(txn, "DELETE FROM segment WHERE number = ?");
	bind_u64(query, 1, number);
	txn_run(txn, query);
}

typedef struct segment_file *segment_maker(struct segments *s, uint64_t number, enum segment_codec codec,
                                           struct fail **fail);

/* A file of that number may be left from a transaction that a crash undid: such a number is passed over. */
static struct segment_file *segment_begin(struct store_txn *txn, enum segment_codec codec, segment_maker *make)
{
	struct store *store = txn->store;
	for (size_t i = 0; txn_ok(txn) && i < SEGMENT_NUMBERS_TRIED; i++) {
		uint64_t number = segment_insert(txn, codec);
		if (!txn_ok(txn))
			return NULL;
		struct fail *why = NULL;
		struct segment_file *file = make(&store->segments, number, codec, &why);
		if (file) {
			*array_add(&txn->created) = number;
			*array_add(&store->begun.list) = number;
			return file;
		}
		if (why->kind == FAIL_EXISTS)
			segment_remove_row(txn, number);
		else
			txn_set_fail(txn, why->kind, "%s", why->text);
		fail_free(&why);
	}
	txn_set_fail(txn, FAIL_IO, "no free segment number");
	return NULL;
}

static bool seal_row(struct store_txn *txn, uint64_t number, uint64_t size, bool large)
{
	sqlite3_stmt *query =
		txn_query(txn, "UPDATE segment SET state = 1, size = ?, since = ?, large = ? WHERE number = ?");
	bind_u64(query, 1, size);
	bind_i64(query, 2, txn->now);
	bind_u64(query, 3, large);
	bind_u64(query, 4, number);
	return txn_run(txn, query);
}

bool segment_seal(struct store_txn *txn, struct segment_tail *tail)
{
	if (!tail->file)
		return txn_ok(txn);
	if (!seal_row(txn, tail->file->number, tail->end, false))
		return false;
	/* a roll-back must find the tails anew */
	txn->tails_moved = true;
	/* what is sealed is described at the next idle moment */
	txn->store->checkpoint_time = 0;
	segments_unuse(&txn->store->segments, tail->file);
	*tail = (struct segment_tail){};
	return true;
}

static bool tail_ready(struct store_txn *txn, struct segment_tail *tail, enum segment_codec codec, uint64_t length)
{
	if (tail->file && tail->end + length > LIMIT_SEGMENT_SIZE && !segment_seal(txn, tail))
		return false;
	if (tail->file)
		return true;
	tail->file = segment_begin(txn, codec, segments_create);
	txn->tails_moved = true;
	if (!tail->file)
		return false;
	tail->end = SEGMENT_START_SIZE + (codec == SEGMENT_ZSTD ? SEGMENT_FRAME_SIZE : 0);
	return true;
}

bool body_append(struct store_txn *txn, struct segment_tail *tail, struct segment_header *header, struct str stored,
                 struct body_place *place)
{
	struct store *store = txn->store;
	header->stored = stored.length;
	buf_clear(&store->header);
	uint32_t length = segment_header_encode(&store->header, header, &store->segments.key, 0);
	if (!txn_ok(txn) || !tail_ready(txn, tail, header->codec, length + stored.length))
		return false;
	struct str parts[] = { buf_str(&store->header), stored };
	if (!segments_write(&store->segments, tail->file, parts, COUNT_OF(parts), tail->end, &txn->fail))
		return false;
	place->segment = tail->file->number;
	place->offset = tail->end;
	place->header = length;
	place->stored = stored.length;
	place->codec = header->codec;
	tail->end += length + stored.length;
	return true;
}

/* ---- large bodies ---- */

static bool copy_blocks(struct store_txn *txn, struct segment_file *to, uint64_t at, const struct store_body *body,
                        char *block, XXH3_state_t *hash)
{
	for (uint64_t done = 0; done < body->size;) {
		size_t wanted = body->size - done < COPY_BLOCK ? (size_t)(body->size - done) : COPY_BLOCK;
		ssize_t got = pread(body->file, block, wanted, (off_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return txn_set_fail(txn, FAIL_IO, "the mail's file can't be read to its end");
		XXH3_64bits_update(hash, block, (size_t)got);
		struct str part = str_from(block, (size_t)got);
		if (!segments_write(&txn->store->segments, to, &part, 1, at + done, &txn->fail))
			return false;
		done += (uint64_t)got;
	}
	return true;
}

bool copy_body(struct store_txn *txn, struct segment_file *to, uint64_t at, const struct store_body *body,
               uint64_t *check)
{
	CLEANUP(mem_free) char *block = mem_alloc(COPY_BLOCK);
	XXH3_state_t *hash = XXH3_createState();
	must(hash);
	XXH3_64bits_reset(hash);
	bool ok = copy_blocks(txn, to, at, body, block, hash);
	*check = XXH3_64bits_digest(hash);
	XXH3_freeState(hash);
	return ok;
}

static struct segment_file *make_temporary(struct segments *s, uint64_t number, enum segment_codec codec,
                                           struct fail **fail)
{
	(void)codec;
	return segments_create_temporary(s, number, fail);
}

/* The header comes last, since it has the checksum; the name comes after it, so that a file with a number is whole. */
static bool write_large(struct store_txn *txn, struct segment_file *file, const struct store_body *body,
                        struct segment_header *header, struct body_place *place)
{
	struct store *store = txn->store;
	header->stored = header->size;
	buf_clear(&store->header);
	place->header = segment_header_encode(&store->header, header, &store->segments.key, 0);
	if (!copy_body(txn, file, SEGMENT_START_SIZE + place->header, body, &header->check))
		return false;
	buf_clear(&store->header);
	segment_header_encode(&store->header, header, &store->segments.key, place->header);
	struct str part = buf_str(&store->header);
	place->segment = file->number;
	place->offset = SEGMENT_START_SIZE;
	place->stored = header->size;
	place->check = header->check;
	place->codec = SEGMENT_RAW;
	return segments_write(&store->segments, file, &part, 1, SEGMENT_START_SIZE, &txn->fail) &&
	       segments_publish(&store->segments, file, &txn->fail) &&
	       seal_row(txn, file->number, SEGMENT_START_SIZE + place->header + header->size, true);
}

static bool append_large(struct store_txn *txn, const struct store_body *body, struct segment_header *header,
                         struct body_place *place)
{
	struct segment_file *file = segment_begin(txn, SEGMENT_RAW, make_temporary);
	if (!file)
		return false;
	bool ok = write_large(txn, file, body, header, place);
	/* on a full disk it would be in everybody's way */
	if (!ok)
		segments_discard_temporary(&txn->store->segments);
	segments_unuse(&txn->store->segments, file);
	return ok;
}

/* ---- rows ---- */

bool body_insert(struct store_txn *txn, uint64_t message, const struct body_place *place)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT OR REPLACE INTO body(message, segment, start, header, stored, size,"
	                                     " checksum, codec, stable) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)");
	bind_u64(query, 1, message);
	bind_u64(query, 2, place->segment);
	bind_u64(query, 3, place->offset);
	bind_u64(query, 4, place->header);
	bind_u64(query, 5, place->stored);
	bind_u64(query, 6, place->size);
	bind_u64(query, 7, place->check);
	bind_u64(query, 8, place->codec);
	bind_bytes(query, 9, str_from((const char *)place->id.bytes, sizeof place->id.bytes));
	return txn_run(txn, query);
}

bool placement_insert(struct store_txn *txn, const struct placement *placement)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO placement(mailbox, uid, message, flags, modseq, size, received,"
	                                     " saved, keywords) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)");
	bind_u64(query, 1, placement->mailbox);
	bind_u64(query, 2, placement->uid);
	bind_u64(query, 3, placement->message);
	bind_u64(query, 4, placement->flags);
	bind_u64(query, 5, placement->modseq);
	bind_u64(query, 6, placement->size);
	bind_i64(query, 7, placement->received);
	bind_i64(query, 8, placement->saved);
	bind_bytes(query, 9, placement->keywords);
	index_note_row(txn, placement);
	return txn_run(txn, query);
}

/* The first and the last ones are those that join threads; RFC 5256 §3. */
static struct str pack_references(const struct store_message_columns *columns, uint64_t hashes[LIMIT_REFERENCES_MAX])
{
	size_t count = columns->reference_count;
	size_t kept = count < LIMIT_REFERENCES_MAX ? count : LIMIT_REFERENCES_MAX;
	for (size_t i = 0; i < kept; i++)
		hashes[i] = hash_of_text(columns->references[i ? count - kept + i : 0]);
	return kept ? str_from((const char *)hashes, kept * sizeof hashes[0]) : str_from(NULL, 0);
}

static struct str or_null(struct str s)
{
	return str_is_empty(s) ? str_from(NULL, 0) : s;
}

bool message_insert(struct store_txn *txn, uint64_t message, uint64_t size, int64_t received,
                    const struct store_message_columns *columns)
{
	static const struct store_message_columns none;
	uint64_t hashes[LIMIT_REFERENCES_MAX];
	columns = columns ? columns : &none;
	sqlite3_stmt *query =
		txn_query(txn, "INSERT INTO message(message, size, lines, received, sent, message_id, refs,"
	                   " subject, preview, headers, structure, traits) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	bind_u64(query, 1, message);
	bind_u64(query, 2, size);
	bind_u64(query, 3, columns->lines);
	bind_i64(query, 4, store_date_seconds(received));
	bind_i64(query, 5, columns->sent);
	bind_u64(query, 6, hash_of_text(columns->message_id));
	bind_bytes(query, 7, pack_references(columns, hashes));
	bind_bytes(query, 8, or_null(columns->subject));
	bind_bytes(query, 9, or_null(columns->preview));
	bind_bytes(query, 10, or_null(columns->headers));
	bind_bytes(query, 11, or_null(columns->structure));
	bind_u64(query, 12, columns->traits);
	return txn_run(txn, query);
}

/* ---- the journal's records ---- */

static uint64_t find_journal(struct store_txn *txn, const uint8_t uuid[16])
{
	sqlite3_stmt *query = txn_query(txn, "SELECT id FROM journal WHERE uuid = ?");
	bind_bytes(query, 1, str_from((const char *)uuid, 16));
	return txn_number(txn, query);
}

static uint64_t journal_row(struct store_txn *txn, const uint8_t uuid[16])
{
	struct store *store = txn->store;
	if (store->journal_row && memcmp(store->journal_uuid, uuid, 16) == 0)
		return store->journal_row;
	uint64_t row = find_journal(txn, uuid);
	if (!row) {
		sqlite3_stmt *query = txn_query(txn, "INSERT INTO journal(uuid) VALUES(?)");
		bind_bytes(query, 1, str_from((const char *)uuid, 16));
		txn_run(txn, query);
		row = (uint64_t)sqlite3_last_insert_rowid(store->writer.handle);
	}
	store->journal_row = txn_ok(txn) ? row : 0;
	memcpy(store->journal_uuid, uuid, 16);
	return row;
}

static bool insert_applied(struct store_txn *txn, const struct store_origin *origin, uint64_t message)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO applied(journal, seq, recipient, message) VALUES(?, ?, ?, ?)");
	bind_u64(query, 1, journal_row(txn, origin->journal));
	bind_u64(query, 2, origin->seq);
	bind_u64(query, 3, origin->recipient);
	bind_u64(query, 4, message);
	return txn_run(txn, query);
}

/* After a rebuild the applied rows are lost, but the ids of what was in the segments are not: then they say so. */
static bool find_rebuilt(struct store_txn *txn, const struct store_origin *origin, uint64_t *message)
{
	if (!txn->store->rebuilt)
		return false;
	struct store_id id = id_of_origin(origin);
	sqlite3_stmt *query = txn_query(txn, "SELECT message FROM rebuilt WHERE stable = ?");
	bind_bytes(query, 1, str_from((const char *)id.bytes, sizeof id.bytes));
	if (txn_step(txn, query) != DATABASE_ROW)
		return false;
	*message = column_u64(query, 0);
	database_done(query);
	return insert_applied(txn, origin, *message);
}

/* True when the record was applied before; message is then what it made, or 0. */
static bool find_applied(struct store_txn *txn, const struct store_origin *origin, uint64_t *message)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT message FROM applied WHERE journal = ? AND seq = ? AND recipient = ?");
	bind_u64(query, 1, journal_row(txn, origin->journal));
	bind_u64(query, 2, origin->seq);
	bind_u64(query, 3, origin->recipient);
	if (txn_step(txn, query) != DATABASE_ROW)
		return find_rebuilt(txn, origin, message);
	*message = column_u64(query, 0);
	database_done(query);
	return true;
}

bool store_trim(struct store_txn *txn, const uint8_t journal[16], uint64_t mark)
{
	uint64_t row = find_journal(txn, journal);
	if (!row)
		return txn_ok(txn);
	sqlite3_stmt *query = txn_query(txn, "DELETE FROM applied WHERE journal = ? AND seq < ?");
	bind_u64(query, 1, row);
	bind_u64(query, 2, mark < INT64_MAX ? mark : INT64_MAX);
	return txn_run(txn, query);
}

static bool is_kept(sqlite3_stmt *query, const uint8_t *kept, size_t count)
{
	bool found = false;
	const void *uuid = sqlite3_column_blob(query, 1);
	for (size_t i = 0; i < count && uuid && sqlite3_column_bytes(query, 1) == 16; i++)
		found = found || memcmp(uuid, kept + 16 * i, 16) == 0;
	return found;
}

static bool forget_journal(struct store_txn *txn, uint64_t row)
{
	sqlite3_stmt *rows = txn_query(txn, "DELETE FROM applied WHERE journal = ?");
	bind_u64(rows, 1, row);
	txn_run(txn, rows);
	sqlite3_stmt *query = txn_query(txn, "DELETE FROM journal WHERE id = ?");
	bind_u64(query, 1, row);
	return txn_run(txn, query);
}

bool store_trim_journals(struct store_txn *txn, const uint8_t *kept, size_t count)
{
	ARRAY(uint64_t) gone = {};
	sqlite3_stmt *query = txn_query(txn, "SELECT id, uuid FROM journal");
	while (txn_step(txn, query) == DATABASE_ROW)
		if (!is_kept(query, kept, count))
			*array_add(&gone) = column_u64(query, 0);
	for (size_t i = 0; i < gone.count; i++)
		forget_journal(txn, gone.items[i]);
	if (gone.count)
		txn->store->journal_row = 0;
	array_release(&gone);
	return txn_ok(txn);
}

/* ---- deliver ---- */

bool quota_allows(struct store_txn *txn, uint64_t bytes, uint64_t messages)
{
	struct store_usage usage;
	store_usage(txn->store, &usage);
	uint64_t used_bytes = usage.bytes + (uint64_t)txn->bytes_change;
	uint64_t used_messages = usage.messages + (uint64_t)txn->messages_change;
	if ((usage.bytes_max && used_bytes + bytes > usage.bytes_max) ||
	    (usage.messages_max && used_messages + messages > usage.messages_max))
		return txn_set_fail(txn, FAIL_OVER_QUOTA, "the account has no room for this");
	return txn_ok(txn);
}

static uint64_t size_of(const struct store_delivery *delivery)
{
	return delivery->body.file ? delivery->body.size : delivery->body.bytes.length;
}

struct segment_header header_of_delivery(const struct store_delivery *delivery, const struct mailbox_state *mailbox,
                                         const struct store_placed *placed)
{
	struct segment_header header = { .size = size_of(delivery),
		                             .message = placed->message,
		                             .received = delivery->received,
		                             .uidvalidity = mailbox ? mailbox->uidvalidity : 0,
		                             .uid = placed->uid,
		                             .flags = delivery->flags & STORE_FLAGS_ALL,
		                             .mailbox = str_of(mailbox ? mailbox->name : NULL) };
	memcpy(header.id, placed->id.bytes, sizeof header.id);
	return header;
}

bool append_mail(struct store_txn *txn, const struct store_delivery *delivery, struct segment_header *header,
                 struct body_place *place)
{
	*place = (struct body_place){ .size = header->size };
	memcpy(place->id.bytes, header->id, sizeof place->id.bytes);
	if (delivery->body.file)
		return append_large(txn, &delivery->body, header, place);
	header->check = XXH3_64bits(delivery->body.bytes.data, delivery->body.bytes.length);
	place->check = header->check;
	return body_append(txn, &txn->store->tail, header, delivery->body.bytes, place);
}

static bool insert_placement(struct store_txn *txn, const struct store_delivery *delivery,
                             struct mailbox_state *mailbox, struct store_placed *placed)
{
	CLEANUP(buf_release) struct buf keywords = BUF_WITH_LIMIT(2 * LIMIT_KEYWORDS_PER_MAILBOX);
	struct placement row = { .mailbox = delivery->mailbox,
		                     .uid = placed->uid,
		                     .message = placed->message,
		                     .size = size_of(delivery),
		                     .received = delivery->received,
		                     .flags = delivery->flags & STORE_FLAGS_ALL,
		                     .keywords = keywords_pack(&delivery->keywords, &keywords),
		                     .modseq = placed->modseq,
		                     .saved = txn->now };
	mailbox_count(txn, mailbox, row.flags, row.size, 1);
	return placement_insert(txn, &row);
}

uint32_t mailbox_take_uid(struct store_txn *txn, struct mailbox_state *mailbox)
{
	if (mailbox->uidnext == UINT32_MAX)
		txn_set_fail(txn, FAIL_LIMIT, "mailbox %s has no UID left", mailbox->name);
	else
		mailbox->uidnext++;
	return mailbox->uidnext - 1;
}

static bool deliver_new(struct store_txn *txn, const struct store_delivery *delivery, struct store_placed *placed)
{
	struct mailbox_state *mailbox = mailbox_state(txn, delivery->mailbox);
	if (!mailbox || (delivery->within_quota && !quota_allows(txn, size_of(delivery), 1)))
		return false;
	*placed = (struct store_placed){ .id = make_id(txn, delivery),
		                             .message = txn_message_number(txn),
		                             .modseq = txn_modseq(txn),
		                             .uid = mailbox_take_uid(txn, mailbox),
		                             .uidvalidity = mailbox->uidvalidity };
	struct body_place where;
	struct segment_header header = header_of_delivery(delivery, mailbox, placed);
	return append_mail(txn, delivery, &header, &where) && body_insert(txn, placed->message, &where) &&
	       message_insert(txn, placed->message, header.size, delivery->received, delivery->columns) &&
	       insert_placement(txn, delivery, mailbox, placed) &&
	       (!delivery->origin || insert_applied(txn, delivery->origin, placed->message));
}

bool store_deliver(struct store_txn *txn, const struct store_delivery *delivery, struct store_placed *placed)
{
	uint64_t message = 0;
	*placed = (struct store_placed){};
	must(delivery->keywords.count <= LIMIT_KEYWORDS_PER_MAILBOX);
	if (delivery->origin && find_applied(txn, delivery->origin, &message))
		return replay_body(txn, delivery, message, placed);
	return txn_ok(txn) && deliver_new(txn, delivery, placed);
}

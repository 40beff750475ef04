#include "store_internal.h"

#include <xxhash.h>

/* What a record in the journal means for a store that knows it already. After a power loss the WAL may have
 * survived while the segment's pages did not: the rows are right and the octets are not there. */

enum { CHECK_BLOCK = 262144 };

/* The octets from place on, or of a file, by blocks. */
static bool hash_stored(const struct segment_file *file, const struct body_place *place, uint64_t *check)
{
	CLEANUP(mem_free) char *block = mem_alloc(CHECK_BLOCK);
	XXH3_state_t *hash = XXH3_createState();
	must(hash);
	XXH3_64bits_reset(hash);
	bool ok = true;
	for (uint64_t done = 0; ok && done < place->stored; done += CHECK_BLOCK) {
		size_t length = place->stored - done < CHECK_BLOCK ? (size_t)(place->stored - done) : CHECK_BLOCK;
		ok = segment_file_read(file, place->offset + place->header + done, block, length, NULL);
		XXH3_64bits_update(hash, block, length);
	}
	*check = XXH3_64bits_digest(hash);
	XXH3_freeState(hash);
	return ok;
}

static bool header_is_whole(struct store *store, const struct segment_file *file, const struct body_place *place)
{
	char bytes[SEGMENT_HEADER_MAX];
	struct segment_header header;
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(SEGMENT_HEADER_MAX);
	return place->header <= sizeof bytes && segment_file_read(file, place->offset, bytes, place->header, NULL) &&
	       segment_header_decode(str_from(bytes, place->header), &store->segments.key, &header, &name) ==
	           place->header &&
	       header.check == place->check && header.stored == place->stored;
}

static bool start_is_whole(struct store *store, const struct segment_file *file)
{
	char bytes[SEGMENT_START_SIZE];
	uint64_t number = 0;
	enum segment_codec codec;
	struct segment_key key;
	return segment_file_read(file, 0, bytes, sizeof bytes, NULL) &&
	       segment_start_decode(str_from(bytes, sizeof bytes), &number, &codec, &key) && number == file->number &&
	       memcmp(&key, &store->segments.key, sizeof key) == 0;
}

static bool rewrite_start(struct store_txn *txn, struct segment_file *file)
{
	CLEANUP(buf_release) struct buf start = BUF_WITH_LIMIT(SEGMENT_START_SIZE);
	segment_start_encode(&start, file->number, SEGMENT_RAW, &txn->store->segments.key);
	struct str part = buf_str(&start);
	return segments_write(&txn->store->segments, file, &part, 1, 0, &txn->fail);
}

static bool rewrite(struct store_txn *txn, struct segment_file *file, const struct store_delivery *delivery,
                    struct segment_header *header, const struct body_place *place)
{
	struct store *store = txn->store;
	uint64_t at = place->offset + place->header;
	if (!start_is_whole(store, file) && !rewrite_start(txn, file))
		return false;
	if (delivery->body.file) {
		if (!copy_body(txn, file, at, &delivery->body, &header->check))
			return false;
	} else if (!segments_write(&store->segments, file, &delivery->body.bytes, 1, at, &txn->fail)) {
		return false;
	}
	buf_clear(&store->header);
	segment_header_encode(&store->header, header, &store->segments.key, place->header);
	struct str part = buf_str(&store->header);
	return segments_write(&store->segments, file, &part, 1, place->offset, &txn->fail);
}

static uint32_t find_uid(struct store_txn *txn, uint64_t message, uint64_t mailbox)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT uid FROM placement WHERE message = ? AND mailbox = ?");
	bind_u64(query, 1, message);
	bind_u64(query, 2, mailbox);
	return (uint32_t)txn_number(txn, query);
}

/* The mailbox may be gone since: then the header names none. */
static struct mailbox_state *mailbox_if_there(struct store_txn *txn, uint64_t id)
{
	struct mailbox_state *mailbox = mailbox_state(txn, id);
	if (!mailbox && txn->fail && txn->fail->kind == FAIL_NOT_FOUND)
		fail_free(&txn->fail);
	return mailbox;
}

/* A file that is lost, or holds the mail compressed, is left alone: the mail goes to a new place. */
static bool relocate(struct store_txn *txn, const struct store_delivery *delivery, struct segment_header *header,
                     uint64_t message)
{
	struct body_place place;
	return append_mail(txn, delivery, header, &place) && body_insert(txn, message, &place);
}

static bool restore(struct store_txn *txn, struct segment_file *file, const struct store_delivery *delivery,
                    const struct body_place *place, const struct store_placed *placed)
{
	struct mailbox_state *mailbox = mailbox_if_there(txn, delivery->mailbox);
	struct segment_header header = header_of_delivery(delivery, mailbox, placed);
	header.uid = find_uid(txn, placed->message, delivery->mailbox);
	header.check = place->check;
	header.stored = place->stored;
	if (!file || place->codec != SEGMENT_RAW)
		return relocate(txn, delivery, &header, placed->message);
	return rewrite(txn, file, delivery, &header, place);
}

/* In an abandoned file what the page cache shows may not be what the disk has. */
static bool is_abandoned(struct store_txn *txn, uint64_t segment)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT 1 FROM segment WHERE number = ? AND state = 2");
	bind_u64(query, 1, segment);
	return txn_number(txn, query);
}

bool replay_body(struct store_txn *txn, const struct store_delivery *delivery, uint64_t message,
                 struct store_placed *placed)
{
	struct store *store = txn->store;
	struct body_place place;
	struct fail *why = NULL;
	*placed = (struct store_placed){ .message = message, .replayed = true };
	if (!message || !body_find(&store->writer, message, &place, &why)) {
		/* expunged since, or it never left a mail */
		if (message && why->kind != FAIL_NOT_FOUND)
			txn_set_fail(txn, why->kind, "%s", why->text);
		fail_free(&why);
		return txn_ok(txn);
	}
	placed->id = place.id;
	uint64_t size = delivery->body.file ? delivery->body.size : delivery->body.bytes.length;
	if (size != place.size)
		return txn_set_fail(txn, FAIL_INVALID, "the journal's record has another size than the mail it made");
	struct segment_file *file =
		is_abandoned(txn, place.segment) ? NULL : segments_use(&store->segments, place.segment, NULL);
	uint64_t check = 0;
	bool whole = file && place.codec == SEGMENT_RAW && header_is_whole(store, file, &place) &&
	             start_is_whole(store, file) && hash_stored(file, &place, &check) && check == place.check;
	if (!whole)
		restore(txn, file, delivery, &place, placed);
	segments_unuse(&store->segments, file);
	return txn_ok(txn);
}

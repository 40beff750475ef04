#include "annotation.h"
#include "metadata.h"
#include "salvage.h"
#include "store_internal.h"
#include "text_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROWS_PER_TRANSACTION = 500, GAP_MIN = 16 };

static const struct str recovered_name = { "Recovered", 9 };

/* A mail's record as found. */
struct found {
	struct body_place place;
	uint64_t message;
	int64_t received;
	uint32_t uid, flags;
	uint32_t name; /* index in names */
};

struct gap {
	uint64_t segment, offset, length;
};

struct rebuild {
	struct store *store;
	struct store_txn *txn;
	const struct store_parser *parser;
	const struct store_report *report;
	struct store_rebuilt *result;
	struct metadata metadata;
	ARRAY(struct found) found;
	ARRAY(struct gap) gaps;
	ARRAY(char *) names;
	struct map *name_index; /* name → index + 1 */
	struct segment_numbers segments;
	struct segment_file *file; /* being scanned */
	uint32_t uidvalidity;      /* highest seen */
	uint64_t message_next;
	uint64_t recovered; /* mailbox, 0: not made yet */
	unsigned rows;
	struct buf mail;
};

static void tell(struct rebuild *r, enum fail_kind kind, uint64_t segment, uint64_t offset, const char *what)
{
	r->result->damaged++;
	if (!r->report)
		return;
	char text[160];
	snprintf(text, sizeof text, "segment %llu at %llu: %s", (unsigned long long)segment, (unsigned long long)offset,
	         what);
	r->report->found(r->report->context, kind, text);
}

/* ---- what is in the segments ---- */

static uint32_t name_number(struct rebuild *r, struct str name)
{
	uintptr_t known = (uintptr_t)map_get(r->name_index, name);
	if (known)
		return (uint32_t)(known - 1);
	*array_add(&r->names) = str_copy(name);
	map_set(r->name_index, name, (void *)(uintptr_t)r->names.count);
	return (uint32_t)(r->names.count - 1);
}

static struct body_place place_of(const struct rebuild *r, uint64_t offset, const struct segment_header *header)
{
	struct body_place place = { .segment = r->file->number,
		                        .offset = offset,
		                        .header = header->length,
		                        .stored = header->stored,
		                        .size = header->size,
		                        .check = header->check,
		                        .codec = header->codec };
	memcpy(place.id.bytes, header->id, sizeof place.id.bytes);
	return place;
}

static bool read_mail(struct rebuild *r, const struct segment_file *file, const struct body_place *place)
{
	buf_clear(&r->mail);
	/* what a header claims must not decide how much memory is taken: the file's size bounds it */
	uint64_t size = segment_file_size(file);
	return place->stored <= size && place->offset <= size - place->stored &&
	       (place->codec == SEGMENT_ZSTD || place->size == place->stored) && body_read(file, place, &r->mail, NULL);
}

static void on_record(void *context, uint64_t offset, const struct segment_header *header)
{
	struct rebuild *r = context;
	struct body_place place = place_of(r, offset, header);
	if (header->uidvalidity > r->uidvalidity)
		r->uidvalidity = header->uidvalidity;
	if (header->kind == SEGMENT_MAIL) {
		if (header->message >= r->message_next)
			r->message_next = header->message + 1;
		*array_add(&r->found) = (struct found){ .place = place,
			                                    .message = header->message,
			                                    .received = header->received,
			                                    .uid = header->uid,
			                                    .flags = header->flags,
			                                    .name = name_number(r, header->mailbox) };
	} else if (read_mail(r, r->file, &place)) {
		metadata_add(&r->metadata, buf_str(&r->mail));
	} else {
		tell(r, FAIL_CORRUPT, place.segment, offset, "damaged metadata");
	}
}

static void on_gap(void *context, uint64_t offset, uint64_t length)
{
	struct rebuild *r = context;
	*array_add(&r->gaps) = (struct gap){ r->file->number, offset, length };
}

/* A lost `version` lost the key; each segment has it too. */
static bool scan_all(struct rebuild *r, bool key_is_new, struct fail **fail)
{
	struct store *store = r->store;
	struct segment_key key = store->segments.key;
	struct salvage salvage = { .record = on_record, .gap = on_gap, .context = r };
	bool ok = true;
	for (size_t i = 0; ok && i < r->segments.list.count; i++) {
		r->file = segments_use(&store->segments, r->segments.list.items[i], fail);
		ok = r->file && salvage_scan(r->file, &key, &salvage, fail);
		segments_unuse(&store->segments, r->file);
	}
	metadata_finish(&r->metadata);
	if (ok && key_is_new) {
		store->version.key = store->segments.key = key;
		ok = version_write(&store->version, false, fail);
	}
	return ok;
}

/* ---- the new meta.db ---- */

static bool move_away(struct store *store, struct fail **fail)
{
	static const char *const names[][2] = { { "meta.db", "meta.db.old" }, { "meta.db-wal", "meta.db.old-wal" } };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		unlinkat(store->directory, names[i][1], 0);
		if (renameat(store->directory, names[i][0], store->directory, names[i][1]) < 0 && errno != ENOENT)
			return fail_set_errno(fail, FAIL_IO, "rename of %s", names[i][0]);
	}
	return true;
}

/* Short transactions, so that the WAL stays short. */
static bool renew_txn(struct rebuild *r, struct fail **fail)
{
	r->rows = 0;
	if (!store_commit(&r->txn, fail))
		return false;
	r->txn = store_begin(r->store);
	return true;
}

static uint64_t mailbox_named(struct rebuild *r, struct str name)
{
	sqlite3_stmt *query = txn_query(r->txn, "SELECT id FROM mailbox WHERE name = ?");
	bind_text(query, 1, name);
	uint64_t id = txn_number(r->txn, query);
	if (!id)
		store_mailbox_create(r->txn, name, STORE_USE_NONE, &id);
	return id;
}

static void insert_mailboxes(struct rebuild *r)
{
	for (size_t i = 0; txn_ok(r->txn) && i < r->metadata.mailboxes.count; i++) {
		struct metadata_mailbox *old = &r->metadata.mailboxes.items[i];
		if (!mailbox_name_is_valid(str_of(old->name)))
			continue;
		/* numbers may have changed; names are what people know */
		old->id_now = mailbox_named(r, str_of(old->name));
		mailbox_write_back(r->txn);
		sqlite3_stmt *query = txn_query(r->txn, "UPDATE mailbox SET uidnext = ?, special_use = ? WHERE id = ?");
		bind_u64(query, 1, old->uidnext);
		bind_u64(query, 2, old->use);
		bind_u64(query, 3, old->id_now);
		txn_run(r->txn, query);
		mailbox_forget_all(r->store);
	}
	for (size_t i = 0; txn_ok(r->txn) && i < r->metadata.subscribed.count; i++)
		if (mailbox_name_is_valid(str_of(r->metadata.subscribed.items[i])))
			store_subscribe(r->txn, str_of(r->metadata.subscribed.items[i]), true);
	uint16_t number = 0;
	for (size_t i = 0; txn_ok(r->txn) && i < r->metadata.keywords.count; i++)
		store_keyword(r->txn, str_of(r->metadata.keywords.items[i]), &number);
}

/* Of mailboxes that there still are, and of the account. */
static void insert_annotations(struct rebuild *r)
{
	size_t position = 0;
	struct str key;
	for (void *value; txn_ok(r->txn) && map_next(r->metadata.annotations, &position, &key, &value);) {
		const struct metadata_annotation *a = value;
		const struct metadata_mailbox *mailbox = metadata_mailbox(&r->metadata, a->mailbox);
		if (!a->mailbox || (mailbox && mailbox->id_now))
			store_annotation_set(r->txn, a->mailbox ? mailbox->id_now : 0, str_of(a->entry),
			                     str_from(a->value, a->length));
	}
}

static bool insert_segments(struct rebuild *r)
{
	for (size_t i = 0; txn_ok(r->txn) && i < r->segments.list.count; i++) {
		struct segment_file *file = segments_use(&r->store->segments, r->segments.list.items[i], &r->txn->fail);
		char start[SEGMENT_START_SIZE + SEGMENT_FRAME_SIZE];
		uint64_t size = file ? segment_file_size(file) : 0;
		uint64_t number = 0;
		enum segment_codec codec = SEGMENT_RAW;
		struct segment_key key;
		if (size >= sizeof start && segment_file_read(file, 0, start, sizeof start, NULL))
			segment_start_decode(str_from(start, sizeof start), &number, &codec, &key);
		sqlite3_stmt *query = txn_query(r->txn, "INSERT INTO segment(number, codec, state, size, dead, since)"
		                                        " VALUES(?, ?, 1, ?, 0, ?)");
		bind_u64(query, 1, r->segments.list.items[i]);
		bind_u64(query, 2, codec);
		bind_u64(query, 3, size);
		bind_i64(query, 4, r->txn->now);
		txn_run(r->txn, query);
		segments_unuse(&r->store->segments, file);
	}
	return txn_ok(r->txn);
}

/* ---- placing ---- */

static uint64_t recovered_mailbox(struct rebuild *r)
{
	if (!r->recovered)
		r->recovered = mailbox_named(r, recovered_name);
	r->result->recovered++;
	return r->recovered;
}

static struct str pack_numbers(const char *text, struct buf *memory, size_t known)
{
	struct str rest = str_of(text);
	uint64_t number = 0;
	buf_clear(memory);
	for (struct str word; str_take_until(&rest, ',', &word);)
		if (str_to_u64(word, UINT16_MAX, &number) && number < known) {
			buf_add_char(memory, (char)(number & 255));
			buf_add_char(memory, (char)(number >> 8));
		}
	return memory->length ? buf_str(memory) : str_from(NULL, 0);
}

/* A UID that is taken, or none, becomes the next one. */
static bool insert_at(struct rebuild *r, struct placement *placement)
{
	sqlite3_stmt *query = txn_query(r->txn, "SELECT EXISTS(SELECT 1 FROM placement WHERE mailbox = ?1 AND uid = ?2),"
	                                        " max(uidnext, coalesce((SELECT max(uid) + 1 FROM placement WHERE"
	                                        " mailbox = ?1), 1)) FROM mailbox WHERE id = ?1");
	bind_u64(query, 1, placement->mailbox);
	bind_u64(query, 2, placement->uid);
	if (txn_step(r->txn, query) != DATABASE_ROW)
		return txn_set_fail(r->txn, FAIL_CORRUPT, "a mailbox is missing");
	if (!placement->uid || placement->uid == UINT32_MAX || column_u64(query, 0))
		placement->uid = (uint32_t)column_u64(query, 1);
	database_done(query);
	return placement_insert(r->txn, placement);
}

static void insert_known(struct rebuild *r, uint64_t message, const struct found *found,
                         struct metadata_place *const *places, size_t count)
{
	CLEANUP(buf_release) struct buf keywords = BUF_WITH_LIMIT(2 * LIMIT_KEYWORDS_PER_MAILBOX);
	for (size_t i = 0; txn_ok(r->txn) && i < count; i++) {
		uint64_t mailbox = metadata_mailbox(&r->metadata, places[i]->mailbox)->id_now;
		struct placement placement = { .mailbox = mailbox ? mailbox : recovered_mailbox(r),
			                           .uid = places[i]->uid,
			                           .message = message,
			                           .size = found->place.size,
			                           .received = places[i]->received,
			                           .flags = places[i]->flags,
			                           .keywords =
			                               pack_numbers(places[i]->keywords, &keywords, r->metadata.keywords.count),
			                           .modseq = places[i]->modseq,
			                           .saved = places[i]->saved };
		insert_at(r, &placement);
	}
}

static void insert_as_delivered(struct rebuild *r, uint64_t message, const struct found *found)
{
	struct str name = str_of(r->names.items[found->name]);
	bool clear = found->uid && mailbox_name_is_valid(name) && !r->metadata.doubtful;
	struct placement placement = { .mailbox = clear ? mailbox_named(r, name) : recovered_mailbox(r),
		                           .uid = clear ? found->uid : 0,
		                           .message = message,
		                           .size = found->place.size,
		                           .received = found->received,
		                           .flags = found->flags,
		                           .modseq = txn_modseq(r->txn),
		                           .saved = r->txn->now };
	insert_at(r, &placement);
}

static bool number_is_taken(struct rebuild *r, uint64_t message)
{
	sqlite3_stmt *query = txn_query(r->txn, "SELECT 1 FROM body WHERE message = ?");
	bind_u64(query, 1, message);
	return txn_number(r->txn, query);
}

/* message 0: it is dead, and a replay must not bring it back. */
static void note_rebuilt(struct rebuild *r, const struct store_id *id, uint64_t message)
{
	sqlite3_stmt *query = txn_query(r->txn, "INSERT OR IGNORE INTO rebuilt(stable, message) VALUES(?, ?)");
	bind_bytes(query, 1, str_from((const char *)id->bytes, sizeof id->bytes));
	bind_u64(query, 2, message);
	txn_run(r->txn, query);
}

static void insert_message(struct rebuild *r, const struct found *found)
{
	size_t count = 0;
	struct store_message_columns columns = {};
	struct metadata_place *const *places = metadata_places(&r->metadata, &found->place.id, &count);
	uint64_t message = found->message;
	if (!message || number_is_taken(r, message))
		message = r->message_next++;
	if (r->parser)
		r->parser->parse(r->parser->context, buf_str(&r->mail), &columns);
	body_insert(r->txn, message, &found->place);
	message_insert(r->txn, message, found->place.size, found->received, &columns);
	if (places)
		insert_known(r, message, found, places, count);
	else
		insert_as_delivered(r, message, found);
	note_rebuilt(r, &found->place.id, message);
	r->result->messages++;
	r->rows++;
}

/* Octets that are not as they were delivered become a mail of their own: nothing is lost and nothing pretends. */
static void insert_recovered(struct rebuild *r, struct str bytes, int64_t received)
{
	struct store_message_columns columns = {};
	struct store_placed placed;
	if (r->parser)
		r->parser->parse(r->parser->context, bytes, &columns);
	struct store_delivery delivery = {
		.body.bytes = bytes, .columns = &columns, .received = received, .mailbox = recovered_mailbox(r)
	};
	store_deliver(r->txn, &delivery, &placed);
	r->rows++;
}

static bool is_blank(struct str bytes)
{
	for (size_t i = 0; i < bytes.length; i++)
		if (bytes.data[i])
			return false;
	return true;
}

/* The bytes of a stretch of a segment, as far as there are any. */
static struct str read_stretch(struct rebuild *r, uint64_t segment, uint64_t offset, uint64_t length)
{
	buf_clear(&r->mail);
	struct segment_file *file = segments_use(&r->store->segments, segment, NULL);
	uint64_t size = file ? segment_file_size(file) : 0;
	uint64_t there = offset < size ? size - offset : 0;
	there = there < length ? there : length;
	char *to = there ? buf_reserve(&r->mail, there) : NULL;
	if (to && segment_file_read(file, offset, to, there, NULL))
		buf_claim(&r->mail, there);
	segments_unuse(&r->store->segments, file);
	return buf_str(&r->mail);
}

static void salvage_body(struct rebuild *r, const struct found *found)
{
	const struct body_place *place = &found->place;
	tell(r, FAIL_CORRUPT, place->segment, place->offset, "a damaged mail");
	struct str bytes = read_stretch(r, place->segment, place->offset + place->header, place->stored);
	if (place->codec == SEGMENT_RAW && !is_blank(bytes))
		insert_recovered(r, bytes, found->received);
}

/* A gap often is a record whose header is damaged: what follows the header's last line is the mail. */
static void salvage_gap(struct rebuild *r, const struct gap *gap)
{
	tell(r, FAIL_CORRUPT, gap->segment, gap->offset, "bytes without a whole header");
	struct str bytes = read_stretch(r, gap->segment, gap->offset, gap->length);
	size_t seal = str_find(str_first(bytes, SEGMENT_HEADER_MAX), STR("\nseal "));
	if (seal + 24 <= bytes.length && str_equal(str_first(str_from_index(bytes, seal + 22), 2), STR("\n\n")))
		bytes = str_from_index(bytes, seal + 24);
	if (bytes.length >= GAP_MIN && !is_blank(bytes))
		insert_recovered(r, bytes, r->txn->now);
}

/* ---- choosing ---- */

static int compare_found(const void *a, const void *b)
{
	const struct found *left = a;
	const struct found *right = b;
	int order = memcmp(&left->place.id, &right->place.id, sizeof left->place.id);
	if (order)
		return order;
	/* of copies the latest written comes first */
	if (left->place.segment != right->place.segment)
		return left->place.segment > right->place.segment ? -1 : 1;
	return left->place.offset > right->place.offset ? -1 : 1;
}

static bool is_dead(struct rebuild *r, const struct found *found)
{
	size_t count = 0;
	return r->metadata.there && !r->metadata.doubtful && !metadata_places(&r->metadata, &found->place.id, &count) &&
	       metadata_covers(&r->metadata, found->place.segment, found->place.offset);
}

/* Of all copies of one mail (compaction makes them) the first that can be read; the others are dead bytes. */
static bool insert_one_of(struct rebuild *r, struct found *copies, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (is_dead(r, &copies[i])) {
			note_rebuilt(r, &copies[i].place.id, 0);
			return txn_ok(r->txn);
		}
		struct segment_file *file = segments_use(&r->store->segments, copies[i].place.segment, NULL);
		bool whole = file && read_mail(r, file, &copies[i].place);
		segments_unuse(&r->store->segments, file);
		if (whole) {
			insert_message(r, &copies[i]);
			return txn_ok(r->txn);
		}
	}
	salvage_body(r, &copies[0]);
	return txn_ok(r->txn);
}

static bool insert_all(struct rebuild *r, struct fail **fail)
{
	size_t count = r->found.count;
	if (count)
		qsort(r->found.items, count, sizeof r->found.items[0], compare_found);
	for (size_t i = 0, same; i < count; i += same) {
		struct found *first = &r->found.items[i];
		for (same = 1;
		     i + same < count && memcmp(&first->place.id, &first[same].place.id, sizeof first->place.id) == 0;)
			same++;
		insert_one_of(r, first, same);
		if (!txn_ok(r->txn) || (r->rows >= ROWS_PER_TRANSACTION && !renew_txn(r, fail)))
			return false;
	}
	for (size_t i = 0; i < r->gaps.count; i++) {
		salvage_gap(r, &r->gaps.items[i]);
		if (!txn_ok(r->txn) || (r->rows >= ROWS_PER_TRANSACTION && !renew_txn(r, fail)))
			return false;
	}
	return true;
}

/* ---- the end ---- */

static void count_all(struct rebuild *r)
{
	mailbox_write_back(r->txn);
	mailbox_forget_all(r->store);
	sqlite3_stmt *mailboxes = txn_query(
		r->txn,
		"UPDATE mailbox SET messages = t.messages, unseen = t.unseen, deleted = t.deleted, bytes = t.bytes,"
		" uidnext = max(uidnext, t.uid + 1), highestmodseq = max(highestmodseq, t.modseq, ?) FROM (SELECT mailbox,"
		" count(*) AS messages, sum(flags & 1 = 0) AS unseen, sum(flags & 16 != 0) AS deleted, sum(size) AS bytes,"
		" max(uid) AS uid, max(modseq) AS modseq FROM placement GROUP BY mailbox) t WHERE t.mailbox = id");
	bind_u64(mailboxes, 1, r->metadata.modseq);
	txn_run(r->txn, mailboxes);
	/* what was made on the way does not know what was placed between */
	txn_run(r->txn, txn_query(r->txn, "DELETE FROM page"));
	txn_run(r->txn, txn_query(r->txn, "UPDATE mailbox SET paged = 1"));
	sqlite3_stmt *account =
		txn_query(r->txn, "UPDATE account SET modseq = max(modseq, ?), message_next = max(message_next,"
	                      " ?, (SELECT coalesce(max(message), 0) + 1 FROM body))");
	bind_u64(account, 1, r->metadata.modseq);
	bind_u64(account, 2, r->message_next);
	txn_run(r->txn, account);
	txn_run(r->txn,
	        txn_query(r->txn, "UPDATE segment SET dead = size - (SELECT coalesce(sum(header + stored), 0) FROM body"
	                          " WHERE segment = number), large = (SELECT coalesce(max(size), 0) > 1048576 FROM body"
	                          " WHERE segment = number) WHERE state = 1"));
}

static bool fill_database(struct rebuild *r, struct fail **fail)
{
	struct store *store = r->store;
	store->recovering = true;
	if (r->message_next < r->metadata.message_next)
		r->message_next = r->metadata.message_next;
	r->txn = store_begin(store);
	/* numbers that are in the segments must not be given to what is delivered now */
	store->message_next = store->message_reserved = r->message_next;
	store->modseq = r->metadata.modseq + 1;
	if (insert_segments(r)) {
		insert_mailboxes(r);
		insert_annotations(r);
	}
	bool ok = txn_ok(r->txn) && insert_all(r, fail);
	if (ok)
		count_all(r);
	if (r->txn)
		ok = store_commit(&r->txn, fail) && ok;
	return ok;
}

static void release(struct rebuild *r)
{
	metadata_release(&r->metadata);
	array_release(&r->found);
	array_release(&r->gaps);
	for (size_t i = 0; i < r->names.count; i++)
		free(r->names.items[i]);
	array_release(&r->names);
	segment_numbers_release(&r->segments);
	map_free(r->name_index);
	buf_release(&r->mail);
	store_free(r->store);
}

static bool run(struct rebuild *r, const struct store_options *options, struct fail **fail)
{
	bool key_is_new = faccessat(r->store->directory, "version", F_OK, 0) < 0;
	if (!store_open_files(r->store, true, fail) || !version_write(&r->store->version, false, fail) ||
	    !segments_list(&r->store->segments, &r->segments, fail) || !scan_all(r, key_is_new, fail) ||
	    !move_away(r->store, fail))
		return false;
	struct store_options fresh = *options;
	if (r->uidvalidity < r->metadata.uidvalidity)
		r->uidvalidity = r->metadata.uidvalidity;
	fresh.first_count = 0; /* mailboxes are what the segments say */
	fresh.uidvalidity = r->uidvalidity + 1 > options->uidvalidity ? r->uidvalidity + 1 : options->uidvalidity;
	return store_open_database(r->store, &fresh, true, fail) && store_load_counters(r->store, fail) &&
	       fill_database(r, fail);
}

bool store_rebuild(int account_directory, const struct store_options *options, const struct store_parser *parser,
                   const struct store_report *report, struct store_rebuilt *rebuilt, struct fail **fail)
{
	*rebuilt = (struct store_rebuilt){};
	struct rebuild r = { .store = store_new(account_directory, options),
		                 .parser = parser,
		                 .report = report,
		                 .result = rebuilt,
		                 .name_index = map_new(),
		                 .message_next = 1,
		                 .mail.limit = INT64_MAX };
	metadata_init(&r.metadata);
	/* messages get other numbers */
	bool ok = text_store_remove(account_directory, fail) && run(&r, options, fail);
	release(&r);
	return ok;
}

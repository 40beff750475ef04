#include "store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

enum { READERS_IDLE_MAX = 4, LOOKUPS_MAX = 3 };

/* ---- pool ---- */

void reader_free(struct store_reader *reader)
{
	database_close(&reader->database);
	free(reader);
}

static struct store_reader *reader_new(struct store *store, struct fail **fail)
{
	struct store_reader *reader = mem_alloc(sizeof *reader);
	reader->store = store;
	if (!database_open(&reader->database, store->path, SQLITE_OPEN_READWRITE, fail)) {
		free(reader);
		return NULL;
	}
	if (schema_configure(&reader->database, false, fail) && bulk_prepare(reader, fail))
		return reader;
	reader_free(reader);
	return NULL;
}

struct store_reader *store_reader_acquire(struct store *store, struct fail **fail)
{
	struct store_reader *reader = NULL;
	pthread_mutex_lock(&store->readers_lock);
	store->readers++;
	if (store->idle.count)
		reader = store->idle.items[--store->idle.count];
	pthread_mutex_unlock(&store->readers_lock);
	if (!reader && !(reader = reader_new(store, fail))) {
		pthread_mutex_lock(&store->readers_lock);
		store->readers--;
		pthread_mutex_unlock(&store->readers_lock);
	}
	return reader;
}

void store_reader_release(struct store_reader **reader)
{
	struct store_reader *r = *reader;
	*reader = NULL;
	if (!r)
		return;
	struct store *store = r->store;
	store_snapshot_end(r);
	pthread_mutex_lock(&store->readers_lock);
	store->readers--;
	bool keep = store->idle.count < READERS_IDLE_MAX;
	if (keep)
		*array_add(&store->idle) = r;
	pthread_mutex_unlock(&store->readers_lock);
	if (!keep)
		reader_free(r);
}

bool store_snapshot_begin(struct store_reader *reader, struct fail **fail)
{
	must(sqlite3_get_autocommit(reader->database.handle));
	return database_run(&reader->database, database_query(&reader->database, "BEGIN"), fail);
}

void store_snapshot_end(struct store_reader *reader)
{
	if (!sqlite3_get_autocommit(reader->database.handle))
		database_run(&reader->database, database_query(&reader->database, "COMMIT"), NULL);
}

/* ---- mailboxes ---- */

static void read_mailbox_row(struct store *store, sqlite3_stmt *query, struct store_mailbox *mailbox)
{
	*mailbox = (struct store_mailbox){ .id = column_u64(query, 0),
		                               .highestmodseq = column_u64(query, 1),
		                               .messages = column_u64(query, 2),
		                               .unseen = column_u64(query, 3),
		                               .deleted = column_u64(query, 4),
		                               .bytes = column_u64(query, 5),
		                               .uidvalidity = (uint32_t)column_u64(query, 6),
		                               .uidnext = (uint32_t)column_u64(query, 7),
		                               .use = (enum store_special_use)column_u64(query, 8),
		                               .subscribed = column_u64(query, 10) };
	mailbox->recent_uid = index_recent(store, mailbox->id, (uint32_t)column_u64(query, 9));
}

static struct str add_name(struct store_mailboxes *mailboxes, struct str name)
{
	char *copy = str_copy(name);
	*array_add(&mailboxes->names) = copy;
	return str_from(copy, name.length);
}

bool store_read_mailboxes(struct store_reader *reader, struct store_mailboxes *mailboxes, struct fail **fail)
{
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT id, highestmodseq, messages, unseen, deleted, bytes, uidvalidity,"
	                                      " uidnext, special_use, recent, EXISTS(SELECT 1 FROM subscription s WHERE s.name ="
	                                      " mailbox.name), name FROM mailbox WHERE name NOT NULL ORDER BY name");
	enum database_step step;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW) {
		struct store_mailbox *mailbox = array_add(&mailboxes->list);
		read_mailbox_row(reader->store, query, mailbox);
		mailbox->name = add_name(mailboxes, column_bytes(query, 11));
	}
	return step == DATABASE_DONE;
}

void store_mailboxes_release(struct store_mailboxes *mailboxes)
{
	for (size_t i = 0; i < mailboxes->names.count; i++)
		free(mailboxes->names.items[i]);
	array_release(&mailboxes->names);
	array_release(&mailboxes->list);
}

bool store_read_mailbox(struct store_reader *reader, struct str name, struct store_mailbox *mailbox, struct fail **fail)
{
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX);
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT id, highestmodseq, messages, unseen, deleted, bytes, uidvalidity,"
	                                      " uidnext, special_use, recent, EXISTS(SELECT 1 FROM subscription s WHERE s.name ="
	                                      " mailbox.name) FROM mailbox WHERE name = ?");
	bind_text(query, 1, mailbox_path(str_first(name, LIMIT_MAILBOX_NAME_MAX + 1), &memory));
	enum database_step step = database_step(&reader->database, query, fail);
	if (step == DATABASE_DONE)
		fail_set(fail, FAIL_NOT_FOUND, "there is no mailbox %.*s", STR_ARG(name));
	if (step != DATABASE_ROW)
		return false;
	read_mailbox_row(reader->store, query, mailbox);
	mailbox->name = name;
	database_done(query);
	return true;
}

static bool read_names(struct store_reader *reader, sqlite3_stmt *query, struct store_mailboxes *names,
                       struct fail **fail)
{
	enum database_step step;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW)
		add_name(names, column_bytes(query, 0));
	return step == DATABASE_DONE;
}

/* The one number that a query about a mailbox gives. */
static bool read_number(struct store_reader *reader, sqlite3_stmt *query, uint64_t mailbox, uint64_t argument,
                        uint64_t *number, struct fail **fail)
{
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, argument);
	if (database_step(&reader->database, query, fail) != DATABASE_ROW)
		return false;
	*number = column_u64(query, 0);
	database_done(query);
	return true;
}

bool store_read_count(struct store_reader *reader, uint64_t mailbox, uint32_t uid, uint64_t *count, struct fail **fail)
{
	return read_number(reader, database_query(&reader->database, "SELECT count(*) FROM placement WHERE mailbox = ? AND uid >= ?"),
	                   mailbox, uid, count, fail);
}

bool store_read_deleted_bytes(struct store_reader *reader, uint64_t mailbox, uint64_t *bytes, struct fail **fail)
{
	return read_number(reader, database_query(&reader->database, "SELECT coalesce(sum(size), 0) FROM placement"
	                                                             " WHERE mailbox = ? AND flags & ? != 0"),
	                   mailbox, STORE_DELETED, bytes, fail);
}

bool store_read_subscriptions(struct store_reader *reader, struct store_mailboxes *names, struct fail **fail)
{
	return read_names(reader, database_query(&reader->database, "SELECT name FROM subscription ORDER BY name"), names,
	                  fail);
}

bool store_read_keywords(struct store_reader *reader, struct store_mailboxes *names, struct fail **fail)
{
	/* numbers are given without gaps and never taken back */
	return read_names(reader, database_query(&reader->database, "SELECT name FROM keyword ORDER BY number"), names,
	                  fail);
}

/* ---- entries ---- */

void store_entries_release(struct store_entries *entries)
{
	array_release(&entries->list);
	array_release(&entries->keywords);
}

void store_uids_release(struct store_uids *uids)
{
	array_release(&uids->uids);
	array_release(&uids->to);
}

static void add_keywords(struct store_entries *entries, struct store_entry *entry, struct str packed)
{
	const unsigned char *bytes = (const unsigned char *)packed.data;
	entry->keywords = (uint32_t)entries->keywords.count;
	entry->keyword_count = (uint32_t)(packed.length / 2);
	for (size_t i = 0; i + 1 < packed.length; i += 2)
		*array_add(&entries->keywords) = (uint16_t)(bytes[i] | bytes[i + 1] << 8);
}

static bool read_range(struct store_reader *reader, sqlite3_stmt *query, struct store_entries *entries,
                       struct fail **fail)
{
	enum database_step step;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW) {
		struct store_entry *entry = array_add(&entries->list);
		*entry = (struct store_entry){ .uid = (uint32_t)column_u64(query, 0),
			                           .message = column_u64(query, 1),
			                           .flags = (uint32_t)column_u64(query, 2),
			                           .modseq = column_u64(query, 3),
			                           .size = column_u64(query, 4),
			                           .received = sqlite3_column_int64(query, 5),
			                           .saved = sqlite3_column_int64(query, 6) };
		add_keywords(entries, entry, column_bytes(query, 7));
	}
	return step == DATABASE_DONE;
}

/* The few that changed are found by their pages. */
static bool read_changed(struct store_reader *reader, uint64_t mailbox, const struct store_range *range, uint64_t since,
                         struct store_entries *entries, struct fail **fail)
{
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT uid, message, flags, modseq, size, received, saved, keywords"
	                                      " FROM " CHANGED_PLACEMENTS "AND uid >= ?3 AND uid <= ?4");
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, since);
	bind_u64(query, 3, range->first);
	bind_u64(query, 4, range->last);
	return read_range(reader, query, entries, fail);
}

static bool read_all(struct store_reader *reader, uint64_t mailbox, const struct store_range *range,
                     struct store_entries *entries, struct fail **fail)
{
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT uid, message, flags, modseq, size, received, saved, keywords"
	                                      " FROM placement WHERE mailbox = ? AND uid >= ? AND uid <= ? ORDER BY uid");
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, range->first);
	bind_u64(query, 3, range->last);
	return read_range(reader, query, entries, fail);
}

bool store_read_entries(struct store_reader *reader, const struct store_selection *selection, uint64_t changed_since,
                        struct store_entries *entries, struct fail **fail)
{
	/* A selection of very many ranges would walk the changes once for each. */
	bool by_modseq = changed_since && selection->count == 1;
	size_t first = entries->list.count;
	for (size_t i = 0; i < selection->count; i++) {
		const struct store_range *range = &selection->ranges[i];
		if (by_modseq ? !read_changed(reader, selection->mailbox, range, changed_since, entries, fail)
		              : !read_all(reader, selection->mailbox, range, entries, fail))
			return false;
	}
	if (changed_since && !by_modseq) {
		size_t kept = first;
		for (size_t i = first; i < entries->list.count; i++)
			if (entries->list.items[i].modseq > changed_since)
				entries->list.items[kept++] = entries->list.items[i];
		entries->list.count = kept;
	}
	return true;
}

static bool read_floor(struct store_reader *reader, uint64_t mailbox, uint64_t *floor, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&reader->database, "SELECT vanished_floor FROM mailbox WHERE id = ?");
	bind_u64(query, 1, mailbox);
	enum database_step step = database_step(&reader->database, query, fail);
	if (step == DATABASE_DONE)
		fail_set(fail, FAIL_NOT_FOUND, "there is no mailbox %llu", (unsigned long long)mailbox);
	if (step != DATABASE_ROW)
		return false;
	*floor = column_u64(query, 0);
	database_done(query);
	return true;
}

static void add_run(struct store_uids *uids, uint64_t first, uint64_t count)
{
	for (uint64_t uid = first; uid < first + count && uid <= UINT32_MAX; uid++)
		*array_add(&uids->uids) = (uint32_t)uid;
}

bool store_read_vanished(struct store_reader *reader, uint64_t mailbox, uint64_t since, struct store_uids *vanished,
                         bool *complete, struct fail **fail)
{
	uint64_t floor = 0;
	if (!read_floor(reader, mailbox, &floor, fail))
		return false;
	*complete = since >= floor;
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT uid, count FROM tombstone WHERE mailbox = ? AND modseq > ?"
	                                      " ORDER BY uid");
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, since);
	enum database_step step;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW)
		add_run(vanished, column_u64(query, 0), column_u64(query, 1));
	return step == DATABASE_DONE;
}

/* ---- columns ---- */

bool store_read_columns(struct store_reader *reader, uint64_t message, struct store_message_columns *columns,
                        struct buf *memory, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&reader->database, "SELECT lines, sent, subject, preview, headers, structure"
	                                                        " FROM message WHERE message = ?");
	bind_u64(query, 1, message);
	enum database_step step = database_step(&reader->database, query, fail);
	if (step == DATABASE_DONE)
		fail_set(fail, FAIL_NOT_FOUND, "there is no message %llu", (unsigned long long)message);
	if (step != DATABASE_ROW)
		return false;
	*columns = (struct store_message_columns){ .lines = (uint32_t)column_u64(query, 0),
		                                       .sent = sqlite3_column_int64(query, 1) };
	struct str *parts[] = { &columns->subject, &columns->preview, &columns->headers, &columns->structure };
	buf_clear(memory);
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		*parts[i] = column_bytes(query, (int)i + 2);
		buf_add_str(memory, *parts[i]);
	}
	database_done(query);
	const char *at = memory->data;
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		parts[i]->data = at;
		at += parts[i]->length;
	}
	return !memory->overflowed || fail_set(fail, FAIL_TOO_BIG, "the columns are larger than the room for them");
}

/* ---- bodies ---- */

struct body_place body_place_of(sqlite3_stmt *query)
{
	struct body_place place = { .segment = column_u64(query, 0),
		                        .offset = column_u64(query, 1),
		                        .header = (uint32_t)column_u64(query, 2),
		                        .stored = column_u64(query, 3),
		                        .size = column_u64(query, 4),
		                        .check = column_u64(query, 5),
		                        .codec = (enum segment_codec)column_u64(query, 6) };
	struct str id = column_bytes(query, 7);
	if (id.length == sizeof place.id.bytes)
		memcpy(place.id.bytes, id.data, id.length);
	return place;
}

bool body_find(struct database *db, uint64_t message, struct body_place *place, struct fail **fail)
{
	sqlite3_stmt *query = database_query(db, "SELECT " BODY_PLACE " FROM body WHERE message = ?");
	bind_u64(query, 1, message);
	enum database_step step = database_step(db, query, fail);
	if (step == DATABASE_DONE)
		fail_set(fail, FAIL_NOT_FOUND, "message %llu is gone", (unsigned long long)message);
	if (step != DATABASE_ROW)
		return false;
	*place = body_place_of(query);
	database_done(query);
	return true;
}

static bool decompress(struct str stored, char *to, uint64_t size)
{
	size_t got = ZSTD_decompress(to, size, stored.data, stored.length);
	return !ZSTD_isError(got) && got == size;
}

/* A damaged row must not decide how much memory is taken. Only small bodies are ever compressed. */
static bool is_plausible(const struct segment_file *file, const struct body_place *place)
{
	if (place->size <= LIMIT_INLINE_BODY_MAX && place->stored <= 2 * LIMIT_INLINE_BODY_MAX)
		return true;
	return place->codec == SEGMENT_RAW && place->size <= segment_file_size(file);
}

bool body_read(const struct segment_file *file, const struct body_place *place, struct buf *out, struct fail **fail)
{
	uint64_t at = place->offset + place->header;
	if (!is_plausible(file, place))
		return fail_set(fail, FAIL_CORRUPT, "segment %llu at %llu is too short for its size",
		                (unsigned long long)place->segment, (unsigned long long)place->offset);
	char *to = buf_reserve(out, place->size);
	if (!to)
		return fail_set(fail, FAIL_TOO_BIG, "the mail is larger than the room for it");
	if (place->codec == SEGMENT_RAW) {
		if (!segment_file_read(file, at, to, place->size, fail))
			return false;
	} else {
		CLEANUP(mem_free) char *stored = mem_alloc(place->stored);
		if (!segment_file_read(file, at, stored, place->stored, fail))
			return false;
		if (!decompress(str_from(stored, place->stored), to, place->size))
			return fail_set(fail, FAIL_CORRUPT, "segment %llu at %llu does not decompress",
			                (unsigned long long)place->segment, (unsigned long long)place->offset);
	}
	buf_claim(out, place->size);
	return XXH3_64bits(to, place->size) == place->check ||
	       fail_set(fail, FAIL_CORRUPT, "segment %llu at %llu is damaged", (unsigned long long)place->segment,
	                (unsigned long long)place->offset);
}

/* The place of a body and its file. Between the two looks compaction may have moved it: then look again. */
struct segment_file *body_open(struct store_reader *reader, uint64_t message, struct body_place *place,
                               struct fail **fail)
{
	for (size_t i = 0; i < LOOKUPS_MAX; i++) {
		if (!body_find(&reader->database, message, place, fail))
			return NULL;
		struct fail *why = NULL;
		struct segment_file *file = segments_use(&reader->store->segments, place->segment, &why);
		bool lost = !file && why->kind == FAIL_NOT_FOUND;
		if (!file)
			fail_set(fail, lost ? FAIL_CORRUPT : why->kind, "%s", why->text);
		fail_free(&why);
		if (!lost)
			return file;
	}
	return NULL;
}

bool store_read_body(struct store_reader *reader, uint64_t message, struct buf *out, struct fail **fail)
{
	struct body_place place;
	struct segment_file *file = body_open(reader, message, &place, fail);
	bool ok = file && body_read(file, &place, out, fail);
	segments_unuse(&reader->store->segments, file);
	return ok;
}

#include "text_store.h"

#include "store_internal.h"
#include "text_files.h"

/* Taking up mail, and keeping the files small. Scans are in text_scan.c, the files in text_files.c. */

enum {
	LIST_MAX = 256,              /* messages that one look into the database lists */
	COMPACT_GROUPS = 16,         /* groups that one step of care writes again */
	COMPACT_MIN = 1 << 18,       /* octets of a file below which it is left alone */
	COLUMNS_MAX = 64 << 20,      /* octets of what is kept beside a mail */
};

struct text_store *text_store_new(struct store *store, enum text_kind kind)
{
	struct text_store *t = mem_alloc(sizeof *t);
	t->store = store;
	t->kind = kind;
	t->directory = -1;
	t->file = -1;
	t->looked_when = UINT64_MAX;
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->places_lock, NULL);
	buf_init(&t->packed, TEXT_GROUP_MAX);
	return t;
}

static void release_memory(struct text_store *t)
{
	text_group_release(&t->group);
	text_make_free(&t->make);
	buf_release(&t->packed);
}

void text_store_free(struct text_store **text)
{
	struct text_store *t = TAKE(*text);
	if (!t)
		return;
	text_files_close(t);
	release_memory(t);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->places_lock);
	free(t);
}

/* ---- messages ---- */

struct numbers {
	ARRAY(uint64_t) list;
};

/* Messages that are there, from first to last, at most so many. */
static bool list_messages(struct store_reader *reader, uint64_t first, uint64_t last, size_t most,
                          struct numbers *numbers, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&reader->database,
	                                     "SELECT message FROM body WHERE message >= ? AND message <= ?"
	                                                        " ORDER BY message LIMIT ?");
	enum database_step step;
	numbers->list.count = 0;
	bind_u64(query, 1, first);
	bind_u64(query, 2, last < INT64_MAX ? last : INT64_MAX);
	bind_u64(query, 3, most);
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW)
		*array_add(&numbers->list) = column_u64(query, 0);
	return step == DATABASE_DONE;
}

bool text_read_mail(struct store_reader *reader, uint64_t message, struct buf *mail, struct fail **fail)
{
	uint64_t size;
	int64_t got = 1;
	CLEANUP(store_stream_close) struct store_stream *stream = store_stream_open(reader, message, &size, fail);
	if (!stream)
		return false;
	buf_clear(mail);
	size_t length = size < LIMIT_SEARCH_MAIL_MAX ? (size_t)size : LIMIT_SEARCH_MAIL_MAX;
	char *room = buf_reserve(mail, length);
	must(room);
	for (size_t have = 0; have < length && got > 0; have += (size_t)got) {
		got = store_stream_read(stream, room + have, length - have, fail);
		if (got > 0)
			buf_claim(mail, (size_t)got);
	}
	return got >= 0;
}

static bool write_group(struct text_store *t, struct fail **fail)
{
	if (!t->group.count)
		return true;
	struct text_head head;
	buf_clear(&t->packed);
	text_group_pack(&t->group, &t->packed);
	bool ok = text_head_read(&head, str_first(buf_str(&t->packed), TEXT_HEAD_SIZE), fail) &&
	          text_files_append(t, &head, buf_str(&t->packed), fail);
	text_group_begin(&t->group);
	return ok;
}

static bool add_entry(struct text_store *t, const struct text_entry *entry, struct fail **fail)
{
	if (text_group_is_full(&t->group) && !write_group(t, fail))
		return false;
	text_group_add(&t->group, entry);
	return true;
}

static bool make_of_columns(struct text_store *t, struct store_reader *reader, uint64_t message,
                            struct text_entry *entry)
{
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(COLUMNS_MAX);
	struct store_message_columns columns;
	return store_read_columns(reader, message, &columns, &memory, NULL) &&
	       text_make_listed(t->make, &columns, entry);
}

/* What the other store of the account has is not kept twice. */
static void leave_out(enum text_kind kind, struct text_entry *entry)
{
	if (kind == TEXT_LISTED)
		entry->sections[TEXT_HEADERS] = entry->sections[TEXT_BODIES] = STR("");
	else
		entry->sections[TEXT_ORDER] = STR("");
}

/* A mail that can't be read has an entry all the same, so that it is not tried at each search. */
static bool take_up(struct text_store *t, struct store_reader *reader, uint64_t message, struct buf *mail,
                    struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	struct text_entry entry = { .message = message, .cut = true };
	if (!t->make)
		t->make = text_make_new();
	if (t->kind != TEXT_LISTED || !make_of_columns(t, reader, message, &entry)) {
		if (text_read_mail(reader, message, mail, &why))
			text_make(t->make, buf_str(mail), &entry);
		else if (why->kind == FAIL_NOT_FOUND)
			return true;
		else if (why->kind != FAIL_CORRUPT)
			return fail_set(fail, why->kind, "%s", why->text);
	}
	leave_out(t->kind, &entry);
	entry.message = message;
	return add_entry(t, &entry, fail);
}

/* ---- joining ---- */

/* The entries of groups in force are added to the group at hand; only those that are listed, when there is a list. */
static bool add_place(struct text_store *t, const struct text_place *place, const struct numbers *listed,
                      struct fail **fail)
{
	const struct text_wanted all = { .sections = (1u << TEXT_SECTIONS) - 1 };
	struct text_scan *scan = text_scan_place(t, place, &all, fail);
	struct text_entry entry;
	bool ok = scan;
	size_t at = 0;
	for (size_t i = 0; ok && text_scan_entry(scan, i, &entry); i++) {
		while (listed && at < listed->list.count && listed->list.items[at] < entry.message)
			at++;
		if (!listed || (at < listed->list.count && listed->list.items[at] == entry.message))
			ok = add_entry(t, &entry, fail);
	}
	text_scan_end(&scan);
	return ok;
}

/* Small groups at the end are joined with what comes: each message is written again at most about log2 of a group's
 * messages times. */
static bool join_small(struct text_store *t, size_t coming, struct fail **fail)
{
	size_t places = t->places.count, first = places;
	size_t octets = 0;
	while (first > 0 && t->places.items[first - 1].count <= coming &&
	       t->places.items[first - 1].count + coming <= TEXT_GROUP_MESSAGES &&
	       (octets += t->places.items[first - 1].raw) < TEXT_GROUP_OCTETS)
		coming += t->places.items[--first].count;
	bool ok = true;
	for (size_t i = first; ok && i < places; i++) {
		const struct text_place place = t->places.items[i];
		ok = add_place(t, &place, NULL, fail);
	}
	return ok;
}

static bool update(struct text_store *t, struct store_reader *reader, uint64_t octets_max, bool *more,
                   struct fail **fail)
{
	struct numbers numbers = {};
	CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(LIMIT_SEARCH_MAIL_MAX);
	uint64_t octets = 0;
	*more = true;
	text_group_begin(&t->group);
	bool ok = true;
	for (bool first = true; ok && *more && octets < octets_max; first = false) {
		ok = list_messages(reader, t->taken_up + 1, UINT64_MAX, LIST_MAX, &numbers, fail);
		/* durable is what the list has, so that no power loss gives its numbers to other mails */
		ok = ok && store_barrier(t->store, fail);
		*more = numbers.list.count == LIST_MAX;
		if (ok && first && numbers.list.count)
			ok = join_small(t, numbers.list.count, fail);
		for (size_t i = 0; ok && i < numbers.list.count; i++) {
			if (octets >= octets_max) {
				*more = true;
				break;
			}
			mail.length = 0;
			ok = take_up(t, reader, numbers.list.items[i], &mail, fail);
			octets += mail.length + 1000;
			t->taken_up = ok ? numbers.list.items[i] : t->taken_up;
		}
	}
	ok = ok && write_group(t, fail);
	array_release(&numbers.list);
	return ok;
}

static bool locked_update(struct text_store *t, uint64_t octets_max, bool *more, struct fail **fail)
{
	*more = false;
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(t->store, fail);
	if (!reader || !text_files_open(t, fail))
		return false;
	if (update(t, reader, octets_max, more, fail))
		return true;
	/* what was counted as taken up may not be there; and the folder may have gone under our hands */
	text_files_forget(t);
	return false;
}

bool text_store_update(struct text_store *t, uint64_t octets_max, bool *more, struct fail **fail)
{
	pthread_mutex_lock(&t->lock);
	bool ok = locked_update(t, octets_max, more, fail);
	pthread_mutex_unlock(&t->lock);
	return ok;
}

/* ---- writing again ---- */

static size_t first_place_in(const struct text_store *t, uint32_t file, size_t from)
{
	while (from < t->places.count && t->places.items[from].file != file)
		from++;
	return from;
}

/* Writes the first groups of the file again, joined as far as they fit, and without what is gone. */
static bool compact_group(struct text_store *t, struct store_reader *reader, struct fail **fail)
{
	struct numbers numbers = {};
	size_t first = first_place_in(t, t->compacting, 0), i = first, messages = 0, octets = 0;
	text_group_begin(&t->group);
	bool ok = true;
	/* no group is divided: a crash must not leave half of one */
	while (ok && i < t->places.count && t->places.items[i].file == t->compacting) {
		const struct text_place place = t->places.items[i];
		messages += place.count;
		octets += place.raw;
		if (i > first && (messages > TEXT_GROUP_MESSAGES || octets >= TEXT_GROUP_OCTETS))
			break;
		i++;
		ok = list_messages(reader, place.first, place.last, TEXT_GROUP_MESSAGES + 1, &numbers, fail) &&
		     add_place(t, &place, &numbers, fail);
	}
	array_release(&numbers.list);
	if (ok && !t->group.count)
		text_files_drop_places(t, first, i - first);
	return ok && write_group(t, fail);
}

/* Alive is less than half of what is in the file. */
static bool is_sparse(struct text_store *t, struct store_reader *reader, uint32_t file, bool *sparse,
                      struct fail **fail)
{
	uint64_t octets = 0, useful = 0;
	struct numbers numbers = {};
	bool ok = text_files_size(t, file, &octets, fail);
	for (size_t i = first_place_in(t, file, 0); ok && i < t->places.count; i = first_place_in(t, file, i + 1)) {
		const struct text_place *place = &t->places.items[i];
		ok = list_messages(reader, place->first, place->last, TEXT_GROUP_MESSAGES, &numbers, fail);
		size_t alive = numbers.list.count < place->count ? numbers.list.count : place->count;
		useful += (uint64_t)place->size * alive / place->count;
	}
	array_release(&numbers.list);
	*sparse = ok && octets >= COMPACT_MIN && useful * 2 < octets;
	return ok;
}

/* One file is looked at, by turns, when something has changed: a round of care has many steps, a file many messages. */
static bool choose_file(struct text_store *t, struct store_reader *reader, struct fail **fail)
{
	bool sparse = false;
	uint64_t now = store_changes(t->store);
	if (t->looked_when == now)
		return true;
	uint32_t file = text_files_after(t, t->looked_at);
	t->looked_at = file;
	t->looked_when = now;
	if (!file)
		return true;
	if (!is_sparse(t, reader, file, &sparse, fail))
		return false;
	if (sparse)
		t->compacting = file;
	if (sparse && file == t->file_number)
		text_files_end_tail(t);
	return true;
}

static bool compact(struct text_store *t, bool *more, struct fail **fail)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(t->store, fail);
	bool ok = reader;
	if (ok && !t->compacting)
		ok = choose_file(t, reader, fail);
	if (!ok || !t->compacting)
		return ok;
	for (size_t i = 0; ok && i < COMPACT_GROUPS; i++)
		if (first_place_in(t, t->compacting, 0) < t->places.count)
			ok = compact_group(t, reader, fail);
	*more = true;
	if (ok && first_place_in(t, t->compacting, 0) == t->places.count) {
		ok = text_files_unlink(t, t->compacting, fail);
		t->compacting = 0;
		*more = false;
	}
	return ok;
}

bool text_store_care(struct text_store *t, uint64_t octets_max, bool *more, struct fail **fail)
{
	*more = false;
	if (pthread_mutex_trylock(&t->lock) != 0)
		return true; /* a search takes mail up just now, and nobody is to wait for that here */
	bool ok = locked_update(t, octets_max, more, fail);
	if (ok && !*more)
		ok = compact(t, more, fail);
	if (!*more)
		release_memory(t);
	pthread_mutex_unlock(&t->lock);
	return ok;
}

#include "index_image.h"

#include "hash.h"

enum {
	CHANGES_MAX = 16384,    /* remembered by modseq */
	FEW_ROWS = 4,           /* are taken out one by one */
	SETS_MAX = 1 << 24,     /* what a row has room for */
	SETS_SPARE = 1024,      /* that may be unused before they are collected */
	FLAGS_MASK = (1 << 8) - 1,
};

/* ---- keyword sets ---- */

static void sets_release(struct keyword_sets *sets)
{
	map_free(sets->index);
	array_release(&sets->list);
	array_release(&sets->numbers);
	*sets = (struct keyword_sets){};
}

static void sets_add(struct keyword_sets *sets, struct store_keywords keywords)
{
	struct keyword_set *set = array_add(&sets->list);
	*set = (struct keyword_set){ (uint32_t)sets->numbers.count, (uint32_t)keywords.count };
	for (size_t i = 0; i < keywords.count; i++)
		*array_add(&sets->numbers) = keywords.numbers[i];
}

/* The number of a set, from 1; 0 for the empty one. */
static uint32_t sets_number(struct keyword_sets *sets, struct store_keywords keywords)
{
	if (!keywords.count)
		return 0;
	struct str key = str_from((const char *)keywords.numbers, keywords.count * sizeof keywords.numbers[0]);
	sets->index = sets->index ? sets->index : map_new();
	uintptr_t known = (uintptr_t)map_get(sets->index, key);
	if (known)
		return (uint32_t)known;
	must(sets->list.count + 1 < SETS_MAX);
	sets_add(sets, keywords);
	map_set(sets->index, key, (void *)(uintptr_t)sets->list.count);
	return (uint32_t)sets->list.count;
}

static struct store_keywords sets_get(const struct keyword_sets *sets, uint32_t number)
{
	if (!number)
		return (struct store_keywords){};
	const struct keyword_set *set = &sets->list.items[number - 1];
	return (struct store_keywords){ sets->numbers.items + set->first, set->count };
}

struct store_keywords image_keywords(const struct index_image *image, uint32_t set)
{
	return sets_get(&image->sets, set);
}

static void set_keywords(struct index_image *image, struct store_row *row, struct store_keywords keywords)
{
	row->keywords = sets_number(&image->sets, keywords) & (SETS_MAX - 1);
}

/* Flags that change often leave sets behind that no row has. */
static void collect_sets(struct index_image *image)
{
	if (image->sets.list.count <= 2 * image->rows.count + SETS_SPARE)
		return;
	struct keyword_sets old = image->sets;
	image->sets = (struct keyword_sets){};
	for (size_t i = 0; i < image->rows.count; i++) {
		struct store_row *row = &image->rows.items[i];
		set_keywords(image, row, sets_get(&old, row->keywords));
	}
	sets_release(&old);
}

/* ---- rows ---- */

size_t image_row_at(const struct index_image *image, uint32_t uid, size_t low)
{
	size_t high = image->rows.count;
	if (low < high && image->rows.items[low].uid >= uid)
		return low;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (image->rows.items[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void set_row(struct index_image *image, struct store_row *row, const struct store_entry *entry,
                    struct store_keywords keywords)
{
	row->message = entry->message;
	row->modseq = entry->modseq;
	row->received = entry->received;
	row->uid = entry->uid;
	row->size = entry->size < UINT32_MAX ? (uint32_t)entry->size : UINT32_MAX;
	row->saved = entry->saved < 0 ? 0 : entry->saved < UINT32_MAX ? (uint32_t)entry->saved : UINT32_MAX;
	row->flags = entry->flags & FLAGS_MASK;
	set_keywords(image, row, keywords);
}

/* Takes out the rows of the UIDs, which are no longer in image->uids. */
static void drop_rows(struct index_image *image, const uint32_t *uids, size_t count)
{
	size_t at = 0;
	for (size_t i = 0; count <= FEW_ROWS && i < count; i++) {
		at = image_row_at(image, uids[i], 0);
		array_remove(&image->rows, at);
	}
	if (count <= FEW_ROWS)
		return;
	for (size_t i = 0; i < image->rows.count; i++)
		if (uidmap_has(&image->uids, image->rows.items[i].uid))
			image->rows.items[at++] = image->rows.items[i];
	image->rows.count = at;
}

/* ---- what changed, by modseq ---- */

static void remember_changes(struct index_image *image, const struct index_delta *delta)
{
	size_t count = delta->rows.list.count + delta->changes.count;
	if (count > CHANGES_MAX || image->changes.count + count > 2 * CHANGES_MAX) {
		size_t keep = count > CHANGES_MAX || image->changes.count < CHANGES_MAX ? 0 : CHANGES_MAX;
		size_t drop = image->changes.count - keep;
		if (drop)
			image->changes_floor = image->changes.items[drop - 1].modseq;
		if (keep)
			memmove(image->changes.items, image->changes.items + drop, keep * sizeof image->changes.items[0]);
		image->changes.count = keep;
	}
	if (count > CHANGES_MAX)
		image->changes_floor = delta->modseq;
	if (count > CHANGES_MAX)
		return;
	for (size_t i = 0; i < delta->rows.list.count; i++)
		*array_add(&image->changes) = (struct image_change){ delta->modseq, delta->rows.list.items[i].uid };
	for (size_t i = 0; i < delta->changes.count; i++)
		*array_add(&image->changes) = (struct image_change){ delta->modseq, delta->changes.items[i].uid };
}

static size_t change_above(const struct index_image *image, uint64_t modseq)
{
	size_t low = 0;
	size_t high = image->changes.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (image->changes.items[middle].modseq <= modseq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int by_position(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;
	return left < right ? -1 : left > right;
}

/* Ascending, each once. */
static void sort_positions(struct store_positions *positions, size_t first)
{
	size_t count = positions->list.count - first;
	if (count < 2)
		return;
	uint32_t *items = positions->list.items + first;
	qsort(items, count, sizeof items[0], by_position);
	size_t kept = 1;
	for (size_t i = 1; i < count; i++)
		if (items[i] != items[kept - 1])
			items[kept++] = items[i];
	positions->list.count = first + kept;
}

void image_changed(const struct index_image *image, uint64_t modseq, struct store_positions *positions)
{
	size_t first = positions->list.count;
	size_t at = 0;
	if (modseq < image->changes_floor) {
		for (size_t i = 0; i < image->rows.count; i++)
			if (image->rows.items[i].modseq > modseq)
				*array_add(&positions->list) = (uint32_t)i;
		return;
	}
	for (size_t i = change_above(image, modseq); i < image->changes.count; i++) {
		uint32_t uid = image->changes.items[i].uid;
		bool onward = at < image->rows.count && image->rows.items[at].uid <= uid;
		at = image_row_at(image, uid, onward ? at : 0);
		if (at < image->rows.count && image->rows.items[at].uid == uid)
			*array_add(&positions->list) = (uint32_t)at;
	}
	sort_positions(positions, first);
}

/* ---- carried forward ---- */

static void set_unseen(struct index_image *image, uint32_t uid, uint32_t flags)
{
	if (flags & STORE_SEEN)
		uidmap_remove(&image->unseen, uid);
	else
		uidmap_add(&image->unseen, uid);
}

static void apply_row(struct index_image *image, const struct store_entry *entry, struct store_keywords keywords)
{
	uidmap_append(&image->uids, entry->uid);
	set_unseen(image, entry->uid, entry->flags);
	if (image->rows_there)
		set_row(image, array_add(&image->rows), entry, keywords);
}

static void apply_change(struct index_image *image, const struct index_delta *delta, const struct index_change *change,
                         size_t *hint)
{
	set_unseen(image, change->uid, change->flags);
	if (!image->rows_there)
		return;
	bool onward = *hint < image->rows.count && image->rows.items[*hint].uid <= change->uid;
	*hint = image_row_at(image, change->uid, onward ? *hint : 0);
	must(*hint < image->rows.count && image->rows.items[*hint].uid == change->uid);
	struct store_row *row = &image->rows.items[(*hint)++];
	row->modseq = delta->modseq;
	row->flags = (uint32_t)change->flags & FLAGS_MASK;
	struct store_keywords keywords = { change->keyword_count ? delta->rows.keywords.items + change->keywords : NULL, change->keyword_count };
	set_keywords(image, row, keywords);
}

void image_apply(struct index_image *image, const struct index_delta *delta)
{
	size_t hint = 0;
	for (size_t i = 0; i < delta->rows.list.count; i++) {
		const struct store_entry *entry = &delta->rows.list.items[i];
		struct store_keywords keywords = { entry->keyword_count ? delta->rows.keywords.items + entry->keywords : NULL, entry->keyword_count };
		apply_row(image, entry, keywords);
	}
	for (size_t i = 0; i < delta->changes.count; i++)
		apply_change(image, delta, &delta->changes.items[i], &hint);
	for (size_t i = 0; i < delta->gone.count; i++) {
		bool was_there = uidmap_remove(&image->uids, delta->gone.items[i]);
		must(was_there);
		uidmap_remove(&image->unseen, delta->gone.items[i]);
	}
	if (image->rows_there) {
		drop_rows(image, delta->gone.items, delta->gone.count);
		collect_sets(image);
	}
	remember_changes(image, delta);
	image->state = delta->state;
	image->state.first_unseen = uidmap_next(&image->unseen, 1);
}

/* ---- read as a whole ---- */

static bool read_state(struct index_image *image, struct store_reader *reader, uint64_t mailbox, uint32_t *paged,
                       struct fail **fail)
{
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT highestmodseq, messages, unseen, deleted, bytes, uidvalidity,"
	                                      " uidnext, paged, recent FROM mailbox WHERE id = ? AND name NOT NULL");
	bind_u64(query, 1, mailbox);
	enum database_step step = database_step(&reader->database, query, fail);
	if (step == DATABASE_DONE)
		fail_set(fail, FAIL_NOT_FOUND, "there is no mailbox %llu", (unsigned long long)mailbox);
	if (step != DATABASE_ROW)
		return false;
	image->state = (struct store_index_state){ .modseq = column_u64(query, 0),
		                                       .messages = column_u64(query, 1),
		                                       .unseen = column_u64(query, 2),
		                                       .deleted = column_u64(query, 3),
		                                       .bytes = column_u64(query, 4),
		                                       .uidvalidity = (uint32_t)column_u64(query, 5),
		                                       .uidnext = (uint32_t)column_u64(query, 6) };
	*paged = (uint32_t)column_u64(query, 7);
	image->recent = (uint32_t)column_u64(query, 8);
	database_done(query);
	return true;
}

static void add_uid(struct index_image *image, uint32_t uid, uint64_t flags)
{
	uidmap_append(&image->uids, uid);
	if (!(flags & STORE_SEEN))
		uidmap_append(&image->unseen, uid);
}

/* False: the pages are damaged, or could not be read; whichever it is, the placements will tell. */
static bool read_pages(struct index_image *image, struct store_reader *reader, uint64_t mailbox)
{
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT uids, unseen FROM page WHERE mailbox = ? ORDER BY number");
	bind_u64(query, 1, mailbox);
	enum database_step step;
	while ((step = database_step(&reader->database, query, NULL)) == DATABASE_ROW)
		if (!uidmap_unpack(&image->uids, column_bytes(query, 0), NULL) ||
		    !uidmap_unpack(&image->unseen, column_bytes(query, 1), NULL))
			break;
	database_done(query);
	return step == DATABASE_DONE;
}

static bool read_uids(struct index_image *image, struct store_reader *reader, uint64_t mailbox, uint32_t first,
                      struct fail **fail)
{
	sqlite3_stmt *query = database_query(&reader->database, "SELECT uid, flags FROM placement WHERE mailbox = ? AND"
	                                                        " uid >= ? ORDER BY uid");
	bind_u64(query, 1, mailbox);
	bind_u64(query, 2, first);
	enum database_step step;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW)
		add_uid(image, (uint32_t)column_u64(query, 0), column_u64(query, 1));
	return step == DATABASE_DONE;
}

/* From the pages, and the few placements that they do not cover. */
static bool read_sets(struct index_image *image, struct store_reader *reader, uint64_t mailbox, uint32_t paged,
                      struct fail **fail)
{
	bool whole = read_pages(image, reader, mailbox) && uidmap_last(&image->uids) < paged;
	if (whole && !read_uids(image, reader, mailbox, paged, fail))
		return false;
	if (whole && uidmap_count(&image->uids) == image->state.messages &&
	    uidmap_count(&image->unseen) == image->state.unseen)
		return true;
	uidmap_release(&image->uids);
	uidmap_release(&image->unseen);
	return read_uids(image, reader, mailbox, 1, fail);
}

static void read_row(struct index_image *image, sqlite3_stmt *query)
{
	uint16_t numbers[LIMIT_KEYWORDS_PER_MAILBOX];
	struct str packed = column_bytes(query, 7);
	struct store_keywords keywords = { numbers, packed.length / 2 < COUNT_OF(numbers) ? packed.length / 2
		                                                                              : COUNT_OF(numbers) };
	for (size_t i = 0; i < keywords.count; i++)
		numbers[i] = keyword_at(packed, i);
	struct store_entry entry = { .uid = (uint32_t)column_u64(query, 0),
		                         .message = column_u64(query, 1),
		                         .flags = (uint32_t)column_u64(query, 2),
		                         .modseq = column_u64(query, 3),
		                         .size = column_u64(query, 4),
		                         .received = sqlite3_column_int64(query, 5),
		                         .saved = sqlite3_column_int64(query, 6) };
	set_row(image, array_add(&image->rows), &entry, keywords);
	add_uid(image, entry.uid, entry.flags);
}

static bool read_rows(struct index_image *image, struct store_reader *reader, uint64_t mailbox, struct fail **fail)
{
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT uid, message, flags, modseq, size, received, saved, keywords"
	                                      " FROM placement WHERE mailbox = ? ORDER BY uid");
	bind_u64(query, 1, mailbox);
	/* some room for what comes, but not as much again, as doubling would take */
	image->rows.capacity = image->state.messages + image->state.messages / 16 + 64;
	image->rows.items = mem_resize(NULL, image->rows.capacity, sizeof image->rows.items[0]);
	image->rows_there = true;
	enum database_step step;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW)
		read_row(image, query);
	return step == DATABASE_DONE;
}

bool image_load(struct index_image *image, struct store_reader *reader, uint64_t mailbox, bool rows, struct fail **fail)
{
	uint32_t paged = 1;
	bool ok = store_snapshot_begin(reader, fail) && read_state(image, reader, mailbox, &paged, fail) &&
	          (rows ? read_rows(image, reader, mailbox, fail) : read_sets(image, reader, mailbox, paged, fail));
	store_snapshot_end(reader);
	image->state.first_unseen = uidmap_next(&image->unseen, 1);
	image->changes_floor = image->state.modseq;
	return ok;
}

void image_release(struct index_image *image)
{
	uidmap_release(&image->uids);
	uidmap_release(&image->unseen);
	array_release(&image->rows);
	array_release(&image->changes);
	sets_release(&image->sets);
}

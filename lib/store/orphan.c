#include "store_internal.h"

#include "hash.h"
#include "salvage.h"

/* A segment file is made and filled before the row that names it is committed, so a crash between the two leaves a file
 * that nobody names. Its mails are elsewhere by the time a recovery has ended: the journal delivered them again under
 * their ids, or their old place was still theirs. Only what nobody had been told of is not, an APPEND. But the same is
 * seen where somebody put an older meta.db in place, and there it is mail. So a file goes only when each of its mails
 * can be read elsewhere in the account, by its id or as the same octets (an APPEND that was repeated). */

enum { KEY_SIZE = 17 };

struct mails {
	struct map *records; /* id, and octets → 1 + place in elsewhere */
	ARRAY(bool) elsewhere;
};

static void mails_release(struct mails *m)
{
	map_free(m->records);
	array_release(&m->elsewhere);
}

static struct str key_of_id(char key[KEY_SIZE], const void *id)
{
	key[0] = 'i';
	memcpy(key + 1, id, KEY_SIZE - 1);
	return str_from(key, KEY_SIZE);
}

static struct str key_of_octets(char key[KEY_SIZE], uint64_t size, uint64_t check)
{
	key[0] = 'o';
	memcpy(key + 1, &size, sizeof size);
	memcpy(key + 1 + sizeof size, &check, sizeof check);
	return str_from(key, KEY_SIZE);
}

static void note_mail(void *context, uint64_t offset, const struct segment_header *header)
{
	struct mails *m = context;
	char key[KEY_SIZE];
	(void)offset;
	if (header->kind != SEGMENT_MAIL || map_get(m->records, key_of_id(key, header->id)))
		return;
	*array_add(&m->elsewhere) = false;
	void *place = (void *)(uintptr_t)m->elsewhere.count;
	map_set(m->records, key_of_id(key, header->id), place);
	map_set(m->records, key_of_octets(key, header->size, header->check), place);
}

/* Torn octets: nothing that is whole. */
static void pass_over(void *context, uint64_t offset, uint64_t length)
{
	(void)context;
	(void)offset;
	(void)length;
}

static bool scan(struct store *store, uint64_t number, struct mails *m, struct fail **fail)
{
	struct segment_key key = store->segments.key;
	const struct salvage salvage = { .record = note_mail, .gap = pass_over, .context = m };
	struct segment_file *file = segments_use(&store->segments, number, fail);
	bool ok = file && salvage_scan(file, &key, &salvage, fail);
	segments_unuse(&store->segments, file);
	return ok;
}

static bool is_readable(struct store *store, const struct body_place *place)
{
	CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(place->size);
	struct segment_file *file = segments_use(&store->segments, place->segment, NULL);
	bool ok = file && body_read(file, place, &mail, NULL);
	segments_unuse(&store->segments, file);
	return ok;
}

static void compare(struct store *store, struct mails *m, const struct body_place *place)
{
	char key[KEY_SIZE];
	size_t by_id = (size_t)(uintptr_t)map_get(m->records, key_of_id(key, place->id.bytes));
	size_t by_octets = (size_t)(uintptr_t)map_get(m->records, key_of_octets(key, place->size, place->check));
	if ((!by_id && !by_octets) || !is_readable(store, place))
		return;
	if (by_id)
		m->elsewhere.items[by_id - 1] = true;
	if (by_octets)
		m->elsewhere.items[by_octets - 1] = true;
}

static bool look_elsewhere(struct store *store, struct database *db, struct mails *m, struct fail **fail)
{
	enum database_step step;
	sqlite3_stmt *query = database_query(db, "SELECT " BODY_PLACE " FROM body");
	while ((step = database_step(db, query, fail)) == DATABASE_ROW) {
		struct body_place place = body_place_of(query);
		compare(store, m, &place);
	}
	return step == DATABASE_DONE;
}

bool orphan_read(struct store *store, struct database *db, uint64_t number, struct orphan_contents *contents,
                 struct fail **fail)
{
	CLEANUP(mails_release) struct mails m = { .records = map_new() };
	*contents = (struct orphan_contents){};
	if (!scan(store, number, &m, fail) || (m.elsewhere.count && !look_elsewhere(store, db, &m, fail)))
		return false;
	contents->mails = m.elsewhere.count;
	for (size_t i = 0; i < m.elsewhere.count; i++)
		contents->only_here += !m.elsewhere.items[i];
	return true;
}

bool orphans_find(struct store *store, struct database *db, struct segment_numbers *orphans, struct fail **fail)
{
	CLEANUP(segment_numbers_release) struct segment_numbers files = {};
	size_t next = 0;
	enum database_step step;
	if (!segments_list(&store->segments, &files, fail))
		return false;
	sqlite3_stmt *query = database_query(db, "SELECT number FROM segment ORDER BY number");
	while ((step = database_step(db, query, fail)) == DATABASE_ROW) {
		uint64_t named = column_u64(query, 0);
		for (; next < files.list.count && files.list.items[next] < named; next++)
			*array_add(&orphans->list) = files.list.items[next];
		next += next < files.list.count && files.list.items[next] == named;
	}
	for (; step == DATABASE_DONE && next < files.list.count; next++)
		*array_add(&orphans->list) = files.list.items[next];
	return step == DATABASE_DONE;
}

#include "index_image.h"

#include "clock.h"
#include "rows.h"

/*
 * A transaction notes what it changes in mailboxes that have an index, as a delta for each. With the commit the
 * deltas are put into the queue of their index; the next who asks carries the image forward. What can't be told so
 * (the index came when the transaction had begun, UIDNEXT jumped) makes the index stale: then it is read anew. A
 * delta that the image has already, because it was read after the commit, is known by its modseq.
 */

enum { QUEUE_BYTES_MAX = 16 << 20 };

/* Lock order: refresh_lock, the writer's lock, the store's watch_lock, queue_lock. image_lock comes after
 * refresh_lock, and nothing after it. */
struct store_index {
	struct store *store;
	uint64_t mailbox;
	struct store_index *next; /* this, users and unused_since with the store's watch_lock */
	unsigned users;
	int64_t unused_since; /* monotonic, ms */

	pthread_mutex_t queue_lock; /* over the queue */
	struct index_delta *first, *last;
	size_t queued_bytes;
	bool stale;
	atomic_uint_fast64_t events; /* so many commits changed the mailbox */
	atomic_uint_fast64_t shown;  /* and so many of them the image has */
	atomic_uint_fast32_t recent, recent_written; /* first UID that is \Recent */

	pthread_mutex_t refresh_lock; /* held by who brings the image forward */
	pthread_rwlock_t image_lock;  /* over what follows */
	struct index_image image;
	uint64_t removals;
	ARRAY(uint32_t) removed; /* the last ones of them, in order */
};

/* ---- what a transaction changes ---- */

static void delta_free(struct index_delta *delta)
{
	if (!delta)
		return;
	store_entries_release(&delta->rows);
	array_release(&delta->changes);
	array_release(&delta->gone);
	free(delta);
}

static struct store_index *find_index(const struct store *store, uint64_t mailbox)
{
	struct store_index *index = store->indexes;
	while (index && index->mailbox != mailbox)
		index = index->next;
	return index;
}

/* Decided once for each mailbox of a transaction, so that a delta is whole or not there. */
static struct index_note *note_of(struct store_txn *txn, uint64_t mailbox)
{
	for (size_t i = txn->notes.count; i-- > 0;)
		if (txn->notes.items[i].mailbox == mailbox)
			return &txn->notes.items[i];
	pthread_mutex_lock(&txn->store->watch_lock);
	bool wanted = find_index(txn->store, mailbox);
	pthread_mutex_unlock(&txn->store->watch_lock);
	struct index_note *note = array_add(&txn->notes);
	note->mailbox = mailbox;
	note->delta = wanted ? mem_alloc(sizeof *note->delta) : NULL;
	return note;
}

static void add_keywords(struct index_delta *delta, struct str packed)
{
	for (size_t i = 0; i < packed.length / 2; i++)
		*array_add(&delta->rows.keywords) = keyword_at(packed, i);
}

void index_note_row(struct store_txn *txn, const struct placement *row)
{
	struct index_delta *delta = note_of(txn, row->mailbox)->delta;
	if (!delta)
		return;
	struct store_entry *entry = array_add(&delta->rows.list);
	*entry = (struct store_entry){ .message = row->message,
		                           .modseq = row->modseq,
		                           .size = row->size,
		                           .received = row->received,
		                           .saved = row->saved,
		                           .uid = row->uid,
		                           .flags = row->flags,
		                           .keywords = (uint32_t)delta->rows.keywords.count,
		                           .keyword_count = (uint32_t)(row->keywords.length / 2) };
	add_keywords(delta, row->keywords);
}

void index_note_change(struct store_txn *txn, const struct placement *row)
{
	struct index_delta *delta = note_of(txn, row->mailbox)->delta;
	if (!delta)
		return;
	*array_add(&delta->changes) = (struct index_change){ .uid = row->uid,
		                                                 .keywords = (uint32_t)delta->rows.keywords.count,
		                                                 .keyword_count = (uint16_t)(row->keywords.length / 2),
		                                                 .flags = (uint16_t)row->flags };
	add_keywords(delta, row->keywords);
}

void index_note_gone(struct store_txn *txn, uint64_t mailbox, uint32_t uid)
{
	struct index_delta *delta = note_of(txn, mailbox)->delta;
	if (delta)
		*array_add(&delta->gone) = uid;
}

void index_note_unknown(struct store_txn *txn, uint64_t mailbox)
{
	struct index_note *note = note_of(txn, mailbox);
	delta_free(note->delta);
	note->delta = NULL;
}

void index_forget_notes(struct store_txn *txn)
{
	for (size_t i = 0; i < txn->notes.count; i++)
		delta_free(txn->notes.items[i].delta);
	txn->notes.count = 0;
}

static bool complete_delta(struct store *store, struct index_delta *delta, uint64_t mailbox)
{
	const struct mailbox_state *m = mailbox_in_memory(store, mailbox);
	if (!delta || !m)
		return false;
	delta->modseq = m->highestmodseq;
	delta->state = (struct store_index_state){ .modseq = m->highestmodseq,
		                                       .messages = m->messages,
		                                       .unseen = m->unseen,
		                                       .deleted = m->deleted,
		                                       .bytes = m->bytes,
		                                       .uidvalidity = m->uidvalidity,
		                                       .uidnext = m->uidnext };
	return true;
}

static void drop_queue(struct store_index *index)
{
	for (struct index_delta *delta = index->first, *next; delta; delta = next) {
		next = delta->next;
		delta_free(delta);
	}
	index->first = index->last = NULL;
	index->queued_bytes = 0;
}

static size_t bytes_of(const struct index_delta *delta)
{
	return sizeof *delta + delta->rows.list.count * sizeof delta->rows.list.items[0] +
	       delta->rows.keywords.count * sizeof delta->rows.keywords.items[0] +
	       delta->changes.count * sizeof delta->changes.items[0] + delta->gone.count * sizeof delta->gone.items[0];
}

/* NULL: something changed, but it is not known what. */
static void enqueue(struct store_index *index, struct index_delta *delta)
{
	pthread_mutex_lock(&index->queue_lock);
	index->stale = index->stale || !delta || index->queued_bytes > QUEUE_BYTES_MAX;
	if (index->stale) {
		drop_queue(index);
		delta_free(delta);
	} else {
		if (index->last)
			index->last->next = delta;
		else
			index->first = delta;
		index->last = delta;
		index->queued_bytes += bytes_of(delta);
	}
	atomic_fetch_add(&index->events, 1);
	pthread_mutex_unlock(&index->queue_lock);
}

void index_publish_notes(struct store_txn *txn)
{
	struct store *store = txn->store;
	pthread_mutex_lock(&store->watch_lock);
	for (size_t i = 0; i < txn->notes.count; i++) {
		struct index_note *note = &txn->notes.items[i];
		struct store_index *index = find_index(store, note->mailbox);
		if (!index)
			delta_free(note->delta);
		else if (complete_delta(store, note->delta, note->mailbox))
			enqueue(index, note->delta);
		else {
			delta_free(note->delta);
			enqueue(index, NULL);
		}
	}
	for (struct store_index *index = txn->all_changed ? store->indexes : NULL; index; index = index->next)
		enqueue(index, NULL);
	pthread_mutex_unlock(&store->watch_lock);
	txn->notes.count = 0;
}

/* ---- life ---- */

static struct store_index *index_new(struct store *store, uint64_t mailbox)
{
	struct store_index *index = mem_alloc(sizeof *index);
	index->store = store;
	index->mailbox = mailbox;
	index->stale = true;
	atomic_store(&index->events, 1);
	pthread_mutex_init(&index->queue_lock, NULL);
	pthread_mutex_init(&index->refresh_lock, NULL);
	pthread_rwlockattr_t attributes;
	pthread_rwlockattr_init(&attributes);
	/* who brings news must not wait for ever behind readers that follow each other */
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&index->image_lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	return index;
}

static void index_free(struct store_index *index)
{
	drop_queue(index);
	image_release(&index->image);
	array_release(&index->removed);
	pthread_mutex_destroy(&index->queue_lock);
	pthread_mutex_destroy(&index->refresh_lock);
	pthread_rwlock_destroy(&index->image_lock);
	free(index);
}

/* The one there is, or a new one without an image. */
static struct store_index *index_use(struct store *store, uint64_t mailbox)
{
	pthread_mutex_lock(&store->watch_lock);
	struct store_index *index = find_index(store, mailbox);
	if (!index) {
		index = index_new(store, mailbox);
		index->next = store->indexes;
		store->indexes = index;
	}
	index->users++;
	pthread_mutex_unlock(&store->watch_lock);
	return index;
}

static bool is_current(const struct store_index *index)
{
	return atomic_load(&index->shown) == atomic_load(&index->events);
}

struct store_index *store_index_open(struct store *store, uint64_t mailbox, struct fail **fail)
{
	struct store_index *index = index_use(store, mailbox);
	CLEANUP(store_reader_release) struct store_reader *reader = NULL;
	if (is_current(index))
		return index;
	reader = store_reader_acquire(store, fail);
	if (!reader || !store_index_refresh(index, reader, fail))
		store_index_close(&index);
	return index;
}

void store_index_close(struct store_index **index)
{
	struct store_index *i = *index;
	*index = NULL;
	if (!i)
		return;
	pthread_mutex_lock(&i->store->watch_lock);
	must(i->users);
	i->users--;
	i->unused_since = clock_monotonic_ms();
	pthread_mutex_unlock(&i->store->watch_lock);
}

void index_drop_unused(struct store *store, int64_t before)
{
	pthread_mutex_lock(&store->watch_lock);
	for (struct store_index **at = &store->indexes, *index; (index = *at);) {
		bool unwritten = before < INT64_MAX && atomic_load(&index->recent) != atomic_load(&index->recent_written);
		if (index->users || unwritten || index->unused_since > before) {
			at = &index->next;
			continue;
		}
		*at = index->next;
		index_free(index);
	}
	pthread_mutex_unlock(&store->watch_lock);
}

bool index_is_used(struct store *store)
{
	bool used = false;
	pthread_mutex_lock(&store->watch_lock);
	for (const struct store_index *index = store->indexes; index; index = index->next)
		used = used || index->users;
	pthread_mutex_unlock(&store->watch_lock);
	return used;
}

/* ---- for the writer ---- */

static void add_row(const struct store_index *index, const struct store_row *row, struct rows *rows)
{
	struct store_keywords keywords = image_keywords(&index->image, row->keywords);
	*array_add(&rows->list) = (struct placement){ .mailbox = index->mailbox,
		                                          .uid = row->uid,
		                                          .message = row->message,
		                                          .size = row->size,
		                                          .received = row->received,
		                                          .flags = row->flags,
		                                          .keywords.length = 2 * keywords.count,
		                                          .modseq = row->modseq,
		                                          .saved = row->saved };
	for (size_t i = 0; i < keywords.count; i++) {
		buf_add_char(&rows->keywords, (char)(keywords.numbers[i] & 255));
		buf_add_char(&rows->keywords, (char)(keywords.numbers[i] >> 8));
	}
}

static void add_ranges(const struct store_index *index, struct rows *rows)
{
	const struct index_image *image = &index->image;
	size_t end = SIZE_MAX;
	for (size_t i = 0, at = 0; i < rows->ranges.count; i++, end = at) {
		const struct store_range *range = &rows->ranges.items[i];
		at = image_row_at(image, range->first, at);
		if (at != end)
			*array_add(&rows->breaks) = rows->list.count;
		for (; at < image->rows.count && image->rows.items[at].uid <= range->last; at++)
			add_row(index, &image->rows.items[at], rows);
	}
}

/* The index with watch_lock and its image locked, or NULL with neither. Never waits for the image: who has it may wait
 * for a lock that is held here. */
static struct store_index *try_image(struct store *store, uint64_t mailbox)
{
	pthread_mutex_lock(&store->watch_lock);
	struct store_index *index = find_index(store, mailbox);
	if (index && pthread_rwlock_tryrdlock(&index->image_lock) == 0)
		return index;
	pthread_mutex_unlock(&store->watch_lock);
	return NULL;
}

static void leave_image(struct store_index *index)
{
	pthread_rwlock_unlock(&index->image_lock);
	pthread_mutex_unlock(&index->store->watch_lock);
}

bool index_is_usable(struct store_txn *txn, const struct mailbox_state *mailbox)
{
	/* what the transaction did before is not in the image */
	for (size_t i = 0; i < txn->notes.count; i++)
		if (txn->notes.items[i].mailbox == mailbox->id)
			return false;
	struct store_index *index = try_image(txn->store, mailbox->id);
	if (!index)
		return false;
	bool usable = index->image.rows_there && index->image.state.modseq == mailbox->highestmodseq;
	leave_image(index);
	return usable;
}

/* The image can't have gone on since it was found usable: nobody else commits. */
bool index_read_rows(struct rows *rows)
{
	struct store_index *index = try_image(rows->txn->store, rows->selection->mailbox);
	if (!index)
		return false;
	bool there = index->image.rows_there;
	if (there)
		add_ranges(index, rows);
	leave_image(index);
	return there;
}

/* ---- \Recent ---- */

static void raise_recent(struct store_index *index, uint32_t to)
{
	uint_fast32_t now = atomic_load(&index->recent);
	while (now < to && !atomic_compare_exchange_weak(&index->recent, &now, to))
		;
}

uint32_t store_index_take_recent(struct store_index *index, uint32_t uidnext)
{
	uint_fast32_t first = atomic_load(&index->recent);
	while (first < uidnext && !atomic_compare_exchange_weak(&index->recent, &first, uidnext))
		;
	return (uint32_t)first;
}

uint32_t store_index_recent(const struct store_index *index)
{
	return (uint32_t)atomic_load(&index->recent);
}

uint32_t index_recent(struct store *store, uint64_t mailbox, uint32_t written)
{
	pthread_mutex_lock(&store->watch_lock);
	const struct store_index *index = find_index(store, mailbox);
	uint32_t known = index ? store_index_recent(index) : 0;
	pthread_mutex_unlock(&store->watch_lock);
	return known > written ? known : written;
}

struct recent_mark {
	uint64_t mailbox;
	uint32_t recent;
};

bool index_write_recent(struct store *store, struct fail **fail)
{
	ARRAY(struct recent_mark) marks = {};
	pthread_mutex_lock(&store->watch_lock);
	for (struct store_index *index = store->indexes; index; index = index->next) {
		uint32_t recent = store_index_recent(index);
		if (recent != atomic_exchange(&index->recent_written, recent))
			*array_add(&marks) = (struct recent_mark){ index->mailbox, recent };
	}
	pthread_mutex_unlock(&store->watch_lock);
	if (!marks.count)
		return true;
	struct store_txn *txn = txn_begin_locked(store, false);
	for (size_t i = 0; i < marks.count; i++) {
		sqlite3_stmt *query = txn_query(txn, "UPDATE mailbox SET recent = max(recent, ?) WHERE id = ?");
		bind_u64(query, 1, marks.items[i].recent);
		bind_u64(query, 2, marks.items[i].mailbox);
		txn_run(txn, query);
	}
	array_release(&marks);
	return txn_commit_locked(txn, fail);
}

/* ---- forward ---- */

static void remember_removed(struct store_index *index, uint32_t uid)
{
	if (index->removed.count == 2 * STORE_INDEX_REMOVALS) {
		index->removed.count = STORE_INDEX_REMOVALS;
		memcpy(index->removed.items, index->removed.items + STORE_INDEX_REMOVALS,
		       STORE_INDEX_REMOVALS * sizeof index->removed.items[0]);
	}
	*array_add(&index->removed) = uid;
	index->removals++;
}

static void replace_image(struct store_index *index, struct index_image *fresh)
{
	struct uidmap gone = {};
	pthread_rwlock_wrlock(&index->image_lock);
	struct index_image old = index->image;
	if (!old.state.uidvalidity)
		atomic_store(&index->recent_written, fresh->recent);
	raise_recent(index, fresh->recent);
	uidmap_minus(&old.uids, &fresh->uids, &gone);
	for (uint32_t uid = 0; (uid = uidmap_next(&gone, uid + 1));)
		remember_removed(index, uid);
	index->image = *fresh;
	pthread_rwlock_unlock(&index->image_lock);
	uidmap_release(&gone);
	image_release(&old);
}

/* Invariant 5 of the store: what a session is told is durable; so it is made that after it was read. */
static bool read_image(struct store_index *index, struct store_reader *reader, bool rows, struct fail **fail)
{
	struct index_image fresh = {};
	if (!image_load(&fresh, reader, index->mailbox, rows, fail) || !store_barrier(index->store, fail)) {
		image_release(&fresh);
		return false;
	}
	replace_image(index, &fresh);
	return true;
}

static void apply_deltas(struct store_index *index, const struct index_delta *deltas)
{
	pthread_rwlock_wrlock(&index->image_lock);
	for (const struct index_delta *delta = deltas; delta; delta = delta->next) {
		if (delta->modseq <= index->image.state.modseq)
			continue;
		image_apply(&index->image, delta);
		for (size_t i = 0; i < delta->gone.count; i++)
			remember_removed(index, delta->gone.items[i]);
	}
	pthread_rwlock_unlock(&index->image_lock);
}

static void set_stale(struct store_index *index)
{
	pthread_mutex_lock(&index->queue_lock);
	index->stale = true;
	pthread_mutex_unlock(&index->queue_lock);
}

/* Takes the queue; true when what is in it does not say all. */
static bool take_queue(struct store_index *index, struct index_delta **deltas, uint64_t *events)
{
	pthread_mutex_lock(&index->queue_lock);
	bool stale = index->stale;
	*deltas = index->first;
	*events = atomic_load(&index->events);
	index->first = index->last = NULL;
	index->queued_bytes = 0;
	index->stale = false;
	pthread_mutex_unlock(&index->queue_lock);
	return stale;
}

/* With refresh_lock. */
static bool bring_forward(struct store_index *index, struct store_reader *reader, bool rows, struct fail **fail)
{
	struct index_delta *deltas = NULL;
	uint64_t events = 0;
	bool stale = take_queue(index, &deltas, &events);
	bool ok = true;
	if (stale || (rows && !index->image.rows_there))
		ok = read_image(index, reader, rows || index->image.rows_there, fail);
	else if (deltas && (ok = store_barrier(index->store, fail)))
		apply_deltas(index, deltas);
	for (struct index_delta *next; deltas; deltas = next) {
		next = deltas->next;
		delta_free(deltas);
	}
	/* only now: who sees that nothing is new must find the image so */
	if (ok)
		atomic_store(&index->shown, events);
	else
		set_stale(index);
	return ok;
}

bool store_index_refresh(struct store_index *index, struct store_reader *reader, struct fail **fail)
{
	if (is_current(index))
		return true;
	pthread_mutex_lock(&index->refresh_lock);
	bool ok = bring_forward(index, reader, false, fail);
	pthread_mutex_unlock(&index->refresh_lock);
	return ok;
}

bool store_index_lock(struct store_index *index, struct store_reader *reader, struct fail **fail)
{
	bool ok = true;
	pthread_rwlock_rdlock(&index->image_lock);
	/* rows once read stay until nobody uses the index */
	if (index->image.rows_there)
		return true;
	pthread_rwlock_unlock(&index->image_lock);
	pthread_mutex_lock(&index->refresh_lock);
	if (!index->image.rows_there)
		ok = bring_forward(index, reader, true, fail);
	pthread_mutex_unlock(&index->refresh_lock);
	if (ok)
		pthread_rwlock_rdlock(&index->image_lock);
	return ok;
}

void store_index_unlock(struct store_index *index)
{
	pthread_rwlock_unlock(&index->image_lock);
}

/* ---- look ---- */

static void state_of(const struct store_index *index, struct store_index_state *state)
{
	*state = index->image.state;
	state->removals = index->removals;
}

void store_index_state(struct store_index *index, struct store_index_state *state)
{
	pthread_rwlock_rdlock(&index->image_lock);
	state_of(index, state);
	pthread_rwlock_unlock(&index->image_lock);
}

void store_index_uids(struct store_index *index, struct uidmap *uids, struct store_index_state *state)
{
	pthread_rwlock_rdlock(&index->image_lock);
	uidmap_copy(uids, &index->image.uids);
	if (state)
		state_of(index, state);
	pthread_rwlock_unlock(&index->image_lock);
}

bool store_index_removed(struct store_index *index, uint64_t removals, struct store_uids *removed)
{
	pthread_rwlock_rdlock(&index->image_lock);
	bool known = removals <= index->removals && index->removals - removals <= index->removed.count;
	for (uint64_t left = known ? index->removals - removals : 0; left; left--)
		*array_add(&removed->uids) = index->removed.items[index->removed.count - left];
	pthread_rwlock_unlock(&index->image_lock);
	return known;
}

size_t store_index_count(const struct store_index *index)
{
	return index->image.rows.count;
}

const struct store_row *store_index_rows(const struct store_index *index)
{
	return index->image.rows.items;
}

size_t store_index_at(const struct store_index *index, uint32_t uid)
{
	return image_row_at(&index->image, uid, 0);
}

const struct store_row *store_index_find(const struct store_index *index, uint32_t uid, size_t *hint)
{
	const struct index_image *image = &index->image;
	bool onward = *hint < image->rows.count && image->rows.items[*hint].uid <= uid;
	*hint = image_row_at(image, uid, onward ? *hint : 0);
	if (*hint == image->rows.count || image->rows.items[*hint].uid != uid)
		return NULL;
	return &image->rows.items[(*hint)++];
}

struct store_keywords store_index_keywords(const struct store_index *index, uint32_t set)
{
	return image_keywords(&index->image, set);
}

void store_index_changed(const struct store_index *index, uint64_t modseq, struct store_positions *positions)
{
	image_changed(&index->image, modseq, positions);
}

void store_positions_release(struct store_positions *positions)
{
	array_release(&positions->list);
}

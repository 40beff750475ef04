#include "store_internal.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- maildrops ---- */

static bool take(struct store *store, struct store_maildrop *drop)
{
	bool taken = true;
	pthread_mutex_lock(&store->watch_lock);
	for (struct store_maildrop *other = store->maildrops; other; other = other->next)
		if (other->mailbox == drop->mailbox)
			taken = false;
	if (taken) {
		drop->next = store->maildrops;
		store->maildrops = drop;
	}
	pthread_mutex_unlock(&store->watch_lock);
	return taken;
}

static int by_number(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

/* The list is read outside the lock and put in under it, since the collector looks at it. */
static void publish(struct store *store, struct store_maildrop *drop, struct store_maildrop *read)
{
	for (size_t i = 0; i < read->messages.count; i++)
		*array_add(&read->pinned) = read->messages.items[i].message;
	if (read->pinned.count)
		qsort(read->pinned.items, read->pinned.count, sizeof read->pinned.items[0], by_number);
	pthread_mutex_lock(&store->watch_lock);
	struct store_maildrop *next = drop->next;
	read->store = drop->store;
	read->mailbox = drop->mailbox;
	*drop = *read;
	drop->next = next;
	pthread_mutex_unlock(&store->watch_lock);
}

static bool read_messages(struct store_reader *reader, uint64_t mailbox, struct store_maildrop *drop,
                          struct fail **fail)
{
	sqlite3_stmt *query =
		database_query(&reader->database, "SELECT p.uid, p.message, p.size, b.stable FROM placement p"
	                                      " JOIN body b ON b.message = p.message WHERE p.mailbox = ? ORDER BY p.uid");
	bind_u64(query, 1, mailbox);
	enum database_step step;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW) {
		struct store_drop_message *message = array_add(&drop->messages);
		message->uid = (uint32_t)column_u64(query, 0);
		message->message = column_u64(query, 1);
		message->size = column_u64(query, 2);
		struct str id = column_bytes(query, 3);
		if (id.length == sizeof message->id.bytes)
			memcpy(message->id.bytes, id.data, id.length);
	}
	return step == DATABASE_DONE;
}

bool store_read_ids(struct store_reader *reader, uint64_t mailbox, struct store_ids *ids, struct fail **fail)
{
	struct store_maildrop drop = {};
	bool ok = read_messages(reader, mailbox, &drop, fail);
	store_ids_release(ids);
	ids->list.items = drop.messages.items;
	ids->list.count = drop.messages.count;
	ids->list.capacity = drop.messages.capacity;
	return ok;
}

void store_ids_release(struct store_ids *ids)
{
	array_release(&ids->list);
}

/* Few mails have any, and an index knows which. CROSS: the planner would begin with placement, to spare the sort, and
 * read all wide rows. */
static bool read_traits(struct store_reader *reader, uint64_t mailbox, struct store_maildrop *drop, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&reader->database,
	                                     "SELECT p.uid, m.traits FROM message m INDEXED BY message_traits CROSS JOIN placement p"
	                                     " ON p.message = m.message WHERE m.traits != 0 AND p.mailbox = ? ORDER BY p.uid");
	bind_u64(query, 1, mailbox);
	enum database_step step;
	size_t i = 0;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW) {
		uint32_t uid = (uint32_t)column_u64(query, 0);
		while (i < drop->messages.count && drop->messages.items[i].uid < uid)
			i++;
		if (i < drop->messages.count && drop->messages.items[i].uid == uid)
			drop->messages.items[i].traits = (uint32_t)column_u64(query, 1);
	}
	return step == DATABASE_DONE;
}

/* The writer lock keeps the collector out until what is listed is pinned. */
static bool fill(struct store_reader *reader, struct store_maildrop *drop, struct fail **fail)
{
	struct store *store = reader->store;
	struct store_maildrop read = {};
	pthread_mutex_lock(&store->writer_lock);
	bool ok = barrier_locked(store, fail) && read_messages(reader, drop->mailbox, &read, fail) &&
	          read_traits(reader, drop->mailbox, &read, fail);
	publish(store, drop, &read);
	pthread_mutex_unlock(&store->writer_lock);
	return ok;
}

bool store_maildrop_lock(struct store_reader *reader, uint64_t mailbox, struct store_maildrop *drop, struct fail **fail)
{
	*drop = (struct store_maildrop){ .store = reader->store, .mailbox = mailbox };
	if (!take(reader->store, drop)) {
		*drop = (struct store_maildrop){};
		return fail_set(fail, FAIL_BUSY, "the maildrop is in use by another session");
	}
	if (fill(reader, drop, fail))
		return true;
	store_maildrop_unlock(drop);
	return false;
}

void store_maildrop_unlock(struct store_maildrop *drop)
{
	if (!drop->store)
		return;
	pthread_mutex_lock(&drop->store->watch_lock);
	struct store_maildrop **at = &drop->store->maildrops;
	while (*at && *at != drop)
		at = &(*at)->next;
	must(*at);
	*at = drop->next;
	pthread_mutex_unlock(&drop->store->watch_lock);
	array_release(&drop->messages);
	array_release(&drop->pinned);
	*drop = (struct store_maildrop){};
}

static bool pins(const struct store_maildrop *drop, uint64_t message)
{
	return drop->pinned.count &&
	       bsearch(&message, drop->pinned.items, drop->pinned.count, sizeof drop->pinned.items[0], by_number);
}

bool watch_is_pinned(struct store *store, uint64_t message)
{
	bool pinned = false;
	pthread_mutex_lock(&store->watch_lock);
	for (struct store_maildrop *drop = store->maildrops; drop && !pinned; drop = drop->next)
		pinned = pins(drop, message);
	pthread_mutex_unlock(&store->watch_lock);
	return pinned;
}

/* ---- listeners ---- */

static bool concerns(const struct store_txn *txn, uint64_t mailbox)
{
	const struct store *store = txn->store;
	if (!mailbox)
		return txn->mailboxes_changed || txn->modseq;
	for (size_t i = 0; i < store->mailboxes.count; i++)
		if (store->mailboxes.items[i]->id == mailbox && store->mailboxes.items[i]->changed)
			return true;
	return txn->mailboxes_changed;
}

void watch_tell(const struct store_txn *txn)
{
	struct store *store = txn->store;
	pthread_mutex_lock(&store->watch_lock);
	for (struct store_listener *listener = store->listeners; listener; listener = listener->next)
		if (concerns(txn, listener->mailbox))
			eventfd_write(listener->event, 1);
	pthread_mutex_unlock(&store->watch_lock);
}

void store_listen(struct store *store, struct store_listener *listener)
{
	pthread_mutex_lock(&store->watch_lock);
	listener->next = store->listeners;
	store->listeners = listener;
	pthread_mutex_unlock(&store->watch_lock);
}

void store_unlisten(struct store *store, struct store_listener *listener)
{
	pthread_mutex_lock(&store->watch_lock);
	struct store_listener **at = &store->listeners;
	while (*at && *at != listener)
		at = &(*at)->next;
	must(*at);
	*at = listener->next;
	pthread_mutex_unlock(&store->watch_lock);
}

/*
 * struct store_index: the image in memory of one mailbox's placements, one for all sessions that have it selected.
 *
 * Invariants
 *  1. The image is that of a committed state, made durable before it shows; `modseq` says which. It goes forward
 *     only: in store_index_refresh of any session, or when rows are first read.
 *  2. What went since a number of removals is known for at least STORE_INDEX_REMOVALS of them, so that a session that
 *     is up to date to that point learns of each UID that went without comparing sets.
 *  3. Opening it reads counters and the stored pages of the UID bitmap only; rows are read when they are first asked
 *     for.
 *  4. It stays for some time after the last close, so that the next SELECT is warm; store_maintain drops it.
 *
 * Rows lie by UID in one array, 40 octets a message. Readers look at them between store_index_lock and _unlock, never
 * across a wait for the network or a transaction, and not nested; many may at once. Every other function may be
 * called at any time but between those two. Opening, store_index_refresh and store_index_lock wait for the writer's
 * lock: never in a transaction of one's own (store_mailbox_modseq says whether it would bring anything).
 */
#ifndef POSTHORN_STORE_STORE_INDEX_H
#define POSTHORN_STORE_STORE_INDEX_H

#include "store.h"
#include "uidmap.h"

enum { STORE_INDEX_REMOVALS = 10000 };

struct store_index;

/* FAIL_NOT_FOUND. Each open needs its close, before the store is closed. */
struct store_index *store_index_open(struct store *store, uint64_t mailbox, struct fail **fail);
void store_index_close(struct store_index **index); /* for CLEANUP too */

/* Brings it to the newest committed state: cheap when nothing changed. The reader is the caller's, outside a snapshot.
 * FAIL_NOT_FOUND: the mailbox was deleted. */
bool store_index_refresh(struct store_index *index, struct store_reader *reader, struct fail **fail);

/* Counters of the state the image has. */
struct store_index_state {
	uint64_t modseq;   /* HIGHESTMODSEQ of the mailbox */
	uint64_t removals; /* how many UIDs went in the life of this image; see store_index_removed */
	uint64_t messages, unseen, deleted, bytes;
	uint32_t uidvalidity, uidnext;
	uint32_t first_unseen; /* UID, 0: none */
};
void store_index_state(struct store_index *index, struct store_index_state *state);

/* The UIDs of the state that `state` (may be NULL) then describes. What was in uids is released. */
void store_index_uids(struct store_index *index, struct uidmap *uids, struct store_index_state *state);

/* UIDs that went after so many removals had, in the order they went, added to removed->uids; false when that is too
 * long ago to know: compare sets (uidmap_minus). So many more removals are known then as were added. */
bool store_index_removed(struct store_index *index, uint64_t removals, struct store_uids *removed);

/* \Recent (RFC 3501 §2.3.2): the first UID that no session was shown as recent before; UIDs below uidnext count as
 * shown from now on. Written down some time later; a crash may make some recent again. The second one does not take
 * them (EXAMINE). */
uint32_t store_index_take_recent(struct store_index *index, uint32_t uidnext);
uint32_t store_index_recent(const struct store_index *index);

/* A row. keywords index into the sets of the index: store_index_keywords. */
struct store_row {
	uint64_t message;
	uint64_t modseq;
	int64_t received;       /* store_date.h */
	uint32_t uid;
	uint32_t size;          /* saturated; no mail is that large */
	uint32_t saved;         /* seconds since 1970 UTC; the store's own clock */
	uint32_t flags : 8;     /* enum store_flag */
	uint32_t keywords : 24; /* number of the set; 0: none */
};

/* Reads the rows if they were not read yet; between the two they stand still. FAIL_NOT_FOUND: the mailbox was deleted
 * before they were. */
bool store_index_lock(struct store_index *index, struct store_reader *reader, struct fail **fail);
void store_index_unlock(struct store_index *index);

/* With the lock. Rows by UID. */
size_t store_index_count(const struct store_index *index);
const struct store_row *store_index_rows(const struct store_index *index);
size_t store_index_at(const struct store_index *index, uint32_t uid); /* of the first row whose UID is >= uid */
struct store_keywords store_index_keywords(const struct store_index *index, uint32_t set);

/* The row of a UID; NULL: it is gone. Cheapest when UIDs are asked for in ascending order with the same *hint (0
 * first). */
const struct store_row *store_index_find(const struct store_index *index, uint32_t uid, size_t *hint);

/* Rows with a modseq above this, as positions in ascending order, added to positions. Its cost is that of what is
 * found, or for changes from long ago that of a look at each row. */
struct store_positions {
	ARRAY(uint32_t) list;
};
void store_index_changed(const struct store_index *index, uint64_t modseq, struct store_positions *positions);
void store_positions_release(struct store_positions *positions);

#endif

/*
 * The stored pages of a mailbox: which UIDs it has and which of them are without \Seen, so that opening it reads no
 * placements.
 *
 * Table page has a row for each UIDMAP_PAGE_BITS of UIDs that has any: the two sets as uidmap_pack writes them, and a
 * modseq that is at least that of each placement in it. The pages cover the UIDs below mailbox.paged, exactly, in
 * every committed state; the few above it, which deliveries add to, are read from the placements, so that a delivery
 * writes no page. A page that a transaction touches stays in memory until it is written back with its mailbox.
 */
#ifndef POSTHORN_STORE_UID_PAGE_H
#define POSTHORN_STORE_UID_PAGE_H

#include "uidmap.h"

struct mailbox_state;
struct store_txn;

struct uid_page {
	uint32_t number; /* first UID / UIDMAP_PAGE_BITS */
	uint64_t modseq;
	struct uidmap uids, unseen;
	bool changed;
};

struct uid_pages {
	ARRAY(struct uid_page *) list;
	struct uid_page *last; /* the one that was touched last */
};

void uid_pages_release(struct uid_pages *pages);

/* A placement that the pages may cover has these flags now, or is gone. They take the transaction's modseq. */
void uid_page_set(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t uid, uint32_t flags);
void uid_page_remove(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t uid);

/* Writes what changed; when more than so many UIDs lie above the pages, they come to cover all. */
bool uid_pages_write_back(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t uncovered_max);

enum { UID_PAGES_UNCOVERED_MAX = 256, UID_PAGES_UNCOVERED_IDLE = 64 };

#endif

#include "uid_page.h"

#include "store_internal.h"

enum { PAGES_KEPT = 4, PACKED_MAX = UIDMAP_PAGE_BITS };

static void page_free(struct uid_page *page)
{
	uidmap_release(&page->uids);
	uidmap_release(&page->unseen);
	free(page);
}

void uid_pages_release(struct uid_pages *pages)
{
	for (size_t i = 0; i < pages->list.count; i++)
		page_free(pages->list.items[i]);
	array_release(&pages->list);
	pages->last = NULL;
}

/* UIDs from first to last as the placements have them. */
static bool read_placements(struct store_txn *txn, const struct mailbox_state *mailbox, struct uid_page *page,
                            uint32_t first, uint32_t last)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT uid, flags, modseq FROM placement WHERE mailbox = ? AND uid >= ? AND"
	                                     " uid <= ? ORDER BY uid");
	bind_u64(query, 1, mailbox->id);
	bind_u64(query, 2, first);
	bind_u64(query, 3, last);
	while (txn_step(txn, query) == DATABASE_ROW) {
		uidmap_append(&page->uids, (uint32_t)column_u64(query, 0));
		if (!(column_u64(query, 1) & STORE_SEEN))
			uidmap_append(&page->unseen, (uint32_t)column_u64(query, 0));
		page->modseq = column_u64(query, 2) > page->modseq ? column_u64(query, 2) : page->modseq;
		page->changed = true;
	}
	return txn_ok(txn);
}

static bool unpack_page(struct uid_page *page, sqlite3_stmt *query)
{
	page->modseq = column_u64(query, 0);
	return uidmap_unpack(&page->uids, column_bytes(query, 1), NULL) &&
	       uidmap_unpack(&page->unseen, column_bytes(query, 2), NULL) &&
	       (!page->uids.count || uidmap_last(&page->uids) / UIDMAP_PAGE_BITS == page->number);
}

static bool read_page(struct store_txn *txn, const struct mailbox_state *mailbox, struct uid_page *page)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT modseq, uids, unseen FROM page WHERE mailbox = ? AND number = ?");
	bind_u64(query, 1, mailbox->id);
	bind_u64(query, 2, page->number);
	if (txn_step(txn, query) != DATABASE_ROW)
		return txn_ok(txn);
	bool whole = unpack_page(page, query);
	database_done(query);
	if (whole)
		return true;
	/* a damaged page is no loss: the placements have it all */
	uidmap_release(&page->uids);
	uidmap_release(&page->unseen);
	uint32_t first = page->number * UIDMAP_PAGE_BITS;
	uint32_t last = first + (UIDMAP_PAGE_BITS - 1);
	return mailbox->paged <= first ||
	       read_placements(txn, mailbox, page, first, last < mailbox->paged ? last : mailbox->paged - 1);
}

static struct uid_page *use_page(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t number)
{
	struct uid_pages *pages = &mailbox->pages;
	if (pages->last && pages->last->number == number)
		return pages->last;
	pages->last = NULL;
	for (size_t i = 0; !pages->last && i < pages->list.count; i++)
		if (pages->list.items[i]->number == number)
			pages->last = pages->list.items[i];
	if (pages->last)
		return pages->last;
	struct uid_page *page = mem_alloc(sizeof *page);
	page->number = number;
	if (read_page(txn, mailbox, page)) {
		*array_add(&pages->list) = pages->last = page;
		return page;
	}
	page_free(page);
	return NULL;
}

static struct uid_page *change_page(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t uid)
{
	struct uid_page *page = txn_ok(txn) && uid < mailbox->paged ? use_page(txn, mailbox, uid / UIDMAP_PAGE_BITS) : NULL;
	if (!page)
		return NULL;
	page->modseq = txn_modseq(txn);
	page->changed = true;
	return page;
}

void uid_page_set(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t uid, uint32_t flags)
{
	struct uid_page *page = change_page(txn, mailbox, uid);
	if (!page)
		return;
	if (flags & STORE_SEEN)
		uidmap_remove(&page->unseen, uid);
	else
		uidmap_add(&page->unseen, uid);
}

void uid_page_remove(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t uid)
{
	struct uid_page *page = change_page(txn, mailbox, uid);
	if (!page)
		return;
	uidmap_remove(&page->uids, uid);
	uidmap_remove(&page->unseen, uid);
}

static bool write_page(struct store_txn *txn, const struct mailbox_state *mailbox, struct uid_page *page)
{
	CLEANUP(buf_release) struct buf uids = BUF_WITH_LIMIT(PACKED_MAX);
	CLEANUP(buf_release) struct buf unseen = BUF_WITH_LIMIT(PACKED_MAX);
	bool empty = !uidmap_count(&page->uids);
	sqlite3_stmt *query =
		empty ? txn_query(txn, "DELETE FROM page WHERE mailbox = ? AND number = ?")
			  : txn_query(txn, "INSERT OR REPLACE INTO page(mailbox, number, modseq, uids, unseen)"
	                         " VALUES(?, ?, ?, ?, ?)");
	bind_u64(query, 1, mailbox->id);
	bind_u64(query, 2, page->number);
	if (!empty) {
		uidmap_pack(&page->uids, &uids);
		uidmap_pack(&page->unseen, &unseen);
		bind_u64(query, 3, page->modseq);
		bind_bytes(query, 4, buf_str(&uids));
		/* no UIDs, but not NULL */
		bind_bytes(query, 5, unseen.length ? buf_str(&unseen) : STR(""));
	}
	page->changed = false;
	return txn_run(txn, query);
}

/* The placements that the pages do not cover yet come into them, page by page. */
static void cover_all(struct store_txn *txn, struct mailbox_state *mailbox)
{
	while (txn_ok(txn) && mailbox->paged < mailbox->uidnext) {
		sqlite3_stmt *query = txn_query(txn, "SELECT uid FROM placement WHERE mailbox = ? AND uid >= ?"
		                                     " ORDER BY uid LIMIT 1");
		bind_u64(query, 1, mailbox->id);
		bind_u64(query, 2, mailbox->paged);
		uint32_t first = (uint32_t)txn_number(txn, query);
		struct uid_page *page = first ? use_page(txn, mailbox, first / UIDMAP_PAGE_BITS) : NULL;
		if (!page)
			break;
		uint32_t last = first | (UIDMAP_PAGE_BITS - 1);
		read_placements(txn, mailbox, page, first, last);
		mailbox->paged = last < mailbox->uidnext ? last + 1 : mailbox->uidnext;
	}
	mailbox->paged = mailbox->uidnext;
}

bool uid_pages_write_back(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t uncovered_max)
{
	if (mailbox->uidnext - mailbox->paged > uncovered_max)
		cover_all(txn, mailbox);
	for (size_t i = 0; txn_ok(txn) && i < mailbox->pages.list.count; i++)
		if (mailbox->pages.list.items[i]->changed)
			write_page(txn, mailbox, mailbox->pages.list.items[i]);
	if (mailbox->pages.list.count > PAGES_KEPT)
		uid_pages_release(&mailbox->pages);
	return txn_ok(txn);
}

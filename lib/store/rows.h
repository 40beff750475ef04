/*
 * struct rows: the placements that an operation of a transaction works on, piece by piece.
 *
 * They are read before they are changed, since what changes a table must not walk it and clients want to know what
 * changed; from the index in memory if it has them, else from the table. A piece holds what a bounded number of UIDs
 * has, so that an operation on a million messages needs little memory. Rows that the operation itself adds do not
 * come. For lib/store alone.
 */
#ifndef POSTHORN_STORE_ROWS_H
#define POSTHORN_STORE_ROWS_H

#include "store_internal.h"

struct rows {
	struct store_txn *txn;
	const struct store_selection *selection;
	bool from_index;
	uint32_t last; /* UIDs above it are not looked at */
	size_t range;  /* of the selection, where the next piece begins: */
	uint64_t next; /* with this UID */

	ARRAY(struct placement) list; /* the piece, by UID */
	struct buf keywords;          /* of its rows */
	ARRAY(struct store_range) ranges;
	ARRAY(size_t) breaks; /* indices in list: before these the mailbox may have rows that are not in it */
	size_t next_break;
};

/* Before the operation changes anything. */
void rows_init(struct rows *rows, struct store_txn *txn, const struct mailbox_state *mailbox,
               const struct store_selection *selection);
void rows_release(struct rows *rows);

/* The next piece; false at the end, and when the transaction has failed. */
bool rows_read(struct rows *rows);

/* Asked for each row of a piece in turn: whether rows that are not in it may lie between it and the one before. */
bool rows_break(struct rows *rows, size_t row);

#endif

/*
 * struct imap_tree: all names of an account as the hierarchy that LIST, LSUB and NOTIFY show: mailboxes, subscribed
 * names that are none, and levels between that are neither.
 *
 * Nodes stand in order of the hierarchy, each behind its parent, so one pass knows what is below what. Names live as
 * long as the tree.
 */
#ifndef POSTHORN_MAILBOX_IMAP_TREE_H
#define POSTHORN_MAILBOX_IMAP_TREE_H

#include "store.h"

enum { IMAP_NO_PARENT = -1 };

struct imap_node {
	struct str name;
	const struct store_mailbox *mailbox; /* NULL: no such mailbox */
	ptrdiff_t parent;                    /* IMAP_NO_PARENT at the top */
	bool subscribed;
	bool has_children; /* a mailbox is below it */
	bool met;          /* for LIST: it meets the selection criteria, */
	bool met_below;    /* something below does, */
	bool met_below_unmatched; /* and does not match the patterns */
};

/* Zeroed by the caller; released with imap_tree_release. */
struct imap_tree {
	struct store_mailboxes mailboxes;
	struct store_mailboxes subscriptions;
	ARRAY(struct imap_node) nodes;
};

bool imap_tree_read(struct imap_tree *tree, struct store_reader *reader, struct fail **fail);
void imap_tree_release(struct imap_tree *tree);

/* The order of nodes. */
int imap_tree_compare(struct str a, struct str b);

/* NULL: there is no such name. */
const struct imap_node *imap_tree_find(const struct imap_tree *tree, struct str name);

#endif

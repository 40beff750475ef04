#include "imap_tree.h"

void imap_tree_release(struct imap_tree *tree)
{
	store_mailboxes_release(&tree->mailboxes);
	store_mailboxes_release(&tree->subscriptions);
	array_release(&tree->nodes);
}

/* The separator before all else, so that what is below a name follows it at once. */
int imap_tree_compare(struct str a, struct str b)
{
	size_t length = a.length < b.length ? a.length : b.length;
	for (size_t i = 0; i < length; i++) {
		if (a.data[i] == b.data[i])
			continue;
		if (a.data[i] == '/' || b.data[i] == '/')
			return a.data[i] == '/' ? -1 : 1;
		return (unsigned char)a.data[i] < (unsigned char)b.data[i] ? -1 : 1;
	}
	return a.length < b.length ? -1 : a.length > b.length;
}

static int by_hierarchy(const void *a, const void *b)
{
	return imap_tree_compare(((const struct imap_node *)a)->name, ((const struct imap_node *)b)->name);
}

static bool is_below(struct str name, struct str parent)
{
	return name.length > parent.length && name.data[parent.length] == '/' && str_starts(name, parent);
}

/* ---- making it ---- */

struct names {
	ARRAY(struct imap_node) list;
};

/* Both lists come in order of octets; a subscribed mailbox is in both. */
static void join(struct names *names, const struct imap_tree *tree)
{
	size_t next = 0;
	for (size_t i = 0; i < tree->mailboxes.list.count; i++) {
		const struct store_mailbox *mailbox = &tree->mailboxes.list.items[i];
		*array_add(&names->list) =
			(struct imap_node){ .name = mailbox->name, .mailbox = mailbox, .subscribed = mailbox->subscribed };
	}
	for (size_t i = 0; i < tree->subscriptions.names.count; i++) {
		struct str name = str_of(tree->subscriptions.names.items[i]);
		while (next < tree->mailboxes.list.count && str_compare(tree->mailboxes.list.items[next].name, name) < 0)
			next++;
		if (next == tree->mailboxes.list.count || !str_equal(tree->mailboxes.list.items[next].name, name))
			*array_add(&names->list) = (struct imap_node){ .name = name, .subscribed = true };
	}
	if (names->list.count)
		qsort(names->list.items, names->list.count, sizeof names->list.items[0], by_hierarchy);
}

static void mark_parents(struct imap_tree *tree, ptrdiff_t parent)
{
	while (parent != IMAP_NO_PARENT && !tree->nodes.items[parent].has_children) {
		tree->nodes.items[parent].has_children = true;
		parent = tree->nodes.items[parent].parent;
	}
}

static ptrdiff_t add_node(struct imap_tree *tree, struct imap_node node, ptrdiff_t parent)
{
	node.parent = parent;
	*array_add(&tree->nodes) = node;
	if (node.mailbox)
		mark_parents(tree, parent);
	return (ptrdiff_t)tree->nodes.count - 1;
}

/* Adds the levels above the name that are not there, then itself. above: the node before it; the new node. */
static ptrdiff_t add_with_levels(struct imap_tree *tree, struct imap_node node, ptrdiff_t above)
{
	while (above != IMAP_NO_PARENT && !is_below(node.name, tree->nodes.items[above].name))
		above = tree->nodes.items[above].parent;
	size_t known = above == IMAP_NO_PARENT ? 0 : tree->nodes.items[above].name.length + 1;
	for (size_t i = known; i < node.name.length; i++)
		if (node.name.data[i] == '/')
			above = add_node(tree, (struct imap_node){ .name = str_first(node.name, i) }, above);
	return add_node(tree, node, above);
}

bool imap_tree_read(struct imap_tree *tree, struct store_reader *reader, struct fail **fail)
{
	struct names names = {};
	ptrdiff_t last = IMAP_NO_PARENT;
	if (!store_read_mailboxes(reader, &tree->mailboxes, fail) ||
	    !store_read_subscriptions(reader, &tree->subscriptions, fail))
		return false;
	join(&names, tree);
	for (size_t i = 0; i < names.list.count; i++)
		last = add_with_levels(tree, names.list.items[i], last);
	array_release(&names.list);
	return true;
}

const struct imap_node *imap_tree_find(const struct imap_tree *tree, struct str name)
{
	const struct imap_node key = { .name = name };
	if (!tree->nodes.count)
		return NULL;
	return bsearch(&key, tree->nodes.items, tree->nodes.count, sizeof key, by_hierarchy);
}

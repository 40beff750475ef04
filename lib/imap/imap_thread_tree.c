#include "imap_thread_tree.h"

#include "array.h"
#include "limits.h"

#include <sys/random.h>

enum { NONE = -1 };

/* Nodes are numbered: first the messages, then those that are only spoken of, then those that join threads of one
 * subject. The two latter are the dummies of the RFC. */
struct tree {
	const struct imap_thread_messages *messages;
	int32_t *order;  /* messages by date */
	size_t node_count, node_room;
	int32_t *parent; /* by node */
	bool *is_parent; /* by node: it had children at some time */
	int32_t *first, *last, *next; /* children, in the order of their dates */
	ARRAY(int32_t) roots;
	uint64_t steps_left;
};

/* ---- from a hash to a node ---- */

/* Two arrays, since a slot with both would be a third larger, and no power of two of slots, which may be twice as many:
 * a mailbox may have a million messages. */
struct table {
	uint64_t *keys; /* 0: free */
	int32_t *nodes;
	size_t slots;
	uint64_t multiplier; /* odd and secret: whoever chooses the keys does not choose the slots */
};

static struct table table_make(size_t keys)
{
	struct table t = { .slots = keys + keys / 2 + 2 };
	t.keys = mem_alloc(t.slots * sizeof *t.keys);
	t.nodes = mem_alloc(t.slots * sizeof *t.nodes);
	must(getrandom(&t.multiplier, sizeof t.multiplier, 0) == sizeof t.multiplier);
	t.multiplier |= 1;
	return t;
}

static void table_free(struct table *t)
{
	free(t->keys);
	free(t->nodes);
}

/* The node of the key; if it has none yet, this one from now on. */
static int32_t *table_node(const struct table *t, uint64_t key, int32_t node)
{
	size_t i = (size_t)((unsigned __int128)(key * t->multiplier) * t->slots >> 64);
	while (t->keys[i] && t->keys[i] != key)
		i = i + 1 == t->slots ? 0 : i + 1;
	if (!t->keys[i]) {
		t->keys[i] = key;
		t->nodes[i] = node;
	}
	return &t->nodes[i];
}

/* ---- nodes ---- */

static bool is_dummy(const struct tree *t, int32_t node)
{
	return (size_t)node >= t->messages->count;
}

static const struct imap_thread_message *message_of(const struct tree *t, int32_t node)
{
	return &t->messages->list[node];
}

static int32_t add_node(struct tree *t)
{
	must(t->node_count < t->node_room);
	t->parent[t->node_count] = NONE;
	t->is_parent[t->node_count] = false;
	return (int32_t)t->node_count++;
}

static int by_date(const void *a, const void *b, void *context)
{
	const struct imap_thread_message *list = context;
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	if (list[x].sent != list[y].sent)
		return list[x].sent < list[y].sent ? -1 : 1;
	return x < y ? -1 : x > y;
}

static struct tree *tree_new(const struct imap_thread_messages *messages)
{
	struct tree *t = mem_alloc(sizeof *t);
	/* each reference may be spoken of by nobody else, and each message need a dummy for its subject */
	t->node_room = 2 * messages->count + messages->reference_count;
	t->messages = messages;
	t->parent = mem_resize(NULL, t->node_room + 1, sizeof *t->parent);
	t->is_parent = mem_resize(NULL, t->node_room + 1, sizeof *t->is_parent);
	t->order = mem_resize(NULL, messages->count + 1, sizeof *t->order);
	t->steps_left = (uint64_t)LIMIT_IMAP_THREAD_STEPS * (messages->count + messages->reference_count);
	bool sorted = true;
	for (size_t i = 0; i < messages->count; i++) {
		t->order[add_node(t)] = (int32_t)i;
		sorted = sorted && (i == 0 || messages->list[i - 1].sent <= messages->list[i].sent);
	}
	if (!sorted)
		qsort_r(t->order, messages->count, sizeof *t->order, by_date, (void *)(uintptr_t)messages->list);
	return t;
}

static void tree_free(struct tree *t)
{
	free(t->order);
	free(t->parent);
	free(t->is_parent);
	free(t->first);
	free(t->last);
	free(t->next);
	array_release(&t->roots);
	free(t);
}

/* ---- step 1: links by references ---- */

/* Whether child, which has no parent, stands above parent. */
static bool would_loop(struct tree *t, int32_t child, int32_t parent)
{
	if (!t->is_parent[child])
		return child == parent;
	for (; parent != NONE; parent = t->parent[parent]) {
		if (parent == child || t->steps_left == 0)
			return true;
		t->steps_left--;
	}
	return false;
}

static void link_nodes(struct tree *t, int32_t child, int32_t parent)
{
	if (would_loop(t, child, parent))
		return;
	t->parent[child] = parent;
	t->is_parent[parent] = true;
}

static int32_t node_of(struct tree *t, const struct table *ids, uint64_t id)
{
	int32_t *node = table_node(ids, id, NONE);
	if (*node == NONE)
		*node = add_node(t);
	return *node;
}

static void link_message(struct tree *t, const struct table *ids, size_t i)
{
	const struct imap_thread_message *message = &t->messages->list[i];
	int32_t own = (int32_t)i, before = NONE;
	for (size_t r = 0; r < message->reference_count; r++) {
		int32_t node = node_of(t, ids, t->messages->references[message->first_reference + r]);
		if (before != NONE && t->parent[node] == NONE)
			link_nodes(t, node, before);
		before = node;
	}
	t->parent[own] = NONE; /* (B) */
	if (before != NONE)
		link_nodes(t, own, before);
}

static void link_all(struct tree *t)
{
	const struct imap_thread_messages *messages = t->messages;
	struct table ids = table_make(messages->count + messages->reference_count);
	for (size_t i = 0; i < messages->count; i++)
		if (messages->list[i].id) /* of several with one Message-ID the first has it */
			table_node(&ids, messages->list[i].id, (int32_t)i);
	for (size_t i = 0; i < messages->count; i++)
		link_message(t, &ids, i);
	table_free(&ids);
}

/* ---- steps 2 and 3: the dummies ---- */

/* The nearest message above, or else the dummy at the top. What lies between learns it as well, so that nobody goes
 * the same way again. */
static int32_t message_above(struct tree *t, int32_t node)
{
	int32_t top = t->parent[node], next;
	while (top != NONE && is_dummy(t, top) && t->parent[top] != NONE)
		top = t->parent[top];
	for (; node != top && node != NONE; node = next) {
		next = t->parent[node];
		t->parent[node] = top;
		if (next == NONE || !is_dummy(t, next))
			break;
	}
	return top;
}

static void prune(struct tree *t)
{
	size_t count = t->messages->count;
	uint32_t *children = mem_alloc((t->node_count + 1) * sizeof *children);
	for (size_t i = 0; i < count; i++) {
		int32_t above = message_above(t, (int32_t)i);
		if (above != NONE)
			children[above]++;
	}
	/* a dummy at the top with one child only goes, too */
	for (size_t i = 0; i < count; i++)
		if (t->parent[i] != NONE && is_dummy(t, t->parent[i]) && children[t->parent[i]] == 1)
			t->parent[i] = NONE;
	free(children);
}

/* ---- order: steps 4 and 6 ---- */

static void add_child(struct tree *t, int32_t parent, int32_t node)
{
	if (t->last[parent] == NONE)
		t->first[parent] = node;
	else
		t->next[t->last[parent]] = node;
	t->last[parent] = node;
}

static void clear_lists(struct tree *t)
{
	t->first = mem_resize(t->first, t->node_room + 1, sizeof *t->first);
	t->last = mem_resize(t->last, t->node_room + 1, sizeof *t->last);
	t->next = mem_resize(t->next, t->node_room + 1, sizeof *t->next);
	for (size_t i = 0; i < t->node_count; i++)
		t->first[i] = t->last[i] = t->next[i] = NONE;
	t->roots.count = 0;
}

/* Lists of children and of roots from the parents. Messages come in the order of their dates, so all lists have it; a
 * dummy comes with its first child. */
static void make_lists(struct tree *t)
{
	clear_lists(t);
	for (size_t i = 0; i < t->messages->count; i++) {
		int32_t node = t->order[i], parent = t->parent[node];
		if (parent == NONE)
			*array_add(&t->roots) = node;
		else if (is_dummy(t, parent) && t->first[parent] == NONE)
			*array_add(&t->roots) = parent;
		if (parent != NONE)
			add_child(t, parent, node);
	}
}

/* ---- step 5: threads of one subject ---- */

static const struct imap_thread_message *speaker(const struct tree *t, int32_t root)
{
	return message_of(t, is_dummy(t, root) ? t->first[root] : root);
}

static void enter_subject(const struct tree *t, const struct table *subjects, int32_t root)
{
	uint64_t subject = speaker(t, root)->subject;
	if (!subject)
		return;
	int32_t *node = table_node(subjects, subject, root);
	if (!is_dummy(t, *node) &&
	    (is_dummy(t, root) || (message_of(t, *node)->is_reply && !message_of(t, root)->is_reply)))
		*node = root;
}

static void join_thread(struct tree *t, const struct table *subjects, int32_t root)
{
	uint64_t subject = speaker(t, root)->subject;
	int32_t *other = subject ? table_node(subjects, subject, root) : NULL;
	if (!other || *other == root)
		return;
	if (is_dummy(t, root)) { /* then the other one is, too: (B)(iv) prefers them */
		for (int32_t child = t->first[root]; child != NONE; child = t->next[child])
			t->parent[child] = *other;
	} else if (is_dummy(t, *other) || (message_of(t, root)->is_reply && !message_of(t, *other)->is_reply)) {
		t->parent[root] = *other;
	} else {
		int32_t dummy = add_node(t);
		t->first[dummy] = NONE; /* nobody asks what it says */
		t->parent[root] = t->parent[*other] = dummy;
		*other = dummy;
	}
}

static void join_subjects(struct tree *t)
{
	struct table subjects = table_make(t->roots.count);
	for (size_t i = 0; i < t->roots.count; i++)
		enter_subject(t, &subjects, t->roots.items[i]);
	for (size_t i = 0; i < t->roots.count; i++)
		join_thread(t, &subjects, t->roots.items[i]);
	table_free(&subjects);
}

/* ---- REFS ---- */

struct latest {
	int64_t received;
	int32_t root;
	size_t before; /* its place so far, for those that came at one time */
};

static int by_latest(const void *a, const void *b)
{
	const struct latest *x = a, *y = b;
	if (x->received != y->received)
		return x->received < y->received ? -1 : 1;
	return x->before < y->before ? -1 : x->before > y->before;
}

/* The node behind this one in its thread, children first; NONE at the end. */
static int32_t next_in_thread(const struct tree *t, int32_t root, int32_t node)
{
	if (t->first[node] != NONE)
		return t->first[node];
	while (node != root && t->next[node] == NONE)
		node = t->parent[node];
	return node == root ? NONE : t->next[node];
}

static void sort_by_arrival(struct tree *t)
{
	size_t count = t->roots.count;
	struct latest *latest = mem_alloc(count * sizeof *latest);
	for (size_t i = 0; i < count; i++) {
		int32_t root = t->roots.items[i];
		latest[i] = (struct latest){ INT64_MIN, root, i };
		for (int32_t node = root; node != NONE; node = next_in_thread(t, root, node))
			if (!is_dummy(t, node) && message_of(t, node)->received > latest[i].received)
				latest[i].received = message_of(t, node)->received;
	}
	qsort(latest, count, sizeof *latest, by_latest);
	for (size_t i = 0; i < count; i++)
		t->roots.items[i] = latest[i].root;
	free(latest);
}

/* ---- ORDEREDSUBJECT ---- */

/* The first of each subject, by date, is the root, the others are its children. */
static void link_subjects(struct tree *t)
{
	struct table subjects = table_make(t->messages->count);
	int32_t first_without = NONE; /* messages without a subject have the same one */
	for (size_t i = 0; i < t->messages->count; i++) {
		int32_t node = t->order[i];
		uint64_t subject = message_of(t, node)->subject;
		int32_t *first = subject ? table_node(&subjects, subject, node) : &first_without;
		if (*first == NONE)
			*first = node;
		t->parent[node] = *first == node ? NONE : *first;
	}
	table_free(&subjects);
}

/* ---- writing ---- */

static bool is_only_child(const struct tree *t, int32_t node)
{
	return t->parent[node] != NONE && t->first[t->parent[node]] == node && t->next[node] == NONE;
}

/* The node, and the way down to its first descendant that has no children: which is given back. */
static int32_t write_down(struct buf *out, const struct tree *t, int32_t node)
{
	for (;; node = t->first[node]) {
		if (!is_dummy(t, node))
			buf_add_u64(out, message_of(t, node)->number);
		if (t->first[node] == NONE)
			return node;
		if (!is_dummy(t, node))
			buf_add_char(out, ' ');
		if (!is_only_child(t, t->first[node]))
			buf_add_char(out, '(');
	}
}

/* Without recursion, since a thread may be as deep as the mailbox is long. */
static void write_thread(struct buf *out, const struct tree *t, int32_t root)
{
	buf_add_char(out, '(');
	for (int32_t node = write_down(out, t, root); node != root;) {
		bool only = is_only_child(t, node);
		if (!only)
			buf_add_char(out, ')');
		if (only || t->next[node] == NONE) {
			node = t->parent[node];
		} else {
			buf_add_char(out, '(');
			node = write_down(out, t, t->next[node]);
		}
	}
	buf_add_char(out, ')');
}

void imap_thread_write(struct buf *out, enum imap_thread_algorithm algorithm,
                       const struct imap_thread_messages *messages)
{
	struct tree *t = tree_new(messages);
	if (algorithm == IMAP_THREAD_ORDEREDSUBJECT) {
		link_subjects(t);
	} else {
		link_all(t);
		prune(t);
	}
	make_lists(t);
	if (algorithm == IMAP_THREAD_REFERENCES) {
		join_subjects(t);
		make_lists(t);
	} else if (algorithm == IMAP_THREAD_REFS) {
		sort_by_arrival(t);
	}
	for (size_t i = 0; i < t->roots.count; i++)
		write_thread(out, t, t->roots.items[i]);
	tree_free(t);
}

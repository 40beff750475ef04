#include "imap_notify.h"

#include "annotation.h"
#include "hash.h"
#include "imap_fetch.h"
#include "imap_list.h"
#include "imap_notify_command.h"
#include "imap_status.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct imap_notify {
	struct store *store;
	struct store_listener listener; /* event -1: NOTIFY NONE */
	unsigned selected;              /* enum imap_notify_event */
	bool delayed;
	char *items;                    /* FETCH items of new messages in the selected mailbox; NULL: none */
	unsigned personal, subscribed;  /* events of all mailboxes, and of all that are subscribed */
	struct map *exact, *subtree;    /* name → events, see events_value */
	unsigned all_events;            /* of any group but the selected mailbox's */
	struct imap_tree known;         /* what the client was told */
	uint64_t annotations;           /* modseq of the last one that was told */
};

/* ---- registrations ---- */

/* A map's value is never NULL. */
static void *events_value(unsigned events)
{
	return (void *)(uintptr_t)(events | 1U << 16);
}

static unsigned events_at(const struct map *map, struct str name)
{
	return (unsigned)(uintptr_t)map_get(map, name) & 0xffffU;
}

static void add_names(struct map *map, const struct imap_notify_group *group)
{
	for (size_t i = 0; i < group->name_count; i++)
		map_set(map, group->names[i], events_value(events_at(map, group->names[i]) | group->events));
}

static void add_group(struct imap_notify *n, const struct imap_notify_group *group)
{
	if (group->filter == IMAP_NOTIFY_SELECTED || group->filter == IMAP_NOTIFY_SELECTED_DELAYED) {
		n->selected = group->events;
		n->delayed = group->filter == IMAP_NOTIFY_SELECTED_DELAYED;
		n->items = group->items.length ? str_copy(group->items) : NULL;
		return;
	}
	n->all_events |= group->events;
	if (group->filter == IMAP_NOTIFY_SUBSCRIBED)
		n->subscribed |= group->events;
	else if (group->filter == IMAP_NOTIFY_SUBTREE)
		add_names(n->subtree, group);
	else if (group->filter == IMAP_NOTIFY_MAILBOXES)
		add_names(n->exact, group);
	else
		n->personal |= group->events; /* §6.3: filters may deliver anywhere, so inboxes are all personal mailboxes */
}

static unsigned events_of(const struct imap_notify *n, const struct imap_node *node)
{
	unsigned events = n->personal | (node->subscribed ? n->subscribed : 0) | events_at(n->exact, node->name);
	for (size_t i = 0; i <= node->name.length; i++)
		if (i == node->name.length || node->name.data[i] == '/')
			events |= events_at(n->subtree, str_first(node->name, i));
	return events;
}

static struct imap_notify *notify_new(struct store *store, const struct imap_notify_command *command)
{
	struct imap_notify *n = mem_alloc(sizeof *n);
	n->store = store;
	n->listener.event = -1;
	n->exact = map_new();
	n->subtree = map_new();
	for (size_t i = 0; i < command->group_count; i++)
		add_group(n, &command->groups[i]);
	if (command->none)
		return n;
	n->listener.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(n->listener.event >= 0);
	store_listen(store, &n->listener);
	return n;
}

/* As NOTIFY NONE. */
static void be_silent(struct imap_notify *n)
{
	if (n->listener.event >= 0) {
		store_unlisten(n->store, &n->listener);
		close(n->listener.event);
	}
	n->listener.event = -1;
	n->selected = n->all_events = 0;
	imap_tree_release(&n->known);
}

void imap_notify_free(struct imap_notify **notify)
{
	struct imap_notify *n = *notify;
	*notify = NULL;
	if (!n)
		return;
	be_silent(n);
	map_free(n->exact);
	map_free(n->subtree);
	free(n->items);
	free(n);
}

int imap_notify_descriptor(const struct imap_session *s)
{
	return s->kept.notify ? s->kept.notify->listener.event : -1;
}

/* What such a command removes is its answer, no event. */
static bool removes_messages(const struct imap_session *s)
{
	enum imap_verb verb = s->command.verb;
	return s->command.info && (verb == IMAP_EXPUNGE || verb == IMAP_MOVE || verb == IMAP_REPLACE);
}

unsigned imap_notify_selected(const struct imap_session *s)
{
	const struct imap_notify *n = s->kept.notify;
	if (!n)
		return IMAP_TELL_NEW | IMAP_TELL_EXPUNGE | IMAP_TELL_FLAGS;
	unsigned tell = n->selected & IMAP_EVENT_MESSAGE_NEW ? IMAP_TELL_NEW : 0;
	tell |= n->selected & IMAP_EVENT_MESSAGE_EXPUNGE || removes_messages(s) ? IMAP_TELL_EXPUNGE : 0;
	return tell | (n->selected & IMAP_EVENT_FLAG_CHANGE ? IMAP_TELL_FLAGS : 0);
}

/* ---- two states side by side ---- */

/* The nodes of mailboxes, by id. */
struct by_id {
	ARRAY(struct imap_node *) nodes;
};

static int compare_ids(const void *a, const void *b)
{
	uint64_t left = (*(struct imap_node *const *)a)->mailbox->id;
	uint64_t right = (*(struct imap_node *const *)b)->mailbox->id;
	return left < right ? -1 : left > right;
}

static struct by_id sort_by_id(struct imap_tree *tree)
{
	struct by_id sorted = {};
	for (size_t i = 0; i < tree->nodes.count; i++)
		if (tree->nodes.items[i].mailbox)
			*array_add(&sorted.nodes) = &tree->nodes.items[i];
	if (sorted.nodes.count)
		qsort(sorted.nodes.items, sorted.nodes.count, sizeof sorted.nodes.items[0], compare_ids);
	return sorted;
}

struct news {
	struct imap_session *s;
	struct imap_notify *n;
	struct store_reader *reader;
	struct imap_tree *now;
};

/* Each mailbox as it was and as it is; one of the two may be NULL. */
static void for_each_mailbox(struct news *news, void (*tell)(struct news *news, struct imap_node *was,
                             struct imap_node *is))
{
	struct by_id before = sort_by_id(&news->n->known), after = sort_by_id(news->now);
	size_t i = 0, k = 0;
	while (i < before.nodes.count || k < after.nodes.count) {
		struct imap_node *was = i < before.nodes.count ? before.nodes.items[i] : NULL;
		struct imap_node *is = k < after.nodes.count ? after.nodes.items[k] : NULL;
		int order = !was ? 1 : !is ? -1 : compare_ids(&was, &is);
		i += order <= 0;
		k += order >= 0;
		tell(news, order <= 0 ? was : NULL, order >= 0 ? is : NULL);
	}
	array_release(&before.nodes);
	array_release(&after.nodes);
}

/* ---- MailboxName, §5.4; SubscriptionChange, §5.5 ---- */

/* Each name once; `met` is free in a tree that no LIST looks at. */
static void tell_name(struct news *news, struct imap_node *node, struct str old_name)
{
	if (node->met)
		return;
	node->met = true;
	imap_list_write(news->s, node, old_name);
}

static void tell_parent(struct news *news, struct str name)
{
	size_t end = str_find_last_char(name, '/');
	if (end == name.length)
		return;
	struct imap_node gone = { .name = str_first(name, end) };
	const struct imap_node *parent = imap_tree_find(news->now, gone.name);
	struct imap_node *node = parent ? &news->now->nodes.items[parent - news->now->nodes.items] : &gone;
	if (events_of(news->n, node) & IMAP_EVENT_MAILBOX_NAME)
		tell_name(news, node, (struct str){});
}

static void tell_created(struct news *news, struct imap_node *is)
{
	if (events_of(news->n, is) & IMAP_EVENT_MAILBOX_NAME)
		tell_name(news, is, (struct str){});
	tell_parent(news, is->name);
}

static void tell_deleted(struct news *news, struct imap_node *was)
{
	struct imap_node gone = { .name = was->name };
	const struct imap_node *left = imap_tree_find(news->now, was->name); /* a subscription, children */
	struct imap_node *node = left ? &news->now->nodes.items[left - news->now->nodes.items] : &gone;
	if (events_of(news->n, was) & IMAP_EVENT_MAILBOX_NAME)
		tell_name(news, node, (struct str){});
	tell_parent(news, was->name);
}

static struct str last_level(struct str name)
{
	size_t slash = str_find_last_char(name, '/');
	return slash == name.length ? name : str_from_index(name, slash + 1);
}

/* It moved because the mailbox above it did. */
static bool moved_with_parent(const struct news *news, const struct imap_node *was, const struct imap_node *is)
{
	if (was->parent == IMAP_NO_PARENT || is->parent == IMAP_NO_PARENT ||
	    !str_equal(last_level(was->name), last_level(is->name)))
		return false;
	const struct store_mailbox *old_parent = news->n->known.nodes.items[was->parent].mailbox;
	const struct store_mailbox *new_parent = news->now->nodes.items[is->parent].mailbox;
	return old_parent && new_parent && old_parent->id == new_parent->id;
}

static void tell_names_of(struct news *news, struct imap_node *was, struct imap_node *is)
{
	if (!was)
		tell_created(news, is);
	else if (!is)
		tell_deleted(news, was);
	else if (!str_equal(was->name, is->name) && !moved_with_parent(news, was, is) &&
	         (events_of(news->n, was) | events_of(news->n, is)) & IMAP_EVENT_MAILBOX_NAME)
		tell_name(news, is, was->name);
}

static void tell_subscription(struct news *news, const struct imap_node *was, struct imap_node *is)
{
	struct imap_node gone = { .name = was ? was->name : is->name };
	struct imap_node *node = is ? is : &gone;
	bool changed = (was && was->subscribed) != (is && is->subscribed);
	unsigned events = (was ? events_of(news->n, was) : 0) | (is ? events_of(news->n, is) : 0);
	if (changed && events & IMAP_EVENT_SUBSCRIPTION)
		tell_name(news, node, (struct str){});
}

/* Both trees are in one order. */
static void tell_subscriptions(struct news *news)
{
	const struct imap_tree *before = &news->n->known;
	size_t i = 0, k = 0;
	while (i < before->nodes.count || k < news->now->nodes.count) {
		const struct imap_node *was = i < before->nodes.count ? &before->nodes.items[i] : NULL;
		struct imap_node *is = k < news->now->nodes.count ? &news->now->nodes.items[k] : NULL;
		int order = !was ? 1 : !is ? -1 : imap_tree_compare(was->name, is->name);
		i += order <= 0;
		k += order >= 0;
		tell_subscription(news, order <= 0 ? was : NULL, order >= 0 ? is : NULL);
	}
}

/* ---- MessageNew, MessageExpunge, FlagChange elsewhere, §5.1 to §5.3 ---- */

static unsigned status_items(const struct news *news, unsigned events, const struct store_mailbox *was,
                             const struct store_mailbox *is)
{
	bool modseq = imap_is_enabled(news->s, IMAP_ENABLE_CONDSTORE) || imap_is_enabled(news->s, IMAP_ENABLE_QRESYNC);
	unsigned items = 0;
	if (events & IMAP_EVENT_MESSAGE_NEW && (was->messages != is->messages || was->uidnext != is->uidnext))
		items |= IMAP_STATUS_MESSAGES | IMAP_STATUS_UIDNEXT | (modseq ? IMAP_STATUS_HIGHESTMODSEQ : 0);
	if (events & IMAP_EVENT_FLAG_CHANGE && was->highestmodseq != is->highestmodseq) {
		items |= modseq ? IMAP_STATUS_HIGHESTMODSEQ | IMAP_STATUS_UIDVALIDITY : 0;
		items |= was->unseen != is->unseen ? IMAP_STATUS_UNSEEN | IMAP_STATUS_UIDVALIDITY : 0;
	}
	return items;
}

static bool is_selected(const struct imap_session *s, const struct store_mailbox *mailbox)
{
	return s->view.index && s->kept.view.mailbox == mailbox->id;
}

/* All that happened in the mailbox was done by the command at hand. §5 */
static bool is_own_change(const struct imap_session *s, const struct store_mailbox *was, const struct store_mailbox *is)
{
	return s->own.mailbox == is->id && was->highestmodseq == s->own.before && is->highestmodseq == s->own.modseq;
}

static void tell_counters_of(struct news *news, struct imap_node *was, struct imap_node *is)
{
	static const struct store_mailbox empty = { .uidnext = 1 };
	if (!is || is_selected(news->s, is->mailbox) || (was && is_own_change(news->s, was->mailbox, is->mailbox)))
		return;
	/* a mailbox that is made and filled at once has news as any other; the mere making is an event of its name */
	if (!was && is->mailbox->uidnext == empty.uidnext)
		return;
	unsigned items = status_items(news, events_of(news->n, is), was ? was->mailbox : &empty, is->mailbox);
	if (items && !was)
		items |= IMAP_STATUS_UIDVALIDITY;
	if (items)
		imap_status_write(news->s, news->reader, is->mailbox, items);
}

/* ---- MailboxMetadataChange, ServerMetadataChange, §5.6, §5.7 ---- */

static struct imap_node *node_of(struct imap_tree *tree, uint64_t mailbox)
{
	for (size_t i = 0; i < tree->nodes.count; i++)
		if (tree->nodes.items[i].mailbox && tree->nodes.items[i].mailbox->id == mailbox)
			return &tree->nodes.items[i];
	return NULL;
}

/* Writes "* METADATA name" if the client wants to know. */
static bool begin_metadata(struct news *news, uint64_t mailbox)
{
	struct buf *out = &news->s->out;
	const struct imap_node *node = mailbox ? node_of(news->now, mailbox) : NULL;
	bool wanted = mailbox ? node && events_of(news->n, node) & IMAP_EVENT_MAILBOX_METADATA
	                      : news->n->all_events & IMAP_EVENT_SERVER_METADATA;
	if (!wanted)
		return false;
	buf_add_str(out, STR("* METADATA "));
	if (node)
		imap_write_mailbox(out, node->name, imap_is_utf8(news->s));
	else
		buf_add_str(out, STR("\"\""));
	return true;
}

static void tell_annotations(struct news *news)
{
	CLEANUP(store_annotations_release) struct store_annotations changes = {};
	struct buf *out = &news->s->out;
	if (!store_read_annotation_changes(news->reader, news->n->annotations, &changes, &news->n->annotations, NULL))
		return;
	for (size_t i = 0; i < changes.list.count;) {
		uint64_t mailbox = changes.list.items[i].mailbox;
		bool wanted = begin_metadata(news, mailbox);
		for (; i < changes.list.count && changes.list.items[i].mailbox == mailbox; i++) {
			if (!wanted)
				continue;
			buf_add_char(out, ' ');
			imap_write_astring(out, changes.list.items[i].entry, false);
		}
		if (wanted)
			buf_add_str(out, STR("\r\n"));
	}
}

/* ---- telling ---- */

static struct store_reader *reader_of(struct imap_session *s)
{
	if (!s->reader)
		s->reader = store_reader_acquire(s->session->account->store, NULL);
	return s->reader;
}

static bool read_tree(struct imap_session *s, struct imap_tree *tree)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct store_reader *reader = reader_of(s);
	if (reader && imap_tree_read(tree, reader, &fail))
		return true;
	log_event(LOG_ERROR, s->session->connection, "imap-notify", LOG_TEXT("account", str_of(s->session->address)),
	          LOG_TEXT("why", str_of(fail_text(fail))));
	return false;
}

/* §5.8 */
static void overflow(struct imap_session *s)
{
	be_silent(s->kept.notify);
	imap_untagged_ok(s, "NOTIFICATIONOVERFLOW", IMAP_SAY_TOO_MANY_EVENTS, NULL);
}

static void tell_others(struct imap_session *s)
{
	struct imap_notify *n = s->kept.notify;
	struct imap_tree now = {};
	if (!read_tree(s, &now)) {
		imap_tree_release(&now);
		return;
	}
	if (now.mailboxes.list.count > LIMIT_IMAP_NOTIFY_MAILBOXES_MAX) {
		imap_tree_release(&now);
		overflow(s);
		return;
	}
	struct news news = { .s = s, .n = n, .reader = s->reader, .now = &now };
	for_each_mailbox(&news, tell_names_of);
	tell_subscriptions(&news);
	for_each_mailbox(&news, tell_counters_of);
	if (n->all_events & (IMAP_EVENT_MAILBOX_METADATA | IMAP_EVENT_SERVER_METADATA))
		tell_annotations(&news);
	imap_tree_release(&n->known);
	n->known = now;
}

/* MessageNew's items, after the EXISTS (§5.2), which the command at hand may have told already. */
static void tell_new_messages(struct imap_session *s)
{
	struct imap_numbers added = {};
	const char *items = s->kept.notify->items;
	uint32_t uid = s->view.noticed, last = s->view.index ? uidmap_last(&s->view.uids) : 0;
	s->view.noticed = last;
	if (!items)
		return;
	while (uid < last && (uid = uidmap_next(&s->view.uids, uid + 1)))
		if (!imap_is_own(s, uid))
			imap_numbers_append(&added, uid);
	if (added.ranges.count)
		imap_fetch_new(s, str_of(items), &added);
	imap_numbers_release(&added);
}

/* Whether something happened since the last time; false after NOTIFY NONE. */
static bool was_woken(const struct imap_notify *n)
{
	eventfd_t times;
	return n->listener.event >= 0 && eventfd_read(n->listener.event, &times) == 0;
}

void imap_notify_catch_up(struct imap_session *s)
{
	const struct imap_notify *n = s->kept.notify;
	if (!n || !n->all_events || !was_woken(n))
		return;
	tell_others(s);
	store_reader_release(&s->reader);
}

bool imap_notify_tell(struct imap_session *s, bool may_expunge)
{
	struct imap_notify *n = s->kept.notify;
	was_woken(n);
	bool between_commands = !s->command.info;
	if (!imap_tell_changes(s, may_expunge && !(between_commands && n->delayed)))
		return false;
	tell_new_messages(s);
	if (n->all_events)
		tell_others(s);
	if (between_commands)
		store_reader_release(&s->reader);
	return true;
}

/* ---- own changes ---- */

/* Counters that were not told yet stay news. */
static void keep_counters(struct news *news UNUSED, struct imap_node *was, struct imap_node *is)
{
	if (!was || !is)
		return;
	struct store_mailbox *row = (struct store_mailbox *)(uintptr_t)is->mailbox;
	row->messages = was->mailbox->messages;
	row->unseen = was->mailbox->unseen;
	row->uidnext = was->mailbox->uidnext;
	row->highestmodseq = was->mailbox->highestmodseq;
}

void imap_notify_absorb(struct imap_session *s)
{
	CLEANUP(store_annotations_release) struct store_annotations changes = {};
	struct imap_notify *n = s->kept.notify;
	struct imap_tree now = {};
	if (!n || !n->all_events)
		return;
	if (!read_tree(s, &now)) {
		imap_tree_release(&now);
		return;
	}
	struct news news = { .s = s, .n = n, .now = &now };
	for_each_mailbox(&news, keep_counters);
	imap_tree_release(&n->known);
	n->known = now;
	store_read_annotation_changes(s->reader, n->annotations, &changes, &n->annotations, NULL);
}

/* ---- the command ---- */

/* §3.1: what the client needs to know to begin with. */
static void write_status(struct imap_session *s)
{
	const struct imap_notify *n = s->kept.notify;
	for (size_t i = 0; i < n->known.nodes.count && imap_send_some(s); i++) {
		const struct imap_node *node = &n->known.nodes.items[i];
		if (!node->mailbox || is_selected(s, node->mailbox))
			continue;
		unsigned events = events_of(n, node), items = 0;
		if (events & IMAP_EVENT_MESSAGE_NEW)
			items |= IMAP_STATUS_MESSAGES | IMAP_STATUS_UIDNEXT | IMAP_STATUS_UIDVALIDITY;
		if (events & IMAP_EVENT_FLAG_CHANGE)
			items |= IMAP_STATUS_UIDVALIDITY | IMAP_STATUS_HIGHESTMODSEQ;
		if (items)
			imap_status_write(s, s->reader, node->mailbox, items);
	}
}

/* False: too many mailboxes, or they can't be read; the answer is written. */
static bool begin(struct imap_session *s, struct imap_notify *n)
{
	CLEANUP(store_annotations_release) struct store_annotations old = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!n->all_events)
		return true;
	struct store_reader *reader = imap_reader(s);
	if (!reader)
		return false;
	if (!imap_tree_read(&n->known, reader, &fail) ||
	    !store_read_annotation_changes(reader, 0, &old, &n->annotations, &fail)) {
		imap_no_fail(s, fail);
		return false;
	}
	if (n->known.mailboxes.list.count <= LIMIT_IMAP_NOTIFY_MAILBOXES_MAX)
		return true;
	imap_no(s, "NOTIFICATIONOVERFLOW", IMAP_SAY_TOO_MANY_EVENTS, NULL);
	return false;
}

void imap_notify(struct imap_session *s)
{
	struct imap_notify_command command;
	char code[200];
	imap_parse_notify(&s->parser, &command);
	if (!imap_arguments_end(s))
		return;
	if (command.bad_event) {
		snprintf(code, sizeof code, "BADEVENT (%s)", imap_notify_event_names);
		imap_no(s, code, IMAP_SAY_BAD_EVENT, NULL);
		return;
	}
	struct imap_notify *n = notify_new(s->session->account->store, &command);
	if (!begin(s, n)) {
		imap_notify_free(&n);
		return;
	}
	imap_notify_free(&s->kept.notify);
	s->kept.notify = n;
	s->view.noticed = s->view.index ? uidmap_last(&s->view.uids) : 0;
	if (command.status)
		write_status(s);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

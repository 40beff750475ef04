#include "imap_notify_command.h"

#include "imap_fetch_items.h"
#include "limits.h"

const char imap_notify_event_names[] = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange"
                                       " MailboxMetadataChange ServerMetadataChange";

static bool fail_by_limit(struct imap_parser *p, const char *expected)
{
	p->too_much = !p->failed;
	return imap_parse_fail(p, expected);
}

/* ---- names ---- */

struct names {
	struct str items[LIMIT_IMAP_NOTIFY_NAMES_MAX];
	size_t count;
};

static void take_name(struct imap_parser *p, struct names *names)
{
	struct str name = imap_parse_mailbox(p);
	if (p->failed)
		return;
	if (names->count == LIMIT_IMAP_NOTIFY_NAMES_MAX)
		fail_by_limit(p, "fewer mailboxes");
	else
		names->items[names->count++] = name;
}

/* one-or-more-mailbox */
static void parse_names(struct imap_parser *p, struct names *names, struct imap_notify_group *group)
{
	size_t before = names->count;
	imap_parse_space(p);
	if (imap_parse_peek(p) != '(')
		take_name(p, names);
	else
		for (imap_parse_list_begin(p); imap_parse_list_next(p);)
			take_name(p, names);
	group->name_count = names->count - before;
	if (!group->name_count) {
		imap_parse_fail(p, "a mailbox name");
		return;
	}
	struct str *kept = arena_alloc_array(p->arena, group->name_count, sizeof *kept);
	memcpy(kept, names->items + before, group->name_count * sizeof *kept);
	group->names = kept;
}

/* ---- filters ---- */

static void parse_filter(struct imap_parser *p, struct names *names, struct imap_notify_group *group)
{
	static const char *const words[] = {
		[IMAP_NOTIFY_SELECTED] = "selected",     [IMAP_NOTIFY_SELECTED_DELAYED] = "selected-delayed",
		[IMAP_NOTIFY_INBOXES] = "inboxes",       [IMAP_NOTIFY_PERSONAL] = "personal",
		[IMAP_NOTIFY_SUBSCRIBED] = "subscribed", [IMAP_NOTIFY_SUBTREE] = "subtree",
		[IMAP_NOTIFY_MAILBOXES] = "mailboxes",
	};
	struct str word = imap_parse_atom(p);
	size_t i = 0;
	while (i < COUNT_OF(words) && !str_equal_nocase(word, str_of(words[i])))
		i++;
	if (p->failed || i == COUNT_OF(words)) {
		imap_parse_fail(p, "which mailboxes");
		return;
	}
	group->filter = (enum imap_notify_filter)i;
	if (group->filter == IMAP_NOTIFY_SUBTREE || group->filter == IMAP_NOTIFY_MAILBOXES)
		parse_names(p, names, group);
}

static bool is_selected(const struct imap_notify_group *group)
{
	return group->filter == IMAP_NOTIFY_SELECTED || group->filter == IMAP_NOTIFY_SELECTED_DELAYED;
}

/* ---- events ---- */

/* fetch-att list behind MessageNew; kept as text, read again when it is used */
static void parse_items(struct imap_parser *p, struct imap_notify_group *group)
{
	struct imap_fetch_items items;
	imap_parse_space(p);
	size_t start = p->at;
	imap_parse_fetch_items(p, &items);
	if (p->failed)
		return;
	group->items = str_from(p->text.data + start, p->at - start);
	if (group->items.length > LIMIT_IMAP_NOTIFY_ITEMS_MAX)
		fail_by_limit(p, "fewer items");
	else if (!is_selected(group))
		imap_parse_fail(p, "no items but for the selected mailbox");
}

static bool items_are_next(const struct imap_parser *p)
{
	return imap_parse_peek(p) == ' ' && p->at + 1 < p->text.length && p->text.data[p->at + 1] == '(';
}

static void parse_event(struct imap_parser *p, struct imap_notify_command *command, struct imap_notify_group *group)
{
	static const char *const words[] = {
		"MessageNew",         "MessageExpunge",        "FlagChange",           "MailboxName",
		"SubscriptionChange", "MailboxMetadataChange", "ServerMetadataChange",
	};
	struct str word = imap_parse_atom(p);
	unsigned event = 0;
	for (unsigned i = 0; i < COUNT_OF(words); i++)
		if (str_equal_nocase(word, str_of(words[i])))
			event = 1U << i;
	/* RFC 5465 §3.1: an event that is not supported is no bad syntax */
	command->bad_event = command->bad_event || (!p->failed && !event);
	group->events |= event;
	if (event == IMAP_EVENT_MESSAGE_NEW && items_are_next(p))
		parse_items(p, group);
}

/* With the parentheses of §8, or without, as in the first example of §3.1. */
static void parse_events(struct imap_parser *p, struct imap_notify_command *command, struct imap_notify_group *group)
{
	size_t count = 0;
	if (imap_parse_word(p, "NONE"))
		return;
	bool list = imap_parse_skip(p, '(');
	do {
		if (++count > LIMIT_IMAP_NOTIFY_EVENTS_MAX)
			fail_by_limit(p, "fewer events");
		parse_event(p, command, group);
	} while (imap_parse_more(p));
	if (list)
		imap_parse_char(p, ')');
}

/* RFC 5465 §5, §6.1 */
static void check_group(struct imap_parser *p, const struct imap_notify_group *group)
{
	unsigned both = IMAP_EVENT_MESSAGE_NEW | IMAP_EVENT_MESSAGE_EXPUNGE;
	if (group->events & IMAP_EVENTS_OF_MESSAGES && (group->events & both) != both)
		imap_parse_fail(p, "MessageNew and MessageExpunge together");
	if (is_selected(group) && group->events & ~(unsigned)IMAP_EVENTS_OF_MESSAGES)
		imap_parse_fail(p, "message events only for the selected mailbox");
}

static void parse_group(struct imap_parser *p, struct imap_notify_command *command, struct names *names,
                        struct imap_notify_group *group)
{
	imap_parse_char(p, '(');
	parse_filter(p, names, group);
	imap_parse_space(p);
	parse_events(p, command, group);
	imap_parse_char(p, ')');
	check_group(p, group);
}

static void parse_groups(struct imap_parser *p, struct imap_notify_command *command)
{
	struct imap_notify_group *groups = arena_alloc_array(p->arena, LIMIT_IMAP_NOTIFY_GROUPS_MAX, sizeof *groups);
	struct names *names = arena_alloc(p->arena, sizeof *names);
	unsigned selected = 0;
	command->groups = groups;
	do {
		if (command->group_count == LIMIT_IMAP_NOTIFY_GROUPS_MAX) {
			fail_by_limit(p, "fewer groups");
			return;
		}
		struct imap_notify_group *group = &groups[command->group_count++];
		parse_group(p, command, names, group);
		selected += !p->failed && is_selected(group);
		if (selected > 1)
			imap_parse_fail(p, "the selected mailbox once");
	} while (imap_parse_more(p));
}

void imap_parse_notify(struct imap_parser *p, struct imap_notify_command *command)
{
	*command = (struct imap_notify_command){};
	imap_parse_space(p);
	command->none = imap_parse_word(p, "NONE");
	if (command->none)
		return;
	if (!imap_parse_word(p, "SET"))
		imap_parse_fail(p, "SET or NONE");
	imap_parse_space(p);
	command->status = imap_parse_word(p, "STATUS");
	if (command->status)
		imap_parse_space(p);
	parse_groups(p, command);
}

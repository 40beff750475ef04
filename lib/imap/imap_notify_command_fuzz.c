/* What comes out obeys the rules of RFC 5465 §5 and §6.1. */
#include "imap_notify_command.h"

#include "limits.h"

enum { ARENA = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_selected(const struct imap_notify_group *group)
{
	return group->filter == IMAP_NOTIFY_SELECTED || group->filter == IMAP_NOTIFY_SELECTED_DELAYED;
}

static void check(const struct imap_notify_group *group)
{
	unsigned both = IMAP_EVENT_MESSAGE_NEW | IMAP_EVENT_MESSAGE_EXPUNGE;
	must(!(group->events & IMAP_EVENTS_OF_MESSAGES) || (group->events & both) == both);
	must(!is_selected(group) || !(group->events & ~(unsigned)IMAP_EVENTS_OF_MESSAGES));
	must(!group->items.length || (is_selected(group) && group->events & IMAP_EVENT_MESSAGE_NEW));
	must(group->items.length <= LIMIT_IMAP_NOTIFY_ITEMS_MAX);
	must((group->filter == IMAP_NOTIFY_SUBTREE || group->filter == IMAP_NOTIFY_MAILBOXES) == (group->name_count > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_notify_command command;
	struct imap_parser p;
	size_t names = 0, selected = 0;
	imap_parser_init(&p, arena, str_from((const char *)data, size), false);
	imap_parse_notify(&p, &command);
	if (!imap_parse_end(&p))
		return 0;
	must(command.none ? !command.group_count
	                  : command.group_count >= 1 && command.group_count <= LIMIT_IMAP_NOTIFY_GROUPS_MAX);
	for (size_t i = 0; i < command.group_count; i++) {
		check(&command.groups[i]);
		names += command.groups[i].name_count;
		selected += is_selected(&command.groups[i]);
	}
	must(names <= LIMIT_IMAP_NOTIFY_NAMES_MAX && selected <= 1);
	return 0;
}

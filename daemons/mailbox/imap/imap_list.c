#include "imap_list.h"

#include "imap_list_command.h"
#include "imap_mailboxes.h"
#include "imap_metadata.h"
#include "imap_session.h"
#include "imap_status.h"
#include "limits.h"

/* ---- one answer ---- */

static void add_attribute(struct buf *out, bool *first, struct str attribute)
{
	if (!*first)
		buf_add_char(out, ' ');
	buf_add_str(out, attribute);
	*first = false;
}

static bool may_have_children(struct str name)
{
	size_t levels = 1;
	for (size_t i = 0; i < name.length; i++)
		levels += name.data[i] == '/';
	return levels < LIMIT_MAILBOX_DEPTH_MAX && name.length + 2 <= LIMIT_MAILBOX_NAME_MAX;
}

static void write_attributes(struct imap_session *s, const struct imap_node *node, bool extended, bool subscribed)
{
	bool first = true;
	struct str use = node->mailbox ? imap_use_name(node->mailbox->use) : (struct str){};
	/* RFC 3501 §7.2.2 knows no other name for a level that is no mailbox */
	if (!node->mailbox && !extended)
		add_attribute(&s->out, &first, STR("\\Noselect"));
	if (!node->mailbox)
		add_attribute(&s->out, &first, STR("\\NonExistent"));
	if (node->has_children)
		add_attribute(&s->out, &first, STR("\\HasChildren"));
	else if (may_have_children(node->name))
		add_attribute(&s->out, &first, STR("\\HasNoChildren"));
	else
		add_attribute(&s->out, &first, STR("\\Noinferiors"));
	if (subscribed && node->subscribed)
		add_attribute(&s->out, &first, STR("\\Subscribed"));
	if (use.length)
		add_attribute(&s->out, &first, use);
}

static void write_name(struct imap_session *s, struct str name)
{
	buf_add_str(&s->out, STR(") \"/\" "));
	imap_write_mailbox(&s->out, name, imap_is_utf8(s));
}

void imap_list_write(struct imap_session *s, const struct imap_node *node, struct str old_name)
{
	buf_add_str(&s->out, STR("* LIST ("));
	write_attributes(s, node, true, true);
	write_name(s, node->name);
	if (old_name.length) {
		buf_add_str(&s->out, STR(" (\"OLDNAME\" ("));
		imap_write_mailbox(&s->out, old_name, imap_is_utf8(s));
		buf_add_str(&s->out, STR("))"));
	}
	buf_add_str(&s->out, STR("\r\n"));
}

/* CHILDINFO, RFC 5258 §3.5 */
static void write_child_info(struct buf *out, unsigned select)
{
	bool both = (select & IMAP_SELECT_SUBSCRIBED) && (select & IMAP_SELECT_SPECIAL_USE);
	const char *subscribed = select & IMAP_SELECT_SUBSCRIBED ? "\"SUBSCRIBED\"" : "";
	const char *use = select & IMAP_SELECT_SPECIAL_USE ? "\"SPECIAL-USE\"" : "";
	buf_printf(out, " (\"CHILDINFO\" (%s%s%s))", subscribed, both ? " " : "", use);
}

/* ---- which names ---- */

struct match {
	bool name;   /* a pattern matches */
	bool levels; /* and it is one that shows levels of the hierarchy too */
};

static struct match match(const struct imap_list_command *command, struct str name)
{
	struct match found = {};
	for (size_t i = 0; i < command->pattern_count && !found.levels; i++) {
		const struct imap_list_pattern *pattern = &command->patterns[i];
		if ((!found.name || pattern->levels) && imap_list_matches(pattern->text, name, '/')) {
			found.name = true;
			found.levels = pattern->levels;
		}
	}
	return found;
}

static bool meets(const struct imap_node *node, unsigned select)
{
	if (!(select & (IMAP_SELECT_SUBSCRIBED | IMAP_SELECT_SPECIAL_USE)))
		return node->mailbox;
	if (select & IMAP_SELECT_SUBSCRIBED && !node->subscribed)
		return false;
	return !(select & IMAP_SELECT_SPECIAL_USE) || (node->mailbox && node->mailbox->use);
}

static void mark_above(struct imap_tree *tree, const struct imap_node *node, bool matched)
{
	for (ptrdiff_t at = node->parent; at != IMAP_NO_PARENT; at = tree->nodes.items[at].parent) {
		struct imap_node *above = &tree->nodes.items[at];
		if (above->met_below && (matched || above->met_below_unmatched))
			return;
		above->met_below = true;
		above->met_below_unmatched = above->met_below_unmatched || !matched;
	}
}

/* Fills met; and met_below and met_below_unmatched where they matter. */
static void mark(struct imap_tree *tree, const struct imap_list_command *command, unsigned select, bool below)
{
	for (size_t i = 0; i < tree->nodes.count; i++) {
		struct imap_node *node = &tree->nodes.items[i];
		node->met = meets(node, select);
		if (below && node->met && node->parent != IMAP_NO_PARENT)
			mark_above(tree, node, match(command, node->name).name);
	}
}

/* RFC 5258 §3.3; what was deleted, or never made, is still the name of a level above mailboxes: RFC 9051 §6.3.5 */
static bool is_listed(const struct imap_node *node, const struct imap_list_command *command)
{
	if (node->met)
		return true;
	if (command->select & IMAP_SELECT_RECURSIVE)
		return node->met_below_unmatched;
	return !(command->select & ~(unsigned)IMAP_SELECT_REMOTE) && node->has_children;
}

static void write_more(struct imap_session *s, struct store_reader *reader, const struct imap_node *node,
                       const struct imap_list_command *command)
{
	/* RFC 5819 §2: not for a name that stands here for its children only */
	if (!node->met || !node->mailbox)
		return;
	if (command->returns & IMAP_RETURN_STATUS)
		imap_status_write(s, reader, node->mailbox, command->status_items);
	if (command->returns & IMAP_RETURN_METADATA)
		imap_metadata_write_entries(s, reader, node->mailbox, command->entries, command->entry_count);
}

static void list_node(struct imap_session *s, struct store_reader *reader, const struct imap_node *node,
                      const struct imap_list_command *command)
{
	bool subscribed = command->select & IMAP_SELECT_SUBSCRIBED || command->returns & IMAP_RETURN_SUBSCRIBED;
	buf_add_str(&s->out, STR("* LIST ("));
	write_attributes(s, node, command->extended, subscribed);
	write_name(s, node->name);
	if (command->select & IMAP_SELECT_RECURSIVE && node->met_below)
		write_child_info(&s->out, command->select);
	buf_add_str(&s->out, STR("\r\n"));
	write_more(s, reader, node, command);
}

/* ---- the commands ---- */

static void list_all(struct imap_session *s, struct store_reader *reader, struct imap_tree *tree,
                     const struct imap_list_command *command)
{
	mark(tree, command, command->select, command->select & IMAP_SELECT_RECURSIVE);
	for (size_t i = 0; i < tree->nodes.count && imap_send_some(s); i++) {
		const struct imap_node *node = &tree->nodes.items[i];
		if (match(command, node->name).name && is_listed(node, command))
			list_node(s, reader, node, command);
	}
}

/* RFC 3501 §6.3.9: a level whose children are subscribed, but not itself, is \Noselect where the pattern ends with
 * "%". */
static void lsub_all(struct imap_session *s, struct store_reader *reader UNUSED, struct imap_tree *tree,
                     const struct imap_list_command *command)
{
	mark(tree, command, IMAP_SELECT_SUBSCRIBED, true);
	for (size_t i = 0; i < tree->nodes.count && imap_send_some(s); i++) {
		const struct imap_node *node = &tree->nodes.items[i];
		struct match found = match(command, node->name);
		if (!found.name || !(node->met || (found.levels && node->met_below)))
			continue;
		buf_printf(&s->out, "* LSUB (%s", node->met ? "" : "\\Noselect");
		write_name(s, node->name);
		buf_add_str(&s->out, STR("\r\n"));
	}
}

static void answer(struct imap_session *s, const struct imap_list_command *command,
                   void (*write)(struct imap_session *s, struct store_reader *reader, struct imap_tree *tree,
                                 const struct imap_list_command *command))
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(imap_tree_release) struct imap_tree tree = {};
	struct store_reader *reader = imap_reader(s);
	if (!reader)
		return;
	if (!imap_tree_read(&tree, reader, &fail)) {
		imap_no_fail(s, fail);
		return;
	}
	write(s, reader, &tree, command);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

void imap_list(struct imap_session *s)
{
	struct imap_list_command command;
	imap_parse_list_command(&s->parser, &command);
	if (!imap_arguments_end(s))
		return;
	if (command.asks_delimiter) {
		buf_add_str(&s->out, STR("* LIST (\\Noselect) \"/\" \"\"\r\n"));
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
		return;
	}
	if (command.status_items & IMAP_STATUS_HIGHESTMODSEQ)
		imap_switch_on(s, IMAP_ENABLE_CONDSTORE); /* RFC 7162 §3.1 */
	answer(s, &command, list_all);
}

void imap_lsub(struct imap_session *s)
{
	struct imap_list_command command;
	imap_parse_lsub_command(&s->parser, &command);
	if (imap_arguments_end(s))
		answer(s, &command, lsub_all);
}

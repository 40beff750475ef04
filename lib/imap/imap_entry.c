#include "imap_entry.h"

#include "limits.h"

/* ---- names ---- */

/* RFC 5464 §3.2 */
static bool is_entry_octet(char c)
{
	return c > 0x20 && c < 0x7f && c != '*' && c != '%';
}

static size_t component_count(struct str name)
{
	size_t count = 0;
	for (size_t i = 0; i < name.length; i++)
		count += name.data[i] == '/';
	return count;
}

static bool is_below(struct str name, struct str parent)
{
	return str_equal(name, parent) || (str_starts(name, parent) && name.data[parent.length] == '/');
}

static bool is_entry_name(struct str name)
{
	if (name.length > LIMIT_IMAP_ENTRY_NAME_MAX || component_count(name) > LIMIT_IMAP_ENTRY_DEPTH_MAX)
		return false;
	for (size_t i = 0; i < name.length; i++) {
		bool component_ends = i + 1 == name.length || name.data[i + 1] == '/';
		if (!is_entry_octet(name.data[i]) || (name.data[i] == '/' && component_ends))
			return false;
	}
	return is_below(name, STR("/private")) || is_below(name, STR("/shared"));
}

static struct str parse_entry(struct imap_parser *p)
{
	struct str written = imap_parse_astring(p);
	if (p->failed)
		return (struct str){};
	struct str name = arena_copy(p->arena, written);
	for (size_t i = 0; i < name.length; i++)
		((char *)name.data)[i] = char_lower(name.data[i]);
	if (!is_entry_name(name))
		imap_parse_fail(p, "an entry name below /private or /shared");
	return name;
}

/* Names that hold a value: two components, and four in the vendors' trees (RFC 5464 §3.2). */
static bool may_have_value(struct str name)
{
	size_t components = component_count(name);
	bool vendor = is_below(name, STR("/private/vendor")) || is_below(name, STR("/shared/vendor"));
	return components >= (vendor ? 4 : 2);
}

bool imap_entry_matches(struct str asked, enum imap_entry_depth depth, struct str entry)
{
	if (!is_below(entry, asked))
		return false;
	size_t below = component_count(entry) - component_count(asked);
	return depth == IMAP_DEPTH_INFINITY || below <= (size_t)depth;
}

/* ---- lists ---- */

struct names {
	struct str items[LIMIT_IMAP_ENTRIES_MAX];
	size_t count;
};

static void take_entry(struct imap_parser *p, struct names *names)
{
	struct str entry = parse_entry(p);
	if (p->failed)
		return;
	if (names->count == LIMIT_IMAP_ENTRIES_MAX) {
		imap_parse_fail(p, "fewer entries");
		p->too_much = true;
		return;
	}
	names->items[names->count++] = entry;
}

static void take_entries(struct imap_parser *p, struct names *names)
{
	if (imap_parse_peek(p) != '(') {
		take_entry(p, names);
		return;
	}
	for (imap_parse_list_begin(p); imap_parse_list_next(p);)
		take_entry(p, names);
	if (!names->count)
		imap_parse_fail(p, "an entry");
}

static void keep_entries(struct imap_parser *p, const struct names *names, const struct str **entries, size_t *count)
{
	struct str *kept = arena_alloc_array(p->arena, names->count, sizeof *kept);
	if (names->count)
		memcpy(kept, names->items, names->count * sizeof *kept);
	*entries = kept;
	*count = p->failed ? 0 : names->count;
}

void imap_parse_entries(struct imap_parser *p, const struct str **entries, size_t *count)
{
	struct names names = {};
	take_entries(p, &names);
	keep_entries(p, &names, entries, count);
}

/* ---- commands ---- */

static void parse_depth(struct imap_parser *p, struct imap_getmetadata *command)
{
	imap_parse_space(p);
	if (imap_parse_word(p, "0"))
		command->depth = IMAP_DEPTH_0;
	else if (imap_parse_word(p, "1"))
		command->depth = IMAP_DEPTH_1;
	else if (imap_parse_word(p, "infinity"))
		command->depth = IMAP_DEPTH_INFINITY;
	else
		imap_parse_fail(p, "0, 1 or infinity");
}

/* getmetadata-options, RFC 5464 §5 */
static void parse_options(struct imap_parser *p, struct imap_getmetadata *command)
{
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		if (imap_parse_word(p, "MAXSIZE")) {
			imap_parse_space(p);
			command->has_max = true;
			command->max_size = imap_parse_number(p, UINT32_MAX);
		} else if (imap_parse_word(p, "DEPTH")) {
			parse_depth(p, command);
		} else {
			imap_parse_fail(p, "MAXSIZE or DEPTH");
		}
	}
}

/* Entries begin with a slash, options never do. */
static bool options_are_next(const struct imap_parser *p)
{
	return imap_parse_peek(p) == '(' && p->at + 1 < p->text.length && char_is_alpha(p->text.data[p->at + 1]);
}

void imap_parse_getmetadata(struct imap_parser *p, struct imap_getmetadata *command)
{
	struct names names = {};
	*command = (struct imap_getmetadata){};
	imap_parse_space(p);
	if (imap_parse_peek(p) == '(') {
		parse_options(p, command);
		imap_parse_space(p);
	}
	command->mailbox = imap_parse_mailbox(p);
	imap_parse_space(p);
	if (options_are_next(p)) {
		parse_options(p, command);
		imap_parse_space(p);
	}
	do
		take_entries(p, &names);
	while (imap_parse_more(p)); /* RFC 5464 §4.4.1: the example names several without parentheses */
	keep_entries(p, &names, &command->entries, &command->entry_count);
}

/* value = nstring / literal8 */
static struct str parse_value(struct imap_parser *p)
{
	bool binary;
	char next = imap_parse_peek(p);
	if (next != '"' && next != '{' && next != '~')
		return imap_parse_nstring(p);
	struct str value = imap_parse_literal8_or_string(p, &binary);
	return value.data ? value : STR("");
}

void imap_parse_setmetadata(struct imap_parser *p, struct imap_setmetadata *command)
{
	struct imap_entry_value *values = arena_alloc_array(p->arena, LIMIT_IMAP_ENTRIES_MAX, sizeof *values);
	*command = (struct imap_setmetadata){ .values = values };
	imap_parse_space(p);
	command->mailbox = imap_parse_mailbox(p);
	imap_parse_space(p);
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		if (command->count == LIMIT_IMAP_ENTRIES_MAX) {
			imap_parse_fail(p, "fewer entries");
			p->too_much = true;
			return;
		}
		struct imap_entry_value *value = &values[command->count++];
		value->entry = parse_entry(p);
		if (!p->failed && !may_have_value(value->entry))
			imap_parse_fail(p, "an entry that can have a value");
		imap_parse_space(p);
		value->value = parse_value(p);
	}
	if (!command->count)
		imap_parse_fail(p, "an entry and its value");
}

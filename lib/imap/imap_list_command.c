#include "imap_list_command.h"

#include "imap_entry.h"
#include "imap_status_items.h"
#include "imap_write.h"
#include "limits.h"
#include "text.h"

/* No canonical pattern that is longer matches a name: between two octets of it stands one wildcard at most. */
enum { PATTERN_MAX = 2 * LIMIT_MAILBOX_NAME_MAX + 1 };

struct word {
	const char *name;
	unsigned bit;
};

static unsigned find_word(struct imap_parser *p, const struct word *words, size_t count, const char *expected)
{
	struct str name = imap_parse_atom(p);
	for (size_t i = 0; !p->failed && i < count; i++)
		if (str_equal_nocase(name, str_of(words[i].name)))
			return words[i].bit;
	imap_parse_fail(p, expected);
	return 0;
}

/* ---- patterns ---- */

static bool is_wildcard(char c)
{
	return c == '*' || c == '%';
}

/* "%*%*%*" is "*": what is left costs no more than its length times that of a name. */
static void add_without_runs(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.length; i++) {
		char last = out->length ? out->data[out->length - 1] : '\0';
		if (!is_wildcard(text.data[i]) || !is_wildcard(last))
			buf_add_char(out, text.data[i]);
		else if (text.data[i] == '*')
			out->data[out->length - 1] = '*';
	}
}

static bool decode(struct imap_parser *p, struct buf *out, struct str text)
{
	if (!p->utf8)
		return imap_mutf7_decode(out, text);
	return text_is_utf8(text) && buf_add_str(out, text);
}

/* False: it matches nothing. */
static bool make_canonical(struct imap_parser *p, struct str reference, struct str pattern,
                           struct imap_list_pattern *canonical)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(p->text.length * 3 + 1);
	CLEANUP(buf_release) struct buf shorter = BUF_WITH_LIMIT(PATTERN_MAX);
	if (!decode(p, &text, reference) || !decode(p, &text, pattern))
		return false;
	add_without_runs(&shorter, buf_str(&text));
	canonical->text = arena_copy(p->arena, buf_str(&shorter));
	canonical->levels = pattern.length && pattern.data[pattern.length - 1] == '%';
	return !shorter.overflowed;
}

struct patterns {
	struct str raw[LIMIT_IMAP_LIST_PATTERNS_MAX];
	size_t count;
};

static void take_pattern(struct imap_parser *p, struct patterns *patterns)
{
	struct str pattern = imap_parse_list_mailbox(p);
	if (patterns->count == LIMIT_IMAP_LIST_PATTERNS_MAX) {
		imap_parse_fail(p, "fewer patterns");
		p->too_much = true;
		return;
	}
	patterns->raw[patterns->count++] = pattern;
}

static void canonicalize(struct imap_parser *p, struct str reference, const struct patterns *patterns,
                         struct imap_list_command *command)
{
	struct imap_list_pattern *list = arena_alloc_array(p->arena, patterns->count, sizeof *list);
	command->patterns = list;
	for (size_t i = 0; !p->failed && i < patterns->count; i++) {
		/* RFC 5258 §3: an empty one is passed over in the extended forms */
		if (str_is_empty(patterns->raw[i]))
			continue;
		if (make_canonical(p, reference, patterns->raw[i], &list[command->pattern_count]))
			command->pattern_count++;
	}
}

/* mbox-or-pat */
static void parse_patterns(struct imap_parser *p, struct patterns *patterns, struct imap_list_command *command)
{
	if (imap_parse_peek(p) != '(') {
		take_pattern(p, patterns);
		return;
	}
	command->extended = true;
	for (imap_parse_list_begin(p); imap_parse_list_next(p);)
		take_pattern(p, patterns);
	if (!patterns->count)
		imap_parse_fail(p, "a pattern");
}

/* ---- options ---- */

static unsigned parse_selection(struct imap_parser *p)
{
	static const struct word words[] = {
		{ "SUBSCRIBED", IMAP_SELECT_SUBSCRIBED },
		{ "REMOTE", IMAP_SELECT_REMOTE },
		{ "RECURSIVEMATCH", IMAP_SELECT_RECURSIVE },
		{ "SPECIAL-USE", IMAP_SELECT_SPECIAL_USE },
	};
	unsigned select = 0;
	for (imap_parse_list_begin(p); imap_parse_list_next(p);)
		select |= find_word(p, words, COUNT_OF(words), "a selection option");
	/* RFC 5258 §3.1: alone it makes no sense */
	if (select & IMAP_SELECT_RECURSIVE && !(select & (IMAP_SELECT_SUBSCRIBED | IMAP_SELECT_SPECIAL_USE)))
		imap_parse_fail(p, "SUBSCRIBED or SPECIAL-USE beside RECURSIVEMATCH");
	return select;
}

static void parse_return_option(struct imap_parser *p, struct imap_list_command *command)
{
	static const struct word words[] = {
		{ "SUBSCRIBED", IMAP_RETURN_SUBSCRIBED }, { "CHILDREN", IMAP_RETURN_CHILDREN },
		{ "SPECIAL-USE", IMAP_RETURN_SPECIAL_USE }, { "STATUS", IMAP_RETURN_STATUS },
		{ "METADATA", IMAP_RETURN_METADATA },
	};
	unsigned option = find_word(p, words, COUNT_OF(words), "a return option");
	command->returns |= option;
	if (option == IMAP_RETURN_STATUS) {
		imap_parse_space(p);
		command->status_items |= imap_parse_status_items(p);
	} else if (option == IMAP_RETURN_METADATA) {
		imap_parse_space(p);
		imap_parse_entries(p, &command->entries, &command->entry_count);
	}
}

static void parse_return(struct imap_parser *p, struct imap_list_command *command)
{
	command->extended = true;
	if (!imap_parse_word(p, "RETURN")) {
		imap_parse_fail(p, "RETURN");
		return;
	}
	imap_parse_space(p);
	for (imap_parse_list_begin(p); imap_parse_list_next(p);)
		parse_return_option(p, command);
}

/* ---- commands ---- */

void imap_parse_list_command(struct imap_parser *p, struct imap_list_command *command)
{
	struct patterns patterns = {};
	*command = (struct imap_list_command){};
	imap_parse_space(p);
	if (imap_parse_peek(p) == '(') {
		command->extended = true;
		command->select = parse_selection(p);
		imap_parse_space(p);
	}
	struct str reference = imap_parse_astring(p);
	imap_parse_space(p);
	parse_patterns(p, &patterns, command);
	if (imap_parse_more(p))
		parse_return(p, command);
	command->asks_delimiter = !command->extended && str_is_empty(patterns.raw[0]);
	canonicalize(p, reference, &patterns, command);
}

void imap_parse_lsub_command(struct imap_parser *p, struct imap_list_command *command)
{
	struct patterns patterns = {};
	*command = (struct imap_list_command){};
	imap_parse_space(p);
	struct str reference = imap_parse_astring(p);
	imap_parse_space(p);
	take_pattern(p, &patterns);
	canonicalize(p, reference, &patterns, command);
}

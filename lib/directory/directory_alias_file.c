#include "directory_alias_file.h"

#include "buf.h"
#include "hash.h"

struct parser {
	struct arena *arena;
	struct alias_file *file;
	struct map *names;  /* of the entries so far: each stands once */
	struct str rest;
	unsigned line;      /* number of the line at the front of rest */
	struct buf logical;
};

static void add_problem(struct parser *p, unsigned line, const char *what, struct str about)
{
	struct str shown = str_first(about, 100);
	*array_add(&p->file->problems) =
		(struct alias_file_problem){ line, arena_printf(p->arena, "line %u: %s: %.*s", line, what, STR_ARG(shown)) };
}

static struct str take_line(struct parser *p)
{
	size_t end = str_find_char(p->rest, '\n');
	struct str line = str_first(p->rest, end);
	p->rest = str_from_index(p->rest, end + 1);
	p->line++;
	return line;
}

static bool is_comment(struct str line)
{
	line = str_trim(line);
	return str_is_empty(line) || line.data[0] == '#';
}

static bool continues(struct str line)
{
	return line.length > 0 && (line.data[0] == ' ' || line.data[0] == '\t');
}

/* Fills p->logical with a line and those that continue it; comments between them do not end it
 * (aliases(5)). False at the end of the file. */
static bool take_logical_line(struct parser *p, unsigned *number)
{
	buf_clear(&p->logical);
	while (!str_is_empty(p->rest)) {
		struct str next = str_first(p->rest, str_find_char(p->rest, '\n'));
		bool comment = is_comment(next);
		if (p->logical.length > 0 && !comment && !continues(next))
			return true;
		if (p->logical.length == 0)
			*number = p->line;
		take_line(p);
		if (!comment)
			buf_add_str(&p->logical, next);
	}
	return p->logical.length > 0;
}

/* Index of the first such byte that stands in no quotes, or text.length; SIZE_MAX when a quote
 * is left open. */
static size_t find_unquoted(struct str text, char wanted)
{
	bool quoted = false;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c == '"')
			quoted = !quoted;
		else if (c == '\\' && quoted && i + 1 < text.length)
			i++;
		else if (c == wanted && !quoted)
			return i;
	}
	return quoted ? SIZE_MAX : text.length;
}

static bool has_any(struct str text, const char *bytes)
{
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] && strchr(bytes, text.data[i]))
			return true;
	}
	return false;
}

/* A wholly quoted target that is an address or a command is what stands in the quotes; a local
 * part with spaces keeps them. */
static struct str unquote(struct str target)
{
	if (target.length < 2 || target.data[0] != '"' || target.data[target.length - 1] != '"')
		return target;
	struct str inner = str_from(target.data + 1, target.length - 2);
	bool special = str_starts(inner, STR("|")) || str_starts(inner, STR("/")) ||
	               str_starts_nocase(inner, STR(":include:"));
	bool address = has_any(inner, "@") && !has_any(inner, " \t,:;<>()\"\\");
	return special || address ? inner : target;
}

/* The address of "Full Name <address>" (aliases(5): as RFC 822 has it). */
static struct str without_name(struct str target)
{
	size_t open = find_unquoted(target, '<');
	if (open >= target.length || target.data[target.length - 1] != '>')
		return target;
	return str_from(target.data + open + 1, target.length - open - 2);
}

static const char *why_refused(struct str target)
{
	if (str_is_empty(target))
		return "a target is missing between commas";
	if (target.data[0] == '|')
		return "mail is not piped into programs; let the program fetch an account by IMAP or POP3";
	if (target.data[0] == '/')
		return "mail is not appended to files; make an account instead";
	if (str_starts_nocase(target, STR(":include:")))
		return "list files are not read; write the targets into the alias";
	return NULL;
}

static size_t count_targets(struct str list)
{
	size_t count = 1;
	for (size_t i = 0; i < list.length; i++)
		count += list.data[i] == ',';
	return count;
}

/* False with a problem added when a target cannot be taken over. */
static bool take_targets(struct parser *p, struct str list, struct alias_file_entry *entry)
{
	size_t most = count_targets(list);
	if (most > LIMIT_ALIAS_TARGETS_MAX) {
		add_problem(p, entry->line, "too many targets", entry->name);
		return false;
	}
	entry->targets = arena_alloc_array(p->arena, most, sizeof *entry->targets);
	while (!str_is_empty(list)) {
		size_t end = find_unquoted(list, ',');
		struct str target = unquote(without_name(str_trim(str_first(list, end))));
		/* "\user" says "do not look for another alias": an alias that names itself does just that here. */
		if (str_starts(target, STR("\\")))
			target = str_from_index(target, 1);
		bool last = end >= list.length;
		const char *why = end == SIZE_MAX ? "a quote is not closed" : why_refused(target);
		if (why) {
			add_problem(p, entry->line, why, target);
			return false;
		}
		entry->targets[entry->target_count++] = target;
		list = last ? STR("") : str_from_index(list, end + 1);
		if (!last && str_is_empty(str_trim(list)))
			break; /* a comma at the end is common and harmless */
	}
	return true;
}

static void parse_entry(struct parser *p, unsigned line)
{
	struct str text = arena_copy(p->arena, buf_str(&p->logical));
	size_t colon = find_unquoted(text, ':');
	struct alias_file_entry entry = { .line = line, .name = str_trim(str_first(text, colon)) };
	if (continues(text))
		add_problem(p, line, "the line continues nothing", text);
	else if (colon >= text.length || str_is_empty(entry.name))
		add_problem(p, line, "this is not \"name: target, …\"", text);
	else if (map_get(p->names, entry.name))
		add_problem(p, line, "the name stands twice", entry.name);
	else if (str_is_empty(str_trim(str_from_index(text, colon + 1))))
		add_problem(p, line, "the alias has no target", entry.name);
	else if (take_targets(p, str_trim(str_from_index(text, colon + 1)), &entry)) {
		map_set(p->names, entry.name, p->names);
		*array_add(&p->file->entries) = entry;
	}
}

bool alias_file_parse(struct str text, struct arena *arena, struct alias_file *file, struct fail **fail)
{
	unsigned line = 0;
	if (text.length > LIMIT_ALIAS_FILE_MAX)
		return fail_set(fail, FAIL_TOO_BIG, "the aliases file is larger than %d octets", LIMIT_ALIAS_FILE_MAX);
	struct parser p = { .arena = arena, .file = file, .names = map_new(), .rest = text, .line = 1 };
	buf_init(&p.logical, LIMIT_ALIAS_FILE_MAX);
	while (file->problems.count < LIMIT_ALIAS_FILE_PROBLEMS_MAX && take_logical_line(&p, &line))
		parse_entry(&p, line);
	buf_release(&p.logical);
	map_free(p.names);
	return true;
}

void alias_file_release(struct alias_file *file)
{
	array_release(&file->entries);
	array_release(&file->problems);
}

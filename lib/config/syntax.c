#include "config_internal.h"

#include "array.h"
#include "text.h"

enum token_kind { TOKEN_END, TOKEN_WORD, TOKEN_QUOTED, TOKEN_EQUALS, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_COMMA, TOKEN_BAD };

/* Sticky: after the first failure every token is TOKEN_BAD. */
struct reader {
	struct str rest;
	unsigned line;
	struct arena *arena;
	enum token_kind kind;
	struct str text;
	unsigned token_line;
	config_handler *handler;
	void *context;
	struct fail **fail;
};

static bool fail_at(struct reader *r, unsigned line, const char *text)
{
	if (r->kind != TOKEN_BAD)
		fail_set(r->fail, FAIL_INVALID, "%u: %s", line, text);
	r->kind = TOKEN_BAD;
	return false;
}

static bool is_word(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && !strchr("#\"'={},;", c);
}

static void skip_blanks(struct reader *r)
{
	while (r->rest.length) {
		char c = r->rest.data[0];
		if (c == '#') {
			r->rest = str_from_index(r->rest, str_find_char(r->rest, '\n'));
			continue;
		}
		if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			return;
		r->line += c == '\n';
		r->rest = str_from_index(r->rest, 1);
	}
}

static void read_word(struct reader *r)
{
	size_t length = 0;
	while (length < r->rest.length && is_word(r->rest.data[length]))
		length++;
	r->kind = TOKEN_WORD;
	r->text = str_first(r->rest, length);
	r->rest = str_from_index(r->rest, length);
}

static void read_quoted(struct reader *r)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_CONFIG_VALUE_MAX);
	size_t i = 1;
	for (; i < r->rest.length && r->rest.data[i] != '"'; i++) {
		char c = r->rest.data[i];
		if ((unsigned char)c < ' ' || c == 0x7f)
			break;
		if (c == '\\' && (++i == r->rest.length || ((c = r->rest.data[i]) != '"' && c != '\\'))) {
			fail_at(r, r->line, "after a backslash only \" and \\ may stand");
			return;
		}
		buf_add_char(&text, c);
	}
	if (i >= r->rest.length || r->rest.data[i] != '"') {
		fail_at(r, r->line, "the closing quotation mark is missing on this line");
		return;
	}
	if (text.overflowed) {
		fail_at(r, r->line, "the value is too long");
		return;
	}
	r->kind = TOKEN_QUOTED;
	r->text = arena_copy(r->arena, buf_str(&text));
	r->rest = str_from_index(r->rest, i + 1);
}

static void next(struct reader *r)
{
	static const char marks[] = "={},";
	static const enum token_kind kinds[] = { TOKEN_EQUALS, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_COMMA };
	if (r->kind == TOKEN_BAD)
		return;
	skip_blanks(r);
	r->token_line = r->line;
	if (r->rest.length == 0) {
		r->kind = TOKEN_END;
		return;
	}
	char c = r->rest.data[0];
	const char *mark = c ? strchr(marks, c) : NULL;
	if (mark) {
		r->kind = kinds[mark - marks];
		r->rest = str_from_index(r->rest, 1);
	} else if (c == '"') {
		read_quoted(r);
	} else if (is_word(c)) {
		read_word(r);
	} else {
		fail_at(r, r->line, c == '\'' ? "quote with \" instead of '" : "a character that has no meaning here");
	}
}

static bool is_value(const struct reader *r)
{
	return r->kind == TOKEN_WORD || r->kind == TOKEN_QUOTED;
}

static bool add_value(struct reader *r, struct config_values *values)
{
	if (values->count == LIMIT_CONFIG_LIST_MAX)
		return fail_at(r, r->token_line, "the list is too long");
	*array_add(values) = r->text;
	next(r);
	return true;
}

/* "{ a, b }": a comma behind the last one is fine. */
static bool read_list(struct reader *r, struct config_values *values)
{
	values->braced = true;
	next(r);
	while (is_value(r)) {
		if (!add_value(r, values))
			return false;
		if (r->kind != TOKEN_COMMA)
			break;
		next(r);
	}
	if (r->kind != TOKEN_CLOSE)
		return fail_at(r, r->token_line, "expected , or } in the list");
	next(r);
	return r->kind != TOKEN_BAD;
}

static bool call(struct reader *r, const struct config_assignment *assignment)
{
	if (r->handler(r->context, assignment, r->fail))
		return true;
	r->kind = TOKEN_BAD;
	return fail_prefix(r->fail, "%u", assignment->line);
}

/* "= value"; the key is taken already. */
static bool read_assignment(struct reader *r, struct config_assignment *a)
{
	if (r->kind != TOKEN_EQUALS)
		return fail_at(r, r->token_line, "expected = behind the name of a key");
	next(r);
	if (r->kind == TOKEN_OPEN) {
		if (!read_list(r, &a->values))
			return false;
	} else if (!is_value(r)) {
		return fail_at(r, r->token_line, "expected a value behind =");
	} else if (!add_value(r, &a->values)) {
		return false;
	}
	/* "a = 1 = 2" and the like are found where the next name should stand */
	return r->kind != TOKEN_BAD && call(r, a);
}

static bool read_key(struct reader *r, struct config_assignment *a)
{
	a->key = r->text;
	a->line = r->token_line;
	a->values = (struct config_values){};
	next(r);
	bool done = read_assignment(r, a);
	config_values_release(&a->values);
	return done;
}

/* `"title" { … }`; the word before it is taken already. */
static bool read_section(struct reader *r, struct str name, unsigned line)
{
	struct config_assignment a = { .section = name, .title = r->text };
	next(r);
	if (r->kind != TOKEN_OPEN)
		return fail_at(r, r->token_line, "expected { behind the title of a section");
	next(r);
	while (r->kind == TOKEN_WORD)
		if (!read_key(r, &a))
			return false;
	if (r->kind != TOKEN_CLOSE)
		return fail_at(r, r->token_line, "expected a key or } in the section");
	a.key = STR("");
	a.line = line;
	next(r);
	return r->kind != TOKEN_BAD && call(r, &a);
}

static bool read_item(struct reader *r)
{
	struct str name = r->text;
	unsigned line = r->token_line;
	if (r->kind != TOKEN_WORD)
		return fail_at(r, line, "expected the name of a key");
	next(r);
	if (is_value(r))
		return read_section(r, name, line);
	struct config_assignment a = { .key = name, .line = line };
	bool done = read_assignment(r, &a);
	config_values_release(&a.values);
	return done;
}

bool config_syntax_read(struct str text, config_handler *handler, void *context, struct fail **fail)
{
	if (text.length > LIMIT_CONFIG_SIZE_MAX)
		return fail_set(fail, FAIL_TOO_BIG, "1: the file is larger than %d octets", LIMIT_CONFIG_SIZE_MAX);
	if (!text_is_utf8(text))
		return fail_set(fail, FAIL_INVALID, "1: the file is not UTF-8 text");
	/* Values are copied with a NUL each, rounded up for alignment: at most some times the text. */
	CLEANUP(arena_cleanup) struct arena *arena = arena_new((size_t)LIMIT_CONFIG_SIZE_MAX * 64);
	struct reader r = { .rest = text, .line = 1, .arena = arena, .handler = handler, .context = context, .fail = fail };
	next(&r);
	while (r.kind != TOKEN_END)
		if (!read_item(&r))
			return false;
	return true;
}

void config_syntax_print(struct buf *out, struct str value, bool quoted)
{
	if (!quoted) {
		buf_add_str(out, value);
		return;
	}
	buf_add_char(out, '"');
	for (size_t i = 0; i < value.length; i++) {
		if (value.data[i] == '"' || value.data[i] == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, value.data[i]);
	}
	buf_add_char(out, '"');
}

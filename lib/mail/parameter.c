#include "parameter.h"

#include "charset.h"
#include "encoded_word.h"
#include "header.h"
#include "limits.h"
#include "text.h"

enum { PART_LENGTH = 54 };

struct reader {
	struct arena *arena;
	struct str rest;
};

static bool is_white(char c)
{
	return c == ' ' || c == '\t';
}

static void skip(struct reader *r, size_t length)
{
	r->rest = str_from_index(r->rest, length);
}

/* RFC 5322 §3.2.2. One that is never closed is no comment. */
static size_t comment_length(struct str s)
{
	size_t depth = 0;
	for (size_t i = 0; i < s.length; i++) {
		depth += (s.data[i] == '(');
		depth -= (s.data[i] == ')');
		if (depth == 0)
			return i + 1;
		i += (s.data[i] == '\\');
	}
	return s.length;
}

static void skip_white(struct reader *r)
{
	for (;;) {
		if (r->rest.length && is_white(r->rest.data[0]))
			skip(r, 1);
		else if (r->rest.length && r->rest.data[0] == '(')
			skip(r, comment_length(r->rest));
		else
			return;
	}
}

/* Up to a blank or one of the stops. */
static struct str take_word(struct reader *r, const char *stops)
{
	size_t i = 0;
	while (i < r->rest.length && !is_white(r->rest.data[i]) && (!r->rest.data[i] || !strchr(stops, r->rest.data[i])))
		i++;
	struct str word = str_first(r->rest, i);
	skip(r, i);
	return word;
}

/* Only \" and \\ are taken as quoted: many programs put plain Windows paths between the quotes. */
static struct str without_backslashes(struct arena *a, struct str s)
{
	if (str_find_char(s, '\\') == s.length)
		return s;
	char *text = arena_alloc(a, s.length);
	size_t length = 0;
	for (size_t i = 0; i < s.length; i++) {
		if (s.data[i] == '\\' && i + 1 < s.length && (s.data[i + 1] == '"' || s.data[i + 1] == '\\'))
			i++;
		text[length++] = s.data[i];
	}
	return str_from(text, length);
}

static struct str take_quoted(struct reader *r)
{
	size_t i = 1;
	while (i < r->rest.length && r->rest.data[i] != '"')
		i += r->rest.data[i] == '\\' && i + 1 < r->rest.length ? 2 : 1;
	struct str inside = str_first(str_from_index(r->rest, 1), i - 1);
	skip(r, i + 1);
	return without_backslashes(r->arena, inside);
}

/* Words up to the semicolon; one with "=" in it begins the next parameter, whose semicolon is missing. */
static struct str take_unquoted(struct reader *r)
{
	const char *start = r->rest.data;
	struct str word = take_word(r, ";");
	size_t length = word.length;
	for (;;) {
		struct reader ahead = *r;
		while (ahead.rest.length && is_white(ahead.rest.data[0]))
			skip(&ahead, 1);
		if (ahead.rest.length == 0 || ahead.rest.data[0] == '(')
			break;
		word = take_word(&ahead, ";");
		if (word.length == 0 || str_find_char(word, '=') < word.length)
			break;
		length = (size_t)(word.data + word.length - start);
		*r = ahead;
	}
	return str_from(start, length);
}

static void add(struct reader *r, struct parameter_list *list, struct parameter **last, struct parameter parameter)
{
	struct parameter *added = arena_alloc(r->arena, sizeof *added);
	*added = parameter;
	if (*last)
		(*last)->next = added;
	else
		list->first = added;
	*last = added;
	list->count++;
}

void parameter_parse(struct arena *a, struct str field, size_t max, struct str *value, struct parameter_list *list)
{
	struct reader r = { a, header_unfold(a, field) };
	struct parameter *last = NULL;
	*list = (struct parameter_list){};
	skip_white(&r);
	*value = take_word(&r, ";(");
	while (r.rest.length && list->count < max) {
		skip_white(&r);
		struct parameter parameter = { .name = take_word(&r, ";=(") };
		skip_white(&r);
		if (r.rest.length == 0 || r.rest.data[0] != '=') {
			if (parameter.name.length == 0)
				skip(&r, 1);
			continue;
		}
		skip(&r, 1);
		skip_white(&r);
		bool quoted = r.rest.length && r.rest.data[0] == '"';
		parameter.value = quoted ? take_quoted(&r) : take_unquoted(&r);
		if (parameter.name.length)
			add(&r, list, &last, parameter);
	}
}

struct str parameter_raw(const struct parameter_list *list, struct str name)
{
	for (const struct parameter *p = list->first; p; p = p->next)
		if (str_equal_nocase(p->name, name))
			return p->value;
	return (struct str){};
}

/* RFC 2231 §3 and §4: a value in parts, each with its own form. */
struct part {
	const struct parameter *parameter;
	bool encoded;
};

/* "name*", "name*7" or "name*7*"; false when it is none of them. */
static bool part_of(struct str name, struct str wanted, size_t *index, bool *encoded)
{
	if (!str_starts_nocase(name, wanted) || name.length <= wanted.length || name.data[wanted.length] != '*')
		return false;
	struct str number = str_from_index(name, wanted.length + 1);
	uint64_t value = 0;
	*encoded = number.length == 0 || number.data[number.length - 1] == '*';
	if (number.length && *encoded)
		number.length--;
	if (number.length && !str_to_u64(number, LIMIT_MIME_PARAMETERS_MAX - 1, &value))
		return false;
	*index = (size_t)value;
	return true;
}

static void collect_parts(const struct parameter_list *list, struct str name, struct part *parts)
{
	size_t index;
	bool encoded;
	for (const struct parameter *p = list->first; p; p = p->next)
		if (part_of(p->name, name, &index, &encoded) && !parts[index].parameter)
			parts[index] = (struct part){ p, encoded };
}

static void percent_decode(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.length; i++) {
		unsigned char byte;
		bool encoded = s.data[i] == '%' && i + 2 < s.length && text_hex_decode(str_from(s.data + i + 1, 2), &byte, 1);
		buf_add_char(out, encoded ? (char)byte : s.data[i]);
		i += encoded ? 2 : 0;
	}
}

/* RFC 2231 §4: charset'language'text; without the quotes all of it is text. */
static struct str take_charset(struct str *value)
{
	struct str rest = *value, charset, language;
	if (!str_take_until(&rest, '\'', &charset) || !str_take_until(&rest, '\'', &language) ||
	    language.data + language.length == value->data + value->length)
		return STR("utf-8");
	*value = rest;
	return charset;
}

static void join_parts(struct buf *out, const struct part *parts)
{
	struct str charset = STR("utf-8");
	size_t size = 0;
	for (size_t i = 0; i < LIMIT_MIME_PARAMETERS_MAX && parts[i].parameter; i++)
		size += parts[i].parameter->value.length;
	CLEANUP(buf_release) struct buf bytes = BUF_WITH_LIMIT(size);
	for (size_t i = 0; i < LIMIT_MIME_PARAMETERS_MAX && parts[i].parameter; i++) {
		struct str value = parts[i].parameter->value;
		if (i == 0 && parts[i].encoded)
			charset = take_charset(&value);
		if (parts[i].encoded)
			percent_decode(&bytes, value);
		else
			buf_add_str(&bytes, value);
	}
	charset_to_utf8(out, charset, buf_str(&bytes));
}

bool parameter_find(struct buf *out, const struct parameter_list *list, struct str name)
{
	struct part parts[LIMIT_MIME_PARAMETERS_MAX] = {};
	collect_parts(list, name, parts);
	if (parts[0].parameter) {
		join_parts(out, parts);
		return true;
	}
	struct str value = parameter_raw(list, name);
	if (!value.data)
		return false;
	encoded_word_decode(out, value);
	return true;
}

/* RFC 2045 §5.1 token; RFC 2231 §7 attribute-char takes three more away. */
static bool is_token_char(char c)
{
	return c > 0x20 && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

static bool is_attribute_char(char c)
{
	return is_token_char(c) && c != '*' && c != '\'' && c != '%';
}

static void add_quoted(struct buf *out, struct str name, struct str value)
{
	buf_add_str(out, STR("; "));
	buf_add_str(out, name);
	buf_add_str(out, STR("=\""));
	for (size_t i = 0; i < value.length; i++) {
		if (value.data[i] == '"' || value.data[i] == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, value.data[i]);
	}
	buf_add_char(out, '"');
}

static size_t add_percent(struct buf *out, char c)
{
	if (is_attribute_char(c)) {
		buf_add_char(out, c);
		return 1;
	}
	buf_printf(out, "%%%02X", (unsigned char)c);
	return 3;
}

void parameter_add(struct buf *out, struct str name, struct str utf8)
{
	if (str_is_printable(utf8)) {
		add_quoted(out, name, utf8);
		return;
	}
	bool one = utf8.length * 3 <= PART_LENGTH;
	size_t i = 0;
	for (unsigned part = 0; i < utf8.length && part < LIMIT_MIME_PARAMETERS_MAX; part++) {
		buf_add_str(out, STR(";\r\n "));
		buf_add_str(out, name);
		if (one)
			buf_add_str(out, STR("*="));
		else
			buf_printf(out, "*%u*=", part);
		buf_add_str(out, part == 0 ? STR("utf-8''") : STR(""));
		for (size_t used = 0; i < utf8.length && used + 3 <= PART_LENGTH; i++)
			used += add_percent(out, utf8.data[i]);
	}
}

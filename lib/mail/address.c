#include "address.h"

/*
 * Text is gathered in out, which has room for as many bytes as the value has: each byte written stands for
 * one read, since a blank put between two words stands for the white space or comment there.
 */
struct parser {
	struct arena *arena;
	struct str value;
	size_t position;
	char *out;
	size_t used;
	struct address_list *list;
	struct address *last;
	size_t max;
	bool in_group;
	bool after_angle; /* nothing but comments may stand between ">" and the next comma */
};

/* The words before the next character that has a meaning in the list. */
struct words {
	size_t start; /* in out; they end at used */
	bool any;
	bool quoted;
	struct str comment; /* the first one among them, as it came */
};

static bool is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

static bool is_special(char c)
{
	return is_white(c) || memchr("<>,;:\"()@[]", c, 11);
}

static bool at_end(const struct parser *p)
{
	return p->position >= p->value.length;
}

static char peek(const struct parser *p)
{
	return p->value.data[p->position];
}

static bool at(const struct parser *p, char c)
{
	return !at_end(p) && peek(p) == c;
}

static void put(struct parser *p, char c)
{
	must(p->used < p->value.length);
	p->out[p->used++] = c;
}

static void skip_white(struct parser *p)
{
	while (!at_end(p) && is_white(peek(p)))
		p->position++;
}

/* RFC 5322 §3.2.1: the byte behind a backslash; line breaks are folding. */
static size_t unquoted_byte(struct str s, size_t i, char *c)
{
	if (s.data[i] == '\\' && i + 1 < s.length)
		i++;
	*c = s.data[i];
	return i + 1;
}

static void copy_byte(struct parser *p)
{
	char c;
	p->position = unquoted_byte(p->value, p->position, &c);
	if (c != '\r' && c != '\n' && c != '\0')
		put(p, c);
}

/* RFC 5322 §3.2.4. One that is never closed ends with the value. */
static void read_quoted_string(struct parser *p)
{
	p->position++;
	while (!at_end(p) && peek(p) != '"')
		copy_byte(p);
	p->position += !at_end(p);
}

/* RFC 5322 §3.2.2: nested; what stands between the outer parentheses. */
static struct str read_comment(struct parser *p)
{
	size_t start = ++p->position, depth = 1;
	while (!at_end(p)) {
		char c = peek(p);
		depth += (c == '(');
		depth -= (c == ')');
		if (depth == 0)
			break;
		p->position += c == '\\' && p->position + 1 < p->value.length ? 2 : 1;
	}
	struct str comment = str_from(p->value.data + start, p->position - start);
	p->position += !at_end(p);
	return comment;
}

/* RFC 5322 §3.4.1 domain-literal, kept with its brackets. */
static void read_literal(struct parser *p)
{
	while (!at_end(p) && !memchr("]>,", peek(p), 3))
		copy_byte(p);
	if (at(p, ']'))
		copy_byte(p);
}

static void read_word(struct parser *p, struct words *w)
{
	w->any = true;
	if (peek(p) == '"') {
		w->quoted = true;
		read_quoted_string(p);
	} else if (peek(p) == '[') {
		read_literal(p);
	} else {
		while (!at_end(p) && !is_special(peek(p)))
			copy_byte(p);
	}
}

static bool ends_words(char c, bool in_angle)
{
	return c == '<' || c == ',' || c == ';' || c == ':' || c == '@' || (in_angle && c == '>');
}

/* Reads words; brackets and parentheses without a partner are passed over. */
static struct words read_words(struct parser *p, bool in_angle)
{
	struct words w = { .start = p->used };
	bool separated = false;
	while (!at_end(p) && !ends_words(peek(p), in_angle)) {
		char c = peek(p);
		if (c == '(') {
			struct str comment = read_comment(p);
			w.comment = w.comment.length ? w.comment : comment;
			separated = true;
		} else if (is_white(c) || c == ')' || c == ']' || c == '>') {
			p->position++;
			separated = true;
		} else {
			if (separated && w.any)
				put(p, ' ');
			separated = false;
			read_word(p, &w);
		}
	}
	return w;
}

static struct str text_of(const struct parser *p, const struct words *w)
{
	return str_from(p->out + w->start, p->used - w->start);
}

/* RFC 5322 §4.4 obs-local-part and obs-domain: white space around the dots is no part of them. */
static struct str without_blanks(struct parser *p, const struct words *w)
{
	struct str s = text_of(p, w);
	char *text = p->out + w->start;
	size_t length = 0;
	for (size_t i = 0; i < s.length; i++) {
		bool by_dot = (length && text[length - 1] == '.') || (i + 1 < s.length && s.data[i + 1] == '.');
		if (s.data[i] != ' ' || !by_dot)
			text[length++] = s.data[i];
	}
	p->used = w->start + length;
	return str_from(text, length);
}

/* Keeps the place for the end of an open group. */
static struct address *add(struct parser *p)
{
	if (p->list->count + p->in_group >= p->max)
		return NULL;
	struct address *address = arena_alloc(p->arena, sizeof *address);
	if (p->last)
		p->last->next = address;
	else
		p->list->first = address;
	p->last = address;
	p->list->count++;
	return address;
}

/* Old mail has the name of a person in a comment behind the address. */
static struct str comment_text(struct parser *p, struct str comment)
{
	comment = str_trim(comment);
	if (comment.length == 0)
		return (struct str){};
	char *text = arena_alloc(p->arena, comment.length), c;
	size_t length = 0;
	for (size_t i = 0; i < comment.length;) {
		i = unquoted_byte(comment, i, &c);
		if (c != '\r' && c != '\n' && c != '\0')
			text[length++] = c;
	}
	return str_from(text, length);
}

static void add_mailbox(struct parser *p, struct str name, struct str comment, struct address parts)
{
	struct address *address = add(p);
	if (!address)
		return;
	address->name = name.length ? name : comment_text(p, comment);
	address->route = parts.route;
	address->mailbox = parts.mailbox;
	address->host = parts.host;
}

/* Local part before "@", domain behind it; of several "@" the last one counts. The whole then lies in out
 * from w->start on, since the byte for "@" is put between them. */
static void read_domain(struct parser *p, struct words *w, bool in_angle, struct address *parts)
{
	parts->mailbox = w->quoted ? text_of(p, w) : without_blanks(p, w);
	parts->host = str_from(p->out + p->used, 0);
	while (at(p, '@')) {
		parts->mailbox = text_of(p, w);
		p->position++;
		put(p, '@');
		struct words domain = read_words(p, in_angle);
		struct str host = without_blanks(p, &domain);
		parts->host = str_first(host, str_find_char(host, ' '));
		w->comment = w->comment.length ? w->comment : domain.comment;
	}
}

/* RFC 5322 §4.4 obs-route: "@a,@b:" before the local part; without the colon it is left to be read as a domain. */
static struct str read_route(struct parser *p)
{
	size_t start = p->used, begin = p->position;
	while (!at_end(p) && !memchr(":<>\"", peek(p), 4)) {
		if (is_white(peek(p)))
			p->position++;
		else
			copy_byte(p);
	}
	if (at(p, ':')) {
		p->position++;
		return str_from(p->out + start, p->used - start);
	}
	p->position = begin;
	p->used = start;
	return (struct str){};
}

static void read_angle(struct parser *p, struct str name, struct str comment)
{
	struct address parts = {};
	while (at(p, '<') || (!at_end(p) && is_white(peek(p))))
		p->position++;
	if (at(p, '@'))
		parts.route = read_route(p);
	struct words w = read_words(p, true);
	read_domain(p, &w, true, &parts);
	if (at(p, '>'))
		p->position++;
	skip_white(p);
	if (at(p, '(')) {
		struct str behind = read_comment(p);
		comment = comment.length ? comment : behind;
	}
	add_mailbox(p, name, comment.length ? comment : w.comment, parts);
	p->after_angle = true;
}

static void end_group(struct parser *p)
{
	if (!p->in_group)
		return;
	p->in_group = false;
	add(p);
}

static void begin_group(struct parser *p, struct str name)
{
	end_group(p);
	if (p->list->count + 2 > p->max)
		return;
	struct address *address = add(p);
	address->mailbox = name;
	p->in_group = true;
}

/* Words and what ends them. */
static void read_entry(struct parser *p)
{
	struct address parts = {};
	struct words w = read_words(p, false);
	bool bare = !at(p, '@');
	if (!bare)
		read_domain(p, &w, false, &parts);
	if (at(p, '<'))
		read_angle(p, text_of(p, &w), w.comment);
	else if (at(p, ':') && w.any)
		begin_group(p, text_of(p, &w));
	else if (!bare)
		add_mailbox(p, (struct str){}, w.comment, parts);
	else if (w.any && !p->after_angle)
		add_mailbox(p, (struct str){}, w.comment, (struct address){ .mailbox = text_of(p, &w),
		                                                            .host = str_from(p->out + p->used, 0) });
}

void address_parse(struct arena *a, struct str value, size_t max, struct address_list *list)
{
	value = str_trim(value);
	if (value.length == 0 || list->count >= max)
		return;
	struct parser p = { .arena = a, .value = value, .list = list, .max = max };
	p.out = arena_alloc(a, value.length);
	for (p.last = list->first; p.last && p.last->next;)
		p.last = p.last->next;
	while (!at_end(&p) && list->count + p.in_group < max) {
		read_entry(&p);
		if (at_end(&p) || !memchr(",;:", peek(&p), 3))
			continue;
		if (peek(&p) == ';')
			end_group(&p);
		p.after_angle = false;
		p.position++;
	}
	end_group(&p);
}

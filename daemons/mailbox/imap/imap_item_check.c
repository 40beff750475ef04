#include "imap_item_check.h"

enum { OUT_MAX = 512 << 20, DEPTH_MAX = 1000 };

/* ---- reading values ---- */

static struct imap_value *add_value(struct arena *arena, enum imap_value_kind kind, struct str text)
{
	struct imap_value *value = arena_alloc(arena, sizeof *value);
	value->kind = kind;
	value->text = text;
	return value;
}

static void skip(struct str *rest, size_t length)
{
	*rest = str_from_index(*rest, length);
}

static size_t closing_quote(struct str s)
{
	size_t i = 1;
	for (; i < s.length && s.data[i] != '"'; i++) {
		must(s.data[i] != '\r' && s.data[i] != '\n' && s.data[i] != '\0');
		i += s.data[i] == '\\';
	}
	must(i < s.length);
	return i;
}

static struct imap_value *read_quoted(struct arena *arena, struct str *rest)
{
	size_t end = closing_quote(*rest), length = 0;
	char *text = arena_alloc(arena, end);
	for (size_t i = 1; i < end; i++) {
		i += rest->data[i] == '\\';
		text[length++] = rest->data[i];
	}
	skip(rest, end + 1);
	return add_value(arena, IMAP_VALUE_STRING, str_from(text, length));
}

static struct imap_value *read_literal(struct arena *arena, struct str *rest)
{
	uint64_t size;
	bool binary = rest->data[0] == '~';
	skip(rest, binary + 1u);
	size_t end = str_find_char(*rest, '}');
	must(str_to_u64(str_first(*rest, end), INT64_MAX, &size));
	skip(rest, end);
	must(str_starts(*rest, STR("}\r\n")));
	skip(rest, 3);
	must(size <= rest->length);
	struct imap_value *value = add_value(arena, IMAP_VALUE_STRING, str_first(*rest, size));
	value->binary = binary;
	must(binary || str_find_char(value->text, '\0') == value->text.length);
	skip(rest, size);
	return value;
}

static struct imap_value *read_value(struct arena *arena, struct str *rest, size_t depth);

/* Lists of lists stand without blanks between them where the grammar says so (addresses, parts). */
static struct imap_value *read_list(struct arena *arena, struct str *rest, size_t depth)
{
	struct imap_value *list = add_value(arena, IMAP_VALUE_LIST, (struct str){}), **last = &list->first;
	skip(rest, 1);
	while (rest->length && rest->data[0] != ')') {
		struct imap_value *value = read_value(arena, rest, depth + 1);
		must(value);
		*last = value;
		last = &value->next;
		list->count++;
		must(rest->length);
		bool blank = rest->data[0] == ' ';
		must(blank || rest->data[0] == ')' || (rest->data[0] == '(' && value->kind == IMAP_VALUE_LIST));
		skip(rest, blank);
		must(!blank || (rest->length && rest->data[0] != ')' && rest->data[0] != ' '));
	}
	must(rest->length);
	skip(rest, 1);
	return list;
}

static bool is_atom_char(char c)
{
	return c > 0x20 && c < 0x7f && !strchr("(){\"%*", c);
}

static struct imap_value *read_value(struct arena *arena, struct str *rest, size_t depth)
{
	size_t length = 0;
	must(depth < DEPTH_MAX);
	if (!rest->length)
		return NULL;
	switch (rest->data[0]) {
	case '"': return read_quoted(arena, rest);
	case '~':
	case '{': return read_literal(arena, rest);
	case '(': return read_list(arena, rest, depth);
	}
	while (length < rest->length && is_atom_char(rest->data[length]))
		length++;
	if (!length)
		return NULL;
	struct str atom = str_first(*rest, length);
	skip(rest, length);
	return add_value(arena, str_equal(atom, STR("NIL")) ? IMAP_VALUE_NIL : IMAP_VALUE_ATOM, atom);
}

/* ---- items ---- */

struct imap_value *imap_check_item(struct arena *arena, struct imap_mail *mail, const struct imap_fetch_item *item,
                                   bool utf8)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(OUT_MAX);
	const struct imap_output output = { .out = &out, .utf8 = utf8 };
	const struct imap_row row = { .row = { .message = 7, .modseq = 8, .uid = 9, .size = (uint32_t)mail->size },
		.number = 1,
		                          .flags = STR("FLAGS (\\Seen)"), .thread = 7 };
	struct imap_fields fields;
	imap_fields_init(&fields, &item->section);
	enum imap_item_result result = imap_item_write(&output, item, &fields, &row, mail);
	imap_fields_release(&fields);
	must(result != IMAP_ITEM_BROKEN && (result == IMAP_ITEM_WRITTEN || out.length == 0));
	if (result != IMAP_ITEM_WRITTEN)
		return NULL;
	must(!out.overflowed);
	struct str rest = arena_copy(arena, buf_str(&out));
	must(str_starts(rest, item->label));
	skip(&rest, item->label.length);
	must(str_starts(rest, STR(" ")));
	skip(&rest, 1);
	struct imap_value *value = read_value(arena, &rest, 0);
	must(value && rest.length == 0);
	return value;
}

struct imap_value *imap_check_asked(struct arena *arena, struct imap_mail *mail, struct str asked, bool utf8)
{
	struct imap_parser parser;
	struct imap_fetch_items items;
	imap_parser_init(&parser, arena, asked, utf8);
	imap_parse_fetch_items(&parser, &items);
	must(imap_parse_end(&parser) && items.count == 1);
	return imap_check_item(arena, mail, &items.list[0], utf8);
}

/* ---- structures ---- */

struct walk {
	struct arena *arena;
	struct imap_mail *mail;
	bool utf8;
	size_t parts_left; /* each is a look at the mail: not all of very many */
};

static struct imap_value *nth(const struct imap_value *list, size_t n)
{
	struct imap_value *value = list->first;
	while (value && n--)
		value = value->next;
	must(value);
	return value;
}

static uint64_t number_of(const struct imap_value *value)
{
	uint64_t number;
	must(value->kind == IMAP_VALUE_ATOM && str_to_u64(value->text, UINT64_MAX, &number));
	return number;
}

static struct imap_value *ask(struct walk *w, const char *form, struct str number)
{
	struct str asked = arena_printf(w->arena, "%s[%.*s]", form, STR_ARG(number));
	return imap_check_asked(w->arena, w->mail, asked, w->utf8);
}

static size_t count_lines(struct str text)
{
	size_t lines = 0;
	for (size_t end; (end = str_find_char(text, '\n')) < text.length; skip(&text, end + 1))
		lines++;
	return lines;
}

static bool is_message(const struct imap_value *part)
{
	struct str subtype = nth(part, 1)->text;
	return str_equal_nocase(nth(part, 0)->text, STR("message")) && nth(part, 2)->kind != IMAP_VALUE_STRING &&
	       (str_equal_nocase(subtype, STR("rfc822")) || str_equal_nocase(subtype, STR("global"))) && part->count > 11;
}

/* Octets, lines, the header of the part, and the part decoded. */
static void check_leaf(struct walk *w, const struct imap_value *part, struct str number)
{
	const struct imap_value *body = ask(w, "BODY.PEEK", number);
	must(body && body->kind == IMAP_VALUE_STRING && body->text.length == number_of(nth(part, 6)));
	if (str_equal_nocase(nth(part, 0)->text, STR("text")) && str_find_char(body->text, '\n') < body->text.length)
		must(count_lines(body->text) == number_of(nth(part, 7)));
	struct str mime = arena_printf(w->arena, "%.*s.MIME", STR_ARG(number));
	const struct imap_value *header = ask(w, "BODY.PEEK", mime);
	must(header && header->kind == IMAP_VALUE_STRING);
	const struct imap_value *decoded = ask(w, "BINARY.PEEK", number), *size = ask(w, "BINARY.SIZE", number);
	must(!decoded == !size);
	must(!decoded || decoded->text.length == number_of(size));
}

static void check_part(struct walk *w, const struct imap_value *part, struct str number, bool top);

static void check_children(struct walk *w, const struct imap_value *part, struct str number)
{
	size_t n = 1;
	for (const struct imap_value *child = part->first; child && child->kind == IMAP_VALUE_LIST;
	     child = child->next, n++)
		check_part(w, child, arena_printf(w->arena, "%.*s%s%zu", STR_ARG(number), number.length ? "." : "", n), false);
}

static void check_inner_message(struct walk *w, const struct imap_value *part, struct str number)
{
	struct str text = arena_printf(w->arena, "%.*s.TEXT", STR_ARG(number));
	struct str header = arena_printf(w->arena, "%.*s.HEADER", STR_ARG(number));
	const struct imap_value *body = ask(w, "BODY.PEEK", text), *top = ask(w, "BODY.PEEK", header);
	must(body && top && body->text.length + top->text.length == number_of(nth(part, 6)));
	must(nth(part, 7)->count == 10);
	check_part(w, nth(part, 8), number, true);
}

/* top: the content of a message, which has the message's number, and is its part 1 when it is no multipart. */
static void check_part(struct walk *w, const struct imap_value *part, struct str number, bool top)
{
	must(part->kind == IMAP_VALUE_LIST && part->first);
	if (w->parts_left == 0)
		return;
	w->parts_left--;
	if (part->first->kind == IMAP_VALUE_LIST) {
		check_children(w, part, number);
		return;
	}
	if (top)
		number = arena_printf(w->arena, "%.*s%s1", STR_ARG(number), number.length ? "." : "");
	check_leaf(w, part, number);
	if (is_message(part))
		check_inner_message(w, part, number);
}

void imap_check_structure(struct arena *arena, struct imap_mail *mail, bool utf8)
{
	enum { PARTS_CHECKED = 200 };
	struct walk w = { arena, mail, utf8, PARTS_CHECKED };
	const struct imap_value *structure = imap_check_asked(arena, mail, STR("BODYSTRUCTURE"), utf8);
	const struct imap_value *envelope = imap_check_asked(arena, mail, STR("ENVELOPE"), utf8);
	must(structure && envelope && envelope->count == 10);
	check_part(&w, structure, STR(""), true);
	const struct imap_value *all = imap_check_asked(arena, mail, STR("BODY.PEEK[]"), utf8);
	const struct imap_value *header = imap_check_asked(arena, mail, STR("BODY.PEEK[HEADER]"), utf8);
	const struct imap_value *text = imap_check_asked(arena, mail, STR("BODY.PEEK[TEXT]"), utf8);
	must(all->text.length == mail->size && header->text.length + text->text.length == all->text.length);
	must(str_starts(all->text, header->text));
	must(str_equal(str_from_index(all->text, header->text.length), text->text));
}

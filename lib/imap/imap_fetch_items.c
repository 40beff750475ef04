#include "imap_fetch_items.h"

#include "array.h"
#include "imap_write.h"
#include "limits.h"

enum { LABEL_MAX = 1 << 21 };

#define NUMBER64_MAX ((uint64_t)INT64_MAX) /* RFC 9051 §9 number64 */

struct reading {
	struct imap_parser *parser;
	ARRAY(struct imap_fetch_item) list;
	struct buf label;
	size_t fields; /* names in all items */
};

/* Items without arguments. */
static const struct plain_item {
	const char *name;
	enum imap_fetch_kind kind;
} plain_items[] = {
	{ "FLAGS", IMAP_FETCH_FLAGS },
	{ "UID", IMAP_FETCH_UID },
	{ "INTERNALDATE", IMAP_FETCH_INTERNALDATE },
	{ "RFC822.SIZE", IMAP_FETCH_SIZE },
	{ "ENVELOPE", IMAP_FETCH_ENVELOPE },
	{ "BODYSTRUCTURE", IMAP_FETCH_BODYSTRUCTURE },
	{ "MODSEQ", IMAP_FETCH_MODSEQ },
	{ "SAVEDATE", IMAP_FETCH_SAVEDATE },
	{ "EMAILID", IMAP_FETCH_EMAILID },
	{ "THREADID", IMAP_FETCH_THREADID },
};

static struct imap_fetch_item *add_item(struct reading *r, enum imap_fetch_kind kind, const char *label)
{
	if (r->list.count >= LIMIT_IMAP_FETCH_ITEMS_MAX) {
		r->parser->too_much |= !r->parser->failed;
		imap_parse_fail(r->parser, "fewer data items");
		return NULL;
	}
	struct imap_fetch_item *item = array_add(&r->list);
	*item = (struct imap_fetch_item){ .kind = kind, .label = str_of(label) };
	return item;
}

/* ---- sections ---- */

static const struct str text_names[] = {
	[IMAP_SECTION_ALL] = STR(""),
	[IMAP_SECTION_HEADER] = STR("HEADER"),
	[IMAP_SECTION_FIELDS] = STR("HEADER.FIELDS"),
	[IMAP_SECTION_FIELDS_NOT] = STR("HEADER.FIELDS.NOT"),
	[IMAP_SECTION_TEXT] = STR("TEXT"),
	[IMAP_SECTION_MIME] = STR("MIME"),
};

/* section-part = nz-number *("." nz-number); *more: a "." was taken and no number follows it. */
static void parse_part(struct reading *r, struct imap_section *section, bool *more)
{
	uint32_t numbers[LIMIT_IMAP_SECTION_DEPTH_MAX];
	*more = false;
	while (char_is_digit(imap_parse_peek(r->parser))) {
		if (section->depth == COUNT_OF(numbers)) {
			r->parser->too_much |= !r->parser->failed;
			imap_parse_fail(r->parser, "fewer part numbers");
			return;
		}
		numbers[section->depth++] = (uint32_t)imap_parse_nz_number(r->parser, UINT32_MAX);
		*more = imap_parse_skip(r->parser, '.');
		if (!*more)
			break;
	}
	uint32_t *copy = arena_alloc_array(r->parser->arena, section->depth, sizeof *copy);
	memcpy(copy, numbers, section->depth * sizeof *copy);
	section->numbers = copy;
}

/* header-list = "(" header-fld-name *(SP header-fld-name) ")" */
static void parse_fields(struct reading *r, struct imap_section *section)
{
	struct imap_parser *p = r->parser;
	ARRAY(struct str) names = {};
	imap_parse_space(p);
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		struct str name = imap_parse_astring(p);
		if (p->failed)
			break;
		if (++r->fields > LIMIT_IMAP_FETCH_FIELDS_MAX) {
			p->too_much = true;
			imap_parse_fail(p, "fewer field names");
			break;
		}
		*array_add(&names) = name;
	}
	if (!names.count)
		imap_parse_fail(p, "a field name");
	struct str *copy = arena_alloc_array(p->arena, names.count, sizeof *copy);
	if (names.count)
		memcpy(copy, names.items, names.count * sizeof *copy);
	section->fields = copy;
	section->field_count = names.count;
	array_release(&names);
}

/* section-msgtext, and MIME behind part numbers. */
static void parse_text(struct reading *r, struct imap_section *section)
{
	if (imap_parse_word(r->parser, "HEADER.FIELDS.NOT"))
		section->text = IMAP_SECTION_FIELDS_NOT;
	else if (imap_parse_word(r->parser, "HEADER.FIELDS"))
		section->text = IMAP_SECTION_FIELDS;
	else if (imap_parse_word(r->parser, "HEADER"))
		section->text = IMAP_SECTION_HEADER;
	else if (imap_parse_word(r->parser, "TEXT"))
		section->text = IMAP_SECTION_TEXT;
	else if (section->depth && imap_parse_word(r->parser, "MIME"))
		section->text = IMAP_SECTION_MIME;
	else
		imap_parse_fail(r->parser, "HEADER, HEADER.FIELDS, TEXT or a part number");
	if (section->text == IMAP_SECTION_FIELDS || section->text == IMAP_SECTION_FIELDS_NOT)
		parse_fields(r, section);
}

/* BINARY has part numbers only (RFC 9051 §9 section-binary); clients ask for HEADER, TEXT and MIME with it as well. */
static void parse_section(struct reading *r, struct imap_section *section)
{
	struct imap_parser *p = r->parser;
	bool more;
	imap_parse_char(p, '[');
	parse_part(r, section, &more);
	if (more || (!section->depth && imap_parse_peek(p) != ']'))
		parse_text(r, section);
	imap_parse_char(p, ']');
}

/* "<" number64 "." nz-number64 ">"; for BINARY also without a length: to the end. */
static void parse_range(struct imap_parser *p, struct imap_fetch_item *item)
{
	item->is_partial = imap_parse_skip(p, '<');
	if (!item->is_partial)
		return;
	item->offset = imap_parse_number(p, NUMBER64_MAX);
	if (item->kind == IMAP_FETCH_BINARY && imap_parse_peek(p) == '>') {
		item->length = NUMBER64_MAX;
	} else {
		imap_parse_char(p, '.');
		item->length = imap_parse_nz_number(p, NUMBER64_MAX);
	}
	imap_parse_char(p, '>');
}

static void add_field_names(struct buf *label, const struct imap_section *section)
{
	buf_add_str(label, STR(" ("));
	for (size_t i = 0; i < section->field_count; i++) {
		if (i)
			buf_add_char(label, ' ');
		imap_write_astring(label, section->fields[i], false);
	}
	buf_add_char(label, ')');
}

/* What the answer calls it: without .PEEK, and with the origin only of a partial (RFC 9051 §7.5.2). */
static void set_label(struct reading *r, struct imap_fetch_item *item, struct str name)
{
	const struct imap_section *section = &item->section;
	struct buf *label = &r->label;
	buf_clear(label);
	buf_add_str(label, name);
	buf_add_char(label, '[');
	for (size_t i = 0; i < section->depth; i++) {
		if (i)
			buf_add_char(label, '.');
		buf_add_u64(label, section->numbers[i]);
	}
	if (section->depth && section->text != IMAP_SECTION_ALL)
		buf_add_char(label, '.');
	buf_add_str(label, text_names[section->text]);
	if (section->field_count)
		add_field_names(label, section);
	buf_add_char(label, ']');
	if (item->is_partial) {
		buf_add_char(label, '<');
		buf_add_u64(label, item->offset);
		buf_add_char(label, '>');
	}
	must(!label->overflowed); /* names are bounded by the command's length */
	item->label = arena_copy(r->parser->arena, buf_str(label));
}

/* ---- items ---- */

static void parse_section_item(struct reading *r, enum imap_fetch_kind kind, bool peek, struct str name)
{
	struct imap_fetch_item *item = add_item(r, kind, NULL);
	if (!item)
		return;
	item->sets_seen = !peek;
	parse_section(r, &item->section);
	if (kind != IMAP_FETCH_BINARY_SIZE)
		parse_range(r->parser, item);
	if (!r->parser->failed)
		set_label(r, item, name);
}

/* RFC822 is BODY[], RFC822.HEADER BODY.PEEK[HEADER], RFC822.TEXT BODY[TEXT]: RFC 3501 §6.4.5. */
static void add_old_item(struct reading *r, const char *label, enum imap_section_text text)
{
	struct imap_fetch_item *item = add_item(r, IMAP_FETCH_SECTION, label);
	if (!item)
		return;
	item->section.text = text;
	item->sets_seen = text != IMAP_SECTION_HEADER;
}

/* RFC 8970 §3.1: PREVIEW [SP "(" "LAZY" ")"] */
static void parse_preview(struct reading *r)
{
	struct imap_parser *p = r->parser;
	struct imap_fetch_item *item = add_item(r, IMAP_FETCH_PREVIEW, "PREVIEW");
	struct str rest = str_from_index(p->text, p->at);
	if (!item || !str_starts(rest, STR(" (")))
		return;
	/* behind a single item outside parentheses the modifiers of FETCH may stand here as well */
	if (!str_starts_nocase(rest, STR(" (LAZY)")))
		return;
	imap_parse_space(p);
	imap_parse_char(p, '(');
	item->lazy = imap_parse_word(p, "LAZY");
	imap_parse_char(p, ')');
}

/* Names that a word ends: the longer ones first, since "[" ends no word but "." belongs to it. */
static bool parse_plain_item(struct reading *r)
{
	for (size_t i = 0; i < COUNT_OF(plain_items); i++)
		if (imap_parse_word(r->parser, plain_items[i].name)) {
			add_item(r, plain_items[i].kind, plain_items[i].name);
			return true;
		}
	return false;
}

/* The name is followed by a section: taken only then. */
static bool parse_name_of_section(struct imap_parser *p, struct str name)
{
	struct str rest = str_from_index(p->text, p->at);
	if (p->failed || !str_starts_nocase(rest, name) || rest.length == name.length || rest.data[name.length] != '[')
		return false;
	p->at += name.length;
	return true;
}

static bool parse_any_section(struct reading *r)
{
	if (parse_name_of_section(r->parser, STR("BODY.PEEK")))
		parse_section_item(r, IMAP_FETCH_SECTION, true, STR("BODY"));
	else if (parse_name_of_section(r->parser, STR("BODY")))
		parse_section_item(r, IMAP_FETCH_SECTION, false, STR("BODY"));
	else if (parse_name_of_section(r->parser, STR("BINARY.PEEK")))
		parse_section_item(r, IMAP_FETCH_BINARY, true, STR("BINARY"));
	else if (parse_name_of_section(r->parser, STR("BINARY.SIZE")))
		parse_section_item(r, IMAP_FETCH_BINARY_SIZE, true, STR("BINARY.SIZE"));
	else if (parse_name_of_section(r->parser, STR("BINARY")))
		parse_section_item(r, IMAP_FETCH_BINARY, false, STR("BINARY"));
	else
		return false;
	return true;
}

static void parse_item(struct reading *r)
{
	struct imap_parser *p = r->parser;
	if (parse_any_section(r) || parse_plain_item(r))
		return;
	if (imap_parse_word(p, "BODY"))
		add_item(r, IMAP_FETCH_STRUCTURE, "BODY");
	else if (imap_parse_word(p, "RFC822"))
		add_old_item(r, "RFC822", IMAP_SECTION_ALL);
	else if (imap_parse_word(p, "RFC822.HEADER"))
		add_old_item(r, "RFC822.HEADER", IMAP_SECTION_HEADER);
	else if (imap_parse_word(p, "RFC822.TEXT"))
		add_old_item(r, "RFC822.TEXT", IMAP_SECTION_TEXT);
	else if (imap_parse_word(p, "PREVIEW"))
		parse_preview(r);
	else
		imap_parse_fail(p, "a data item of FETCH");
}

/* A macro stands alone. */
static bool parse_macro(struct reading *r)
{
	bool full = imap_parse_word(r->parser, "FULL");
	bool all = full || imap_parse_word(r->parser, "ALL");
	if (!all && !imap_parse_word(r->parser, "FAST"))
		return false;
	add_item(r, IMAP_FETCH_FLAGS, "FLAGS");
	add_item(r, IMAP_FETCH_INTERNALDATE, "INTERNALDATE");
	add_item(r, IMAP_FETCH_SIZE, "RFC822.SIZE");
	if (all)
		add_item(r, IMAP_FETCH_ENVELOPE, "ENVELOPE");
	if (full)
		add_item(r, IMAP_FETCH_STRUCTURE, "BODY");
	return true;
}

static void parse_list(struct reading *r)
{
	for (imap_parse_list_begin(r->parser); imap_parse_list_next(r->parser);)
		parse_item(r);
	if (!r->list.count)
		imap_parse_fail(r->parser, "a data item of FETCH");
}

static void give_items(struct reading *r, struct imap_fetch_items *items)
{
	size_t count = r->parser->failed ? 0 : r->list.count;
	struct imap_fetch_item *copy = arena_alloc_array(r->parser->arena, count, sizeof *copy);
	for (size_t i = 0; i < count; i++) {
		copy[i] = r->list.items[i];
		items->kinds |= 1u << copy[i].kind;
		items->sets_seen |= copy[i].sets_seen;
	}
	items->list = copy;
	items->count = count;
}

void imap_parse_fetch_items(struct imap_parser *p, struct imap_fetch_items *items)
{
	struct reading r = { .parser = p, .label = BUF_WITH_LIMIT(LABEL_MAX) };
	*items = (struct imap_fetch_items){};
	if (imap_parse_peek(p) == '(')
		parse_list(&r);
	else if (!parse_macro(&r))
		parse_item(&r);
	give_items(&r, items);
	array_release(&r.list);
	buf_release(&r.label);
}

/* ---- modifiers ---- */

static uint32_t parse_end(struct imap_parser *p, bool from_end)
{
	if (from_end)
		imap_parse_char(p, '-');
	return (uint32_t)imap_parse_nz_number(p, UINT32_MAX);
}

void imap_parse_partial(struct imap_parser *p, struct imap_partial *partial)
{
	bool from_end = imap_parse_peek(p) == '-';
	uint32_t one = parse_end(p, from_end);
	imap_parse_char(p, ':');
	uint32_t other = parse_end(p, from_end);
	/* RFC 9394 §4: 500:400 is the same as 400:500 */
	*partial = (struct imap_partial){ true, from_end, one < other ? one : other, one < other ? other : one };
}

static void parse_modifier(struct imap_parser *p, bool uid, struct imap_fetch_modifiers *m)
{
	if (!m->has_changed_since && imap_parse_word(p, "CHANGEDSINCE")) {
		imap_parse_space(p);
		m->has_changed_since = true;
		m->changed_since = imap_parse_number(p, NUMBER64_MAX); /* RFC 7162 §3.1.4.1 */
	} else if (uid && !m->vanished && imap_parse_word(p, "VANISHED")) {
		m->vanished = true;
	} else if (uid && !m->partial.given && imap_parse_word(p, "PARTIAL")) {
		imap_parse_space(p);
		imap_parse_partial(p, &m->partial);
	} else {
		imap_parse_fail(p, "a modifier of FETCH");
	}
}

void imap_parse_fetch_modifiers(struct imap_parser *p, bool uid, struct imap_fetch_modifiers *modifiers)
{
	*modifiers = (struct imap_fetch_modifiers){};
	if (!imap_parse_more(p))
		return;
	size_t count = 0;
	for (imap_parse_list_begin(p); imap_parse_list_next(p); count++)
		parse_modifier(p, uid, modifiers);
	if (!count)
		imap_parse_fail(p, "a modifier of FETCH");
	if (modifiers->vanished && !modifiers->has_changed_since) /* RFC 7162 §3.2.6 */
		imap_parse_fail(p, "CHANGEDSINCE with VANISHED");
}

#include "preview.h"

#include "part_reader.h"
#include "text.h"

enum { LOOKED_AT = 65536, PIECE_MAX = 65536 };

/* Characters go out as one line; a run of white space is one blank, none at the ends. */
struct writer {
	struct buf *out;
	size_t characters;
	bool blank;
};

static bool is_full(const struct writer *w)
{
	return w->characters >= PREVIEW_CHARACTERS;
}

static void put(struct writer *w, struct str character)
{
	if (character.length == 1 && (unsigned char)character.data[0] <= 0x20) {
		w->blank = w->characters > 0;
		return;
	}
	if (w->blank && w->characters + 1 >= PREVIEW_CHARACTERS) {
		w->characters = PREVIEW_CHARACTERS;
		return;
	}
	if (w->blank)
		buf_add_char(w->out, ' ');
	w->characters += w->blank;
	w->blank = false;
	buf_add_str(w->out, character);
	w->characters++;
}

static struct str first_character(struct str s)
{
	uint32_t code;
	size_t length = text_utf8_next(s, &code);
	return str_first(s, length ? length : 1);
}

static void put_text(struct writer *w, struct str s)
{
	while (s.length && !is_full(w)) {
		struct str character = first_character(s);
		put(w, character);
		s = str_from_index(s, character.length);
	}
}

/* A line "-- " begins the signature (RFC 3676 §4.3). */
static void add_plain(struct writer *w, struct str s)
{
	struct str line;
	while (!is_full(w) && str_take_until(&s, '\n', &line)) {
		if (str_equal(line, STR("-- ")) || str_equal(line, STR("-- \r")))
			return;
		if (line.length && line.data[0] == '>')
			continue;
		put_text(w, line);
		put(w, STR(" "));
	}
}

/* Elements whose content is no text. */
static struct str hidden_element(struct str tag)
{
	static const struct str hidden[] = { STR("style"), STR("script"), STR("head"), STR("title") };
	for (size_t i = 0; i < COUNT_OF(hidden); i++)
		if (str_starts_nocase(tag, hidden[i]) &&
		    (tag.length == hidden[i].length || !char_is_alpha(tag.data[hidden[i].length])))
			return hidden[i];
	return (struct str){};
}

/* Behind "</name"; an element that is not closed hides all the rest. */
static struct str skip_element(struct str s, struct str name)
{
	while (s.length) {
		s = str_from_index(s, str_find(s, STR("</")));
		if (s.length < 2)
			break;
		s = str_from_index(s, 2);
		if (str_starts_nocase(s, name))
			break;
	}
	return str_from_index(s, str_find_char(s, '>') + 1);
}

static struct str skip_tag(struct writer *w, struct str s)
{
	if (str_starts(s, STR("<!--")))
		return str_from_index(s, str_find(s, STR("-->")) + 3);
	size_t end = str_find_char(s, '>');
	struct str tag = str_from_index(str_first(s, end), 1), hidden = hidden_element(tag);
	s = str_from_index(s, end + 1);
	put(w, STR(" "));
	return hidden.length ? skip_element(s, hidden) : s;
}

static bool numeric_code(struct str digits, uint32_t *code)
{
	uint64_t number;
	if (!str_to_u64(digits, 0x10ffff, &number) || number < 0x20 || (number >= 0xd800 && number <= 0xdfff))
		return false;
	*code = (uint32_t)number;
	return true;
}

/* The few names that text has; others stay as they are. */
static struct str put_entity(struct writer *w, struct str s)
{
	static const struct {
		struct str name, text;
	} entities[] = { { STR("&amp;"), STR("&") },  { STR("&lt;"), STR("<") },    { STR("&gt;"), STR(">") },
		             { STR("&quot;"), STR("\"") }, { STR("&apos;"), STR("'") }, { STR("&nbsp;"), STR(" ") } };
	uint32_t code;
	for (size_t i = 0; i < COUNT_OF(entities); i++) {
		if (!str_starts_nocase(s, entities[i].name))
			continue;
		put(w, entities[i].text);
		return str_from_index(s, entities[i].name.length);
	}
	size_t end = str_find_char(str_first(s, 12), ';');
	if (str_starts(s, STR("&#")) && numeric_code(str_from_index(str_first(s, end), 2), &code)) {
		CLEANUP(buf_release) struct buf character = BUF_WITH_LIMIT(4);
		text_utf8_add(&character, code);
		put(w, buf_str(&character));
		return str_from_index(s, end + 1);
	}
	put(w, STR("&"));
	return str_from_index(s, 1);
}

static void add_html(struct writer *w, struct str s)
{
	while (s.length && !is_full(w)) {
		if (s.data[0] == '<') {
			s = skip_tag(w, s);
		} else if (s.data[0] == '&') {
			s = put_entity(w, s);
		} else {
			struct str character = first_character(s);
			put(w, character);
			s = str_from_index(s, character.length);
		}
	}
}

static const struct mime_part *find_part(const struct mime_part *root, struct str subtype)
{
	for (const struct mime_part *part = root; part; part = mime_next(part))
		if (part->kind == MIME_LEAF && mime_is_type(part, STR("text"), subtype) && !mime_is_attachment(part))
			return part;
	return NULL;
}

static void read_start(struct buf *content, const struct mime_part *part, struct str text)
{
	CLEANUP(part_reader_release) struct part_reader r;
	CLEANUP(buf_release) struct buf piece = BUF_WITH_LIMIT(PIECE_MAX);
	part_reader_begin(&r, part, text);
	while (!content->overflowed && part_reader_next(&r, &piece))
		buf_add_str(content, str_first(buf_str(&piece), content->limit - content->length));
}

void preview_add(struct buf *out, struct str text, const struct mime_part *root)
{
	struct writer w = { .out = out };
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(LOOKED_AT);
	const struct mime_part *plain = find_part(root, STR("plain"));
	const struct mime_part *part = plain ? plain : find_part(root, STR("html"));
	if (!part)
		return;
	read_start(&content, part, text);
	if (plain)
		add_plain(&w, buf_str(&content));
	else
		add_html(&w, buf_str(&content));
}

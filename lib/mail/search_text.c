#include "search_text.h"

#include "address.h"
#include "encoded_word.h"
#include "header.h"
#include "limits.h"
#include "part_reader.h"

enum { PIECE_MAX = 65536, FIELD_MAX = 1 << 20, FOLDED_PIECE_MAX = 3 << 24 };

struct writer {
	struct buf *out;
	struct buf piece;
	bool blank;
	bool ascii_only;
	const struct str *key; /* out holds a piece of the text only, in which this is looked for */
	bool found;
};

static struct writer begin(struct buf *out, size_t piece_max)
{
	return (struct writer){ .out = out, .piece = BUF_WITH_LIMIT(piece_max),
		                    .blank = out->length == 0 || out->data[out->length - 1] == ' ' };
}

static bool goes_on(const struct writer *w)
{
	return !w->out->overflowed && !w->found;
}

/* What a key that begins in this piece needs of it stays. */
static void look(struct writer *w)
{
	struct str have = buf_str(w->out);
	w->found = w->found || w->key->length == 0 || str_find(have, *w->key) < have.length;
	if (have.length >= w->key->length)
		buf_consume(w->out, have.length - (w->key->length - !!w->key->length));
}

static void add_folded(struct writer *w, struct str text)
{
	search_text_fold(w->out, text, w->ascii_only, &w->blank);
	if (w->key && w->out->length >= PIECE_MAX)
		look(w);
}

static void add_piece(struct writer *w)
{
	add_folded(w, buf_str(&w->piece));
	buf_clear(&w->piece);
}

static void add_break(struct writer *w)
{
	add_folded(w, STR(" "));
}

static void fold_ascii_only(struct buf *out, struct str utf8, bool *blank)
{
	char *room = buf_reserve(out, utf8.length);
	size_t used = 0;
	for (size_t i = 0; room && i < utf8.length; i++) {
		bool white = (unsigned char)utf8.data[i] <= 0x20;
		if (!white || !*blank)
			room[used++] = white ? ' ' : char_upper(utf8.data[i]);
		*blank = white;
	}
	if (room)
		buf_claim(out, used);
}

void search_text_fold(struct buf *out, struct str utf8, bool ascii_only, bool *blank)
{
	if (ascii_only)
		fold_ascii_only(out, utf8, blank);
	else
		charset_fold_text(out, utf8, blank);
}

static void add_decoded(struct writer *w, struct str text)
{
	encoded_word_decode(&w->piece, text);
	add_piece(w);
}

static bool has_addresses(enum header_name id)
{
	return id == HEADER_FROM || id == HEADER_TO || id == HEADER_CC || id == HEADER_BCC || id == HEADER_SENDER ||
	       id == HEADER_REPLY_TO;
}

/* FROM, TO, CC and BCC look into the envelope's addresses (RFC 9051 §6.4.4), in which comments and blanks inside of an
 * address are gone: such a one stands here a second time, as there. */
static void add_plain_addresses(struct writer *w, struct str value)
{
	if (str_find_char(value, '(') == value.length && str_find(value, STR(" @")) == value.length &&
	    str_find(value, STR("@ ")) == value.length)
		return;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	struct address_list list = {};
	address_parse(arena, value, LIMIT_ADDRESSES_MAX, &list);
	for (const struct address *a = list.first; a && goes_on(w); a = a->next) {
		if (!address_is_mailbox(a) || !a->host.length)
			continue;
		add_decoded(w, a->mailbox);
		add_folded(w, STR("@"));
		add_decoded(w, a->host);
		add_break(w);
	}
}

static void add_field(struct writer *w, const struct header_field *field)
{
	add_decoded(w, field->name);
	add_folded(w, STR(": "));
	add_decoded(w, field->value);
	add_break(w);
	if (has_addresses(field->id))
		add_plain_addresses(w, field->value);
}

/* File names in the form of RFC 2231 show their letters only when decoded. */
static void add_parameter(struct writer *w, const struct parameter_list *list, struct str name)
{
	if (parameter_raw(list, name).data || !parameter_find(&w->piece, list, name))
		return;
	add_piece(w);
	add_break(w);
}

static void add_header(struct writer *w, struct str text, const struct mime_part *part, struct search_text_ends *ends)
{
	struct header_reader r;
	struct header_field field;
	size_t before = w->out->length;
	header_begin(&r, mime_header(part, text));
	while (goes_on(w) && header_next(&r, &field)) {
		add_field(w, &field);
		if (ends && !w->out->overflowed)
			*array_add(&ends->list) = (uint32_t)(w->out->length - before);
	}
	add_parameter(w, &part->disposition_parameters, STR("filename"));
	add_parameter(w, &part->parameters, STR("name"));
}

static void add_headers(struct writer *w, struct str text, const struct mime_part *root, struct search_text_ends *ends)
{
	for (const struct mime_part *part = root; part && goes_on(w); part = mime_next(part))
		add_header(w, text, part, part == root ? ends : NULL);
	buf_release(&w->piece);
}

void search_text_headers(struct buf *out, struct str text, const struct mime_part *root, struct search_text_ends *ends)
{
	struct writer w = begin(out, FIELD_MAX * 3);
	add_headers(&w, text, root, ends);
}

static void add_body(struct writer *w, const struct mime_part *part, struct str text)
{
	CLEANUP(part_reader_release) struct part_reader r;
	part_reader_begin(&r, part, text);
	while (goes_on(w) && part_reader_next(&r, &w->piece))
		add_piece(w);
	add_break(w);
}

static void add_bodies(struct writer *w, struct str text, const struct mime_part *root)
{
	for (const struct mime_part *part = root; part && goes_on(w); part = mime_next(part))
		if (part->kind == MIME_LEAF && str_equal_nocase(part->type, STR("text")))
			add_body(w, part, text);
	buf_release(&w->piece);
}

void search_text_bodies(struct buf *out, struct str text, const struct mime_part *root)
{
	struct writer w = begin(out, PIECE_MAX);
	add_bodies(&w, text, root);
}

static bool has(const struct search_text_question *question, bool bodies, struct str text, const struct mime_part *root)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(FOLDED_PIECE_MAX + question->key.length);
	struct writer w = begin(&out, bodies ? PIECE_MAX : FIELD_MAX * 3);
	w.key = &question->key;
	w.ascii_only = question->ascii_only;
	if (bodies)
		add_bodies(&w, text, root);
	else
		add_headers(&w, text, root, NULL);
	look(&w);
	return w.found;
}

bool search_text_has(const struct search_text_question *question, struct str text, const struct mime_part *root)
{
	return (question->headers && has(question, false, text, root)) ||
	       (question->bodies && has(question, true, text, root));
}

#include "search_text.h"

#include "encoded_word.h"
#include "part_reader.h"

enum { PIECE_MAX = 65536, FIELD_MAX = 1 << 20 };

struct writer {
	struct buf *out;
	struct buf piece;
	bool blank;
};

static struct writer begin(struct buf *out, size_t piece_max)
{
	return (struct writer){ out, BUF_WITH_LIMIT(piece_max), out->length == 0 || out->data[out->length - 1] == ' ' };
}

static void add_piece(struct writer *w)
{
	charset_fold_text(w->out, buf_str(&w->piece), &w->blank);
	buf_clear(&w->piece);
}

static void add_break(struct writer *w)
{
	charset_fold_text(w->out, STR(" "), &w->blank);
}

static void add_field(struct writer *w, const struct header_field *field)
{
	encoded_word_decode(&w->piece, field->name);
	add_piece(w);
	charset_fold_text(w->out, STR(": "), &w->blank);
	encoded_word_decode(&w->piece, field->value);
	add_piece(w);
	add_break(w);
}

/* File names in the form of RFC 2231 show their letters only when decoded. */
static void add_parameter(struct writer *w, const struct parameter_list *list, struct str name)
{
	if (parameter_raw(list, name).data || !parameter_find(&w->piece, list, name))
		return;
	add_piece(w);
	add_break(w);
}

void search_text_headers(struct buf *out, struct str text, const struct mime_part *root)
{
	struct writer w = begin(out, FIELD_MAX * 3);
	for (const struct mime_part *part = root; part && !out->overflowed; part = mime_next(part)) {
		struct header_reader r;
		struct header_field field;
		header_begin(&r, mime_header(part, text));
		while (!out->overflowed && header_next(&r, &field))
			add_field(&w, &field);
		add_parameter(&w, &part->disposition_parameters, STR("filename"));
		add_parameter(&w, &part->parameters, STR("name"));
	}
	buf_release(&w.piece);
}

static void add_body(struct writer *w, const struct mime_part *part, struct str text)
{
	CLEANUP(part_reader_release) struct part_reader r;
	part_reader_begin(&r, part, text);
	while (!w->out->overflowed && part_reader_next(&r, &w->piece))
		add_piece(w);
	add_break(w);
}

void search_text_bodies(struct buf *out, struct str text, const struct mime_part *root)
{
	struct writer w = begin(out, PIECE_MAX);
	for (const struct mime_part *part = root; part && !out->overflowed; part = mime_next(part))
		if (part->kind == MIME_LEAF && str_equal_nocase(part->type, STR("text")))
			add_body(&w, part, text);
	buf_release(&w.piece);
}

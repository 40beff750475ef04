#include "part_reader.h"

#include "text.h"

enum { STEP = 16384 };

void part_reader_begin(struct part_reader *r, const struct mime_part *part, struct str text)
{
	struct str name = parameter_raw(&part->parameters, STR("charset"));
	*r = (struct part_reader){ .rest = mime_body(part, text), .bytes = BUF_WITH_LIMIT(STEP + 256) };
	charset_init(&r->charset, name);
	r->guesses = name.length == 0 || str_equal_nocase(name, STR("us-ascii"));
	transfer_decode_begin(&r->decoder, part->encoding);
}

void part_reader_release(struct part_reader *r)
{
	charset_release(&r->charset);
	buf_release(&r->bytes);
}

/* Octets at the end of s that begin a character whose rest is still to come, if they are such. */
static size_t unfinished(struct str s)
{
	for (size_t length = 1; length <= 3 && length <= s.length; length++) {
		unsigned char c = (unsigned char)s.data[s.length - length];
		if (c >= 0xc0)
			return length;
		if (c < 0x80)
			break;
	}
	return 0;
}

/* The first piece that is no UTF-8 decides. */
static void guess(struct part_reader *r)
{
	struct str s = buf_str(&r->bytes);
	if (!r->guesses || r->charset.kept_length || text_is_utf8(s))
		return;
	if (!r->ended && text_is_utf8(str_first(s, s.length - unfinished(s))))
		return;
	r->charset.kind = CHARSET_WINDOWS_1252;
	r->guesses = false;
}

bool part_reader_next(struct part_reader *r, struct buf *piece)
{
	buf_clear(piece);
	if (r->ended)
		return false;
	struct str step = str_first(r->rest, STEP);
	r->rest = str_from_index(r->rest, STEP);
	buf_clear(&r->bytes);
	transfer_decode(&r->decoder, step, &r->bytes);
	r->ended = r->rest.length == 0;
	if (r->ended)
		transfer_decode_finish(&r->decoder, &r->bytes);
	guess(r);
	charset_add(&r->charset, buf_str(&r->bytes), piece);
	if (r->ended)
		charset_finish(&r->charset, piece);
	return true;
}

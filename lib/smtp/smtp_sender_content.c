#include "smtp_sender_content.h"

void smtp_sender_content_begin(struct smtp_sender_content *c, bool chunk)
{
	*c = (struct smtp_sender_content){ .chunk = chunk, .at_line_start = true };
}

/* How much is before the first CR or LF that stands alone, or before a CR at the end. */
static size_t clean_length(struct str s)
{
	size_t at = 0;
	while (at < s.length) {
		const char *lf = memchr(s.data + at, '\n', s.length - at);
		size_t end = lf ? (size_t)(lf - s.data) : s.length;
		const char *cr = memchr(s.data + at, '\r', end - at);
		if (lf ? !cr : !!cr)
			return lf ? end : (size_t)(cr - s.data);
		if (lf && cr + 1 != lf)
			return (size_t)(cr - s.data);
		at = lf ? end + 1 : end;
	}
	return s.length;
}

bool smtp_sender_content_is_clean(struct str piece, bool *after_cr)
{
	if (*after_cr && piece.length && piece.data[0] != '\n')
		return false;
	if (*after_cr && piece.length)
		piece = str_from_index(piece, 1);
	size_t clean = clean_length(piece);
	*after_cr = clean + 1 == piece.length && piece.data[clean] == '\r';
	return clean == piece.length || *after_cr;
}

static void add(struct smtp_sender_content *c, struct str clean, struct buf *out)
{
	if (clean.length == 0)
		return;
	if (c->chunk)
		buf_add_str(out, clean);
	else
		smtp_stuff_add(&c->stuffer, clean, out);
	c->at_line_start = clean.data[clean.length - 1] == '\n';
}

bool smtp_sender_content_add(struct smtp_sender_content *c, struct str piece, struct buf *out)
{
	if (c->after_cr && piece.length) {
		if (piece.data[0] != '\n')
			return false;
		add(c, STR("\r\n"), out);
		c->after_cr = false;
		piece = str_from_index(piece, 1);
	}
	size_t clean = clean_length(piece);
	add(c, str_first(piece, clean), out);
	c->after_cr |= clean + 1 == piece.length && piece.data[clean] == '\r';
	return clean == piece.length || c->after_cr;
}

bool smtp_sender_content_end(struct smtp_sender_content *c, struct buf *out)
{
	if (c->after_cr)
		return false;
	if (c->chunk && !c->at_line_start)
		buf_add_str(out, STR("\r\n"));
	if (!c->chunk)
		smtp_stuff_end(&c->stuffer, out);
	return true;
}

#include "imap_binary.h"

enum { DECODED_MAX = INT32_MAX };

bool imap_binary_is_known(const struct mime_part *part)
{
	return !part || part->kind != MIME_LEAF || part->encoding != TRANSFER_UNKNOWN;
}

void imap_binary_begin(struct imap_binary *b, const struct mime_part *part)
{
	bool leaf = part && part->kind == MIME_LEAF;
	*b = (struct imap_binary){ .decoded = BUF_WITH_LIMIT(DECODED_MAX) };
	b->is_text = leaf && str_equal_nocase(part->type, STR("text"));
	transfer_decode_begin(&b->decoder, leaf ? part->encoding : TRANSFER_BINARY);
}

void imap_binary_release(struct imap_binary *b)
{
	buf_release(&b->decoded);
}

/* How many line ends lack their CR. */
static size_t count_bare(const struct imap_binary *b, struct str s)
{
	size_t count = 0;
	for (const char *at = s.data, *end = s.data + s.length; at < end && (at = memchr(at, '\n', (size_t)(end - at)));
	     at++)
		count += at == s.data ? !b->after_cr : at[-1] != '\r';
	return count;
}

/* From the end, so that it needs no second buffer. */
static void complete_line_ends(struct imap_binary *b)
{
	struct str s = buf_str(&b->decoded);
	size_t missing = s.length ? count_bare(b, s) : 0;
	bool was_after_cr = b->after_cr;
	if (s.length)
		b->after_cr = s.data[s.length - 1] == '\r';
	char *room = missing ? buf_reserve(&b->decoded, missing) : NULL;
	if (!room)
		return;
	char *data = b->decoded.data;
	size_t from = b->decoded.length, to = from + missing;
	buf_claim(&b->decoded, missing);
	while (from < to) {
		char c = data[--from];
		data[--to] = c;
		if (c == '\n' && (from ? data[from - 1] != '\r' : !was_after_cr))
			data[--to] = '\r';
	}
}

struct str imap_binary_take(struct imap_binary *b, struct str octets)
{
	buf_clear(&b->decoded);
	transfer_decode(&b->decoder, octets, &b->decoded);
	if (b->is_text)
		complete_line_ends(b);
	return buf_str(&b->decoded);
}

struct str imap_binary_end(struct imap_binary *b)
{
	buf_clear(&b->decoded);
	transfer_decode_finish(&b->decoder, &b->decoded);
	if (b->is_text)
		complete_line_ends(b);
	return buf_str(&b->decoded);
}

#include "reencode.h"

#include "header.h"

bool reencode_is_needed(const struct mime_part *root)
{
	for (const struct mime_part *part = root; part; part = mime_next(part))
		if (part->encoding == TRANSFER_BINARY)
			return true;
	return false;
}

/* The header with its Content-Transfer-Encoding replaced, however often it stands there. */
static void add_header(struct buf *out, struct str header, struct str encoding)
{
	struct header_reader reader;
	struct header_field field;
	header_begin(&reader, header);
	while (header_next(&reader, &field))
		if (field.id != HEADER_CONTENT_TRANSFER_ENCODING)
			buf_append(out, header.data + field.offset, field.length);
	buf_add_str(out, STR("Content-Transfer-Encoding: "));
	buf_add_str(out, encoding);
	buf_add_str(out, STR("\r\n\r\n"));
}

static void add_base64(struct buf *out, struct str body)
{
	struct transfer_encoder encoder;
	transfer_encode_begin(&encoder, TRANSFER_BASE64, false);
	transfer_encode(&encoder, body, out);
	transfer_encode_finish(&encoder, out);
}

/* Parts in the order of the text; what lies between them goes out as it is. */
bool reencode_message(struct buf *out, struct str text, const struct mime_part *root)
{
	size_t done = 0;
	for (const struct mime_part *part = root; part; part = mime_next(part)) {
		if (part->encoding != TRANSFER_BINARY)
			continue;
		buf_append(out, text.data + done, part->header_offset - done);
		add_header(out, mime_header(part, text), part->kind == MIME_LEAF ? STR("base64") : STR("8bit"));
		done = part->body_offset;
		if (part->kind != MIME_LEAF)
			continue;
		add_base64(out, mime_body(part, text));
		done += part->body_size;
	}
	buf_add_str(out, str_from_index(text, done));
	if (out->length < 2 || memcmp(out->data + out->length - 2, "\r\n", 2) != 0)
		buf_add_str(out, STR("\r\n"));
	return !out->overflowed;
}

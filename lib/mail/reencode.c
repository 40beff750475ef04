#include "reencode.h"

#include "header.h"
#include "text.h"

/* How the parts of a message change: TRANSFER_UNKNOWN where one does not. */
typedef enum transfer_encoding choose_function(const struct mime_part *part, struct str text);

bool reencode_is_needed(const struct mime_part *root)
{
	for (const struct mime_part *part = root; part; part = mime_next(part))
		if (part->encoding == TRANSFER_BINARY)
			return true;
	return false;
}

bool reencode_is_lines(struct str text)
{
	for (size_t i = 0; i < text.length; i++) {
		bool after_cr = i > 0 && text.data[i - 1] == '\r';
		if (text.data[i] == '\0' || (text.data[i] == '\n') != after_cr)
			return false;
	}
	return text.length == 0 || text.data[text.length - 1] != '\r';
}

/* ---- writing ---- */

static bool has_field(struct str header, enum header_name id)
{
	struct header_field field;
	return header_find(header, header_name_text(id), &field);
}

/* RFC 1428 §3: what says nothing of itself, and is not ASCII, is text in a charset that nobody knows. */
static void add_missing_fields(struct buf *out, struct str header, const struct mime_part *part)
{
	if (!part->parent && !has_field(header, HEADER_MIME_VERSION))
		buf_add_str(out, STR("MIME-Version: 1.0\r\n"));
	if (part->kind == MIME_LEAF && !has_field(header, HEADER_CONTENT_TYPE))
		buf_add_str(out, STR("Content-Type: text/plain; charset=unknown-8bit\r\n"));
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

static void add_body(struct buf *out, struct str body, enum transfer_encoding encoding)
{
	struct transfer_encoder encoder;
	transfer_encode_begin(&encoder, encoding, encoding == TRANSFER_QUOTED_PRINTABLE);
	transfer_encode(&encoder, body, out);
	transfer_encode_finish(&encoder, out);
}

/* Parts in the order of the text; what lies between them goes out as it is. */
static bool reencode(struct buf *out, struct str text, const struct mime_part *root, choose_function *choose,
                     bool complete)
{
	size_t done = 0;
	for (const struct mime_part *part = root; part; part = mime_next(part)) {
		enum transfer_encoding encoding = choose(part, text);
		if (encoding == TRANSFER_UNKNOWN)
			continue;
		buf_append(out, text.data + done, part->header_offset - done);
		if (complete)
			add_missing_fields(out, mime_header(part, text), part);
		add_header(out, mime_header(part, text), transfer_name(encoding));
		done = part->body_offset;
		if (part->kind != MIME_LEAF)
			continue;
		add_body(out, mime_body(part, text), encoding);
		done += part->body_size;
	}
	buf_add_str(out, str_from_index(text, done));
	if (out->length < 2 || memcmp(out->data + out->length - 2, "\r\n", 2) != 0)
		buf_add_str(out, STR("\r\n"));
	return !out->overflowed;
}

/* ---- for mailboxes ---- */

static enum transfer_encoding without_binary(const struct mime_part *part, struct str text)
{
	(void)text;
	if (part->encoding != TRANSFER_BINARY)
		return TRANSFER_UNKNOWN;
	return part->kind == MIME_LEAF ? TRANSFER_BASE64 : TRANSFER_8BIT;
}

bool reencode_message(struct buf *out, struct str text, const struct mime_part *root)
{
	return reencode(out, text, root, without_binary, false);
}

/* ---- for hosts that take 7 bits only ---- */

static bool is_sealed(const struct mime_part *part)
{
	for (const struct mime_part *p = part->parent; p; p = p->parent)
		if (mime_is_type(p, STR("multipart"), STR("signed")) || mime_is_type(p, STR("multipart"), STR("encrypted")))
			return true;
	return false;
}

/* RFC 2045 §6.4: what says that it is a container must not be encoded, even where no part was found in it. */
static bool is_encodable(const struct mime_part *part, struct str text)
{
	struct header_field field;
	if (!transfer_is_identity(part->encoding) || part->encoding == TRANSFER_UNKNOWN)
		return false;
	if (!header_find(mime_header(part, text), header_name_text(HEADER_CONTENT_TYPE), &field))
		return true;
	struct str type = str_trim(field.value);
	return !str_starts_nocase(type, STR("multipart/")) && !str_starts_nocase(type, STR("message/"));
}

static enum transfer_encoding with_7bit(const struct mime_part *part, struct str text)
{
	struct str body = mime_body(part, text);
	if (is_sealed(part))
		return TRANSFER_UNKNOWN;
	if (part->kind != MIME_LEAF)
		return part->encoding == TRANSFER_8BIT || part->encoding == TRANSFER_BINARY ? TRANSFER_7BIT : TRANSFER_UNKNOWN;
	bool is_lines = reencode_is_lines(body);
	if ((is_lines && text_is_ascii(body)) || !is_encodable(part, text))
		return TRANSFER_UNKNOWN;
	return is_lines && str_equal_nocase(part->type, STR("text")) ? TRANSFER_QUOTED_PRINTABLE : TRANSFER_BASE64;
}

bool reencode_to_7bit(struct buf *out, struct str text, const struct mime_part *root)
{
	return reencode(out, text, root, with_7bit, true) && text_is_ascii(buf_str(out)) && reencode_is_lines(buf_str(out));
}

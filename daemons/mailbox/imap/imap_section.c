#include "imap_section.h"

#include "message.h"

enum { FEW_NAMES = 16, FIELD_NAME_MAX = 1000 };

static struct imap_place header_place(const struct mime_part *part)
{
	return (struct imap_place){ part->header_offset, part->body_offset - part->header_offset, part->body_size > 0 };
}

static struct imap_place body_place(const struct mime_part *part)
{
	return (struct imap_place){ .offset = part->body_offset, .size = part->body_size };
}

/* A part with numbers before HEADER or TEXT has to be a message; the part inside has its header. */
static const struct mime_part *message_of(struct mime_part *part, size_t depth)
{
	if (depth == 0)
		return part;
	return part->kind == MIME_MESSAGE ? part->first : NULL;
}

bool imap_section_find(struct mime_part *root, const struct imap_section *section, struct imap_place *place)
{
	struct mime_part *part = mime_find(root, section->numbers, section->depth);
	if (!part)
		return false;
	if (section->text == IMAP_SECTION_MIME) {
		*place = header_place(part);
		return true;
	}
	if (section->text == IMAP_SECTION_ALL) {
		*place = section->depth ? body_place(part) : (struct imap_place){ .size = root->body_offset + root->body_size };
		return true;
	}
	const struct mime_part *message = message_of(part, section->depth);
	if (!message)
		return false;
	*place = section->text == IMAP_SECTION_TEXT ? body_place(message) : header_place(message);
	return true;
}

struct imap_place imap_place_cut(struct imap_place place, uint64_t offset, uint64_t length)
{
	uint64_t skipped = offset < place.size ? offset : place.size, left = place.size - skipped;
	return (struct imap_place){ .offset = place.offset + skipped, .size = left < length ? left : length };
}

/* ---- fields ---- */

static struct str lower_name(char room[FIELD_NAME_MAX], struct str name)
{
	for (size_t i = 0; i < name.length; i++)
		room[i] = char_lower(name.data[i]);
	return str_from(room, name.length);
}

static bool are_kept(const struct imap_section *section)
{
	for (size_t i = 0; i < section->field_count; i++)
		if (!message_keeps_field(section->fields[i]))
			return false;
	return section->depth == 0 && section->text == IMAP_SECTION_FIELDS;
}

void imap_fields_init(struct imap_fields *fields, const struct imap_section *section)
{
	char room[FIELD_NAME_MAX];
	*fields = (struct imap_fields){ .names = section->fields, .count = section->field_count,
		                            .without = section->text == IMAP_SECTION_FIELDS_NOT, .kept = are_kept(section) };
	if (fields->count <= FEW_NAMES)
		return;
	fields->set = map_new();
	for (size_t i = 0; i < fields->count; i++)
		if (fields->names[i].length <= FIELD_NAME_MAX)
			map_set(fields->set, lower_name(room, fields->names[i]), fields);
}

void imap_fields_release(struct imap_fields *fields)
{
	map_free(fields->set);
	fields->set = NULL;
}

static bool is_named(const struct imap_fields *fields, struct str name)
{
	char room[FIELD_NAME_MAX];
	if (fields->set)
		return name.length <= FIELD_NAME_MAX && map_get(fields->set, lower_name(room, name));
	for (size_t i = 0; i < fields->count; i++)
		if (fields->names[i].length == name.length && str_equal_nocase(fields->names[i], name))
			return true;
	return false;
}

/* The name before the colon of a line, blanks before it left out (RFC 5322 §4.5.8); empty when the line is no field. */
static struct str field_name(struct str line)
{
	size_t end = 0;
	while (end < line.length && (unsigned char)line.data[end] > 0x20 && line.data[end] != ':' && line.data[end] != 0x7f)
		end++;
	size_t colon = end;
	while (colon < line.length && (line.data[colon] == ' ' || line.data[colon] == '\t'))
		colon++;
	return colon < line.length && line.data[colon] == ':' ? str_first(line, end) : (struct str){};
}

static size_t line_end(struct str text, size_t start)
{
	const char *end = memchr(text.data + start, '\n', text.length - start);
	return end ? (size_t)(end - text.data) + 1 : text.length;
}

static bool is_blank_line(struct str line)
{
	return str_equal(line, STR("\r\n")) || str_equal(line, STR("\n"));
}

static bool continues(struct str header, size_t at)
{
	return at < header.length && (header.data[at] == ' ' || header.data[at] == '\t');
}

void imap_fields_add(struct buf *out, struct str header, const struct imap_fields *fields, bool before_body)
{
	bool ended = false;
	for (size_t at = 0, next; at < header.length; at = next) {
		next = line_end(header, at);
		struct str line = str_from(header.data + at, next - at), name = field_name(line);
		while (continues(header, next))
			next = line_end(header, next);
		/* what is no field, as the line "From " of a file of mails, is in no subset */
		bool blank = !name.length && next == header.length && is_blank_line(line);
		if (blank || (name.length && is_named(fields, name) != fields->without))
			buf_append(out, header.data + at, next - at);
		ended |= blank;
	}
	if (before_body && !ended)
		buf_append(out, "\r\n", 2);
}

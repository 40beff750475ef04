#include "dkim_header.h"

/* Each field takes a line at least. */
static size_t fields_max(struct str text)
{
	size_t lines = 1;
	for (size_t i = 0; i < text.length && lines < LIMIT_HEADER_FIELDS_MAX; i++)
		lines += text.data[i] == '\n';
	return lines;
}

void dkim_header_read(struct arena *a, struct str text, struct dkim_header *header)
{
	struct header_reader reader;
	size_t max = fields_max(text);
	*header = (struct dkim_header){ .text = text };
	header->fields = arena_alloc_array(a, max, sizeof *header->fields);
	header_begin(&reader, text);
	while (header->count < max && header_next(&reader, &header->fields[header->count]))
		header->count++;
	const struct header_field *last = header->count ? &header->fields[header->count - 1] : NULL;
	struct str rest = str_from_index(text, last ? last->offset + last->length : 0);
	header->whole = str_trim(rest).length == 0;
}

struct str dkim_header_raw(const struct dkim_header *header, size_t field)
{
	return str_from(header->text.data + header->fields[field].offset, header->fields[field].length);
}

/* Fields are taken from below; what was taken is marked. The search for a name goes on where the last one for it
 * ended, so that a list that repeats a name ten thousand times costs no more than one walk a name. */
struct choosing {
	struct str name;
	size_t next; /* fields at and above it were looked at */
};

static struct choosing *choosing_of(struct choosing *known, size_t *count, struct str name, size_t fields)
{
	for (size_t i = 0; i < *count; i++)
		if (str_equal_nocase(known[i].name, name))
			return &known[i];
	known[*count] = (struct choosing){ name, fields };
	return &known[(*count)++];
}

enum { NAMES_MAX = 200 }; /* of different fields in one signature */

void dkim_header_add(struct buf *out, struct arena *a, const struct dkim_header *header, struct str names,
                     enum dkim_canonical form, size_t own)
{
	struct choosing *known = arena_alloc_array(a, NAMES_MAX, sizeof *known);
	size_t count = 0;
	struct str name;
	while (str_take_until(&names, ':', &name)) {
		name = str_trim(name);
		if (count == NAMES_MAX)
			return;
		struct choosing *choosing = choosing_of(known, &count, name, header->count);
		while (choosing->next > 0) {
			size_t i = --choosing->next;
			if (i == own || !str_equal_nocase(header->fields[i].name, name))
				continue;
			dkim_canonical_field(out, form, dkim_header_raw(header, i));
			break;
		}
	}
}

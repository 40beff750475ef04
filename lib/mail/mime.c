#include "mime.h"

#include "boundary.h"
#include "line.h"

struct parser {
	struct arena *arena;
	struct str text;
	char terminator;
	size_t position; /* start of the next line to look at */
	size_t lines;    /* line ends before it */
	struct mime_part *root;
	struct mime_part *part; /* the innermost open one */
	size_t depth;
	size_t parts;
	size_t addresses_left;
	size_t parameters_left;
	size_t header_octets_left;
	const struct mime_visitor *visitor;
	struct boundary_stack boundaries;
};

static struct str slice(const struct parser *p, size_t start, size_t end)
{
	return str_from(p->text.data + start, end - start);
}

static size_t count_lines(const struct parser *p, size_t start, size_t end)
{
	size_t lines = 0;
	while (start < end) {
		start = line_next(p->text, start, p->terminator);
		lines += start <= end && p->text.data[start - 1] == p->terminator;
	}
	return lines;
}

/* The multipart to which the line at start is a delimiter. */
static struct mime_part *match_delimiter(const struct parser *p, size_t start, size_t next, bool *closing)
{
	if (p->boundaries.count == 0 || !str_starts(slice(p, start, next), STR("--")))
		return NULL;
	return boundary_match(&p->boundaries, line_content(p->text, start, next, p->terminator), closing);
}

/* A header may lack its blank line; it ends before a delimiter then. */
static size_t header_stop(const struct parser *p)
{
	size_t next;
	bool closing;
	if (p->boundaries.count == 0)
		return p->text.length;
	for (size_t start = p->position; start < p->text.length; start = next) {
		next = line_next(p->text, start, p->terminator);
		if (line_content(p->text, start, next, p->terminator).length == 0)
			return next;
		if (match_delimiter(p, start, next, &closing))
			return start;
	}
	return p->text.length;
}

static void set_text(struct parser *p, struct str *text, struct str value)
{
	if (text->data)
		return;
	value = header_unfold(p->arena, value);
	if (value.length)
		*text = value;
}

static void parse_parameters(struct parser *p, struct str field, struct str *value, struct parameter_list *list)
{
	size_t max = LIMIT_MIME_PARAMETERS_MAX;
	parameter_parse(p->arena, field, max < p->parameters_left ? max : p->parameters_left, value, list);
	p->parameters_left -= list->count;
}

/* A value without a slash or with an empty half is no type: the default holds (RFC 2045 §5.2). */
static void set_type(struct parser *p, struct mime_part *part, struct str field)
{
	struct str value;
	struct parameter_list parameters;
	if (part->type.data)
		return;
	parse_parameters(p, field, &value, &parameters);
	size_t slash = str_find_char(value, '/');
	if (slash == 0 || slash + 1 >= value.length)
		return;
	part->type = str_first(value, slash);
	part->subtype = str_from_index(value, slash + 1);
	part->parameters = parameters;
}

static void set_disposition(struct parser *p, struct mime_part *part, struct str field)
{
	if (part->disposition.data)
		return;
	struct str value;
	parse_parameters(p, field, &value, &part->disposition_parameters);
	part->disposition = value.length ? value : STR("attachment"); /* RFC 2183 §2.8: unknown is attachment */
}

static void set_encoding(struct parser *p, struct mime_part *part, struct str field)
{
	if (part->encoding_name.data)
		return;
	set_text(p, &part->encoding_name, field);
	part->encoding = transfer_find(part->encoding_name);
	if (part->encoding != TRANSFER_UNKNOWN)
		part->encoding_name = transfer_name(part->encoding);
}

static void take_mime_field(struct parser *p, struct mime_part *part, const struct header_field *field)
{
	switch (field->id) {
	case HEADER_CONTENT_TYPE: set_type(p, part, field->value); break;
	case HEADER_CONTENT_TRANSFER_ENCODING: set_encoding(p, part, field->value); break;
	case HEADER_CONTENT_DISPOSITION: set_disposition(p, part, field->value); break;
	case HEADER_CONTENT_ID: set_text(p, &part->id, field->value); break;
	case HEADER_CONTENT_DESCRIPTION: set_text(p, &part->description, field->value); break;
	case HEADER_CONTENT_MD5: set_text(p, &part->md5, field->value); break;
	case HEADER_CONTENT_LANGUAGE: set_text(p, &part->language, field->value); break;
	case HEADER_CONTENT_LOCATION: set_text(p, &part->location, field->value); break;
	default: break;
	}
}

static bool is_message(const struct mime_part *part)
{
	return mime_is_type(part, STR("message"), STR("rfc822")) || mime_is_type(part, STR("message"), STR("global"));
}

static void take_field(struct parser *p, struct mime_part *part, const struct header_field *field)
{
	take_mime_field(p, part, field);
	if (part == p->root && p->visitor)
		p->visitor->field(p->visitor->context, field);
	if (part->parent && part->parent->kind == MIME_MESSAGE)
		mail_envelope_add(p->arena, part->parent->envelope, field, &p->addresses_left);
}

static void read_header(struct parser *p, struct mime_part *part)
{
	struct header_reader r;
	struct header_field field;
	header_begin(&r, slice(p, p->position, header_stop(p)));
	r.terminator = p->terminator;
	while (r.position < p->header_octets_left && header_next(&r, &field)) {
		field.offset += p->position;
		take_field(p, part, &field);
	}
	p->header_octets_left -= r.position < p->header_octets_left ? r.position : p->header_octets_left;
	size_t size = header_finish(&r);
	p->lines += count_lines(p, p->position, p->position + size);
	p->position += size;
	if (part->parent && part->parent->kind == MIME_MESSAGE)
		mail_envelope_finish(part->parent->envelope);
}

static struct mime_part *add_part(struct parser *p)
{
	struct mime_part *part = arena_alloc(p->arena, sizeof *part), *parent = p->part;
	part->parent = parent;
	part->header_offset = p->position;
	if (!parent)
		p->root = part;
	else if (parent->last)
		parent->last->next = part;
	else
		parent->first = part;
	if (parent) {
		parent->last = part;
		parent->children++;
	}
	p->part = part;
	p->parts++;
	p->depth++;
	return part;
}

static void make_plain(struct parser *p, struct mime_part *part)
{
	part->type = STR("text");
	part->subtype = STR("plain");
	struct parameter *charset = arena_alloc(p->arena, sizeof *charset);
	*charset = (struct parameter){ .name = STR("charset"), .value = STR("us-ascii") };
	part->parameters = (struct parameter_list){ charset, 1 };
}

/* RFC 2045 §5.2, RFC 2046 §5.1.5 */
static void set_default_type(struct parser *p, struct mime_part *part)
{
	bool digest = part->parent && mime_is_type(part->parent, STR("multipart"), STR("digest"));
	if (part->type.data)
		return;
	if (!digest) {
		make_plain(p, part);
		return;
	}
	part->type = STR("message");
	part->subtype = STR("rfc822");
}

static void make_opaque(struct mime_part *part)
{
	part->type = STR("application");
	part->subtype = STR("octet-stream");
	part->parameters = (struct parameter_list){};
}

static bool is_at_limit(const struct parser *p)
{
	return p->depth >= LIMIT_MIME_DEPTH_MAX || p->parts >= LIMIT_MIME_PARTS_MAX;
}

/* A program may write it in the form of RFC 2231, though nothing in it needs that. */
static struct str extended_boundary(struct arena *a, const struct mime_part *part)
{
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(LIMIT_BOUNDARY_MAX);
	if (!parameter_find(&value, &part->parameters, STR("boundary")))
		return (struct str){};
	return arena_copy(a, buf_str(&value));
}

static struct str boundary_of(struct arena *a, const struct mime_part *part)
{
	struct str boundary = parameter_raw(&part->parameters, STR("boundary"));
	if (!boundary.data)
		boundary = extended_boundary(a, part);
	while (boundary.length && boundary.data[boundary.length - 1] == ' ') /* RFC 2046 §5.1.1 */
		boundary.length--;
	return boundary.length <= LIMIT_BOUNDARY_MAX ? boundary : (struct str){};
}

/* Decides what the part is once its header is known. */
static void set_kind(struct parser *p, struct mime_part *part)
{
	set_default_type(p, part);
	bool multipart = str_equal_nocase(part->type, STR("multipart")), message = is_message(part);
	if ((multipart || message) && (is_at_limit(p) || !transfer_is_identity(part->encoding)))
		make_opaque(part);
	else if (message)
		part->kind = MIME_MESSAGE;
	else if (multipart)
		part->kind = MIME_MULTIPART;
	if (part->kind == MIME_MESSAGE)
		part->envelope = arena_alloc(p->arena, sizeof *part->envelope);
	struct str boundary = part->kind == MIME_MULTIPART ? boundary_of(p->arena, part) : STR("");
	if (boundary.length)
		boundary_push(&p->boundaries, boundary, part);
}

/* A part begins at the position; a message within it begins with its body, and so on inwards. */
static void begin_part(struct parser *p)
{
	struct mime_part *part;
	do {
		part = add_part(p);
		read_header(p, part);
		part->body_offset = p->position;
		part->body_lines = p->lines; /* those before it, until it is closed */
		set_kind(p, part);
	} while (part->kind == MIME_MESSAGE);
}

/* RFC 2046 §5.1.2: without a part it is no multipart; readers show what there is. */
static void check_children(struct parser *p, struct mime_part *part)
{
	if (part->kind != MIME_MULTIPART || part->children)
		return;
	part->kind = MIME_LEAF;
	make_plain(p, part);
}

static void close_part(struct parser *p, size_t end, size_t lines)
{
	struct mime_part *part = p->part;
	if (part->header_offset > end)
		part->header_offset = end;
	part->body_lines = part->body_offset <= end && lines > part->body_lines ? lines - part->body_lines : 0;
	if (part->body_offset > end)
		part->body_offset = end;
	part->body_size = end - part->body_offset;
	check_children(p, part);
	p->part = part->parent;
	p->depth--;
}

/* The line end before a delimiter belongs to it (RFC 2046 §5.1.1). */
static size_t end_before(const struct parser *p, size_t delimiter, size_t lowest)
{
	size_t end = delimiter;
	if (end > lowest && p->text.data[end - 1] == p->terminator)
		end--;
	if (end < delimiter && p->terminator == '\n' && end > lowest && p->text.data[end - 1] == '\r')
		end--;
	return end;
}

static void forget_boundary(struct parser *p, const struct mime_part *part)
{
	if (p->boundaries.count && p->boundaries.open[p->boundaries.count - 1].owner == part)
		boundary_pop(&p->boundaries);
}

/* Closes what is open within outer (NULL: everything), up to the delimiter. */
static void close_within(struct parser *p, const struct mime_part *outer, size_t delimiter)
{
	struct mime_part *outermost = p->part;
	if (p->part == outer)
		return;
	while (outermost->parent != outer)
		outermost = outermost->parent;
	size_t end = outer ? end_before(p, delimiter, outermost->header_offset) : delimiter;
	size_t lines = p->lines - (end < delimiter);
	while (p->part != outer) {
		forget_boundary(p, p->part);
		close_part(p, end, lines);
	}
}

/* What is left of the multipart becomes one leaf, since there may be no more parts. */
static void begin_rest(struct parser *p, struct mime_part *multipart)
{
	forget_boundary(p, multipart);
	struct mime_part *part = add_part(p);
	make_opaque(part);
	part->body_offset = p->position;
	part->body_lines = p->lines;
}

static void read_delimiter(struct parser *p, struct mime_part *multipart, size_t start, size_t next, bool closing)
{
	close_within(p, multipart, start);
	p->lines += next > start && p->text.data[next - 1] == p->terminator;
	p->position = next;
	if (closing)
		forget_boundary(p, multipart);
	else if (p->parts >= LIMIT_MIME_PARTS_MAX)
		begin_rest(p, multipart);
	else
		begin_part(p);
}

static void read_body(struct parser *p)
{
	while (p->position < p->text.length) {
		bool closing = false;
		size_t start = p->position, next = line_next(p->text, start, p->terminator);
		struct mime_part *multipart = match_delimiter(p, start, next, &closing);
		if (multipart) {
			read_delimiter(p, multipart, start, next, closing);
			continue;
		}
		p->lines += p->text.data[next - 1] == p->terminator;
		p->position = next;
	}
}

struct mime_part *mime_parse(struct arena *a, struct str text, const struct mime_visitor *visitor)
{
	struct parser p;
	p.arena = a;
	p.text = text.data ? text : STR("");
	p.terminator = line_terminator(text);
	p.position = p.lines = p.depth = p.parts = 0;
	p.root = p.part = NULL;
	p.addresses_left = LIMIT_MESSAGE_ADDRESSES_MAX;
	p.parameters_left = LIMIT_MESSAGE_PARAMETERS_MAX;
	p.header_octets_left = LIMIT_MESSAGE_HEADERS_SIZE_MAX;
	p.visitor = visitor;
	boundary_init(&p.boundaries);
	begin_part(&p);
	read_body(&p);
	close_within(&p, NULL, p.text.length);
	return p.root;
}

struct mime_part *mime_next(const struct mime_part *part)
{
	if (part->first)
		return part->first;
	while (part && !part->next)
		part = part->parent;
	return part ? part->next : NULL;
}

static struct mime_part *child_numbered(const struct mime_part *multipart, uint32_t number)
{
	if (number == 0 || number > multipart->children)
		return NULL;
	struct mime_part *child = multipart->first;
	while (--number)
		child = child->next;
	return child;
}

/* RFC 9051 §6.4.5.1: a message whose content is no multipart has that content as its part 1. */
static struct mime_part *part_of_message(struct mime_part *content, uint32_t number)
{
	if (content->kind == MIME_MULTIPART)
		return child_numbered(content, number);
	return number == 1 ? content : NULL;
}

struct mime_part *mime_find(struct mime_part *root, const uint32_t *numbers, size_t count)
{
	struct mime_part *part = root;
	for (size_t i = 0; i < count && part; i++) {
		if (i == 0)
			part = part_of_message(part, numbers[i]);
		else if (part->kind == MIME_MESSAGE)
			part = part_of_message(part->first, numbers[i]);
		else
			part = part->kind == MIME_MULTIPART ? child_numbered(part, numbers[i]) : NULL;
	}
	return part;
}

bool mime_is_type(const struct mime_part *part, struct str type, struct str subtype)
{
	return str_equal_nocase(part->type, type) && str_equal_nocase(part->subtype, subtype);
}

bool mime_is_attachment(const struct mime_part *part)
{
	if (part->kind == MIME_MULTIPART)
		return false;
	if (str_equal_nocase(part->disposition, STR("attachment")))
		return true;
	bool text = str_equal_nocase(part->type, STR("text"));
	bool named = parameter_raw(&part->disposition_parameters, STR("filename")).data ||
	             parameter_raw(&part->parameters, STR("name")).data;
	return !text && part->kind == MIME_LEAF && named && !part->id.data;
}

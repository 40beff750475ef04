#include "message.h"

#include "limits.h"

/*
 * blob     = version, then three sections, each behind its length: envelope, facts, structure.
 * In version 1 the subset stood before the structure; the store keeps it in a column of its own.
 * number   = little endian groups of seven bits, the high bit says that more follow.
 * text     = 0 when absent, else its length + 1 and the octets.
 * sender, reply-to begin with 0 when they are From's list; other lists and they otherwise with 1 + count.
 * part     = kind, texts and numbers in the order of pack_part, then its children.
 */
enum { VERSION = 2, VERSION_WITH_SUBSET = 1, PART_COUNT_MAX = LIMIT_MIME_PARTS_MAX + LIMIT_MIME_DEPTH_MAX };

static void pack_number(struct buf *out, uint64_t number)
{
	char bytes[10];
	size_t length = 0;
	for (; number >= 0x80; number >>= 7)
		bytes[length++] = (char)(number | 0x80);
	bytes[length++] = (char)number;
	buf_append(out, bytes, length);
}

static void pack_signed(struct buf *out, int64_t number)
{
	pack_number(out, (uint64_t)number << 1 ^ (uint64_t)(number >> 63));
}

static void pack_text(struct buf *out, struct str s)
{
	pack_number(out, s.data ? s.length + 1 : 0);
	buf_add_str(out, s);
}

static void pack_addresses(struct buf *out, const struct address_list *list)
{
	pack_number(out, list->count + 1);
	for (const struct address *address = list->first; address; address = address->next) {
		pack_text(out, address->name);
		pack_text(out, address->route);
		pack_text(out, address->mailbox);
		pack_text(out, address->host);
	}
}

static void pack_or_from(struct buf *out, const struct address_list *list, const struct address_list *from)
{
	if (list->first == from->first)
		pack_number(out, 0);
	else
		pack_addresses(out, list);
}

static void pack_envelope(struct buf *out, const struct mail_envelope *e)
{
	pack_text(out, e->date);
	pack_text(out, e->subject);
	pack_addresses(out, &e->from);
	pack_or_from(out, &e->sender, &e->from);
	pack_or_from(out, &e->reply_to, &e->from);
	pack_addresses(out, &e->to);
	pack_addresses(out, &e->cc);
	pack_addresses(out, &e->bcc);
	pack_text(out, e->in_reply_to);
	pack_text(out, e->message_id);
}

static void pack_facts(struct buf *out, const struct message *m)
{
	pack_number(out, m->flags);
	pack_signed(out, m->date.seconds);
	pack_signed(out, m->date.zone_minutes);
	pack_number(out, m->received_count);
	pack_text(out, m->base_subject);
	pack_text(out, m->id);
	pack_number(out, m->reference_count);
	for (size_t i = 0; i < m->reference_count; i++)
		pack_text(out, m->references[i]);
}

static void pack_parameters(struct buf *out, const struct parameter_list *list)
{
	pack_number(out, list->count);
	for (const struct parameter *p = list->first; p; p = p->next) {
		pack_text(out, p->name);
		pack_text(out, p->value);
	}
}

static void pack_part(struct buf *out, const struct mime_part *part)
{
	pack_number(out, (uint64_t)part->kind);
	pack_number(out, (uint64_t)part->encoding);
	pack_text(out, part->type);
	pack_text(out, part->subtype);
	pack_parameters(out, &part->parameters);
	pack_text(out, part->id);
	pack_text(out, part->description);
	pack_text(out, part->encoding_name);
	pack_text(out, part->md5);
	pack_text(out, part->disposition);
	pack_parameters(out, &part->disposition_parameters);
	pack_text(out, part->language);
	pack_text(out, part->location);
	pack_number(out, part->header_offset - (part->parent ? part->parent->body_offset : 0));
	pack_number(out, part->body_offset - part->header_offset);
	pack_number(out, part->body_size);
	pack_number(out, part->body_lines);
	pack_number(out, part->children);
	if (part->kind == MIME_MESSAGE)
		pack_envelope(out, part->envelope);
}

/* A section's length stands before it but is known after it: scratch holds it until then. */
static void pack_section(struct buf *out, struct buf *scratch)
{
	out->overflowed |= scratch->overflowed;
	pack_number(out, scratch->length);
	buf_add_str(out, buf_str(scratch));
	buf_clear(scratch);
}

bool message_pack(const struct message *m, struct buf *out)
{
	CLEANUP(buf_release) struct buf scratch = BUF_WITH_LIMIT(out->limit);
	buf_add_char(out, VERSION);
	pack_envelope(&scratch, &m->envelope);
	pack_section(out, &scratch);
	pack_facts(&scratch, m);
	pack_section(out, &scratch);
	for (const struct mime_part *part = m->root; part; part = mime_next(part))
		pack_part(&scratch, part);
	pack_section(out, &scratch);
	return !out->overflowed;
}

/* Sticky: after the first misfit everything reads as nothing. */
struct unpacker {
	struct arena *arena;
	const unsigned char *at;
	const unsigned char *end;
	bool corrupt;
	bool has_subset;
	size_t addresses_left;
	size_t parameters_left;
	size_t parts_left;
};

static void give_up(struct unpacker *u)
{
	u->corrupt = true;
	u->at = u->end;
}

static uint64_t unpack_long_number(struct unpacker *u)
{
	uint64_t number = 0;
	for (unsigned shift = 0; u->at < u->end; shift += 7) {
		unsigned char byte = *u->at++;
		if (shift > 63 || (shift == 63 && byte > 1))
			break;
		number |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return number;
	}
	give_up(u);
	return 0;
}

static inline uint64_t unpack_number(struct unpacker *u)
{
	if (u->at < u->end && *u->at < 0x80)
		return *u->at++;
	return unpack_long_number(u);
}

static size_t unpack_size(struct unpacker *u, uint64_t max)
{
	uint64_t number = unpack_number(u);
	if (number > max) {
		give_up(u);
		return 0;
	}
	return (size_t)number;
}

static int64_t unpack_signed(struct unpacker *u)
{
	uint64_t number = unpack_number(u);
	return (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
}

static struct str unpack_bytes(struct unpacker *u, size_t length)
{
	if (length > (size_t)(u->end - u->at)) {
		give_up(u);
		return (struct str){};
	}
	struct str s = str_from((const char *)u->at, length);
	u->at += length;
	return s;
}

static inline struct str unpack_text(struct unpacker *u)
{
	size_t length = unpack_size(u, SIZE_MAX);
	return length ? unpack_bytes(u, length - 1) : (struct str){};
}

/* A count of things that have at least size octets each, so that a lie cannot make memory grow. */
static size_t unpack_count(struct unpacker *u, size_t size, size_t *left)
{
	size_t most = (size_t)(u->end - u->at) / size;
	size_t count = unpack_size(u, most < *left ? most : *left);
	*left -= count;
	return count;
}

static struct address_list unpack_addresses(struct unpacker *u, size_t count)
{
	struct address_list list = { .count = count };
	if (count > u->addresses_left || count > (size_t)(u->end - u->at) / 4) {
		give_up(u);
		return (struct address_list){};
	}
	if (count == 0)
		return list;
	u->addresses_left -= count;
	struct address *items = arena_alloc_array(u->arena, count, sizeof *items);
	for (size_t i = 0; i < count; i++) {
		items[i].name = unpack_text(u);
		items[i].route = unpack_text(u);
		items[i].mailbox = unpack_text(u);
		items[i].host = unpack_text(u);
		items[i].next = i + 1 < count ? &items[i + 1] : NULL;
	}
	list.first = items;
	return list;
}

/* from NULL: the list cannot stand for it. */
static struct address_list unpack_list(struct unpacker *u, const struct address_list *from)
{
	size_t count = unpack_size(u, LIMIT_MESSAGE_ADDRESSES_MAX + 1);
	if (count)
		return unpack_addresses(u, count - 1);
	if (from)
		return *from;
	give_up(u);
	return (struct address_list){};
}

static void unpack_envelope(struct unpacker *u, struct mail_envelope *e)
{
	e->date = unpack_text(u);
	e->subject = unpack_text(u);
	e->from = unpack_list(u, NULL);
	e->sender = unpack_list(u, &e->from);
	e->reply_to = unpack_list(u, &e->from);
	e->to = unpack_list(u, NULL);
	e->cc = unpack_list(u, NULL);
	e->bcc = unpack_list(u, NULL);
	e->in_reply_to = unpack_text(u);
	e->message_id = unpack_text(u);
}

static void unpack_facts(struct unpacker *u, struct message *m)
{
	size_t left = LIMIT_MESSAGE_IDS_MAX;
	m->flags = (unsigned)unpack_size(u, MESSAGE_FLAGS);
	m->date.seconds = unpack_signed(u);
	int64_t zone = unpack_signed(u);
	if (zone < -24 * 60 || zone > 24 * 60)
		give_up(u);
	m->date.zone_minutes = (int)zone;
	m->received_count = unpack_size(u, LIMIT_HEADER_FIELDS_MAX);
	m->base_subject = unpack_text(u);
	m->id = unpack_text(u);
	m->reference_count = unpack_count(u, 1, &left);
	if (m->reference_count)
		m->references = arena_alloc_array(u->arena, m->reference_count, sizeof *m->references);
	for (size_t i = 0; i < m->reference_count; i++)
		m->references[i] = unpack_text(u);
}

static struct parameter_list unpack_parameters(struct unpacker *u)
{
	size_t count = unpack_count(u, 2, &u->parameters_left);
	if (count == 0)
		return (struct parameter_list){};
	struct parameter *items = arena_alloc_array(u->arena, count, sizeof *items);
	for (size_t i = 0; i < count; i++) {
		items[i].name = unpack_text(u);
		items[i].value = unpack_text(u);
		items[i].next = i + 1 < count ? &items[i + 1] : NULL;
	}
	return (struct parameter_list){ items, count };
}

/* Where a part may lie: within its parent's body, behind the part before it. */
static void unpack_place(struct unpacker *u, struct mime_part *part, const struct mime_part *before)
{
	const struct mime_part *parent = part->parent;
	size_t base = parent ? parent->body_offset : 0, room = parent ? parent->body_size : SIZE_MAX / 2;
	size_t taken = before ? before->body_offset + before->body_size - base : 0;
	size_t start = unpack_size(u, room);
	size_t header = unpack_size(u, room - start);
	part->body_size = unpack_size(u, room - start - header);
	part->header_offset = base + start;
	part->body_offset = base + start + header;
	part->body_lines = unpack_size(u, part->body_size);
	if (start < taken)
		give_up(u);
}

static void unpack_fields(struct unpacker *u, struct mime_part *part)
{
	part->kind = (enum mime_kind)unpack_size(u, MIME_KIND_COUNT - 1);
	part->encoding = (enum transfer_encoding)unpack_size(u, TRANSFER_ENCODING_COUNT - 1);
	part->type = unpack_text(u);
	part->subtype = unpack_text(u);
	part->parameters = unpack_parameters(u);
	part->id = unpack_text(u);
	part->description = unpack_text(u);
	part->encoding_name = unpack_text(u);
	part->md5 = unpack_text(u);
	part->disposition = unpack_text(u);
	part->disposition_parameters = unpack_parameters(u);
	part->language = unpack_text(u);
	part->location = unpack_text(u);
	if (part->type.length == 0 || part->subtype.length == 0)
		give_up(u);
}

static bool has_right_children(const struct mime_part *part)
{
	switch (part->kind) {
	case MIME_MULTIPART: return part->children > 0;
	case MIME_MESSAGE: return part->children == 1;
	default: return part->children == 0;
	}
}

static struct mime_part *unpack_part(struct unpacker *u, struct mime_part *parent, size_t depth)
{
	if (u->parts_left == 0 || depth > LIMIT_MIME_DEPTH_MAX || u->corrupt) {
		give_up(u);
		return NULL;
	}
	u->parts_left--;
	struct mime_part *part = arena_alloc(u->arena, sizeof *part);
	part->parent = parent;
	unpack_fields(u, part);
	unpack_place(u, part, parent ? parent->last : NULL);
	part->children = unpack_size(u, u->parts_left);
	if (!has_right_children(part))
		give_up(u);
	if (part->kind == MIME_MESSAGE) {
		part->envelope = arena_alloc(u->arena, sizeof *part->envelope);
		unpack_envelope(u, part->envelope);
	}
	for (size_t i = 0; i < part->children && !u->corrupt; i++) {
		struct mime_part *child = unpack_part(u, part, depth + 1);
		if (part->last)
			part->last->next = child;
		else
			part->first = child;
		part->last = child;
	}
	return part;
}

static struct unpacker unpack_begin(struct arena *a, struct str blob)
{
	struct unpacker u = { .arena = a, .parts_left = PART_COUNT_MAX };
	u.addresses_left = 2 * LIMIT_MESSAGE_ADDRESSES_MAX; /* of the message, and of those within it */
	u.parameters_left = LIMIT_MESSAGE_PARAMETERS_MAX + PART_COUNT_MAX; /* the default ones are not counted */
	u.at = (const unsigned char *)blob.data;
	u.end = u.at + blob.length;
	size_t version = unpack_size(&u, VERSION);
	if (version < VERSION_WITH_SUBSET)
		give_up(&u);
	u.has_subset = version == VERSION_WITH_SUBSET;
	return u;
}

static bool unpack_end(const struct unpacker *u, struct fail **fail)
{
	if (u->corrupt || u->at != u->end)
		return fail_set(fail, FAIL_CORRUPT, "the stored structure of a message is damaged");
	return true;
}

/* The reader of one section, which must be read to its end. */
static struct unpacker unpack_section(struct unpacker *u)
{
	struct unpacker section = *u;
	struct str bytes = unpack_bytes(u, unpack_size(u, SIZE_MAX));
	section.at = bytes.data ? (const unsigned char *)bytes.data : u->end;
	section.end = section.at + bytes.length;
	section.corrupt = u->corrupt;
	return section;
}

bool message_unpack_envelope(struct arena *a, struct str blob, struct mail_envelope *envelope, struct fail **fail)
{
	*envelope = (struct mail_envelope){};
	struct unpacker u = unpack_begin(a, blob);
	struct unpacker section = unpack_section(&u);
	unpack_envelope(&section, envelope);
	return unpack_end(&section, fail);
}

static bool unpack_head(struct unpacker *u, struct message *m, struct fail **fail)
{
	struct unpacker envelope = unpack_section(u);
	unpack_envelope(&envelope, &m->envelope);
	struct unpacker facts = unpack_section(u);
	unpack_facts(&facts, m);
	return unpack_end(&envelope, fail) && unpack_end(&facts, fail);
}

bool message_unpack_head(struct arena *a, struct str blob, struct message *m, struct fail **fail)
{
	*m = (struct message){};
	struct unpacker u = unpack_begin(a, blob);
	return unpack_head(&u, m, fail);
}

bool message_unpack(struct arena *a, struct str blob, struct message *m, struct fail **fail)
{
	*m = (struct message){};
	struct unpacker u = unpack_begin(a, blob);
	if (!unpack_head(&u, m, fail))
		return false;
	if (u.has_subset)
		m->subset = unpack_bytes(&u, unpack_size(&u, SIZE_MAX));
	struct unpacker structure = unpack_section(&u);
	m->root = unpack_part(&structure, NULL, 1);
	return unpack_end(&u, fail) && unpack_end(&structure, fail);
}

struct mime_part *message_unpack_structure(struct arena *a, struct str blob, struct fail **fail)
{
	struct unpacker u = unpack_begin(a, blob);
	unpack_section(&u); /* envelope */
	unpack_section(&u); /* facts */
	if (u.has_subset)
		unpack_section(&u);
	struct unpacker structure = unpack_section(&u);
	struct mime_part *root = unpack_part(&structure, NULL, 1);
	return unpack_end(&u, fail) && unpack_end(&structure, fail) ? root : NULL;
}

#include "text_make.h"

#include "encoded_word.h"
#include "limits.h"
#include "mem.h"
#include "search_text.h"

#include <stdlib.h>
#include <xxhash.h>

enum { NAME_MAX_OCTETS = 1000, REFERENCE_SIZE = 8 };

/* ---- octets ---- */

static uint64_t zigzag(int64_t number)
{
	return (uint64_t)number << 1 ^ (number < 0 ? UINT64_MAX : 0);
}

static int64_t from_zigzag(uint64_t number)
{
	return (int64_t)(number >> 1 ^ (number & 1 ? UINT64_MAX : 0));
}

static void add_hash(struct buf *out, uint64_t hash)
{
	buf_append(out, &hash, sizeof hash);
}

static void add_text(struct buf *out, struct str text)
{
	text_add_varint(out, text.length);
	buf_add_str(out, text);
}

static bool take_text(struct str *from, struct str *text)
{
	uint64_t length;
	if (!text_take_varint(from, &length) || length > from->length)
		return false;
	*text = str_first(*from, (size_t)length);
	*from = str_from_index(*from, (size_t)length);
	return true;
}

/* ---- making ---- */

struct text_make *text_make_new(void)
{
	struct text_make *m = mem_alloc(sizeof *m);
	m->arena = arena_new(MESSAGE_ARENA_SIZE);
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		buf_init(&m->sections[i], TEXT_MESSAGE_MAX);
	return m;
}

void text_make_free(struct text_make **m)
{
	if (!*m)
		return;
	arena_free((*m)->arena);
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		buf_release(&(*m)->sections[i]);
	free(*m);
	*m = NULL;
}

static uint64_t hash_of(struct str id)
{
	return str_is_empty(id) ? 0 : XXH3_64bits(id.data, id.length);
}

static void add_decoded(struct buf *out, struct str text)
{
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(1 << 20);
	encoded_word_decode(&decoded, text);
	add_text(out, str_first(buf_str(&decoded), NAME_MAX_OCTETS));
}

static void add_mailbox(struct buf *out, const struct address_list *list)
{
	add_decoded(out, list->first ? list->first->mailbox : str_of(NULL));
}

/* RFC 5957 §3 */
static void add_display(struct buf *out, const struct address_list *list)
{
	const struct address *address = list->first;
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(1 << 20);
	if (address && address->name.data)
		encoded_word_decode(&name, address->name);
	if (name.length == 0 && address && address->mailbox.data) {
		encoded_word_decode(&name, address->mailbox);
		if (address->host.data) {
			buf_add_char(&name, '@');
			encoded_word_decode(&name, address->host);
		}
	}
	add_text(out, str_first(buf_str(&name), NAME_MAX_OCTETS));
}

/* Of too many the first and the last ones, as the store keeps them. */
static void add_references(struct buf *out, const struct message *message)
{
	size_t count = message->reference_count, kept = count < LIMIT_REFERENCES_MAX ? count : LIMIT_REFERENCES_MAX;
	text_add_varint(out, kept);
	for (size_t i = 0; i < kept; i++)
		add_hash(out, hash_of(message->references[i ? count - kept + i : 0]));
}

static void make_order(struct buf *out, const struct message *message)
{
	bool has_date = message->flags & MESSAGE_HAS_DATE;
	text_add_varint(out, (has_date ? 1u : 0u) | (message->flags & MESSAGE_IS_REPLY ? 2u : 0u));
	text_add_varint(out, zigzag(has_date ? message->date.seconds : 0));
	text_add_varint(out, zigzag(has_date ? message->date.zone_minutes : 0));
	add_hash(out, hash_of(message->id));
	add_text(out, str_first(message->base_subject, NAME_MAX_OCTETS));
	add_mailbox(out, &message->envelope.from);
	add_mailbox(out, &message->envelope.to);
	add_mailbox(out, &message->envelope.cc);
	add_display(out, &message->envelope.from);
	add_display(out, &message->envelope.to);
	add_references(out, message);
}

static const struct str field_names[TEXT_FIELD_KINDS] = {
	[TEXT_FIELD_FROM] = STR("FROM:"), [TEXT_FIELD_TO] = STR("TO:"), [TEXT_FIELD_CC] = STR("CC:"),
	[TEXT_FIELD_BCC] = STR("BCC:"), [TEXT_FIELD_SUBJECT] = STR("SUBJECT:"),
	[TEXT_FIELD_MESSAGE_ID] = STR("MESSAGE-ID:"),
};

/* The kind of a field from its part of HEADERS. */
static bool kind_of(struct str part, enum text_field *field)
{
	for (enum text_field i = 0; i < TEXT_FIELD_KINDS; i++)
		if (str_starts(part, field_names[i])) {
			*field = i;
			return true;
		}
	return false;
}

/* A field's value from behind the colon, without the blank that divides it from the next field. */
static struct str value_of(struct str part, size_t name_length)
{
	struct str value = str_from_index(part, name_length);
	return value.length ? str_first(value, value.length - 1) : value;
}

static struct str field_part(struct str headers, const struct search_text_ends *ends, size_t i)
{
	uint32_t begin = i ? ends->list.items[i - 1] : 0;
	return str_first(str_from_index(headers, begin), ends->list.items[i] - begin);
}

static void make_often(struct buf *out, struct str headers, const struct search_text_ends *ends)
{
	size_t often = 0;
	enum text_field field;
	for (size_t i = 0; i < ends->list.count; i++)
		often += kind_of(field_part(headers, ends, i), &field);
	text_add_varint(out, often);
	for (size_t i = 0; i < ends->list.count; i++) {
		struct str part = field_part(headers, ends, i);
		if (!kind_of(part, &field))
			continue;
		buf_add_char(out, (char)field);
		add_text(out, value_of(part, field_names[field].length));
	}
}

static void clear(struct text_make *m)
{
	arena_reset(m->arena);
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		buf_clear(&m->sections[i]);
}

static void fill_entry(const struct text_make *m, struct text_entry *entry)
{
	*entry = (struct text_entry){};
	for (size_t i = 0; i < TEXT_SECTIONS; i++) {
		entry->cut |= m->sections[i].overflowed;
		entry->sections[i] = buf_str(&m->sections[i]);
	}
}

void text_make(struct text_make *m, struct str mail, struct text_entry *entry)
{
	struct message message;
	struct search_text_ends ends = {};
	struct buf *fields = &m->sections[TEXT_FIELDS];
	clear(m);
	message_parse(m->arena, mail, &message);
	make_order(&m->sections[TEXT_ORDER], &message);
	search_text_headers(&m->sections[TEXT_HEADERS], mail, message.root, &ends);
	make_often(fields, buf_str(&m->sections[TEXT_HEADERS]), &ends);
	for (size_t i = 0; i < ends.list.count; i++)
		text_add_varint(fields, (uint32_t)field_part(buf_str(&m->sections[TEXT_HEADERS]), &ends, i).length);
	search_text_bodies(&m->sections[TEXT_BODIES], mail, message.root);
	array_release(&ends.list);
	fill_entry(m, entry);
}

bool text_make_listed(struct text_make *m, const struct store_message_columns *columns, struct text_entry *entry)
{
	struct message message;
	struct search_text_ends ends = {};
	struct buf *headers = &m->sections[TEXT_HEADERS];
	clear(m);
	if (!str_ends_nocase(columns->headers, STR("\r\n\r\n")) || /* else it may lack fields */
	    !message_unpack_head(m->arena, columns->structure, &message, NULL))
		return false;
	const struct mime_part header = { .body_offset = columns->headers.length };
	make_order(&m->sections[TEXT_ORDER], &message);
	search_text_headers(headers, columns->headers, &header, &ends);
	make_often(&m->sections[TEXT_FIELDS], buf_str(headers), &ends);
	array_release(&ends.list);
	bool whole = !headers->overflowed;
	buf_clear(headers);
	fill_entry(m, entry);
	return whole;
}

/* ---- ORDER ---- */

static bool take_hash(struct str *from, uint64_t *hash)
{
	if (from->length < sizeof *hash)
		return false;
	memcpy(hash, from->data, sizeof *hash);
	*from = str_from_index(*from, sizeof *hash);
	return true;
}

bool text_order_read(struct text_order *order, struct str section)
{
	uint64_t flags, sent, zone, count;
	if (!text_take_varint(&section, &flags) || !text_take_varint(&section, &sent) || !text_take_varint(&section,
	                                                                                                   &zone) ||
	    !take_hash(&section, &order->id) || !take_text(&section, &order->subject) ||
	    !take_text(&section, &order->from) || !take_text(&section, &order->to) || !take_text(&section, &order->cc) ||
	    !take_text(&section, &order->display_from) || !take_text(&section, &order->display_to) ||
	    !text_take_varint(&section, &count) || count > LIMIT_REFERENCES_MAX || section.length != count * REFERENCE_SIZE)
		return false;
	order->has_date = flags & 1;
	order->is_reply = flags & 2;
	order->sent = from_zigzag(sent);
	order->zone_minutes = (int)from_zigzag(zone);
	order->references = section;
	order->reference_count = (size_t)count;
	return true;
}

uint64_t text_order_reference(const struct text_order *order, size_t index)
{
	uint64_t hash;
	must(index < order->reference_count);
	memcpy(&hash, order->references.data + index * REFERENCE_SIZE, sizeof hash);
	return hash;
}

/* ---- FIELDS ---- */

bool text_field_find(struct str name, enum text_field *field)
{
	for (enum text_field i = 0; i < TEXT_FIELD_KINDS; i++)
		if (str_equal_nocase(name, str_first(field_names[i], field_names[i].length - 1))) {
			*field = i;
			return true;
		}
	return false;
}

struct often {
	uint8_t kind;
	struct str value;
};

static bool take_often(struct str *from, struct often *often)
{
	if (from->length == 0)
		return false;
	often->kind = (uint8_t)from->data[0];
	*from = str_from_index(*from, 1);
	return take_text(from, &often->value);
}

bool text_fields_have(struct str fields, enum text_field field, const struct text_needle *key)
{
	uint64_t count;
	struct often often;
	if (!text_take_varint(&fields, &count))
		return false;
	for (uint64_t i = 0; i < count && take_often(&fields, &often); i++)
		if (often.kind == field && text_find(key, often.value))
			return true;
	return false;
}

bool text_headers_have(struct str fields, struct str headers, struct str folded_name, const struct text_needle *key)
{
	uint64_t count, length;
	struct often often;
	if (!text_take_varint(&fields, &count))
		return false;
	for (uint64_t i = 0; i < count; i++)
		if (!take_often(&fields, &often))
			return false;
	while (text_take_varint(&fields, &length) && length <= headers.length) {
		struct str part = str_first(headers, (size_t)length);
		if (str_starts(part, folded_name) && text_find(key, value_of(part, folded_name.length)))
			return true;
		headers = str_from_index(headers, (size_t)length);
	}
	return false;
}

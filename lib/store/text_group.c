#include "text_group.h"

#include <lz4.h>
#include <xxhash.h>

enum {
	MAGIC = 0x31675450,
	CHECKED_FROM = 16,
	BLOCKS_AT = 48,
	FILTER_BITS_MIN = 6,
	FILTER_BITS_MAX = 16,
	VARINT_MAX = 10,
};

/* ---- numbers ---- */

static void put_number(char *to, uint64_t number, size_t size)
{
	for (size_t i = 0; i < size; i++)
		to[i] = (char)(number >> (8 * i));
}

static uint64_t get_number(const char *from, size_t size)
{
	uint64_t number = 0;
	for (size_t i = 0; i < size; i++)
		number |= (uint64_t)(uint8_t)from[i] << (8 * i);
	return number;
}

void text_add_varint(struct buf *out, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		buf_add_char(out, (char)(number | 0x80));
	buf_add_char(out, (char)number);
}

bool text_take_varint(struct str *from, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < VARINT_MAX && i < from->length; i++) {
		*number |= (uint64_t)((uint8_t)from->data[i] & 0x7f) << (7 * i);
		if ((uint8_t)from->data[i] < 0x80) {
			*from = str_from_index(*from, i + 1);
			return true;
		}
	}
	return false;
}

/* ---- filters ---- */

static uint32_t trigram_hash(const char *at)
{
	uint32_t trigram = (uint32_t)(uint8_t)at[0] | (uint32_t)(uint8_t)at[1] << 8 | (uint32_t)(uint8_t)at[2] << 16;
	return trigram * 0x9e3779b1u >> (32 - FILTER_BITS_MAX);
}

struct text_key text_key_make(struct str folded)
{
	struct text_key key = { .needle = text_needle_make(folded) };
	for (size_t i = 0; i + 3 <= folded.length && key.count < TEXT_KEY_TRIGRAMS; i++)
		key.trigrams[key.count++] = trigram_hash(folded.data + i);
	return key;
}

static void filter_text(uint8_t *filter, struct str text)
{
	for (size_t i = 0; i + 3 <= text.length; i++) {
		uint32_t hash = trigram_hash(text.data + i);
		filter[hash / 8] |= (uint8_t)(1u << (hash % 8));
	}
}

/* Bits set in a filter, of the whole size. */
static size_t count_bits(const uint8_t *filter, size_t octets)
{
	size_t count = 0;
	for (size_t i = 0; i + 8 <= octets; i += 8)
		count += (size_t)__builtin_popcountll(get_number((const char *)filter + i, 8));
	return count;
}

/* Small groups get small filters: both halves laid over each other as long as few bits are set. */
static uint8_t shrink_filter(uint8_t *filter)
{
	uint8_t bits = FILTER_BITS_MAX;
	size_t set = count_bits(filter, (size_t)1 << FILTER_BITS_MAX >> 3);
	for (; bits > FILTER_BITS_MIN && set * 16 < (size_t)1 << bits; bits--) {
		size_t half = (size_t)1 << bits >> 4;
		for (size_t i = 0; i < half; i++)
			filter[i] |= filter[half + i];
	}
	return bits;
}

static uint8_t add_filter(struct buf *out, const struct text_group_maker *m, enum text_section section)
{
	uint8_t filter[(size_t)1 << FILTER_BITS_MAX >> 3] = {};
	struct str rest = buf_str(&m->sections[section]);
	for (size_t i = 0; i < m->count; i++) {
		filter_text(filter, str_first(rest, m->lengths[section][i]));
		rest = str_from_index(rest, m->lengths[section][i]);
	}
	uint8_t bits = shrink_filter(filter);
	buf_append(out, filter, (size_t)1 << bits >> 3);
	return bits;
}

bool text_group_may_have(const struct text_group *g, enum text_section section, const struct text_key *key)
{
	must(section == TEXT_HEADERS || section == TEXT_BODIES);
	struct str filter = g->filters[section - TEXT_HEADERS];
	uint32_t mask = (uint32_t)(filter.length * 8 - 1);
	for (size_t i = 0; i < key->count; i++) {
		uint32_t bit = key->trigrams[i] & mask;
		if (!((uint8_t)filter.data[bit / 8] >> (bit % 8) & 1))
			return false;
	}
	return true;
}

/* ---- writing ---- */

void text_group_begin(struct text_group_maker *m)
{
	m->count = 0;
	m->block.limit = TEXT_SECTION_MAX;
	buf_clear(&m->block);
	for (size_t i = 0; i < TEXT_SECTIONS; i++) {
		m->sections[i].limit = TEXT_SECTION_MAX;
		buf_clear(&m->sections[i]);
	}
}

void text_group_release(struct text_group_maker *m)
{
	buf_release(&m->block);
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		buf_release(&m->sections[i]);
}

bool text_group_is_full(const struct text_group_maker *m)
{
	size_t octets = 0;
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		octets += m->sections[i].length;
	return m->count == TEXT_GROUP_MESSAGES || octets >= TEXT_GROUP_OCTETS;
}

void text_group_add(struct text_group_maker *m, const struct text_entry *entry)
{
	must(!text_group_is_full(m) && (m->count == 0 || entry->message > m->messages[m->count - 1]));
	m->messages[m->count] = entry->message;
	m->cut[m->count] = entry->cut;
	for (size_t i = 0; i < TEXT_SECTIONS; i++) {
		struct str section = str_first(entry->sections[i], TEXT_MESSAGE_MAX);
		m->cut[m->count] |= section.length < entry->sections[i].length;
		m->lengths[i][m->count] = (uint32_t)section.length;
		buf_add_str(&m->sections[i], section);
		must(!m->sections[i].overflowed);
	}
	m->count++;
}

static void add_block(struct text_group_maker *m, enum text_section section, struct buf *out, size_t begin)
{
	buf_clear(&m->block);
	for (size_t i = 0; i < m->count; i++)
		text_add_varint(&m->block, m->lengths[section][i]);
	buf_add_str(&m->block, buf_str(&m->sections[section]));
	must(!m->block.overflowed);
	int most = LZ4_compressBound((int)m->block.length);
	char *room = buf_reserve(out, (size_t)most);
	must(room);
	int stored = LZ4_compress_default(m->block.data, room, (int)m->block.length, most);
	if (stored <= 0 || (size_t)stored >= m->block.length) {
		memcpy(room, m->block.data, m->block.length);
		stored = (int)m->block.length;
	}
	char *head = out->data + begin + BLOCKS_AT + 16 * (size_t)section;
	put_number(head, (uint64_t)stored, 4);
	put_number(head + 4, m->block.length, 4);
	put_number(head + 8, XXH3_64bits(room, (size_t)stored), 8);
	buf_claim(out, (size_t)stored);
}

static void add_lead(struct text_group_maker *m, struct buf *out, size_t begin)
{
	static const char nothing[TEXT_HEAD_SIZE];
	buf_append(out, nothing, sizeof nothing);
	uint64_t before = m->messages[0];
	for (size_t i = 0; i < m->count; i++) {
		text_add_varint(out, (m->messages[i] - before) << 1 | m->cut[i]);
		before = m->messages[i];
	}
	enum text_section first = m->sections[TEXT_HEADERS].length ? TEXT_HEADERS : TEXT_FIELDS;
	uint8_t headers = add_filter(out, m, first), bodies = add_filter(out, m, TEXT_BODIES);
	must(!out->overflowed);
	char *head = out->data + begin;
	put_number(head, MAGIC, 4);
	put_number(head + 4, m->count, 2);
	put_number(head + 6, headers, 1);
	put_number(head + 7, bodies, 1);
	put_number(head + 16, m->messages[0], 8);
	put_number(head + 24, m->messages[m->count - 1], 8);
	put_number(head + 36, out->length - begin, 4);
	put_number(head + 40, XXH3_64bits(head + TEXT_HEAD_SIZE, out->length - begin - TEXT_HEAD_SIZE), 8);
}

void text_group_pack(struct text_group_maker *m, struct buf *out)
{
	size_t begin = out->length;
	must(m->count);
	add_lead(m, out, begin);
	for (enum text_section section = 0; section < TEXT_SECTIONS; section++)
		add_block(m, section, out, begin);
	char *head = out->data + begin;
	put_number(head + 32, out->length - begin, 4);
	/* what says how to read it is under the check, too */
	uint64_t check = XXH3_64bits_withSeed(head + CHECKED_FROM, TEXT_HEAD_SIZE - CHECKED_FROM, get_number(head, 8));
	put_number(head + 8, check, 8);
}

/* ---- reading ---- */

static bool damaged(struct fail **fail)
{
	return fail_set(fail, FAIL_CORRUPT, "a group of search text is damaged");
}

static bool head_is_sane(const struct text_head *head)
{
	uint64_t size = head->lead;
	for (size_t i = 0; i < TEXT_SECTIONS; i++) {
		if (head->blocks[i].raw > TEXT_SECTION_MAX || head->blocks[i].stored > head->blocks[i].raw)
			return false;
		size += head->blocks[i].stored;
	}
	for (size_t i = 0; i < 2; i++)
		if (head->filter_bits[i] < FILTER_BITS_MIN || head->filter_bits[i] > FILTER_BITS_MAX)
			return false;
	return size == head->size && head->lead > TEXT_HEAD_SIZE && head->lead <= TEXT_LEAD_MAX && head->count > 0 &&
	       head->count <= TEXT_GROUP_MESSAGES && head->first <= head->last;
}

bool text_head_read(struct text_head *head, struct str octets, struct fail **fail)
{
	if (octets.length < TEXT_HEAD_SIZE)
		return damaged(fail);
	const char *at = octets.data;
	*head = (struct text_head){ .first = get_number(at + 16, 8), .last = get_number(at + 24, 8),
		                        .size = (uint32_t)get_number(at + 32, 4), .lead = (uint32_t)get_number(at + 36, 4),
		                        .count = (uint16_t)get_number(at + 4, 2),
		                        .filter_bits = { (uint8_t)at[6], (uint8_t)at[7] },
		                        .lead_check = get_number(at + 40, 8) };
	for (size_t i = 0; i < TEXT_SECTIONS; i++) {
		head->blocks[i].stored = (uint32_t)get_number(at + BLOCKS_AT + 16 * i, 4);
		head->blocks[i].raw = (uint32_t)get_number(at + BLOCKS_AT + 16 * i + 4, 4);
		head->blocks[i].check = get_number(at + BLOCKS_AT + 16 * i + 8, 8);
	}
	uint64_t check = XXH3_64bits_withSeed(at + CHECKED_FROM, TEXT_HEAD_SIZE - CHECKED_FROM, get_number(at, 8));
	return (get_number(at, 4) == MAGIC && check == get_number(at + 8, 8) && head_is_sane(head)) || damaged(fail);
}

uint32_t text_head_block(const struct text_head *head, enum text_section section)
{
	uint32_t at = head->lead;
	for (size_t i = 0; i < section; i++)
		at += head->blocks[i].stored;
	return at;
}

static bool read_numbers(struct text_group *g, struct str *rest)
{
	uint64_t message = g->head.first;
	for (size_t i = 0; i < g->head.count; i++) {
		uint64_t number;
		if (!text_take_varint(rest, &number) || (number >> 1 == 0) != (i == 0) || number >> 1 > g->head.last - message)
			return false;
		message += number >> 1;
		g->messages[i] = message;
		g->cut[i] = number & 1;
	}
	return message == g->head.last;
}

bool text_group_read(struct text_group *g, struct str lead, struct fail **fail)
{
	if (!text_head_read(&g->head, lead, fail))
		return false;
	struct str rest = str_from_index(lead, TEXT_HEAD_SIZE);
	if (lead.length != g->head.lead || XXH3_64bits(rest.data, rest.length) != g->head.lead_check ||
	    !read_numbers(g, &rest))
		return damaged(fail);
	for (size_t i = 0; i < 2; i++) {
		size_t octets = (size_t)1 << g->head.filter_bits[i] >> 3;
		g->filters[i] = str_first(rest, octets);
		if (g->filters[i].length != octets)
			return damaged(fail);
		rest = str_from_index(rest, octets);
	}
	return rest.length == 0 || damaged(fail);
}

static bool split(const struct text_group *g, struct str rest, struct str texts[TEXT_GROUP_MESSAGES])
{
	uint64_t lengths[TEXT_GROUP_MESSAGES];
	for (size_t i = 0; i < g->head.count; i++)
		if (!text_take_varint(&rest, &lengths[i]))
			return false;
	for (size_t i = 0; i < g->head.count; i++) {
		if (lengths[i] > rest.length)
			return false;
		texts[i] = str_first(rest, (size_t)lengths[i]);
		rest = str_from_index(rest, (size_t)lengths[i]);
	}
	return rest.length == 0;
}

bool text_group_unpack(const struct text_group *g, enum text_section section, struct str block, struct buf *memory,
                       struct str texts[TEXT_GROUP_MESSAGES], struct fail **fail)
{
	size_t raw = g->head.blocks[section].raw;
	if (block.length != g->head.blocks[section].stored ||
	    XXH3_64bits(block.data, block.length) != g->head.blocks[section].check)
		return damaged(fail);
	buf_clear(memory);
	char *room = buf_reserve(memory, raw);
	must(room);
	if (block.length == raw)
		memcpy(room, block.data, raw);
	else if (LZ4_decompress_safe(block.data, room, (int)block.length, (int)raw) != (int)raw)
		return damaged(fail);
	buf_claim(memory, raw);
	return split(g, buf_str(memory), texts) || damaged(fail);
}

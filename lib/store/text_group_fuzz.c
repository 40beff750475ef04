/* Any octets as a group, and as the sections of an entry: reading stays within them, and what is accepted is sane. */
#include "mem.h"
#include "text_make.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct str whole, struct str part)
{
	must(part.length == 0 || (part.data >= whole.data && part.data + part.length <= whole.data + whole.length));
}

static void read_entry(const struct str texts[TEXT_SECTIONS])
{
	struct text_order order;
	struct text_key key = text_key_make(STR("A"));
	if (text_order_read(&order, texts[TEXT_ORDER])) {
		check_within(texts[TEXT_ORDER], order.subject);
		check_within(texts[TEXT_ORDER], order.display_to);
		for (size_t i = 0; i < order.reference_count; i++)
			text_order_reference(&order, i);
	}
	for (enum text_field field = 0; field < TEXT_FIELD_KINDS; field++)
		text_fields_have(texts[TEXT_FIELDS], field, &key.needle);
	bool has = text_headers_have(texts[TEXT_FIELDS], texts[TEXT_HEADERS], STR("X:"), &key.needle);
	must(!has || text_find(&key.needle, texts[TEXT_HEADERS]));
}

static void read_group(struct str octets)
{
	struct text_group g;
	struct text_head head;
	if (!text_head_read(&head, octets, NULL) || !text_group_read(&g, str_first(octets, head.lead), NULL))
		return;
	must(g.head.count >= 1 && g.head.count <= TEXT_GROUP_MESSAGES && g.messages[g.head.count - 1] == g.head.last);
	struct buf memory[TEXT_SECTIONS];
	struct str texts[TEXT_SECTIONS][TEXT_GROUP_MESSAGES] = {};
	for (enum text_section section = 0; section < TEXT_SECTIONS; section++) {
		buf_init(&memory[section], TEXT_SECTION_MAX);
		struct str rest = str_from_index(octets, text_head_block(&g.head, section));
		struct str block = str_first(rest, g.head.blocks[section].stored);
		if (!text_group_unpack(&g, section, block, &memory[section], texts[section], NULL))
			memset(texts[section], 0, sizeof texts[section]);
		for (size_t i = 0; i < g.head.count; i++)
			check_within(buf_str(&memory[section]), texts[section][i]);
	}
	for (size_t i = 0; i < g.head.count; i++) {
		struct str entry[TEXT_SECTIONS];
		for (size_t section = 0; section < TEXT_SECTIONS; section++)
			entry[section] = texts[section][i];
		read_entry(entry);
	}
	for (size_t section = 0; section < TEXT_SECTIONS; section++)
		buf_release(&memory[section]);
}

/* What is packed comes back, and no filter denies any part of it. */
static void round_trip(struct str octets)
{
	struct text_group_maker *m = mem_alloc(sizeof *m);
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(TEXT_GROUP_MAX);
	struct text_entry entry = { .message = 7 };
	struct text_group g;
	struct text_head head;
	text_group_begin(m);
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		entry.sections[i] = str_from_index(str_first(octets, octets.length - octets.length / (i + 2)), i);
	text_group_add(m, &entry);
	text_group_pack(m, &packed);
	must(text_head_read(&head, buf_str(&packed), NULL) && head.size == packed.length);
	must(text_group_read(&g, str_first(buf_str(&packed), head.lead), NULL));
	struct str body = entry.sections[TEXT_BODIES];
	for (size_t i = 0; i + 4 <= body.length; i += 1 + body.length / 16) {
		struct text_key key = text_key_make(str_first(str_from_index(body, i), 1 + i % 40));
		must(text_group_may_have(&g, TEXT_BODIES, &key) && text_find(&key.needle, body));
	}
	read_group(buf_str(&packed));
	text_group_release(m);
	free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str octets = str_from((const char *)data, size);
	const struct str same[TEXT_SECTIONS] = { octets, octets, octets, octets };
	read_group(octets);
	read_entry(same);
	round_trip(octets);
	return 0;
}

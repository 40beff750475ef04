#include "text_group.h"

#include "mem.h"
#include "text_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* ---- text_find ---- */

static void finds_what_memmem_finds(void **state)
{
	(void)state;
	srand(1);
	for (unsigned round = 0; round < 20000; round++) {
		char text[200], key[12];
		size_t length = (size_t)rand() % sizeof text, key_length = (size_t)rand() % sizeof key;
		unsigned letters = 1 + (unsigned)rand() % 4;
		for (size_t i = 0; i < sizeof text; i++)
			text[i] = (char)('A' + (unsigned)rand() % letters);
		for (size_t i = 0; i < sizeof key; i++)
			key[i] = (char)('A' + (unsigned)rand() % letters);
		/* exactly as long as it says, so that a sanitizer sees what reads beyond */
		char *exact = malloc(length + 1);
		memcpy(exact, text, length);
		exact = realloc(exact, length ? length : 1);
		struct text_needle needle = text_needle_make(str_from(key, key_length));
		bool expected = key_length == 0 || memmem(exact, length, key, key_length);
		assert_int_equal(text_find(&needle, str_from(exact, length)), expected);
		free(exact);
	}
}

static void finds_long_keys(void **state)
{
	(void)state;
	char text[5000], copy[5000];
	memset(text, 'A', sizeof text);
	text[4000] = 'B';
	memcpy(copy, text, sizeof copy);
	struct text_needle there = text_needle_make(str_from(copy + 3500, 600));
	struct text_needle elsewhere = text_needle_make(str_from(copy + 3900, 1100));
	text[4900] = 'C';
	assert_true(text_find(&there, str_from(text, sizeof text)));
	assert_false(text_find(&elsewhere, str_from(text, sizeof text)));
}

/* ---- groups ---- */

struct fixture {
	struct text_group_maker maker;
	struct buf packed, memory;
	struct text_group group;
};

static int begin(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	text_group_begin(&f->maker);
	buf_init(&f->packed, TEXT_GROUP_MAX);
	buf_init(&f->memory, TEXT_SECTION_MAX);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	text_group_release(&f->maker);
	buf_release(&f->packed);
	buf_release(&f->memory);
	free(f);
	return 0;
}

static struct str text_of(enum text_section section, unsigned i, char memory[64])
{
	int length = snprintf(memory, 64, "SECTION %u OF MESSAGE %u", section, i);
	return str_from(memory, i % 7 == 3 ? 0 : (size_t)length);
}

static void fill(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char memory[TEXT_SECTIONS][64];
		struct text_entry entry = { .message = 1000 + 3 * i, .cut = i % 5 == 1 };
		for (enum text_section section = 0; section < TEXT_SECTIONS; section++)
			entry.sections[section] = text_of(section, i, memory[section]);
		text_group_add(&f->maker, &entry);
	}
	text_group_pack(&f->maker, &f->packed);
}

static struct str block_of(struct fixture *f, enum text_section section)
{
	struct str rest = str_from_index(buf_str(&f->packed), text_head_block(&f->group.head, section));
	return str_first(rest, f->group.head.blocks[section].stored);
}

static bool read_lead(struct fixture *f)
{
	struct text_head head;
	return text_head_read(&head, buf_str(&f->packed), NULL) && head.size == f->packed.length &&
	       text_group_read(&f->group, str_first(buf_str(&f->packed), head.lead), NULL);
}

static void groups_come_back(void **state)
{
	struct fixture *f = *state;
	fill(f, TEXT_GROUP_MESSAGES);
	assert_true(text_group_is_full(&f->maker) && read_lead(f));
	assert_int_equal(f->group.head.first, 1000);
	assert_int_equal(f->group.head.last, 1000 + 3 * 31);
	for (enum text_section section = 0; section < TEXT_SECTIONS; section++) {
		struct str texts[TEXT_GROUP_MESSAGES];
		assert_true(text_group_unpack(&f->group, section, block_of(f, section), &f->memory, texts, NULL));
		for (unsigned i = 0; i < TEXT_GROUP_MESSAGES; i++) {
			char memory[64];
			assert_int_equal(f->group.messages[i], 1000 + 3 * i);
			assert_int_equal(f->group.cut[i], i % 5 == 1);
			assert_true(str_equal(texts[i], text_of(section, i, memory)));
		}
	}
}

static bool may_have(struct fixture *f, enum text_section section, const char *text)
{
	struct text_key key = text_key_make(str_of(text));
	return text_group_may_have(&f->group, section, &key);
}

static void filters_rule_out(void **state)
{
	struct fixture *f = *state;
	fill(f, 20);
	assert_true(read_lead(f));
	assert_true(may_have(f, TEXT_HEADERS, "SECTION 2 OF MESSAGE 19") && may_have(f, TEXT_BODIES, "ION 3"));
	assert_false(may_have(f, TEXT_HEADERS, "SECTION 3"));
	assert_false(may_have(f, TEXT_BODIES, "ZANZIBAR"));
	assert_true(may_have(f, TEXT_BODIES, "ZZ")); /* too short to be asked */
	for (unsigned i = 0; i < 20; i++) { /* nothing is left out at the ends of texts */
		char memory[64];
		struct str text = text_of(TEXT_BODIES, i, memory);
		struct str end = str_from_index(text, text.length - 3);
		struct text_key first = text_key_make(str_first(text, 3)), last = text_key_make(end);
		assert_true(!text.length || text_group_may_have(&f->group, TEXT_BODIES, &first));
		assert_true(!text.length || text_group_may_have(&f->group, TEXT_BODIES, &last));
	}
	assert_int_equal(f->group.filters[0].length, f->group.filters[1].length);
	assert_in_range(f->group.filters[0].length, 16, 256); /* few trigrams need few bits */
}

static void long_texts_are_cut(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(2 * TEXT_MESSAGE_MAX);
	while (text.length <= TEXT_MESSAGE_MAX)
		buf_printf(&text, "%u ", (unsigned)rand());
	struct text_entry entry = { .message = 1, .sections = { [TEXT_BODIES] = buf_str(&text) } };
	text_group_add(&f->maker, &entry);
	assert_true(text_group_is_full(&f->maker));
	text_group_pack(&f->maker, &f->packed);
	struct str texts[TEXT_GROUP_MESSAGES];
	assert_true(read_lead(f) && f->group.cut[0]);
	assert_true(text_group_unpack(&f->group, TEXT_BODIES, block_of(f, TEXT_BODIES), &f->memory, texts, NULL));
	assert_true(str_equal(texts[0], str_first(buf_str(&text), TEXT_MESSAGE_MAX)));
}

/* Every octet is under a check. */
static void damage_is_seen(void **state)
{
	struct fixture *f = *state;
	fill(f, 3);
	for (size_t i = 0; i < f->packed.length; i++) {
		f->packed.data[i] ^= 0x10;
		struct str texts[TEXT_GROUP_MESSAGES];
		bool ok = read_lead(f);
		for (enum text_section section = 0; ok && section < TEXT_SECTIONS; section++)
			ok = text_group_unpack(&f->group, section, block_of(f, section), &f->memory, texts, NULL);
		assert_false(ok);
		f->packed.data[i] ^= 0x10;
	}
	assert_true(read_lead(f));
	f->packed.length--;
	assert_false(read_lead(f));
}

/* ---- entries ---- */

static const struct str mail =
	STR("From: \"J. Gr\xc3\xbc\xc3\x9f\" <Jens@Example.ORG>, b@c\r\nTo: undisclosed: ;\r\nCc: c@d\r\n"
	    "Subject: Re: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Sat, 5 Jan 2002 23:11:12 -0500\r\n"
	    "Message-ID: <one@x>\r\nReferences: <zero@x> <half@x>\r\nX-Empty:\r\n"
	    "Received: from  a\r\n\tby b\r\n\r\nBody\r\n");

static struct text_entry made(struct text_make *m, struct str text)
{
	struct text_entry entry;
	text_make(m, text, &entry);
	return entry;
}

static void order_is_kept(void **state)
{
	(void)state;
	CLEANUP(text_make_free) struct text_make *m = text_make_new();
	struct text_order order;
	assert_true(text_order_read(&order, made(m, mail).sections[TEXT_ORDER]));
	assert_true(order.has_date && order.is_reply);
	assert_int_equal(order.sent, 1010290272);
	assert_int_equal(order.zone_minutes, -300);
	assert_true(str_equal(order.subject, STR("Grüße")) && str_equal(order.from, STR("Jens")));
	assert_true(str_equal(order.display_from, STR("J. Grüß")) && str_equal(order.cc, STR("c")));
	assert_true(str_equal(order.to, STR("undisclosed")) && str_equal(order.display_to, STR("undisclosed")));
	assert_int_equal(order.reference_count, 2);
	uint64_t zero = text_order_reference(&order, 0);
	assert_true(text_order_read(&order, made(m, STR("Message-ID: <zero@x>\n\n")).sections[TEXT_ORDER]));
	assert_int_equal(order.id, zero);
	assert_true(!order.has_date && order.reference_count == 0 && order.display_from.length == 0);
	struct str section = made(m, mail).sections[TEXT_ORDER];
	for (size_t i = 0; i < section.length; i++)
		assert_false(text_order_read(&order, str_first(section, i)));
}

static void fields_are_found(void **state)
{
	(void)state;
	static const struct {
		const char *name, *key;
		bool expected;
	} cases[] = {
		{ "from", "EXAMPLE.ORG", true },       { "From", "CLIENT", false },
		{ "subject", "GRU\xcc\x88", true },    { "to", "UNDISCLOSED", true },
		{ "bcc", "", false },                  { "cc", "", true },
		{ "message-id", "<ONE@X>", true },     { "references", "<ZERO@X> <HALF@X>", true },
		{ "x-empty", "", true },               { "x-empt", "", false },
		{ "received", "FROM A BY B", true },   { "received", "BODY", false },
		{ "date", "2002", true },              { "cc", "C@D ", false },
		{ "cc", " C@D", true },                { "received", "B Y", false },
	};
	CLEANUP(text_make_free) struct text_make *m = text_make_new();
	struct text_entry entry = made(m, mail);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char name[40];
		enum text_field field;
		size_t length = (size_t)snprintf(name, sizeof name, "%s:", cases[i].name);
		for (size_t c = 0; c < length; c++)
			name[c] = char_upper(name[c]);
		struct text_needle key = text_needle_make(str_of(cases[i].key));
		assert_int_equal(text_headers_have(entry.sections[TEXT_FIELDS], entry.sections[TEXT_HEADERS],
		                                   str_from(name, length), &key), cases[i].expected);
		if (text_field_find(str_of(cases[i].name), &field))
			assert_int_equal(text_fields_have(entry.sections[TEXT_FIELDS], field, &key), cases[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_memmem_finds),
		cmocka_unit_test(finds_long_keys),
		cmocka_unit_test_setup_teardown(groups_come_back, begin, end),
		cmocka_unit_test_setup_teardown(filters_rule_out, begin, end),
		cmocka_unit_test_setup_teardown(long_texts_are_cut, begin, end),
		cmocka_unit_test_setup_teardown(damage_is_seen, begin, end),
		cmocka_unit_test(order_is_kept),
		cmocka_unit_test(fields_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

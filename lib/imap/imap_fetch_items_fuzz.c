/* What is parsed can be asked for again by its label, and is the same item then. */
#include "imap_fetch_items.h"

#include "limits.h"

enum { ARENA = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The label with the number of octets put back: "BODY[]<5>" → "BODY[]<5.7>". */
static struct str as_asked(struct arena *arena, const struct imap_fetch_item *item)
{
	if (!item->is_partial)
		return item->label;
	return arena_printf(arena, "%.*s.%llu>", (int)item->label.length - 1, item->label.data,
	                    (unsigned long long)item->length);
}

static void check_again(struct arena *arena, const struct imap_fetch_item *item)
{
	struct imap_parser p;
	struct imap_fetch_items items;
	imap_parser_init(&p, arena, as_asked(arena, item), true);
	imap_parse_fetch_items(&p, &items);
	must(imap_parse_end(&p) && items.count == 1);
	const struct imap_fetch_item *again = &items.list[0];
	must(again->kind == item->kind && str_equal(again->label, item->label) && again->is_partial == item->is_partial);
	must(again->offset == item->offset && again->length == item->length);
	must(again->section.depth == item->section.depth && again->section.text == item->section.text);
	must(again->section.field_count == item->section.field_count);
	for (size_t i = 0; i < item->section.field_count; i++)
		must(str_equal(again->section.fields[i], item->section.fields[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_parser p;
	struct imap_fetch_items items;
	struct imap_fetch_modifiers modifiers;
	imap_parser_init(&p, arena, str_from((const char *)data, size), false);
	imap_parse_fetch_items(&p, &items);
	must(items.count <= LIMIT_IMAP_FETCH_ITEMS_MAX && (items.count > 0) == !p.failed);
	for (size_t i = 0; i < items.count; i++) {
		must(items.kinds & 1u << items.list[i].kind && items.list[i].label.length);
		check_again(arena, &items.list[i]);
	}
	imap_parse_fetch_modifiers(&p, true, &modifiers);
	must(p.failed || !modifiers.partial.given ||
	     (modifiers.partial.first && modifiers.partial.first <= modifiers.partial.last));
	return 0;
}

/* An entry that comes out is one: in lower case, below /private or /shared, and asked for it is found. */
#include "imap_entry.h"

#include "limits.h"

enum { ARENA = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct str entry)
{
	must(entry.length <= LIMIT_IMAP_ENTRY_NAME_MAX);
	must(str_starts(entry, STR("/private")) || str_starts(entry, STR("/shared")));
	must(entry.data[entry.length - 1] != '/' && imap_entry_matches(entry, IMAP_DEPTH_0, entry));
	for (size_t i = 0; i < entry.length; i++)
		must(entry.data[i] > 0x20 && entry.data[i] < 0x7f && char_lower(entry.data[i]) == entry.data[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_getmetadata get = {};
	struct imap_setmetadata set = {};
	struct imap_parser p;
	if (!size)
		return 0;
	imap_parser_init(&p, arena, str_from((const char *)data + 1, size - 1), data[0] & 1);
	if (data[0] & 2)
		imap_parse_getmetadata(&p, &get);
	else
		imap_parse_setmetadata(&p, &set);
	for (size_t i = 0; !p.failed && i < get.entry_count; i++)
		check(get.entries[i]);
	for (size_t i = 0; !p.failed && i < set.count; i++)
		check(set.values[i].entry);
	must(get.entry_count <= LIMIT_IMAP_ENTRIES_MAX && set.count <= LIMIT_IMAP_ENTRIES_MAX);
	return 0;
}

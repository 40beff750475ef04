/*
 * Any bytes as an aliases file: entries and problems stay within their limits, every line number
 * is one of the file, nothing that would run or write gets through, and an entry written out is
 * read back the same.
 */
#include "directory_alias_file.h"

#include "buf.h"
#include "mem.h"

#include <stdlib.h>

static void free_arena(struct arena **arena)
{
	arena_free(*arena);
}

static void read_back(const struct alias_file_entry *entry)
{
	CLEANUP(free_arena) struct arena *arena = arena_new(256 << 20);
	CLEANUP(alias_file_release) struct alias_file file = {};
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_ALIAS_FILE_MAX);
	buf_add_str(&text, entry->name);
	for (size_t i = 0; i < entry->target_count; i++) {
		buf_add_str(&text, i ? STR(", ") : STR(": "));
		buf_add_str(&text, entry->targets[i]);
	}
	if (!alias_file_parse(buf_str(&text), arena, &file, NULL) || file.entries.count != 1)
		return;
	must(str_equal(file.entries.items[0].name, entry->name));
	must(file.entries.items[0].target_count == entry->target_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(free_arena) struct arena *arena = arena_new(256 << 20);
	CLEANUP(alias_file_release) struct alias_file file = {};
	struct str text = str_from((const char *)data, size);
	size_t lines = 1;
	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	if (!alias_file_parse(text, arena, &file, NULL))
		return 0;
	must(file.problems.count <= LIMIT_ALIAS_FILE_PROBLEMS_MAX);
	must(file.entries.count + file.problems.count <= lines);
	for (size_t i = 0; i < file.problems.count; i++)
		must(file.problems.items[i].line >= 1 && file.problems.items[i].line <= lines);
	for (size_t i = 0; i < file.entries.count; i++) {
		struct alias_file_entry *entry = &file.entries.items[i];
		must(entry->line >= 1 && entry->line <= lines && entry->name.length > 0);
		must(entry->target_count >= 1 && entry->target_count <= LIMIT_ALIAS_TARGETS_MAX);
		for (size_t n = 0; n < entry->target_count; n++) {
			struct str target = entry->targets[n];
			must(!str_starts(target, STR("|")) && !str_starts(target, STR("/")));
			must(!str_starts_nocase(target, STR(":include:")));
		}
		if (i < 3)
			read_back(entry);
	}
	return 0;
}

/* Patterns that come out are well-formed, without runs of wildcards, and no longer than what can match. */
#include "imap_list_command.h"

#include "imap_write.h"
#include "limits.h"
#include "text.h"

enum { ARENA = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_wildcard(char c)
{
	return c == '*' || c == '%';
}

static void check(const struct imap_list_pattern *pattern)
{
	struct str text = pattern->text;
	must(text.length && text.length <= 2 * LIMIT_MAILBOX_NAME_MAX + 1 && text_is_utf8(text));
	for (size_t i = 1; i < text.length; i++)
		must(!is_wildcard(text.data[i]) || !is_wildcard(text.data[i - 1]));
	must(!pattern->levels || is_wildcard(text.data[text.length - 1]));
	imap_list_matches(text, STR("a/b/c/d"), '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct imap_list_command command;
	struct imap_parser p;
	if (!size)
		return 0;
	imap_parser_init(&p, arena, str_from((const char *)data + 1, size - 1), data[0] & 1);
	if (data[0] & 2)
		imap_parse_lsub_command(&p, &command);
	else
		imap_parse_list_command(&p, &command);
	must(command.pattern_count <= LIMIT_IMAP_LIST_PATTERNS_MAX && command.entry_count <= LIMIT_IMAP_ENTRIES_MAX);
	must(!p.failed || !command.pattern_count);
	for (size_t i = 0; i < command.pattern_count; i++)
		check(&command.patterns[i]);
	return 0;
}

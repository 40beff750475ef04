#include "imap_flags.h"

#include <stdlib.h>

enum { KEYWORD_ROOM_FIRST = 8 };

static uint32_t system_flag(struct str name)
{
	static const struct {
		struct str name;
		uint32_t flag;
	} flags[] = {
		{ { "\\Answered", 9 }, STORE_ANSWERED }, { { "\\Flagged", 8 }, STORE_FLAGGED },
		{ { "\\Deleted", 8 }, STORE_DELETED },   { { "\\Seen", 5 }, STORE_SEEN },
		{ { "\\Draft", 6 }, STORE_DRAFT },
	};
	for (size_t i = 0; i < COUNT_OF(flags); i++)
		if (str_equal_nocase(name, flags[i].name))
			return flags[i].flag;
	return 0;
}

static void add_keyword(struct imap_session *s, struct imap_flags *flags, struct str name)
{
	if (flags->keyword_count == flags->keyword_room) {
		size_t room = flags->keyword_room ? flags->keyword_room * 2 : KEYWORD_ROOM_FIRST;
		struct str *more = arena_alloc_array(s->arena, room, sizeof *more);
		if (flags->keyword_count)
			memcpy(more, flags->keywords, flags->keyword_count * sizeof *more);
		flags->keywords = more;
		flags->keyword_room = room;
	}
	flags->keywords[flags->keyword_count++] = arena_copy(s->arena, name);
}

void imap_parse_flag_into(struct imap_session *s, struct imap_flags *flags)
{
	struct imap_parser *p = &s->parser;
	struct str name = imap_parse_flag(p);
	uint32_t flag = system_flag(name);
	flags->flags |= flag;
	if (p->failed || flag)
		return;
	if (str_is_empty(name) || name.data[0] == '\\')
		imap_parse_fail(p, "a flag that can be set");
	else if (flags->keyword_count >= LIMIT_KEYWORDS_PER_MAILBOX)
		p->too_much = !imap_parse_fail(p, "fewer keywords");
	else
		add_keyword(s, flags, name);
}

void imap_parse_flag_list(struct imap_session *s, struct imap_flags *flags)
{
	for (imap_parse_list_begin(&s->parser); imap_parse_list_next(&s->parser);)
		imap_parse_flag_into(s, flags);
}

static bool is_known(const struct store_mailboxes *known, struct str name)
{
	for (size_t i = 0; i < known->names.count; i++)
		if (str_equal_nocase(str_of(known->names.items[i]), name))
			return true;
	return false;
}

bool imap_flags_keep_known(struct imap_session *s, struct imap_flags *flags, struct fail **fail)
{
	CLEANUP(store_mailboxes_release) struct store_mailboxes known = {};
	size_t kept = 0;
	if (flags->keyword_count == 0)
		return true;
	if (!store_read_keywords(s->reader, &known, fail))
		return false;
	for (size_t i = 0; i < flags->keyword_count; i++)
		if (is_known(&known, flags->keywords[i]))
			flags->keywords[kept++] = flags->keywords[i];
	flags->keyword_count = kept;
	return true;
}

static int compare_numbers(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

struct store_keywords imap_flags_keywords(struct imap_session *s, const struct imap_flags *flags, struct store_txn *txn)
{
	uint16_t *numbers = arena_alloc_array(s->arena, flags->keyword_count, sizeof *numbers);
	size_t kept = 0;
	for (size_t i = 0; i < flags->keyword_count; i++)
		if (!store_keyword(txn, flags->keywords[i], &numbers[i]))
			return (struct store_keywords){};
	qsort(numbers, flags->keyword_count, sizeof *numbers, compare_numbers);
	for (size_t i = 0; i < flags->keyword_count; i++)
		if (i == 0 || numbers[i] != numbers[kept - 1])
			numbers[kept++] = numbers[i];
	return (struct store_keywords){ numbers, kept };
}

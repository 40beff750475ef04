/* What is shown of a client's ID can go into a log line; numbers of words and pairs are bounded. */
#include "imap_collation.h"
#include "imap_id.h"
#include "imap_status_items.h"
#include "limits.h"

enum { ARENA = 64 << 20, SHOWN_MAX = 500 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_no_control(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(SHOWN_MAX);
	struct str text = str_from((const char *)data, size);
	struct imap_words words;
	struct imap_parser p;
	enum imap_collation active = IMAP_UNICODE_CASEMAP;
	unsigned matching;
	imap_parser_init(&p, arena, text, false);
	imap_parse_id(&p, &shown);
	must(shown.length <= SHOWN_MAX && has_no_control(buf_str(&shown)));
	imap_parser_init(&p, arena, text, false);
	imap_parse_words(&p, &words);
	must(words.count <= LIMIT_IMAP_LANGUAGES_MAX);
	must(imap_collation_choose(&words, &active, &matching) == (matching != 0) && matching < 1U << IMAP_COLLATION_COUNT);
	imap_parser_init(&p, arena, text, false);
	must(imap_parse_status_items(&p) < 1U << IMAP_STATUS_ITEM_COUNT);
	return 0;
}

/* What is shown of a client's ID can go into a log line; numbers of words and pairs are bounded. */
#include "imap_collation.h"
#include "imap_id.h"
#include "imap_status_items.h"
#include "limits.h"

enum { ARENA = 64 << 20, SHOWN_MAX = 500 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
	must(shown.length <= SHOWN_MAX && str_is_printable(buf_str(&shown)) && str_find_char(buf_str(&shown), '"') == shown.length);
	imap_parser_init(&p, arena, text, false);
	imap_parse_words(&p, &words);
	must(words.count <= LIMIT_IMAP_LANGUAGES_MAX);
	must(imap_collation_choose(&words, &active, &matching) == (matching != 0) && matching < 1U << IMAP_COLLATION_COUNT);
	imap_parser_init(&p, arena, text, false);
	must(imap_parse_status_items(&p) < 1U << IMAP_STATUS_ITEM_COUNT);
	return 0;
}

#include "imap_status_items.h"

static const char *const names[IMAP_STATUS_ITEM_COUNT] = {
	"MESSAGES", "RECENT", "UIDNEXT",       "UIDVALIDITY", "UNSEEN",    "DELETED",
	"DELETED-STORAGE", "SIZE",   "HIGHESTMODSEQ", "APPENDLIMIT", "MAILBOXID",
};

const char *imap_status_item_name(unsigned i)
{
	must(i < IMAP_STATUS_ITEM_COUNT);
	return names[i];
}

static unsigned item_bit(struct imap_parser *p)
{
	struct str name = imap_parse_atom(p);
	for (unsigned i = 0; !p->failed && i < COUNT_OF(names); i++)
		if (str_equal_nocase(name, str_of(names[i])))
			return 1U << i;
	imap_parse_fail(p, "an item of STATUS");
	return 0;
}

unsigned imap_parse_status_items(struct imap_parser *p)
{
	unsigned items = 0;
	for (imap_parse_list_begin(p); imap_parse_list_next(p);)
		items |= item_bit(p);
	if (!items)
		imap_parse_fail(p, "an item of STATUS");
	return items;
}

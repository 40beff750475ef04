#include "imap_collation.h"

#include "limits.h"

static const char *const names[IMAP_COLLATION_COUNT] = { "i;unicode-casemap", "i;ascii-casemap" };

void imap_parse_words(struct imap_parser *p, struct imap_words *words)
{
	struct str items[LIMIT_IMAP_LANGUAGES_MAX];
	size_t count = 0;
	while (imap_parse_more(p)) {
		struct str item = imap_parse_list_mailbox(p); /* an astring in which "*" may stand bare */
		if (count == COUNT_OF(items)) {
			imap_parse_fail(p, "fewer arguments");
			p->too_much = true;
			break;
		}
		items[count++] = item;
	}
	struct str *kept = arena_alloc_array(p->arena, count, sizeof *kept);
	if (count)
		memcpy(kept, items, count * sizeof *kept);
	*words = (struct imap_words){ kept, count };
}

/* RFC 4790 §3.2: "*" stands for any octets. Greedy, with one place to go back to: names are short and patterns too. */
static bool pattern_matches(struct str pattern, struct str name)
{
	size_t at = 0, star = SIZE_MAX, retry = 0, i = 0;
	while (at < name.length) {
		if (i < pattern.length && pattern.data[i] == '*') {
			star = i++;
			retry = at;
		} else if (i < pattern.length && char_lower(pattern.data[i]) == char_lower(name.data[at])) {
			i++;
			at++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			at = ++retry;
		} else {
			return false;
		}
	}
	while (i < pattern.length && pattern.data[i] == '*')
		i++;
	return i == pattern.length;
}

/* A bit for each collation that this argument names. */
static unsigned matches_of(struct str argument)
{
	unsigned found = 0;
	if (str_equal_nocase(argument, STR("default")))
		return 1U << IMAP_UNICODE_CASEMAP;
	for (unsigned i = 0; i < IMAP_COLLATION_COUNT; i++)
		if (pattern_matches(argument, str_of(names[i])))
			found |= 1U << i;
	return found;
}

bool imap_collation_choose(const struct imap_words *order, enum imap_collation *active, unsigned *matching)
{
	*matching = 0;
	for (size_t i = 0; i < order->count; i++) {
		unsigned found = matches_of(order->items[i]);
		if (found && !*matching)
			*active = found & 1U << IMAP_UNICODE_CASEMAP ? IMAP_UNICODE_CASEMAP : IMAP_ASCII_CASEMAP;
		*matching |= found;
	}
	return *matching;
}

void imap_collation_write(struct buf *out, enum imap_collation active, unsigned matching)
{
	buf_printf(out, "* COMPARATOR %s", names[active]);
	if (matching == (1U << IMAP_COLLATION_COUNT) - 1)
		buf_printf(out, " (%s %s)", names[IMAP_UNICODE_CASEMAP], names[IMAP_ASCII_CASEMAP]);
	buf_add_str(out, STR("\r\n"));
}

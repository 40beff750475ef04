#include "imap_language_command.h"

#include "imap_collation.h"

/* ---- LANGUAGE ---- */

static void choose(struct imap_session *s, const struct imap_words *ranges)
{
	enum imap_language preferred = (enum imap_language)s->session->account->daemon.config.default_language;
	for (size_t i = 0; i < ranges->count; i++) {
		if (!imap_language_find(ranges->items[i], preferred, &s->kept.language))
			continue;
		imap_language_write_chosen(&s->out, s->kept.language);
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
		return;
	}
	imap_no(s, "", IMAP_SAY_NO_LANGUAGE, &(struct imap_values){ .text = ranges->items[0] });
}

void imap_language(struct imap_session *s)
{
	struct imap_words ranges;
	imap_parse_words(&s->parser, &ranges);
	if (!imap_arguments_end(s))
		return;
	if (ranges.count) {
		choose(s, &ranges);
		return;
	}
	imap_language_write_all(&s->out);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

/* ---- COMPARATOR ---- */

void imap_comparator(struct imap_session *s)
{
	struct imap_words order;
	unsigned matching = 0;
	enum imap_collation active = s->kept.unicode_casemap ? IMAP_UNICODE_CASEMAP : IMAP_ASCII_CASEMAP;
	imap_parse_words(&s->parser, &order);
	if (!imap_arguments_end(s))
		return;
	if (order.count && !imap_collation_choose(&order, &active, &matching)) {
		imap_no(s, "BADCOMPARATOR", IMAP_SAY_NO_COMPARATOR, NULL); /* RFC 5255 §4.9 */
		return;
	}
	s->kept.unicode_casemap = active == IMAP_UNICODE_CASEMAP;
	imap_collation_write(&s->out, active, matching);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

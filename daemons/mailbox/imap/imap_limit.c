#include "imap_limit.h"

#include "clock.h"

#include <stdio.h>

enum { SILENCE_MAX_MS = 10000 };

uint32_t imap_limit(const struct imap_session *s, bool saves)
{
	const struct config *config = &s->session->account->daemon.config;
	uint32_t limit = (uint32_t)config->imap_message_limit, save = (uint32_t)config->imap_save_limit;
	return saves && save && (!limit || save < limit) ? save : limit;
}

/* Drops the first ranges of the set. */
static void drop_before(struct imap_numbers *uids, size_t first)
{
	memmove(uids->ranges.items, uids->ranges.items + first, (uids->ranges.count - first) * sizeof *uids->ranges.items);
	uids->ranges.count -= first;
}

bool imap_limit_set(struct imap_session *s, uint32_t limit, struct imap_numbers *uids, uint32_t *lowest)
{
	struct uidmap *known = &s->view.uids;
	uint32_t left = limit;
	if (limit == 0 || imap_view_count(s, uids) <= limit)
		return false;
	for (size_t i = uids->ranges.count; i-- > 0;) {
		struct imap_range *range = &uids->ranges.items[i];
		uint32_t end = uidmap_rank(known, range->last), count = end - uidmap_rank(known, range->first - 1);
		if (count >= left) {
			*lowest = range->first = uidmap_uid(known, end - left + 1);
			drop_before(uids, i);
			return true;
		}
		left -= count;
	}
	return false;
}

const char *imap_limit_code(uint32_t limit, uint32_t lowest, char code[IMAP_LIMIT_CODE_SIZE])
{
	if (lowest)
		snprintf(code, IMAP_LIMIT_CODE_SIZE, "MESSAGELIMIT %u %u", limit, lowest);
	else
		snprintf(code, IMAP_LIMIT_CODE_SIZE, "MESSAGELIMIT %u", limit);
	return code;
}

void imap_tell_limit(struct imap_session *s, uint32_t limit, uint32_t lowest)
{
	char code[IMAP_LIMIT_CODE_SIZE];
	buf_printf(&s->out, "* NO [%s] ", imap_limit_code(limit, lowest, code));
	imap_text_add(&s->out, s->kept.language, IMAP_SAY_MESSAGE_LIMIT, &(struct imap_values){ .number = limit });
	buf_add_str(&s->out, STR("\r\n"));
}

/* RFC 9585 §4: a tag with "]", which would end the code for many a parser, is not told; a goal is more than what is
 * done. */
static void tell_progress(struct imap_session *s, uint64_t done, uint64_t goal)
{
	buf_add_str(&s->out, STR("* OK [INPROGRESS ("));
	if (str_find_char(s->command.tag, ']') < s->command.tag.length)
		buf_add_str(&s->out, STR("NIL"));
	else
		imap_write_string(&s->out, s->command.tag, false);
	if (goal > done)
		buf_printf(&s->out, " %llu %llu", (unsigned long long)done, (unsigned long long)goal);
	else
		buf_printf(&s->out, " %llu NIL", (unsigned long long)done);
	buf_add_str(&s->out, STR(")] "));
	imap_text_add(&s->out, s->kept.language, IMAP_SAY_WORKING, NULL);
	buf_add_str(&s->out, STR("\r\n"));
}

bool imap_still_working(struct imap_session *s, uint64_t done, uint64_t goal)
{
	int64_t now = clock_monotonic_ms();
	if (s->spoke_ms == 0)
		s->spoke_ms = now;
	if (now - s->spoke_ms < SILENCE_MAX_MS)
		return true;
	tell_progress(s, done, goal);
	s->spoke_ms = now;
	return imap_send(s) && stream_flush(s->stream);
}

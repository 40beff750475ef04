#include "imap_qresync.h"

enum { SEND_AT = 60000 };

static void refuse_star(struct imap_parser *p, const struct imap_sequence *sequence)
{
	bool star = sequence->saved;
	for (size_t i = 0; i < sequence->count && !p->failed; i++)
		star = star || sequence->ranges[i].first == IMAP_STAR || sequence->ranges[i].last == IMAP_STAR;
	if (star)
		imap_parse_fail(p, "numbers without *");
}

static void parse_set(struct imap_parser *p, struct imap_sequence *sequence)
{
	imap_parse_sequence(p, sequence);
	refuse_star(p, sequence);
}

static void parse_match(struct imap_parser *p, struct imap_qresync *q)
{
	imap_parse_char(p, '(');
	parse_set(p, &q->match_numbers);
	imap_parse_space(p);
	parse_set(p, &q->match_uids);
	imap_parse_char(p, ')');
}

/* RFC 7162 §7: "(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")". A client that knows
 * nothing yet may say 0, as with CHANGEDSINCE. */
void imap_parse_qresync(struct imap_parser *p, struct imap_qresync *q)
{
	imap_parse_space(p);
	imap_parse_char(p, '(');
	q->uidvalidity = imap_parse_nz_number(p, UINT32_MAX);
	imap_parse_space(p);
	q->modseq = imap_parse_number(p, INT64_MAX);
	bool more = imap_parse_more(p);
	if (more && imap_parse_peek(p) != '(') {
		q->has_known = true;
		parse_set(p, &q->known);
		more = imap_parse_more(p);
	}
	if (more)
		parse_match(p, q);
	imap_parse_char(p, ')');
}

/* ---- what the client has right ---- */

/* A piece of each of the two sets, walked in step. */
struct pair {
	uint32_t number, uid;
	uint64_t count;
};

/* The UID up to which the client is right, as far as these pairs say: numbers rise by one from pair to pair and so do
 * the UIDs it believes in, the true UIDs by one or more, so those that agree lie together. */
static uint32_t last_match(struct imap_session *s, const struct pair *pair)
{
	uint32_t exists = uidmap_count(&s->view.uids);
	if (pair->number > exists)
		return 0;
	uint64_t low = 0, high = pair->count < exists - pair->number + 1 ? pair->count : exists - pair->number + 1;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (uidmap_uid(&s->view.uids, pair->number + (uint32_t)middle) > pair->uid + middle)
			high = middle;
		else
			low = middle + 1;
	}
	if (low == 0)
		return 0;
	uint32_t uid = uidmap_uid(&s->view.uids, pair->number + (uint32_t)(low - 1));
	return uid == pair->uid + (low - 1) ? uid : 0;
}

static uint64_t length_of(const struct imap_range *range)
{
	return (uint64_t)range->last - range->first + 1;
}

/* RFC 7162 §3.2.5.2. */
static uint32_t find_matched(struct imap_session *s, const struct imap_qresync *q)
{
	CLEANUP(imap_numbers_release) struct imap_numbers numbers = {};
	CLEANUP(imap_numbers_release) struct imap_numbers uids = {};
	uint64_t number_done = 0, uid_done = 0;
	uint32_t matched = 0;
	imap_sequence_resolve(&q->match_numbers, 0, &numbers);
	imap_sequence_resolve(&q->match_uids, 0, &uids);
	for (size_t n = 0, u = 0; n < numbers.ranges.count && u < uids.ranges.count;) {
		const struct imap_range *number = &numbers.ranges.items[n], *uid = &uids.ranges.items[u];
		uint64_t numbers_left = length_of(number) - number_done, uids_left = length_of(uid) - uid_done;
		uint64_t count = numbers_left < uids_left ? numbers_left : uids_left;
		const struct pair pair = { number->first + (uint32_t)number_done, uid->first + (uint32_t)uid_done, count };
		uint32_t last = last_match(s, &pair);
		matched = last > matched ? last : matched;
		number_done = numbers_left == count ? (n++, 0u) : number_done + count;
		uid_done = uids_left == count ? (u++, 0u) : uid_done + count;
	}
	return matched;
}

/* ---- what vanished ---- */

/* All of a range that is not there. */
static void add_absent(struct imap_session *s, uint32_t first, uint32_t last, struct imap_numbers *gone)
{
	while (first <= last) {
		uint32_t there = uidmap_next(&s->view.uids, first);
		if (there == 0 || there > last) {
			imap_numbers_append_range(gone, first, last);
			return;
		}
		if (there > first)
			imap_numbers_append_range(gone, first, there - 1);
		first = there + 1;
	}
}

static void add_all_absent(struct imap_session *s, const struct imap_numbers *asked, uint32_t matched,
                           struct imap_numbers *gone)
{
	for (size_t i = 0; i < asked->ranges.count; i++) {
		const struct imap_range *range = &asked->ranges.items[i];
		if (range->last > matched)
			add_absent(s, range->first > matched ? range->first : matched + 1, range->last, gone);
	}
}

bool imap_tell_vanished_earlier(struct imap_session *s, const struct imap_numbers *asked, uint64_t since,
                                uint32_t matched, struct fail **fail)
{
	CLEANUP(imap_numbers_release) struct imap_numbers gone = {};
	CLEANUP(store_uids_release) struct store_uids vanished = {};
	bool complete;
	if (!store_read_vanished(s->reader, s->kept.view.mailbox, since, &vanished, &complete, fail))
		return false;
	if (!complete)
		add_all_absent(s, asked, matched, &gone);
	for (size_t i = 0; complete && i < vanished.uids.count; i++) {
		uint32_t uid = vanished.uids.items[i];
		if (uid > matched && imap_numbers_has(asked, uid) && !uidmap_has(&s->view.uids, uid))
			imap_numbers_append(&gone, uid);
	}
	if (gone.ranges.count == 0)
		return true;
	buf_add_str(&s->out, STR("* VANISHED (EARLIER) "));
	imap_numbers_write(&s->out, &gone);
	return buf_add_str(&s->out, STR("\r\n"));
}

/* ---- what changed ---- */

static void tell_row(struct imap_session *s, const struct store_row *row)
{
	imap_view_begin_fetch(s, row->uid, true);
	imap_view_write_flags(s, row);
	buf_add_str(&s->out, STR(" MODSEQ ("));
	buf_add_u64(&s->out, row->modseq);
	buf_add_str(&s->out, STR("))\r\n"));
}

/* From position *next on, until enough is written; false when all is. */
static bool tell_some(struct imap_session *s, const struct store_positions *positions, const struct imap_numbers *asked,
                      size_t *next)
{
	const struct store_row *rows = store_index_rows(s->view.index);
	for (; *next < positions->list.count && s->out.length < SEND_AT; (*next)++) {
		const struct store_row *row = &rows[positions->list.items[*next]];
		if (imap_numbers_has(asked, row->uid) && uidmap_has(&s->view.uids, row->uid))
			tell_row(s, row);
	}
	return *next < positions->list.count;
}

/* The UID to go on from stays the same, the positions need not: they are looked up anew for each piece. */
static bool tell_changed(struct imap_session *s, const struct imap_numbers *asked, uint64_t since, struct fail **fail)
{
	uint32_t from = 0;
	bool more = true;
	while (more) {
		CLEANUP(store_positions_release) struct store_positions positions = {};
		size_t next = 0;
		if (!store_index_lock(s->view.index, s->reader, fail))
			return false;
		const struct store_row *rows = store_index_rows(s->view.index);
		store_index_changed(s->view.index, since, &positions);
		while (next < positions.list.count && rows[positions.list.items[next]].uid < from)
			next++;
		more = tell_some(s, &positions, asked, &next);
		from = more ? rows[positions.list.items[next]].uid : 0;
		store_index_unlock(s->view.index);
		if (!imap_send_some(s))
			return true;
	}
	return true;
}

/* UIDs that never were given out are nobody's to vanish. */
static void resolve_known(struct imap_session *s, const struct imap_qresync *q, struct imap_numbers *asked)
{
	uint32_t newest = s->view.counters.uidnext - 1;
	if (q->has_known)
		imap_sequence_resolve(&q->known, newest, asked);
	else if (newest)
		imap_numbers_append_range(asked, 1, newest);
	while (asked->ranges.count && asked->ranges.items[asked->ranges.count - 1].first > newest)
		asked->ranges.count--;
	if (asked->ranges.count && asked->ranges.items[asked->ranges.count - 1].last > newest)
		asked->ranges.items[asked->ranges.count - 1].last = newest;
}

bool imap_qresync_tell(struct imap_session *s, const struct imap_qresync *q, struct fail **fail)
{
	CLEANUP(imap_numbers_release) struct imap_numbers asked = {};
	if (q->uidvalidity != s->kept.view.uidvalidity)
		return true;
	resolve_known(s, q, &asked);
	return imap_tell_vanished_earlier(s, &asked, q->modseq, find_matched(s, q), fail) &&
	       tell_changed(s, &asked, q->modseq, fail);
}

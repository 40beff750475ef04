#include "imap_fetch.h"

#include "imap_fetch_walk.h"
#include "imap_limit.h"
#include "imap_qresync.h"

enum { THREADS_AT_ONCE = 1000, NEW_ARENA_MAX = 1 << 20 };

/* ---- which messages ---- */

/* How many of the messages before the range's end the client knows; those before its beginning with UID - 1. */
static uint32_t known_up_to(struct imap_session *s, uint32_t uid)
{
	return uid ? uidmap_rank(&s->view.uids, uid) : 0;
}

/* RFC 9394 §3.3: those in the set from the first to the last of the range, counted from the oldest, or from the
 * newest. */
static void cut_to_partial(struct imap_session *s, const struct imap_partial *partial, struct imap_numbers *uids)
{
	struct imap_numbers kept = {};
	uint32_t total = imap_view_count(s, uids), first = partial->first, last = partial->last < total ? partial->last : total;
	if (partial->from_end) {
		uint32_t oldest = partial->last < total ? total - partial->last + 1 : 1;
		last = partial->first <= total ? total - partial->first + 1 : 0;
		first = oldest;
	}
	uint32_t before = 0; /* messages of the set in the ranges before */
	for (size_t i = 0; i < uids->ranges.count; i++) {
		const struct imap_range *range = &uids->ranges.items[i];
		uint32_t base = known_up_to(s, range->first - 1), here = known_up_to(s, range->last) - base;
		uint32_t from = first > before ? first - before : 1, to = last > before ? last - before : 0;
		to = to < here ? to : here;
		if (from <= to)
			imap_numbers_append_range(&kept, uidmap_uid(&s->view.uids, base + from),
			                          uidmap_uid(&s->view.uids, base + to));
		before += here;
	}
	imap_numbers_release(uids);
	*uids = kept;
}

/* RFC 7162 §3.1.4.1. What changed is found by MODSEQ, so that a mailbox in which little changed costs little. */
static bool cut_to_changed(struct imap_session *s, uint64_t since, struct imap_numbers *uids, struct fail **fail)
{
	struct store_positions positions = {};
	struct imap_numbers kept = {};
	if (!store_index_lock(s->view.index, s->reader, fail))
		return false;
	store_index_changed(s->view.index, since, &positions);
	const struct store_row *rows = store_index_rows(s->view.index);
	for (size_t i = 0; i < positions.list.count; i++) {
		uint32_t uid = rows[positions.list.items[i]].uid;
		if (imap_numbers_has(uids, uid))
			imap_numbers_append(&kept, uid);
	}
	store_index_unlock(s->view.index);
	store_positions_release(&positions);
	imap_numbers_release(uids);
	*uids = kept;
	return true;
}

/* RFC 7162 §3.2.6: before any FETCH. The set is that of the command, not what the client knows of it. */
static bool tell_vanished(struct imap_session *s, const struct imap_sequence *sequence, uint64_t since,
                          struct fail **fail)
{
	CLEANUP(imap_numbers_release) struct imap_numbers asked = {};
	uint32_t newest = s->view.counters.uidnext - 1;
	imap_sequence_resolve(sequence, newest, &asked);
	while (asked.ranges.count && asked.ranges.items[asked.ranges.count - 1].first > newest)
		asked.ranges.count--;
	if (asked.ranges.count && asked.ranges.items[asked.ranges.count - 1].last > newest)
		asked.ranges.items[asked.ranges.count - 1].last = newest;
	return imap_tell_vanished_earlier(s, &asked, since, 0, fail);
}

/* ---- \Seen ---- */

static void add_unseen(struct imap_session *s, const struct imap_range *range, size_t *hint,
                       struct imap_numbers *unseen)
{
	const struct uidmap *known = &s->view.uids;
	uint32_t uid = uidmap_next(known, range->first);
	for (; uid && uid <= range->last; uid = uid == UINT32_MAX ? 0 : uidmap_next(known, uid + 1)) {
		const struct store_row *row = store_index_find(s->view.index, uid, hint);
		if (row && !(row->flags & STORE_SEEN))
			imap_numbers_append(unseen, uid);
	}
}

static bool find_unseen(struct imap_session *s, const struct imap_numbers *uids, struct imap_numbers *unseen,
                        struct fail **fail)
{
	size_t hint = 0;
	if (!store_index_lock(s->view.index, s->reader, fail))
		return false;
	for (size_t i = 0; i < uids->ranges.count; i++)
		add_unseen(s, &uids->ranges.items[i], &hint, unseen);
	store_index_unlock(s->view.index);
	return true;
}

/* RFC 9051 §6.4.5: all in one transaction, which need not be durable. The new flags are told with what was asked
 * for. */
static bool set_seen(struct imap_session *s, const struct imap_numbers *uids, struct fail **fail)
{
	CLEANUP(imap_numbers_release) struct imap_numbers unseen = {};
	const struct store_change change = { .how = STORE_FLAGS_ADD, .flags = STORE_SEEN, .unchanged_since = UINT64_MAX };
	struct store_uids changed = {};
	if (!find_unseen(s, uids, &unseen, fail))
		return false;
	if (!unseen.ranges.count)
		return true;
	struct store_selection selection = imap_view_selection(s, &unseen);
	struct store_txn *txn = store_begin_deferred(s->session->account->store);
	store_flags(txn, &selection, &change, &changed, NULL);
	bool done = store_commit(&txn, fail) && store_index_refresh(s->view.index, s->reader, fail);
	if (done)
		s->view.own_modseq = changed.modseq;
	store_uids_release(&changed);
	return done;
}

/* ---- THREADID ---- */

/* RFC 8474 §5.2. Threads are found some time after delivery, or now. */
static bool assign_threads(struct imap_session *s, struct fail **fail)
{
	for (bool more = true; more;) {
		struct store_txn *txn = store_begin_deferred(s->session->account->store);
		store_assign_threads(txn, THREADS_AT_ONCE, &more);
		if (!store_commit(&txn, fail))
			return false;
	}
	return true;
}

/* ---- the command ---- */

static bool asks_for(const struct imap_fetch_walk *f, enum imap_fetch_kind kind)
{
	return f->items.kinds & 1u << kind;
}

/* A part of an answer that broke off can't be gone on from: the client would take what follows for its rest. */
static void break_off(struct imap_session *s)
{
	buf_clear(&s->out);
	buf_clear(&s->tagged);
	s->over = true;
}

/* RFC 9738 §3.1: one code only fits into the tagged answer. */
static void answer_cut(struct imap_session *s, uint32_t lowest)
{
	char code[IMAP_LIMIT_CODE_SIZE];
	imap_ok(s, lowest ? imap_limit_code(imap_limit(s, false), lowest, code) : "", IMAP_SAY_DONE, NULL);
}

static void answer(struct imap_session *s, const struct imap_fetch_walk *f, uint32_t lowest)
{
	if (f->broken) {
		break_off(s);
		return;
	}
	if (lowest && (f->fail || f->unknown_cte || f->expunged))
		imap_tell_limit(s, imap_limit(s, false), lowest);
	if (f->fail)
		imap_no_fail(s, f->fail);
	else if (f->unknown_cte)
		imap_no(s, "UNKNOWN-CTE", IMAP_SAY_UNKNOWN_CTE, NULL); /* RFC 3516 §4.3 */
	else if (f->expunged)
		imap_ok(s, "EXPUNGEISSUED", IMAP_SAY_DONE, NULL); /* RFC 5530 §3: what there is was told */
	else
		answer_cut(s, lowest);
}

static bool choose_messages(struct imap_session *s, struct imap_fetch_walk *f, uint32_t *lowest, struct fail **fail)
{
	const struct imap_fetch_modifiers *m = &f->modifiers;
	if (m->partial.given)
		cut_to_partial(s, &m->partial, &f->uids);
	if (m->has_changed_since && !cut_to_changed(s, m->changed_since, &f->uids, fail))
		return false;
	imap_limit_set(s, imap_limit(s, false), &f->uids, lowest);
	return true;
}

/* RFC 9738 §3.3: a PARTIAL that asks for more than the limit is refused. */
static bool partial_is_too_long(struct imap_session *s, const struct imap_partial *partial)
{
	char code[IMAP_LIMIT_CODE_SIZE];
	uint32_t limit = imap_limit(s, false);
	if (!partial->given || !limit || partial->last - partial->first < limit)
		return false;
	imap_no(s, imap_limit_code(limit, 0, code), IMAP_SAY_MESSAGE_LIMIT, &(struct imap_values){ .number = limit });
	return true;
}

static bool run(struct imap_session *s, struct imap_fetch_walk *f, const struct imap_sequence *sequence,
                uint32_t *lowest, struct fail **fail)
{
	if (f->modifiers.vanished && !tell_vanished(s, sequence, f->modifiers.changed_since, fail))
		return false;
	if (!choose_messages(s, f, lowest, fail))
		return false;
	if (f->items.sets_seen && !s->kept.view.read_only && !set_seen(s, &f->uids, fail))
		return false;
	if (asks_for(f, IMAP_FETCH_THREADID) && !assign_threads(s, fail))
		return false;
	imap_fetch_walk_begin(f, s);
	return imap_fetch_walk_run(f, fail);
}

static bool parse(struct imap_session *s, struct imap_sequence *sequence, struct imap_fetch_walk *f)
{
	imap_parse_space(&s->parser);
	imap_parse_sequence(&s->parser, sequence);
	imap_parse_space(&s->parser);
	imap_parse_fetch_items(&s->parser, &f->items);
	imap_parse_fetch_modifiers(&s->parser, s->command.uid, &f->modifiers);
	if (f->modifiers.vanished && !imap_is_enabled(s, IMAP_ENABLE_QRESYNC)) /* RFC 7162 §3.2.6 */
		imap_parse_fail(&s->parser, "ENABLE QRESYNC before VANISHED");
	return imap_arguments_end(s);
}

void imap_fetch(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(imap_fetch_walk_release) struct imap_fetch_walk f = {};
	struct imap_sequence sequence = {};
	uint32_t lowest = 0;
	if (!parse(s, &sequence, &f) || !imap_reader(s) || !imap_view_resolve(s, &sequence, s->command.uid, &f.uids) ||
	    partial_is_too_long(s, &f.modifiers.partial))
		return;
	bool condstore = f.modifiers.has_changed_since || asks_for(&f, IMAP_FETCH_MODSEQ);
	if (condstore)
		imap_enable_condstore(s); /* RFC 7162 §3.1 */
	f.adds_uid = s->command.uid && !asks_for(&f, IMAP_FETCH_UID) && !imap_is_enabled(s, IMAP_ENABLE_UIDONLY);
	f.adds_modseq = f.modifiers.has_changed_since && !asks_for(&f, IMAP_FETCH_MODSEQ);
	if (run(s, &f, &sequence, &lowest, &fail))
		answer(s, &f, lowest);
	else
		imap_no_fail(s, fail);
}

bool imap_fetch_new(struct imap_session *s, struct str items, const struct imap_numbers *uids)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(NEW_ARENA_MAX);
	CLEANUP(imap_fetch_walk_release) struct imap_fetch_walk f = {};
	struct imap_parser parser;
	/* not the command's arena, which lives as long as the client idles */
	imap_parser_init(&parser, arena, items, imap_is_utf8(s));
	imap_parse_fetch_items(&parser, &f.items);
	must(imap_parse_end(&parser));
	for (size_t i = 0; i < uids->ranges.count; i++)
		imap_numbers_append_range(&f.uids, uids->ranges.items[i].first, uids->ranges.items[i].last);
	f.adds_uid = !asks_for(&f, IMAP_FETCH_UID) && !imap_is_enabled(s, IMAP_ENABLE_UIDONLY);
	/* RFC 7162 §3.1: in whatever the client did not ask for at this moment */
	f.adds_modseq = imap_is_enabled(s, IMAP_ENABLE_CONDSTORE) && !asks_for(&f, IMAP_FETCH_MODSEQ);
	if (asks_for(&f, IMAP_FETCH_THREADID) && !assign_threads(s, &fail))
		return false;
	imap_fetch_walk_begin(&f, s);
	bool done = imap_fetch_walk_run(&f, &fail);
	if (f.broken)
		break_off(s);
	return done && !f.broken;
}

#include "imap_view.h"

#include "imap.h"
#include "imap_context.h"
#include "imap_notify.h"

#include <stdlib.h>

/* ---- keywords ---- */

static bool read_keywords(struct imap_session *s, struct fail **fail)
{
	struct store_mailboxes names = {};
	if (!store_read_keywords(s->reader, &names, fail)) {
		store_mailboxes_release(&names);
		return false;
	}
	store_mailboxes_release(&s->view.keywords);
	s->view.keywords = names;
	return true;
}

static void add_keywords(struct imap_session *s, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_add_char(&s->out, ' ');
		buf_add_str(&s->out, str_of(s->view.keywords.names.items[i]));
	}
}

#define SYSTEM_FLAGS "\\Answered \\Flagged \\Deleted \\Seen \\Draft"

/* RFC 9051 §7.3.5, §7.1 PERMANENTFLAGS. */
bool imap_view_tell_flags(struct imap_session *s, struct fail **fail)
{
	struct imap_view *view = &s->view;
	if (!read_keywords(s, fail))
		return false;
	view->known_keywords = view->keywords.names.count;
	view->untold_keyword = false;
	buf_add_str(&s->out, STR("* FLAGS (" SYSTEM_FLAGS));
	add_keywords(s, view->known_keywords);
	buf_add_str(&s->out, STR(")\r\n* OK [PERMANENTFLAGS ("));
	if (!s->kept.view.read_only) {
		buf_add_str(&s->out, STR(SYSTEM_FLAGS));
		add_keywords(s, view->known_keywords);
		if (view->known_keywords < LIMIT_KEYWORDS_PER_MAILBOX)
			buf_add_str(&s->out, STR(" \\*"));
	}
	buf_add_str(&s->out, STR(")] "));
	imap_text_add(&s->out, s->kept.language, s->kept.view.read_only ? IMAP_SAY_NO_FLAGS_KEPT : IMAP_SAY_FLAGS_KEPT,
	              NULL);
	return buf_add_str(&s->out, STR("\r\n"));
}

/* ---- open and close ---- */

/* \Recent is not known to IMAP4rev2 (RFC 9051 appendix E). */
static bool has_recent(const struct imap_session *s)
{
	return !imap_is_enabled(s, IMAP_ENABLE_IMAP4REV2);
}

/* RFC 3501 §2.3.2: of those new to the view, the ones that no other session was told of before. */
static void learn_recent(struct imap_session *s, uint32_t uidnext)
{
	struct imap_view *view = &s->view;
	if (!has_recent(s))
		return;
	uint32_t first = s->kept.view.read_only ? store_index_recent(view->index)
	                                        : store_index_take_recent(view->index, uidnext);
	uint32_t known = uidmap_last(&view->recent);
	uint32_t uid = uidmap_next(&view->uids, first > known ? first : known + 1);
	for (; uid; uid = uid == UINT32_MAX ? 0 : uidmap_next(&view->uids, uid + 1))
		uidmap_append(&view->recent, uid);
}

static void tell_recent(struct imap_session *s)
{
	if (has_recent(s))
		buf_printf(&s->out, "* %u RECENT\r\n", uidmap_count(&s->view.recent));
}

static void tell_exists(struct imap_session *s)
{
	buf_printf(&s->out, "* %u EXISTS\r\n", uidmap_count(&s->view.uids));
	tell_recent(s);
}

bool imap_view_open(struct imap_session *s, struct str name, bool read_only, struct fail **fail)
{
	struct imap_view *view = &s->view;
	struct store *store = s->session->account->store;
	struct store_mailbox mailbox;
	must(!view->index);
	if (!store_read_mailbox(s->reader, name, &mailbox, fail))
		return false;
	view->index = store_index_open(store, mailbox.id, fail);
	/* what is told must not be lost afterwards: the barrier comes behind the refresh */
	if (!view->index || !store_index_refresh(view->index, s->reader, fail) || !store_barrier(store, fail)) {
		imap_view_close(s);
		return false;
	}
	store_index_uids(view->index, &view->uids, &view->counters);
	s->kept.view = (struct imap_view_state){
		.mailbox = mailbox.id, .uidvalidity = view->counters.uidvalidity, .read_only = read_only,
		.told_modseq = view->counters.modseq, .told_removals = view->counters.removals,
		.complete_modseq = view->counters.modseq,
	};
	view->name = str_copy(name);
	view->noticed = uidmap_last(&view->uids);
	learn_recent(s, view->counters.uidnext);
	return true;
}

void imap_view_close(struct imap_session *s)
{
	struct imap_view *view = &s->view;
	imap_context_free_all(s);
	store_index_close(&view->index);
	uidmap_release(&view->uids);
	uidmap_release(&view->recent);
	store_mailboxes_release(&view->keywords);
	free(view->name);
	imap_numbers_release(&s->kept.view.saved);
	*view = (struct imap_view){};
	s->kept.view = (struct imap_view_state){};
}

/* ---- what others changed ---- */

bool imap_view_says_vanished(const struct imap_session *s)
{
	return s->kept.enabled & (IMAP_ENABLE_QRESYNC | IMAP_ENABLE_UIDONLY);
}

static int compare_uids(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;
	return left < right ? -1 : left > right;
}

static void say_vanished(struct imap_session *s, const struct store_uids *gone)
{
	struct imap_numbers numbers = {};
	for (size_t i = 0; i < gone->uids.count; i++)
		imap_numbers_append(&numbers, gone->uids.items[i]);
	buf_add_str(&s->out, STR("* VANISHED "));
	imap_numbers_write(&s->out, &numbers);
	buf_add_str(&s->out, STR("\r\n"));
	imap_numbers_release(&numbers);
}

/* Ascending, so that each number is its rank less those that went before it. */
static void say_expunged(struct imap_session *s, const struct store_uids *gone)
{
	for (size_t i = 0; i < gone->uids.count; i++) {
		buf_add_str(&s->out, STR("* "));
		buf_add_u64(&s->out, uidmap_rank(&s->view.uids, gone->uids.items[i]) - i);
		buf_add_str(&s->out, STR(" EXPUNGE\r\n"));
	}
}

/* RFC 9051 §7.5.1, RFC 7162 §3.2.10. Of the UIDs in gone, those that the client knows. */
static void tell_gone(struct imap_session *s, struct store_uids *gone)
{
	struct imap_view *view = &s->view;
	size_t known = 0;
	for (size_t i = 0; i < gone->uids.count; i++)
		if (uidmap_has(&view->uids, gone->uids.items[i]))
			gone->uids.items[known++] = gone->uids.items[i];
	gone->uids.count = known;
	if (known == 0)
		return;
	qsort(gone->uids.items, known, sizeof *gone->uids.items, compare_uids);
	imap_context_gone(s, gone);
	if (imap_view_says_vanished(s))
		say_vanished(s, gone);
	else
		say_expunged(s, gone);
	for (size_t i = 0; i < known; i++) {
		uidmap_remove(&view->uids, gone->uids.items[i]);
		uidmap_remove(&view->recent, gone->uids.items[i]);
	}
}

/* All that the client knows and that is not in now. */
static void compare_sets(struct imap_session *s, const struct uidmap *now, struct store_uids *gone)
{
	uint32_t uid = uidmap_next(&s->view.uids, 1);
	for (; uid; uid = uid == UINT32_MAX ? 0 : uidmap_next(&s->view.uids, uid + 1))
		if (!uidmap_has(now, uid))
			*array_add(&gone->uids) = uid;
}

static void tell_removals(struct imap_session *s)
{
	struct imap_view_state *kept = &s->kept.view;
	struct store_uids gone = {};
	if (store_index_removed(s->view.index, kept->told_removals, &gone)) {
		kept->told_removals += gone.uids.count;
	} else {
		struct store_index_state state;
		struct uidmap now = {};
		store_index_uids(s->view.index, &now, &state);
		compare_sets(s, &now, &gone);
		uidmap_release(&now);
		kept->told_removals = state.removals;
	}
	tell_gone(s, &gone);
	store_uids_release(&gone);
}

/* The UIDs from the first one that the client could not know. */
static bool tell_new(struct imap_session *s, const struct store_index_state *state, struct fail **fail)
{
	struct imap_view *view = &s->view;
	struct store_index_state later;
	struct uidmap now = {};
	uint32_t before = uidmap_count(&view->uids);
	if (!store_barrier(s->session->account->store, fail))
		return false;
	store_index_uids(view->index, &now, &later);
	uint32_t uid = uidmap_next(&now, view->counters.uidnext);
	for (; uid && uid < state->uidnext; uid = uidmap_next(&now, uid + 1))
		uidmap_append(&view->uids, uid);
	uidmap_release(&now);
	learn_recent(s, state->uidnext);
	if (uidmap_count(&view->uids) != before)
		tell_exists(s);
	return true;
}

/* RFC 7162 §3.2.4: UID and MODSEQ always, once CONDSTORE is enabled. */
static void tell_row(struct imap_session *s, const struct store_row *row)
{
	bool condstore = imap_is_enabled(s, IMAP_ENABLE_CONDSTORE);
	imap_view_begin_fetch(s, row->uid, imap_view_adds_uid(s) || s->kept.notify); /* RFC 5465 §5.1 */
	imap_view_write_flags(s, row);
	if (condstore)
		buf_printf(&s->out, " MODSEQ (%llu)", (unsigned long long)row->modseq);
	buf_add_str(&s->out, STR(")\r\n"));
}

static bool uses_new_keywords(const struct imap_session *s, const struct store_row *row)
{
	struct store_keywords keywords = store_index_keywords(s->view.index, row->keywords);
	return keywords.count && keywords.numbers[keywords.count - 1] >= s->view.known_keywords;
}

static bool tell_keywords(struct imap_session *s, const struct store_positions *positions, struct fail **fail)
{
	const struct store_row *rows = store_index_rows(s->view.index);
	for (size_t i = 0; i < positions->list.count; i++)
		if (uses_new_keywords(s, &rows[positions->list.items[i]]))
			return imap_view_tell_flags(s, fail);
	return true;
}

static void tell_rows(struct imap_session *s, const struct store_positions *positions)
{
	const struct store_row *rows = store_index_rows(s->view.index);
	for (size_t i = 0; i < positions->list.count; i++) {
		const struct store_row *row = &rows[positions->list.items[i]];
		/* of what is new EXISTS has said enough */
		if (row->uid <= s->view.announced_after && row->modseq != s->view.own_modseq &&
		    uidmap_has(&s->view.uids, row->uid))
			tell_row(s, row);
	}
}

/* Keywords and, if all is to be told, rows, of what changed since the last update. */
static bool tell_changed(struct imap_session *s, bool all, struct fail **fail)
{
	struct store_positions positions = {};
	if (!store_index_lock(s->view.index, s->reader, fail))
		return false;
	store_index_changed(s->view.index, s->kept.view.told_modseq, &positions);
	bool told = tell_keywords(s, &positions, fail);
	if (told && all)
		tell_rows(s, &positions);
	store_index_unlock(s->view.index);
	store_positions_release(&positions);
	return told;
}

bool imap_view_tell_keywords(struct imap_session *s, struct fail **fail)
{
	return tell_changed(s, false, fail);
}

/* RFC 7162 §3.2: a client that was told of later changes must not believe that it was told of all before. */
static void tell_complete(struct imap_session *s)
{
	buf_printf(&s->out, "* OK [HIGHESTMODSEQ %llu] ", (unsigned long long)s->kept.view.complete_modseq);
	imap_text_add(&s->out, s->kept.language, IMAP_SAY_HIGHEST_MODSEQ, NULL);
	buf_add_str(&s->out, STR("\r\n"));
}

bool imap_view_update(struct imap_session *s, bool may_expunge, struct fail **fail)
{
	struct imap_view *view = &s->view;
	struct imap_view_state *kept = &s->kept.view;
	struct store_index_state state;
	unsigned wanted = imap_notify_selected(s);
	if (!s->reader && !(s->reader = store_reader_acquire(s->session->account->store, fail)))
		return false;
	if (!store_index_refresh(view->index, s->reader, fail))
		return false;
	store_index_state(view->index, &state);
	view->announced_after = uidmap_last(&view->uids);
	if (state.modseq == kept->told_modseq && state.removals == kept->told_removals &&
	    state.uidnext == view->counters.uidnext)
		return true;
	if (may_expunge && wanted & IMAP_TELL_EXPUNGE && state.removals != kept->told_removals)
		tell_removals(s);
	if (wanted & IMAP_TELL_NEW && state.uidnext != view->counters.uidnext) {
		if (!tell_new(s, &state, fail))
			return false;
		view->counters.uidnext = state.uidnext;
	}
	if (wanted & IMAP_TELL_FLAGS && state.modseq != kept->told_modseq && !tell_changed(s, true, fail))
		return false;
	bool delayed = kept->told_removals < state.removals;
	if (!delayed)
		kept->complete_modseq = state.modseq;
	else if (state.modseq != kept->told_modseq && imap_is_enabled(s, IMAP_ENABLE_QRESYNC))
		tell_complete(s);
	kept->told_modseq = state.modseq;
	imap_context_tell(s);
	return true;
}

/* ---- from numbers to UIDs ---- */

/* Ranges of UIDs, ascending, without what is above the last that the client knows. */
static void cut_at(struct imap_numbers *uids, uint32_t last)
{
	while (uids->ranges.count && uids->ranges.items[uids->ranges.count - 1].first > last)
		uids->ranges.count--;
	if (uids->ranges.count && uids->ranges.items[uids->ranges.count - 1].last > last)
		uids->ranges.items[uids->ranges.count - 1].last = last;
}

static void copy_saved(const struct imap_session *s, struct imap_numbers *uids)
{
	const struct imap_numbers *saved = &s->kept.view.saved;
	uids->ranges.count = 0;
	for (size_t i = 0; s->kept.view.saved_valid && i < saved->ranges.count; i++)
		imap_numbers_append_range(uids, saved->ranges.items[i].first, saved->ranges.items[i].last);
}

/* The UIDs between those of two neighbouring numbers are nobody's, so a range of numbers is a range of UIDs. */
static void numbers_to_uids(struct imap_session *s, struct imap_numbers *numbers)
{
	for (size_t i = 0; i < numbers->ranges.count; i++) {
		struct imap_range *range = &numbers->ranges.items[i];
		range->first = uidmap_uid(&s->view.uids, range->first);
		range->last = uidmap_uid(&s->view.uids, range->last);
	}
}

static uint32_t highest(const struct imap_sequence *sequence, uint32_t star)
{
	uint32_t most = 0;
	for (size_t i = 0; i < sequence->count; i++) {
		const struct imap_range *range = &sequence->ranges[i];
		uint32_t first = range->first == IMAP_STAR ? star : range->first;
		uint32_t last = range->last == IMAP_STAR ? star : range->last;
		most = first > most ? first : most;
		most = last > most ? last : most;
	}
	return most;
}

static bool refuse_numbers(struct imap_session *s, uint32_t count)
{
	imap_bad(s, "", count ? IMAP_SAY_NO_SUCH_NUMBER : IMAP_SAY_NO_MESSAGES, &(struct imap_values){ .number = count });
	return false;
}

/* A client that knows of a UID before it was told here (by APPENDUID in another connection) is told now. */
static bool learn_new(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (imap_view_update(s, false, &fail))
		return true;
	imap_no_fail(s, fail);
	return false;
}

bool imap_view_resolve(struct imap_session *s, const struct imap_sequence *sequence, bool uid,
                       struct imap_numbers *uids)
{
	uint32_t count = uidmap_count(&s->view.uids);
	uint32_t last = uidmap_last(&s->view.uids);
	if (sequence->saved) {
		copy_saved(s, uids);
		return true;
	}
	if (uid) {
		if (highest(sequence, 0) >= s->view.counters.uidnext && !learn_new(s))
			return false;
		last = uidmap_last(&s->view.uids);
		imap_sequence_resolve(sequence, last, uids);
		cut_at(uids, last);
		return true;
	}
	/* RFC 9051 §9, seq-number: "*" of an empty mailbox as well */
	if (!imap_is_enabled(s, IMAP_ENABLE_UIDONLY) && (count == 0 || highest(sequence, count) > count))
		return refuse_numbers(s, count);
	return imap_view_resolve_known(s, sequence, uids);
}

bool imap_view_resolve_known(struct imap_session *s, const struct imap_sequence *sequence, struct imap_numbers *uids)
{
	uint32_t count = uidmap_count(&s->view.uids);
	if (imap_is_enabled(s, IMAP_ENABLE_UIDONLY)) {
		imap_bad(s, "UIDREQUIRED", IMAP_SAY_UID_REQUIRED, NULL); /* RFC 9586 §3 */
		return false;
	}
	imap_sequence_resolve(sequence, count, uids);
	cut_at(uids, count);
	numbers_to_uids(s, uids);
	return true;
}

uint32_t imap_view_count(struct imap_session *s, const struct imap_numbers *uids)
{
	uint32_t count = 0;
	for (size_t i = 0; i < uids->ranges.count; i++)
		count += uidmap_rank(&s->view.uids, uids->ranges.items[i].last) -
		         uidmap_rank(&s->view.uids, uids->ranges.items[i].first - 1);
	return count;
}

bool imap_view_next_part(struct imap_session *s, struct imap_parts *parts, uint32_t most, struct imap_numbers *part)
{
	struct uidmap *known = &s->view.uids;
	size_t count = parts->uids->ranges.count;
	part->ranges.count = 0;
	while (most && parts->range < count) {
		struct imap_range range = parts->uids->ranges.items[parts->range];
		range.first = parts->next > range.first ? (uint32_t)parts->next : range.first;
		uint32_t before = uidmap_rank(known, range.first - 1), within = uidmap_rank(known, range.last) - before;
		bool whole = within <= most;
		range.last = whole ? range.last : uidmap_uid(known, before + most);
		imap_numbers_append_range(part, range.first, range.last);
		most -= whole ? within : most;
		parts->next = (uint64_t)range.last + 1;
		parts->range += whole;
	}
	return parts->range < count;
}

uint32_t imap_view_number(struct imap_session *s, uint32_t uid)
{
	return uidmap_has(&s->view.uids, uid) ? uidmap_rank(&s->view.uids, uid) : 0;
}

struct store_selection imap_view_selection(struct imap_session *s, const struct imap_numbers *uids)
{
	struct store_range *ranges = arena_alloc_array(s->arena, uids->ranges.count, sizeof *ranges);
	for (size_t i = 0; i < uids->ranges.count; i++)
		ranges[i] = (struct store_range){ uids->ranges.items[i].first, uids->ranges.items[i].last };
	return (struct store_selection){ s->kept.view.mailbox, ranges, uids->ranges.count };
}

/* ---- elements of FETCH ---- */

bool imap_view_adds_uid(const struct imap_session *s)
{
	return imap_is_enabled(s, IMAP_ENABLE_CONDSTORE) || imap_is_enabled(s, IMAP_ENABLE_IMAP4REV2);
}

void imap_view_begin_fetch(struct imap_session *s, uint32_t uid, bool with_uid)
{
	bool uidonly = imap_is_enabled(s, IMAP_ENABLE_UIDONLY);
	buf_add_str(&s->out, STR("* "));
	buf_add_u64(&s->out, uidonly ? uid : uidmap_rank(&s->view.uids, uid));
	buf_add_str(&s->out, uidonly ? STR(" UIDFETCH (") : STR(" FETCH ("));
	if (!with_uid || uidonly)
		return;
	buf_add_str(&s->out, STR("UID "));
	buf_add_u64(&s->out, uid);
	buf_add_char(&s->out, ' ');
}

/* Flags follow one another, each with a space behind it. */
static void add_system_flags(struct buf *out, unsigned flags)
{
	static const struct {
		unsigned bit;
		struct str name;
	} names[] = {
		{ STORE_ANSWERED, { "\\Answered ", 10 } }, { STORE_FLAGGED, { "\\Flagged ", 9 } },
		{ STORE_DELETED, { "\\Deleted ", 9 } },    { STORE_SEEN, { "\\Seen ", 6 } },
		{ STORE_DRAFT, { "\\Draft ", 7 } },
	};
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (flags & names[i].bit)
			buf_add_str(out, names[i].name);
}

static void add_keyword_names(struct imap_session *s, uint32_t set)
{
	struct store_keywords keywords = store_index_keywords(s->view.index, set);
	if (keywords.count && keywords.numbers[keywords.count - 1] >= s->view.keywords.names.count && s->reader)
		read_keywords(s, NULL);
	for (size_t i = 0; i < keywords.count && keywords.numbers[i] < s->view.keywords.names.count; i++) {
		s->view.untold_keyword |= keywords.numbers[i] >= s->view.known_keywords;
		buf_add_str(&s->out, str_of(s->view.keywords.names.items[keywords.numbers[i]]));
		buf_add_char(&s->out, ' ');
	}
}

void imap_view_write_flags(struct imap_session *s, const struct store_row *row)
{
	buf_add_str(&s->out, STR("FLAGS ("));
	size_t empty = s->out.length;
	add_system_flags(&s->out, row->flags);
	if (s->view.recent.count && has_recent(s) && uidmap_has(&s->view.recent, row->uid))
		buf_add_str(&s->out, STR("\\Recent "));
	if (row->keywords)
		add_keyword_names(s, row->keywords);
	if (s->out.length > empty)
		buf_truncate(&s->out, s->out.length - 1);
	buf_add_char(&s->out, ')');
}

#include "imap_store.h"

#include "imap_flags.h"
#include "imap_limit.h"
#include "imap_notify.h"

enum { CHUNK = 60000 };

struct store_command {
	struct imap_sequence sequence;
	struct imap_flags flags;
	struct store_change change;
	bool silent;
	struct imap_numbers uids;
	uint32_t lowest; /* UID where MESSAGELIMIT cut the set; 0: it did not */
	struct store_uids changed, conflicts;
	struct store_uids news; /* of changed: the client had not yet been told what they were */
};

static void release(struct store_command *c)
{
	imap_numbers_release(&c->uids);
	store_uids_release(&c->changed);
	store_uids_release(&c->conflicts);
	store_uids_release(&c->news);
}

/* RFC 7162 §3.1.3. */
static void parse_modifiers(struct imap_parser *p, struct store_command *c)
{
	imap_parse_char(p, '(');
	if (!imap_parse_word(p, "UNCHANGEDSINCE"))
		imap_parse_fail(p, "UNCHANGEDSINCE");
	imap_parse_space(p);
	c->change.unchanged_since = imap_parse_number(p, INT64_MAX);
	imap_parse_char(p, ')');
	imap_parse_space(p);
}

static void parse_flags(struct imap_session *s, struct store_command *c)
{
	struct imap_parser *p = &s->parser;
	if (imap_parse_peek(p) == '(') {
		imap_parse_flag_list(s, &c->flags);
		return;
	}
	do
		imap_parse_flag_into(s, &c->flags);
	while (imap_parse_more(p));
}

static bool parse(struct imap_session *s, struct store_command *c)
{
	struct imap_parser *p = &s->parser;
	c->change.unchanged_since = UINT64_MAX;
	c->change.how = STORE_FLAGS_REPLACE;
	imap_parse_space(p);
	imap_parse_sequence(p, &c->sequence);
	imap_parse_space(p);
	if (imap_parse_peek(p) == '(')
		parse_modifiers(p, c);
	if (imap_parse_skip(p, '+'))
		c->change.how = STORE_FLAGS_ADD;
	else if (imap_parse_skip(p, '-'))
		c->change.how = STORE_FLAGS_REMOVE;
	c->silent = imap_parse_word(p, "FLAGS.SILENT");
	if (!c->silent && !imap_parse_word(p, "FLAGS"))
		imap_parse_fail(p, "FLAGS or FLAGS.SILENT");
	imap_parse_space(p);
	parse_flags(s, c);
	c->change.flags = c->flags.flags;
	return imap_arguments_end(s);
}

static bool change_flags(struct imap_session *s, struct store_command *c, struct fail **fail)
{
	if (c->change.how == STORE_FLAGS_REMOVE && !imap_flags_keep_known(s, &c->flags, fail))
		return false;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->session->account->store);
	struct store_selection selection = imap_view_selection(s, &c->uids);
	c->change.keywords = imap_flags_keywords(s, &c->flags, txn);
	c->change.known = s->kept.view.told_modseq;
	c->change.news = imap_notify_selected(s) & IMAP_TELL_FLAGS ? &c->news : NULL;
	store_flags(txn, &selection, &c->change, &c->changed, &c->conflicts);
	return store_commit(&txn, fail);
}

/* RFC 7162 §3.1.3, §3.2.4: after .SILENT the new MODSEQ alone. */
static void tell_row(struct imap_session *s, const struct store_row *row, bool silent)
{
	bool condstore = imap_is_enabled(s, IMAP_ENABLE_CONDSTORE);
	imap_view_begin_fetch(s, row->uid, s->command.uid || imap_view_adds_uid(s));
	if (!silent)
		imap_view_write_flags(s, row);
	if (condstore) {
		buf_add_str(&s->out, silent ? STR("MODSEQ (") : STR(" MODSEQ ("));
		buf_add_u64(&s->out, row->modseq);
		buf_add_char(&s->out, ')');
	}
	buf_add_str(&s->out, STR(")\r\n"));
}

/* Both ascend. */
static bool is_next(const struct store_uids *uids, size_t *at, uint32_t uid)
{
	while (*at < uids->uids.count && uids->uids.items[*at] < uid)
		(*at)++;
	return *at < uids->uids.count && uids->uids.items[*at] == uid;
}

/* How far the answer has come. */
struct progress {
	size_t range, conflict, changed, news, met;
	uint32_t next; /* UID */
};

/* After .SILENT the client believes that it knows the flags: unless somebody else changed them too (RFC 9051 §6.4.6)
 * it is told the new MODSEQ at most. */
static void tell_outcome(struct imap_session *s, const struct store_command *c, struct progress *at,
                         const struct store_row *row)
{
	if (is_next(&c->conflicts, &at->conflict, row->uid))
		return;
	if (!c->silent || is_next(&c->news, &at->news, row->uid))
		tell_row(s, row, false);
	else if (imap_is_enabled(s, IMAP_ENABLE_CONDSTORE) && is_next(&c->changed, &at->changed, row->uid))
		tell_row(s, row, true);
}

/* Some rows of a range, with the lock; false when there are no more in it. */
static bool tell_some(struct imap_session *s, const struct store_command *c, struct progress *at)
{
	const struct store_row *rows = store_index_rows(s->view.index);
	const struct imap_range *range = &c->uids.ranges.items[at->range];
	size_t count = store_index_count(s->view.index);
	for (size_t i = store_index_at(s->view.index, at->next); i < count && rows[i].uid <= range->last; i++) {
		if (s->out.length >= CHUNK) {
			at->next = rows[i].uid;
			return true;
		}
		at->met++;
		tell_outcome(s, c, at, &rows[i]);
	}
	return false;
}

/* In pieces: nobody waits for the index while the client takes them. */
static bool tell_all(struct imap_session *s, const struct store_command *c, struct progress *at, struct fail **fail)
{
	while (at->range < c->uids.ranges.count) {
		if (!store_index_lock(s->view.index, s->reader, fail))
			return false;
		do {
			const struct imap_range *range = &c->uids.ranges.items[at->range];
			at->next = at->next > range->first ? at->next : range->first;
			if (tell_some(s, c, at))
				break;
		} while (++at->range < c->uids.ranges.count);
		store_index_unlock(s->view.index);
		if (!imap_send_some(s))
			return true;
	}
	return true;
}

/* RFC 7162 §3.1.3: the set is of UIDs for UID STORE, of numbers else. */
static void add_conflicts(struct imap_session *s, const struct store_command *c, struct buf *code)
{
	struct imap_numbers numbers = {};
	for (size_t i = 0; i < c->conflicts.uids.count; i++) {
		uint32_t uid = c->conflicts.uids.items[i];
		imap_numbers_append(&numbers, s->command.uid ? uid : imap_view_number(s, uid));
	}
	buf_add_str(code, STR("MODIFIED "));
	imap_numbers_write(code, &numbers);
	imap_numbers_release(&numbers);
}

/* RFC 2180 §4.2.1, RFC 5530 §3: what somebody else expunged can't be stored and needs no more; what is left was. */
static void answer(struct imap_session *s, const struct store_command *c, size_t met)
{
	CLEANUP(buf_release) struct buf code = BUF_WITH_LIMIT(LIMIT_IMAP_TAGGED_MAX / 2);
	char limit_code[IMAP_LIMIT_CODE_SIZE] = "";
	uint32_t limit = imap_limit(s, false);
	bool gone = !s->command.uid && met < imap_view_count(s, &c->uids);
	if (c->lowest && (c->conflicts.uids.count || gone))
		imap_tell_limit(s, limit, c->lowest);
	else if (c->lowest)
		imap_limit_code(limit, c->lowest, limit_code);
	if (c->conflicts.uids.count) {
		add_conflicts(s, c, &code);
		imap_ok(s, buf_text(&code), IMAP_SAY_MODIFIED, NULL);
	} else if (gone) {
		imap_ok(s, "EXPUNGEISSUED", IMAP_SAY_EXPUNGED, NULL);
	} else {
		imap_ok(s, limit_code, IMAP_SAY_DONE, NULL);
	}
}

static bool carry_out(struct imap_session *s, struct store_command *c, struct fail **fail)
{
	struct progress at = {};
	imap_limit_set(s, imap_limit(s, false), &c->uids, &c->lowest);
	if (!change_flags(s, c, fail) || !store_index_refresh(s->view.index, s->reader, fail))
		return false;
	if (!imap_view_tell_keywords(s, fail) || !tell_all(s, c, &at, fail))
		return false;
	s->view.own_modseq = c->changed.modseq;
	answer(s, c, at.met);
	return true;
}

void imap_store(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(release) struct store_command c = {};
	if (!parse(s, &c))
		return;
	if (c.change.unchanged_since != UINT64_MAX)
		imap_enable_condstore(s); /* RFC 7162 §3.1 */
	if (imap_view_resolve(s, &c.sequence, s->command.uid, &c.uids) && imap_reader(s) && !carry_out(s, &c, &fail))
		imap_no_fail(s, fail);
}

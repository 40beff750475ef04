#include "imap_expunge.h"

#include "imap_limit.h"

#include <stdio.h>

void imap_ok_removed(struct imap_session *s, bool any, uint32_t lowest)
{
	char code[64] = "", limit_code[IMAP_LIMIT_CODE_SIZE];
	bool modseq = any && imap_is_enabled(s, IMAP_ENABLE_CONDSTORE);
	if (lowest && modseq)
		imap_tell_limit(s, imap_limit(s, false), lowest);
	if (modseq)
		snprintf(code, sizeof code, "HIGHESTMODSEQ %llu", (unsigned long long)s->kept.view.complete_modseq);
	imap_ok(s, lowest && !modseq ? imap_limit_code(imap_limit(s, false), lowest, limit_code) : code, IMAP_SAY_DONE,
	        NULL);
}

/* RFC 9738 §3.1 counts those with \Deleted only: the set is cut below the last of them, from above, that may go. */
static bool cut_deleted(struct imap_session *s, struct imap_numbers *uids, uint32_t *lowest, struct fail **fail)
{
	uint32_t left = imap_limit(s, false);
	if (left == 0)
		return true;
	if (!store_index_lock(s->view.index, s->reader, fail))
		return false;
	const struct store_row *rows = store_index_rows(s->view.index);
	uint32_t last_taken = 0;
	for (size_t i = store_index_count(s->view.index); i-- > 0 && !*lowest;) {
		if (!(rows[i].flags & STORE_DELETED) || !imap_numbers_has(uids, rows[i].uid))
			continue;
		if (left == 0)
			*lowest = last_taken;
		else
			left--;
		last_taken = rows[i].uid;
	}
	store_index_unlock(s->view.index);
	while (*lowest && uids->ranges.items[0].last < *lowest)
		array_remove(&uids->ranges, 0);
	if (*lowest && uids->ranges.items[0].first < *lowest)
		uids->ranges.items[0].first = *lowest;
	return true;
}

static bool expunge_part(struct imap_session *s, const struct imap_numbers *part, struct store_uids *expunged,
                         struct fail **fail)
{
	struct store_selection selection = imap_view_selection(s, part);
	struct store_txn *txn = store_begin(s->session->account->store);
	store_expunge(txn, &selection, false, expunged);
	return store_commit(&txn, fail);
}

bool imap_expunge_deleted(struct imap_session *s, const struct imap_numbers *uids, struct store_uids *expunged,
                          struct fail **fail)
{
	CLEANUP(imap_numbers_release) struct imap_numbers part = {};
	struct imap_parts parts = { .uids = uids };
	uint32_t all = imap_view_count(s, uids), looked = 0;
	bool more = true, done = true;
	while (more && done) {
		more = imap_view_next_part(s, &parts, IMAP_PART_MAX, &part);
		done = expunge_part(s, &part, expunged, fail);
		looked += imap_view_count(s, &part);
		imap_still_working(s, looked, all);
	}
	return done;
}

static bool expunge(struct imap_session *s, struct imap_numbers *uids, struct fail **fail)
{
	CLEANUP(store_uids_release) struct store_uids expunged = {};
	uint32_t lowest = 0;
	/* nothing cuts EXPUNGE itself */
	if (s->command.uid && !cut_deleted(s, uids, &lowest, fail))
		return false;
	if (!imap_expunge_deleted(s, uids, &expunged, fail) || !imap_view_update(s, true, fail))
		return false;
	imap_ok_removed(s, expunged.uids.count, lowest);
	return true;
}

void imap_expunge(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(imap_numbers_release) struct imap_numbers uids = {};
	struct imap_sequence sequence = {};
	if (s->command.uid) {
		imap_parse_space(&s->parser);
		imap_parse_sequence(&s->parser, &sequence);
	}
	if (!imap_arguments_end(s) || !imap_reader(s))
		return;
	if (!s->command.uid)
		imap_numbers_append_range(&uids, 1, UINT32_MAX);
	else if (!imap_view_resolve(s, &sequence, true, &uids))
		return;
	if (!expunge(s, &uids, &fail))
		imap_no_fail(s, fail);
}

#include "imap_select.h"

#include "imap_expunge.h"
#include "imap_list.h"
#include "imap_mailboxes.h"
#include "imap_qresync.h"
#include "imap_session.h"

#include <stdio.h>

/* Everything SELECT may have in parentheses. */
struct parameters {
	bool condstore;
	bool has_qresync;
	struct imap_qresync qresync;
};

static void parse_parameters(struct imap_session *s, struct parameters *parameters)
{
	struct imap_parser *p = &s->parser;
	size_t count = 0;
	for (imap_parse_list_begin(p); imap_parse_list_next(p); count++) {
		if (imap_parse_word(p, "CONDSTORE")) {
			parameters->condstore = true;
		} else if (imap_is_enabled(s, IMAP_ENABLE_QRESYNC) && !parameters->has_qresync && imap_parse_word(p, "QRESYNC")) {
			parameters->has_qresync = true;
			imap_parse_qresync(p, &parameters->qresync);
		} else {
			imap_parse_fail(p, "CONDSTORE, or QRESYNC that is enabled");
		}
	}
	if (count == 0)
		imap_parse_fail(p, "a parameter");
}

static void tell_code(struct imap_session *s, const char *name, uint64_t number, enum imap_text text)
{
	char code[64];
	snprintf(code, sizeof code, "%s %llu", name, (unsigned long long)number);
	imap_untagged_ok(s, code, text, NULL);
}

static void tell_mailbox_id(struct imap_session *s)
{
	const struct store_mailbox mailbox = { .id = s->kept.view.mailbox, .uidvalidity = s->kept.view.uidvalidity };
	buf_add_str(&s->out, STR("* OK [MAILBOXID ("));
	imap_write_mailbox_id(&s->out, &mailbox);
	buf_add_str(&s->out, STR(")] "));
	imap_text_add(&s->out, s->kept.language, IMAP_SAY_MAILBOX_ID, NULL);
	buf_add_str(&s->out, STR("\r\n"));
}

/* RFC 9051 §6.3.2, §6.3.9.7: with the name as it was written, if that is not how it is kept ("inbox"). */
static bool tell_list(struct imap_session *s, struct str written, struct fail **fail)
{
	CLEANUP(imap_tree_release) struct imap_tree tree = {};
	const struct imap_node gone = { .name = str_of(s->view.name) };
	if (!imap_tree_read(&tree, s->reader, fail))
		return false;
	const struct imap_node *node = imap_tree_find(&tree, gone.name);
	imap_list_write(s, node ? node : &gone, str_equal(written, gone.name) ? (struct str){} : written);
	return true;
}

/* RFC 9051 §6.3.2; what only RFC 3501 §6.3.1 has goes to those who speak that. */
static bool tell_all(struct imap_session *s, struct str written, struct fail **fail)
{
	const struct store_index_state *state = &s->view.counters;
	bool rev2 = imap_is_enabled(s, IMAP_ENABLE_IMAP4REV2);
	if (!imap_view_tell_flags(s, fail))
		return false;
	buf_printf(&s->out, "* %u EXISTS\r\n", uidmap_count(&s->view.uids));
	if (!rev2)
		buf_printf(&s->out, "* %u RECENT\r\n", uidmap_count(&s->view.recent));
	if (!rev2 && state->first_unseen && !imap_is_enabled(s, IMAP_ENABLE_UIDONLY))
		tell_code(s, "UNSEEN", imap_view_number(s, state->first_unseen), IMAP_SAY_FIRST_UNSEEN);
	tell_code(s, "UIDVALIDITY", state->uidvalidity, IMAP_SAY_UIDS_VALID);
	tell_code(s, "UIDNEXT", state->uidnext, IMAP_SAY_NEXT_UID);
	tell_code(s, "HIGHESTMODSEQ", state->modseq, IMAP_SAY_HIGHEST_MODSEQ); /* RFC 7162 §3.1.2.1 */
	tell_mailbox_id(s);                                                    /* RFC 8474 §4.2 */
	return !rev2 || tell_list(s, written, fail);
}

/* RFC 9051 §7.1 CLOSED, RFC 7162 §3.2.11: a border between what concerns the old mailbox and what concerns the new
 * one. */
static void leave_old(struct imap_session *s)
{
	if (!s->view.index)
		return;
	imap_view_close(s);
	imap_untagged_ok(s, "CLOSED", IMAP_SAY_CLOSED, NULL);
}

static void enter(struct imap_session *s, struct str name, struct str written, bool read_only,
                  const struct parameters *parameters)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	leave_old(s);
	if (parameters->condstore)
		imap_switch_on(s, IMAP_ENABLE_CONDSTORE);
	if (!imap_reader(s))
		return;
	if (!imap_view_open(s, name, read_only, &fail) || !tell_all(s, written, &fail) ||
	    (parameters->has_qresync && !imap_qresync_tell(s, &parameters->qresync, &fail))) {
		imap_view_close(s);
		imap_no_fail(s, fail);
		return;
	}
	imap_ok(s, read_only ? "READ-ONLY" : "READ-WRITE", IMAP_SAY_DONE, NULL);
}

static void select_or_examine(struct imap_session *s, bool read_only)
{
	struct parameters parameters = {};
	imap_parse_space(&s->parser);
	struct imap_parser again = s->parser;
	struct str name = imap_parse_mailbox(&s->parser), written = imap_parse_astring(&again);
	if (imap_parse_more(&s->parser))
		parse_parameters(s, &parameters);
	/* what makes no sense ends no selection */
	if (!imap_arguments_end(s))
		return;
	if (parameters.qresync.match_numbers.count && imap_is_enabled(s, IMAP_ENABLE_UIDONLY))
		imap_bad(s, "UIDREQUIRED", IMAP_SAY_UID_REQUIRED, NULL); /* RFC 9586 §3.7 */
	else
		enter(s, name, written, read_only, &parameters);
}

void imap_select(struct imap_session *s)
{
	select_or_examine(s, false);
}

void imap_examine(struct imap_session *s)
{
	select_or_examine(s, true);
}

/* All that has \Deleted, which nobody is told of: RFC 9051 §6.4.1. */
static bool expunge_silently(struct imap_session *s, struct fail **fail)
{
	CLEANUP(imap_numbers_release) struct imap_numbers all = {};
	struct store_index_state state;
	if (!imap_reader(s) || !store_index_refresh(s->view.index, s->reader, fail))
		return false;
	store_index_state(s->view.index, &state);
	if (state.deleted == 0)
		return true;
	imap_numbers_append_range(&all, 1, UINT32_MAX);
	return imap_expunge_deleted(s, &all, NULL, fail);
}

void imap_close(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!imap_arguments_end(s))
		return;
	if (!s->kept.view.read_only && !expunge_silently(s, &fail)) {
		if (fail)
			imap_no_fail(s, fail);
		return;
	}
	imap_view_close(s);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

void imap_unselect(struct imap_session *s)
{
	if (!imap_arguments_end(s))
		return;
	imap_view_close(s);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

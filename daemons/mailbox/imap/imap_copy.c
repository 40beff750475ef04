#include "imap_copy.h"

#include "imap_expunge.h"
#include "imap_limit.h"

bool imap_find_target(struct imap_session *s, struct str name, uint64_t *id)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct store_mailbox mailbox;
	if (!imap_reader(s))
		return false;
	if (store_read_mailbox(s->reader, name, &mailbox, &fail)) {
		*id = mailbox.id;
		return true;
	}
	if (fail->kind == FAIL_NOT_FOUND)
		imap_no(s, "TRYCREATE", IMAP_SAY_TRY_CREATE, NULL);
	else
		imap_no_fail(s, fail);
	return false;
}

static void add_set(struct buf *code, const uint32_t *uids, size_t count)
{
	struct imap_numbers numbers = {};
	buf_add_char(code, ' ');
	for (size_t i = 0; i < count; i++)
		imap_numbers_append(&numbers, uids[i]);
	imap_numbers_write(code, &numbers);
	imap_numbers_release(&numbers);
}

/* Both lists ascend, so the n-th of one belongs to the n-th of the other. */
static void add_copyuid(struct buf *code, const struct store_uids *copied)
{
	buf_printf(code, "COPYUID %u", copied->to_uidvalidity);
	add_set(code, copied->uids.items, copied->uids.count);
	add_set(code, copied->to.items, copied->to.count);
}

/* All or nothing (RFC 9051 §6.4.7). A message that somebody expunged, and the client was not told so, can't be meant by its
 * number (RFC 2180 §4.4.1): *gone. */
static bool transfer(struct imap_session *s, const struct imap_numbers *uids, uint64_t to, struct store_uids *copied, bool *gone,
                     struct fail **fail)
{
	struct store_selection selection = imap_view_selection(s, uids);
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->session->account->store);
	bool done = s->command.verb == IMAP_MOVE ? store_move(txn, &selection, to, copied) : store_copy(txn, &selection, to, copied);
	*gone = done && !s->command.uid && copied->uids.count < imap_view_count(s, uids);
	return *gone || store_commit(&txn, fail);
}

/* RFC 6851 §3.3, §4.3: where they went is told before they go. */
static bool answer_move(struct imap_session *s, struct buf *code, uint32_t lowest, struct fail **fail)
{
	if (code->length)
		imap_untagged_ok(s, buf_text(code), IMAP_SAY_DONE, NULL);
	if (!imap_view_update(s, true, fail))
		return false;
	imap_ok_removed(s, code->length, lowest);
	return true;
}

/* RFC 9738 §3.1: COPY of too many copies none; MOVE takes the last ones. */
static bool is_within_limit(struct imap_session *s, struct imap_numbers *uids, uint32_t *lowest)
{
	char code[IMAP_LIMIT_CODE_SIZE];
	bool copies = s->command.verb == IMAP_COPY;
	uint32_t limit = imap_limit(s, copies);
	if (!imap_limit_set(s, limit, uids, lowest) || !copies)
		return true;
	imap_no(s, imap_limit_code(limit, *lowest, code), IMAP_SAY_MESSAGE_LIMIT, &(struct imap_values){ .number = limit });
	return false;
}

static bool carry_out(struct imap_session *s, const struct imap_numbers *uids, uint32_t lowest, uint64_t to, struct fail **fail)
{
	CLEANUP(buf_release) struct buf code = BUF_WITH_LIMIT(LIMIT_IMAP_TAGGED_MAX / 2);
	CLEANUP(store_uids_release) struct store_uids copied = {};
	bool gone = false;
	if (!transfer(s, uids, to, &copied, &gone, fail))
		return false;
	if (gone) {
		imap_no(s, "EXPUNGEISSUED", IMAP_SAY_EXPUNGED, NULL);
		return true;
	}
	if (copied.uids.count)
		add_copyuid(&code, &copied);
	if (s->command.verb == IMAP_MOVE)
		return answer_move(s, &code, lowest, fail);
	imap_ok(s, buf_text(&code), IMAP_SAY_DONE, NULL);
	return true;
}

static void copy_or_move(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(imap_numbers_release) struct imap_numbers uids = {};
	struct imap_sequence sequence;
	uint32_t lowest = 0;
	uint64_t to;
	imap_parse_space(&s->parser);
	imap_parse_sequence(&s->parser, &sequence);
	imap_parse_space(&s->parser);
	struct str name = imap_parse_mailbox(&s->parser);
	if (!imap_arguments_end(s) || !imap_view_resolve(s, &sequence, s->command.uid, &uids) || !imap_find_target(s, name, &to))
		return;
	if (is_within_limit(s, &uids, &lowest) && !carry_out(s, &uids, lowest, to, &fail))
		imap_no_fail(s, fail);
}

void imap_copy(struct imap_session *s)
{
	copy_or_move(s);
}

void imap_move(struct imap_session *s)
{
	copy_or_move(s);
}

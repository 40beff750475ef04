#include "imap_copy.h"

#include "imap_expunge.h"
#include "imap_limit.h"
#include "log.h"

/* Within it COPY is all or nothing even if the system stops half way; what is larger must not shut everybody else
 * out. */
enum { COPY_PART_MAX = 100000 };

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

/* A message that somebody expunged, and the client was not told so, can't be meant by its number (RFC 2180 §4.4.1):
 * *gone. */
static bool transfer_part(struct imap_session *s, const struct imap_numbers *part, uint64_t to,
                          struct store_uids *copied, bool *gone, struct fail **fail)
{
	struct store_selection selection = imap_view_selection(s, part);
	size_t before = copied->uids.count;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->session->account->store);
	uint64_t modseq_before = store_mailbox_modseq(txn, to);
	bool done = s->command.verb == IMAP_MOVE ? store_move(txn, &selection, to, copied)
	                                         : store_copy(txn, &selection, to, copied);
	*gone = done && !s->command.uid && copied->uids.count - before < imap_view_count(s, part);
	if (!*gone && store_commit(&txn, fail)) {
		imap_note_own(s, to, modseq_before, copied, before);
		return true;
	}
	copied->uids.count = copied->to.count = before;
	return false;
}

static void take_back(struct imap_session *s, uint64_t to, struct store_uids *copied)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(imap_numbers_release) struct imap_numbers copies = {};
	for (size_t i = 0; i < copied->to.count; i++)
		imap_numbers_append(&copies, copied->to.items[i]);
	struct store_selection selection = imap_view_selection(s, &copies);
	selection.mailbox = to;
	struct store_txn *txn = store_begin(s->session->account->store);
	store_expunge(txn, &selection, true, NULL);
	if (!store_commit(&txn, &fail))
		log_event(LOG_ERROR, s->session->connection, "imap-copies-stay",
		          LOG_TEXT("account", str_of(s->session->address)), LOG_NUMBER("copies", copied->to.count),
		          LOG_TEXT("why", str_of(fail_text(fail))));
	copied->uids.count = copied->to.count = 0;
}

/* COPY all or none (RFC 9051 §6.4.7), MOVE each message or not (RFC 6851 §3.3). copied: what stays. False: see gone
 * and fail. */
static bool transfer(struct imap_session *s, const struct imap_numbers *uids, uint64_t to, struct store_uids *copied,
                     bool *gone, struct fail **fail)
{
	CLEANUP(imap_numbers_release) struct imap_numbers part = {};
	struct imap_parts parts = { .uids = uids };
	uint32_t all = imap_view_count(s, uids);
	bool copies = s->command.verb == IMAP_COPY, more = true, done = true;
	while (more && done) {
		more = imap_view_next_part(s, &parts, copies ? COPY_PART_MAX : IMAP_PART_MAX, &part);
		done = transfer_part(s, &part, to, copied, gone, fail);
		imap_still_working(s, copied->to.count, all);
	}
	if (!done && copies && copied->to.count)
		take_back(s, to, copied);
	return done;
}

/* RFC 6851 §3.3, §4.3: where they went is told before they go. */
static bool tell_moved(struct imap_session *s, struct buf *code, struct fail **fail)
{
	imap_untagged_ok(s, buf_text(code), IMAP_SAY_DONE, NULL);
	return imap_view_update(s, true, fail);
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

static bool carry_out(struct imap_session *s, const struct imap_numbers *uids, uint32_t lowest, uint64_t to,
                      struct fail **fail)
{
	CLEANUP(buf_release) struct buf code = BUF_WITH_LIMIT(LIMIT_IMAP_TAGGED_MAX / 2);
	CLEANUP(store_uids_release) struct store_uids copied = {};
	bool moves = s->command.verb == IMAP_MOVE, gone = false;
	bool done = transfer(s, uids, to, &copied, &gone, fail);
	if (copied.uids.count)
		add_copyuid(&code, &copied);
	if (moves && code.length && !tell_moved(s, &code, fail))
		return false;
	if (gone)
		imap_no(s, "EXPUNGEISSUED", IMAP_SAY_EXPUNGED, NULL);
	else if (done && moves)
		imap_ok_removed(s, code.length, lowest);
	else if (done)
		imap_ok(s, buf_text(&code), IMAP_SAY_DONE, NULL);
	return done || gone;
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
	if (!imap_arguments_end(s) || !imap_view_resolve(s, &sequence, s->command.uid, &uids) ||
	    !imap_find_target(s, name, &to))
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

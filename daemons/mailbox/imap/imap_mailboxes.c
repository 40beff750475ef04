#include "imap_mailboxes.h"

#include "imap_mailbox_name.h"
#include "imap_notify.h"

/* ---- names and uses ---- */

static const struct str uses[] = {
	[STORE_USE_ARCHIVE] = STR("\\Archive"), [STORE_USE_DRAFTS] = STR("\\Drafts"),
	[STORE_USE_FLAGGED] = STR("\\Flagged"), [STORE_USE_JUNK] = STR("\\Junk"),
	[STORE_USE_SENT] = STR("\\Sent"),       [STORE_USE_TRASH] = STR("\\Trash"),
	[STORE_USE_IMPORTANT] = STR("\\Important"),
};

struct str imap_use_name(enum store_special_use use)
{
	return (size_t)use < COUNT_OF(uses) ? uses[use] : (struct str){};
}

bool imap_use_find(struct str name, enum store_special_use *use)
{
	for (size_t i = 0; i < COUNT_OF(uses); i++) {
		/* \Flagged and \Important are views of other mailboxes' messages, RFC 6154 §2, RFC 8457 §3 */
		bool settable = i != STORE_USE_NONE && i != STORE_USE_FLAGGED && i != STORE_USE_IMPORTANT;
		if (settable && str_equal_nocase(name, uses[i])) {
			*use = (enum store_special_use)i;
			return true;
		}
	}
	return false;
}

void imap_write_mailbox_id(struct buf *out, const struct store_mailbox *mailbox)
{
	buf_printf(out, "m%llu-%u", (unsigned long long)mailbox->id, mailbox->uidvalidity);
}

void imap_refuse_mailbox(struct imap_session *s, const struct fail *fail)
{
	if (fail->kind == FAIL_NOT_FOUND)
		imap_no(s, "NONEXISTENT", IMAP_SAY_NO_MAILBOX, NULL);
	else if (fail->kind == FAIL_INVALID)
		imap_no(s, "CANNOT", IMAP_SAY_BAD_NAME, NULL);
	else
		imap_no_fail(s, fail);
}

/* False with the answer written. */
static bool name_is_allowed(struct imap_session *s, struct str name)
{
	if (imap_mailbox_name_is_allowed(name))
		return true;
	imap_no(s, "CANNOT", IMAP_SAY_BAD_NAME, NULL);
	return false;
}

/* Commits, and says why when that did not work. */
static bool commit(struct imap_session *s, struct store_txn **txn)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!store_commit(txn, &fail)) {
		imap_refuse_mailbox(s, fail);
		return false;
	}
	imap_notify_absorb(s);
	return true;
}

/* ---- CREATE ---- */

struct create {
	struct str name;
	enum store_special_use use;
	bool bad_use;
};

/* USE (\Drafts), RFC 6154 §3; one mailbox has one use here. */
static void parse_uses(struct imap_parser *p, struct create *create)
{
	imap_parse_space(p);
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		enum store_special_use use = STORE_USE_NONE;
		struct str name = imap_parse_flag(p);
		bool known = imap_use_find(name, &use);
		create->bad_use = create->bad_use || !known || (create->use && create->use != use);
		create->use = use;
	}
}

static void parse_create(struct imap_parser *p, struct create *create)
{
	imap_parse_space(p);
	create->name = imap_parse_mailbox(p);
	/* RFC 9051 §6.3.4: that children are wanted need not be said here */
	if (create->name.length > 1 && create->name.data[create->name.length - 1] == '/')
		create->name.length--;
	if (!imap_parse_more(p))
		return;
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		if (imap_parse_word(p, "USE"))
			parse_uses(p, create);
		else
			imap_parse_fail(p, "USE");
	}
}

static void answer_create(struct imap_session *s, struct store_reader *reader, struct str name)
{
	struct store_mailbox made;
	CLEANUP(buf_release) struct buf code = BUF_WITH_LIMIT(100);
	if (store_read_mailbox(reader, name, &made, NULL)) {
		buf_add_str(&code, STR("MAILBOXID ("));
		imap_write_mailbox_id(&code, &made);
		buf_add_char(&code, ')');
	}
	imap_ok(s, buf_text(&code), IMAP_SAY_DONE, NULL);
}

void imap_create(struct imap_session *s)
{
	struct create create = {};
	uint64_t id;
	parse_create(&s->parser, &create);
	if (!imap_arguments_end(s) || !name_is_allowed(s, create.name))
		return;
	if (create.bad_use) {
		imap_no(s, "USEATTR", IMAP_SAY_NO_SPECIAL_USE, NULL);
		return;
	}
	struct store_reader *reader = imap_reader(s);
	if (!reader)
		return;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->session->account->store);
	store_mailbox_create(txn, create.name, create.use, &id);
	if (commit(s, &txn))
		answer_create(s, reader, create.name);
}

/* ---- DELETE ---- */

/* RFC 9051 §7.1: this session's selection went with the mailbox. */
static void close_deleted(struct imap_session *s, uint64_t id)
{
	if (!s->view.index || s->kept.view.mailbox != id)
		return;
	imap_view_close(s);
	imap_untagged_ok(s, "CLOSED", IMAP_SAY_NO_MAILBOX, NULL);
}

void imap_delete(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	uint64_t id = 0;
	imap_parse_space(&s->parser);
	struct str name = imap_parse_mailbox(&s->parser);
	if (!imap_arguments_end(s))
		return;
	if (str_equal(name, STR("INBOX"))) {
		imap_no(s, "CANNOT", IMAP_SAY_INBOX_STAYS, NULL);
		return;
	}
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->session->account->store);
	store_mailbox_delete(txn, name, &id);
	if (!store_commit(&txn, &fail)) {
		if (fail->kind == FAIL_DENIED)
			imap_no(s, "HASCHILDREN", IMAP_SAY_HAS_CHILDREN, NULL);
		else
			imap_refuse_mailbox(s, fail);
		return;
	}
	close_deleted(s, id);
	imap_notify_absorb(s);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

/* ---- RENAME ---- */

void imap_rename(struct imap_session *s)
{
	imap_parse_space(&s->parser);
	struct str from = imap_parse_mailbox(&s->parser);
	imap_parse_space(&s->parser);
	struct str to = imap_parse_mailbox(&s->parser);
	if (!imap_arguments_end(s) || !name_is_allowed(s, to))
		return;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->session->account->store);
	store_mailbox_rename(txn, from, to);
	if (commit(s, &txn))
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

/* RFC 9051 §6.3.7: a name need not exist; §6.3.8: nor be subscribed. */
void imap_subscribe(struct imap_session *s)
{
	imap_parse_space(&s->parser);
	struct str name = imap_parse_mailbox(&s->parser);
	if (!imap_arguments_end(s))
		return;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->session->account->store);
	store_subscribe(txn, name, s->command.verb == IMAP_SUBSCRIBE);
	if (commit(s, &txn))
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

#include "milter_envelope.h"

#include "log.h"
#include "smtp_parameter.h"

/* ---- gathering ---- */

static void pass_over(const struct milter_envelope *e, struct str address, const char *why)
{
	log_event(LOG_WARNING, e->s->connection, "milter-change-ignored", LOG_TEXT("address", address),
	          LOG_TEXT("why", str_of(why)));
}

/* As it follows RCPT TO: or MAIL FROM:. Filters leave the brackets out at times. */
static struct str as_argument(struct arena *a, const struct milter_answer *answer)
{
	bool bare = answer->value.length == 0 || answer->value.data[0] != '<';
	return arena_printf(a, bare ? "<%.*s>%s%.*s" : "%.*s%s%.*s", STR_ARG(answer->value), answer->name.length ? " " : "",
	                    STR_ARG(answer->name));
}

static bool parse_recipient(struct milter_envelope *e, const struct milter_answer *answer, struct smtp_rcpt *rcpt)
{
	struct transaction *txn = e->s->txn;
	return smtp_rcpt_parse(txn->arena, as_argument(txn->arena, answer), session_extensions(e->s), SMTP_PATH_SLOPPY,
	                       txn->mail.utf8, rcpt) == NULL;
}

static struct recipient *find(struct milter_envelope *e, struct str address)
{
	struct transaction *txn = e->s->txn;
	for (size_t i = 0; i < txn->recipients.count; i++)
		if (!txn->recipients.items[i].is_removed && str_equal_nocase(txn->recipients.items[i].address, address))
			return &txn->recipients.items[i];
	for (size_t i = 0; i < e->added.count; i++)
		if (!e->added.items[i].is_removed && str_equal_nocase(e->added.items[i].address, address))
			return &e->added.items[i];
	return NULL;
}

static void add_recipient(struct milter_envelope *e, const struct milter_answer *answer)
{
	struct smtp_rcpt rcpt;
	if (!parse_recipient(e, answer, &rcpt) || e->added.count >= session_config(e->s)->recipients_max) {
		pass_over(e, answer->value, "no recipient, or too many");
		return;
	}
	if (find(e, rcpt.to.mailbox))
		return;
	*array_add(&e->added) = recipient_of(e->s, &rcpt);
	e->is_changed = true;
}

/* Its parameters do not count. */
static void delete_recipient(struct milter_envelope *e, const struct milter_answer *answer)
{
	struct smtp_rcpt rcpt;
	struct recipient *found = parse_recipient(e, answer, &rcpt) ? find(e, rcpt.to.mailbox) : NULL;
	if (!found) {
		pass_over(e, answer->value, "no recipient of this message");
		return;
	}
	found->is_removed = true;
	e->is_changed = true;
}

static void change_sender(struct milter_envelope *e, const struct milter_answer *answer)
{
	struct arena *a = e->s->txn->arena;
	struct smtp_mail mail;
	if (smtp_mail_parse(a, as_argument(a, answer), session_extensions(e->s), SMTP_PATH_SLOPPY, &mail)) {
		pass_over(e, answer->value, "no sender");
		return;
	}
	e->mail = mail;
	e->has_sender = e->is_changed = true;
}

void milter_envelope_take(struct milter_envelope *e, const struct milter_answer *answer)
{
	/* views of the answer end with it */
	const struct milter_answer kept = { .kind = answer->kind, .value = arena_copy(e->s->txn->arena, answer->value),
	                                    .name = arena_copy(e->s->txn->arena, answer->name) };
	if (kept.kind == MILTER_CHANGE_SENDER)
		change_sender(e, &kept);
	else if (kept.kind == MILTER_DELETE_RECIPIENT)
		delete_recipient(e, &kept);
	else
		add_recipient(e, &kept);
}

static size_t count_left(const struct recipient *recipients, size_t count)
{
	size_t left = 0;
	for (size_t i = 0; i < count; i++)
		left += !recipients[i].is_removed;
	return left;
}

bool milter_envelope_has_recipients(const struct milter_envelope *e)
{
	const struct transaction *txn = e->s->txn;
	return count_left(txn->recipients.items, txn->recipients.count) + count_left(e->added.items, e->added.count) > 0;
}

void milter_envelope_release(struct milter_envelope *e)
{
	array_release(&e->added);
}

/* ---- asking queue ---- */

/* Those of the client were taken before, so they are not greylisted now. A sender that is refused stays what it was. */
static enum verdict_kind begin(struct milter_envelope *e)
{
	struct msg_mail_begin *message = &e->s->txn->begin;
	const struct msg_mail_begin before = *message;
	message->flags |= MAIL_KNOWN_HOST;
	if (e->has_sender) {
		message->sender = e->mail.from.mailbox;
		if (e->mail.envid.length)
			message->envelope_id = str_first(e->mail.envid, 100);
		if (e->mail.ret != SMTP_RETURN_UNSPECIFIED)
			message->return_full = (uint32_t)e->mail.ret;
	}
	enum verdict_kind kind = link_begin_again(e->s);
	if (kind != VERDICT_SENDER_DENIED || !e->has_sender)
		return kind;
	pass_over(e, e->mail.from.mailbox, "the user may not send as this address");
	message->sender = before.sender;
	message->envelope_id = before.envelope_id;
	message->return_full = before.return_full;
	return link_begin_again(e->s);
}

enum verdict_kind milter_envelope_apply(struct milter_envelope *e)
{
	struct transaction *txn = e->s->txn;
	enum verdict_kind kind = begin(e);
	size_t named = 0;
	for (size_t i = 0; i < txn->recipients.count && kind == VERDICT_OK; i++) {
		if (txn->recipients.items[i].is_removed)
			continue;
		kind = link_recipient(e->s, &txn->recipients.items[i]);
		named++;
	}
	for (size_t i = 0; i < e->added.count && kind == VERDICT_OK; i++) {
		if (e->added.items[i].is_removed)
			continue;
		if (link_recipient(e->s, &e->added.items[i]) == VERDICT_OK)
			named++;
		else
			pass_over(e, e->added.items[i].address, "queue does not take this recipient");
	}
	if (kind == VERDICT_OK && (named == 0 || txn->lost))
		kind = VERDICT_TEMPORARY;
	if (kind == VERDICT_OK)
		log_event(LOG_INFO, e->s->connection, "milter-envelope", LOG_TEXT("from", txn->begin.sender),
		          LOG_NUMBER("recipients", named));
	return kind;
}

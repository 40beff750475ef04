/* MAIL and RCPT: what the client wants is parsed here and decided by queue. */
#include "smtpd.h"

#include "clock.h"
#include "host.h"
#include "log.h"
#include "mem.h"
#include "milter.h"
#include "smtp_received.h"
#include "smtp_session.h"

#include <stdlib.h>

static struct transaction *transaction_new(struct smtpd *smtpd)
{
	struct transaction *txn = mem_alloc(sizeof *txn);
	txn->arena = arena_new(TRANSACTION_ARENA_MAX);
	txn->request = ++smtpd->requests;
	txn->content.file = -1;
	return txn;
}

void transaction_drop(struct session *s)
{
	struct transaction *txn = s->txn;
	if (!txn)
		return;
	link_abort(s);
	milter_abort(s);
	s->txn = NULL;
	content_release(&txn->content);
	array_release(&txn->recipients);
	arena_free(txn->arena);
	free(txn);
}

/* Real clients are sloppy; on submission that costs nobody anything. */
static unsigned path_flags(const struct session *s)
{
	return s->protocol == SMTP_ON_SUBMISSION ? SMTP_PATH_SLOPPY : 0;
}

static const char *with_protocol(const struct session *s)
{
	const struct smtp_received facts = {
		.lmtp = s->protocol == SMTP_ON_LMTP, .extended = s->flags & SESSION_ESMTP, .tls = s->flags & SESSION_TLS,
		.authenticated = s->flags & SESSION_LOGGED_IN, .utf8 = s->txn->mail.utf8,
	};
	return smtp_received_with(&facts);
}

/* RFC 2852 §4: the time by our clock; it may have passed. */
static int64_t deliver_by(const struct smtp_mail *mail)
{
	int64_t until = clock_wall_seconds() + mail->by_seconds;
	return until > 1 ? until : 1;
}

/* FUTURERELEASE, RFC 4865 §4.2, §5.2.2. What was a time before is one that has come. */
static const struct smtp_reply *check_hold(const struct session *s, struct smtp_mail *mail)
{
	static const struct smtp_reply too_long = { 501, "5.5.4", "That is longer than mail is held here" };
	static const struct smtp_reply too_late = { 501, "5.5.4",
		"It would be held beyond the time it is to be delivered by" };
	int64_t now = clock_wall_seconds(), longest = (int64_t)session_config(s)->future_release_max_seconds;
	if (mail->hold_seconds)
		mail->hold_until = mail->hold_seconds > (uint64_t)longest ? INT64_MAX : now + (int64_t)mail->hold_seconds;
	if (mail->hold_until > now + longest)
		return &too_long;
	return mail->has_by && mail->hold_until > now + mail->by_seconds && mail->hold_until ? &too_late : NULL;
}

/* DELIVERBY, RFC 2852 §2, §4. */
static const struct smtp_reply *check_by(const struct session *s, const struct smtp_mail *mail)
{
	static const struct smtp_reply too_soon = { 555, "5.5.4", "That is sooner than delivery is promised here" };
	return mail->by_return && mail->by_seconds < (int64_t)session_config(s)->deliver_by_minimum_seconds ? &too_soon : NULL;
}

/* MT-PRIORITY, RFC 6710 §4.1: who is not known here gets no precedence; who is, as much as the site grants. */
static bool lower_priority(const struct session *s, struct smtp_mail *mail)
{
	int most = s->protocol == SMTP_ON_SUBMISSION ? (int)session_config(s)->priority_max : 0;
	if (mail->priority <= most)
		return false;
	mail->priority = most;
	return true;
}

static void accept_sender(struct session *s, bool lowered)
{
	struct str text = lowered ? arena_printf(s->txn->arena, "%d is the new priority", s->txn->mail.priority)
	                          : STR("Sender ok");
	session_say(s, &(struct smtp_reply){ 250, lowered ? "2.3.6" : "2.1.0", text.data });
}

static uint32_t begin_flags(const struct session *s)
{
	const struct smtp_mail *mail = &s->txn->mail;
	return (mail->utf8 ? MAIL_SMTPUTF8 : 0u) | (mail->require_tls ? MAIL_REQUIRETLS : 0u) |
	       (s->protocol == SMTP_ON_LMTP ? MAIL_LMTP : 0u) | (mail->hold_seconds ? MAIL_HOLD_FOR : 0u) |
	       (mail->by_return ? MAIL_BY_RETURN : 0u) | (mail->by_trace ? MAIL_BY_TRACE : 0u);
}

/* NULL: queue takes the transaction, or will hear of it with the first recipient. */
static const struct smtp_reply *begin_at_queue(struct session *s)
{
	struct transaction *txn = s->txn;
	const struct smtp_mail *mail = &txn->mail;
	txn->begin = (struct msg_mail_begin){
		.token = s->token, .sender = mail->from.mailbox, .size = mail->size, .body = (uint32_t)mail->body,
		.envelope_id = str_first(mail->envid, 100), .return_full = (uint32_t)mail->ret, .peer = str_of(s->peer),
		.helo = str_of(s->helo),
		.protocol = str_of(with_protocol(s)), .session = s->connection, .hold_until = mail->hold_until,
		.deliver_by = mail->has_by ? deliver_by(mail) : 0, .priority = mail->priority, .flags = begin_flags(s),
	};
	/* A stranger's sender address is not looked at: it spares each message a wait. */
	txn->begin_waits = s->smtpd->kind != KIND_USERS;
	enum verdict_kind kind = txn->begin_waits ? VERDICT_OK : link_begin(s);
	txn->begun = kind == VERDICT_OK;
	return kind == VERDICT_OK ? NULL : verdict_reply(kind);
}

/* What is against the sender and his parameters before queue is asked: NULL, nothing. */
static const struct smtp_reply *check_mail(struct session *s, struct str argument)
{
	struct smtp_mail *mail = &s->txn->mail;
	const struct smtp_reply *refusal = smtp_mail_parse(s->txn->arena, argument, session_extensions(s), path_flags(s),
	                                                   mail);
	if (refusal)
		return refusal;
	if (mail->size > session_config(s)->message_size_max)
		return verdict_reply(VERDICT_TOO_BIG); /* RFC 1870 §6.1 */
	refusal = check_hold(s, mail);
	if (!refusal)
		refusal = check_by(s, mail);
	if (refusal)
		return refusal;
	host_begin(s);
	return milter_mail(s);
}

/* MAIL, RFC 5321 §4.1.1.2. */
void smtp_mail(struct session *s, const struct smtp_request *request)
{
	if (s->transactions++ >= LIMIT_SMTP_TRANSACTIONS_MAX) {
		session_say(s, &(struct smtp_reply){ 421, "4.7.0", "Too many transactions in one connection" });
		s->over = true;
		return;
	}
	s->txn = transaction_new(s->smtpd);
	const struct smtp_reply *refusal = check_mail(s, request->argument);
	bool lowered = !refusal && lower_priority(s, &s->txn->mail);
	if (!refusal)
		refusal = begin_at_queue(s);
	if (refusal) {
		transaction_drop(s);
		session_say(s, refusal);
		return;
	}
	accept_sender(s, lowered);
}

static struct str orcpt_text(struct session *s, const struct smtp_rcpt *rcpt)
{
	if (rcpt->orcpt_type.length == 0)
		return (struct str){};
	return arena_printf(s->txn->arena, "%.*s;%.*s", STR_ARG(rcpt->orcpt_type), STR_ARG(rcpt->orcpt_address));
}

struct recipient recipient_of(struct session *s, const struct smtp_rcpt *rcpt)
{
	return (struct recipient){ .address = rcpt->to.mailbox, .original = str_first(orcpt_text(s, rcpt), 500),
		.notify = rcpt->notify };
}

static void say_recipient_refused(struct session *s, struct str recipient, const struct smtp_reply *reply)
{
	log_event(LOG_INFO, s->connection, "recipient-refused", LOG_TEXT("to", recipient),
	          LOG_TEXT("from", s->txn->mail.from.mailbox), LOG_TEXT("peer", str_of(s->peer)),
	          LOG_TEXT("why", str_of(reply->text)));
	session_say(s, reply);
}

/* What the client's host, the filters and queue, in this order, have against the recipient: NULL, nothing. */
static const struct smtp_reply *check_recipient(struct session *s, const struct recipient *recipient)
{
	const struct smtp_reply *refusal = host_refusal(s, recipient->address);
	if (!refusal)
		refusal = milter_rcpt(s, recipient->address);
	if (refusal)
		return refusal;
	if (host_is_known(s))
		s->txn->begin.flags |= MAIL_KNOWN_HOST;
	enum verdict_kind kind = link_recipient(s, recipient);
	return kind == VERDICT_OK ? NULL : verdict_reply(kind);
}

/* RCPT, RFC 5321 §4.1.1.3. */
void smtp_rcpt(struct session *s, const struct smtp_request *request)
{
	struct transaction *txn = s->txn;
	struct smtp_rcpt rcpt;
	if (txn->recipients.count >= session_config(s)->recipients_max) {
		session_say_verdict(s, VERDICT_TOO_MANY); /* RFC 5321 §4.5.3.1.10 */
		return;
	}
	const struct smtp_reply *refusal =
		smtp_rcpt_parse(txn->arena, request->argument, session_extensions(s), path_flags(s), txn->mail.utf8, &rcpt);
	if (refusal) {
		session_say(s, refusal);
		return;
	}
	struct recipient recipient = recipient_of(s, &rcpt);
	refusal = check_recipient(s, &recipient);
	if (refusal) {
		say_recipient_refused(s, recipient.address, refusal);
		return;
	}
	*array_add(&txn->recipients) = recipient;
	session_say(s, &(struct smtp_reply){ 250, "2.1.5", "Recipient ok" });
}

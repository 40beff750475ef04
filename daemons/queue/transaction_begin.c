/* MAIL: who sends, whether he may, and whether there is room. */
#include "transaction.h"

#include "clock.h"
#include "log.h"

#include <inttypes.h>

enum { TOKEN_PATIENCE_MS = 3000 };

static const struct ipc_id no_token;

/* smtpd may name recipients before it hears of this: it is told the same again. */
static void begin_refused(struct intake *in, enum verdict_kind kind)
{
	uint64_t request = in->request;
	if (in->has_first)
		intake_say_recipient(in, kind);
	else
		intake_say_verdict(in, kind);
	intake_end(in);
	in->request = request;
	in->refusal = kind;
	intake_enter(in, REFUSED);
}

static void sender_answered(struct waiter *waiter, const struct answer *answer)
{
	struct intake *in = waiter->owner;
	if (answer->verdict > 1) {
		begin_refused(in, VERDICT_TEMPORARY);
	} else if (!answer->verdict) {
		begin_refused(in, VERDICT_SENDER_DENIED);
	} else {
		intake_enter(in, BEGUN);
		intake_say_verdict(in, VERDICT_OK);
	}
}

/* Who is behind the token is what auth said; an unknown one may be on its way to us. */
static void begin_with_token(struct intake *in)
{
	const struct token *token = NULL;
	if (memcmp(&in->token, &no_token, sizeof no_token) != 0) {
		token = resolve_token(in->queue, &in->token);
		intake_enter(in, WAITING);
		if (!token) {
			if (!in->token_until_ms)
				in->token_until_ms = clock_monotonic_ms() + TOKEN_PATIENCE_MS;
			return;
		}
		in->may_relay = true;
		in->envelope.account = token->account;
	}
	in->token_until_ms = 0;
	intake_enter(in, BEGUN);
	if (in->envelope.account == 0 || in->envelope.reverse_path.length == 0) {
		intake_say_verdict(in, VERDICT_OK);
		return;
	}
	intake_enter(in, WAITING);
	in->waiter.answered = sender_answered;
	resolve_may_send(in->queue, in->envelope.account, in->envelope.reverse_path, &in->waiter);
}

static bool keep_envelope(struct intake *in, const struct msg_mail_begin *begin)
{
	struct arena *arena = in->arena;
	struct envelope *e = &in->envelope;
	if (!intake_is_clean(begin->sender) || !intake_is_clean(begin->peer) || !intake_is_clean(begin->helo) || !intake_is_clean(begin->protocol) ||
	    !intake_is_clean(begin->envelope_id) || begin->return_full >= ENVELOPE_RETURN_COUNT ||
	    begin->flags & ~(unsigned)(MAIL_SMTPUTF8 | MAIL_REQUIRETLS | MAIL_LMTP | MAIL_HOLD_FOR | MAIL_BY_RETURN | MAIL_BY_TRACE | MAIL_KNOWN_HOST) ||
	    begin->hold_until < 0 || begin->deliver_by < 0 || begin->priority < -ENVELOPE_PRIORITY_MAX || begin->priority > ENVELOPE_PRIORITY_MAX)
		return false;
	*e = (struct envelope){
		.id = ipc_number_make(), .received = clock_wall_seconds(), .reverse_path = arena_copy(arena, begin->sender),
		.peer = arena_copy(arena, begin->peer), .helo = arena_copy(arena, begin->helo),
		.session = arena_printf(arena, "%016" PRIx64, begin->session), .protocol = arena_copy(arena, begin->protocol),
		.body_type = begin->body ? ENVELOPE_8BITMIME : ENVELOPE_7BIT, .smtputf8 = begin->flags & MAIL_SMTPUTF8,
		.require_tls = begin->flags & MAIL_REQUIRETLS, .ret = begin->return_full,
		.envid = arena_copy(arena, begin->envelope_id), .priority = (int8_t)begin->priority,
		.hold_until = begin->hold_until, .hold_is_interval = begin->flags & MAIL_HOLD_FOR,
		.deliver_by = begin->deliver_by, .by_return = begin->flags & MAIL_BY_RETURN,
		.by_trace = begin->flags & MAIL_BY_TRACE,
	};
	return !bounce_is_report(e);
}

static bool keep_first(struct intake *in, const struct msg_mail_begin *begin)
{
	const struct msg_mail_recipient first = { begin->address, begin->original, begin->notify };
	in->has_first = begin->address.length > 0;
	return !in->has_first ||
	       (memcmp(&begin->token, &no_token, sizeof no_token) == 0 && intake_keep_recipient(in, &first));
}

static enum verdict_kind may_begin(const struct intake *in)
{
	struct queue *q = in->queue;
	if (q->draining || q->mail_count >= LIMIT_QUEUE_MESSAGES_MAX)
		return VERDICT_TEMPORARY;
	if (in->declared > q->daemon.config.message_size_max)
		return VERDICT_TOO_BIG;
	return trim_has_headroom(q) ? VERDICT_OK : VERDICT_NO_SPACE;
}

/* An smtpd that talks to the world has no business with these, whoever has taken it over. */
static bool claims_privilege(const struct msg_mail_begin *begin)
{
	bool has_token = memcmp(&begin->token, &no_token, sizeof no_token) != 0;
	if (!has_token && !begin->hold_until && begin->priority <= 0)
		return false;
	log_event(LOG_ERROR, begin->session, has_token ? "token-from-the-world" : "privilege-from-the-world",
	          LOG_TEXT("from", begin->sender));
	return true;
}

bool intake_begin(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_begin begin;
	if (!msg_mail_begin_read(frame, &begin) || frame->request == 0 || !keep_envelope(in, &begin) ||
	    !keep_first(in, &begin))
		return false;
	if (peer->kind != KIND_USERS && claims_privilege(&begin))
		return false;
	in->request = frame->request;
	in->token = begin.token;
	in->may_relay = false;
	in->is_lmtp = begin.flags & MAIL_LMTP;
	in->is_known_host = begin.flags & MAIL_KNOWN_HOST;
	in->session = begin.session;
	in->declared = begin.size;
	in->body_verdict = VERDICT_OK;
	in->from_asked = 0;
	buf_init(&in->body, LIMIT_INLINE_BODY_MAX + BODY_SLACK);
	enum verdict_kind kind = may_begin(in);
	if (kind != VERDICT_OK)
		begin_refused(in, kind);
	else if (in->has_first)
		intake_ask_for_recipient(in);
	else
		begin_with_token(in);
	return true;
}

void transaction_token_known(struct queue *q)
{
	for (struct intake *in = q->intakes; in; in = in->next)
		if (in->token_until_ms)
			begin_with_token(in);
}

void transaction_tick(struct queue *q)
{
	int64_t now = loop_now_ms(q->loop);
	for (struct intake *in = q->intakes; in; in = in->next)
		if (in->token_until_ms && in->token_until_ms < now)
			begin_refused(in, VERDICT_TEMPORARY);
}

/*
 * smtpd's side: one transaction at a time per peer.
 *
 *	IDLE ──MAIL_BEGIN──► BEGUN ──MAIL_RECIPIENT──► ADDRESSED ──MAIL_BODY──► IN_BODY ──┐
 *	 └──refused──► REFUSED ──MAIL_BEGIN──►…         ├─MAIL_FILE──► IN_FILE ──────────┤
 *	                                                └────────────────────────────────┴─MAIL_COMMIT──► COMMITTING ──► IDLE
 *
 * MAIL_BEGIN with a recipient leads to ADDRESSED at once. WAITING stands before any of them while auth is asked; MAIL_ABORT leads to IDLE from all but WAITING and COMMITTING.
 */
#include "queue.h"
#include "forward.h"
#include "sending.h"
#include "aggregate.h"
#include "sign.h"

#include "clock.h"
#include "file.h"
#include "greylist.h"
#include "log.h"
#include "mem.h"
#include "text.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { IDLE = 1, BEGUN = 2, ADDRESSED = 4, IN_BODY = 8, IN_FILE = 16, WAITING = 32, COMMITTING = 64, REFUSED = 128 };
enum { TOKEN_PATIENCE_MS = 3000, LINEAR_MAX = 8, BODY_SLACK = 262144 };

struct promise {
	struct envelope_recipient recipient;
	struct str asked;        /* the address that led here, for the log */
	struct account *account; /* NULL: remote */
	uint64_t octets;         /* counted in account->coming_bytes */
	enum verdict_kind kind;  /* at commit */
};

/* What one MAIL_RECIPIENT led to. */
struct addressed {
	uint32_t first; /* promise */
	uint32_t count; /* new ones from there on; 0: first was there already */
	bool is_expanded; /* it stands for several, and its sender asked for success: */
	struct envelope_recipient alias;
};

struct intake {
	struct intake *previous, *next;
	struct queue *queue;
	struct ipc_peer peer;
	bool gone;                /* the peer is; the commit is still under way */
	/* of the transaction */
	uint64_t request;         /* 0: none */
	struct arena *arena;
	struct envelope envelope;
	struct ipc_id token;
	bool may_relay;
	bool is_lmtp;
	bool is_known_host;
	bool has_first;           /* recipient: it came with MAIL_BEGIN */
	uint64_t session;
	uint64_t declared;        /* SIZE of MAIL */
	ARRAY(struct promise) promises;
	ARRAY(struct addressed) addressed;
	struct map *seen;         /* account or address → 1 + promise, once there are many */
	struct buf body;
	enum verdict_kind refusal; /* of MAIL_BEGIN, in state REFUSED */
	enum verdict_kind body_verdict;
	unsigned from_asked;
	unsigned state_after;     /* WAITING */
	int64_t token_until_ms;   /* 0: does not wait for the token */
	struct envelope_recipient asked;
	bool is_return;           /* asked is whom a sender address that we made (forward.h) stands for */
	struct waiter waiter;
	int body_file;            /* of the body in a file, -1 without */
	struct str dmarc;         /* for the report, once it is durable */
	struct signing signing;
	struct commit commit;
};

static bool is_clean(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
			return false;
	return true;
}

static bool commits_soon(unsigned state)
{
	return state == ADDRESSED || state == IN_BODY;
}

static void enter(struct intake *in, unsigned state)
{
	size_t *coming = &in->queue->commits_coming;
	*coming -= commits_soon(in->peer.state);
	in->peer.state = state;
	*coming += commits_soon(state);
}

/* ---- promises ---- */

static void unpromise(struct promise *promise)
{
	if (!promise->account)
		return;
	promise->account->coming_bytes -= promise->octets;
	promise->account->coming_messages--;
}

static void promise(struct promise *promise, uint64_t octets)
{
	promise->octets = octets;
	if (!promise->account)
		return;
	promise->account->coming_bytes += octets;
	promise->account->coming_messages++;
}

static void end_transaction(struct intake *in)
{
	for (size_t i = 0; i < in->promises.count; i++)
		unpromise(&in->promises.items[i]);
	in->promises.count = in->addressed.count = 0;
	if (in->envelope.body_in_file)
		spoolfile_body_abandon(in->queue->spool, in->envelope.id);
	file_close(&in->body_file);
	buf_release(&in->signing.fields);
	in->queue->octets -= in->body.length;
	buf_release(&in->body);
	map_free(in->seen);
	in->seen = NULL;
	arena_reset(in->arena);
	in->dmarc = (struct str){};
	in->request = 0;
	in->token_until_ms = 0;
	enter(in, IDLE);
}

static void intake_free(struct intake *in)
{
	*(in->previous ? &in->previous->next : &in->queue->intakes) = in->next;
	if (in->next)
		in->next->previous = in->previous;
	end_transaction(in);
	array_release(&in->promises);
	array_release(&in->addressed);
	arena_free(in->arena);
	free(in);
}

/* ---- answers ---- */

static void say_verdict(struct intake *in, enum verdict_kind kind)
{
	msg_mail_verdict_send(&in->peer.channel, in->request, &(struct msg_mail_verdict){ .kind = kind }, -1);
}

static void say_recipient(struct intake *in, enum verdict_kind kind)
{
	msg_recipient_verdict_send(&in->peer.channel, in->request, &(struct msg_recipient_verdict){ .kind = kind }, -1);
}

static void say_done(struct intake *in, enum verdict_kind kind, struct str kinds)
{
	struct msg_mail_done done = { .kind = kind, .queue_id = in->envelope.id, .kinds = kinds };
	if (!in->gone)
		msg_mail_done_send(&in->peer.channel, in->request, &done, -1);
}

/* ---- MAIL ---- */

/* smtpd may name recipients before it hears of this: it is told the same again. */
static void begin_refused(struct intake *in, enum verdict_kind kind)
{
	uint64_t request = in->request;
	if (in->has_first)
		say_recipient(in, kind);
	else
		say_verdict(in, kind);
	end_transaction(in);
	in->request = request;
	in->refusal = kind;
	enter(in, REFUSED);
}

static void sender_answered(struct waiter *waiter, const struct answer *answer)
{
	struct intake *in = waiter->owner;
	if (answer->verdict > 1) {
		begin_refused(in, VERDICT_TEMPORARY);
	} else if (!answer->verdict) {
		begin_refused(in, VERDICT_SENDER_DENIED);
	} else {
		enter(in, BEGUN);
		say_verdict(in, VERDICT_OK);
	}
}

/* Who is behind the token is what auth said; an unknown one may be on its way to us. */
static void begin_with_token(struct intake *in)
{
	static const struct ipc_id none;
	const struct token *token = NULL;
	if (memcmp(&in->token, &none, sizeof none) != 0) {
		token = resolve_token(in->queue, &in->token);
		enter(in, WAITING);
		if (!token) {
			if (!in->token_until_ms)
				in->token_until_ms = clock_monotonic_ms() + TOKEN_PATIENCE_MS;
			return;
		}
		in->may_relay = true;
		in->envelope.account = token->account;
	}
	in->token_until_ms = 0;
	enter(in, BEGUN);
	if (in->envelope.account == 0 || in->envelope.reverse_path.length == 0) {
		say_verdict(in, VERDICT_OK);
		return;
	}
	enter(in, WAITING);
	in->waiter.answered = sender_answered;
	resolve_may_send(in->queue, in->envelope.account, in->envelope.reverse_path, &in->waiter);
}

static bool keep_envelope(struct intake *in, const struct msg_mail_begin *begin)
{
	struct arena *arena = in->arena;
	struct envelope *e = &in->envelope;
	if (!is_clean(begin->sender) || !is_clean(begin->peer) || !is_clean(begin->helo) || !is_clean(begin->protocol) ||
	    !is_clean(begin->envelope_id) || begin->return_full >= ENVELOPE_RETURN_COUNT ||
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
		.deliver_by = begin->deliver_by, .by_return = begin->flags & MAIL_BY_RETURN, .by_trace = begin->flags & MAIL_BY_TRACE,
	};
	return true;
}

static bool notify_is_good(uint32_t notify)
{
	return notify < 16 && (!(notify & ENVELOPE_NOTIFY_NEVER) || notify == ENVELOPE_NOTIFY_NEVER);
}

static bool keep_recipient(struct intake *in, const struct msg_mail_recipient *read)
{
	if (read->address.length == 0 || !is_clean(read->address) || !is_clean(read->original) || !notify_is_good(read->notify))
		return false;
	in->asked = (struct envelope_recipient){
		.address = arena_copy(in->arena, read->address), .orcpt = arena_copy(in->arena, read->original),
		.notify = (uint8_t)read->notify,
	};
	return true;
}

static void recipient_answered(struct waiter *waiter, const struct answer *answer);

/* A report that comes back to a sender whose mail we forwarded goes on to him, wherever he is. Nobody else can name such an address. */
static void ask_for_recipient(struct intake *in)
{
	in->is_return = in->envelope.reverse_path.length == 0 && !in->is_lmtp &&
	                forward_return_path(in->queue, in->arena, in->asked.address, &in->asked.address);
	enter(in, WAITING);
	in->waiter.answered = recipient_answered;
	resolve_address(in->queue, in->asked.address, &in->waiter);
}

static bool keep_first(struct intake *in, const struct msg_mail_begin *begin)
{
	static const struct ipc_id none;
	const struct msg_mail_recipient first = { begin->address, begin->original, begin->notify };
	in->has_first = begin->address.length > 0;
	return !in->has_first || (memcmp(&begin->token, &none, sizeof none) == 0 && keep_recipient(in, &first));
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

static bool on_begin(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_begin begin;
	static const struct ipc_id none;
	if (!msg_mail_begin_read(frame, &begin) || frame->request == 0 || !keep_envelope(in, &begin) || !keep_first(in, &begin))
		return false;
	if (peer->kind != KIND_USERS && memcmp(&begin.token, &none, sizeof none) != 0) {
		log_event(LOG_ERROR, begin.session, "token-from-the-world", LOG_TEXT("from", begin.sender));
		return false;
	}
	if (peer->kind != KIND_USERS && (begin.hold_until || begin.priority > 0)) {
		log_event(LOG_ERROR, begin.session, "privilege-from-the-world", LOG_TEXT("from", begin.sender));
		return false;
	}
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
		ask_for_recipient(in);
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

/* ---- RCPT ---- */

static struct str key_of(const struct promise *promise, uint64_t *account)
{
	*account = promise->account ? promise->account->number : 0;
	return promise->account ? str_from((const char *)account, sizeof *account) : promise->recipient.address;
}

static bool same_place(const struct promise *a, const struct promise *b)
{
	return a->account == b->account && (a->account || str_equal(a->recipient.address, b->recipient.address));
}

/* Its place among the promises, or their count. */
static size_t find_promise(struct intake *in, const struct promise *wanted)
{
	uint64_t account;
	if (in->seen) {
		void *found = map_get(in->seen, key_of(wanted, &account));
		return found ? (size_t)(uintptr_t)found - 1 : in->promises.count;
	}
	size_t i = 0;
	while (i < in->promises.count && !same_place(&in->promises.items[i], wanted))
		i++;
	return i;
}

static void note_seen(struct intake *in, size_t from)
{
	uint64_t account;
	if (in->promises.count <= LINEAR_MAX)
		return;
	if (!in->seen) {
		in->seen = map_new();
		from = 0;
	}
	for (size_t i = from; i < in->promises.count; i++)
		map_set(in->seen, key_of(&in->promises.items[i], &account), (void *)(uintptr_t)(i + 1));
}

static void forget_seen(struct intake *in, size_t from)
{
	uint64_t account;
	for (size_t i = from; in->seen && i < in->promises.count; i++)
		map_remove(in->seen, key_of(&in->promises.items[i], &account));
	in->promises.count = from;
}

static struct str keep_detail(struct intake *in, struct str detail)
{
	detail = str_first(detail, LIMIT_LOCAL_PART_MAX);
	while (!text_is_utf8(detail))
		detail.length--;
	return arena_copy(in->arena, is_clean(detail) ? detail : (struct str){});
}

static bool has_several(struct str targets)
{
	struct target target;
	return target_next(&targets, &target) && target_next(&targets, &target);
}

/* RFC 3461 §5.2.7.3 (c): success is told of the alias; whoever asked for that alone hears of nothing else. */
static uint8_t notify_of_expanded(uint8_t notify)
{
	uint8_t rest = notify & (uint8_t)~ENVELOPE_NOTIFY_SUCCESS;
	return notify && !rest ? ENVELOPE_NOTIFY_NEVER : rest;
}

/* A stranger's mail that an alias sends elsewhere gets a sender of the alias's domain there (forward.h). */
static void make_remote(struct intake *in, struct str address, struct envelope_recipient *recipient)
{
	size_t at = str_find_last_char(in->asked.address, '@');
	bool is_forwarded = !in->may_relay && !in->is_return;
	struct str domain = at < in->asked.address.length ? str_from_index(in->asked.address, at + 1) : str_of(in->queue->daemon.config.hostname);
	recipient->address = arena_copy(in->arena, address);
	recipient->detail = is_forwarded ? domain : (struct str){};
}

static size_t count_remote(const struct intake *in)
{
	size_t count = 0;
	for (size_t i = 0; i < in->promises.count; i++)
		count += !in->promises.items[i].account;
	return count;
}

/* What users and trusted hosts send to others. */
static enum verdict_kind may_send_on(struct intake *in)
{
	if (!in->may_relay)
		return in->is_return ? VERDICT_OK : VERDICT_RELAY_DENIED;
	if (in->is_lmtp)
		return VERDICT_RELAY_DENIED;
	return sending_check(in->queue, in->envelope.account, in->envelope.reverse_path, count_remote(in) + 1);
}

/* Adds what is not there yet. kind: VERDICT_OK when any of them would take it. */
static enum verdict_kind add_targets(struct intake *in, struct str targets, struct addressed *addressed)
{
	enum verdict_kind kind = VERDICT_UNKNOWN_USER;
	bool is_several = has_several(targets);
	struct target target;
	addressed->is_expanded = is_several && in->asked.notify & ENVELOPE_NOTIFY_SUCCESS;
	addressed->alias = in->asked;
	for (size_t i = 0; target_next(&targets, &target); i++) {
		struct promise fresh = { .recipient = in->asked, .asked = in->asked.address };
		fresh.recipient.account = target.account;
		fresh.account = target.account ? account_get(in->queue, target.account) : NULL;
		if (is_several)
			fresh.recipient.notify = notify_of_expanded(in->asked.notify);
		if (fresh.account)
			fresh.recipient.detail = keep_detail(in, target.detail);
		else
			make_remote(in, target.address, &fresh.recipient);
		enum verdict_kind one = fresh.account ? quota_check(fresh.account, in->declared) : VERDICT_OK;
		if (i == 0 || one == VERDICT_OK)
			kind = one;
		size_t place = find_promise(in, &fresh);
		if (i == 0)
			addressed->first = (uint32_t)place;
		if (place < in->promises.count)
			continue;
		if (addressed->count == 0)
			addressed->first = (uint32_t)place;
		addressed->count++;
		*array_add(&in->promises) = fresh;
		note_seen(in, place);
		if (in->promises.count > LIMIT_ENVELOPE_RECIPIENTS_MAX)
			return VERDICT_TOO_MANY;
	}
	return kind;
}

static enum verdict_kind add_recipient(struct intake *in, const struct answer *answer)
{
	size_t before = in->promises.count;
	struct addressed addressed = {};
	CLEANUP(buf_release) struct buf remote = BUF_WITH_LIMIT(2 * LIMIT_ADDRESS_MAX);
	struct str targets = answer->targets;
	if (answer->verdict == RESOLVE_UNKNOWN_USER)
		return VERDICT_UNKNOWN_USER;
	if (answer->verdict == RESOLVE_DISABLED)
		return VERDICT_DISABLED;
	if (answer->verdict == RESOLVE_NOT_OURS) {
		enum verdict_kind allowed = may_send_on(in);
		if (allowed != VERDICT_OK)
			return allowed;
		target_add(&remote, &(struct target){ .address = in->asked.address });
		targets = buf_str(&remote);
	} else if (answer->verdict != RESOLVE_OK) {
		return VERDICT_TEMPORARY;
	}
	enum verdict_kind kind = add_targets(in, targets, &addressed);
	if (kind != VERDICT_OK) {
		forget_seen(in, before);
		return kind;
	}
	for (size_t i = before; i < in->promises.count; i++)
		promise(&in->promises.items[i], in->declared);
	*array_add(&in->addressed) = addressed;
	return VERDICT_OK;
}

/* Only strangers' mail for recipients that exist: others hear what they always hear. */
static bool is_greylisted(const struct intake *in, const struct answer *answer)
{
	bool looked_at = in->queue->daemon.config.greylisting && in->peer.kind == KIND_WORLD && !in->is_lmtp && !in->is_known_host &&
	                 !in->is_return && answer->verdict == RESOLVE_OK;
	return looked_at && !greylist_lets_pass(in->queue, in->envelope.peer, in->envelope.reverse_path, in->asked.address);
}

static void recipient_answered(struct waiter *waiter, const struct answer *answer)
{
	struct intake *in = waiter->owner;
	enum verdict_kind kind = is_greylisted(in, answer) ? VERDICT_GREYLISTED : add_recipient(in, answer);
	enter(in, in->addressed.count ? ADDRESSED : BEGUN);
	say_recipient(in, kind);
}

static bool on_recipient_of_refused(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	if (frame->request != in->request)
		return false;
	say_recipient(in, in->refusal);
	return true;
}

static bool on_recipient(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_recipient read;
	if (!msg_mail_recipient_read(frame, &read) || frame->request != in->request || !keep_recipient(in, &read))
		return false;
	if (in->addressed.count < in->queue->daemon.config.recipients_max)
		ask_for_recipient(in);
	else
		say_recipient(in, VERDICT_TOO_MANY);
	return true;
}

/* ---- From ---- */

static void from_answered(struct waiter *waiter, const struct answer *answer)
{
	struct intake *in = waiter->owner;
	enter(in, in->state_after);
	say_verdict(in, answer->verdict > 1 ? VERDICT_TEMPORARY : answer->verdict ? VERDICT_OK : VERDICT_SENDER_DENIED);
}

static bool on_from_header(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_from_header from;
	if (!msg_mail_from_header_read(frame, &from) || frame->request != in->request ||
	    ++in->from_asked > LIMIT_QUEUE_FROM_MAX)
		return false;
	if (in->envelope.account == 0) {
		say_verdict(in, in->may_relay ? VERDICT_OK : VERDICT_SENDER_DENIED);
		return true;
	}
	in->state_after = peer->state;
	enter(in, WAITING);
	in->waiter.answered = from_answered;
	resolve_may_send(in->queue, in->envelope.account, from.address, &in->waiter);
	return true;
}

/* ---- the message ---- */

/* False: there is more than memory is meant for, and it should have asked for a file. */
static bool take_content(struct intake *in, struct str content)
{
	struct queue *q = in->queue;
	if (q->octets + content.length > LIMIT_QUEUE_OCTETS_MAX)
		in->body_verdict = VERDICT_TEMPORARY;
	if (in->body_verdict != VERDICT_OK)
		return true;
	if (!buf_add_str(&in->body, content))
		return false;
	q->octets += content.length;
	return true;
}

static bool on_body(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_body read;
	if (!msg_mail_body_read(frame, &read) || frame->request != in->request)
		return false;
	enter(in, IN_BODY);
	return take_content(in, read.content);
}

static enum verdict_kind kind_of_failure(enum fail_kind kind)
{
	return kind == FAIL_NO_SPACE ? VERDICT_NO_SPACE : VERDICT_TEMPORARY;
}

static bool on_file(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (frame->request != in->request)
		return false;
	/* a second one, when filters changed the message, takes the place of the first */
	file_close(&in->body_file);
	int file = spoolfile_body_begin(in->queue->spool, in->envelope.id, &fail);
	if (file < 0)
		log_event(LOG_ERROR, in->session, "no-body-file", LOG_TEXT("why", str_of(fail_text(fail))));
	in->envelope.body_in_file = file >= 0;
	in->body_file = file >= 0 ? fcntl(file, F_DUPFD_CLOEXEC, 3) : -1;
	enum verdict_kind kind = file >= 0 ? VERDICT_OK : kind_of_failure(fail->kind);
	msg_mail_file_answer_send(&peer->channel, in->request, &(struct msg_mail_file_answer){ .kind = kind }, file);
	if (file >= 0)
		enter(in, IN_FILE);
	return true;
}

static bool on_abort(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_abort abort;
	if (in->request == 0)
		return true; /* smtpd aborts what it was refused, too */
	if (!msg_mail_abort_read(frame, &abort) || frame->request != in->request || !aggregate_count(in->queue, abort.dmarc))
		return false;
	end_transaction(in);
	return true;
}

/* ---- commit ---- */

/* Looks again, now with the real size. */
static void check_room(struct intake *in, uint64_t size)
{
	for (size_t i = 0; i < in->promises.count; i++) {
		struct promise *one = &in->promises.items[i];
		unpromise(one);
		one->kind = one->account ? quota_check(one->account, size) : VERDICT_OK;
		promise(one, size);
	}
}

/* VERDICT_OK when any of them takes it. */
static enum verdict_kind kind_of(const struct intake *in, size_t first, size_t count)
{
	enum verdict_kind kind = in->promises.items[first].kind;
	for (size_t i = first; i < first + count; i++)
		if (in->promises.items[i].kind == VERDICT_OK)
			return VERDICT_OK;
	return kind;
}

/* LMTP answers for each recipient (RFC 2033 §4.2): what was refused there is not taken, and no bounce follows. */
static struct str refuse_each(struct intake *in)
{
	if (!in->is_lmtp)
		return (struct str){};
	char *kinds = arena_alloc(in->arena, in->addressed.count);
	for (size_t i = 0; i < in->addressed.count; i++) {
		const struct addressed *one = &in->addressed.items[i];
		enum verdict_kind kind = kind_of(in, one->first, one->count);
		kinds[i] = (char)kind;
		for (size_t k = one->first; kind != VERDICT_OK && k < one->first + one->count; k++)
			in->promises.items[k].recipient.state = ENVELOPE_FAILED;
	}
	return str_from(kinds, in->addressed.count);
}

static void committed(struct commit *commit, bool durable);

static bool encode(struct intake *in, struct mail **mail, struct fail **fail)
{
	struct envelope *e = &in->envelope;
	CLEANUP(buf_release) struct buf head = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	e->recipients = arena_alloc_array(in->arena, in->promises.count, sizeof *e->recipients);
	e->recipient_count = in->promises.count;
	for (size_t i = 0; i < in->promises.count; i++)
		e->recipients[i] = in->promises.items[i].recipient;
	if (!envelope_encode(e, &head, fail))
		return false;
	if (head.length + (e->body_in_file ? 0 : e->body_size) > LIMIT_JOURNAL_RECORD_MAX)
		return fail_set(fail, FAIL_TOO_BIG, "envelope and message are too long");
	*mail = mail_new(in->queue, e);
	in->queue->octets -= in->body.length; /* mail_hold counts it */
	char *body = e->body_in_file ? NULL : in->body.data;
	if (!e->body_in_file)
		in->body = (struct buf){};
	size_t length = head.length;
	return mail_hold(*mail, TAKE(head.data), length, body, body, fail);
}

static void refuse_commit(struct intake *in, enum verdict_kind kind, struct str kinds)
{
	say_done(in, kind, kinds);
	if (in->gone)
		intake_free(in);
	else
		end_transaction(in);
}

static bool kinds_differ(struct str kinds)
{
	for (size_t i = 1; i < kinds.length; i++)
		if (kinds.data[i] != kinds.data[0])
			return true;
	return false;
}

static void append(struct intake *in)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct mail *mail = NULL;
	if (!encode(in, &mail, &fail)) {
		log_event(LOG_ERROR, in->session, "not-queued", LOG_TEXT("why", str_of(fail_text(fail))));
		if (mail)
			mail_free(mail);
		refuse_commit(in, VERDICT_TEMPORARY, (struct str){});
		return;
	}
	in->commit = (struct commit){ .mail = mail, .done = committed, .owner = in };
	commit_add(in->queue, &in->commit);
}

/* Our signatures stand before everything else. */
static void put_before(struct intake *in, const struct buf *fields)
{
	struct buf *body = &in->body;
	if (!buf_reserve(body, fields->length))
		return;
	memmove(body->data + fields->length, body->data, body->length);
	memcpy(body->data, fields->data, fields->length);
	buf_claim(body, fields->length);
	in->envelope.body_size += fields->length;
	in->queue->octets += fields->length;
}

static void looked(struct signing *s)
{
	struct intake *in = s->owner;
	in->envelope.has_8bit = s->facts.has_8bit;
	in->envelope.is_signed = s->facts.is_signed;
	in->envelope.tls_optional = s->facts.tls_optional;
	in->envelope.body_size += s->added;
	file_close(&in->body_file);
	if (s->file < 0 && s->fields.length)
		put_before(in, &s->fields);
	if (s->spoiled)
		refuse_commit(in, VERDICT_TEMPORARY, (struct str){});
	else
		append(in);
}

static bool has_remote(const struct intake *in)
{
	for (size_t i = 0; i < in->promises.count; i++)
		if (!in->promises.items[i].account)
			return true;
	return false;
}

/* What only comes to accounts of ours, from strangers, needs no look. */
static void commit(struct intake *in)
{
	check_room(in, in->envelope.body_size);
	struct str kinds = refuse_each(in);
	enum verdict_kind kind = kind_of(in, 0, in->promises.count);
	if (kind != VERDICT_OK) {
		refuse_commit(in, kinds_differ(kinds) ? VERDICT_OK : kind, kinds);
		return;
	}
	enter(in, COMMITTING);
	bool may_sign = in->may_relay && !keys_are_none(in->queue->keys);
	if (!may_sign && !has_remote(in)) {
		append(in);
		return;
	}
	in->signing = (struct signing){
		.queue = in->queue, .session = in->session, .id = in->envelope.id, .text = buf_str(&in->body), .file = in->envelope.body_in_file ? in->body_file : -1,
		.size = in->envelope.body_size, .may_sign = may_sign, .done = looked, .owner = in,
	};
	sign_begin(&in->signing);
}

static bool on_commit(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_commit read;
	if (!msg_mail_commit_read(frame, &read) || frame->request != in->request)
		return false;
	buf_reserve(&in->body, read.front.length + read.content.length);
	if ((in->envelope.body_in_file ? read.front.length + read.content.length > 0
	                              : !take_content(in, read.front) || !take_content(in, read.content)))
		return false;
	enum verdict_kind kind = in->body_verdict;
	if (kind == VERDICT_OK && !in->envelope.body_in_file && read.size != in->body.length)
		return false;
	/* what is put before the message is not counted by SIZE */
	if (read.size > (uint64_t)in->queue->daemon.config.message_size_max + BODY_SLACK)
		kind = VERDICT_TOO_BIG;
	in->envelope.body_size = read.size;
	in->envelope.quarantine = read.quarantine;
	in->dmarc = arena_copy(in->arena, read.dmarc);
	if (kind == VERDICT_OK)
		commit(in);
	else
		refuse_commit(in, kind, (struct str){});
	return true;
}

static void log_queued(const struct intake *in, const struct mail *mail)
{
	char id[17];
	envelope_id_text(mail->id, id);
	log_event(LOG_INFO, in->session, "queued", LOG_TEXT("queue-id", str_of(id)),
	          LOG_TEXT("from", in->envelope.reverse_path),
	          LOG_NUMBER("size", mail->size), LOG_NUMBER("recipients", mail->count),
	          LOG_NUMBER("sequence", mail->sequence));
	for (size_t i = 0; i < in->promises.count; i++) {
		const struct promise *one = &in->promises.items[i];
		log_event(LOG_INFO, in->session, "recipient", LOG_TEXT("queue-id", str_of(id)), LOG_NUMBER("recipient", i),
		          LOG_TEXT("to", one->recipient.address), LOG_TEXT("asked", one->asked), LOG_NUMBER("account", one->recipient.account));
	}
}

/* Those who refused though others took it: their sender hears of it. */
static void give_up_refused(struct intake *in, struct mail *mail)
{
	for (size_t i = 0; i < in->promises.count; i++)
		if (in->promises.items[i].kind != VERDICT_OK && !delivery_is_final(&mail->deliveries[i]))
			deliver_give_up(&mail->deliveries[i], "5.2.2", "the mailbox is full", true);
}

/* Which aliases led to several (RFC 3461 §5.2.7.3). */
static void tell_of_expansion(struct intake *in, struct mail *mail)
{
	struct envelope_recipient *aliases = arena_alloc_array(in->arena, in->addressed.count, sizeof *aliases);
	size_t count = 0;
	for (size_t i = 0; i < in->addressed.count; i++)
		if (in->addressed.items[i].is_expanded)
			aliases[count++] = in->addressed.items[i].alias;
	if (count)
		bounce_expanded(mail, &in->envelope, aliases, count);
}

static void note_sent(struct intake *in)
{
	size_t remote = in->may_relay ? count_remote(in) : 0;
	if (remote)
		sending_count(in->queue, in->envelope.account, in->envelope.reverse_path, remote);
}

static void committed(struct commit *commit, bool durable)
{
	struct intake *in = commit->owner;
	in->envelope.body_in_file = false; /* the file is the mail's now, or removed */
	if (durable) {
		note_sent(in);
		tell_of_expansion(in, commit->mail);
		log_queued(in, commit->mail);
		if (!aggregate_count(in->queue, in->dmarc))
			log_event(LOG_ERROR, in->session, "no-dmarc-row");
		say_done(in, VERDICT_OK, refuse_each(in));
		give_up_refused(in, commit->mail);
	} else {
		log_event(LOG_ERROR, in->session, "not-queued", LOG_TEXT("why", str_of(fail_kind_name(commit->why))));
		say_done(in, kind_of_failure(commit->why), (struct str){});
	}
	if (in->gone)
		intake_free(in);
	else
		end_transaction(in);
}

/* ---- the peer ---- */

static const struct ipc_permit permits[] = {
	{ MSG_MAIL_BEGIN, IDLE | REFUSED, 0, on_begin },
	{ MSG_MAIL_RECIPIENT, REFUSED, 0, on_recipient_of_refused },
	{ MSG_MAIL_RECIPIENT, BEGUN | ADDRESSED, 0, on_recipient },
	{ MSG_MAIL_FROM_HEADER, BEGUN | ADDRESSED | IN_BODY | IN_FILE, 0, on_from_header },
	{ MSG_MAIL_BODY, ADDRESSED | IN_BODY, 0, on_body },
	{ MSG_MAIL_FILE, ADDRESSED | IN_FILE, 0, on_file },
	{ MSG_MAIL_COMMIT, ADDRESSED | IN_BODY | IN_FILE, 0, on_commit },
	{ MSG_MAIL_ABORT, IDLE | REFUSED | BEGUN | ADDRESSED | IN_BODY | IN_FILE, 0, on_abort },
};

static void intake_ended(struct ipc_peer *peer, const char *why)
{
	struct intake *in = peer->owner;
	if (why) {
		log_event(LOG_ERROR, in->session, "smtpd-channel-ended", LOG_TEXT("why", str_of(why)));
		daemon_report(&in->queue->daemon, ROLE_SMTPD, peer->id);
	}
	resolve_withdraw(&in->waiter);
	bool is_committing = peer->state == COMMITTING;
	ipc_peer_release(peer);
	in->gone = true;
	if (!is_committing)
		intake_free(in);
}

bool transaction_wire(struct queue *q, const struct msg_wire *wire, int descriptor)
{
	struct intake *in = mem_alloc(sizeof *in);
	in->queue = q;
	in->arena = arena_new(ENVELOPE_ARENA_MAX);
	in->body_file = -1;
	in->waiter.owner = in;
	in->next = q->intakes;
	if (in->next)
		in->next->previous = in;
	q->intakes = in;
	in->peer.role = ROLE_SMTPD;
	in->peer.kind = wire->kind;
	in->peer.id = wire->peer;
	in->peer.owner = in;
	in->peer.frames_per_round = 1; /* it waits for each answer */
	ipc_peer_start(&in->peer, q->loop, descriptor, permits, COUNT_OF(permits), intake_ended);
	return true;
}

/* RCPT: whom an address leads to, whether he takes it, and what his account is promised. */
#include "transaction.h"

#include "forward.h"
#include "greylist.h"
#include "sending.h"
#include "text.h"

enum { LINEAR_MAX = 8 };

/* ---- what is asked ---- */

static bool notify_is_good(uint32_t notify)
{
	return notify < 16 && (!(notify & ENVELOPE_NOTIFY_NEVER) || notify == ENVELOPE_NOTIFY_NEVER);
}

bool intake_keep_recipient(struct intake *in, const struct msg_mail_recipient *read)
{
	if (read->address.length == 0 || !intake_is_clean(read->address) || !intake_is_clean(read->original) ||
	    !notify_is_good(read->notify))
		return false;
	in->asked = (struct envelope_recipient){
		.address = arena_copy(in->arena, read->address), .orcpt = arena_copy(in->arena, read->original),
		.notify = (uint8_t)read->notify,
	};
	return true;
}

static void recipient_answered(struct waiter *waiter, const struct answer *answer);

/* A report that comes back to a sender whose mail we forwarded goes on to him, wherever he is. Nobody else can name
 * such an address. */
void intake_ask_for_recipient(struct intake *in)
{
	in->is_return = in->envelope.reverse_path.length == 0 && !in->is_lmtp &&
	                forward_return_path(in->queue, in->arena, in->asked.address, &in->asked.address);
	intake_enter(in, WAITING);
	in->waiter.answered = recipient_answered;
	resolve_address(in->queue, in->asked.address, &in->waiter);
}

/* ---- what is promised already ---- */

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

/* ---- whom it leads to ---- */

static struct str keep_detail(struct intake *in, struct str detail)
{
	detail = str_first(detail, LIMIT_LOCAL_PART_MAX);
	while (!text_is_utf8(detail))
		detail.length--;
	return arena_copy(in->arena, intake_is_clean(detail) ? detail : (struct str){});
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
	struct str domain = at < in->asked.address.length ? str_from_index(in->asked.address, at + 1)
	                                                  : str_of(in->queue->daemon.config.hostname);
	recipient->address = arena_copy(in->arena, address);
	recipient->detail = is_forwarded ? domain : (struct str){};
}

size_t intake_count_remote(const struct intake *in)
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
	return sending_check(in->queue, in->envelope.account, in->envelope.reverse_path, intake_count_remote(in) + 1);
}

static struct promise promise_for(struct intake *in, const struct target *target, bool is_several)
{
	struct promise fresh = { .recipient = in->asked, .asked = in->asked.address };
	fresh.recipient.account = target->account;
	fresh.account = target->account ? account_get(in->queue, target->account) : NULL;
	if (is_several)
		fresh.recipient.notify = notify_of_expanded(in->asked.notify);
	if (fresh.account)
		fresh.recipient.detail = keep_detail(in, target->detail);
	else
		make_remote(in, target->address, &fresh.recipient);
	bool is_itself = str_equal_nocase(target->address, fresh.recipient.address);
	fresh.leads_to = is_itself ? fresh.recipient.address : arena_copy(in->arena, target->address);
	return fresh;
}

/* Adds it if it is not there yet; its place. */
static size_t add_promise(struct intake *in, const struct promise *fresh, struct addressed *addressed)
{
	size_t place = find_promise(in, fresh);
	if (place < in->promises.count)
		return place;
	if (addressed->count++ == 0)
		addressed->first = (uint32_t)place;
	*array_add(&in->promises) = *fresh;
	note_seen(in, place);
	return place;
}

/* VERDICT_OK when any of them would take it. */
static enum verdict_kind add_targets(struct intake *in, struct str targets, struct addressed *addressed)
{
	enum verdict_kind kind = VERDICT_UNKNOWN_USER;
	bool is_several = has_several(targets);
	struct target target;
	addressed->is_expanded = is_several && in->asked.notify & ENVELOPE_NOTIFY_SUCCESS;
	addressed->alias = in->asked;
	for (size_t i = 0; target_next(&targets, &target); i++) {
		const struct promise fresh = promise_for(in, &target, is_several);
		enum verdict_kind one = fresh.account ? quota_check(fresh.account, in->declared) : VERDICT_OK;
		if (i == 0 || one == VERDICT_OK)
			kind = one;
		size_t place = add_promise(in, &fresh, addressed);
		if (i == 0)
			addressed->first = (uint32_t)place;
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
		intake_promise(&in->promises.items[i], in->declared);
	*array_add(&in->addressed) = addressed;
	return VERDICT_OK;
}

/* Only strangers' mail for recipients that exist: others hear what they always hear. */
static bool is_greylisted(const struct intake *in, const struct answer *answer)
{
	bool looked_at = in->queue->daemon.config.greylisting && in->peer.kind == KIND_WORLD && !in->is_lmtp &&
	                 !in->is_known_host && !in->is_return && answer->verdict == RESOLVE_OK;
	return looked_at && !greylist_lets_pass(in->queue, in->envelope.peer, in->envelope.reverse_path, in->asked.address);
}

static void recipient_answered(struct waiter *waiter, const struct answer *answer)
{
	struct intake *in = waiter->owner;
	enum verdict_kind kind = is_greylisted(in, answer) ? VERDICT_GREYLISTED : add_recipient(in, answer);
	intake_enter(in, in->addressed.count ? ADDRESSED : BEGUN);
	intake_say_recipient(in, kind);
}

bool intake_recipient_of_refused(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	if (frame->request != in->request)
		return false;
	intake_say_recipient(in, in->refusal);
	return true;
}

bool intake_recipient(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_recipient read;
	if (!msg_mail_recipient_read(frame, &read) || frame->request != in->request || !intake_keep_recipient(in, &read))
		return false;
	if (in->addressed.count < in->queue->daemon.config.recipients_max)
		intake_ask_for_recipient(in);
	else
		intake_say_recipient(in, VERDICT_TOO_MANY);
	return true;
}

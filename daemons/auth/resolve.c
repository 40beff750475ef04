/* What queue asks: where mail goes, who may send as whom. And what it is told: tokens, limits, changes. */
#include "auth.h"

#include "directory_alias.h"
#include "directory_domain.h"
#include "directory_resolve.h"
#include "directory_sender.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

enum { TARGETS_MAX = 100000 };

/* An account's limits as queue knows them; 0 is no limit. */
struct quota {
	uint64_t account;
	uint64_t bytes;
	uint64_t messages;
};

/* ---- limits -------------------------------------------------------------------------------- */

/* The account's own limit, else its domain's, else the configuration's. */
static uint64_t limit_of(int64_t own, int64_t with_domain, uint64_t standard)
{
	if (own == DIRECTORY_QUOTA_INHERIT && with_domain == 0)
		return standard;
	return (uint64_t)with_domain;
}

static bool limits_now(struct auth *auth, uint64_t account_id, struct quota *quota)
{
	const struct config *config = &auth->daemon.config;
	struct directory_account account;
	if (!directory_account_get_by_id(auth->directory, (int64_t)account_id, &account, NULL))
		return false;
	quota->bytes = limit_of(account.own_quota_bytes, account.quota_bytes, config->quota_default_bytes);
	quota->messages = limit_of(account.own_quota_messages, account.quota_messages, config->quota_default_messages);
	return true;
}

static void send_quota(struct auth *auth, const struct quota *quota)
{
	struct msg_quota message = {
		.account = quota->account, .limit_bytes = quota->bytes, .limit_messages = quota->messages,
	};
	msg_quota_send(&auth->queue.channel, 0, &message, -1);
}

void queue_tell_quota(struct auth *auth, uint64_t account)
{
	struct quota now = { .account = account };
	if (!auth->has_queue || map_get(auth->quotas_told, MAP_KEY(account)) || !limits_now(auth, account, &now))
		return;
	struct quota *told = mem_alloc(sizeof *told);
	*told = now;
	map_set(auth->quotas_told, MAP_KEY(told->account), told);
	send_quota(auth, told);
}

static void tell_changed_quotas(struct auth *auth)
{
	size_t position = 0;
	void *value;
	while (map_next(auth->quotas_told, &position, NULL, &value)) {
		struct quota *told = value, now = { .account = told->account };
		if (!limits_now(auth, told->account, &now) || (now.bytes == told->bytes && now.messages == told->messages))
			continue;
		*told = now;
		send_quota(auth, told);
	}
}

static void forget_quotas(struct auth *auth)
{
	size_t position = 0;
	void *value;
	while (map_next(auth->quotas_told, &position, NULL, &value))
		free(value);
	map_free(auth->quotas_told);
	auth->quotas_told = map_new();
}

/* ---- recipients ---------------------------------------------------------------------------- */

/* True for the postmaster of a domain of ours where nobody was named for it, and for <postmaster> alone. */
static bool is_postmaster_of_nobody(struct auth *auth, struct str address)
{
	struct directory_address parsed;
	struct directory_domain domain;
	struct directory_account account;
	CLEANUP(buf_release) struct buf targets = BUF_WITH_LIMIT(TARGETS_MAX);
	if (!directory_address_parse(address, &parsed, NULL) || !str_equal(str_of(parsed.local), STR("postmaster")))
		return false;
	if (!parsed.domain[0])
		return true;
	return directory_domain_get(auth->directory, str_of(parsed.domain), &domain, NULL) && !domain.postmaster[0] &&
	       !directory_account_get(auth->directory, address, &account, NULL) &&
	       !directory_alias_get(auth->directory, address, &targets, NULL);
}

/* RFC 5321 §4.5.1: the name in our greeting has a postmaster, too, where it is no mail domain itself: that of
 * <postmaster>. */
static struct str without_own_name(struct auth *auth, struct str address)
{
	struct directory_address parsed;
	struct directory_domain domain;
	bool own = directory_address_parse(address, &parsed, NULL) && str_equal(str_of(parsed.local), STR("postmaster")) &&
	           str_equal_nocase(str_of(parsed.domain), str_of(auth->daemon.config.hostname)) &&
	           !directory_domain_get(auth->directory, str_of(parsed.domain), &domain, NULL);
	return own ? STR("postmaster") : address;
}

/* The configured postmaster may be elsewhere: then it is the one target. */
static bool resolve(struct auth *auth, struct str asked, struct directory_resolution *r, struct fail **fail)
{
	struct str postmaster = str_of(auth->daemon.config.postmaster);
	struct str address = without_own_name(auth, asked);
	if (str_is_empty(postmaster) || !is_postmaster_of_nobody(auth, address))
		return directory_resolve(auth->directory, address, r, fail);
	if (!directory_resolve(auth->directory, postmaster, r, fail))
		return false;
	if (r->verdict == DIRECTORY_UNKNOWN_DOMAIN) {
		*array_add(&r->targets) = (struct directory_target){ .address = arena_copy(r->arena, postmaster) };
		r->verdict = DIRECTORY_DELIVER;
	}
	return true;
}

static void answer(struct ipc_peer *peer, uint64_t request, enum resolve_verdict verdict, struct str targets)
{
	struct msg_resolved resolved = { .verdict = (uint32_t)verdict, .targets = targets };
	msg_resolved_send(&peer->channel, request, &resolved, -1);
}

static void answer_targets(struct auth *auth, uint64_t request, const struct directory_resolution *r)
{
	CLEANUP(buf_release) struct buf targets = BUF_WITH_LIMIT(TARGETS_MAX);
	for (size_t i = 0; i < r->targets.count; i++) {
		const struct directory_target *found = &r->targets.items[i];
		struct target target = {
			.account = (uint64_t)found->account_id, .address = found->address, .detail = found->subaddress,
		};
		target_add(&targets, &target);
		if (target.account)
			queue_tell_quota(auth, target.account);
	}
	if (targets.overflowed) {
		log_event(LOG_ERROR, 0, "too-many-targets", LOG_TEXT("recipient", r->recipient));
		answer(&auth->queue, request, RESOLVE_TEMPORARY, STR(""));
		return;
	}
	answer(&auth->queue, request, RESOLVE_OK, buf_str(&targets));
}

static void answer_failure(struct auth *auth, uint64_t request, const struct fail *fail)
{
	bool nonsense = fail->kind == FAIL_INVALID || fail->kind == FAIL_TOO_BIG;
	if (!nonsense)
		log_event(LOG_ERROR, 0, "directory-failed", LOG_TEXT("why", str_of(fail_text(fail))));
	answer(&auth->queue, request, nonsense ? RESOLVE_UNKNOWN_USER : RESOLVE_TEMPORARY, STR(""));
}

static bool on_resolve(struct ipc_peer *peer, struct ipc_frame *frame)
{
	static const enum resolve_verdict verdicts[] = {
		[DIRECTORY_DELIVER] = RESOLVE_OK,
		[DIRECTORY_UNKNOWN_DOMAIN] = RESOLVE_NOT_OURS,
		[DIRECTORY_UNKNOWN_USER] = RESOLVE_UNKNOWN_USER,
		[DIRECTORY_DISABLED] = RESOLVE_DISABLED,
		[DIRECTORY_BROKEN] = RESOLVE_TEMPORARY,
	};
	struct auth *auth = peer->owner;
	struct msg_resolve wanted;
	if (!msg_resolve_read(frame, &wanted))
		return false;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(directory_resolution_release) struct directory_resolution r;
	directory_resolution_init(&r);
	if (!resolve(auth, wanted.address, &r, &fail))
		answer_failure(auth, frame->request, fail);
	else if (r.verdict == DIRECTORY_DELIVER)
		answer_targets(auth, frame->request, &r);
	else
		answer(peer, frame->request, verdicts[r.verdict], STR(""));
	return true;
}

/* RFC 6409 §6.1: may this account use that address? */
static bool on_may_send(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct auth *auth = peer->owner;
	struct msg_may_send wanted;
	bool allowed = false;
	if (!msg_may_send_read(frame, &wanted))
		return false;
	if (wanted.account > 0 && wanted.account <= INT64_MAX)
		directory_sender_allowed(auth->directory, (int64_t)wanted.account, wanted.address, &allowed, NULL);
	msg_may_send_answer_send(&peer->channel, frame->request, &(struct msg_may_send_answer){ .allowed = allowed }, -1);
	return true;
}

/* ---- tokens -------------------------------------------------------------------------------- */

void queue_token(const struct connection *c)
{
	struct auth *auth = c->porter->auth;
	struct msg_token message = { .token = c->token, .porter = c->porter->peer.id, .account = c->account,
		.address = str_of(c->address) };
	if (auth->has_queue)
		msg_token_send(&auth->queue.channel, c->id, &message, -1);
}

void queue_token_ended(struct auth *auth, const struct ipc_id *token)
{
	if (auth->has_queue)
		msg_token_ended_send(&auth->queue.channel, 0, &(struct msg_token_ended){ .token = *token }, -1);
}

static void send_token_again(struct connection *c, void *context)
{
	(void)context;
	if (c->has_token)
		queue_token(c);
}

/* One that an auth before this one gave. */
static bool on_token(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_token told;
	if (!msg_token_read(frame, &told) || told.account == 0)
		return false;
	return connection_was_logged_in(peer->owner, told.porter, frame->request, told.account, &told.token);
}

/* ---- the channel --------------------------------------------------------------------------- */

static const struct ipc_permit permits[] = {
	{ MSG_RESOLVE, (unsigned)IPC_ANY_STATE, 0, on_resolve },
	{ MSG_MAY_SEND, (unsigned)IPC_ANY_STATE, 0, on_may_send },
	{ MSG_TOKEN, (unsigned)IPC_ANY_STATE, 0, on_token },
};

static void queue_ended(struct ipc_peer *peer, const char *why)
{
	struct auth *auth = peer->owner;
	if (why) {
		log_event(LOG_ERROR, 0, "queue-channel-ended", LOG_TEXT("why", str_of(why)));
		daemon_report(&auth->daemon, ROLE_QUEUE, 0);
	}
	auth->has_queue = false;
	ipc_peer_release(peer);
	forget_quotas(auth);
}

void queue_wire(struct auth *auth, int descriptor)
{
	if (auth->has_queue)
		queue_ended(&auth->queue, NULL);
	auth->queue.role = ROLE_QUEUE;
	auth->queue.owner = auth;
	ipc_peer_start(&auth->queue, auth->daemon.loop, descriptor, permits, COUNT_OF(permits), queue_ended);
	auth->has_queue = true;
	connection_each(auth, send_token_again, NULL);
}

void queue_directory_changed(struct auth *auth)
{
	struct msg_directory_changed changed = { .generation = directory_generation(auth->directory) };
	if (!auth->has_queue)
		return;
	msg_directory_changed_send(&auth->queue.channel, 0, &changed, -1);
	tell_changed_quotas(auth);
}

#include "resolve.h"
#include "queue.h"
#include "transaction.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

enum { PATIENCE_MS = 30000, TOKEN_GRACE_MS = 600000, KEY_MAX = sizeof(uint64_t) + LIMIT_ADDRESS_MAX };

struct known {
	uint32_t verdict;
	uint32_t length;
	char targets[];
};

/* account 0 asks RESOLVE, others MAY_SEND. */
struct question {
	struct question *next;
	uint64_t number;
	uint64_t account;
	struct waiter *waiters;
	int64_t until_ms;
	size_t address_length;
	char address[];
};

struct lookup_key {
	char bytes[KEY_MAX];
	size_t length;
};

static struct lookup_key key_of(uint64_t account, struct str address)
{
	struct lookup_key key = { .length = sizeof account + address.length };
	must(key.length <= KEY_MAX);
	memcpy(key.bytes, &account, sizeof account);
	if (address.length)
		memcpy(key.bytes + sizeof account, address.data, address.length);
	return key;
}

/* ---- what is remembered ---- */

static void forget(struct map **map)
{
	size_t position = 0;
	struct str key;
	void *value;
	while (map_next(*map, &position, &key, &value))
		free(value);
	map_free(*map);
	*map = map_new();
}

static void remember(struct lookups *l, struct str key, struct known *known)
{
	size_t octets = key.length + sizeof *known + known->length;
	if (map_count(l->young) >= LIMIT_QUEUE_LOOKUPS_MAX || l->octets + octets > LIMIT_QUEUE_LOOKUP_OCTETS_MAX) {
		struct map *oldest = l->old;
		l->old = l->young;
		l->young = oldest;
		forget(&l->young);
		l->octets = 0;
	}
	l->octets += octets;
	free(map_set(l->young, key, known));
}

static struct known *recall(struct lookups *l, struct str key)
{
	struct known *known = map_get(l->young, key);
	if (known)
		return known;
	known = map_remove(l->old, key);
	if (known)
		remember(l, key, known);
	return known;
}

static void remember_answer(struct lookups *l, const struct question *question, const struct answer *answer)
{
	struct lookup_key key = key_of(question->account, str_from(question->address, question->address_length));
	struct known *known = mem_alloc(sizeof *known + answer->targets.length);
	known->verdict = answer->verdict;
	known->length = (uint32_t)answer->targets.length;
	if (known->length)
		memcpy(known->targets, answer->targets.data, known->length);
	remember(l, str_from(key.bytes, key.length), known);
}

/* ---- questions ---- */

static void send_question(struct lookups *l, const struct question *question)
{
	struct str address = str_from(question->address, question->address_length);
	if (!l->has_auth)
		return; /* the next one gets it */
	if (question->account)
		msg_may_send_send(&l->auth.channel, question->number, &(struct msg_may_send){ question->account, address }, -1);
	else
		msg_resolve_send(&l->auth.channel, question->number, &(struct msg_resolve){ address }, -1);
}

static struct question *find_or_ask(struct queue *q, uint64_t account, struct str address)
{
	struct lookups *l = &q->lookups;
	for (struct question *question = l->questions; question; question = question->next)
		if (question->account == account && str_equal(str_from(question->address, question->address_length), address))
			return question;
	struct question *question = mem_alloc(sizeof *question + address.length);
	question->number = ++l->next_number;
	question->account = account;
	question->until_ms = clock_monotonic_ms() + PATIENCE_MS;
	question->address_length = address.length;
	if (address.length)
		memcpy(question->address, address.data, address.length);
	question->next = l->questions;
	l->questions = question;
	send_question(l, question);
	return question;
}

static void ask(struct queue *q, uint64_t account, struct str address, struct waiter *waiter)
{
	struct lookup_key key = key_of(account, address);
	const struct known *known = recall(&q->lookups, str_from(key.bytes, key.length));
	must(!waiter->question);
	if (known) {
		waiter->answered(waiter, &(struct answer){ known->verdict, str_from(known->targets, known->length) });
		return;
	}
	waiter->question = find_or_ask(q, account, address);
	waiter->next = waiter->question->waiters;
	waiter->question->waiters = waiter;
}

void resolve_address(struct queue *q, struct str address, struct waiter *waiter)
{
	ask(q, 0, address, waiter);
}

void resolve_may_send(struct queue *q, uint64_t account, struct str address, struct waiter *waiter)
{
	must(account != 0);
	ask(q, account, address, waiter);
}

void resolve_withdraw(struct waiter *waiter)
{
	if (!waiter->question)
		return;
	struct waiter **at = &waiter->question->waiters;
	while (*at != waiter)
		at = &(*at)->next;
	*at = waiter->next;
	waiter->question = NULL;
}

/* Each waiter may ask again, or withdraw others. */
static void answer_question(struct lookups *l, struct question *question, const struct answer *answer)
{
	struct question **at = &l->questions;
	while (*at != question)
		at = &(*at)->next;
	*at = question->next;
	for (struct waiter *waiter; (waiter = question->waiters) != NULL;) {
		question->waiters = waiter->next;
		waiter->question = NULL;
		waiter->answered(waiter, answer);
	}
	free(question);
}

/* ---- from auth ---- */

static struct question *find(struct lookups *l, uint64_t number)
{
	for (struct question *question = l->questions; question; question = question->next)
		if (question->number == number)
			return question;
	return NULL;
}

static bool targets_are_good(struct str targets)
{
	struct target target;
	size_t count = 0;
	while (target_next(&targets, &target))
		if (target.address.length == 0 || target.address.length > LIMIT_ADDRESS_MAX ||
		    ++count > LIMIT_ALIAS_TARGETS_MAX)
			return false;
	return targets.length == 0;
}

static bool on_resolved(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue *q = peer->owner;
	struct question *question = find(&q->lookups, frame->request);
	struct msg_resolved resolved;
	if (!msg_resolved_read(frame, &resolved) || resolved.verdict > RESOLVE_TEMPORARY ||
	    !targets_are_good(resolved.targets))
		return false;
	if (!question)
		return true; /* it came too late */
	if (question->account)
		return false;
	struct answer answer = { resolved.verdict, resolved.targets };
	if (answer.verdict != RESOLVE_TEMPORARY)
		remember_answer(&q->lookups, question, &answer);
	answer_question(&q->lookups, question, &answer);
	return true;
}

static bool on_may_send_answer(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue *q = peer->owner;
	struct question *question = find(&q->lookups, frame->request);
	struct msg_may_send_answer read;
	if (!msg_may_send_answer_read(frame, &read) || read.allowed > 1)
		return false;
	if (!question)
		return true;
	if (!question->account)
		return false;
	struct answer answer = { .verdict = read.allowed };
	remember_answer(&q->lookups, question, &answer);
	answer_question(&q->lookups, question, &answer);
	return true;
}

static bool on_directory_changed(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue *q = peer->owner;
	struct msg_directory_changed changed;
	if (!msg_directory_changed_read(frame, &changed))
		return false;
	forget(&q->lookups.young);
	forget(&q->lookups.old);
	q->lookups.octets = 0;
	return true;
}

static bool on_token(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue *q = peer->owner;
	struct lookups *l = &q->lookups;
	struct msg_token told;
	if (!msg_token_read(frame, &told))
		return false;
	if (map_count(l->tokens) >= LIMIT_QUEUE_TOKENS_MAX) {
		log_event(LOG_WARNING, 0, "too-many-tokens");
		return true; /* who has it hears a temporary failure */
	}
	struct token *token = mem_alloc(sizeof *token);
	token->account = told.account;
	token->porter = told.porter;
	token->connection = frame->request;
	token->generation = l->auth_generation;
	if (told.address.length)
		memcpy(token->address, told.address.data, told.address.length);
	free(map_set(l->tokens, MAP_KEY(told.token), token));
	transaction_token_known(q);
	return true;
}

static bool on_token_ended(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue *q = peer->owner;
	struct msg_token_ended ended;
	if (!msg_token_ended_read(frame, &ended))
		return false;
	free(map_remove(q->lookups.tokens, MAP_KEY(ended.token)));
	return true;
}

static bool on_quota(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_quota quota;
	if (!msg_quota_read(frame, &quota) || quota.account == 0)
		return false;
	quota_limit(peer->owner, &quota);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_RESOLVED, (unsigned)IPC_ANY_STATE, 0, on_resolved },
	{ MSG_MAY_SEND_ANSWER, (unsigned)IPC_ANY_STATE, 0, on_may_send_answer },
	{ MSG_DIRECTORY_CHANGED, (unsigned)IPC_ANY_STATE, 0, on_directory_changed },
	{ MSG_TOKEN, (unsigned)IPC_ANY_STATE, 0, on_token },
	{ MSG_TOKEN_ENDED, (unsigned)IPC_ANY_STATE, 0, on_token_ended },
	{ MSG_QUOTA, (unsigned)IPC_ANY_STATE, 0, on_quota },
};

static void auth_ended(struct ipc_peer *peer, const char *why)
{
	struct queue *q = peer->owner;
	log_event(LOG_WARNING, 0, "auth-channel-ended", LOG_TEXT("why", str_of(why ? why : "closed")));
	if (why)
		daemon_report(&q->daemon, ROLE_AUTH, 0);
	q->lookups.has_auth = false;
	ipc_peer_release(peer);
}

/* A new auth knows of nobody who submits. Without an account there is nothing that it could take back. */
static void tell_tokens(struct lookups *l)
{
	size_t position = 0;
	struct str key;
	void *value;
	while (map_next(l->tokens, &position, &key, &value)) {
		const struct token *token = value;
		struct msg_token told = { .porter = token->porter, .account = token->account,
			.address = str_of(token->address) };
		if (token->account == 0)
			continue;
		memcpy(told.token.bytes, key.data, sizeof told.token.bytes);
		msg_token_send(&l->auth.channel, token->connection, &told, -1);
	}
}

bool resolve_wire(struct queue *q, int descriptor)
{
	struct lookups *l = &q->lookups;
	if (l->has_auth)
		ipc_peer_release(&l->auth);
	l->auth = (struct ipc_peer){ .role = ROLE_AUTH, .owner = q };
	ipc_peer_start(&l->auth, q->loop, descriptor, permits, COUNT_OF(permits), auth_ended);
	l->has_auth = true;
	l->auth_generation++;
	l->auth_since_ms = clock_monotonic_ms();
	tell_tokens(l);
	/* What changed while there was no channel was told to nobody. */
	forget(&l->young);
	forget(&l->old);
	l->octets = 0;
	for (struct question *question = l->questions; question; question = question->next)
		send_question(l, question);
	return true;
}

const struct token *resolve_token(struct queue *q, const struct ipc_id *id)
{
	return map_get(q->lookups.tokens, str_from((const char *)id->bytes, sizeof id->bytes));
}

void resolve_init(struct queue *q)
{
	q->lookups.young = map_new();
	q->lookups.old = map_new();
	q->lookups.tokens = map_new();
}

/* Nobody would tell the end of a log-in that an auth of before attested, and the present one does not: its connection
 * is gone. */
static void drop_old_tokens(struct lookups *l)
{
	size_t position = 0;
	struct str key;
	void *value;
	while (map_next(l->tokens, &position, &key, &value)) {
		struct token *token = value;
		if (token->generation == l->auth_generation)
			continue;
		map_remove(l->tokens, key);
		free(token);
	}
}

void resolve_tick(struct queue *q)
{
	struct lookups *l = &q->lookups;
	int64_t now = loop_now_ms(q->loop);
	if (l->auth_since_ms && now - l->auth_since_ms > TOKEN_GRACE_MS) {
		drop_old_tokens(l);
		l->auth_since_ms = 0;
	}
	for (struct question *question = l->questions, *next; question; question = next) {
		next = question->next;
		if (question->until_ms > now)
			continue;
		uint32_t verdict = question->account ? UINT32_MAX : RESOLVE_TEMPORARY;
		answer_question(l, question, &(struct answer){ .verdict = verdict });
		next = l->questions; /* waiters may have asked again, which puts new ones in front */
	}
}

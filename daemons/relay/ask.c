#include "ask.h"

#include "clock.h"
#include "hash.h"
#include "log.h"

enum { ARENA_MAX = 16 << 20 };

static void list_add(struct ask_list *list, struct ask *ask)
{
	ask->next = NULL;
	ask->previous = list->last;
	ask->waits = true;
	*(list->last ? &list->last->next : &list->first) = ask;
	list->last = ask;
}

static void list_remove(struct ask_list *list, struct ask *ask)
{
	*(ask->previous ? &ask->previous->next : &list->first) = ask->next;
	*(ask->next ? &ask->next->previous : &list->last) = ask->previous;
	ask->waits = false;
}

void asker_init(struct asker *asker, struct loop *loop, void (*offended)(void *owner), void *owner)
{
	*asker = (struct asker){
		.loop = loop, .offended = offended, .owner = owner, .by_request = map_new(), .arena = arena_new(ARENA_MAX),
		.known = dns_cache_new(KEPT_ANSWERS_MAX, KEPT_OCTETS_MAX),
	};
}

/* ---- the resolver ---- */

static void send_waiting(struct asker *asker)
{
	while (asker->there && asker->waiting.first && map_count(asker->by_request) < ASK_UNDER_WAY_MAX) {
		struct ask *ask = asker->waiting.first;
		list_remove(&asker->waiting, ask);
		ask->request = ++asker->requests;
		map_set(asker->by_request, MAP_KEY(ask->request), ask);
		msg_dns_ask_send(&asker->peer.channel, ask->request,
		                 &(struct msg_dns_ask){ .name = str_of(ask->name), .type = (uint32_t)ask->type }, -1);
	}
}

void ask_stop(struct ask *ask)
{
	struct asker *asker = ask->asker;
	if (!asker)
		return;
	loop_stop_timer(asker->loop, &ask->patience);
	if (ask->request)
		map_remove(asker->by_request, MAP_KEY(ask->request));
	else if (ask->waits)
		list_remove(&asker->waiting, ask);
	ask->asker = NULL;
	send_waiting(asker);
}

static void tell(struct ask *ask, const struct dns_answer *answer)
{
	ask_stop(ask);
	ask->answered(ask, answer);
}

static void give_up(void *owner)
{
	tell(owner, &(struct dns_answer){ .status = DNS_FAILED });
}

static void no_name(void *owner)
{
	tell(owner, &(struct dns_answer){ .status = DNS_NO_NAME });
}

/* False when it is malformed. */
static bool tell_packed(struct asker *asker, struct ask *ask, struct str packed)
{
	struct dns_answer answer;
	if (!dns_answer_unpack(asker->arena, packed, &answer))
		return false;
	asker->in_answer = true;
	tell(ask, &answer);
	asker->in_answer = false;
	arena_reset(asker->arena);
	return true;
}

static bool on_answer(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct asker *asker = peer->owner;
	struct msg_dns_answer read;
	if (!msg_dns_answer_read(frame, &read))
		return false;
	struct ask *ask = map_get(asker->by_request, MAP_KEY(frame->request));
	if (!ask) /* nobody waits for it any more */
		return true;
	dns_cache_keep(asker->known, str_of(ask->name), ask->type, read.packed, KEPT_SECONDS_MAX, clock_monotonic_ms());
	return tell_packed(asker, ask, read.packed);
}

static const struct ipc_permit permits[] = {
	{ MSG_DNS_ANSWER, (unsigned)IPC_ANY_STATE, 0, on_answer },
};

/* Back to those that wait, for the next resolver. */
static void lose(struct asker *asker)
{
	size_t position = 0;
	struct str key;
	void *value;
	ipc_peer_release(&asker->peer);
	asker->there = false;
	while (map_next(asker->by_request, &position, &key, &value)) {
		struct ask *ask = value;
		ask->request = 0;
		list_add(&asker->waiting, ask);
	}
	map_free(asker->by_request);
	asker->by_request = map_new();
}

static void on_ended(struct ipc_peer *peer, const char *why)
{
	struct asker *asker = peer->owner;
	lose(asker);
	if (!why)
		return;
	log_event(LOG_ERROR, 0, "resolver-ended", LOG_TEXT("why", str_of(why)));
	asker->offended(asker->owner);
}

void asker_wire(struct asker *asker, int descriptor)
{
	if (asker->there)
		lose(asker);
	asker->peer = (struct ipc_peer){ .role = ROLE_RESOLVER, .owner = asker };
	ipc_peer_start(&asker->peer, asker->loop, descriptor, permits, COUNT_OF(permits), on_ended);
	asker->there = true;
	send_waiting(asker);
}

/* ---- questions ---- */

static void ask_resolver(struct ask *ask)
{
	struct asker *asker = ask->asker;
	loop_start_timer(asker->loop, &ask->patience, ASK_PATIENCE_MS, give_up, ask);
	list_add(&asker->waiting, ask);
	send_waiting(asker);
}

/* At the end of the round in which it was asked, so that no answer is looked at meanwhile. */
static void answer_or_ask(void *owner)
{
	struct ask *ask = owner;
	struct asker *asker = ask->asker;
	struct str known = dns_cache_find(asker->known, str_of(ask->name), ask->type, clock_monotonic_ms());
	if (!known.length || !tell_packed(asker, ask, known))
		ask_resolver(ask);
}

void ask_start(struct asker *asker, struct ask *ask, struct str name, enum dns_type type,
               void (*answered)(struct ask *ask, const struct dns_answer *answer), void *owner)
{
	struct str normal;
	ask_stop(ask);
	*ask = (struct ask){ .asker = asker, .type = type, .answered = answered, .owner = owner };
	bool is_name = dns_name_normalise(asker->arena, name, &normal) && dns_name_is_valid(normal);
	if (is_name)
		str_copy_to_array(normal, ask->name, sizeof ask->name);
	if (!asker->in_answer)
		arena_reset(asker->arena);
	loop_start_timer(asker->loop, &ask->patience, 0, is_name ? answer_or_ask : no_name, ask);
}

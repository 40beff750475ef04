/* posthorn-resolver: see resolver.h and docs/processes.md. */
#include "resolver.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <unistd.h>

enum { ANSWER_ARENA_MAX = 8 << 20 };

static struct ub_ctx *loaded;

/* Without the root's keys nothing is validated, and nothing is said to be secure: mail flows all the same. */
static const char *anchor_of(const struct config *config)
{
	const char *path = config->dns_trust_anchor;
	if (path[0] && access(path, R_OK) == 0)
		return path;
	if (path[0])
		log_event(LOG_WARNING, 0, "no-trust-anchor", LOG_TEXT("file", str_of(path)),
		          LOG_TEXT("why", STR("cannot be read: nothing is validated by DNSSEC")));
	return NULL;
}

static void preload(const struct config *config)
{
	struct fail *fail = NULL;
	loaded = dns_unbound_new(&(struct dns_unbound_options){ .forward = config->dns_forward.items,
		.forward_count = config->dns_forward.count, .trust_anchor = anchor_of(config) }, &fail);
	if (!loaded)
		daemon_die("cannot-start", fail);
}

/* ---- questions ---- */

static void question_free(struct question *question)
{
	struct asker *asker = question->asker;
	loop_stop_timer(asker->resolver->daemon.loop, &question->patience);
	*(question->previous ? &question->previous->next : &asker->questions) = question->next;
	if (question->next)
		question->next->previous = question->previous;
	asker->count--;
	free(question);
}

static void send_packed(struct asker *asker, uint64_t request, struct str packed)
{
	msg_dns_answer_send(&asker->peer.channel, request, &(struct msg_dns_answer){ .packed = packed }, -1);
}

static void send_failure(struct asker *asker, uint64_t request)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(100);
	dns_answer_pack(&(struct dns_answer){ .status = DNS_FAILED }, &packed);
	send_packed(asker, request, buf_str(&packed));
}

/* Called by ub_process, in the loop's thread. */
static void on_result(void *context, int status, struct ub_result *result)
{
	struct question *question = context;
	struct resolver *r = question->asker->resolver;
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(DNS_UNBOUND_ANSWER_MAX);
	struct dns_answer answer;
	dns_unbound_answer(r->arena, status == 0 ? result : NULL, &answer);
	dns_answer_pack(&answer, &packed);
	send_packed(question->asker, question->request, buf_str(&packed));
	dns_cache_keep(r->cache, str_of(result->qname), (enum dns_type)result->qtype, buf_str(&packed), UINT32_MAX,
	               clock_monotonic_ms());
	question_free(question);
	ub_resolve_free(result);
	arena_reset(r->arena);
}

static void give_up(void *owner)
{
	struct question *question = owner;
	ub_cancel(question->asker->resolver->unbound, question->number);
	send_failure(question->asker, question->request);
	question_free(question);
}

static struct question *question_new(struct asker *asker, uint64_t request)
{
	struct question *question = mem_alloc(sizeof *question);
	question->asker = asker;
	question->request = request;
	question->next = asker->questions;
	if (asker->questions)
		asker->questions->previous = question;
	asker->questions = question;
	asker->count++;
	loop_start_timer(asker->resolver->daemon.loop, &question->patience, PATIENCE_MS, give_up, question);
	return question;
}

static bool is_type(uint32_t type)
{
	return dns_type_name((enum dns_type)type) != NULL;
}

static bool on_ask(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct asker *asker = peer->owner;
	struct msg_dns_ask ask;
	char name[256];
	if (!msg_dns_ask_read(frame, &ask) || !is_type(ask.type) || !dns_name_is_valid(ask.name) ||
	    asker->count >= QUESTIONS_MAX)
		return false;
	struct str known = dns_cache_find(asker->resolver->cache, ask.name, (enum dns_type)ask.type, clock_monotonic_ms());
	if (known.length) {
		send_packed(asker, frame->request, known);
		return true;
	}
	memcpy(name, ask.name.data, ask.name.length);
	name[ask.name.length] = '\0';
	struct question *question = question_new(asker, frame->request);
	if (ub_resolve_async(asker->resolver->unbound, name, (int)ask.type, 1, question, on_result, &question->number) == 0)
		return true;
	send_failure(asker, frame->request);
	question_free(question);
	return true;
}

/* ---- peers ---- */

static const struct ipc_permit asker_permits[] = {
	{ MSG_DNS_ASK, (unsigned)IPC_ANY_STATE, 0, on_ask },
};

static void asker_ended(struct ipc_peer *peer, const char *why)
{
	struct asker *asker = peer->owner;
	if (why) {
		log_event(LOG_ERROR, 0, "asker-ended", LOG_TEXT("role", str_of(ipc_role_name(peer->role))),
		          LOG_TEXT("why", str_of(why)));
		daemon_report(&asker->resolver->daemon, peer->role, peer->id);
	}
	while (asker->questions) {
		ub_cancel(asker->resolver->unbound, asker->questions->number);
		question_free(asker->questions);
	}
	ipc_peer_release(peer);
	free(asker);
}

static bool on_wire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct resolver *r = peer->owner;
	struct msg_wire wire;
	if (!msg_wire_read(frame, &wire) || frame->descriptor_count != 1)
		return false;
	struct asker *asker = mem_alloc(sizeof *asker);
	asker->resolver = r;
	asker->peer = (struct ipc_peer){ .role = (enum ipc_role)wire.role, .id = wire.peer, .owner = asker };
	ipc_peer_start(&asker->peer, r->daemon.loop, ipc_take_descriptor(frame), asker_permits, COUNT_OF(asker_permits),
	               asker_ended);
	return true;
}

/* What it is configured with it read before the sandbox: a new process is needed. */
static bool on_drain(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)peer;
	(void)frame;
	_exit(0);
}

static bool on_reconfigure(struct ipc_peer *peer, struct ipc_frame *frame)
{
	return daemon_reconfigure(daemon_of(peer), frame);
}

static const struct ipc_permit permits[] = {
	{ MSG_WIRE, (unsigned)IPC_ANY_STATE, 0, on_wire },
	{ MSG_RECONFIGURE, (unsigned)IPC_ANY_STATE, 0, on_reconfigure },
	{ MSG_DRAIN, (unsigned)IPC_ANY_STATE, 0, on_drain },
};

static const struct daemon_spec spec = {
	.program = "resolver", .role = ROLE_RESOLVER, .preload = preload, .permits = permits,
	.permit_count = COUNT_OF(permits),
};

static void on_answers(void *owner, uint32_t events)
{
	struct resolver *r = owner;
	(void)events;
	ub_process(r->unbound);
}

int main(void)
{
	static struct resolver resolver;
	daemon_begin(&resolver.daemon, &spec, &resolver);
	resolver.unbound = loaded;
	resolver.arena = arena_new(ANSWER_ARENA_MAX);
	resolver.cache = dns_cache_new(CACHE_ANSWERS_MAX, CACHE_OCTETS_MAX);
	loop_watch(resolver.daemon.loop, &resolver.watch, ub_fd(loaded), EPOLLIN, on_answers, &resolver);
	daemon_ready(&resolver.daemon);
	loop_run(resolver.daemon.loop);
	return 0;
}

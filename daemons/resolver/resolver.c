/* posthorn-resolver: see resolver.h and docs/processes.md. */
#include "resolver.h"

#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <unistd.h>

enum { ANSWER_ARENA_MAX = 8 << 20 };

static struct ub_ctx *loaded;

static void preload(const struct config *config)
{
	struct fail *fail = NULL;
	loaded = resolver_unbound_new(config, &fail);
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

static void send_answer(struct question *question, const struct dns_answer *answer)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(ANSWER_MAX);
	dns_answer_pack(answer, &packed);
	msg_dns_answer_send(&question->asker->peer.channel, question->request, &(struct msg_dns_answer){ .packed = buf_str(&packed) }, -1);
}

/* Called by ub_process, in the loop's thread. */
static void on_result(void *context, int status, struct ub_result *result)
{
	struct question *question = context;
	struct resolver *r = question->asker->resolver;
	struct dns_answer answer;
	resolver_answer(r->arena, status == 0 ? result : NULL, &answer);
	send_answer(question, &answer);
	question_free(question);
	ub_resolve_free(result);
	arena_reset(r->arena);
}

static void give_up(void *owner)
{
	struct question *question = owner;
	ub_cancel(question->asker->resolver->unbound, question->number);
	send_answer(question, &(struct dns_answer){ .status = DNS_FAILED });
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
	if (!msg_dns_ask_read(frame, &ask) || !is_type(ask.type) || !dns_name_is_valid(ask.name) || asker->count >= QUESTIONS_MAX)
		return false;
	memcpy(name, ask.name.data, ask.name.length);
	name[ask.name.length] = '\0';
	struct question *question = question_new(asker, frame->request);
	if (ub_resolve_async(asker->resolver->unbound, name, (int)ask.type, 1, question, on_result, &question->number) == 0)
		return true;
	send_answer(question, &(struct dns_answer){ .status = DNS_FAILED });
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
		log_event(LOG_ERROR, 0, "asker-ended", LOG_TEXT("role", str_of(ipc_role_name(peer->role))), LOG_TEXT("why", str_of(why)));
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
	ipc_peer_start(&asker->peer, r->daemon.loop, ipc_take_descriptor(frame), asker_permits, COUNT_OF(asker_permits), asker_ended);
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
	.program = "resolver", .role = ROLE_RESOLVER, .preload = preload, .permits = permits, .permit_count = COUNT_OF(permits),
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
	loop_watch(resolver.daemon.loop, &resolver.watch, ub_fd(loaded), EPOLLIN, on_answers, &resolver);
	daemon_ready(&resolver.daemon);
	loop_run(resolver.daemon.loop);
	return 0;
}

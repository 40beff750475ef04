/* The channel to queue: jobs come, results go; see relay.h's invariant 1. */
#include "relay.h"
#include "sts.h"

#include "mem.h"

#include <stdlib.h>
#include <unistd.h>

/* Numbers that relay chose for jobs of an earlier queue; queue's own have this bit clear. */
#define OWN_NUMBER (1ULL << 63)

static bool on_job(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue_link *link = peer->owner;
	struct msg_relay_job ask;
	if (!msg_relay_job_read(frame, &ask) || frame->request & OWN_NUMBER)
		return false;
	if (frame->descriptor_count ? ask.content.length > 0 : ask.content.length != ask.size || ask.offset > 0)
		return false;
	return job_begin(link->relay, frame->request, &ask, ipc_take_descriptor(frame));
}

static bool on_noted(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue_link *link = peer->owner;
	struct msg_relay_noted noted;
	uint64_t number;
	if (!msg_relay_noted_read(frame, &noted))
		return false;
	while (relay_number_next(&noted.jobs, &number)) {
		struct job *job = job_find(link->relay, number);
		if (!job || !job->done)
			return false;
		job_free(job);
	}
	relay_end_if_drained(link->relay);
	return noted.jobs.length == 0;
}

static bool on_sts_policy(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue_link *link = peer->owner;
	struct msg_sts_policy message;
	return msg_sts_policy_read(frame, &message) && sts_remember(link->relay, &message);
}

static bool on_post(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue_link *link = peer->owner;
	struct msg_https_post message;
	if (!msg_https_post_read(frame, &message) || frame->descriptor_count != 1)
		return false;
	relay_post(link->relay, frame->request, &message, ipc_take_descriptor(frame));
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_HTTPS_POST, (unsigned)IPC_ANY_STATE, 0, on_post },
	{ MSG_STS_POLICY, (unsigned)IPC_ANY_STATE, 0, on_sts_policy },
	{ MSG_RELAY_JOB, (unsigned)IPC_ANY_STATE, 0, on_job },
	{ MSG_RELAY_NOTED, (unsigned)IPC_ANY_STATE, 0, on_noted },
};

static void lose(struct queue_link *link)
{
	if (link->relay->queue == link)
		link->relay->queue = NULL;
	ipc_peer_release(&link->peer);
	free(link);
}

static void on_ended(struct ipc_peer *peer, const char *why)
{
	struct queue_link *link = peer->owner;
	struct relay *r = link->relay;
	lose(link);
	if (!why)
		return;
	log_event(LOG_ERROR, 0, "queue-ended", LOG_TEXT("why", str_of(why)));
	relay_retire(r);
}

static void say_held(struct queue_link *link, struct job *job)
{
	CLEANUP(buf_release) struct buf places = BUF_WITH_LIMIT(4 * LIMIT_RELAY_RECIPIENTS_MAX);
	for (size_t i = 0; i < job->count; i++)
		relay_place_add(&places, job->recipients[i].as_given.place);
	msg_relay_held_send(&link->peer.channel, job->number,
		&(struct msg_relay_held){ .mail = job->ask.mail, .recipients = buf_str(&places) }, -1);
}

static void say_up(struct queue_link *link)
{
	uint32_t jobs_max = link->relay->draining ? 0 : (uint32_t)relay_jobs_max(link->relay);
	msg_relay_up_send(&link->peer.channel, 0, &(struct msg_relay_up){ .jobs_max = jobs_max }, -1);
}

/* The number that the earlier queue gave may be another job's now. */
static void tell_all(struct queue_link *link)
{
	struct relay *r = link->relay;
	for (struct job *job = r->jobs; job; job = job->next) {
		job_renumber(job, OWN_NUMBER | ++r->held_numbers);
		say_held(link, job);
	}
	say_up(link);
	for (struct job *job = r->jobs; job; job = job->next) {
		job_tell(job);
	}
}

void queue_link_wire(struct relay *r, int descriptor)
{
	struct queue_link *link = mem_alloc(sizeof *link);
	if (r->queue)
		lose(r->queue);
	link->relay = r;
	link->peer = (struct ipc_peer){ .role = ROLE_QUEUE, .owner = link };
	r->queue = link;
	ipc_peer_start(&link->peer, r->daemon.loop, descriptor, permits, COUNT_OF(permits), on_ended);
	tell_all(link);
}

void queue_link_result(struct relay *r, const struct job *job, const struct result *result, bool is_last)
{
	if (!r->queue)
		return;
	const struct msg_relay_result message = {
		.mail = job->ask.mail, .outcome = (uint32_t)result->outcome, .reach = (uint32_t)(is_last ? job->reach : RELAY_REACH_COUNT),
		.recipients = buf_str(&result->places), .code = result->code,
		.status = result->status, .reply = result->reply, .host = result->host, .address = result->address,
		.tls = result->tls,
	};
	msg_relay_result_send(&r->queue->peer.channel, job->number, &message, -1);
}

void queue_link_done(struct relay *r, const struct job *job)
{
	if (r->queue)
		msg_relay_done_send(&r->queue->peer.channel, job->number,
			&(struct msg_relay_done){ .reach = (uint32_t)job->reach }, -1);
}

void queue_link_say_no_more(struct relay *r)
{
	if (r->queue)
		say_up(r->queue);
}

#include "transaction.h"

#include "file.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

bool intake_is_clean(struct str s)
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

void intake_enter(struct intake *in, unsigned state)
{
	size_t *coming = &in->queue->commits_coming;
	*coming -= commits_soon(in->peer.state);
	in->peer.state = state;
	*coming += commits_soon(state);
}

/* ---- promises ---- */

void intake_unpromise(struct promise *promise)
{
	if (!promise->account)
		return;
	promise->account->coming_bytes -= promise->octets;
	promise->account->coming_messages--;
}

void intake_promise(struct promise *promise, uint64_t octets)
{
	promise->octets = octets;
	if (!promise->account)
		return;
	promise->account->coming_bytes += octets;
	promise->account->coming_messages++;
}

/* ---- the end ---- */

void intake_end(struct intake *in)
{
	for (size_t i = 0; i < in->promises.count; i++)
		intake_unpromise(&in->promises.items[i]);
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
	intake_enter(in, IDLE);
}

void intake_free(struct intake *in)
{
	*(in->previous ? &in->previous->next : &in->queue->intakes) = in->next;
	if (in->next)
		in->next->previous = in->previous;
	intake_end(in);
	array_release(&in->promises);
	array_release(&in->addressed);
	arena_free(in->arena);
	free(in);
}

/* ---- answers ---- */

void intake_say_verdict(struct intake *in, enum verdict_kind kind)
{
	msg_mail_verdict_send(&in->peer.channel, in->request, &(struct msg_mail_verdict){ .kind = kind }, -1);
}

void intake_say_recipient(struct intake *in, enum verdict_kind kind)
{
	msg_recipient_verdict_send(&in->peer.channel, in->request, &(struct msg_recipient_verdict){ .kind = kind }, -1);
}

void intake_say_done(struct intake *in, enum verdict_kind kind, struct str kinds)
{
	struct msg_mail_done done = { .kind = kind, .queue_id = in->envelope.id, .kinds = kinds };
	if (!in->gone)
		msg_mail_done_send(&in->peer.channel, in->request, &done, -1);
}

enum verdict_kind intake_kind_of_failure(enum fail_kind kind)
{
	return kind == FAIL_NO_SPACE ? VERDICT_NO_SPACE : VERDICT_TEMPORARY;
}

/* ---- the peer ---- */

static const struct ipc_permit permits[] = {
	{ MSG_MAIL_BEGIN, IDLE | REFUSED, 0, intake_begin },
	{ MSG_MAIL_RECIPIENT, REFUSED, 0, intake_recipient_of_refused },
	{ MSG_MAIL_RECIPIENT, BEGUN | ADDRESSED, 0, intake_recipient },
	{ MSG_MAIL_FROM_HEADER, BEGUN | ADDRESSED | IN_BODY | IN_FILE, 0, intake_from_header },
	{ MSG_MAIL_BODY, ADDRESSED | IN_BODY, 0, intake_body },
	{ MSG_MAIL_FILE, ADDRESSED | IN_FILE, 0, intake_file },
	{ MSG_MAIL_COMMIT, ADDRESSED | IN_BODY | IN_FILE, 0, intake_commit },
	{ MSG_MAIL_ABORT, IDLE | REFUSED | BEGUN | ADDRESSED | IN_BODY | IN_FILE, 0, intake_abort },
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

/* The talk with queue: one question, one answer, bounded in time. When queue goes away, the transaction it knew is
 * lost, and its client hears a temporary failure; the next transaction finds the next queue. */
#include "smtpd.h"
#include "sender_check.h"

#include "clock.h"
#include "file.h"
#include "log.h"

#include <poll.h>

enum { ANSWER_PATIENCE_MS = 60000, QUEUE_RETURN_MS = 5000 };

static void lose(struct session *s)
{
	if (s->txn)
		s->txn->lost = true;
	if (s->smtpd->has_queue)
		ipc_channel_release(&s->smtpd->queue);
	s->smtpd->has_queue = false;
}

/* Master wires a new queue over the control channel; its loop handles that while we wait here. */
static bool wait_for_queue(struct session *s)
{
	int64_t now = clock_monotonic_ms(), until = now + QUEUE_RETURN_MS;
	if (s->smtpd->has_queue)
		return true;
	smtpd_pause_pool(s->smtpd);
	for (; !s->smtpd->has_queue && now < until; now = clock_monotonic_ms())
		loop_step(s->smtpd->daemon.loop, (int)(until - now));
	smtpd_resume_pool(s->smtpd);
	return s->smtpd->has_queue;
}

/* The answer of that type to our request; anything else is a queue that does not know us. */
static bool wait_for(struct session *s, enum msg_type type, struct ipc_frame *frame)
{
	enum ipc_received got = ipc_receive_wait(&s->smtpd->queue, frame, ANSWER_PATIENCE_MS);
	if (got == IPC_FRAME && frame->type == type && frame->request == s->txn->request)
		return true;
	log_event(LOG_WARNING, s->connection, "queue-lost", LOG_TEXT("expected", str_of(msg_name(type))));
	if (got == IPC_FRAME)
		ipc_close_descriptors(frame);
	/* A queue that ended comes again. One that does not answer as it should stays: then a fresh smtpd is needed. */
	if (got != IPC_CLOSED || s->smtpd->queue.malformed)
		s->smtpd->draining = true;
	lose(s);
	return false;
}

static enum verdict_kind checked(uint32_t kind)
{
	return kind < VERDICT_COUNT ? (enum verdict_kind)kind : VERDICT_TEMPORARY;
}

static enum verdict_kind wait_for_verdict(struct session *s)
{
	struct ipc_frame frame;
	struct msg_mail_verdict verdict;
	if (!wait_for(s, MSG_MAIL_VERDICT, &frame) || !msg_mail_verdict_read(&frame, &verdict))
		return VERDICT_TEMPORARY;
	return checked(verdict.kind);
}

static void send_begin(struct session *s)
{
	s->txn->lost = false;
	msg_mail_begin_send(&s->smtpd->queue, s->txn->request, &s->txn->begin, -1);
	if (s->smtpd->queue.broken)
		lose(s);
}

/* True when queue can be asked. A channel that closed while we were idle shows only when it is used, so a transaction
 * that just began is begun again with the next queue. */
static bool begin(struct session *s)
{
	if (s->smtpd->has_queue && s->smtpd->queue.broken)
		lose(s);
	if (!wait_for_queue(s))
		return false;
	send_begin(s);
	if (s->txn->lost && wait_for_queue(s))
		send_begin(s);
	return !s->txn->lost;
}

static enum verdict_kind wait_for_recipient_verdict(struct session *s)
{
	struct ipc_frame frame;
	struct msg_recipient_verdict verdict;
	if (!wait_for(s, MSG_RECIPIENT_VERDICT, &frame) || !msg_recipient_verdict_read(&frame, &verdict))
		return VERDICT_TEMPORARY;
	return checked(verdict.kind);
}

static enum verdict_kind begin_and_wait(struct session *s, enum verdict_kind (*wait)(struct session *s))
{
	if (!begin(s))
		return VERDICT_TEMPORARY;
	enum verdict_kind kind = wait(s);
	if (!s->txn->lost || !begin(s))
		return kind;
	return wait(s);
}

enum verdict_kind link_begin(struct session *s)
{
	return begin_and_wait(s, wait_for_verdict);
}

enum verdict_kind link_begin_again(struct session *s)
{
	struct transaction *txn = s->txn;
	bool is_user = s->smtpd->kind == KIND_USERS;
	if (txn->lost)
		return VERDICT_TEMPORARY;
	if (!txn->begin_waits)
		msg_mail_abort_send(&s->smtpd->queue, txn->request, &(struct msg_mail_abort){}, -1);
	txn->request = ++s->smtpd->requests;
	txn->begin_waits = !is_user;
	return is_user ? link_begin(s) : VERDICT_OK;
}

enum verdict_kind link_recipient(struct session *s, const struct recipient *recipient)
{
	struct transaction *txn = s->txn;
	if (txn->begin_waits) {
		txn->begin_waits = false;
		txn->begin.address = recipient->address;
		txn->begin.original = recipient->original;
		txn->begin.notify = recipient->notify;
		return begin_and_wait(s, wait_for_recipient_verdict);
	}
	if (txn->lost)
		return VERDICT_TEMPORARY;
	const struct msg_mail_recipient message = { .address = recipient->address, .original = recipient->original,
		.notify = recipient->notify };
	msg_mail_recipient_send(&s->smtpd->queue, txn->request, &message, -1);
	return wait_for_recipient_verdict(s);
}

enum verdict_kind link_from_header(struct session *s, struct str address)
{
	if (s->txn->lost)
		return VERDICT_TEMPORARY;
	msg_mail_from_header_send(&s->smtpd->queue, s->txn->request,
		&(struct msg_mail_from_header){ .address = address }, -1);
	return wait_for_verdict(s);
}

void link_body(struct session *s, struct str piece)
{
	while (piece.length && !s->txn->lost) {
		struct msg_mail_body body = { .content = str_first(piece, BODY_FRAME_MAX) };
		msg_mail_body_send(&s->smtpd->queue, s->txn->request, &body, -1);
		piece = str_from_index(piece, BODY_FRAME_MAX);
		if (s->smtpd->queue.broken)
			lose(s);
	}
}

int link_file(struct session *s)
{
	struct ipc_frame frame;
	struct msg_mail_file_answer answer;
	if (s->txn->lost)
		return -1;
	msg_mail_file_send(&s->smtpd->queue, s->txn->request, &(struct msg_mail_file){}, -1);
	if (!wait_for(s, MSG_MAIL_FILE_ANSWER, &frame))
		return -1;
	int file = ipc_take_descriptor(&frame);
	ipc_close_descriptors(&frame);
	if (!msg_mail_file_answer_read(&frame, &answer) || answer.kind != VERDICT_OK)
		file_close(&file);
	return file;
}

enum verdict_kind link_commit(struct session *s, uint64_t size, struct str front, struct str last, uint64_t *queue_id,
                              struct str *kinds)
{
	struct msg_mail_commit commit = { .size = size, .quarantine = s->txn->content.quarantine,
		.dmarc = sender_check_report(s->txn->content.check, false),
	                                 .front = front, .content = last };
	struct ipc_frame frame;
	struct msg_mail_done done;
	if (s->txn->lost)
		return VERDICT_TEMPORARY;
	msg_mail_commit_send(&s->smtpd->queue, s->txn->request, &commit, -1);
	if (!wait_for(s, MSG_MAIL_DONE, &frame) || !msg_mail_done_read(&frame, &done)) {
		s->txn->in_doubt = true;
		return VERDICT_TEMPORARY;
	}
	*queue_id = done.queue_id;
	*kinds = done.kinds;
	return checked(done.kind);
}

void link_abort(struct session *s)
{
	const struct msg_mail_abort abort = { .dmarc = sender_check_report(s->txn->content.check, true) };
	if (s->txn->begun && !s->txn->begin_waits && !s->txn->lost && s->smtpd->has_queue)
		msg_mail_abort_send(&s->smtpd->queue, s->txn->request, &abort, -1);
}

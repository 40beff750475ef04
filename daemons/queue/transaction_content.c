/* Between RCPT and the end: the author's address, and the octets, in memory or in a file. */
#include "transaction.h"

#include "aggregate.h"
#include "file.h"
#include "log.h"

#include <fcntl.h>

/* ---- From ---- */

static void from_answered(struct waiter *waiter, const struct answer *answer)
{
	struct intake *in = waiter->owner;
	intake_enter(in, in->state_after);
	intake_say_verdict(in, answer->verdict > 1 ? VERDICT_TEMPORARY
	                       : answer->verdict   ? VERDICT_OK
	                                           : VERDICT_SENDER_DENIED);
}

bool intake_from_header(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_from_header from;
	if (!msg_mail_from_header_read(frame, &from) || frame->request != in->request ||
	    ++in->from_asked > LIMIT_QUEUE_FROM_MAX)
		return false;
	if (in->envelope.account == 0) {
		intake_say_verdict(in, in->may_relay ? VERDICT_OK : VERDICT_SENDER_DENIED);
		return true;
	}
	in->state_after = peer->state;
	intake_enter(in, WAITING);
	in->waiter.answered = from_answered;
	resolve_may_send(in->queue, in->envelope.account, from.address, &in->waiter);
	return true;
}

/* ---- the message ---- */

bool intake_take_content(struct intake *in, struct str content)
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

bool intake_body(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_body read;
	if (!msg_mail_body_read(frame, &read) || frame->request != in->request)
		return false;
	intake_enter(in, IN_BODY);
	return intake_take_content(in, read.content);
}

bool intake_file(struct ipc_peer *peer, struct ipc_frame *frame)
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
	enum verdict_kind kind = file >= 0 ? VERDICT_OK : intake_kind_of_failure(fail->kind);
	msg_mail_file_answer_send(&peer->channel, in->request, &(struct msg_mail_file_answer){ .kind = kind }, file);
	if (file >= 0)
		intake_enter(in, IN_FILE);
	return true;
}

bool intake_abort(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_abort abort;
	if (in->request == 0)
		return true; /* smtpd aborts what it was refused, too */
	if (!msg_mail_abort_read(frame, &abort) || frame->request != in->request ||
	    !aggregate_count(in->queue, abort.dmarc))
		return false;
	intake_end(in);
	return true;
}

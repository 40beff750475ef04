/* posthorn-smtpd world|users: see smtpd.h and docs/processes.md. */
#include "smtpd.h"

#include <sched.h>
#include <unistd.h>

static bool on_drain(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct smtpd *smtpd = peer->owner;
	(void)frame;
	if (!smtpd->serving)
		_exit(0);
	smtpd->draining = true;
	return true;
}

/* Wakes the one smtpd of the pool that the kernel gives the session to; others find nothing. */
static void on_pool(void *owner, uint32_t events)
{
	struct smtpd *smtpd = owner;
	struct ipc_frame frame;
	(void)events;
	if (ipc_receive(&smtpd->pool, &frame) != IPC_FRAME)
		return;
	smtpd->serving = true;
	session_serve(smtpd, &frame);
	smtpd->serving = false;
	ipc_close_descriptors(&frame);
	/* A resolver that ended comes again. One that does not answer as it should stays: then a fresh smtpd is needed. */
	if (smtpd->draining || smtpd->resolver.failed || ++smtpd->sessions >= smtpd->daemon.config.smtp_sessions_per_process) {
		/* So that master does not take it for a crash. */
		msg_retire_send(&smtpd->daemon.master.channel, 0, &(struct msg_retire){}, -1);
		_exit(0);
	}
}

void smtpd_pause_pool(struct smtpd *smtpd)
{
	loop_unwatch(smtpd->daemon.loop, &smtpd->pool_watch);
}

void smtpd_resume_pool(struct smtpd *smtpd)
{
	loop_watch(smtpd->daemon.loop, &smtpd->pool_watch, smtpd->pool.descriptor, EPOLLIN | EPOLLEXCLUSIVE, on_pool,
	           smtpd);
}

static bool on_wire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct smtpd *smtpd = peer->owner;
	struct msg_wire wire;
	int descriptor = ipc_take_descriptor(frame);
	if (!msg_wire_read(frame, &wire) || descriptor < 0)
		return false;
	if (wire.role == ROLE_QUEUE) {
		if (smtpd->has_queue)
			ipc_channel_release(&smtpd->queue);
		ipc_channel_init(&smtpd->queue, descriptor);
		smtpd->has_queue = true;
		return true;
	}
	if (wire.role == ROLE_RESOLVER) {
		dns_link_wire(&smtpd->resolver, descriptor);
		return true;
	}
	ipc_channel_init(&smtpd->pool, descriptor);
	smtpd_resume_pool(smtpd);
	return true;
}

/* An answer that nobody waits for any more is let go. */
static bool on_milter_socket(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct smtpd *smtpd = peer->owner;
	if (frame->request != smtpd->milter_request || smtpd->milter_answered)
		return true;
	smtpd->milter_answered = true;
	smtpd->milter_socket = ipc_take_descriptor(frame);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_MILTER_SOCKET, (unsigned)IPC_ANY_STATE, 0, on_milter_socket },
	{ MSG_WIRE, (unsigned)IPC_ANY_STATE, 0, on_wire },
	{ MSG_DRAIN, (unsigned)IPC_ANY_STATE, 0, on_drain },
};

static const struct daemon_spec spec = {
	.program = "smtpd", .role = ROLE_SMTPD, .permits = permits, .permit_count = COUNT_OF(permits),
};

/*
 * Queue answers several at a time: the first that is woken would take the processor from it, and the others be
 * answered one by one. Where the kernel refuses, it merely costs more (docs/decisions/0007).
 */
static void let_queue_finish(void)
{
	sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){});
}

int main(int argc, char **argv)
{
	struct smtpd smtpd = {};
	if (argc != 2)
		return 2;
	smtpd.kind = str_equal(str_of(argv[1]), STR("users")) ? KIND_USERS : KIND_WORLD;
	let_queue_finish();
	daemon_begin(&smtpd.daemon, &spec, &smtpd);
	daemon_ready(&smtpd.daemon);
	loop_run(smtpd.daemon.loop);
	return 0;
}

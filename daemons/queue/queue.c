/* posthorn-queue: see queue.h and docs/processes.md. */
#include "queue.h"
#include "aggregate.h"
#include "greylist.h"
#include "forward.h"
#include "sts.h"
#include "tls_report.h"
#include "sending.h"
#include "sign.h"
#include "state.h"
#include "transaction.h"

#include "log.h"
#include "mem.h"

#include <fcntl.h>
#include <unistd.h>

enum { TICK_MS = 1000, TRIMMED_TICKS = 5 };

/* Opened before the sandbox, which lets nothing but the spool be opened. */
static int accounts_folder = -1;

static void open_accounts_folder(const struct config *config)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/accounts", config->data_directory);
	accounts_folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (accounts_folder < 0) /* not made yet: then it comes to lie on the file system of its parent */
		accounts_folder = open(config->data_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static struct queue *queue_of(struct ipc_peer *master)
{
	return master->owner;
}

static bool on_wire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue *q = queue_of(peer);
	struct msg_wire wire;
	if (!msg_wire_read(frame, &wire) || frame->descriptor_count != 1)
		return false;
	int descriptor = ipc_take_descriptor(frame);
	switch (wire.role) {
	case ROLE_AUTH:
		return resolve_wire(q, descriptor);
	case ROLE_SMTPD:
		return transaction_wire(q, &wire, descriptor);
	case ROLE_MAILBOX:
		return deliver_wire(q, &wire, descriptor);
	case ROLE_RESOLVER:
		return aggregate_wire(q, descriptor);
	case ROLE_RELAY:
		return relay_wire(q, &wire, descriptor);
	default:
		close(descriptor);
		return false;
	}
}

static bool on_listener(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_listener listener;
	if (!msg_listener_read(frame, &listener) || listener.service != SERVICE_CONTROL || frame->descriptor_count != 1)
		return false;
	control_listen(queue_of(peer), ipc_take_descriptor(frame));
	return true;
}

static bool on_mailbox_failed(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_mailbox_failed failed;
	if (!msg_mailbox_failed_read(frame, &failed) || failed.account == 0)
		return false;
	deliver_failed_to_start(queue_of(peer), failed.account);
	return true;
}

static bool on_reconfigure(struct ipc_peer *peer, struct ipc_frame *frame)
{
	return daemon_reconfigure(daemon_of(peer), frame);
}

/* Everything that was promised is in the journal. */
static void end_when_idle(struct queue *q)
{
	if (!q->draining || q->signings || !commit_is_idle(q) || !state_is_written(q))
		return;
	log_event(LOG_INFO, 0, "ended", LOG_NUMBER("messages", q->mail_count));
	log_flush();
	_exit(0);
}

static bool on_drain(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct queue *q = queue_of(peer);
	(void)frame;
	q->draining = true;
	end_when_idle(q);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_WIRE, (unsigned)IPC_ANY_STATE, 0, on_wire },
	{ MSG_LISTENER, (unsigned)IPC_ANY_STATE, 0, on_listener },
	{ MSG_MAILBOX_FAILED, (unsigned)IPC_ANY_STATE, 0, on_mailbox_failed },
	{ MSG_RECONFIGURE, (unsigned)IPC_ANY_STATE, 0, on_reconfigure },
	{ MSG_DRAIN, (unsigned)IPC_ANY_STATE, 0, on_drain },
};

static const struct daemon_spec spec = {
	.program = "queue", .role = ROLE_QUEUE, .preload = open_accounts_folder, .permits = permits,
	.permit_count = COUNT_OF(permits),
};

static void tick(void *owner)
{
	struct queue *q = owner;
	resolve_tick(q);
	transaction_tick(q);
	spool_tick(q);
	schedule_tick(q);
	results_tick(q);
	trim_tick(q);
	quota_tick(q);
	forward_tick(q);
	sending_tick(q);
	aggregate_tick(q);
	tls_report_tick(q);
	state_tick(q);
	if (++q->ticks % TRIMMED_TICKS == 0)
		deliver_tell_trimmed(q);
	end_when_idle(q);
	loop_start_timer(q->loop, &q->tick, TICK_MS, tick, q);
}

static void open_spool(struct queue *q)
{
	struct fail *fail = NULL;
	q->loop = q->daemon.loop;
	q->spool = open(q->daemon.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	q->accounts_folder = accounts_folder;
	if (q->spool >= 0 && q->accounts_folder >= 0)
		return;
	fail_set_errno(&fail, FAIL_IO, "cannot open the folders of spool and accounts");
	daemon_die("cannot-start", fail);
}

static void begin(struct queue *q)
{
	q->control_listener = -1;
	q->journals_generation = 1;
	q->no_ring_why = FAIL_UNAVAILABLE;
	q->accounts = map_new();
	q->scratch = arena_new(ENVELOPE_ARENA_MAX);
	resolve_init(q);
	destination_init(q);
	open_spool(q);
	worker_start(&q->writer, q->loop);
	worker_start(&q->syncer, q->loop);
	worker_start(&q->filer, q->loop);
	state_init(q);
	aggregate_init(q);
	greylist_init(q);
	forward_init(q);
	sts_init(q);
	tls_report_init(q);
	sending_init(q);
	sign_init(q);
	quota_load(q);
	control_load_hold(q);
	spool_recover(q);
	loop_start_timer(q->loop, &q->tick, TICK_MS, tick, q);
}

int main(void)
{
	static struct queue queue;
	daemon_begin(&queue.daemon, &spec, &queue);
	begin(&queue);
	daemon_ready(&queue.daemon);
	deliver_push_all(&queue);
	log_gather();
	for (;;) {
		loop_step(queue.loop, -1);
		log_flush();
	}
}

/* Which account's mailbox process runs, starts or ends. */
#include "master.h"

#include "log.h"
#include "mem.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	WAITING_SESSIONS_MAX = 200,
	FAILURES_MAX = 5,           /* then the account waits */
	FAILURE_FORGOTTEN_MS = 10000,
	REFUSED_FOR_MS = 5000,
	REMEMBERED_MS = 60000,      /* after its last failure */
	PINGS_MISSED_MAX = 40,      /* by a process that works: ten minutes */
};

struct waiting_session {
	enum msg_type type; /* SESSION, or CTL_ACCOUNT from posthornctl */
	uint64_t connection;
	uint64_t porter; /* 0 for posthornctl */
	char *payload;
	size_t length;
	int descriptor;
};

/* ABSENT → STARTING → RUNNING → ENDING → ABSENT; wanted again while ENDING: STARTING follows it at once. */
struct mailbox {
	uint64_t account;
	struct process *process; /* NULL while absent */
	bool ending;             /* it was told to drain: nothing new goes to it */
	bool wanted;             /* queue has mail for it */
	unsigned failures;       /* in a row: it ended soon after its start, unasked */
	int64_t failed_ms;       /* the last time */
	ARRAY(struct waiting_session) waiting;
};

static struct mailbox *find(struct master *m, uint64_t account)
{
	return map_get(m->mailboxes, MAP_KEY(account));
}

static struct mailbox *find_or_add(struct master *m, uint64_t account)
{
	struct mailbox *box = find(m, account);
	if (!box) {
		box = mem_alloc(sizeof *box);
		box->account = account;
		map_set(m->mailboxes, MAP_KEY(account), box);
	}
	return box;
}

static void refuse(struct master *m, struct waiting_session *waiting)
{
	struct process *porter = waiting->porter ? process_find(m, ROLE_PORTER, waiting->porter) : NULL;
	struct msg_session_refused refused = { .kind = FAIL_UNAVAILABLE, .text = STR("the mailbox is not available now") };
	if (porter)
		msg_session_refused_send(&porter->peer.channel, waiting->connection, &refused, -1);
	close(waiting->descriptor);
	free(waiting->payload);
}

static void refuse_all(struct master *m, struct mailbox *box)
{
	for (size_t i = 0; i < box->waiting.count; i++)
		refuse(m, &box->waiting.items[i]);
	box->waiting.count = 0;
}

static void remove_mailbox(struct master *m, struct mailbox *box)
{
	array_release(&box->waiting);
	map_remove(m->mailboxes, MAP_KEY(box->account));
	free(box);
}

/* Not now: queue keeps the mail and tries later, clients are told. */
static void put_off(struct master *m, struct mailbox *box)
{
	struct process *queue = process_find(m, ROLE_QUEUE, 0);
	log_event(LOG_ERROR, 0, "mailbox-unavailable", LOG_NUMBER("account", box->account));
	refuse_all(m, box);
	if (queue && box->wanted)
		msg_mailbox_failed_send(&queue->peer.channel, 0, &(struct msg_mailbox_failed){ .account = box->account }, -1);
	box->wanted = false;
}

/* Failed so often that it is left alone for some seconds; after them one try more. */
static bool must_wait(const struct master *m, const struct mailbox *box)
{
	return box->failures >= FAILURES_MAX && loop_now_ms(m->loop) - box->failed_ms < REFUSED_FOR_MS;
}

static void start(struct master *m, struct mailbox *box)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct process *zygote = process_find(m, ROLE_ZYGOTE, 0);
	int pair[2];
	if (!zygote || zygote->peer.channel.broken)
		return; /* one comes, and then mailbox_start_waiting */
	if (must_wait(m, box) || !ipc_pair(pair, &fail)) {
		put_off(m, box);
		return;
	}
	box->ending = false;
	box->process = process_adopt_mailbox(m, box->account, pair[0]);
	msg_fork_send(&zygote->peer.channel, box->process->peer.id, &(struct msg_fork){ .account = box->account }, pair[1]);
}

void mailbox_start_waiting(struct master *m)
{
	size_t position = 0;
	void *value;
	while (map_next(m->mailboxes, &position, NULL, &value)) {
		struct mailbox *box = value;
		if (!box->process && (box->wanted || box->waiting.count))
			start(m, box);
	}
}

void mailbox_want(struct master *m, uint64_t account)
{
	struct mailbox *box = find_or_add(m, account);
	box->wanted = true;
	if (!box->process)
		start(m, box);
}

/* porter may close its copy of the descriptor now. */
static void tell_taken(struct process *porter, uint64_t connection)
{
	if (porter)
		msg_session_taken_send(&porter->peer.channel, connection, &(struct msg_session_taken){}, -1);
}

void mailbox_pass_session(struct master *m, uint64_t account, struct process *porter, struct ipc_frame *frame)
{
	struct mailbox *box = find_or_add(m, account);
	int descriptor = ipc_take_descriptor(frame);
	if (box->process && !box->ending && box->process->has_said_hello) {
		if (porter)
			session_passed(box->process, porter->peer.id, frame->request);
		ipc_send(&box->process->peer.channel, frame->type, frame->request, frame->payload, &descriptor, 1);
		tell_taken(porter, frame->request);
		return;
	}
	struct waiting_session *waiting = array_add(&box->waiting);
	*waiting = (struct waiting_session){ frame->type,          frame->request, porter ? porter->peer.id : 0, str_copy(frame->payload),
		                                 frame->payload.length, descriptor };
	if (box->waiting.count > WAITING_SESSIONS_MAX) {
		refuse(m, waiting);
		box->waiting.count--;
	}
	if (!box->process)
		start(m, box);
}

void mailbox_hello(struct process *p)
{
	struct mailbox *box = find(p->master, p->account);
	must(box && box->process == p);
	box->wanted = false;
	for (size_t i = 0; i < box->waiting.count; i++) {
		struct waiting_session *waiting = &box->waiting.items[i];
		struct str payload = str_from(waiting->payload, waiting->length);
		if (waiting->porter)
			session_passed(p, waiting->porter, waiting->connection);
		ipc_send(&p->peer.channel, waiting->type, waiting->connection, payload, &waiting->descriptor, 1);
		if (waiting->porter)
			tell_taken(process_find(p->master, ROLE_PORTER, waiting->porter), waiting->connection);
		free(waiting->payload);
	}
	box->waiting.count = 0;
}

/* It asked to end. Whatever is passed to it after its question would be lost, so from here on it is ending. */
bool mailbox_idle(struct process *p)
{
	struct mailbox *box = find(p->master, p->account);
	if (!box || box->process != p)
		return true;
	box->ending = true;
	process_set_state(p, PROCESS_DRAINING);
	msg_drain_send(&p->peer.channel, 0, &(struct msg_drain){}, -1);
	return true;
}

void mailbox_ended(struct process *p)
{
	struct master *m = p->master;
	struct mailbox *box = find(m, p->account);
	session_all_closed(p);
	if (!box || box->process != p)
		return;
	bool failed = p->state != PROCESS_DRAINING && loop_now_ms(m->loop) - p->started_ms < FAILURE_FORGOTTEN_MS;
	box->failures = failed ? box->failures + 1 : 0;
	box->failed_ms = loop_now_ms(m->loop);
	box->process = NULL;
	if (!m->stopping && (box->wanted || box->waiting.count))
		start(m, box);
	else if (m->stopping || box->failures == 0)
		remove_mailbox(m, box);
}

void mailbox_drop_sessions(struct master *m, uint64_t account)
{
	struct mailbox *box = find(m, account);
	if (!box)
		return;
	refuse_all(m, box);
	if (box->process)
		msg_drop_sessions_send(&box->process->peer.channel, 0, &(struct msg_drop_sessions){}, -1);
}

static void refuse_one(struct master *m, struct mailbox *box, uint64_t porter, uint64_t connection)
{
	for (size_t i = box->waiting.count; i-- > 0;)
		if (box->waiting.items[i].porter == porter && box->waiting.items[i].connection == connection) {
			refuse(m, &box->waiting.items[i]);
			array_remove(&box->waiting, i);
		}
}

void mailbox_drop_session(struct master *m, uint64_t porter, uint64_t connection)
{
	const struct msg_drop_sessions drop = { .connection = connection };
	size_t position = 0;
	void *value;
	while (map_next(m->mailboxes, &position, NULL, &value))
		refuse_one(m, value, porter, connection);
	for (struct process *p = m->processes[ROLE_MAILBOX]; p; p = p->next)
		if (session_is_at(p, porter, connection))
			msg_drop_sessions_send(&p->peer.channel, 0, &drop, -1);
}

/* Those that wait for their process, too. */
static void tell_waiting(const struct mailbox *box, struct process *auth)
{
	for (size_t i = 0; i < box->waiting.count; i++) {
		const struct waiting_session *waiting = &box->waiting.items[i];
		struct msg_session_account named = { .porter = waiting->porter, .account = box->account };
		if (waiting->porter)
			msg_session_account_send(&auth->peer.channel, waiting->connection, &named, -1);
	}
}

void mailbox_tell_sessions(struct process *auth)
{
	size_t position = 0;
	void *value;
	while (map_next(auth->master->mailboxes, &position, NULL, &value))
		tell_waiting(value, auth);
	for (struct process *p = auth->master->processes[ROLE_MAILBOX]; p; p = p->next)
		session_tell_all(p, auth);
}

static void forget_failures(struct master *m)
{
	size_t position = 0;
	void *value;
	while (map_next(m->mailboxes, &position, NULL, &value)) {
		struct mailbox *box = value;
		bool idle = !box->process && !box->wanted && box->waiting.count == 0;
		if (idle && loop_now_ms(m->loop) - box->failed_ms > REMEMBERED_MS)
			remove_mailbox(m, box);
	}
}

/* One that works may be in the midst of what cannot be interrupted, as a COPY of a million messages on a slow disk
 * is; killed, it would begin again from the start. Only the kill is done here: its channel closes then, and
 * peer_ended does the rest. */
static void ping_missed(struct process *p)
{
	bool moves = proc_moves(p->pid, &p->ticks) && ++p->pings_missed <= PINGS_MISSED_MAX;
	log_event(LOG_WARNING, 0, moves ? "mailbox-busy" : "mailbox-hangs", LOG_NUMBER("account", p->account),
	          LOG_NUMBER("pid", p->pid));
	if (!moves && p->pid > 0)
		kill(p->pid, SIGKILL);
}

void mailbox_heartbeat(struct master *m)
{
	forget_failures(m);
	for (struct process *p = m->processes[ROLE_MAILBOX]; p; p = p->next) {
		if (p->state == PROCESS_STARTING)
			continue;
		if (!p->answered_ping) {
			ping_missed(p);
			continue;
		}
		p->answered_ping = false;
		p->pings_missed = 0;
		p->ticks = 0;
		msg_ping_send(&p->peer.channel, 0, &(struct msg_ping){}, -1);
	}
}

/* Starting and ending of processes, and how many there are. */
#include "master.h"

#include "log.h"
#include "mem.h"
#include "spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	BACK_OFF_FIRST_MS = 50,
	BACK_OFF_MAX_MS = 5000,
	CRASH_FORGOTTEN_MS = 10000,
	SMTPD_IDLE_MIN = 2,
	SMTPD_IDLE_MAX = 8,
	SURPLUS_MS = 10000,
};

/* Programs, by role. Mailboxes are not here: the zygote forks them. */
static const struct {
	const char *program;
	bool several; /* started per kind */
} programs[ROLE_COUNT] = {
	[ROLE_AUTH] = { "posthorn-auth", false },
	[ROLE_QUEUE] = { "posthorn-queue", false },
	[ROLE_RESOLVER] = { "posthorn-resolver", false },
	[ROLE_RELAY] = { "posthorn-relay", false },
	[ROLE_ZYGOTE] = { "posthorn-mailbox", false },
	[ROLE_PORTER] = { "posthorn-porter", true },
	[ROLE_SMTPD] = { "posthorn-smtpd", true },
};

static const char *const kind_names[KIND_COUNT] = { [KIND_WORLD] = "world", [KIND_USERS] = "users" };

struct process *process_find(struct master *m, enum ipc_role role, uint64_t id)
{
	struct process *p = m->processes[role];
	if (id) {
		/* One that drains still has its old sessions. */
		p = map_get(m->by_id, MAP_KEY(id));
		return p && p->peer.role == role ? p : NULL;
	}
	while (p && p->state == PROCESS_DRAINING)
		p = p->next;
	return p;
}

/* Adds it to its tally, or takes it out. */
static void count(struct process *p, bool add)
{
	struct tally *tally = &p->master->tallies[p->peer.role][p->peer.kind];
	if (p->state == PROCESS_DRAINING)
		return;
	tally->all = add ? tally->all + 1 : tally->all - 1;
	if (!p->busy)
		tally->idle = add ? tally->idle + 1 : tally->idle - 1;
}

void process_set_state(struct process *p, enum process_state state)
{
	count(p, false);
	p->state = state;
	count(p, true);
}

void process_set_busy(struct process *p, bool busy)
{
	count(p, false);
	p->busy = busy;
	count(p, true);
}

void process_set_pid(struct process *p, pid_t pid)
{
	p->pid = pid;
	map_set(p->master->by_pid, MAP_KEY(p->pid), p);
}

static void forget_pid(struct process *p)
{
	if (p->pid > 0)
		map_remove(p->master->by_pid, MAP_KEY(p->pid));
	p->pid = 0;
}

static void arm_restart_timer(struct master *m);

/* After crashes the next start of that role and kind waits: 50 ms, doubling up to 5 s. */
static bool must_wait(const struct master *m, enum ipc_role role, unsigned kind)
{
	return loop_now_ms(m->loop) < m->back_off[role][kind].until_ms;
}

static void peer_ended(struct ipc_peer *peer, const char *why)
{
	process_end(peer->owner, why);
}

static void link_process(struct process *p)
{
	struct process **first = &p->master->processes[p->peer.role];
	p->next = *first;
	if (p->next)
		p->next->link = &p->next;
	p->link = first;
	*first = p;
	map_set(p->master->by_id, MAP_KEY(p->peer.id), p);
	count(p, true);
}

static void unlink_process(struct process *p)
{
	count(p, false);
	map_remove(p->master->by_id, MAP_KEY(p->peer.id));
	*p->link = p->next;
	if (p->next)
		p->next->link = p->link;
}

static struct process *add(struct master *m, enum ipc_role role, unsigned kind, int control)
{
	struct process *p = mem_alloc(sizeof *p);
	p->master = m;
	p->started_ms = loop_now_ms(m->loop);
	p->answered_ping = true;
	p->peer.role = role;
	p->peer.kind = kind;
	p->peer.id = ipc_number_make();
	p->peer.owner = p;
	link_process(p);
	size_t permit_count;
	const struct ipc_permit *permits = request_permits(role, &permit_count);
	ipc_peer_start(&p->peer, m->loop, control, permits, permit_count, peer_ended);
	return p;
}

struct process *process_adopt_mailbox(struct master *m, uint64_t account, int control)
{
	struct process *p = add(m, ROLE_MAILBOX, KIND_USERS, control);
	p->account = account;
	p->sessions = map_new();
	return p;
}

/* Tried again when the longest back-off is over: what is missing may be memory, or a file that is just being
 * installed. */
static bool cannot_start(struct master *m, enum ipc_role role, unsigned kind, const struct fail *fail)
{
	log_event(LOG_ERROR, 0, "start-failed", LOG_TEXT("role", str_of(ipc_role_name(role))),
	          LOG_TEXT("why", str_of(fail_text(fail))));
	m->back_off[role][kind].until_ms = loop_now_ms(m->loop) + BACK_OFF_MAX_MS;
	arm_restart_timer(m);
	return false;
}

static bool start(struct master *m, enum ipc_role role, unsigned kind)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", m->program_folder, programs[role].program);
	char *arguments[] = { (char *)programs[role].program, programs[role].several ? (char *)kind_names[kind] : NULL, NULL };
	int pair[2];
	if (!ipc_pair(pair, &fail))
		return cannot_start(m, role, kind, fail);
	pid_t pid = spawn_program(path, arguments, pair[1], m->config_memory, &fail);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return cannot_start(m, role, kind, fail);
	}
	process_set_pid(add(m, role, kind, pair[0]), pid);
	return true;
}

static void start_up_to(struct master *m, enum ipc_role role, unsigned kind, unsigned wanted)
{
	while (m->tallies[role][kind].all < wanted && !must_wait(m, role, kind) && start(m, role, kind))
		;
}

static void tell_pool_state(struct master *m, unsigned kind, bool full)
{
	if (m->pool_full[kind] == full)
		return;
	m->pool_full[kind] = full;
	for (struct process *p = m->processes[ROLE_PORTER]; p; p = p->next)
		if (p->peer.kind == kind && p->has_said_hello)
			msg_pool_send(&p->peer.channel, 0, &(struct msg_pool){ .full = full }, -1);
}

static void drain_idle(struct master *m, unsigned kind, unsigned count)
{
	for (struct process *p = m->processes[ROLE_SMTPD]; p && count > 0; p = p->next) {
		if (p->peer.kind != kind || p->state != PROCESS_READY || p->busy)
			continue;
		process_set_state(p, PROCESS_DRAINING);
		msg_drain_send(&p->peer.channel, 0, &(struct msg_drain){}, -1);
		count--;
	}
}

/* Those that nobody needed since the last time: a process costs as much as ten sessions, so one that is idle for a
 * moment stays. */
static void end_surplus(void *owner)
{
	struct master *m = owner;
	bool more = false;
	for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
		const struct tally *tally = &m->tallies[ROLE_SMTPD][kind];
		unsigned least = m->pool_least_idle[kind];
		drain_idle(m, kind, least > SMTPD_IDLE_MAX ? least - SMTPD_IDLE_MAX : 0);
		m->pool_least_idle[kind] = tally->idle;
		more |= tally->idle > SMTPD_IDLE_MAX;
	}
	if (more)
		loop_start_timer(m->loop, &m->pool_timer, SURPLUS_MS, end_surplus, m);
}

/* Some smtpds always wait, so that a session never waits for a process to start; surplus ones go in time. */
void process_adjust_pool(struct master *m, unsigned kind)
{
	unsigned max = kind == KIND_WORLD ? m->config.smtp_processes_max : m->config.submission_processes_max;
	const struct tally *tally = &m->tallies[ROLE_SMTPD][kind];
	while (!must_wait(m, ROLE_SMTPD, kind) && tally->idle < SMTPD_IDLE_MIN && tally->all < max &&
	       start(m, ROLE_SMTPD, kind))
		;
	tell_pool_state(m, kind, tally->idle == 0 && tally->all >= max);
	if (tally->idle < m->pool_least_idle[kind])
		m->pool_least_idle[kind] = tally->idle;
	if (tally->idle > SMTPD_IDLE_MAX && !m->pool_timer.place)
		loop_start_timer(m->loop, &m->pool_timer, SURPLUS_MS, end_surplus, m);
}

static void start_after_back_off(void *owner)
{
	process_start_missing(owner);
}

/* When the next of the waits is over. */
static void arm_restart_timer(struct master *m)
{
	int64_t now = loop_now_ms(m->loop), next = INT64_MAX;
	for (enum ipc_role role = 0; role < ROLE_COUNT; role++)
		for (unsigned kind = 0; kind < KIND_COUNT; kind++)
			if (m->back_off[role][kind].until_ms > now && m->back_off[role][kind].until_ms < next)
				next = m->back_off[role][kind].until_ms;
	if (next != INT64_MAX)
		loop_start_timer(m->loop, &m->restart_timer, next - now, start_after_back_off, m);
}

void process_start_missing(struct master *m)
{
	if (m->stopping)
		return;
	arm_restart_timer(m);
	start_up_to(m, ROLE_AUTH, 0, 1);
	start_up_to(m, ROLE_QUEUE, 0, 1);
	start_up_to(m, ROLE_RESOLVER, 0, 1);
	start_up_to(m, ROLE_RELAY, 0, 1);
	start_up_to(m, ROLE_ZYGOTE, 0, 1);
	for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
		process_adjust_pool(m, kind);
		start_up_to(m, ROLE_PORTER, kind, m->config.porter_workers);
	}
}

static bool crashed_lately(const struct process *p)
{
	return loop_now_ms(p->master->loop) - p->started_ms < CRASH_FORGOTTEN_MS;
}

void process_back_off(struct process *p)
{
	struct back_off *b = &p->master->back_off[p->peer.role][p->peer.kind];
	b->crashes = crashed_lately(p) ? b->crashes + 1 : 0;
	int64_t delay = BACK_OFF_FIRST_MS;
	for (unsigned i = 1; i < b->crashes && delay < BACK_OFF_MAX_MS; i++)
		delay *= 2;
	if (b->crashes > 0)
		b->until_ms = loop_now_ms(p->master->loop) + (delay < BACK_OFF_MAX_MS ? delay : BACK_OFF_MAX_MS);
}

/* A child of it crashed, so its memory layout may be known to an attacker: it forks no more, but stays the parent of
 * its children until the last of them ends. */
void process_renew_zygote(struct process *zygote)
{
	if (zygote->state == PROCESS_DRAINING)
		return;
	process_set_state(zygote, PROCESS_DRAINING);
	msg_drain_send(&zygote->peer.channel, 0, &(struct msg_drain){}, -1);
	process_start_missing(zygote->master);
}

void process_end(struct process *p, const char *why)
{
	struct master *m = p->master;
	bool expected = p->state == PROCESS_DRAINING || m->stopping;
	if (why || !expected)
		log_event(expected ? LOG_INFO : LOG_WARNING, 0, "process-ended",
		          LOG_TEXT("role", str_of(ipc_role_name(p->peer.role))), LOG_NUMBER("pid", p->pid),
		          LOG_TEXT("why", str_of(why ? why : "closed")));
	unlink_process(p);
	if (p->pid > 0)
		kill(p->pid, SIGKILL);
	forget_pid(p);
	if (p->peer.role == ROLE_MAILBOX)
		mailbox_ended(p);
	else if (!expected)
		process_back_off(p);
	session_left_smtpd(p);
	ipc_peer_release(&p->peer);
	free(p);
	process_start_missing(m);
	if (m->stopping && map_count(m->by_id) == 0)
		loop_stop(m->loop);
}

void process_reaped(struct master *m, enum ipc_role role, pid_t pid, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGTERM)
		log_event(LOG_WARNING, 0, "process-killed", LOG_NUMBER("pid", pid), LOG_NUMBER("signal", WTERMSIG(status)));
	/* The number may be given to another process now. What it sent before it ended is still read: its channel's end
	 * ends it. */
	struct process *p = map_get(m->by_pid, MAP_KEY(pid));
	if (p && (p->peer.role == ROLE_MAILBOX) == (role == ROLE_MAILBOX))
		forget_pid(p);
}

void process_drain_all(struct master *m, enum ipc_role role)
{
	for (struct process *p = m->processes[role]; p; p = p->next) {
		if (p->state == PROCESS_DRAINING)
			continue;
		process_set_state(p, PROCESS_DRAINING);
		msg_drain_send(&p->peer.channel, 0, &(struct msg_drain){}, -1);
	}
}

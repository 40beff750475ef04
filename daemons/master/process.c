/* Starting, wiring and ending of processes. */
#include "master.h"

#include "clock.h"
#include "file.h"
#include "log.h"
#include "mem.h"
#include "socket.h"
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

/* States of a child, for its permits. */
enum { FRESH = 1, GREETED = 2 };

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

enum { OF_ANY_KIND = 1 << KIND_WORLD | 1 << KIND_USERS };

/* Which two roles talk to each other; of the first only these kinds. */
static const struct {
	enum ipc_role roles[2];
	unsigned kinds;
} wired[] = {
	{ { ROLE_PORTER, ROLE_AUTH }, OF_ANY_KIND },
	{ { ROLE_QUEUE, ROLE_AUTH }, OF_ANY_KIND },
	{ { ROLE_SMTPD, ROLE_QUEUE }, OF_ANY_KIND },
	{ { ROLE_SMTPD, ROLE_RESOLVER }, 1 << KIND_WORLD },
	{ { ROLE_MAILBOX, ROLE_QUEUE }, OF_ANY_KIND },
	{ { ROLE_QUEUE, ROLE_RESOLVER }, OF_ANY_KIND },
	{ { ROLE_RELAY, ROLE_QUEUE }, OF_ANY_KIND },
	{ { ROLE_RELAY, ROLE_RESOLVER }, OF_ANY_KIND },
};

static bool are_wired(const struct process *a, const struct process *b)
{
	for (size_t i = 0; i < COUNT_OF(wired); i++)
		for (size_t k = 0; k < 2; k++) {
			const struct process *first = k ? b : a;
			const struct process *second = k ? a : b;
			if (first->peer.role == wired[i].roles[0] && second->peer.role == wired[i].roles[1])
				return wired[i].kinds >> first->peer.kind & 1;
		}
	return false;
}

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

static void set_pid(struct process *p, pid_t pid)
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

void process_wire(struct process *a, struct process *b)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	int pair[2];
	if (!ipc_pair(pair, &fail)) {
		log_event(LOG_ERROR, 0, "wire-failed", LOG_TEXT("why", str_of(fail_text(fail))));
		return;
	}
	struct msg_wire to_a = { .role = (uint32_t)b->peer.role, .kind = b->peer.kind, .peer = b->peer.id };
	struct msg_wire to_b = { .role = (uint32_t)a->peer.role, .kind = a->peer.kind, .peer = a->peer.id };
	/* An account's number is what queue knows a mailbox by. */
	if (a->peer.role == ROLE_MAILBOX)
		to_b.peer = a->account;
	if (b->peer.role == ROLE_MAILBOX)
		to_a.peer = b->account;
	msg_wire_send(&a->peer.channel, 0, &to_a, pair[0]);
	msg_wire_send(&b->peer.channel, 0, &to_b, pair[1]);
}

/* A relay that drains still has mails under way: it must be able to tell a new queue of them, and to ask a new resolver. */
static void wire_to_all(struct process *p)
{
	for (enum ipc_role role = 0; role < ROLE_COUNT; role++)
		for (struct process *other = p->master->processes[role]; other; other = other->next)
			if (are_wired(p, other) && other->has_said_hello && (other->state != PROCESS_DRAINING || other->peer.role == ROLE_RELAY))
				process_wire(p, other);
}

/* The pool's socket: porters of the kind write, its smtpds read. */
static void wire_to_pool(struct process *p)
{
	struct master *m = p->master;
	struct msg_wire wire = { .kind = p->peer.kind };
	if (p->peer.role == ROLE_PORTER) {
		wire.role = ROLE_SMTPD;
		wire.peer = p->peer.id; /* its own number, which sessions carry so that they find back */
		msg_wire_send(&p->peer.channel, 0, &wire, dup(m->pool_write[p->peer.kind]));
		msg_pool_send(&p->peer.channel, 0, &(struct msg_pool){ .full = m->pool_full[p->peer.kind] }, -1);
	}
	if (p->peer.role == ROLE_SMTPD) {
		wire.role = ROLE_PORTER;
		msg_wire_send(&p->peer.channel, 0, &wire, dup(m->pool_read[p->peer.kind]));
	}
}

static void send_listener(struct process *p, enum service service, int descriptor)
{
	msg_listener_send(&p->peer.channel, 0, &(struct msg_listener){ .service = (uint32_t)service }, dup(descriptor));
}

static bool on_hello(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_hello hello;
	if (!msg_hello_read(frame, &hello) || hello.role != (uint32_t)peer->role)
		return false;
	if (hello.version != ipc_version()) {
		log_event(LOG_ERROR, 0, "version-differs", LOG_TEXT("role", str_of(ipc_role_name(peer->role))));
		return false;
	}
	p->has_said_hello = true;
	peer->state = GREETED;
	if (peer->role == ROLE_PORTER)
		listener_send_all(p);
	if (peer->role == ROLE_AUTH) {
		send_listener(p, SERVICE_CONTROL, p->master->auth_control_listener);
		send_listener(p, SERVICE_PASSWORD, p->master->password_listener);
	}
	if (peer->role == ROLE_QUEUE)
		send_listener(p, SERVICE_CONTROL, p->master->queue_control_listener);
	wire_to_pool(p);
	wire_to_all(p);
	if (peer->role == ROLE_MAILBOX)
		mailbox_hello(p);
	if (peer->role == ROLE_ZYGOTE)
		mailbox_start_waiting(p->master);
	return true;
}

static bool on_ready(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	(void)frame;
	if (p->state == PROCESS_STARTING)
		process_set_state(p, PROCESS_READY);
	if (peer->role == ROLE_PORTER || peer->role == ROLE_SMTPD)
		return true;
	log_event(LOG_INFO, 0, "started", LOG_TEXT("role", str_of(ipc_role_name(peer->role))), LOG_NUMBER("pid", p->pid));
	return true;
}

static void adjust_pool(struct master *m, unsigned kind);
static void arm_restart_timer(struct master *m);
static void renew_zygote(struct process *zygote);

/* After crashes the next start of that role and kind waits: 50 ms, doubling up to 5 s. */
static bool must_wait(const struct master *m, enum ipc_role role, unsigned kind)
{
	return loop_now_ms(m->loop) < m->back_off[role][kind].until_ms;
}

/* The porter counts the connection until now, whichever way the session ended. */
static void tell_session_ended(struct process *smtpd)
{
	struct process *porter = process_find(smtpd->master, ROLE_PORTER, smtpd->session_porter);
	if (smtpd->busy && porter && porter->peer.kind == smtpd->peer.kind)
		msg_session_ended_send(&porter->peer.channel, smtpd->session_connection, &(struct msg_session_ended){}, -1);
}

static bool on_load(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_load load;
	if (!msg_load_read(frame, &load))
		return false;
	if (!load.busy)
		tell_session_ended(p);
	process_set_busy(p, load.busy != 0);
	p->session_porter = load.porter;
	p->session_connection = load.connection;
	if (!p->master->stopping)
		adjust_pool(p->master, p->peer.kind);
	return true;
}

static bool on_retire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	(void)frame;
	process_set_state(p, PROCESS_DRAINING);
	process_start_missing(p->master);
	return true;
}

static bool on_session(struct ipc_peer *peer, struct ipc_frame *frame)
{
	return frame->descriptor_count == 1 && session_from_porter(peer->owner, frame);
}

/* smtpd and mailbox give a session back; the porter named must be of the kind that hands over to them. */
static bool on_session_return(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	uint64_t porter_id;
	if (frame->payload.length < sizeof porter_id || frame->descriptor_count != 1)
		return false;
	memcpy(&porter_id, frame->payload.data, sizeof porter_id); /* the first field; the rest is porter's to read */
	struct process *porter = process_find(p->master, ROLE_PORTER, porter_id);
	unsigned kind = peer->role == ROLE_MAILBOX ? KIND_USERS : peer->kind;
	if (peer->role == ROLE_MAILBOX && !session_is_at(p, porter_id, frame->request))
		return false;
	if (peer->role == ROLE_MAILBOX)
		session_left(p, porter_id, frame->request);
	if (!porter || porter->peer.kind != kind)
		return true; /* it retired meanwhile: the session ends with the descriptor */
	int descriptor = ipc_take_descriptor(frame);
	ipc_send(&porter->peer.channel, MSG_SESSION_RETURN, frame->request, frame->payload, &descriptor, 1);
	return true;
}

static bool on_session_account(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_session_account named;
	if (!msg_session_account_read(frame, &named) || named.account == 0)
		return false;
	session_account_from_auth(p->master, named.porter, frame->request, named.account);
	return true;
}

static bool on_session_closed(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_session_closed closed;
	if (!msg_session_closed_read(frame, &closed))
		return false;
	session_closed(peer->owner, closed.porter, frame->request);
	return true;
}

static bool on_session_drop(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_session_drop drop;
	if (!msg_session_drop_read(frame, &drop))
		return false;
	session_drop(p->master, drop.porter, frame->request);
	return true;
}

static bool on_account_drop(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_account_drop drop;
	if (!msg_account_drop_read(frame, &drop))
		return false;
	mailbox_drop_sessions(p->master, drop.account);
	return true;
}

/* A connection for a process that may make none. It may still be under way: who asked waits for it. After a reload places in the
 * configuration may mean other filters, so a process that drains is given none. */
static bool on_milter_connect(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_milter_connect wanted;
	const struct config_milters *milters = &p->master->config.milters;
	if (!msg_milter_connect_read(frame, &wanted))
		return false;
	int descriptor = -1;
	if (p->state != PROCESS_DRAINING && wanted.index < milters->count)
		descriptor = socket_begin_connect(&milters->items[wanted.index].address, NULL);
	msg_milter_socket_send(&peer->channel, frame->request, &(struct msg_milter_socket){ .index = wanted.index }, descriptor);
	return true;
}

/* Likewise, for relay, which has no Unix sockets. */
static bool on_transport_connect(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_transport_connect wanted;
	struct endpoint address;
	const struct config_transports *transports = &p->master->config.transport;
	if (!msg_transport_connect_read(frame, &wanted))
		return false;
	int descriptor = -1;
	bool is_there = p->state != PROCESS_DRAINING && wanted.index < transports->count;
	if (is_there && endpoint_parse(str_of(transports->items[wanted.index].to.host), &address, NULL) && !endpoint_is_ip(&address))
		descriptor = socket_begin_connect(&address, NULL);
	msg_transport_socket_send(&peer->channel, frame->request, &(struct msg_transport_socket){ .index = wanted.index }, descriptor);
	return true;
}

static bool on_want_mailbox(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_want_mailbox want;
	if (!msg_want_mailbox_read(frame, &want) || want.account == 0)
		return false;
	mailbox_want(p->master, want.account);
	return true;
}

static bool on_idle(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)frame;
	return mailbox_idle(peer->owner);
}

/* Whom auth, queue or resolver ended for what it sent. The account is what queue knows a mailbox by. */
static bool on_offender(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *reporter = peer->owner;
	struct msg_offender offender;
	if (!msg_offender_read(frame, &offender) || offender.role == peer->role || offender.role >= ROLE_COUNT)
		return false;
	for (struct process *p = reporter->master->processes[offender.role]; p; p = p->next) {
		bool named = p->peer.role == ROLE_MAILBOX ? p->account == offender.peer : offender.peer == 0 || p->peer.id == offender.peer;
		if (!named || !are_wired(reporter, p))
			continue;
		ipc_peer_end(&p->peer, "reported for what it sent");
		return true;
	}
	return true; /* it is gone already */
}

static bool on_pong(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	(void)frame;
	p->answered_ping = true;
	return true;
}

/* We kill what a pid names, as root: a zygote must not choose it freely. */
static bool is_child_of(pid_t pid, pid_t parent)
{
	CLEANUP(mem_free) char *path = mem_printf("/proc/%d/stat", (int)pid);
	CLEANUP(file_close) int file = open(path, O_RDONLY | O_CLOEXEC);
	char text[512], *name_end;
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	if (length <= 0)
		return false;
	text[length] = '\0';
	/* pid (name) state parent …; the name may hold anything. */
	name_end = strrchr(text, ')');
	return name_end && strlen(name_end) > 4 && strtol(name_end + 4, NULL, 10) == parent;
}

static bool on_forked(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *zygote = peer->owner;
	struct msg_forked forked;
	if (!msg_forked_read(frame, &forked))
		return false;
	struct process *p = process_find(zygote->master, ROLE_MAILBOX, frame->request);
	pid_t pid = (pid_t)forked.pid;
	/* Otherwise it ended before we heard of it, or the zygote lies: closing its channel must do then. */
	if (p && p->account == forked.account && p->pid == 0 && !map_get(p->master->by_pid, MAP_KEY(pid)) && is_child_of(pid, zygote->pid))
		set_pid(p, pid);
	return true;
}

static bool on_child_ended(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *zygote = peer->owner;
	struct msg_child_ended ended;
	if (!msg_child_ended_read(frame, &ended))
		return false;
	process_reaped(zygote->master, ROLE_MAILBOX, (pid_t)ended.pid, (int)ended.status);
	if (WIFSIGNALED((int)ended.status) && WTERMSIG((int)ended.status) != SIGKILL && WTERMSIG((int)ended.status) != SIGTERM)
		renew_zygote(zygote);
	return true;
}

/* What each role may ask of master. */
static const struct ipc_permit permits_porter[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready }, { MSG_SESSION, GREETED, 0, on_session },
	{ MSG_RETIRE, GREETED, 1, on_retire },
};
static const struct ipc_permit permits_auth[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready },
	{ MSG_SESSION_ACCOUNT, GREETED, 0, on_session_account }, { MSG_ACCOUNT_DROP, GREETED, 0, on_account_drop },
	{ MSG_OFFENDER, GREETED, 0, on_offender },           { MSG_SESSION_DROP, GREETED, 0, on_session_drop },
};
static const struct ipc_permit permits_queue[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready }, { MSG_WANT_MAILBOX, GREETED, 0, on_want_mailbox },
	{ MSG_OFFENDER, GREETED, 0, on_offender },
};
static const struct ipc_permit permits_resolver[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready }, { MSG_OFFENDER, GREETED, 0, on_offender },
};
static const struct ipc_permit permits_relay[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready }, { MSG_TRANSPORT_CONNECT, GREETED, 0, on_transport_connect },
};
static const struct ipc_permit permits_smtpd[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready }, { MSG_LOAD, GREETED, 0, on_load },
	{ MSG_SESSION_RETURN, GREETED, 0, on_session_return }, { MSG_RETIRE, GREETED, 1, on_retire },
	{ MSG_MILTER_CONNECT, GREETED, 0, on_milter_connect },
};
static const struct ipc_permit permits_zygote[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready }, { MSG_FORKED, GREETED, 0, on_forked },
	{ MSG_CHILD_ENDED, GREETED, 0, on_child_ended },
};
static const struct ipc_permit permits_mailbox[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready }, { MSG_IDLE, GREETED, 0, on_idle },
	{ MSG_PONG, GREETED, 0, on_pong }, { MSG_SESSION_RETURN, GREETED, 0, on_session_return },
	{ MSG_SESSION_CLOSED, GREETED, 0, on_session_closed },
};

static const struct {
	const struct ipc_permit *list;
	size_t count;
} permits[ROLE_COUNT] = {
	[ROLE_PORTER] = { permits_porter, COUNT_OF(permits_porter) }, [ROLE_AUTH] = { permits_auth, COUNT_OF(permits_auth) },
	[ROLE_QUEUE] = { permits_queue, COUNT_OF(permits_queue) },    [ROLE_SMTPD] = { permits_smtpd, COUNT_OF(permits_smtpd) },
	[ROLE_ZYGOTE] = { permits_zygote, COUNT_OF(permits_zygote) }, [ROLE_MAILBOX] = { permits_mailbox, COUNT_OF(permits_mailbox) },
	[ROLE_RESOLVER] = { permits_resolver, COUNT_OF(permits_resolver) },
	[ROLE_RELAY] = { permits_relay, COUNT_OF(permits_relay) },
};

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
	ipc_peer_start(&p->peer, m->loop, control, permits[role].list, permits[role].count, peer_ended);
	return p;
}

struct process *process_adopt_mailbox(struct master *m, uint64_t account, int control)
{
	struct process *p = add(m, ROLE_MAILBOX, KIND_USERS, control);
	p->account = account;
	p->sessions = map_new();
	return p;
}

/* Tried again when the longest back-off is over: what is missing may be memory, or a file that is just being installed. */
static bool cannot_start(struct master *m, enum ipc_role role, unsigned kind, const struct fail *fail)
{
	log_event(LOG_ERROR, 0, "start-failed", LOG_TEXT("role", str_of(ipc_role_name(role))), LOG_TEXT("why", str_of(fail_text(fail))));
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
	set_pid(add(m, role, kind, pair[0]), pid);
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

/* Those that nobody needed since the last time: a process costs as much as ten sessions, so one that is idle for a moment stays. */
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
static void adjust_pool(struct master *m, unsigned kind)
{
	unsigned max = kind == KIND_WORLD ? m->config.smtp_processes_max : m->config.submission_processes_max;
	const struct tally *tally = &m->tallies[ROLE_SMTPD][kind];
	while (!must_wait(m, ROLE_SMTPD, kind) && tally->idle < SMTPD_IDLE_MIN && tally->all < max && start(m, ROLE_SMTPD, kind))
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
		adjust_pool(m, kind);
		start_up_to(m, ROLE_PORTER, kind, m->config.porter_workers);
	}
}

static bool crashed_lately(const struct process *p)
{
	return loop_now_ms(p->master->loop) - p->started_ms < CRASH_FORGOTTEN_MS;
}

static void back_off(struct process *p)
{
	struct back_off *b = &p->master->back_off[p->peer.role][p->peer.kind];
	b->crashes = crashed_lately(p) ? b->crashes + 1 : 0;
	int64_t delay = BACK_OFF_FIRST_MS;
	for (unsigned i = 1; i < b->crashes && delay < BACK_OFF_MAX_MS; i++)
		delay *= 2;
	if (b->crashes > 0)
		b->until_ms = loop_now_ms(p->master->loop) + (delay < BACK_OFF_MAX_MS ? delay : BACK_OFF_MAX_MS);
}

/* A child of it crashed, so its memory layout may be known to an attacker: it forks no more, but stays the parent of its
 * children until the last of them ends. */
static void renew_zygote(struct process *zygote)
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
		log_event(expected ? LOG_INFO : LOG_WARNING, 0, "process-ended", LOG_TEXT("role", str_of(ipc_role_name(p->peer.role))),
		          LOG_NUMBER("pid", p->pid), LOG_TEXT("why", str_of(why ? why : "closed")));
	unlink_process(p);
	if (p->pid > 0)
		kill(p->pid, SIGKILL);
	forget_pid(p);
	if (p->peer.role == ROLE_MAILBOX)
		mailbox_ended(p);
	else if (!expected)
		back_off(p);
	tell_session_ended(p);
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
	/* The number may be given to another process now. What it sent before it ended is still read: its channel's end ends it. */
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

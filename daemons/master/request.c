/* What the children may ask of master. */
#include "master.h"

#include "log.h"
#include "socket.h"

#include <sys/wait.h>
#include <unistd.h>

/* States of a child, for its permits. */
enum { FRESH = 1, GREETED = 2 };

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
	if (peer->role == ROLE_AUTH)
		mailbox_tell_sessions(p);
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

static bool on_load(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_load load;
	if (!msg_load_read(frame, &load))
		return false;
	if (!load.busy)
		session_left_smtpd(p);
	process_set_busy(p, load.busy != 0);
	p->session_porter = load.porter;
	p->session_connection = load.connection;
	if (!p->master->stopping)
		process_adjust_pool(p->master, p->peer.kind);
	return true;
}

static bool on_retire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	(void)frame;
	/* It has met one that breaks the rules, and so may the next. */
	if (peer->role == ROLE_RELAY)
		process_back_off(p);
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

/* A connection for a process that may make none; -1: there is no such place. It may still be under way: who asked
 * waits for it. After a reload places in the configuration may mean others, so a process that drains is given none. */
static int begin_connection(const struct process *p, const struct endpoint *address)
{
	return address && p->state != PROCESS_DRAINING ? socket_begin_connect(address, NULL) : -1;
}

static bool on_milter_connect(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_milter_connect wanted;
	const struct config_milters *milters = &p->master->config.milters;
	if (!msg_milter_connect_read(frame, &wanted))
		return false;
	const struct endpoint *address = wanted.index < milters->count ? &milters->items[wanted.index].address : NULL;
	msg_milter_socket_send(&peer->channel, frame->request, &(struct msg_milter_socket){ .index = wanted.index },
		begin_connection(p, address));
	return true;
}

/* For relay, which connects to other hosts itself but has no Unix sockets. */
static bool on_transport_connect(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *p = peer->owner;
	struct msg_transport_connect wanted;
	struct endpoint address;
	const struct config_transports *transports = &p->master->config.transport;
	if (!msg_transport_connect_read(frame, &wanted))
		return false;
	bool is_there = wanted.index < transports->count &&
	                endpoint_parse(str_of(transports->items[wanted.index].to.host), &address, NULL) &&
	                !endpoint_is_ip(&address);
	const struct msg_transport_socket answer = { .index = wanted.index };
	msg_transport_socket_send(&peer->channel, frame->request, &answer, begin_connection(p, is_there ? &address : NULL));
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
		bool named = p->peer.role == ROLE_MAILBOX ? p->account == offender.peer
		                                          : offender.peer == 0 || p->peer.id == offender.peer;
		if (!named || !wire_joins(reporter, p))
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

static bool on_forked(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *zygote = peer->owner;
	struct msg_forked forked;
	if (!msg_forked_read(frame, &forked))
		return false;
	struct process *p = process_find(zygote->master, ROLE_MAILBOX, frame->request);
	pid_t pid = (pid_t)forked.pid;
	/* We kill what a pid names, as root: a zygote must not choose it freely. Otherwise it ended before we heard of
	 * it, or the zygote lies: closing its channel must do then. */
	if (p && p->account == forked.account && p->pid == 0 && !map_get(p->master->by_pid, MAP_KEY(pid)) &&
	    proc_is_child_of(pid, zygote->pid))
		process_set_pid(p, pid);
	return true;
}

static bool on_child_ended(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct process *zygote = peer->owner;
	struct msg_child_ended ended;
	if (!msg_child_ended_read(frame, &ended))
		return false;
	process_reaped(zygote->master, ROLE_MAILBOX, (pid_t)ended.pid, (int)ended.status);
	if (WIFSIGNALED((int)ended.status) && WTERMSIG((int)ended.status) != SIGKILL &&
	    WTERMSIG((int)ended.status) != SIGTERM)
		process_renew_zygote(zygote);
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
	{ MSG_HELLO, FRESH, 1, on_hello },
	{ MSG_READY, GREETED, 1, on_ready },
	{ MSG_WANT_MAILBOX, GREETED, 0, on_want_mailbox },
	{ MSG_OFFENDER, GREETED, 0, on_offender },
};
static const struct ipc_permit permits_resolver[] = {
	{ MSG_HELLO, FRESH, 1, on_hello }, { MSG_READY, GREETED, 1, on_ready }, { MSG_OFFENDER, GREETED, 0, on_offender },
};
static const struct ipc_permit permits_relay[] = {
	{ MSG_HELLO, FRESH, 1, on_hello },
	{ MSG_READY, GREETED, 1, on_ready },
	{ MSG_TRANSPORT_CONNECT, GREETED, 0, on_transport_connect },
	{ MSG_RETIRE, GREETED, 1, on_retire },
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
	[ROLE_PORTER] = { permits_porter, COUNT_OF(permits_porter) },
	[ROLE_AUTH] = { permits_auth, COUNT_OF(permits_auth) },
	[ROLE_QUEUE] = { permits_queue, COUNT_OF(permits_queue) },
	[ROLE_SMTPD] = { permits_smtpd, COUNT_OF(permits_smtpd) },
	[ROLE_ZYGOTE] = { permits_zygote, COUNT_OF(permits_zygote) },
	[ROLE_MAILBOX] = { permits_mailbox, COUNT_OF(permits_mailbox) },
	[ROLE_RESOLVER] = { permits_resolver, COUNT_OF(permits_resolver) },
	[ROLE_RELAY] = { permits_relay, COUNT_OF(permits_relay) },
};

const struct ipc_permit *request_permits(enum ipc_role role, size_t *count)
{
	*count = permits[role].count;
	return permits[role].list;
}

/* posthorn-porter world|users: see porter.h and docs/processes.md. */
#include "porter.h"

#include "file.h"
#include "log.h"
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_ROUND = 16, PEM_MAX = 1 << 18 };

struct listening {
	struct porter *porter;
	struct listening *next;
	enum service service;
	struct watch watch;
};

static struct porter *porter_of(struct ipc_peer *master)
{
	return master->owner;
}

static void stop_listening(struct porter *porter)
{
	while (porter->listening) {
		struct listening *first = porter->listening;
		porter->listening = first->next;
		loop_unwatch(porter->daemon.loop, &first->watch);
		close(first->watch.descriptor);
		free(first);
	}
}

void porter_check_done(struct porter *porter)
{
	if (porter->draining && map_count(porter->connections) == 0)
		loop_stop(porter->daemon.loop);
}

static void begin_draining(struct porter *porter)
{
	porter->draining = true;
	stop_listening(porter);
	porter_check_done(porter);
}

void porter_retire(struct porter *porter)
{
	if (porter->draining)
		return;
	msg_retire_send(&porter->daemon.master.channel, 0, &(struct msg_retire){}, -1);
	begin_draining(porter);
}

/* Says at once why, in constant memory: the connection never becomes one of ours. */
static void turn_away(int descriptor, enum service service)
{
	const char *busy = connection_dialogue(service)->too_busy;
	ssize_t sent = send(descriptor, busy, strlen(busy), MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)sent;
	close(descriptor);
}

static void on_listener(void *owner, uint32_t events)
{
	struct listening *listening = owner;
	struct porter *porter = listening->porter;
	unsigned most = porter->daemon.config.connections_max / porter->daemon.config.porter_workers;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_ROUND; i++) {
		int descriptor = accept4(listening->watch.descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (descriptor < 0)
			return;
		if (map_count(porter->connections) >= (most ? most : 1))
			turn_away(descriptor, listening->service);
		else
			connection_new(porter, listening->service, descriptor);
		if (++porter->accepted >= porter->daemon.config.porter_retire_connections) {
			porter_retire(porter);
			return;
		}
	}
}

static bool on_listening_socket(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = porter_of(peer);
	struct msg_listener message;
	int descriptor = ipc_take_descriptor(frame);
	if (!msg_listener_read(frame, &message) || descriptor < 0 || message.service >= SERVICE_CONTROL)
		return false;
	struct listening *listening = mem_alloc(sizeof *listening);
	listening->porter = porter;
	listening->service = (enum service)message.service;
	listening->next = porter->listening;
	porter->listening = listening;
	loop_watch(porter->daemon.loop, &listening->watch, descriptor, EPOLLIN | EPOLLEXCLUSIVE, on_listener, listening);
	return true;
}

/* Chain and key travel together, in sealed memory that master closed after sending. */
static bool on_certificate(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = porter_of(peer);
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(buf_release) struct buf chain = BUF_WITH_LIMIT(PEM_MAX), key = BUF_WITH_LIMIT(PEM_MAX);
	struct msg_certificate message;
	if (!msg_certificate_read(frame, &message) || frame->descriptor_count != 2)
		return false;
	if (!porter->tls)
		porter->tls = tls_server_new((enum tls_minimum)porter->daemon.config.tls_minimum);
	if (!file_read_all(frame->descriptors[0], &chain, &fail) || !file_read_all(frame->descriptors[1], &key, &fail) ||
	    !tls_server_add(porter->tls, buf_str(&chain), buf_str(&key), &fail))
		log_event(LOG_ERROR, 0, "bad-certificate", LOG_NUMBER("index", message.index),
		          LOG_TEXT("why", str_of(fail_text(fail))));
	buf_wipe(&key);
	return true;
}

static bool on_wire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = porter_of(peer);
	struct msg_wire wire;
	if (!msg_wire_read(frame, &wire))
		return false;
	if (wire.role == ROLE_AUTH)
		return link_wire(porter, frame);
	int descriptor = ipc_take_descriptor(frame);
	if (wire.role != ROLE_SMTPD || descriptor < 0)
		return false;
	porter->id = wire.peer;
	ipc_channel_init_shared(&porter->pool, descriptor);
	porter->has_pool = true;
	return true;
}

static bool on_pool(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_pool pool;
	if (!msg_pool_read(frame, &pool))
		return false;
	porter_of(peer)->pool_full = pool.full != 0;
	return true;
}

static bool on_taken(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct connection *c = map_get(porter_of(peer)->connections, MAP_KEY(frame->request));
	if (c)
		handover_taken(c);
	return true;
}

static bool on_session_refused(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_session_refused refused;
	struct connection *c = map_get(porter_of(peer)->connections, MAP_KEY(frame->request));
	if (!msg_session_refused_read(frame, &refused))
		return false;
	if (c && c->waits_for == WAITS_FOR_MASTER)
		c->dialogue->session_refused(c, refused.text);
	return true;
}

static bool on_return(struct ipc_peer *peer, struct ipc_frame *frame)
{
	return handover_returned(porter_of(peer), frame);
}

static bool on_ended(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct connection *c = map_get(porter_of(peer)->connections, MAP_KEY(frame->request));
	if (c)
		handover_ended(c);
	return true;
}

static bool on_session_drop(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct connection *c = map_get(porter_of(peer)->connections, MAP_KEY(frame->request));
	if (c)
		handover_drop(c);
	return true;
}

static bool on_drain(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)frame;
	begin_draining(porter_of(peer));
	return true;
}

#define ANY (unsigned)IPC_ANY_STATE
static const struct ipc_permit permits[] = {
	{ MSG_LISTENER, ANY, 0, on_listening_socket }, { MSG_CERTIFICATE, ANY, 0, on_certificate },
	{ MSG_WIRE, ANY, 0, on_wire },                 { MSG_POOL, ANY, 0, on_pool },
	{ MSG_SESSION_TAKEN, ANY, 0, on_taken },       { MSG_SESSION_REFUSED, ANY, 0, on_session_refused },
	{ MSG_SESSION_RETURN, ANY, 0, on_return },     { MSG_SESSION_ENDED, ANY, 0, on_ended },
	{ MSG_SESSION_DROP, ANY, 0, on_session_drop }, { MSG_DRAIN, ANY, 0, on_drain },
};

static void preload(const struct config *config)
{
	(void)config;
	tls_preload();
}

static const struct daemon_spec spec = {
	.program = "porter", .role = ROLE_PORTER,
	.preload = preload, .permits = permits, .permit_count = COUNT_OF(permits),
};

int main(int argc, char **argv)
{
	struct porter porter = { .connections = map_new() };
	if (argc != 2)
		return 2;
	porter.kind = str_equal(str_of(argv[1]), STR("users")) ? KIND_USERS : KIND_WORLD;
	daemon_begin(&porter.daemon, &spec, &porter);
	daemon_ready(&porter.daemon);
	loop_run(porter.daemon.loop);
	return 0;
}

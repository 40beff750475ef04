#include "ipc.h"

#include "ipc_internal.h"
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { FRAMES_PER_ROUND = 32 };

struct header {
	uint32_t type;
	uint32_t length; /* of the payload; checked against what came */
	uint64_t request;
};

struct ipc_waiting {
	struct ipc_waiting *next;
	int descriptors[LIMIT_IPC_DESCRIPTORS_MAX];
	size_t descriptor_count;
	struct header header;
	char payload[];
};

static const char *const role_names[ROLE_COUNT] = {
	[ROLE_MASTER] = "master", [ROLE_PORTER] = "porter", [ROLE_AUTH] = "auth",     [ROLE_MAILBOX] = "mailbox",
	[ROLE_SMTPD] = "smtpd",   [ROLE_QUEUE] = "queue",   [ROLE_ZYGOTE] = "zygote", [ROLE_CTL] = "ctl",
	[ROLE_RESOLVER] = "resolver",
	[ROLE_RELAY] = "relay",
};

const char *ipc_role_name(enum ipc_role role)
{
	return (unsigned)role < ROLE_COUNT && role_names[role] ? role_names[role] : "unknown";
}

struct ipc_id ipc_id_make(void)
{
	struct ipc_id id;
	must(getrandom(id.bytes, sizeof id.bytes, 0) == (ssize_t)sizeof id.bytes);
	return id;
}

uint64_t ipc_number_make(void)
{
	uint64_t number = 0;
	while (number == 0)
		must(getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number);
	return number;
}

void ipc_channel_init(struct ipc_channel *channel, int descriptor)
{
	*channel = (struct ipc_channel){ .descriptor = descriptor };
}

void ipc_channel_init_shared(struct ipc_channel *channel, int descriptor)
{
	*channel = (struct ipc_channel){ .descriptor = descriptor, .shared = true };
}

static void close_all(const int *descriptors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(descriptors[i]);
}

static void drop_first_waiting(struct ipc_channel *channel)
{
	struct ipc_waiting *first = channel->first_waiting;
	close_all(first->descriptors, first->descriptor_count);
	channel->first_waiting = first->next;
	channel->waiting_octets -= sizeof *first + first->header.length;
	channel->waiting_descriptors -= first->descriptor_count;
	if (!first->next)
		channel->last_waiting = NULL;
	free(first);
}

static void break_channel(struct ipc_channel *channel)
{
	channel->broken = true;
	while (channel->first_waiting)
		drop_first_waiting(channel);
}

void ipc_channel_release(struct ipc_channel *channel)
{
	break_channel(channel);
	if (channel->descriptor >= 0)
		close(channel->descriptor);
	channel->descriptor = -1;
}

bool ipc_pair(int pair[2], struct fail **fail)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return fail_set_errno(fail, FAIL_LIMIT, "cannot make a pair of sockets");
	return true;
}

/* 1 sent, 0 would block, -1 broken */
static int send_now(struct ipc_channel *channel, const struct header *header, struct str payload, struct str tail,
                    const int *descriptors, size_t count, int flags)
{
	struct iovec parts[3] = {
		{ (void *)header, sizeof *header },
		{ (void *)payload.data, payload.length },
		{ (void *)tail.data, tail.length },
	};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * LIMIT_IPC_DESCRIPTORS_MAX)];
	} control = {};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = tail.length ? 3 : payload.length ? 2 : 1 };
	if (count) {
		message.msg_control = control.room;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		struct cmsghdr *item = CMSG_FIRSTHDR(&message);
		*item = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int) * count), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(item), descriptors, sizeof(int) * count);
	}
	for (;;) {
		if (sendmsg(channel->descriptor, &message, MSG_NOSIGNAL | flags) >= 0)
			return 1;
		if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

static void enqueue(struct ipc_channel *channel, const struct header *header, struct str payload, struct str tail,
                    const int *descriptors, size_t count)
{
	if (channel->waiting_octets + sizeof(struct ipc_waiting) + header->length > LIMIT_IPC_WAITING_MAX ||
	    channel->waiting_descriptors + count > LIMIT_IPC_WAITING_DESCRIPTORS_MAX) {
		close_all(descriptors, count);
		break_channel(channel);
		if (channel->waits)
			channel->waits(channel);
		return;
	}
	struct ipc_waiting *waiting = mem_alloc(sizeof *waiting + header->length);
	waiting->header = *header;
	waiting->descriptor_count = count;
	if (count)
		memcpy(waiting->descriptors, descriptors, sizeof(int) * count);
	if (payload.length)
		memcpy(waiting->payload, payload.data, payload.length);
	if (tail.length)
		memcpy(waiting->payload + payload.length, tail.data, tail.length);
	if (channel->last_waiting)
		channel->last_waiting->next = waiting;
	else
		channel->first_waiting = waiting;
	channel->last_waiting = waiting;
	channel->waiting_octets += sizeof *waiting + header->length;
	channel->waiting_descriptors += count;
	if (channel->waits)
		channel->waits(channel);
}

void ipc_send(struct ipc_channel *channel, enum msg_type type, uint64_t request, struct str payload,
              const int *descriptors, size_t descriptor_count)
{
	ipc_send_parts(channel, type, request, payload, (struct str){}, descriptors, descriptor_count);
}

void ipc_send_parts(struct ipc_channel *channel, enum msg_type type, uint64_t request, struct str payload,
                    struct str tail, const int *descriptors, size_t descriptor_count)
{
	size_t length = payload.length + tail.length;
	must(length <= LIMIT_IPC_FRAME_MAX - sizeof(struct header) && descriptor_count <= LIMIT_IPC_DESCRIPTORS_MAX);
	struct header header = { (uint32_t)type, (uint32_t)length, request };
	if (channel->broken) {
		close_all(descriptors, descriptor_count);
		return;
	}
	/* A channel outside a loop (waits not set) may block: its process has nothing else to do. */
	int flags = channel->waits || channel->shared ? MSG_DONTWAIT : 0;
	int sent = channel->first_waiting ? 0
	                                  : send_now(channel, &header, payload, tail, descriptors, descriptor_count, flags);
	channel->full = channel->shared && sent == 0;
	if (sent == 0 && !channel->shared) {
		enqueue(channel, &header, payload, tail, descriptors, descriptor_count);
		return;
	}
	close_all(descriptors, descriptor_count);
	if (sent < 0)
		break_channel(channel);
}

/* Sends what waits; true when nothing waits any more. */
static bool flush(struct ipc_channel *channel)
{
	while (channel->first_waiting) {
		struct ipc_waiting *first = channel->first_waiting;
		int sent = send_now(channel, &first->header, str_from(first->payload, first->header.length), (struct str){},
			first->descriptors,
		                    first->descriptor_count, MSG_DONTWAIT);
		if (sent == 0)
			return false;
		if (sent < 0)
			break_channel(channel);
		else
			drop_first_waiting(channel);
	}
	return true;
}

static void collect_descriptors(struct msghdr *message, struct ipc_frame *frame)
{
	for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item; item = CMSG_NXTHDR(message, item)) {
		if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int descriptor;
			memcpy(&descriptor, CMSG_DATA(item) + i * sizeof(int), sizeof descriptor);
			if (frame->descriptor_count < LIMIT_IPC_DESCRIPTORS_MAX)
				frame->descriptors[frame->descriptor_count++] = descriptor;
			else
				close(descriptor);
		}
	}
}

static bool understand(const struct msghdr *message, const char *received, size_t length, struct ipc_frame *frame)
{
	struct header header;
	if (length < sizeof header || message->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return false;
	memcpy(&header, received, sizeof header);
	if (header.type == MSG_NONE || header.type >= MSG_COUNT || header.length != length - sizeof header)
		return false;
	frame->type = (enum msg_type)header.type;
	frame->request = header.request;
	frame->payload = str_from(received + sizeof header, header.length);
	return true;
}

static enum ipc_received receive(struct ipc_channel *channel, struct ipc_frame *frame, int flags)
{
	*frame = (struct ipc_frame){};
	if (channel->descriptor < 0)
		return IPC_CLOSED;
	struct iovec part = { ipc_scratch()->received, LIMIT_IPC_FRAME_MAX };
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int) * LIMIT_IPC_DESCRIPTORS_MAX)];
	} control;
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room,
		.msg_controllen = sizeof control.room };
	ssize_t length;
	do
		length = recvmsg(channel->descriptor, &message, flags | MSG_CMSG_CLOEXEC);
	while (length < 0 && errno == EINTR);
	if (length < 0 && errno == EAGAIN)
		return IPC_AGAIN;
	if (length <= 0)
		return IPC_CLOSED;
	collect_descriptors(&message, frame);
	if (understand(&message, part.iov_base, (size_t)length, frame))
		return IPC_FRAME;
	channel->malformed = true;
	ipc_close_descriptors(frame);
	return IPC_CLOSED;
}

enum ipc_received ipc_receive(struct ipc_channel *channel, struct ipc_frame *frame)
{
	return receive(channel, frame, MSG_DONTWAIT);
}

/* The wait is the socket's own, so that a question and its answer cost two system calls. */
static void set_patience(struct ipc_channel *channel, int timeout_ms)
{
	const struct timeval wait = { .tv_sec = timeout_ms < 0 ? 0 : timeout_ms / 1000, .tv_usec = timeout_ms < 0 ? 0 : timeout_ms % 1000 * 1000 };
	if (channel->has_patience && channel->patience_ms == timeout_ms)
		return;
	must(setsockopt(channel->descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
	channel->has_patience = true;
	channel->patience_ms = timeout_ms;
}

enum ipc_received ipc_receive_wait(struct ipc_channel *channel, struct ipc_frame *frame, int timeout_ms)
{
	if (timeout_ms == 0 || channel->descriptor < 0)
		return ipc_receive(channel, frame);
	set_patience(channel, timeout_ms);
	return receive(channel, frame, 0);
}

int ipc_take_descriptor(struct ipc_frame *frame)
{
	if (frame->descriptor_count == 0)
		return -1;
	int first = frame->descriptors[0];
	frame->descriptor_count--;
	memmove(frame->descriptors, frame->descriptors + 1, frame->descriptor_count * sizeof(int));
	return first;
}

void ipc_close_descriptors(struct ipc_frame *frame)
{
	close_all(frame->descriptors, frame->descriptor_count);
	frame->descriptor_count = 0;
}

/* ---- peers ---------------------------------------------------------------------------------- */

static void finish(struct ipc_peer *peer, const char *why)
{
	if (peer->ending)
		return;
	peer->ending = true;
	peer->ended(peer, why);
}

/* Finds the permit; NULL with *why set when the peer may not ask this now. */
static const struct ipc_permit *permit_for(struct ipc_peer *peer, enum msg_type type, const char **why)
{
	*why = "message not permitted";
	for (size_t i = 0; i < peer->permit_count; i++) {
		if (peer->permits[i].type != type)
			continue;
		*why = "message not permitted in this state";
		if (!(peer->permits[i].states & peer->state))
			continue;
		*why = "message sent too often";
		if (peer->permits[i].times && peer->times_used[i] >= peer->permits[i].times)
			return NULL;
		peer->times_used[i]++;
		return &peer->permits[i];
	}
	return NULL;
}

static bool serve_frame(struct ipc_peer *peer, struct ipc_frame *frame)
{
	const char *why = NULL;
	const struct ipc_permit *permit = permit_for(peer, frame->type, &why);
	if (!permit) {
		ipc_close_descriptors(frame);
		finish(peer, why);
		return false;
	}
	bool well_formed = (frame->payload.length == 0 || !msg_is_empty(frame->type)) && permit->handle(peer, frame);
	ipc_close_descriptors(frame);
	return well_formed;
}

/* That what was sent last met a peer that had gone is nothing to blame it for. */
static const char *why_closed(const struct ipc_peer *peer)
{
	return peer->channel.malformed ? "no frame" : NULL;
}

static void peer_readable(struct ipc_peer *peer)
{
	struct ipc_frame frame;
	unsigned most = peer->frames_per_round ? peer->frames_per_round : FRAMES_PER_ROUND;
	for (unsigned i = 0; i < most && peer->end_timer.place == 0; i++) {
		/* The handler may release the peer: then the watch is gone and nothing of it may be touched. */
		enum ipc_received got = ipc_receive(&peer->channel, &frame);
		if (got == IPC_AGAIN)
			return;
		if (got == IPC_CLOSED) {
			finish(peer, why_closed(peer));
			return;
		}
		bool alive = true;
		bool *outer = peer->alive;
		peer->alive = &alive;
		bool good = serve_frame(peer, &frame);
		if (!alive)
			return;
		peer->alive = outer;
		if (!good) {
			finish(peer, "malformed message");
			return;
		}
	}
}

static void peer_ready(void *owner, uint32_t events)
{
	struct ipc_peer *peer = owner;
	if (events & EPOLLOUT && flush(&peer->channel))
		loop_change(peer->loop, &peer->watch, EPOLLIN);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		peer_readable(peer);
}

static void peer_waits(struct ipc_channel *channel)
{
	struct ipc_peer *peer = (struct ipc_peer *)((char *)channel - offsetof(struct ipc_peer, channel));
	if (channel->broken)
		ipc_peer_end(peer, "does not read");
	else if (peer->watch.added)
		loop_change(peer->loop, &peer->watch, EPOLLIN | EPOLLOUT);
}

void ipc_peer_start(struct ipc_peer *peer, struct loop *loop, int descriptor, const struct ipc_permit *permits,
                    size_t count, void (*ended)(struct ipc_peer *peer, const char *why))
{
	ipc_channel_init(&peer->channel, descriptor);
	peer->channel.waits = peer_waits;
	peer->loop = loop;
	peer->state = 1;
	peer->permits = permits;
	peer->permit_count = count;
	peer->times_used = mem_alloc((count + 1) * sizeof *peer->times_used);
	peer->ended = ended;
	peer->ending = false;
	loop_watch(loop, &peer->watch, descriptor, EPOLLIN, peer_ready, peer);
}

void ipc_peer_forget(struct ipc_peer *peer)
{
	if (peer->alive)
		*peer->alive = false;
	peer->alive = NULL;
	peer->watch.added = false;
	loop_stop_timer(peer->loop, &peer->end_timer);
	ipc_channel_release(&peer->channel);
	free(peer->times_used);
	peer->times_used = NULL;
}

void ipc_peer_release(struct ipc_peer *peer)
{
	loop_unwatch(peer->loop, &peer->watch);
	ipc_peer_forget(peer);
}

static void end_now(void *owner)
{
	struct ipc_peer *peer = owner;
	finish(peer, peer->end_why);
}

void ipc_peer_end(struct ipc_peer *peer, const char *why)
{
	peer->end_why = why;
	loop_start_timer(peer->loop, &peer->end_timer, 0, end_now, peer);
}

/*
 * Talk between Posthorn's processes: frames over SOCK_SEQPACKET pairs that master made.
 *
 * A frame is a header (type, request number) and one message of messages.def, and may carry descriptors; those that
 * nobody takes are closed. Reading is strict: an unknown type, a length beyond a field's limit, bytes left over or
 * too many descriptors make the frame bad, and a bad frame ends that peer, never the receiver. Views in a read
 * message live until the next receive in this thread.
 *
 * Sending is sticky: after a failure the channel is broken and further sends do nothing; the owner sees it at the
 * next receive, which still yields what the other side had sent before. In a loop a channel never blocks: what the
 * socket does not take waits in a bounded queue, and a peer that lets it pass the bound is ended.
 */
#ifndef POSTHORN_IPC_IPC_H
#define POSTHORN_IPC_IPC_H

#include "buf.h"
#include "fail.h"
#include "limits.h"
#include "loop.h"

#include <stdint.h>

enum ipc_role { ROLE_MASTER = 1, ROLE_PORTER, ROLE_AUTH, ROLE_MAILBOX, ROLE_SMTPD, ROLE_QUEUE, ROLE_ZYGOTE, ROLE_CTL,
	ROLE_RESOLVER, ROLE_RELAY, ROLE_COUNT };

/* "porter" and so on, for logs. */
const char *ipc_role_name(enum ipc_role role);

enum msg_type {
	MSG_NONE,
#define MESSAGE(NAME, name, fields) MSG_##NAME,
#include "messages.def"
#undef MESSAGE
	MSG_COUNT
};

const char *msg_name(enum msg_type type);

/* Has it no fields? Peers check that such a frame has no payload, so handlers need not read it. */
bool msg_is_empty(enum msg_type type);

/* Of this build's messages.def; sent in HELLO. */
uint32_t ipc_version(void);

struct ipc_id {
	unsigned char bytes[16];
};

/* A random one. */
struct ipc_id ipc_id_make(void);
/* A random number other than 0. */
uint64_t ipc_number_make(void);

#define U32(x) uint32_t x;
#define U64(x) uint64_t x;
#define I64(x) int64_t x;
#define ID(x) struct ipc_id x;
#define TEXT(x, max) struct str x;
#define BYTES(x, max) struct str x;
#define MESSAGE(NAME, name, fields) \
	struct msg_##name {             \
		fields                      \
	};
#include "messages.def"
#undef MESSAGE
#undef U32
#undef U64
#undef I64
#undef ID
#undef TEXT
#undef BYTES

struct ipc_frame {
	enum msg_type type;
	uint64_t request;
	struct str payload;
	int descriptors[LIMIT_IPC_DESCRIPTORS_MAX]; /* the receiver closes those it does not take */
	size_t descriptor_count;
};

struct ipc_channel {
	int descriptor;
	bool broken;
	bool malformed; /* the last thing received was no frame */
	bool shared;    /* see ipc_channel_init_shared */
	bool full;      /* shared: the last frame was not sent */
	struct ipc_waiting *first_waiting; /* frames the socket did not take yet, oldest first */
	struct ipc_waiting *last_waiting;
	size_t waiting_octets;
	size_t waiting_descriptors;
	void (*waits)(struct ipc_channel *channel); /* set by ipc_peer: called when frames begin to wait, and when too many do */
	bool has_patience; /* how long ipc_receive_wait waits, as the socket was told */
	int patience_ms;
};

/* Takes ownership of the descriptor. */
void ipc_channel_init(struct ipc_channel *channel, int descriptor);

/* For a socket whose reading end several processes share: nothing waits behind it. A frame that it does not take at
 * once is not sent, and full says so until the next one. */
void ipc_channel_init_shared(struct ipc_channel *channel, int descriptor);
void ipc_channel_release(struct ipc_channel *channel);

/* A connected pair; false when descriptors run out. */
bool ipc_pair(int pair[2], struct fail **fail);

/* Sends a frame. Descriptors given become the channel's and are closed after sending, in any case. */
void ipc_send(struct ipc_channel *channel, enum msg_type type, uint64_t request, struct str payload,
              const int *descriptors, size_t descriptor_count);

enum ipc_received { IPC_FRAME, IPC_AGAIN, IPC_CLOSED };

/* One frame, without blocking. IPC_CLOSED: the other side is gone, or what it sent was no frame. */
enum ipc_received ipc_receive(struct ipc_channel *channel, struct ipc_frame *frame);

/* One frame, waiting at most timeout_ms: IPC_AGAIN after that. */
enum ipc_received ipc_receive_wait(struct ipc_channel *channel, struct ipc_frame *frame, int timeout_ms);

/* The first descriptor, which the caller then owns, or -1. */
int ipc_take_descriptor(struct ipc_frame *frame);
void ipc_close_descriptors(struct ipc_frame *frame);

/* For each message: msg_x_send(channel, request, &message, descriptor or -1) and msg_x_read(&frame, &message), which is
 * false for a frame that is not exactly such a message. */
#define MESSAGE(NAME, name, fields)                                                                                      \
	void msg_##name##_send(struct ipc_channel *channel, uint64_t request, const struct msg_##name *message, int descriptor); \
	bool msg_##name##_read(const struct ipc_frame *frame, struct msg_##name *message);
#include "messages.def"
#undef MESSAGE

/* ---- peers in an event loop --------------------------------------------------------------- */

struct ipc_peer;

/* What a peer may ask: in which of its states (bits; the owner of the peer sets peer->state), how often in its life
 * (0: as it likes). handle returns false for a malformed request, which ends the peer. */
struct ipc_permit {
	enum msg_type type;
	unsigned states;
	unsigned times;
	bool (*handle)(struct ipc_peer *peer, struct ipc_frame *frame);
};

struct ipc_peer {
	struct ipc_channel channel;
	struct watch watch;
	struct loop *loop;
	enum ipc_role role;
	uint64_t id;
	unsigned kind;
	unsigned state;
	unsigned frames_per_round; /* read before others have their turn; 1 saves a look where one question comes at a time; 0: many */
	const struct ipc_permit *permits;
	size_t permit_count;
	unsigned *times_used;
	void *owner;
	/* Called once, when the peer is gone or was ended for what it sent (why NULL: it closed). It must release the
	 * peer. */
	void (*ended)(struct ipc_peer *peer, const char *why);
	bool ending;
	const char *end_why;
	struct timer end_timer;
	bool *alive; /* of the frame being served: set to false when the handler releases the peer */
};

enum { IPC_ANY_STATE = ~0 };

/* Starts serving; peer->role, id, kind, owner may be set before. state begins as 1. */
void ipc_peer_start(struct ipc_peer *peer, struct loop *loop, int descriptor, const struct ipc_permit *permits,
                    size_t count, void (*ended)(struct ipc_peer *peer, const char *why));

/* Stops watching and closes; the struct can then be freed. */
void ipc_peer_release(struct ipc_peer *peer);

/* The same in a child after fork: the loop's registration is the parent's and stays. The loop must not run again
 * here. */
void ipc_peer_forget(struct ipc_peer *peer);

/* Ends it as soon as the loop is back in control: calls ended(). Nothing that it sent is served any more. */
void ipc_peer_end(struct ipc_peer *peer, const char *why);

#endif

/*
 * Accounts and their mailbox processes: what is sent, what is owed, what comes back.
 *
 * Sends never block: at most a window is in flight to an account, so that one that hangs, fails or is full delays no
 * other one. Deliveries of an account are listed in the order of arrival until the disk says that they are DONE or
 * FAILED. When the channel closes, what was SENT is PENDING again and is sent anew as a replay, which the mailbox
 * knows by its name.
 */
#ifndef POSTHORN_QUEUE_DELIVER_H
#define POSTHORN_QUEUE_DELIVER_H

#include "gather.h"
#include "ipc.h"
#include "loop.h"
#include "mail.h"
#include "quota.h"
#include "services.h"

struct queue;

enum { WINDOW_FRAMES = 64, WINDOW_OCTETS = 4 << 20 };

struct account {
	struct queue *queue;
	uint64_t number;
	struct ipc_peer peer;
	bool has_peer;
	bool opened;                 /* MAILBOX_OPENED came */
	bool wanted;                 /* master was asked */
	bool queues_to_start;        /* is in queue->first_to_start … */
	struct account *next_to_start;
	bool replaying;              /* REPLAY_END is owed after replay_until */
	uint64_t replay_until;
	struct delivery *first, *last;
	struct delivery *cursor;     /* none before it is PENDING */
	uint64_t next_order;
	size_t waiting;              /* in the list */
	struct delivery *sent[WINDOW_FRAMES];
	size_t sent_count;
	uint64_t sent_octets;
	unsigned failures;           /* in a row */
	bool held;                   /* until retry_timer */
	struct timer retry_timer;
	bool watched;                /* a client would see what comes: nothing is held back */
	struct gathered gathered;    /* what is held back, see gather.h */
	uint64_t coming_bytes, coming_messages; /* accepted or promised, not in used yet */
	struct usage usage;
	uint64_t prunable;           /* applied rows that the mailbox keeps for us */
	int64_t trimmed_ms;          /* when it was told last */
	unsigned journals_told;      /* queue->journals_generation when JOURNALS was sent; 0: never */
};

/* Made if there is none; it lives as long as the process. */
struct account *account_get(struct queue *q, uint64_t number);

/* Its mailbox process is there, and is not; the descriptor is taken. */
bool deliver_wire(struct queue *q, const struct msg_wire *wire, int descriptor);
void deliver_failed_to_start(struct queue *q, uint64_t number);

/* The list of an account. */
void deliver_enqueue(struct account *a, struct delivery *d);
void deliver_dequeue(struct delivery *d);

/* From now on the account has nothing to do with it. */
void deliver_finish(struct delivery *d, enum delivery_state state);

/* Sends what the window allows, unless mail is held back. */
void deliver_push(struct account *a);

/* The oldest that is to be sent, or NULL. */
struct delivery *deliver_next_pending(struct account *a);

/* At the start: pushes every account that has mail, oldest mail first. */
void deliver_push_all(struct queue *q);

/* It goes back to be sent again: now, or with the retry of the account. */
void deliver_again(struct delivery *d);

/* What waits for a retry is sent now; from the loop, not from here. */
void deliver_retry_soon(struct account *a);

/* Gives up one recipient, local or remote: the sender is told, or it is forgotten silently. NULL: for the reason of
 * the last attempt. */
void deliver_give_up(struct delivery *d, const char *status, const char *why, bool tell);

/* Stops and begins to be sent, by the administrator or by time. */
void deliver_hold(struct delivery *d);
void deliver_release(struct delivery *d);

/* Tells mailboxes what they may forget. */
void deliver_tell_trimmed(struct queue *q);

#endif

/*
 * What is in the queue: a mail, its recipients ("deliveries"), its octets.
 *
 * A mail is one allocation that holds its deliveries; it ends itself when the last one is final and nothing of it is
 * under way, wherefore most calls say that mail, or d, may be gone when they return. Its octets, the encoded envelope
 * (head) and the body, are in memory only between arrival and sending; else they are read when they are needed, from
 * the journal or from a file of its own (spool.h). Wall clock is in seconds, monotonic time in milliseconds.
 * Failures: what cannot be read (mail_load, mail_hold, mail_envelope).
 */
#ifndef POSTHORN_QUEUE_MAIL_H
#define POSTHORN_QUEUE_MAIL_H

#include "arena.h"
#include "attempt.h"
#include "envelope.h"
#include "journal.h"

struct account;
struct destination;
struct lane;
struct mail;
struct queue;
struct ring;

enum { ENVELOPE_ARENA_MAX = 8 << 20 };

/* What the sender may be told of a recipient, RFC 3464 §2.3.3. */
enum report_kind { REPORT_FAILED, REPORT_DELAYED, REPORT_DELIVERED, REPORT_RELAYED };

enum delivery_state {
	DELIVERY_PENDING,
	DELIVERY_HELD,
	DELIVERY_SENT,
	DELIVERY_APPLIED,
	DELIVERY_BOUNCING,
	DELIVERY_DONE,
	DELIVERY_FAILED,
};

/* A stretch of mail->head. */
struct place {
	uint32_t offset;
	uint32_t length;
};

/* One recipient of a mail. */
struct delivery {
	struct mail *mail;
	struct account *account;            /* NULL: remote */
	struct destination *destination;    /* remote: of which domain; NULL when it is DONE or FAILED */
	struct lane *lane;                  /* remote: it is to be sent as soon as may be; NULL: else */
	struct delivery *previous, *next;   /* of the account, in the order of arrival; or of the lane; or of those of the destination that wait */
	uint64_t order;                     /* in that list, rising */
	uint32_t index;                     /* in the envelope */
	uint32_t attempts;
	uint32_t round;                     /* of the sync after which an APPLIED one is DONE */
	uint32_t tries;                     /* attempts since this process began */
	uint32_t due_place;                 /* 1 + index in destinations.due; 0: not there */
	enum delivery_state state;
	enum report_kind report;            /* BOUNCING: what the sender is told; then it is FAILED, or DONE */
	uint8_t notify;                     /* of RFC 3461, as in the envelope */
	bool listed;                        /* in the account's list: until the disk says that it is DONE or FAILED */
	bool waits;                         /* in the destination's list of those that wait for their time */
	bool deleted;                       /* by the administrator, while it was being sent: not tried again */
	bool counted;                       /* in account->coming_* */
	bool replay;                        /* was sent before */
	bool durable;                       /* was sent so that STORED says it is durable */
	bool logged;                        /* the file says that it is final */
	bool unlogged;                      /* an attempt that the file does not tell of */
	bool warned;                        /* the sender was told of the delay */
	bool for_destination;               /* waits because its destination was out of reach */
	int64_t due_ms;                     /* monotonic: the next look at it */
	struct place address, detail;
	struct attempt *last;               /* the last one, or NULL */
	int64_t last_attempt;               /* wall clock, seconds; 0: none */
};

struct mail {
	struct queue *queue;
	struct mail *previous, *next;           /* all mails, oldest first */
	struct mail *ring_previous, *ring_next; /* those that hold their ring, by sequence */
	struct ring *ring;                      /* where its record is, or was; NULL when that journal is gone */
	struct journal_uuid journal;
	uint64_t sequence;
	uint64_t id;
	uint64_t session;
	int64_t received;                       /* wall clock, seconds */
	int64_t queued_ms;                      /* monotonic */
	uint64_t size;                          /* of the body */
	uint64_t submitter;                     /* the account that submitted it, 0: nobody */
	int64_t hold_until;                     /* wall clock, seconds; 0: at once */
	int64_t deliver_by;                     /* wall clock, seconds; 0: none */
	uint64_t results;                       /* the oldest file of results that tells of it, 0: none */
	bool body_in_file;
	bool body_unchecked;                    /* an earlier queue wrote that file: it is checked before its first use */
	bool quarantine;                        /* it belongs into Junk */
	bool by_return;                         /* deliver_by: then it is given up */
	bool by_trace;                          /* deliver_by: who sent it hears of each host that took it */
	int8_t priority;
	bool has_sender;                        /* not the null one */
	bool held;                              /* by the administrator */
	bool may_not_move;                      /* a file could not be made a moment ago */
	bool in_file;
	bool busy;                              /* a job of filer is under way */
	bool pinned;                            /* filer reads its octets */
	bool damaged;                           /* cannot be read; what is on disk is kept */
	uint32_t count;                         /* recipients */
	uint32_t open;                          /* of them, neither DONE nor FAILED */
	uint32_t pending;                       /* to be sent, and not because their time has not come */
	uint32_t jobs;                          /* of relay, that name it */
	char *brief;                            /* sender and addresses, each with its NUL, of mail for few other hosts; or NULL */
	char *head;                             /* the envelope as encoded, or NULL */
	size_t head_length;
	char *body;                             /* behind the head or in memory of its own; NULL when not in memory */
	char *body_memory;                      /* what is to be freed for it, or NULL */
	size_t octets;                          /* in memory, as counted in queue->octets */
	struct place sender;
	struct delivery deliveries[];
};

/* A mail of this envelope; its deliveries have accounts, and are in no list yet. */
struct mail *mail_new(struct queue *q, const struct envelope *e);
void mail_free(struct mail *mail);

/* Puts it among all mails and its deliveries into their accounts' lists; is_final ones are left out. */
void mail_enqueue(struct mail *mail);

/* Gives it its octets, which become its own: head as encoded; body (of body_memory, which may be NULL) unless it has a
 * file. False when head is no envelope of this mail. */
bool mail_hold(struct mail *mail, char *head, size_t head_length, char *body, char *body_memory, struct fail **fail);

/* Sees to it that head is in memory, and body unless it has a file of its own. */
bool mail_load(struct mail *mail, struct fail **fail);
void mail_unload(struct mail *mail);

/* The envelope with the states as they are known now; it looks into arena and head. */
bool mail_envelope(struct mail *mail, struct arena *arena, struct envelope *e, struct fail **fail);

struct str mail_text(const struct mail *mail, struct place place);

/* The recipient's address, read if need be; empty when it cannot be read. */
struct str mail_address(const struct delivery *d);

/* It cannot be read: whoever did not get it yet never will, which its sender is told if the envelope is whole. mail
 * may be freed by this. */
void mail_give_up_damaged(struct mail *mail, const struct fail *fail);

/* Its record is no longer needed: there is a file, or all is done. */
void mail_leave_ring(struct mail *mail);

/* A recipient became DONE or FAILED. mail may be freed by this. */
void mail_settle(struct delivery *d, enum delivery_state state);

/* Those that the file tells of leave their accounts' lists: invariant 5 does not need them any more. */
void mail_release_logged(struct mail *mail);

/* What is to be done when nothing of it is under way: log, remove, free. mail may be freed by this. */
void mail_proceed(struct mail *mail);

static inline bool delivery_is_final(const struct delivery *d)
{
	return d->state == DELIVERY_DONE || d->state == DELIVERY_FAILED;
}

#endif

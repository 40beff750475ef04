/*
 * mailbox: the one process that touches an account's directory.
 *
 * The binary begins as the zygote, which loads what is needed and forks one child per account. A child
 * enters its own sandbox (that directory, nothing else), opens the store and serves.
 *
 * Threads: the main thread runs the event loop (master, queue, deliveries, care of the store); each session has a thread with
 * blocking reads and writes. They share the store, which does its own locking, and the list of sessions.
 *
 *	OPENING ──store is clean──────────────► SERVING ──quiet for a while──► IDLE ──DRAIN──► closed
 *	   └─unclean─► REPLAYING ──REPLAY_END──► ▲  ▲                            │
 *	               (sessions wait)              └────────── work ────────────┘
 */
#ifndef POSTHORN_MAILBOX_MAILBOX_H
#define POSTHORN_MAILBOX_MAILBOX_H

#include "daemon.h"
#include "services.h"
#include "store.h"
#include "stream.h"
#include "text_store.h"

#include <pthread.h>
#include <stdatomic.h>

struct session;

struct account {
	struct daemon daemon;
	uint64_t number;
	char *path;
	int directory;
	struct store *store;
	struct text_store *texts[TEXT_KINDS]; /* what SEARCH looks through */
	bool replaying;              /* no session begins */
	bool asked_to_end;           /* IDLE was sent: work that comes now is for the next process */
	struct ipc_peer queue;
	bool has_queue;
	bool watched;                /* queue was told that there are clients */
	bool catching_up;            /* and has not said UP_TO_DATE: no session begins */
	struct timer catch_up_timer;
	struct delivery_batch *batch; /* deliveries of this round of the loop */
	struct timer batch_timer;
	struct timer quiet_timer;
	struct timer care_timer;
	int64_t care_due_ms;         /* it is put off no longer; 0: there was nothing to do since the last one */
	uint64_t changes;            /* store_changes, when it was put off last */
	struct session *waiting;     /* came while replaying */
	pthread_mutex_t sessions_lock;
	struct session *sessions;    /* running; under the lock */
	struct session *over;        /* have ended; under the lock */
	unsigned session_count;      /* under the lock */
	int session_ended;           /* eventfd: a session's thread ended, or has something to say */
	struct watch session_ended_watch;
	atomic_bool usage_noted;     /* a session changed what is used or allowed; queue will hear */
	struct timer usage_timer;
	struct store_usage usage_told;
	atomic_bool restart;         /* a session wants the process to end and the next one to begin */
	atomic_bool rest;            /* posthornctl, which goes through all accounts, has done with this one */
	bool was_rebuilt;            /* when this process began: repair.h */
	struct store_rebuilt rebuilt;
};

/* A client's session, or posthornctl's. Owned by its thread once that runs. */
struct session {
	struct account *account;
	struct session *next;
	enum service service; /* SERVICE_CONTROL: posthornctl */
	int descriptor;       /* -1 once a stream has it */
	struct stream *stream; /* set under sessions_lock, so that others can interrupt it */
	bool interrupted;
	unsigned flags;       /* enum session_flags */
	uint64_t connection;
	uint64_t porter;
	char address[LIMIT_ADDRESS_MAX + 1];    /* the account's */
	char peer[64];
	char language[17];
	char tag[LIMIT_IMAP_TAG_MAX + 1]; /* of the IMAP command that logged in */
	char client_id[1025]; /* what the client said of itself before log-in (ID), for the log */
	struct buf leftover;
	int returned;         /* descriptor that goes back to porter; -1: none */
};

/* ---- zygote.c ---- */

/* What master may ask of the zygote. */
extern const struct ipc_permit zygote_permits[];
extern const size_t zygote_permit_count;

/* Serves as the zygote; in a child it returns the number of its account and its control descriptor. */
uint64_t zygote_serve(struct daemon *daemon, int *control);

/* ---- account.c ---- */
void account_serve(struct account *a, uint64_t number, int control);

/* Something was done: the quiet time begins anew. */
void account_note_work(struct account *a);

/* From a session's thread: what the account uses, or may use, has changed; queue hears of it soon. */
void account_note_usage(struct account *a);

/* From a session's thread: ends this process as if it were idle. Once the session is interrupted, whoever asks master
 * for the account gets the next process. */
void account_restart(struct account *a);

/* ---- delivery.c ---- */
bool delivery_wire(struct account *a, struct ipc_frame *frame);

/* Commits and acknowledges what has come in this round. */
void delivery_commit(struct account *a);

/* Tells queue what is used, and what holds, when that is not what it knows: mail for a full account is refused at
 * RCPT, and taken again as soon as there is room. */
void delivery_tell_usage(struct account *a);

/* Sees to it that queue holds no mail back while there are sessions: the first one begins (catching_up says whether
 * it must wait until what queue has is here), the last one ended. */
void delivery_watch(struct account *a);
void delivery_unwatch(struct account *a);

/* ---- session.c ---- */
bool session_begin(struct account *a, struct ipc_frame *frame);
void session_start_waiting(struct account *a);
void session_interrupt_all(struct account *a);

/* The one of this connection, if it still goes on. */
void session_interrupt_one(struct account *a, uint64_t connection);

/* Tells master of those that are over and frees them; for the main thread. */
void session_forget_over(struct account *a);
unsigned session_count(struct account *a);

/* Gives the session its stream, with the leftover of the dialogue before; NULL when it was interrupted already. */
struct stream *session_open_stream(struct session *s, size_t input_size, const struct stream_times *times);

/* Gives the connection back to porter, which goes on with the dialogue before log-in, and what was read ahead with
 * it. All output must have been sent. Nothing may be read or written after it: the caller returns from serving. */
void session_return(struct session *s);

/* ---- imap/ ---- */

/* From the answer to the log-in to the end of the connection; runs in the session's thread. */
void imap_serve(struct session *s);

/* ---- pop3/ ---- */

/* From the success line to the end of the connection; runs in the session's thread. */
void pop3_serve(struct session *s);

/* ---- control.c ---- */
void control_serve(struct session *s);

#endif

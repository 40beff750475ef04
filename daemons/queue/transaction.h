/*
 * What the files of smtpd's side of queue share: one transaction at a time per peer.
 *
 *	IDLE ──MAIL_BEGIN──► BEGUN ──MAIL_RECIPIENT──► ADDRESSED ──MAIL_BODY──► IN_BODY ──┐
 *	 └──refused──► REFUSED ──MAIL_BEGIN──►…         ├─MAIL_FILE──► IN_FILE ──────────┤
 *	                                                └────────────────────────────────┴─MAIL_COMMIT──► COMMITTING ──► IDLE
 *
 * MAIL_BEGIN with a recipient leads to ADDRESSED at once. WAITING stands before any of them while auth is asked; MAIL_ABORT leads to IDLE from all but WAITING and COMMITTING.
 *
 * transaction.c has the peer and the life of a transaction, transaction_begin.c what MAIL brings, transaction_recipient.c what RCPT
 * brings, transaction_content.c the message, transaction_commit.c its end. Texts of a transaction live in its arena.
 */
#ifndef POSTHORN_QUEUE_TRANSACTION_H
#define POSTHORN_QUEUE_TRANSACTION_H

#include "queue.h"
#include "sign.h"

enum intake_state {
	IDLE = 1, BEGUN = 2, ADDRESSED = 4, IN_BODY = 8, IN_FILE = 16, WAITING = 32, COMMITTING = 64, REFUSED = 128,
};

/* What fields in front of the message, and our signatures, may take beside it. */
enum { BODY_SLACK = 262144 };

struct promise {
	struct envelope_recipient recipient;
	struct str asked;        /* the address that led here, and */
	struct str leads_to;     /* the account's own, or the remote one: both for the log */
	struct account *account; /* NULL: remote */
	uint64_t octets;         /* counted in account->coming_bytes */
	enum verdict_kind kind;  /* at commit */
};

/* What one MAIL_RECIPIENT led to. */
struct addressed {
	uint32_t first; /* promise */
	uint32_t count; /* new ones from there on; 0: first was there already */
	bool is_expanded; /* it stands for several, and its sender asked for success: */
	struct envelope_recipient alias;
};

struct intake {
	struct intake *previous, *next;
	struct queue *queue;
	struct ipc_peer peer;
	bool gone;                /* the peer is; the commit is still under way */
	/* of the transaction */
	uint64_t request;         /* 0: none */
	struct arena *arena;
	struct envelope envelope;
	struct ipc_id token;
	bool may_relay;
	bool is_lmtp;
	bool is_known_host;
	bool has_first;           /* recipient: it came with MAIL_BEGIN */
	uint64_t session;
	uint64_t declared;        /* SIZE of MAIL */
	ARRAY(struct promise) promises;
	ARRAY(struct addressed) addressed;
	struct map *seen;         /* account or address → 1 + promise, once there are many */
	struct buf body;
	enum verdict_kind refusal; /* of MAIL_BEGIN, in state REFUSED */
	enum verdict_kind body_verdict;
	unsigned from_asked;
	unsigned state_after;     /* WAITING */
	int64_t token_until_ms;   /* 0: does not wait for the token */
	struct envelope_recipient asked;
	bool is_return;           /* asked is whom a sender address that we made (forward.h) stands for */
	struct waiter waiter;
	int body_file;            /* of the body in a file, -1 without */
	struct str dmarc;         /* for the report, once it is durable */
	struct signing signing;
	struct commit commit;
};

/* ---- transaction.c ---- */

/* A peer comes; owns the descriptor. */
bool transaction_wire(struct queue *q, const struct msg_wire *wire, int descriptor);

/* No controls: it may stand in a log and in a header. */
bool intake_is_clean(struct str s);
void intake_enter(struct intake *in, unsigned state);

/* The transaction is over, however it ended; the peer may begin the next. */
void intake_end(struct intake *in);
void intake_free(struct intake *in);

/* What an account was promised is counted against its quota until the mail is there or gone. */
void intake_promise(struct promise *promise, uint64_t octets);
void intake_unpromise(struct promise *promise);

void intake_say_verdict(struct intake *in, enum verdict_kind kind);
void intake_say_recipient(struct intake *in, enum verdict_kind kind);

/* kinds: for LMTP, of each recipient. */
void intake_say_done(struct intake *in, enum verdict_kind kind, struct str kinds);
enum verdict_kind intake_kind_of_failure(enum fail_kind kind);

/* ---- transaction_begin.c ---- */

/* A token came in: who waits for it goes on. */
void transaction_token_known(struct queue *q);

/* Who has waited too long for a token goes on without it. */
void transaction_tick(struct queue *q);
bool intake_begin(struct ipc_peer *peer, struct ipc_frame *frame);

/* ---- transaction_recipient.c ---- */
bool intake_recipient(struct ipc_peer *peer, struct ipc_frame *frame);
bool intake_recipient_of_refused(struct ipc_peer *peer, struct ipc_frame *frame);

/* Takes over what is asked; false: smtpd should not have sent it. */
bool intake_keep_recipient(struct intake *in, const struct msg_mail_recipient *read);

/* Asks auth for it, and answers when that has. */
void intake_ask_for_recipient(struct intake *in);
size_t intake_count_remote(const struct intake *in);

/* ---- transaction_content.c ---- */
bool intake_from_header(struct ipc_peer *peer, struct ipc_frame *frame);
bool intake_body(struct ipc_peer *peer, struct ipc_frame *frame);
bool intake_file(struct ipc_peer *peer, struct ipc_frame *frame);
bool intake_abort(struct ipc_peer *peer, struct ipc_frame *frame);

/* False: there is more than memory is meant for, and it should have asked for a file. */
bool intake_take_content(struct intake *in, struct str content);

/* ---- transaction_commit.c ---- */
bool intake_commit(struct ipc_peer *peer, struct ipc_frame *frame);

#endif

/*
 * smtpd: SMTP, submission and LMTP after the hand-over, one session at a time, blocking.
 *
 * It has a client's socket, a channel to queue and one to master, and nothing else: no file, no
 * account, no key. What may be done is queue's decision (recipients, sender, room); smtpd speaks the protocol and
 * looks at the message. The state of a transaction is one object that dies as a whole; the phase is derived from it.
 */
#ifndef POSTHORN_SMTPD_SMTPD_H
#define POSTHORN_SMTPD_SMTPD_H

#include "arena.h"
#include "array.h"
#include "daemon.h"
#include "dns_link.h"
#include "services.h"
#include "smtp_command.h"
#include "smtp_data.h"
#include "smtp_ehlo.h"
#include "smtp_parameter.h"
#include "stream.h"

enum {
	TRANSACTION_ARENA_MAX = 4 << 20,
	BODY_FRAME_MAX = 116000,   /* of MAIL_BODY and MAIL_COMMIT */
	FRONT_MAX = 16384,         /* trace and fields added at submission */
	FRONT_FRAME_MAX = 10000,   /* of it in MAIL_COMMIT */
	RETURN_AFTER_MS = 5000,    /* a client idle between transactions goes back to porter */
};

struct smtpd {
	struct daemon daemon;
	enum kind kind;
	struct ipc_channel pool;   /* sessions come here */
	struct watch pool_watch;
	struct ipc_channel queue;
	bool has_queue;
	struct dns_link resolver;  /* of the world's pool */
	unsigned sessions;         /* served so far */
	uint64_t requests;         /* transactions begun, each with its own number */
	bool serving;              /* one is served now */
	bool draining;             /* ends with it */
	bool milter_answered;      /* master did: */
	uint64_t milter_request;   /* to this question, */
	int milter_socket;         /* with this; -1: nothing */
};

/* ---- smtpd.c ---- */

/* Between these two no session is taken from the pool, though the loop runs. */
void smtpd_pause_pool(struct smtpd *smtpd);
void smtpd_resume_pool(struct smtpd *smtpd);

struct sender_check;
struct milters;
struct host;

/* A message as it comes in: the octets, in memory while they are few, in a file of queue's when they are many. */
struct content {
	struct smtp_data data;
	struct buf front;          /* what we put before it */
	struct buf body;           /* not yet written to the file */
	int file;                  /* -1 while all is in memory */
	uint64_t size;             /* octets in the file */
	bool header_seen;
	size_t header_left;        /* octets of the header at the beginning of body */
	size_t header_length;      /* of the header as it came, but for fields that were taken out */
	size_t trace_length;       /* of Received, first in front */
	bool front_later;          /* front is not in the file yet */
	struct sender_check *check;       /* NULL: nothing is looked at, or not yet */
	bool quarantine;           /* what was found: it belongs into Junk */
	enum verdict_kind verdict; /* why it will not be taken */
	char message_id[300];      /* as it stands in the header, cut; for the log */
};

struct recipient {
	struct str address, original; /* original: ORCPT, as queue is told of it */
	uint32_t notify;
	bool is_removed;              /* by a filter */
};

struct transaction {
	struct arena *arena;
	struct smtp_mail mail;
	ARRAY(struct recipient) recipients; /* accepted, in order */
	bool has_content;             /* a BDAT without LAST was accepted, or DATA goes on */
	struct content content;
	uint64_t request;             /* its number with queue */
	bool begun;                   /* queue knows it and has not taken the message */
	struct msg_mail_begin begin;  /* for queue; of a stranger it goes with the first recipient, */
	bool begin_waits;             /* which was not named yet */
	bool lost;                    /* queue went away: what it knew of the transaction is gone */
	bool in_doubt;                /* queue went away with the commit: nobody knows whether the mail is durable */
};

struct session {
	struct smtpd *smtpd;
	struct stream *stream;
	struct buf reply;
	enum service service;
	enum smtp_protocol protocol;
	unsigned flags;               /* enum session_flags */
	uint64_t connection;
	uint64_t porter;
	struct ipc_id token;
	char account[LIMIT_ADDRESS_MAX + 1];
	char peer[64];
	char helo[256];
	char tls_version[17], tls_cipher[65];
	unsigned errors;
	unsigned transactions;
	struct transaction *txn;      /* NULL: none */
	struct milters *milters;      /* NULL: none was asked yet */
	struct host *host;            /* what the DNS says of the client; NULL: it was not asked */
	bool over;
};

/* ---- session.c ---- */

/* Serves the session in frame to its end, or until it goes back to porter. */
void session_serve(struct smtpd *smtpd, struct ipc_frame *frame);

/* Adds replies to what goes out. */
void session_say(struct session *s, const struct smtp_reply *reply);
void session_say_verdict(struct session *s, enum verdict_kind kind);
const struct smtp_reply *verdict_reply(enum verdict_kind kind);

/* The extensions whose parameters MAIL and RCPT may have: what EHLO lists, and AUTH=, which stays after the log-in
 * (RFC 4954 §5). What it names is checked and then taken as "<>": we do not trust clients to vouch for others. */
unsigned session_extensions(const struct session *s);

const struct config *session_config(const struct session *s);

/* ---- transaction.c: MAIL, RCPT, RSET ---- */
void smtp_mail(struct session *s, const struct smtp_request *request);
void smtp_rcpt(struct session *s, const struct smtp_request *request);

/* For queue, in the transaction's arena. */
struct recipient recipient_of(struct session *s, const struct smtp_rcpt *rcpt);

/* Ends the transaction, at queue too unless it took the message. NULL is nothing. */
void transaction_drop(struct session *s);

/* ---- content.c: DATA, BDAT ---- */
void smtp_data_command(struct session *s);
void smtp_bdat_command(struct session *s, const struct smtp_request *request);

/* Reads what follows a refused BDAT and drops it. */
void content_skip(struct session *s, uint64_t octets);
void content_release(struct content *content);

/* ---- trace.c: what is put before the message ---- */
void trace_write(struct session *s, struct buf *front);

/* ---- inspect.c: looking at the header ---- */

/* Counts Received fields and, on submission, checks From and adds what is missing; sets content->verdict. */
void inspect_header(struct session *s, struct content *content);

/* ---- link.c: talk with queue ---- */

/* With txn->begin. The first recipient need not wait for it where begin_waits: then link_recipient begins. What queue
 * says against the transaction, that recipient hears. */
enum verdict_kind link_begin(struct session *s);

/* Queue forgets the transaction, with its recipients and its file, and hears of it anew. */
enum verdict_kind link_begin_again(struct session *s);
enum verdict_kind link_recipient(struct session *s, const struct recipient *recipient);
enum verdict_kind link_from_header(struct session *s, struct str address);
void link_body(struct session *s, struct str piece);

/* A file for a large message, or -1. */
int link_file(struct session *s);

/* The message is complete with these last pieces (together at most BODY_FRAME_MAX). kinds (LMTP: one per accepted
 * recipient) is set for VERDICT_OK; it lives until the next call. */
enum verdict_kind link_commit(struct session *s, uint64_t size, struct str front, struct str last, uint64_t *queue_id,
                              struct str *kinds);
void link_abort(struct session *s);

#endif

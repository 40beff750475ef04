/*
 * The sending side of one SMTP or LMTP session (RFC 5321, RFC 2033) as a machine without input and output: bytes of
 * the server go in, bytes for it come out, events say what happened. Whoever drives it owns the connection, the clock
 * and TLS.
 *
 * Guarantees: every recipient of a transaction gets exactly one result, whatever the server does, and all of them
 * before the READY or OVER that ends the transaction. Nothing is sent after OVER. What is sent has CRLF at the end of
 * each line and no other CR or LF: content with a bare one is broken off before it and its recipients fail with
 * 5.6.0. Nothing is sent that the server has not offered. Memory is bounded: one reply, and a few octets per
 * recipient. Commands are pipelined where the server takes them so (RFC 2920), content goes in one BDAT chunk where
 * it can (RFC 3030), else by DATA. Replies are taken at all times, so two sides that both send never wait for each
 * other.
 *
 * Driving it: give input and room, step until NOTHING, write out, wait for input, for room or for the clock. In READY
 * the caller chooses what comes next.
 */
#ifndef POSTHORN_SMTP_SENDER_H
#define POSTHORN_SMTP_SENDER_H

#include "smtp_ehlo.h"
#include "smtp_parameter.h"

/* The least limit of the buffer that smtp_sender_step adds to. It adds nothing while that holds SMTP_SENDER_PIECE
 * octets. */
enum { SMTP_SENDER_PIECE = 65536, SMTP_SENDER_OUT_MAX = 4 * SMTP_SENDER_PIECE };

enum smtp_sender_event_kind {
	SMTP_SENDER_NOTHING,       /* input, room in out, or one of the calls below is wanted */
	SMTP_SENDER_READY,         /* greeted, logged in, or the transaction is over: start_tls, auth, mail, quit, or let it rest */
	SMTP_SENDER_HANDSHAKE,     /* begin TLS now, then call smtp_sender_tls_started */
	SMTP_SENDER_TLS_REFUSED,   /* the server did not want STARTTLS now; else as READY. code, status, text */
	SMTP_SENDER_CHALLENGE,     /* challenge: answer by smtp_sender_auth_answer or _cancel */
	SMTP_SENDER_LOGIN_REFUSED, /* code, status, text; else as READY */
	SMTP_SENDER_RESULT,        /* of some recipients */
	SMTP_SENDER_OVER,          /* the connection is of no use any more; code, status and text say why */
};

enum smtp_sender_outcome {
	SMTP_SENDER_ACCEPTED,
	SMTP_SENDER_DEFERRED, /* may pass */
	SMTP_SENDER_FAILED,   /* for good */
	SMTP_SENDER_AGAIN,    /* the server takes no more recipients at a time (RFC 5321 §4.5.3.1.10, RFC 9422): give it another
	                       * transaction at once. Never all recipients of one. */
};

/* What was said or done last. */
enum smtp_sender_stage {
	SMTP_SENDER_AT_GREETING,
	SMTP_SENDER_AT_HELLO,
	SMTP_SENDER_AT_STARTTLS,
	SMTP_SENDER_AT_HANDSHAKE,
	SMTP_SENDER_AT_AUTH,
	SMTP_SENDER_AT_REST,
	SMTP_SENDER_AT_MAIL,  /* and before it: what the server does not offer */
	SMTP_SENDER_AT_RCPT,
	SMTP_SENDER_AT_DATA,
	SMTP_SENDER_AT_CONTENT,
	SMTP_SENDER_AT_END,   /* the content is sent: the answer to it is waited for. A connection lost here may have delivered */
	SMTP_SENDER_AT_QUIT,
	SMTP_SENDER_AT_CLOSE,
};

struct smtp_sender_event {
	enum smtp_sender_event_kind kind;
	enum smtp_sender_stage stage;     /* where it happened */
	/* RESULT */
	enum smtp_sender_outcome outcome;
	const uint32_t *recipients;       /* their indexes, until the next step */
	size_t recipient_count;
	/* The reply: 0 when the server said nothing of the kind, and text is ours. Until the next step. */
	int code;
	bool by_server;                   /* a reply of the server; else code, status and text are ours */
	char status[16];                  /* RFC 3463; of the reply, or made from its code */
	struct str text;                  /* UTF-8 without control characters, its lines joined by spaces; from outside */
	struct str challenge;             /* decoded */
};

struct smtp_sender_recipient {
	struct str address;  /* canonical mailbox */
	unsigned notify;     /* enum smtp_notify; 0 when not given */
	struct str orcpt;    /* "rfc822;…" decoded; empty for none */
};

struct smtp_sender_mail {
	struct str sender;                /* canonical mailbox, empty for <> */
	const struct smtp_sender_recipient *recipients;
	size_t recipient_count;           /* 1 … LIMIT_SMTP_RECIPIENTS_MAX; all views live until the transaction is over */
	uint64_t size;                    /* of the content */
	bool has_8bit;                    /* without 8BITMIME it fails with 5.6.3: see smtp_sender_needs_7bit */
	bool is_binary;                   /* has NUL, or CR or LF that are no line ends: fails with 5.6.3 */
	bool utf8;                        /* came with SMTPUTF8 */
	bool require_tls;                 /* without REQUIRETLS it fails with 5.7.30, but for a report (RFC 8689 §5) */
	enum smtp_return ret;
	struct str envid;                 /* decoded; empty for none */
	int priority;                     /* MT-PRIORITY */
	bool has_by, by_return, by_trace; /* DELIVERBY: seconds from now on */
	int64_t by_seconds;
	/* Some of the content from offset < size on, at least one octet, valid until the next call; empty when it can't
	 * be read (the recipients are deferred). */
	struct str (*content)(void *context, uint64_t offset);
	void *context;
};

struct smtp_sender;

/* hostname: what EHLO or LHLO says, copied. The session begins with waiting for the greeting. */
struct smtp_sender *smtp_sender_new(bool lmtp, struct str hostname);
void smtp_sender_free(struct smtp_sender *s);
void smtp_sender_cleanup(struct smtp_sender **s);

/* TLS is there from the first byte on: call before the first step. */
void smtp_sender_set_tls(struct smtp_sender *s);

/* Takes octets off the front of *input (those it leaves must come again), adds to out, and fills in event. Call until
 * NOTHING. */
void smtp_sender_step(struct smtp_sender *s, struct str *input, struct buf *out, struct smtp_sender_event *event);

/* After NOTHING: there is more to send as soon as out has room. */
bool smtp_sender_wants_room(const struct smtp_sender *s);

/* What is waited for and how long it may take at most (RFC 5321 §4.5.3.2), in seconds; 0 at rest and in the
 * handshake: the caller's own choice. The clock starts anew when *number changes, not with every octet: an endless
 * reply does not live for ever. */
unsigned smtp_sender_timeout(const struct smtp_sender *s, uint64_t *number);

/* The connection is gone, or time is up: "4.4.2", "connection closed". The next steps tell the results and OVER. */
void smtp_sender_lost(struct smtp_sender *s, const char *status, const char *text);

/* What the server offers now: after READY. Without EHLO (HELO only) nothing. */
const struct smtp_ehlo *smtp_sender_offers(const struct smtp_sender *s);
bool smtp_sender_is_ready(const struct smtp_sender *s);
enum smtp_sender_stage smtp_sender_stage(const struct smtp_sender *s);

/* Recipients that the server takes in one transaction: what is beyond gets AGAIN. */
size_t smtp_sender_recipients_max(const struct smtp_sender *s);

/* False when LIMITS MAILMAX is reached (RFC 9422 §4.1): quit. */
bool smtp_sender_may_mail(const struct smtp_sender *s);

/* Would it need a content without 8-bit octets? */
bool smtp_sender_needs_7bit(const struct smtp_sender *s, const struct smtp_sender_mail *mail);

/* In READY only: */

/* Offered or not; input behind the reply 220 ends the session (RFC 3207 §5 and CVE-2011-0411). */
void smtp_sender_start_tls(struct smtp_sender *s);

/* In HANDSHAKE: it was done. What was known of the server is forgotten, EHLO comes again, then READY. */
void smtp_sender_tls_started(struct smtp_sender *s);

/* AUTH, RFC 4954. has_initial: with an initial response, maybe an empty one. False when the line would be too long:
 * then without. */
bool smtp_sender_auth(struct smtp_sender *s, struct str mechanism, bool has_initial, struct str initial);
void smtp_sender_auth_answer(struct smtp_sender *s, struct str response);
void smtp_sender_auth_cancel(struct smtp_sender *s);

/* A transaction. mail is copied; what it points to is not. */
void smtp_sender_mail(struct smtp_sender *s, const struct smtp_sender_mail *mail);

/* OVER follows when the server has answered. In other states than READY: sent as soon as the present one is over. */
void smtp_sender_quit(struct smtp_sender *s);

#endif

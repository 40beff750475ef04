/*
 * Inside lib/smtp: the state of smtp_sender.h's machine, and what its files share.
 *
 * smtp_sender.c has its life, where it stands, the step and what the caller chooses; smtp_sender_mail.c begins a
 * transaction and refuses what is not even tried; smtp_sender_reply.c takes the server's replies; smtp_sender_send.c
 * gives out commands and content; smtp_sender_result.c notes what is to be told of it.
 *
 * At most one result, or one event, is due at a time: smtp_sender_step tells it before it goes on.
 */
#ifndef POSTHORN_SMTP_SENDER_INTERNAL_H
#define POSTHORN_SMTP_SENDER_INTERNAL_H

#include "limits.h"
#include "smtp_sender.h"
#include "smtp_sender_content.h"

enum { SENDER_HOSTNAME_MAX = 255 };

enum phase {
	GREETING, HELLO, HELO, STARTTLS, HANDSHAKE, AUTH, CHALLENGED, CANCELLED, REST, TRANSACTION, QUIT, CLOSED,
	PHASE_COUNT
};

/* The commands of a transaction in their order; there are as many RCPTs as recipients to be named. */
enum step { STEP_RESET, STEP_MAIL, STEP_RCPT, STEP_CONTENT, STEP_END };

/* Up to RECIPIENT_STATES: why it is not named. */
enum recipient_state { NAMED, BEYOND_LIMIT, NEEDS_UTF8, MALFORMED, SETTLED, RECIPIENT_STATES = SETTLED };

struct transaction {
	struct smtp_sender_mail mail;
	uint32_t *named;    /* the recipients that RCPT names, in order */
	uint32_t *accepted; /* of them, in order */
	uint32_t *told;     /* of the last result */
	uint8_t *states;    /* of each recipient: enum recipient_state */
	size_t capacity;
	size_t named_count, accepted_count;
	size_t finals;      /* LMTP: answers to the content so far */
	size_t open;        /* without a result */
	size_t unnamed;     /* of them, those that RCPT does not name */
	size_t sent, answered; /* commands, counted from RSET on */
	bool chunk;         /* BDAT */
	bool stopped;       /* no more commands */
	bool content_begun, content_ended;
	uint64_t offset;
	struct smtp_sender_content content;
};

struct smtp_sender {
	bool lmtp, tls;
	char hostname[SENDER_HOSTNAME_MAX + 1];
	enum phase phase;
	bool needs_reset;   /* a transaction may be open at the server: RSET before the next one */
	bool quit_wanted, ready_due, result_due, over_due;
	bool blocked;       /* something waits for room */
	uint64_t events;    /* replies and pieces of content so far: the clock of smtp_sender_timeout */
	uint64_t mails;
	struct smtp_ehlo offers;
	struct smtp_reply_reader reader;
	struct buf command; /* not yet given out */
	struct buf text, challenge;
	struct smtp_sender_event event; /* what is due next */
	struct transaction transaction;
};

/* ---- smtp_sender.c ---- */

/* Which command has that number, counted from RSET on. */
enum step sender_step_of(const struct transaction *t, size_t number);

/* Nothing is under way, and the caller is to hear of it. */
void sender_rest(struct smtp_sender *s);
void sender_say_hello(struct smtp_sender *s, enum phase phase);
void sender_cancel_auth(struct smtp_sender *s);

/* ---- smtp_sender_mail.c ---- */

/* True when there is a result for recipients that are not named. */
bool sender_refuse_unnamed(struct smtp_sender *s);

/* ---- smtp_sender_reply.c ---- */

/* True when there was a whole reply, or none can come. */
bool sender_take_reply(struct smtp_sender *s, struct str *input);

/* ---- smtp_sender_send.c ---- */

/* The next command of the transaction need not wait for an answer. */
bool sender_may_send(const struct smtp_sender *s);
bool sender_content_is_due(const struct smtp_sender *s);

/* True when something was given out. */
bool sender_give_out(struct smtp_sender *s, struct buf *out);

/* ---- smtp_sender_result.c ---- */

/* What the next result or event tells: the reply that was read, or our own words. */
void sender_describe_reply(struct smtp_sender *s, enum smtp_sender_stage stage);
void sender_describe_own(struct smtp_sender *s, const char *status, const char *text);

/* That of a reply. */
enum smtp_sender_outcome sender_outcome_of(int code);

/* A result of what was described, of the recipients that are added to it. */
void sender_begin_result(struct smtp_sender *s, enum smtp_sender_outcome outcome);
void sender_add_to_result(struct smtp_sender *s, uint32_t recipient);
void sender_settle_one(struct smtp_sender *s, uint32_t recipient, enum smtp_sender_outcome outcome);

/* All that have no result get the one that was described. */
void sender_settle_all(struct smtp_sender *s, enum smtp_sender_outcome outcome);

/* What was described ends the session. */
void sender_end_session(struct smtp_sender *s, enum smtp_sender_outcome outcome);
void sender_end_by_own(struct smtp_sender *s, const char *status, const char *text);

/* RFC 5321 §4.2 knows no such reply here: whatever comes next can't be understood. */
void sender_end_by_nonsense(struct smtp_sender *s);

#endif

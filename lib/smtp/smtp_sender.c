#include "smtp_sender.h"

#include "limits.h"
#include "mem.h"
#include "smtp_sender_command.h"
#include "smtp_sender_content.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

enum { AUTH_LINE_MAX = 512, HOSTNAME_MAX = 255, PIPELINED_CHUNK_MAX = SMTP_SENDER_PIECE / 2 };

enum phase {
	GREETING, HELLO, HELO, STARTTLS, HANDSHAKE, AUTH, CHALLENGED, CANCELLED, REST, TRANSACTION, QUIT, CLOSED, PHASE_COUNT
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
	char hostname[HOSTNAME_MAX + 1];
	enum phase phase;
	bool dirty;         /* a transaction may be open at the server: RSET before the next one */
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

/* ---- life ---- */

struct smtp_sender *smtp_sender_new(bool lmtp, struct str hostname)
{
	struct smtp_sender *s = mem_alloc(sizeof *s);
	s->lmtp = lmtp;
	str_copy_to_array(hostname, s->hostname, sizeof s->hostname);
	smtp_reply_reader_init(&s->reader);
	s->command = BUF_WITH_LIMIT(LIMIT_SMTP_AUTH_LINE_MAX);
	s->text = BUF_WITH_LIMIT(LIMIT_RELAY_REPLY_MAX);
	s->challenge = BUF_WITH_LIMIT(LIMIT_SMTP_REPLY_LINE_MAX);
	return s;
}

void smtp_sender_free(struct smtp_sender *s)
{
	if (!s)
		return;
	smtp_reply_reader_release(&s->reader);
	buf_wipe(&s->command);
	buf_release(&s->text);
	buf_release(&s->challenge);
	free(s->transaction.named);
	free(s->transaction.accepted);
	free(s->transaction.told);
	free(s->transaction.states);
	free(s);
}

void smtp_sender_cleanup(struct smtp_sender **s)
{
	smtp_sender_free(*s);
	*s = NULL;
}

void smtp_sender_set_tls(struct smtp_sender *s)
{
	s->tls = true;
}

/* ---- where it stands ---- */

static enum step step_of(const struct transaction *t, size_t number)
{
	if (number < 2)
		return number ? STEP_MAIL : STEP_RESET;
	if (number < 2 + t->named_count)
		return STEP_RCPT;
	return number == 2 + t->named_count ? STEP_CONTENT : STEP_END;
}

static enum smtp_sender_stage stage_of_step(const struct transaction *t, enum step step)
{
	switch (step) {
	case STEP_RESET:
	case STEP_MAIL:
		return SMTP_SENDER_AT_MAIL;
	case STEP_RCPT:
		return SMTP_SENDER_AT_RCPT;
	case STEP_CONTENT:
		return t->chunk ? SMTP_SENDER_AT_END : SMTP_SENDER_AT_DATA;
	case STEP_END:
		return SMTP_SENDER_AT_END;
	}
	return SMTP_SENDER_AT_MAIL;
}

static enum smtp_sender_stage transaction_stage(const struct transaction *t)
{
	if (t->content_begun)
		return t->content_ended ? SMTP_SENDER_AT_END : SMTP_SENDER_AT_CONTENT;
	return stage_of_step(t, step_of(t, t->sent ? t->sent - 1 : 0));
}

enum smtp_sender_stage smtp_sender_stage(const struct smtp_sender *s)
{
	static const enum smtp_sender_stage stages[PHASE_COUNT] = {
		[GREETING] = SMTP_SENDER_AT_GREETING,   [HELLO] = SMTP_SENDER_AT_HELLO, [HELO] = SMTP_SENDER_AT_HELLO,
		[STARTTLS] = SMTP_SENDER_AT_STARTTLS,   [AUTH] = SMTP_SENDER_AT_AUTH,   [CHALLENGED] = SMTP_SENDER_AT_AUTH,
		[HANDSHAKE] = SMTP_SENDER_AT_HANDSHAKE, [REST] = SMTP_SENDER_AT_REST,   [CANCELLED] = SMTP_SENDER_AT_AUTH,
		[QUIT] = SMTP_SENDER_AT_QUIT,           [CLOSED] = SMTP_SENDER_AT_CLOSE,
	};
	return s->phase == TRANSACTION ? transaction_stage(&s->transaction) : stages[s->phase];
}

bool smtp_sender_is_ready(const struct smtp_sender *s)
{
	return s->phase == REST && !s->quit_wanted && !s->over_due;
}

const struct smtp_ehlo *smtp_sender_offers(const struct smtp_sender *s)
{
	return &s->offers;
}

size_t smtp_sender_recipients_max(const struct smtp_sender *s)
{
	return s->offers.recipient_max ? (size_t)s->offers.recipient_max : SIZE_MAX;
}

bool smtp_sender_may_mail(const struct smtp_sender *s)
{
	return s->offers.mail_max == 0 || s->mails < s->offers.mail_max;
}

bool smtp_sender_needs_7bit(const struct smtp_sender *s, const struct smtp_sender_mail *mail)
{
	return mail->has_8bit && !(s->offers.extensions & SMTP_8BITMIME);
}

bool smtp_sender_wants_room(const struct smtp_sender *s)
{
	return s->blocked;
}

/* RFC 5321 §4.5.3.2 */
static unsigned transaction_timeout(const struct transaction *t)
{
	enum { COMMAND = 300, DATA_INITIATION = 120, DATA_BLOCK = 180, DATA_TERMINATION = 600 };
	if (t->content_begun && !t->content_ended)
		return DATA_BLOCK;
	enum step awaited = step_of(t, t->answered);
	if (awaited == STEP_END || (awaited == STEP_CONTENT && t->chunk))
		return DATA_TERMINATION;
	return awaited == STEP_CONTENT ? DATA_INITIATION : COMMAND;
}

unsigned smtp_sender_timeout(const struct smtp_sender *s, uint64_t *number)
{
	static const unsigned timeouts[PHASE_COUNT] = {
		[GREETING] = 300, [HELLO] = 300, [HELO] = 300, [STARTTLS] = 120, [AUTH] = 300, [CANCELLED] = 300, [QUIT] = 30,
	};
	*number = s->events;
	return s->phase == TRANSACTION ? transaction_timeout(&s->transaction) : timeouts[s->phase];
}

/* ---- what was said ---- */

/* Lines joined by spaces, without what could not be shown or would break a line of a report. */
static void clean_text(struct buf *out, struct str text)
{
	uint32_t code;
	buf_clear(out);
	while (text.length && out->length + 4 <= out->limit) {
		size_t length = text_utf8_next(text, &code);
		bool control = length && (code < 0x20 || (code >= 0x7f && code < 0xa0));
		if (length && !control)
			buf_add_str(out, str_first(text, length));
		else
			buf_add_char(out, control ? ' ' : '?');
		text = str_from_index(text, length ? length : 1);
	}
}

static void describe_reply(struct smtp_sender *s, enum smtp_sender_stage stage)
{
	const struct smtp_reply_reader *r = &s->reader;
	clean_text(&s->text, buf_str(&r->text));
	s->event = (struct smtp_sender_event){ .stage = stage, .code = r->code, .by_server = true,
	                                       .text = buf_str(&s->text) };
	if (r->class)
		snprintf(s->event.status, sizeof s->event.status, "%d.%d.%d", r->class, r->subject, r->detail);
	else
		snprintf(s->event.status, sizeof s->event.status, "%d.0.0", r->code / 100);
}

static void describe_own(struct smtp_sender *s, const char *status, const char *text)
{
	s->event = (struct smtp_sender_event){ .stage = smtp_sender_stage(s), .text = str_of(text) };
	snprintf(s->event.status, sizeof s->event.status, "%s", status);
}

static enum smtp_sender_outcome outcome_of(int code)
{
	return code >= 500 ? SMTP_SENDER_FAILED : code >= 400 ? SMTP_SENDER_DEFERRED : SMTP_SENDER_ACCEPTED;
}

/* ---- results ---- */

static void begin_result(struct smtp_sender *s, enum smtp_sender_outcome outcome)
{
	must(!s->result_due);
	s->event.outcome = outcome;
	s->event.recipients = s->transaction.told;
	s->event.recipient_count = 0;
}

static void add_to_result(struct smtp_sender *s, uint32_t recipient)
{
	struct transaction *t = &s->transaction;
	must(t->states[recipient] != SETTLED && t->open > 0);
	t->unnamed -= t->states[recipient] != NAMED;
	t->states[recipient] = SETTLED;
	t->open--;
	t->told[s->event.recipient_count++] = recipient;
	s->result_due = true;
}

/* All that have no result get the one that was described. */
static void settle_all(struct smtp_sender *s, enum smtp_sender_outcome outcome)
{
	const struct transaction *t = &s->transaction;
	begin_result(s, outcome);
	for (uint32_t i = 0; t->open && i < t->mail.recipient_count; i++)
		if (t->states[i] != SETTLED)
			add_to_result(s, i);
}

static void settle_one(struct smtp_sender *s, uint32_t recipient, enum smtp_sender_outcome outcome)
{
	begin_result(s, outcome);
	add_to_result(s, recipient);
}

/* What was described ends the session. */
static void end_session(struct smtp_sender *s, enum smtp_sender_outcome outcome)
{
	if (s->phase == TRANSACTION)
		settle_all(s, outcome);
	s->over_due = true;
	s->ready_due = s->blocked = false;
	buf_clear(&s->command);
}

static void end_by_own(struct smtp_sender *s, const char *status, const char *text)
{
	describe_own(s, status, text);
	end_session(s, SMTP_SENDER_DEFERRED);
}

/* RFC 5321 §4.2 knows no such reply here: whatever comes next can't be understood. */
static void end_by_nonsense(struct smtp_sender *s)
{
	end_by_own(s, "4.5.0", "the server's reply makes no sense here");
}

void smtp_sender_lost(struct smtp_sender *s, const char *status, const char *text)
{
	if (s->phase != CLOSED && !s->over_due)
		end_by_own(s, status, text);
}

/* ---- replies outside transactions ---- */

static void rest(struct smtp_sender *s)
{
	s->phase = REST;
	s->ready_due = true;
}

static void say_hello(struct smtp_sender *s, enum phase phase)
{
	const char *verb = phase == HELO ? "HELO" : s->lmtp ? "LHLO" : "EHLO";
	s->phase = phase;
	buf_printf(&s->command, "%s %s\r\n", verb, s->hostname);
}

static void on_greeting(struct smtp_sender *s)
{
	if (s->reader.code / 100 == 2) {
		say_hello(s, HELLO);
		return;
	}
	describe_reply(s, SMTP_SENDER_AT_GREETING);
	end_session(s, SMTP_SENDER_DEFERRED);
}

static void on_hello(struct smtp_sender *s)
{
	int code = s->reader.code;
	if (code / 100 == 2) {
		if (s->phase == HELLO)
			smtp_ehlo_read(buf_str(&s->reader.text), &s->offers);
		rest(s);
	} else if (s->phase == HELLO && code >= 500 && !s->lmtp) { /* RFC 5321 §3.2, §4.1.4 */
		say_hello(s, HELO);
	} else {
		describe_reply(s, SMTP_SENDER_AT_HELLO);
		end_session(s, SMTP_SENDER_DEFERRED);
	}
}

/* The described refusal is an event of its own; the session goes on. */
static void refuse(struct smtp_sender *s, enum smtp_sender_event_kind kind, enum smtp_sender_stage stage)
{
	describe_reply(s, stage);
	s->event.kind = kind;
	s->phase = REST;
}

/* RFC 3207 §4 */
static void on_starttls(struct smtp_sender *s, struct str behind)
{
	if (s->reader.code / 100 != 2) {
		refuse(s, SMTP_SENDER_TLS_REFUSED, SMTP_SENDER_AT_STARTTLS);
	} else if (behind.length) {
		end_by_own(s, "4.7.0", "the server sent something between STARTTLS and TLS");
	} else {
		s->phase = HANDSHAKE;
		s->event = (struct smtp_sender_event){ .kind = SMTP_SENDER_HANDSHAKE, .stage = SMTP_SENDER_AT_HANDSHAKE };
	}
}

static void cancel_auth(struct smtp_sender *s)
{
	buf_add_str(&s->command, STR("*\r\n"));
	s->phase = CANCELLED;
}

/* RFC 4954 §4 */
static void on_auth(struct smtp_sender *s)
{
	int code = s->reader.code;
	if (code / 100 == 3 && s->phase == CANCELLED) {
		end_by_nonsense(s);
	} else if (code / 100 == 3) {
		buf_clear(&s->challenge);
		if (!text_base64_decode(&s->challenge, str_trim(buf_str(&s->reader.text)))) {
			cancel_auth(s);
			return;
		}
		s->phase = CHALLENGED;
		s->event = (struct smtp_sender_event){ .kind = SMTP_SENDER_CHALLENGE, .stage = SMTP_SENDER_AT_AUTH,
			                                   .challenge = buf_str(&s->challenge) };
	} else if (code / 100 == 2 && s->phase == AUTH) {
		rest(s);
	} else {
		refuse(s, SMTP_SENDER_LOGIN_REFUSED, SMTP_SENDER_AT_AUTH);
	}
}

/* ---- replies within a transaction ---- */

/* Too many recipients for one transaction, RFC 5321 §4.5.3.1.10; without an enhanced code 452 may mean other things
 * too, but then the next transaction tells. */
static bool is_too_many(const struct smtp_sender *s)
{
	const struct smtp_reply_reader *r = &s->reader;
	bool named = r->class == 0 || (r->subject == 5 && r->detail == 3);
	return (r->code == 452 || r->code == 552) && named && s->transaction.accepted_count > 0;
}

static void on_rcpt(struct smtp_sender *s, uint32_t recipient)
{
	struct transaction *t = &s->transaction;
	if (t->states[recipient] == SETTLED)
		return;
	if (s->reader.code / 100 == 2) {
		t->accepted[t->accepted_count++] = recipient;
		return;
	}
	describe_reply(s, SMTP_SENDER_AT_RCPT);
	settle_one(s, recipient, is_too_many(s) ? SMTP_SENDER_AGAIN : outcome_of(s->reader.code));
}

static void on_mail(struct smtp_sender *s)
{
	if (s->reader.code / 100 == 2) {
		s->dirty = true;
		return;
	}
	s->transaction.stopped = true;
	describe_reply(s, SMTP_SENDER_AT_MAIL);
	settle_all(s, outcome_of(s->reader.code));
}

static void begin_content(struct smtp_sender *s)
{
	struct transaction *t = &s->transaction;
	t->content_begun = true;
	t->sent++;
	smtp_sender_content_begin(&t->content, false);
	if (t->open == 0) /* RFC 2920 §3.1: the dot alone */
		t->offset = t->mail.size;
}

static void on_data(struct smtp_sender *s)
{
	struct transaction *t = &s->transaction;
	int class = s->reader.code / 100;
	if (class == 3) {
		begin_content(s);
	} else if (class == 2) {
		end_by_nonsense(s);
	} else {
		t->stopped = true;
		describe_reply(s, SMTP_SENDER_AT_DATA);
		settle_all(s, outcome_of(s->reader.code));
	}
}

/* The content is refused before it is all there: nothing but the end of the connection can follow. */
static void on_early_final(struct smtp_sender *s)
{
	if (s->reader.code / 100 == 2) {
		end_by_own(s, "4.5.0", "the server answered before it had the whole message");
		return;
	}
	describe_reply(s, SMTP_SENDER_AT_CONTENT);
	end_session(s, outcome_of(s->reader.code));
}

/* True when no further answer to the content will come. */
static bool on_final(struct smtp_sender *s)
{
	struct transaction *t = &s->transaction;
	enum smtp_sender_outcome outcome = outcome_of(s->reader.code);
	if (t->open) {
		describe_reply(s, SMTP_SENDER_AT_END);
		if (s->lmtp) /* RFC 2033 §4.2: one reply for each accepted recipient, in order */
			settle_one(s, t->accepted[t->finals++], outcome);
		else
			settle_all(s, outcome);
	}
	if (t->open)
		return false;
	s->dirty = t->chunk && outcome != SMTP_SENDER_ACCEPTED; /* RFC 3030 §2 */
	t->stopped = true;
	return true;
}

/* A reply of class 3 makes sense to DATA only. */
static bool is_out_of_place(const struct smtp_sender *s, enum step step)
{
	return s->reader.code / 100 == 3 && (step != STEP_CONTENT || s->transaction.chunk);
}

static void on_transaction(struct smtp_sender *s)
{
	struct transaction *t = &s->transaction;
	enum step step = step_of(t, t->answered);
	bool final = step == STEP_END || (step == STEP_CONTENT && t->chunk);
	if (t->answered == t->sent || is_out_of_place(s, step)) {
		end_by_nonsense(s);
		return;
	}
	if (final && !t->content_ended) {
		on_early_final(s);
		return;
	}
	if (!final || on_final(s))
		t->answered++;
	if (step == STEP_RESET)
		s->dirty = false;
	else if (step == STEP_MAIL)
		on_mail(s);
	else if (step == STEP_RCPT)
		on_rcpt(s, t->named[t->answered - 1 - STEP_RCPT]);
	else if (!final)
		on_data(s);
}

/* ---- all replies ---- */

static void on_reply(struct smtp_sender *s, struct str behind)
{
	if (s->reader.code == 421 && s->phase != QUIT) { /* RFC 5321 §3.8: to any command, and the connection ends */
		describe_reply(s, smtp_sender_stage(s));
		end_session(s, SMTP_SENDER_DEFERRED);
		return;
	}
	if (s->command.length) {
		end_by_nonsense(s);
		return;
	}
	switch (s->phase) {
	case GREETING:
		on_greeting(s);
		break;
	case HELLO:
	case HELO:
		on_hello(s);
		break;
	case STARTTLS:
		on_starttls(s, behind);
		break;
	case AUTH:
	case CANCELLED:
		on_auth(s);
		break;
	case TRANSACTION:
		on_transaction(s);
		break;
	case QUIT:
		describe_reply(s, SMTP_SENDER_AT_QUIT);
		end_session(s, SMTP_SENDER_ACCEPTED);
		break;
	default: /* nothing was asked */
		end_by_nonsense(s);
	}
}

/* True when there was a whole reply, or none can come. */
static bool take_reply(struct smtp_sender *s, struct str *input)
{
	size_t used;
	if (input->length == 0 || s->phase == HANDSHAKE)
		return false;
	enum smtp_reply_state state = smtp_reply_read(&s->reader, *input, &used);
	*input = str_from_index(*input, used);
	if (state == SMTP_REPLY_MORE)
		return false;
	s->events++;
	if (state == SMTP_REPLY_BAD)
		end_by_own(s, "4.5.0", "what the server sent is no reply");
	else
		on_reply(s, *input);
	smtp_reply_reader_clear(&s->reader);
	return true;
}

/* ---- sending ---- */

/* Must what was asked be answered before the content may be announced? A chunk that is small costs less than the
 * wait. */
static bool content_must_wait(const struct smtp_sender *s)
{
	const struct transaction *t = &s->transaction;
	return s->lmtp || (t->chunk && t->mail.size > PIPELINED_CHUNK_MAX);
}

static bool may_send(const struct smtp_sender *s)
{
	const struct transaction *t = &s->transaction;
	enum step next = step_of(t, t->sent);
	if (t->stopped || next == STEP_END)
		return false;
	bool wait = !(s->offers.extensions & SMTP_PIPELINING) || (next == STEP_CONTENT && content_must_wait(s));
	if (wait && t->answered < t->sent)
		return false;
	return next != STEP_CONTENT || t->open > 0;
}

/* How many octets the chunk will have: CRLF is added to a last line that has none. 0 when the content can't be read. */
static uint64_t chunk_size(const struct transaction *t)
{
	if (t->mail.size == 0)
		return 0;
	struct str last = t->mail.content(t->mail.context, t->mail.size - 1);
	return last.length == 0 ? 0 : last.data[0] == '\n' ? t->mail.size : t->mail.size + 2;
}

static void send_bdat(struct smtp_sender *s, struct buf *out)
{
	struct transaction *t = &s->transaction;
	uint64_t size = chunk_size(t);
	if (size == 0 && t->mail.size) {
		t->stopped = true;
		t->sent--;
		describe_own(s, "4.3.0", "the message can not be read");
		settle_all(s, SMTP_SENDER_DEFERRED);
		return;
	}
	t->content_begun = true;
	smtp_sender_content_begin(&t->content, true);
	buf_printf(out, "BDAT %llu LAST\r\n", (unsigned long long)size);
}

static void send_command(struct smtp_sender *s, struct buf *out)
{
	struct transaction *t = &s->transaction;
	switch (step_of(t, t->sent++)) {
	case STEP_RESET:
		buf_add_str(out, STR("RSET\r\n"));
		break;
	case STEP_MAIL:
		smtp_sender_write_mail(out, &s->offers, &t->mail);
		break;
	case STEP_RCPT:
		smtp_sender_write_rcpt(out, &s->offers, &t->mail, &t->mail.recipients[t->named[t->sent - 1 - STEP_RCPT]]);
		break;
	default:
		if (t->chunk)
			send_bdat(s, out);
		else
			buf_add_str(out, STR("DATA\r\n"));
	}
}

/* The content can't be sent to its end: what the server has of it must not look whole, so the connection ends. */
static void break_off(struct smtp_sender *s, const char *status, const char *text, enum smtp_sender_outcome outcome)
{
	describe_own(s, status, text);
	end_session(s, outcome);
}

static void send_content(struct smtp_sender *s, struct buf *out)
{
	struct transaction *t = &s->transaction;
	uint64_t left = t->mail.size - t->offset;
	bool clean;
	if (left == 0) {
		clean = smtp_sender_content_end(&t->content, out);
		t->content_ended = clean;
	} else {
		struct str piece = t->mail.content(t->mail.context, t->offset);
		if (piece.length == 0) {
			break_off(s, "4.3.0", "the message can not be read", SMTP_SENDER_DEFERRED);
			return;
		}
		piece = str_first(piece, left < SMTP_SENDER_PIECE ? (size_t)left : SMTP_SENDER_PIECE);
		clean = smtp_sender_content_add(&t->content, piece, out);
		t->offset += piece.length;
	}
	s->events++;
	if (!clean)
		break_off(s, "5.6.0", "the message has a CR or LF that is no line end", SMTP_SENDER_FAILED);
}

static bool content_is_due(const struct smtp_sender *s)
{
	return s->phase == TRANSACTION && s->transaction.content_begun && !s->transaction.content_ended;
}

/* True when something was given out. */
static bool give_out(struct smtp_sender *s, struct buf *out)
{
	bool command_due = s->phase == TRANSACTION && may_send(s);
	s->blocked = false;
	if (s->command.length == 0 && !command_due && !content_is_due(s))
		return false;
	if (out->length >= SMTP_SENDER_PIECE) {
		s->blocked = true;
		return false;
	}
	if (s->command.length) {
		buf_add_str(out, buf_str(&s->command));
		mem_wipe(s->command.data, s->command.length);
		buf_clear(&s->command);
	} else if (command_due) {
		send_command(s, out);
	} else {
		send_content(s, out);
	}
	must(!out->overflowed);
	return true;
}

/* ---- what is not even tried ---- */

/* Why the server can't have this mail, or NULL. */
static const char *unfit(const struct smtp_sender *s, const struct smtp_sender_mail *mail, const char **text)
{
	unsigned offered = s->offers.extensions;
	bool too_late = mail->has_by && mail->by_return &&
	                (!(offered & SMTP_DELIVERBY) || (int64_t)s->offers.by_min > mail->by_seconds);
	*text = "the server takes no messages of this size";
	if (s->offers.size && mail->size > s->offers.size)
		return "5.3.4";
	*text = "the server does not promise to deliver over TLS only (REQUIRETLS), as the sender asks";
	if (mail->require_tls && mail->sender.length && !(s->tls && offered & SMTP_REQUIRETLS)) /* RFC 8689 §4.2.1, §5 */
		return "5.7.30";
	*text = "the server takes no internationalized mail (SMTPUTF8)";
	if (smtp_sender_mail_is_utf8(mail) && !(offered & SMTP_SMTPUTF8)) /* RFC 6531 §3.2 */
		return "5.6.7";
	*text = "the server takes no 8-bit content (8BITMIME)";
	if (smtp_sender_needs_7bit(s, mail)) /* RFC 6152 §3 */
		return "5.6.3";
	*text = "the message is binary, and can not be made lines of text";
	if (mail->is_binary) /* RFC 3030 §3 */
		return "5.6.3";
	*text = "the server does not promise to deliver in time (DELIVERBY)";
	return too_late ? "5.4.7" : NULL; /* RFC 2852 §4.1.4.1 */
}

/* True when there is a result for recipients that are not named. */
static bool refuse_unnamed(struct smtp_sender *s)
{
	static const struct {
		enum smtp_sender_outcome outcome;
		const char *status, *text;
	} reasons[RECIPIENT_STATES] = {
		[BEYOND_LIMIT] = { SMTP_SENDER_AGAIN, "4.5.3", "the server takes fewer recipients at a time" },
		[NEEDS_UTF8] = { SMTP_SENDER_FAILED, "5.6.7", "the server takes no internationalized addresses (SMTPUTF8)" },
		[MALFORMED] = { SMTP_SENDER_FAILED, "5.1.3", "the address can not be written in SMTP" },
	};
	struct transaction *t = &s->transaction;
	if (s->phase != TRANSACTION || t->unnamed == 0)
		return false;
	enum recipient_state why = NAMED;
	for (uint32_t i = 0; i < t->mail.recipient_count && why == NAMED; i++)
		why = t->states[i] == SETTLED ? NAMED : t->states[i];
	describe_own(s, reasons[why].status, reasons[why].text);
	begin_result(s, reasons[why].outcome);
	for (uint32_t i = 0; i < t->mail.recipient_count; i++)
		if (t->states[i] == why)
			add_to_result(s, i);
	return true;
}

/* ---- the step ---- */

static bool transaction_is_over(const struct smtp_sender *s)
{
	const struct transaction *t = &s->transaction;
	return s->phase == TRANSACTION && t->open == 0 && t->answered == t->sent && !may_send(s) && !content_is_due(s);
}

/* Something to tell, in the order in which it happened. */
static bool tell(struct smtp_sender *s, struct smtp_sender_event *event)
{
	if (s->result_due) {
		*event = s->event;
		event->kind = SMTP_SENDER_RESULT;
		s->result_due = false;
		return true;
	}
	if (s->over_due) {
		*event = s->event;
		event->kind = SMTP_SENDER_OVER;
		event->recipient_count = 0;
		s->over_due = false;
		s->phase = CLOSED;
		return true;
	}
	if (s->event.kind == SMTP_SENDER_NOTHING)
		return false;
	*event = s->event;
	s->event.kind = SMTP_SENDER_NOTHING;
	return true;
}

static void send_quit(struct smtp_sender *s)
{
	s->quit_wanted = s->ready_due = false;
	buf_add_str(&s->command, STR("QUIT\r\n"));
	s->phase = QUIT;
}

void smtp_sender_step(struct smtp_sender *s, struct str *input, struct buf *out, struct smtp_sender_event *event)
{
	must(out->limit >= SMTP_SENDER_OUT_MAX);
	*event = (struct smtp_sender_event){ .kind = SMTP_SENDER_NOTHING, .stage = smtp_sender_stage(s) };
	while (!tell(s, event) && s->phase != CLOSED) {
		if (refuse_unnamed(s))
			continue;
		if (transaction_is_over(s))
			rest(s);
		if (take_reply(s, input) || give_out(s, out))
			continue;
		if (s->phase == REST && s->quit_wanted) {
			send_quit(s);
			continue;
		}
		if (!s->ready_due)
			return;
		s->ready_due = false;
		event->kind = SMTP_SENDER_READY;
		event->stage = SMTP_SENDER_AT_REST;
		return;
	}
}

/* ---- what the caller chooses ---- */

void smtp_sender_start_tls(struct smtp_sender *s)
{
	must(s->phase == REST && !s->tls);
	buf_add_str(&s->command, STR("STARTTLS\r\n"));
	s->phase = STARTTLS;
}

void smtp_sender_tls_started(struct smtp_sender *s)
{
	must(s->phase == HANDSHAKE);
	s->tls = true;
	s->offers = (struct smtp_ehlo){};
	say_hello(s, HELLO);
}

bool smtp_sender_auth(struct smtp_sender *s, struct str mechanism, bool has_initial, struct str initial)
{
	must(s->phase == REST);
	buf_printf(&s->command, "AUTH %.*s", STR_ARG(mechanism));
	if (has_initial) {
		buf_add_char(&s->command, ' ');
		if (initial.length)
			text_base64_encode(&s->command, initial);
		else
			buf_add_char(&s->command, '=');
	}
	buf_add_str(&s->command, STR("\r\n"));
	if (s->command.overflowed || s->command.length > AUTH_LINE_MAX) { /* RFC 4954 §4 */
		buf_clear(&s->command);
		return false;
	}
	s->phase = AUTH;
	return true;
}

void smtp_sender_auth_answer(struct smtp_sender *s, struct str response)
{
	must(s->phase == CHALLENGED);
	text_base64_encode(&s->command, response);
	buf_add_str(&s->command, STR("\r\n"));
	s->phase = AUTH;
	if (s->command.overflowed) {
		buf_clear(&s->command);
		cancel_auth(s);
	}
}

void smtp_sender_auth_cancel(struct smtp_sender *s)
{
	must(s->phase == CHALLENGED);
	cancel_auth(s);
}

static void make_room(struct transaction *t, size_t count)
{
	if (count <= t->capacity)
		return;
	t->named = mem_resize(t->named, count, sizeof *t->named);
	t->accepted = mem_resize(t->accepted, count, sizeof *t->accepted);
	t->told = mem_resize(t->told, count, sizeof *t->told);
	t->states = mem_resize(t->states, count, sizeof *t->states);
	t->capacity = count;
}

/* Nothing from outside ends a line of ours. */
static bool is_writable(struct str address)
{
	for (size_t i = 0; i < address.length; i++)
		if ((unsigned char)address.data[i] < 0x20 || address.data[i] == 0x7f)
			return false;
	return address.length <= LIMIT_ADDRESS_MAX;
}

static enum recipient_state state_at_first(const struct smtp_sender *s, struct str address)
{
	if (address.length == 0 || !is_writable(address))
		return MALFORMED;
	if (!(s->offers.extensions & SMTP_SMTPUTF8) && !text_is_ascii(address))
		return NEEDS_UTF8;
	return s->transaction.named_count < smtp_sender_recipients_max(s) ? NAMED : BEYOND_LIMIT;
}

static void name_recipients(struct smtp_sender *s)
{
	struct transaction *t = &s->transaction;
	for (uint32_t i = 0; i < t->mail.recipient_count; i++) {
		t->states[i] = (uint8_t)state_at_first(s, t->mail.recipients[i].address);
		if (t->states[i] == NAMED)
			t->named[t->named_count++] = i;
		else
			t->unnamed++;
	}
	t->stopped = t->named_count == 0;
}

void smtp_sender_mail(struct smtp_sender *s, const struct smtp_sender_mail *mail)
{
	struct transaction *t = &s->transaction;
	must(smtp_sender_is_ready(s) && mail->recipient_count > 0 && mail->recipient_count <= LIMIT_SMTP_RECIPIENTS_MAX);
	make_room(t, mail->recipient_count);
	*t = (struct transaction){ .mail = *mail, .named = t->named, .accepted = t->accepted, .told = t->told, .states = t->states,
		                       .capacity = t->capacity, .open = mail->recipient_count };
	t->sent = t->answered = s->dirty ? STEP_RESET : STEP_MAIL;
	t->chunk = s->offers.extensions & SMTP_CHUNKING;
	s->phase = TRANSACTION;
	s->ready_due = false;
	name_recipients(s);
	const char *text = NULL, *status = is_writable(mail->sender) ? unfit(s, mail, &text) : "5.1.7";
	if (!is_writable(mail->sender))
		text = "the sender's address can not be written in SMTP";
	s->mails += !status;
	if (!status)
		return;
	t->stopped = true;
	describe_own(s, status, text);
	settle_all(s, SMTP_SENDER_FAILED);
}

void smtp_sender_quit(struct smtp_sender *s)
{
	s->quit_wanted = s->phase != QUIT && s->phase != CLOSED;
}

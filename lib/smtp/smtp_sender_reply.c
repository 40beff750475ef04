/* The server's replies, each by what was asked. */
#include "smtp_sender_internal.h"

#include "text.h"

/* ---- outside transactions ---- */

static void on_greeting(struct smtp_sender *s)
{
	if (s->reader.code / 100 == 2) {
		sender_say_hello(s, HELLO);
		return;
	}
	sender_describe_reply(s, SMTP_SENDER_AT_GREETING);
	sender_end_session(s, SMTP_SENDER_DEFERRED);
}

static void on_hello(struct smtp_sender *s)
{
	int code = s->reader.code;
	if (code / 100 == 2) {
		if (s->phase == HELLO)
			smtp_ehlo_read(buf_str(&s->reader.text), &s->offers);
		sender_rest(s);
	} else if (s->phase == HELLO && code >= 500 && !s->lmtp) { /* RFC 5321 §3.2, §4.1.4 */
		sender_say_hello(s, HELO);
	} else {
		sender_describe_reply(s, SMTP_SENDER_AT_HELLO);
		sender_end_session(s, SMTP_SENDER_DEFERRED);
	}
}

/* The described refusal is an event of its own; the session goes on. */
static void refuse(struct smtp_sender *s, enum smtp_sender_event_kind kind, enum smtp_sender_stage stage)
{
	sender_describe_reply(s, stage);
	s->event.kind = kind;
	s->phase = REST;
}

/* RFC 3207 §4 */
static void on_starttls(struct smtp_sender *s, struct str behind)
{
	if (s->reader.code / 100 != 2) {
		refuse(s, SMTP_SENDER_TLS_REFUSED, SMTP_SENDER_AT_STARTTLS);
	} else if (behind.length) {
		sender_end_by_own(s, "4.7.0", "the server sent something between STARTTLS and TLS");
	} else {
		s->phase = HANDSHAKE;
		s->event = (struct smtp_sender_event){ .kind = SMTP_SENDER_HANDSHAKE, .stage = SMTP_SENDER_AT_HANDSHAKE };
	}
}

/* RFC 4954 §4 */
static void on_auth(struct smtp_sender *s)
{
	int code = s->reader.code;
	if (code / 100 == 3 && s->phase == CANCELLED) {
		sender_end_by_nonsense(s);
	} else if (code / 100 == 3) {
		buf_clear(&s->challenge);
		if (!text_base64_decode(&s->challenge, str_trim(buf_str(&s->reader.text)))) {
			sender_cancel_auth(s);
			return;
		}
		s->phase = CHALLENGED;
		s->event = (struct smtp_sender_event){ .kind = SMTP_SENDER_CHALLENGE, .stage = SMTP_SENDER_AT_AUTH,
			                                   .challenge = buf_str(&s->challenge) };
	} else if (code / 100 == 2 && s->phase == AUTH) {
		sender_rest(s);
	} else {
		refuse(s, SMTP_SENDER_LOGIN_REFUSED, SMTP_SENDER_AT_AUTH);
	}
}

/* ---- within a transaction ---- */

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
	sender_describe_reply(s, SMTP_SENDER_AT_RCPT);
	sender_settle_one(s, recipient, is_too_many(s) ? SMTP_SENDER_AGAIN : sender_outcome_of(s->reader.code));
}

static void on_mail(struct smtp_sender *s)
{
	if (s->reader.code / 100 == 2) {
		s->needs_reset = true;
		return;
	}
	s->transaction.stopped = true;
	sender_describe_reply(s, SMTP_SENDER_AT_MAIL);
	sender_settle_all(s, sender_outcome_of(s->reader.code));
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
		sender_end_by_nonsense(s);
	} else {
		t->stopped = true;
		sender_describe_reply(s, SMTP_SENDER_AT_DATA);
		sender_settle_all(s, sender_outcome_of(s->reader.code));
	}
}

/* The content is refused before it is all there: nothing but the end of the connection can follow. */
static void on_early_final(struct smtp_sender *s)
{
	if (s->reader.code / 100 == 2) {
		sender_end_by_own(s, "4.5.0", "the server answered before it had the whole message");
		return;
	}
	sender_describe_reply(s, SMTP_SENDER_AT_CONTENT);
	sender_end_session(s, sender_outcome_of(s->reader.code));
}

/* True when no further answer to the content will come. */
static bool on_final(struct smtp_sender *s)
{
	struct transaction *t = &s->transaction;
	enum smtp_sender_outcome outcome = sender_outcome_of(s->reader.code);
	if (t->open) {
		sender_describe_reply(s, SMTP_SENDER_AT_END);
		if (s->lmtp) /* RFC 2033 §4.2: one reply for each accepted recipient, in order */
			sender_settle_one(s, t->accepted[t->finals++], outcome);
		else
			sender_settle_all(s, outcome);
	}
	if (t->open)
		return false;
	s->needs_reset = t->chunk && outcome != SMTP_SENDER_ACCEPTED; /* RFC 3030 §2 */
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
	enum step step = sender_step_of(t, t->answered);
	bool final = step == STEP_END || (step == STEP_CONTENT && t->chunk);
	if (t->answered == t->sent || is_out_of_place(s, step)) {
		sender_end_by_nonsense(s);
		return;
	}
	if (final && !t->content_ended) {
		on_early_final(s);
		return;
	}
	if (!final || on_final(s))
		t->answered++;
	if (step == STEP_RESET)
		s->needs_reset = false;
	else if (step == STEP_MAIL)
		on_mail(s);
	else if (step == STEP_RCPT)
		on_rcpt(s, t->named[t->answered - 1 - STEP_RCPT]);
	else if (!final)
		on_data(s);
}

/* ---- all ---- */

static void on_reply(struct smtp_sender *s, struct str behind)
{
	if (s->reader.code == 421 && s->phase != QUIT) { /* RFC 5321 §3.8: to any command, and the connection ends */
		sender_describe_reply(s, smtp_sender_stage(s));
		sender_end_session(s, SMTP_SENDER_DEFERRED);
		return;
	}
	if (s->command.length) {
		sender_end_by_nonsense(s);
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
		sender_describe_reply(s, SMTP_SENDER_AT_QUIT);
		sender_end_session(s, SMTP_SENDER_ACCEPTED);
		break;
	default: /* nothing was asked */
		sender_end_by_nonsense(s);
	}
}

bool sender_take_reply(struct smtp_sender *s, struct str *input)
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
		sender_end_by_own(s, "4.5.0", "what the server sent is no reply");
	else
		on_reply(s, *input);
	smtp_reply_reader_clear(&s->reader);
	return true;
}

#include "smtp_sender_internal.h"

#include "mem.h"
#include "text.h"

#include <stdlib.h>

enum { AUTH_LINE_MAX = 512 };

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

enum step sender_step_of(const struct transaction *t, size_t number)
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
	return stage_of_step(t, sender_step_of(t, t->sent ? t->sent - 1 : 0));
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
	enum step awaited = sender_step_of(t, t->answered);
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

/* ---- the step ---- */

void sender_rest(struct smtp_sender *s)
{
	s->phase = REST;
	s->ready_due = true;
}

static bool transaction_is_over(const struct smtp_sender *s)
{
	const struct transaction *t = &s->transaction;
	return s->phase == TRANSACTION && t->open == 0 && t->answered == t->sent && !sender_may_send(s) &&
	       !sender_content_is_due(s);
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
		if (sender_refuse_unnamed(s))
			continue;
		if (transaction_is_over(s))
			sender_rest(s);
		if (sender_take_reply(s, input) || sender_give_out(s, out))
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

void smtp_sender_lost(struct smtp_sender *s, const char *status, const char *text)
{
	if (s->phase != CLOSED && !s->over_due)
		sender_end_by_own(s, status, text);
}

/* ---- what the caller chooses ---- */

void sender_say_hello(struct smtp_sender *s, enum phase phase)
{
	const char *verb = phase == HELO ? "HELO" : s->lmtp ? "LHLO" : "EHLO";
	s->phase = phase;
	buf_printf(&s->command, "%s %s\r\n", verb, s->hostname);
}

void sender_cancel_auth(struct smtp_sender *s)
{
	buf_add_str(&s->command, STR("*\r\n"));
	s->phase = CANCELLED;
}

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
	sender_say_hello(s, HELLO);
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
		sender_cancel_auth(s);
	}
}

void smtp_sender_auth_cancel(struct smtp_sender *s)
{
	must(s->phase == CHALLENGED);
	sender_cancel_auth(s);
}

void smtp_sender_quit(struct smtp_sender *s)
{
	s->quit_wanted = s->phase != QUIT && s->phase != CLOSED;
}

/* What is to be told: of replies, of our own words, of recipients, of the end. */
#include "smtp_sender_internal.h"

#include "text.h"

#include <stdio.h>

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

void sender_describe_reply(struct smtp_sender *s, enum smtp_sender_stage stage)
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

void sender_describe_own(struct smtp_sender *s, const char *status, const char *text)
{
	s->event = (struct smtp_sender_event){ .stage = smtp_sender_stage(s), .text = str_of(text) };
	snprintf(s->event.status, sizeof s->event.status, "%s", status);
}

enum smtp_sender_outcome sender_outcome_of(int code)
{
	return code >= 500 ? SMTP_SENDER_FAILED : code >= 400 ? SMTP_SENDER_DEFERRED : SMTP_SENDER_ACCEPTED;
}

void sender_begin_result(struct smtp_sender *s, enum smtp_sender_outcome outcome)
{
	must(!s->result_due);
	s->event.outcome = outcome;
	s->event.recipients = s->transaction.told;
	s->event.recipient_count = 0;
}

void sender_add_to_result(struct smtp_sender *s, uint32_t recipient)
{
	struct transaction *t = &s->transaction;
	must(t->states[recipient] != SETTLED && t->open > 0);
	t->unnamed -= t->states[recipient] != NAMED;
	t->states[recipient] = SETTLED;
	t->open--;
	t->told[s->event.recipient_count++] = recipient;
	s->result_due = true;
}

void sender_settle_all(struct smtp_sender *s, enum smtp_sender_outcome outcome)
{
	const struct transaction *t = &s->transaction;
	sender_begin_result(s, outcome);
	for (uint32_t i = 0; t->open && i < t->mail.recipient_count; i++)
		if (t->states[i] != SETTLED)
			sender_add_to_result(s, i);
}

void sender_settle_one(struct smtp_sender *s, uint32_t recipient, enum smtp_sender_outcome outcome)
{
	sender_begin_result(s, outcome);
	sender_add_to_result(s, recipient);
}

void sender_end_session(struct smtp_sender *s, enum smtp_sender_outcome outcome)
{
	if (s->phase == TRANSACTION)
		sender_settle_all(s, outcome);
	s->over_due = true;
	s->ready_due = s->blocked = false;
	buf_clear(&s->command);
}

void sender_end_by_own(struct smtp_sender *s, const char *status, const char *text)
{
	sender_describe_own(s, status, text);
	sender_end_session(s, SMTP_SENDER_DEFERRED);
}

void sender_end_by_nonsense(struct smtp_sender *s)
{
	sender_end_by_own(s, "4.5.0", "the server's reply makes no sense here");
}

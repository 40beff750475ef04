/* What goes to the server: commands, as far as it takes them at once, and content. */
#include "smtp_sender_internal.h"

#include "mem.h"
#include "smtp_sender_command.h"

enum { PIPELINED_CHUNK_MAX = SMTP_SENDER_PIECE / 2 };

/* Must what was asked be answered before the content may be announced? A chunk that is small costs less than the
 * wait. */
static bool content_must_wait(const struct smtp_sender *s)
{
	const struct transaction *t = &s->transaction;
	return s->lmtp || (t->chunk && t->mail.size > PIPELINED_CHUNK_MAX);
}

bool sender_may_send(const struct smtp_sender *s)
{
	const struct transaction *t = &s->transaction;
	enum step next = sender_step_of(t, t->sent);
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
		sender_describe_own(s, "4.3.0", "the message can not be read");
		sender_settle_all(s, SMTP_SENDER_DEFERRED);
		return;
	}
	t->content_begun = true;
	smtp_sender_content_begin(&t->content, true);
	buf_printf(out, "BDAT %llu LAST\r\n", (unsigned long long)size);
}

static void send_command(struct smtp_sender *s, struct buf *out)
{
	struct transaction *t = &s->transaction;
	switch (sender_step_of(t, t->sent++)) {
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
	sender_describe_own(s, status, text);
	sender_end_session(s, outcome);
}

/* With its last piece the content is at its end: what is out may be answered at once. */
static void send_content(struct smtp_sender *s, struct buf *out)
{
	struct transaction *t = &s->transaction;
	uint64_t left = t->mail.size - t->offset;
	bool clean = true;
	if (left > 0) {
		struct str piece = t->mail.content(t->mail.context, t->offset);
		if (piece.length == 0) {
			break_off(s, "4.3.0", "the message can not be read", SMTP_SENDER_DEFERRED);
			return;
		}
		piece = str_first(piece, left < SMTP_SENDER_PIECE ? (size_t)left : SMTP_SENDER_PIECE);
		clean = smtp_sender_content_add(&t->content, piece, out);
		t->offset += piece.length;
	}
	if (clean && t->offset == t->mail.size)
		clean = t->content_ended = smtp_sender_content_end(&t->content, out);
	s->events++;
	if (!clean)
		break_off(s, "5.6.0", "the message has a CR or LF that is no line end", SMTP_SENDER_FAILED);
}

bool sender_content_is_due(const struct smtp_sender *s)
{
	return s->phase == TRANSACTION && s->transaction.content_begun && !s->transaction.content_ended;
}

bool sender_give_out(struct smtp_sender *s, struct buf *out)
{
	bool command_due = s->phase == TRANSACTION && sender_may_send(s);
	s->blocked = false;
	if (s->command.length == 0 && !command_due && !sender_content_is_due(s))
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

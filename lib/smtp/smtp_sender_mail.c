/* A transaction begins: which recipients are named, and what is not even tried. */
#include "smtp_sender_internal.h"

#include "mem.h"
#include "smtp_sender_command.h"
#include "text.h"

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

bool sender_refuse_unnamed(struct smtp_sender *s)
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
	sender_describe_own(s, reasons[why].status, reasons[why].text);
	sender_begin_result(s, reasons[why].outcome);
	for (uint32_t i = 0; i < t->mail.recipient_count; i++)
		if (t->states[i] == why)
			sender_add_to_result(s, i);
	return true;
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
	t->sent = t->answered = s->needs_reset ? STEP_RESET : STEP_MAIL;
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
	sender_describe_own(s, status, text);
	sender_settle_all(s, SMTP_SENDER_FAILED);
}

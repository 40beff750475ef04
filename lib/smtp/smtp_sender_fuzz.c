/* A hostile server: every recipient has one result before the transaction ends, nothing is said after the end, all
 * lines end with CRLF. */
#include "smtp_sender.h"

enum { RECIPIENTS = 3, STEPS_MAX = 100000 };

struct run {
	struct smtp_sender *sender;
	struct buf out;
	struct str content;
	size_t piece;
	bool settled[RECIPIENTS], in_transaction, over;
	unsigned choices;
	char last;
};

static struct str give_content(void *context, uint64_t offset)
{
	const struct run *r = context;
	must(offset < r->content.length);
	return str_first(str_from_index(r->content, (size_t)offset), r->piece);
}

static const struct smtp_sender_recipient recipients[RECIPIENTS] = {
	{ { "a@x", 3 }, SMTP_NOTIFY_SUCCESS, { "rfc822;a+b@x", 12 } },
	{ { "\xc3\xa4@x", 4 }, 0, { "", 0 } },
	{ { "c@x", 3 }, 0, { "utf-8;\xc3\xa4@x", 10 } },
};

static void begin_mail(struct run *r)
{
	struct smtp_sender_mail mail = {
		.sender = STR("s@x"), .recipients = recipients, .recipient_count = RECIPIENTS, .size = r->content.length, .has_8bit = r->choices & 4,
		.utf8 = r->choices & 8, .envid = STR("e"), .priority = 2, .content = give_content, .context = r,
	};
	for (size_t i = 0; i < RECIPIENTS; i++)
		r->settled[i] = false;
	r->in_transaction = true;
	smtp_sender_mail(r->sender, &mail);
}

static void choose(struct run *r)
{
	unsigned choice = r->choices % 5;
	r->choices = r->choices / 5 + 1;
	if (choice == 0)
		smtp_sender_quit(r->sender);
	else if (choice == 1 && !(r->choices & 1))
		must(smtp_sender_auth(r->sender, STR("PLAIN"), true, STR("x")));
	else if (smtp_sender_may_mail(r->sender))
		begin_mail(r);
}

static void check_results(struct run *r)
{
	for (size_t i = 0; r->in_transaction && i < RECIPIENTS; i++)
		must(r->settled[i]);
	r->in_transaction = false;
}

static void on_event(struct run *r, const struct smtp_sender_event *e)
{
	must(!r->over);
	for (size_t i = 0; i < e->text.length; i++)
		must((unsigned char)e->text.data[i] >= 0x20 && e->text.data[i] != 0x7f);
	for (size_t i = 0; e->kind == SMTP_SENDER_RESULT && i < e->recipient_count; i++) {
		must(!r->settled[e->recipients[i]]);
		must(e->outcome != SMTP_SENDER_ACCEPTED ||
		     (e->by_server && e->code / 100 == 2 && e->stage == SMTP_SENDER_AT_END));
		r->settled[e->recipients[i]] = true;
	}
	if (e->kind == SMTP_SENDER_HANDSHAKE)
		smtp_sender_tls_started(r->sender);
	else if (e->kind == SMTP_SENDER_CHALLENGE)
		smtp_sender_auth_answer(r->sender, e->challenge);
	else if (e->kind == SMTP_SENDER_READY || e->kind == SMTP_SENDER_OVER)
		check_results(r);
	r->over |= e->kind == SMTP_SENDER_OVER;
	if (e->kind == SMTP_SENDER_READY || e->kind == SMTP_SENDER_LOGIN_REFUSED)
		choose(r);
}

static void check_out(struct run *r)
{
	must(!r->out.overflowed && (!r->over || r->out.length == 0));
	for (size_t i = 0; i < r->out.length; i++) {
		must((r->last == '\r') == (r->out.data[i] == '\n'));
		r->last = r->out.data[i];
	}
	must(r->last != '\r');
	buf_clear(&r->out);
}

static void run_steps(struct run *r, struct str input)
{
	struct smtp_sender_event event;
	unsigned steps = 0;
	do {
		bool over = r->over;
		smtp_sender_step(r->sender, &input, &r->out, &event);
		must(++steps < STEPS_MAX);
		if (over)
			must(r->out.length == 0);
		if (event.kind != SMTP_SENDER_NOTHING)
			on_event(r, &event);
		else if (!over)
			check_out(r);
		if (r->over)
			buf_clear(&r->out);
	} while (event.kind != SMTP_SENDER_NOTHING || smtp_sender_wants_room(r->sender));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const contents[] = { "a\r\n", "", "..\r\nx", "a\nb", "a\rb\r\n" };
	if (size < 4 || size > 1 << 14)
		return 0;
	struct run r = { .sender = smtp_sender_new(data[0] & 1, STR("us")), .out = BUF_WITH_LIMIT(SMTP_SENDER_OUT_MAX), .piece = 1 + data[1] % 4,
		             .content = str_of(contents[data[1] / 4 % COUNT_OF(contents)]), .choices = data[2] * 256u + data[0] };
	struct str input = str_from((const char *)data + 4, size - 4);
	size_t piece = 1 + data[3];
	for (; input.length; input = str_from_index(input, piece))
		run_steps(&r, str_first(input, piece));
	smtp_sender_lost(r.sender, "4.4.2", "lost");
	run_steps(&r, STR(""));
	must(r.over);
	buf_release(&r.out);
	smtp_sender_cleanup(&r.sender);
	return 0;
}

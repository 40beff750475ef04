/*
 * The plain message to a sender whose mail was taken and then could not be delivered. It is mail like any
 * other: made durable by the journal, delivered to local senders, kept in a file for remote ones.
 */
#include "queue.h"

#include "clock.h"
#include "date.h"
#include "log.h"
#include "mem.h"
#include "text.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TEXT_MAX = 8192, RETRY_MS = 30000 };

struct bounce {
	struct queue *queue;
	struct delivery *delivery;
	char *why;
	char *sender;
	struct waiter waiter;
	struct timer timer;
	struct commit commit;
};

static void bounce_free(struct bounce *b)
{
	free(b->why);
	free(b->sender);
	free(b);
}

static void finish(struct bounce *b)
{
	struct delivery *d = b->delivery;
	bounce_free(b);
	mail_settle(d, DELIVERY_FAILED);
}

static void ask_again(void *owner);

static void try_later(struct bounce *b)
{
	loop_start_timer(b->queue->loop, &b->timer, RETRY_MS, ask_again, b);
}

static void committed(struct commit *commit, bool durable)
{
	struct bounce *b = commit->owner;
	char id[17];
	if (!durable) {
		try_later(b);
		return;
	}
	envelope_id_text(commit->mail->id, id);
	log_event(LOG_INFO, b->delivery->mail->session, "bounced", LOG_TEXT("queue-id", str_of(id)),
	          LOG_TEXT("to", str_of(b->sender)),
	          LOG_TEXT("why", str_of(b->why)));
	finish(b);
}

/* Nothing that came from outside ends a line here. */
static void add_clean(struct buf *text, struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		buf_add_char(text, (unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f ? ' ' : s.data[i]);
}

static void write_header(struct buf *text, const struct bounce *b, const struct envelope *e)
{
	const char *host = b->queue->daemon.config.hostname;
	buf_printf(text, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: <", host);
	add_clean(text, str_of(b->sender));
	buf_add_str(text, STR(">\r\nSubject: Undelivered mail\r\nDate: "));
	date_format(text, (struct date){ .seconds = e->received });
	buf_printf(text, "\r\nMessage-ID: <%016" PRIx64 "@%s>\r\n", e->id, host);
	buf_add_str(text, STR("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n" /* RFC 3834 §5 */
	                      "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
}

static void write_text(struct buf *text, const struct bounce *b, const struct envelope *e, struct str recipient)
{
	char id[17];
	envelope_id_text(b->delivery->mail->id, id);
	write_header(text, b, e);
	buf_add_str(text, STR("Your mail to\r\n\r\n  "));
	add_clean(text, recipient);
	buf_add_str(text, STR("\r\n\r\nwas accepted but could not be delivered:\r\n\r\n  "));
	add_clean(text, str_of(b->why));
	buf_printf(text, "\r\n\r\nIt will not be tried again. Its queue id was %s.\r\n", id);
}

static void address_targets(struct arena *arena, struct envelope *e, struct str targets)
{
	struct target target;
	e->recipients = arena_alloc_array(arena, LIMIT_ALIAS_TARGETS_MAX, sizeof *e->recipients);
	while (target_next(&targets, &target))
		e->recipients[e->recipient_count++] = (struct envelope_recipient){
			.account = target.account, .address = arena_copy(arena, target.address), .notify = ENVELOPE_NOTIFY_NEVER,
		};
}

static bool compose(struct bounce *b, struct str targets, struct fail **fail)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ENVELOPE_ARENA_MAX);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(TEXT_MAX);
	CLEANUP(buf_release) struct buf head = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	struct mail *failed = b->delivery->mail;
	struct envelope e = { .id = ipc_number_make(), .received = clock_wall_seconds(), .body_type = ENVELOPE_8BITMIME };
	if (!mail_load(failed, fail))
		return false;
	write_text(&text, b, &e, mail_text(failed, b->delivery->address));
	mail_unload(failed);
	e.smtputf8 = !text_is_ascii(buf_str(&text));
	e.session = arena_printf(arena, "%016" PRIx64, failed->session);
	e.body_size = text.length;
	address_targets(arena, &e, targets);
	if (!envelope_encode(&e, &head, fail))
		return false;
	b->commit = (struct commit){ .mail = mail_new(b->queue, &e), .done = committed, .owner = b };
	size_t length = head.length;
	char *body = TAKE(text.data);
	must(mail_hold(b->commit.mail, TAKE(head.data), length, body, body, NULL));
	commit_add(b->queue, &b->commit);
	return true;
}

static void sender_answered(struct waiter *waiter, const struct answer *answer)
{
	struct bounce *b = waiter->owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(buf_release) struct buf remote = BUF_WITH_LIMIT(2 * LIMIT_ADDRESS_MAX);
	struct str targets = answer->targets;
	if (answer->verdict == RESOLVE_TEMPORARY) {
		try_later(b);
		return;
	}
	if (answer->verdict == RESOLVE_NOT_OURS) {
		target_add(&remote, &(struct target){ .address = str_of(b->sender) });
		targets = buf_str(&remote);
	}
	bool is_nobody = answer->verdict == RESOLVE_UNKNOWN_USER || answer->verdict == RESOLVE_DISABLED;
	if (!is_nobody && targets.length > 0 && compose(b, targets, &fail))
		return;
	log_event(LOG_WARNING, b->delivery->mail->session, "not-bounced", LOG_TEXT("to", str_of(b->sender)),
	          LOG_TEXT("why", str_of(fail ? fail->text : "there is no such sender")));
	finish(b);
}

static void ask_again(void *owner)
{
	struct bounce *b = owner;
	resolve_address(b->queue, str_of(b->sender), &b->waiter);
}

/* RFC 3461 §4.1: NEVER, and lists without FAILURE, want none; RFC 5321 §4.5.5: nor does the null sender. */
static bool wants_bounce(struct delivery *d, char **sender)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ENVELOPE_ARENA_MAX);
	struct envelope e;
	if (!mail_envelope(d->mail, arena, &e, NULL) || e.reverse_path.length == 0)
		return false;
	uint8_t notify = e.recipients[d->index].notify;
	*sender = str_copy(e.reverse_path);
	mail_unload(d->mail);
	return notify == 0 || notify & ENVELOPE_NOTIFY_FAILURE;
}

void bounce_send(struct delivery *d, const char *why)
{
	CLEANUP(mem_free) char *sender = NULL;
	if (!wants_bounce(d, &sender)) {
		mail_settle(d, DELIVERY_FAILED);
		return;
	}
	struct bounce *b = mem_alloc(sizeof *b);
	b->queue = d->mail->queue;
	b->delivery = d;
	b->why = str_copy(str_first(str_of(why), 1000));
	b->sender = TAKE(sender);
	b->waiter = (struct waiter){ .answered = sender_answered, .owner = b };
	ask_again(b);
}

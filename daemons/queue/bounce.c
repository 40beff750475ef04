/*
 * What senders are told of their mail (RFC 3461, RFC 3464): one report of all recipients of a mail that come to the same end within
 * TOGETHER_MS. A report is mail like any other, with the null sender; nothing follows when it cannot be delivered, but a word to the
 * postmaster where the site wants that.
 *
 *	gathering ──timer──► ready ──a few at a time──► under way ──durable, or nobody to tell──► each recipient is FAILED or DONE
 *	                       ▲                            │
 *	                       └──────────later─────────────┘
 */
#include "bounce.h"
#include "forward.h"
#include "submit.h"

#include "clock.h"
#include "dsn.h"
#include "file.h"
#include "log.h"
#include "mem.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TOGETHER_MS = 1000, RETRY_MS = 30000, UNDER_WAY_MAX = 20, RECIPIENTS_MAX = 100, RANGE_LENGTH_MAX = 24,
	UNASKED_WHOLE_MAX = 50000,
       WHOLE_MAX = LIMIT_INLINE_BODY_MAX - 65536 };

/* envelope.protocol of what is written here. */
#define PROTOCOL_REPORT "REPORT"
#define PROTOCOL_DOUBLE "DOUBLE" /* of a report that could not be delivered: nothing follows its failure */

struct item {
	struct delivery *d;
	enum report_kind kind;
};

enum phase { GATHERING, READY, UNDER_WAY };

struct bounce {
	struct bounce *next;      /* of those that are READY */
	struct queue *queue;
	struct mail *mail;        /* NULL: gone; then all items are of delays */
	uint64_t mail_id, session;
	enum phase phase;
	ARRAY(struct item) items;
	size_t told;              /* so many of them are in the report that is UNDER_WAY */
	struct timer timer;
	struct buf to, which;     /* which: of whom it tells, see note_which */
	struct submission submission;
};

/* ---- who wants to hear of it ---- */

/* RFC 3461 §4.1, §5.2.2; a mail without NOTIFY wants to hear of failures and delays. */
static bool is_wanted_by(const struct envelope_recipient *r, enum report_kind kind)
{
	switch (kind) {
	case REPORT_FAILED: return r->notify == 0 || r->notify & ENVELOPE_NOTIFY_FAILURE;
	case REPORT_DELAYED: return r->notify == 0 || r->notify & ENVELOPE_NOTIFY_DELAY;
	case REPORT_DELIVERED: return r->notify & ENVELOPE_NOTIFY_SUCCESS;
	case REPORT_RELAYED: return true; /* schedule.c knows */
	}
	return false;
}

/* Never a report on a report (RFC 5321 §4.5.5), but a word to our own postmaster of one that we wrote. */
static bool is_double(const struct queue *q, const struct envelope *e, enum report_kind kind)
{
	return e->reverse_path.length == 0 && kind == REPORT_FAILED && q->daemon.config.double_bounces &&
	       str_equal(e->protocol, STR(PROTOCOL_REPORT));
}

static bool is_wanted(struct delivery *d, enum report_kind kind)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ENVELOPE_ARENA_MAX);
	struct envelope e;
	bool was_loaded = d->mail->head;
	if (!mail_envelope(d->mail, arena, &e, NULL))
		return false;
	bool wanted = is_double(d->mail->queue, &e, kind) ||
	              (e.reverse_path.length > 0 && is_wanted_by(&e.recipients[d->index], kind));
	if (!was_loaded)
		mail_unload(d->mail);
	return wanted;
}

/* The sender knows, or will not. d and its mail may be gone after this. */
static void settle(const struct item *item)
{
	if (item->kind != REPORT_DELAYED)
		result_reported(item->d);
}

/* ---- writing it ---- */

static struct str reply_of(struct arena *arena, const struct attempt_facts *last)
{
	if (last->code == 0)
		return last->reply;
	if (last->status.length == 0 || str_starts(last->reply, last->status))
		return arena_printf(arena, "%u %.*s", last->code, STR_ARG(last->reply));
	return arena_printf(arena, "%u %.*s %.*s", last->code, STR_ARG(last->status), STR_ARG(last->reply));
}

static struct dsn_recipient describe(const struct item *item, const struct envelope *e, struct arena *arena)
{
	static const enum dsn_action actions[] = {
		[REPORT_FAILED] = DSN_FAILED,
		[REPORT_DELAYED] = DSN_DELAYED,
		[REPORT_DELIVERED] = DSN_DELIVERED,
		[REPORT_RELAYED] = DSN_RELAYED,
	};
	const struct delivery *d = item->d;
	const struct envelope_recipient *r = &e->recipients[d->index];
	struct dsn_recipient told = {
		.address = r->address, .original = r->orcpt, .action = actions[item->kind], .attempt = d->last_attempt,
	};
	if (d->last) {
		const struct attempt_facts last = attempt_facts(d->last);
		told.status = last.status;
		told.reply = reply_of(arena, &last);
		told.host = last.host;
		told.peer = last.address;
	}
	if (item->kind == REPORT_DELAYED && e->deliver_by && clock_wall_seconds() >= e->deliver_by)
		told.status = STR("4.4.7"); /* RFC 2852 §4.1.3 */
	if (item->kind == REPORT_DELAYED)
		told.retry_until = e->received + (int64_t)d->mail->queue->daemon.config.queue_lifetime_seconds;
	return told;
}

/* RET, RFC 3461 §4.3: only of failures is all returned; RFC 8689 §5: never of mail that requires TLS. Our own users,
 * who did not say, get short mail back. */
static bool returns_whole(const struct bounce *b, const struct envelope *e)
{
	bool has_failed = false;
	for (size_t i = 0; i < b->told; i++)
		has_failed |= b->items.items[i].kind == REPORT_FAILED;
	uint64_t most = b->mail->damaged                                 ? 0
	                : e->ret == ENVELOPE_RETURN_FULL                 ? WHOLE_MAX
	                : e->ret == ENVELOPE_RETURN_UNSAID && e->account ? UNASKED_WHOLE_MAX
	                                                                 : 0;
	return has_failed && !e->require_tls && e->body_size <= most;
}

/* As much of the message as a report can hold, in memory; nothing of one that cannot be read any more, which is told
 * of all the same. */
static void read_original(struct mail *mail, struct buf *original)
{
	if (mail->body) {
		buf_append(original, mail->body, mail->size);
		return;
	}
	size_t size = mail->size < DSN_HEADER_MAX ? (size_t)mail->size : DSN_HEADER_MAX;
	CLEANUP(file_close) int file = spool_open_body(mail, NULL);
	char *room = buf_reserve(original, size);
	if (file >= 0 && room && file_read_at(file, room, size, 0, NULL))
		buf_claim(original, size);
}

static void fill_report(struct dsn_report *report, const struct bounce *b, const struct envelope *e,
                        struct arena *arena)
{
	char id[17], random[17];
	envelope_id_text(e->id, id);
	envelope_id_text(ipc_number_make(), random);
	*report = (struct dsn_report){
		.hostname = str_of(b->queue->daemon.config.hostname), .id = arena_printf(arena, "%s%s", id, random),
		.to = buf_str(&b->to), .now = clock_wall_seconds(), .envid = e->envid,
		.queue_id = arena_copy(arena, str_of(id)), .helo = e->helo, .arrival = e->received,
		.deliver_by = e->deliver_by, .hold_until = e->hold_until, .hold_is_interval = e->hold_is_interval,
		.takes_utf8 = e->smtputf8, .whole = returns_whole(b, e),
	};
}

static void submitted(struct submission *s, enum submit_outcome outcome);

static void address(struct submission *s, struct bounce *b, const struct envelope *e)
{
	*s = (struct submission){
		.queue = b->queue, .recipient = buf_str(&b->to), .notify = ENVELOPE_NOTIFY_NEVER, .session = b->session,
		.done = submitted, .owner = b, .text = BUF_WITH_LIMIT(LIMIT_INLINE_BODY_MAX),
		.envelope = {
			.protocol = e->reverse_path.length ? STR(PROTOCOL_REPORT) : STR(PROTOCOL_DOUBLE), .peer = buf_str(&b->which),
			.require_tls = e->require_tls, /* RFC 8689 §5 */
			.priority = e->priority,       /* RFC 6710 §4.6 */
		},
	};
}

/* The return path, as it was before we ourselves rewrote it. */
static void find_sender(struct bounce *b, const struct envelope *e, struct arena *arena)
{
	b->to = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 1);
	struct str sender = e->reverse_path.length ? e->reverse_path : STR("postmaster");
	forward_return_path(b->queue, arena, sender, &sender);
	buf_add_str(&b->to, sender);
}

static bool write_report(struct bounce *b, struct arena *arena, const struct envelope *e,
                         const struct dsn_recipient *recipients, size_t count)
{
	CLEANUP(buf_release) struct buf original = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX);
	struct submission *s = &b->submission;
	struct dsn_report report;
	struct dsn_facts facts;
	read_original(b->mail, &original);
	fill_report(&report, b, e, arena);
	report.recipients = recipients;
	report.count = count;
	report.original = buf_str(&original);
	bool written = dsn_write(&s->text, &report, &facts);
	if (!written && report.whole) {
		report.whole = false;
		buf_clear(&s->text);
		written = dsn_write(&s->text, &report, &facts);
	}
	s->envelope.smtputf8 = facts.is_utf8;
	return written;
}

static bool follows(const struct item *a, const struct item *b)
{
	return a->kind == b->kind && b->d->index == a->d->index + 1;
}

/* As many as the envelope can name: the mail's id, and of each range its kind, its first and its last recipient. */
static size_t note_which(struct bounce *b)
{
	const struct item *items = b->items.items;
	size_t end = b->items.count < RECIPIENTS_MAX ? b->items.count : RECIPIENTS_MAX, told = 0;
	b->which = BUF_WITH_LIMIT(ENVELOPE_FACT_MAX + 1);
	buf_printf(&b->which, "%" PRIu64, b->mail_id);
	while (told < end && b->which.length + RANGE_LENGTH_MAX <= ENVELOPE_FACT_MAX) {
		const struct item *first = &items[told++];
		while (told < end && follows(&items[told - 1], &items[told]))
			told++;
		buf_printf(&b->which, " %u %u %u", (unsigned)first->kind, first->d->index, items[told - 1].d->index);
	}
	return told;
}

static bool compose(struct bounce *b, struct fail **fail)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ENVELOPE_ARENA_MAX);
	struct envelope e;
	if (!mail_envelope(b->mail, arena, &e, fail))
		return false;
	b->told = note_which(b);
	struct dsn_recipient *recipients = arena_alloc_array(arena, b->told, sizeof *recipients);
	for (size_t i = 0; i < b->told; i++)
		recipients[i] = describe(&b->items.items[i], &e, arena);
	find_sender(b, &e, arena);
	address(&b->submission, b, &e);
	bool written = write_report(b, arena, &e, recipients, b->told);
	mail_unload(b->mail);
	return written || fail_set(fail, FAIL_TOO_BIG, "the report could not be written");
}

/* ---- on its way ---- */

static void begin_ready(void *owner);

static void release_texts(struct bounce *b)
{
	buf_release(&b->to);
	buf_release(&b->which);
	buf_release(&b->submission.text);
}

static void bounce_free(struct bounce *b)
{
	if (map_get(b->queue->bounces.by_mail, MAP_KEY(b->mail_id)) == b)
		map_remove(b->queue->bounces.by_mail, MAP_KEY(b->mail_id));
	loop_stop_timer(b->queue->loop, &b->timer);
	release_texts(b);
	array_release(&b->items);
	free(b);
}

static void log_end(const struct bounce *b, bool is_durable, const char *why)
{
	char id[17], report[17];
	envelope_id_text(b->mail_id, id);
	envelope_id_text(b->submission.envelope.id, report);
	if (is_durable)
		log_event(LOG_INFO, b->session, "bounced", LOG_TEXT("queue-id", str_of(id)),
		          LOG_TEXT("report-id", str_of(report)), LOG_TEXT("to", buf_str(&b->to)),
		          LOG_NUMBER("recipients", b->told));
	else
		log_event(LOG_WARNING, b->session, "not-bounced", LOG_TEXT("queue-id", str_of(id)),
		          LOG_TEXT("to", buf_str(&b->to)), LOG_TEXT("why", str_of(why)));
}

static void make_ready(void *owner)
{
	struct bounce *b = owner;
	struct bounce_desk *desk = &b->queue->bounces;
	b->phase = READY;
	b->next = NULL;
	*(desk->last ? &desk->last->next : &desk->first) = b;
	desk->last = b;
	loop_start_timer(b->queue->loop, &desk->timer, 0, begin_ready, b->queue);
}

static void drop_items(struct bounce *b, size_t count)
{
	b->items.count -= count;
	if (b->items.count)
		memmove(b->items.items, b->items.items + count, b->items.count * sizeof b->items.items[0]);
}

/* The last recipient may take the mail with it. */
static void settle_told(struct bounce *b)
{
	for (size_t i = 0; i < b->told; i++)
		settle(&b->items.items[i]);
	drop_items(b, b->told);
	release_texts(b);
	if (b->mail && b->items.count)
		make_ready(b);
	else
		bounce_free(b);
}

/* A delay need not be told of twice. */
static void try_later(struct bounce *b)
{
	size_t kept = 0;
	for (size_t i = 0; i < b->items.count; i++)
		if (b->items.items[i].kind != REPORT_DELAYED)
			b->items.items[kept++] = b->items.items[i];
	b->items.count = kept;
	release_texts(b);
	b->phase = GATHERING;
	if (kept == 0)
		bounce_free(b);
	else
		loop_start_timer(b->queue->loop, &b->timer, RETRY_MS, make_ready, b);
}

static void submitted(struct submission *s, enum submit_outcome outcome)
{
	struct bounce *b = s->owner;
	struct bounce_desk *desk = &b->queue->bounces;
	desk->under_way--;
	loop_start_timer(b->queue->loop, &desk->timer, 0, begin_ready, b->queue);
	if (outcome == SUBMIT_LATER) {
		try_later(b);
		return;
	}
	log_end(b, outcome == SUBMIT_DURABLE, "there is no such sender");
	settle_told(b);
}

/* Whoever cannot be told of it is not waited for. */
static void begin(struct bounce *b)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	b->phase = UNDER_WAY;
	if (compose(b, &fail)) {
		b->queue->bounces.under_way++;
		submit_mail(&b->submission);
		return;
	}
	log_end(b, false, fail_text(fail));
	b->told = b->items.count;
	settle_told(b);
}

static void begin_ready(void *owner)
{
	struct queue *q = owner;
	struct bounce_desk *desk = &q->bounces;
	while (desk->first && desk->under_way < UNDER_WAY_MAX) {
		struct bounce *b = desk->first;
		desk->first = b->next;
		if (!desk->first)
			desk->last = NULL;
		begin(b);
	}
}

/* ---- gathering ---- */

static struct bounce *bounce_new(struct mail *mail)
{
	struct bounce_desk *desk = &mail->queue->bounces;
	struct bounce *b = mem_alloc(sizeof *b);
	if (!desk->by_mail)
		desk->by_mail = map_new();
	b->queue = mail->queue;
	b->mail = mail;
	b->mail_id = mail->id;
	b->session = mail->session;
	return b;
}

static struct bounce *bounce_of(struct mail *mail)
{
	struct bounce_desk *desk = &mail->queue->bounces;
	struct bounce *b = desk->by_mail ? map_get(desk->by_mail, MAP_KEY(mail->id)) : NULL;
	if (b)
		return b;
	b = bounce_new(mail);
	map_set(desk->by_mail, MAP_KEY(mail->id), b);
	return b;
}

/* Others of the mail may come to the same end soon, unless it is the last one. */
static int64_t patience(const struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].state != DELIVERY_BOUNCING && !delivery_is_final(&mail->deliveries[i]))
			return TOGETHER_MS;
	return 0;
}

void bounce_report(struct delivery *d, enum report_kind kind)
{
	struct item item = { d, kind };
	if (!is_wanted(d, kind)) {
		settle(&item);
		return;
	}
	struct bounce *b = bounce_of(d->mail);
	*array_add(&b->items) = item;
	if (b->phase == GATHERING)
		loop_start_timer(b->queue->loop, &b->timer, patience(d->mail), make_ready, b);
}

/* Nothing waits for it, and nobody asks for it again. */
void bounce_expanded(struct mail *mail, const struct envelope *e, const struct envelope_recipient *aliases,
                     size_t count)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ENVELOPE_ARENA_MAX);
	if (e->reverse_path.length == 0)
		return;
	count = count < RECIPIENTS_MAX ? count : RECIPIENTS_MAX;
	struct dsn_recipient *recipients = arena_alloc_array(arena, count, sizeof *recipients);
	for (size_t i = 0; i < count; i++)
		recipients[i] = (struct dsn_recipient){ .address = aliases[i].address, .original = aliases[i].orcpt,
			.action = DSN_EXPANDED };
	struct bounce *b = bounce_new(mail);
	b->phase = UNDER_WAY;
	find_sender(b, e, arena);
	address(&b->submission, b, e);
	if (!write_report(b, arena, e, recipients, count)) {
		bounce_free(b);
		return;
	}
	b->mail = NULL;
	b->queue->bounces.under_way++;
	submit_mail(&b->submission);
}

static void leave_ready(struct bounce_desk *desk, const struct bounce *b)
{
	struct bounce **at = &desk->first;
	desk->last = NULL;
	while (*at) {
		if (*at == b) {
			*at = b->next;
		} else {
			desk->last = *at;
			at = &(*at)->next;
		}
	}
}

void bounce_forget(struct mail *mail)
{
	struct bounce_desk *desk = &mail->queue->bounces;
	struct bounce *b = desk->by_mail ? map_get(desk->by_mail, MAP_KEY(mail->id)) : NULL;
	if (!b || b->mail != mail)
		return;
	b->mail = NULL;
	if (b->phase == READY)
		leave_ready(desk, b);
	if (b->phase != UNDER_WAY)
		bounce_free(b);
}

/* ---- after a crash ---- */

bool bounce_is_report(const struct envelope *e)
{
	return str_equal(e->protocol, STR(PROTOCOL_REPORT)) || str_equal(e->protocol, STR(PROTOCOL_DOUBLE));
}

void bounce_note_recovered(struct queue *q, const struct envelope *e)
{
	if (bounce_is_report(e) && e->peer.length)
		*array_add(&q->bounces.recovered) = mem_printf("%.*s", STR_ARG(e->peer));
}

static bool take_number(struct str *rest, uint64_t max, uint64_t *number)
{
	struct str word;
	return str_take_until(rest, ' ', &word) && str_to_u64(word, max, number);
}

static void settle_recovered(struct delivery *d, enum report_kind kind)
{
	if (delivery_is_final(d))
		return;
	if (kind == REPORT_DELAYED) {
		d->warned = true;
		return;
	}
	if (d->account)
		deliver_finish(d, DELIVERY_BOUNCING);
	destination_leave(d);
	d->state = DELIVERY_BOUNCING;
	d->report = kind;
	result_reported(d);
}

static void settle_ranges(struct map *mails, struct str ranges)
{
	uint64_t id, kind, first, last;
	struct mail *mail = take_number(&ranges, UINT64_MAX, &id) ? map_get(mails, MAP_KEY(id)) : NULL;
	while (mail && take_number(&ranges, REPORT_RELAYED, &kind) && take_number(&ranges, mail->count - 1, &first) &&
	       take_number(&ranges, mail->count - 1, &last))
		for (uint64_t i = first; i <= last; i++)
			settle_recovered(&mail->deliveries[i], (enum report_kind)kind);
}

/* busy: so that no mail goes while others may tell of it. */
void bounce_settle_recovered(struct queue *q)
{
	struct bounce_desk *desk = &q->bounces;
	struct map *mails = map_new();
	for (struct mail *mail = q->first; mail && desk->recovered.count; mail = mail->next) {
		mail->busy = true;
		map_set(mails, MAP_KEY(mail->id), mail);
	}
	for (size_t i = 0; i < desk->recovered.count; i++) {
		settle_ranges(mails, str_of(desk->recovered.items[i]));
		free(desk->recovered.items[i]);
	}
	for (struct mail *mail = q->first; mail && desk->recovered.count; mail = mail->next)
		mail->busy = false;
	array_release(&desk->recovered);
	map_free(mails);
}

#include "mail.h"
#include "queue.h"

#include "clock.h"
#include "file.h"
#include "mem.h"
#include "text.h"

#include <endian.h>
#include <stdlib.h>

enum { BRIEF_MAX = 20, BRIEF_OCTETS_MAX = 2000 };

static uint64_t session_of(struct str text)
{
	uint64_t number;
	return text_hex_decode(text, &number, sizeof number) ? be64toh(number) : 0;
}

static enum delivery_state state_of(enum envelope_state state)
{
	return state == ENVELOPE_APPLIED ? DELIVERY_DONE : state == ENVELOPE_FAILED ? DELIVERY_FAILED : DELIVERY_PENDING;
}

/* Of mail for other hosts, which may be listed a hundred thousand at a time. */
static char *brief_of(const struct envelope *e)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(BRIEF_OCTETS_MAX);
	bool is_remote = false;
	for (size_t i = 0; i < e->recipient_count && e->recipient_count <= BRIEF_MAX; i++)
		is_remote |= !e->recipients[i].account;
	if (!is_remote)
		return NULL;
	buf_add_str(&text, e->reverse_path);
	for (size_t i = 0; i < e->recipient_count; i++) {
		buf_add_char(&text, '\0');
		buf_add_str(&text, e->recipients[i].address);
	}
	buf_add_char(&text, '\0');
	if (text.overflowed)
		return NULL;
	char *brief = mem_resize(NULL, text.length, 1);
	memcpy(brief, text.data, text.length);
	return brief;
}

struct mail *mail_new(struct queue *q, const struct envelope *e)
{
	struct mail *mail = mem_alloc(sizeof *mail + e->recipient_count * sizeof mail->deliveries[0]);
	mail->queue = q;
	mail->id = e->id;
	mail->received = e->received;
	mail->size = e->body_size;
	mail->body_in_file = e->body_in_file;
	mail->quarantine = e->quarantine;
	mail->journal = e->origin;
	mail->sequence = e->origin_sequence;
	mail->queued_ms = clock_monotonic_ms();
	mail->count = (uint32_t)e->recipient_count;
	mail->session = session_of(e->session);
	mail->submitter = e->account;
	mail->hold_until = e->hold_until;
	mail->deliver_by = e->deliver_by;
	mail->by_return = e->by_return;
	mail->by_trace = e->by_trace;
	mail->priority = e->priority;
	mail->has_sender = e->reverse_path.length > 0;
	for (uint32_t i = 0; i < mail->count; i++) {
		const struct envelope_recipient *r = &e->recipients[i];
		struct delivery *d = &mail->deliveries[i];
		d->mail = mail;
		d->index = i;
		d->account = r->account ? account_get(q, r->account) : NULL;
		d->state = state_of(r->state);
		d->logged = delivery_is_final(d);
		d->notify = r->notify;
		mail->open += !delivery_is_final(d);
		if (!d->account && !delivery_is_final(d)) {
			d->destination = destination_of(q, r->address);
			d->destination->count++;
		}
	}
	mail->brief = brief_of(e);
	return mail;
}

void mail_unload(struct mail *mail)
{
	if (mail->pinned)
		return; /* the job's end comes here again */
	mail->queue->octets -= mail->octets;
	mail->octets = 0;
	free(mail->head);
	free(mail->body_memory);
	mail->head = mail->body = mail->body_memory = NULL;
}

static void unlink_mail(struct mail *mail)
{
	struct queue *q = mail->queue;
	if (!mail->previous && q->first != mail)
		return; /* it never was in the list */
	control_mail_gone(q, mail);
	*(mail->previous ? &mail->previous->next : &q->first) = mail->next;
	*(mail->next ? &mail->next->previous : &q->last) = mail->previous;
	q->mail_count--;
}

void mail_free(struct mail *mail)
{
	bounce_forget(mail);
	unlink_mail(mail);
	mail_unload(mail);
	for (uint32_t i = 0; i < mail->count; i++) {
		deliver_dequeue(&mail->deliveries[i]);
		destination_leave(&mail->deliveries[i]);
		attempt_unref(mail->deliveries[i].last);
	}
	relay_mail_gone(mail);
	free(mail->brief);
	free(mail);
}

void mail_enqueue(struct mail *mail)
{
	struct queue *q = mail->queue;
	mail->previous = q->last;
	*(q->last ? &q->last->next : &q->first) = mail;
	q->last = mail;
	q->mail_count++;
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].account && !delivery_is_final(&mail->deliveries[i]))
			deliver_enqueue(mail->deliveries[i].account, &mail->deliveries[i]);
	schedule_mail(mail);
}

static struct place place_of(const char *head, struct str text)
{
	return text.length ? (struct place){ (uint32_t)(text.data - head), (uint32_t)text.length } : (struct place){};
}

bool mail_hold(struct mail *mail, char *head, size_t head_length, char *body, char *body_memory, struct fail **fail)
{
	struct queue *q = mail->queue;
	struct envelope e;
	struct str rest;
	must(!mail->head);
	mail->head = head;
	mail->head_length = head_length;
	mail->body = body;
	mail->body_memory = body_memory;
	mail->octets = head_length + (body_memory ? mail->size : 0);
	q->octets += mail->octets;
	arena_reset(q->scratch);
	if (!envelope_decode(str_from(head, head_length), q->scratch, &e, &rest, fail))
		return false;
	if (e.recipient_count != mail->count || e.id != mail->id)
		return fail_set(fail, FAIL_CORRUPT, "the envelope of a mail is another one now");
	mail->sender = place_of(head, e.reverse_path);
	for (uint32_t i = 0; i < mail->count; i++) {
		mail->deliveries[i].address = place_of(head, e.recipients[i].address);
		mail->deliveries[i].detail = place_of(head, e.recipients[i].detail);
	}
	return true;
}

struct str mail_text(const struct mail *mail, struct place place)
{
	must(mail->head);
	return str_from(mail->head + place.offset, place.length);
}

struct str mail_address(const struct delivery *d)
{
	struct mail *mail = d->mail;
	const char *at = mail->brief;
	if (!at)
		return mail_load(mail, NULL) ? mail_text(mail, d->address) : (struct str){};
	for (uint32_t i = 0; i <= d->index; i++)
		at += strlen(at) + 1;
	return str_of(at);
}

/* ---- reading ---- */

static bool load_record(struct mail *mail, struct fail **fail)
{
	CLEANUP(buf_release) struct buf record = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX);
	struct envelope e;
	struct str body;
	arena_reset(mail->queue->scratch);
	if (!journal_read(mail->ring->journal, mail->sequence, &record, fail) ||
	    !envelope_decode_record(buf_str(&record), mail->queue->scratch, &e, &body, fail))
		return false;
	char *at = record.data + (record.length - body.length);
	return mail_hold(mail, TAKE(record.data), record.length, mail->body_in_file ? NULL : at, NULL, fail);
}

static bool load_body(struct mail *mail, struct spoolfile *f, char **body, struct fail **fail)
{
	uint64_t offset;
	if (mail->body_in_file)
		return true;
	CLEANUP(file_close) int file = spoolfile_body(f, &offset, fail);
	if (file < 0)
		return false;
	*body = mem_resize(NULL, mail->size + 1, 1);
	return file_read_at(file, *body, mail->size, offset, fail);
}

static bool load_file(struct mail *mail, struct fail **fail)
{
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = spoolfile_open(mail->queue->spool, mail->id, fail);
	CLEANUP(buf_release) struct buf head = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	CLEANUP(mem_free) char *body = NULL;
	struct spoolfile_result *results;
	struct envelope e;
	arena_reset(mail->queue->scratch);
	if (!f || !spoolfile_load(f, mail->queue->scratch, &e, &results, fail) || !envelope_encode(&e, &head, fail) ||
	    (!mail->damaged && !load_body(mail, f, &body, fail)))
		return false;
	char *memory = TAKE(body);
	return mail_hold(mail, TAKE(head.data), head.length, memory, memory, fail);
}

bool mail_load(struct mail *mail, struct fail **fail)
{
	if (mail->head)
		return true;
	if (mail->in_file ? load_file(mail, fail) : load_record(mail, fail))
		return true;
	mail_unload(mail);
	return false;
}

/* What only the account's write-ahead log holds is not done for the envelope. */
static enum envelope_state envelope_state_of(enum delivery_state state)
{
	return state == DELIVERY_DONE ? ENVELOPE_APPLIED : state == DELIVERY_FAILED ? ENVELOPE_FAILED : ENVELOPE_PENDING;
}

bool mail_envelope(struct mail *mail, struct arena *arena, struct envelope *e, struct fail **fail)
{
	struct str rest;
	if (!mail_load(mail, fail) || !envelope_decode(str_from(mail->head, mail->head_length), arena, e, &rest, fail))
		return false;
	e->origin = mail->journal;
	e->origin_sequence = mail->sequence;
	for (uint32_t i = 0; i < mail->count; i++)
		e->recipients[i].state = envelope_state_of(mail->deliveries[i].state);
	return true;
}

/* ---- the end ---- */

void mail_leave_ring(struct mail *mail)
{
	struct ring *ring = mail->ring;
	if (mail->in_file || !ring)
		return;
	*(mail->ring_previous ? &mail->ring_previous->ring_next : &ring->first) = mail->ring_next;
	*(mail->ring_next ? &mail->ring_next->ring_previous : &ring->last) = mail->ring_previous;
	mail->queue->sync.marks_moved = true;
}

void mail_settle(struct delivery *d, enum delivery_state state)
{
	must(!delivery_is_final(d) && (state == DELIVERY_DONE || state == DELIVERY_FAILED));
	if (d->account)
		deliver_finish(d, state);
	destination_leave(d);
	d->state = state;
	d->mail->open--;
	if (!d->account && state == DELIVERY_FAILED)
		results_write(d);
	mail_proceed(d->mail);
}

void mail_release_logged(struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].logged)
			deliver_dequeue(&mail->deliveries[i]);
}

void mail_give_up_damaged(struct mail *mail, const struct fail *fail)
{
	char id[17];
	envelope_id_text(mail->id, id);
	log_event(LOG_ERROR, mail->session, "message-unreadable", LOG_TEXT("queue-id", str_of(id)),
	          LOG_NUMBER("sequence", mail->sequence),
	          LOG_TEXT("why", str_of(fail_text(fail))));
	bool was_busy = mail->busy;
	mail->damaged = mail->busy = true;
	bool has_envelope = mail_load(mail, NULL);
	for (uint32_t i = 0; i < mail->count; i++) {
		struct delivery *d = &mail->deliveries[i];
		if (d->state != DELIVERY_PENDING && d->state != DELIVERY_HELD)
			continue;
		if (has_envelope)
			deliver_give_up(d, "5.3.0", "the message was damaged where it was kept", true);
		else
			mail_settle(d, DELIVERY_FAILED);
	}
	mail->busy = was_busy;
	mail_proceed(mail);
}

static bool has_unlogged(const struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++) {
		const struct delivery *d = &mail->deliveries[i];
		if ((delivery_is_final(d) && !d->logged) || d->unlogged)
			return true;
	}
	return false;
}

/* It will not leave within seconds. */
static bool wants_file(const struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].unlogged || mail->deliveries[i].state == DELIVERY_HELD)
			return !mail->may_not_move;
	return false;
}

void mail_proceed(struct mail *mail)
{
	if (mail->busy)
		return;
	if (mail->damaged && mail->open == 0) {
		mail_leave_ring(mail);
		spool_set_aside(mail);
		return;
	}
	if (mail->in_file && !mail->damaged && has_unlogged(mail)) {
		spool_log(mail);
		return;
	}
	if (mail->open > 0) {
		if (!mail->in_file && !mail->damaged && wants_file(mail))
			spool_move_soon(mail);
		return;
	}
	mail_leave_ring(mail);
	spool_forget(mail);
}

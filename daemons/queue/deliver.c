#include "deliver.h"
#include "queue.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <unistd.h>

enum {
	INLINE_MAX = 120000,     /* of a body in a DELIVER frame */
	STARTING_MAX = 50,       /* mailboxes that master is asked for at the same time */
};
enum { OPENING = 1, OPEN = 2 };
enum { RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 300000, ATTEMPTS_MIN = 3, TRIMMED_EVERY_MS = 20000, TRIMMED_ROWS = 2000,
       START_PATIENCE_MS = 20000 };

struct account *account_get(struct queue *q, uint64_t number)
{
	struct account *a = map_get(q->accounts, MAP_KEY(number));
	if (a)
		return a;
	a = mem_alloc(sizeof *a);
	a->queue = q;
	a->number = number;
	map_set(q->accounts, MAP_KEY(number), a);
	return a;
}

/* ---- the list ---- */

static void uncount(struct delivery *d)
{
	if (!d->counted)
		return;
	d->counted = false;
	d->account->coming_bytes -= d->mail->size;
	d->account->coming_messages--;
}

void deliver_enqueue(struct account *a, struct delivery *d)
{
	d->previous = a->last;
	*(a->last ? &a->last->next : &a->first) = d;
	a->last = d;
	d->order = ++a->next_order;
	if (!a->cursor)
		a->cursor = d;
	a->waiting++;
	d->listed = d->counted = true;
	a->coming_bytes += d->mail->size;
	a->coming_messages++;
	d->mail->pending++;
}

static void forget_sent(struct account *a, const struct delivery *d)
{
	for (size_t i = 0; i < a->sent_count; i++) {
		if (a->sent[i] != d)
			continue;
		a->sent_count--;
		a->sent_octets -= d->mail->size;
		memmove(&a->sent[i], &a->sent[i + 1], (a->sent_count - i) * sizeof a->sent[0]);
		return;
	}
}

/* A change of state other than to DONE or FAILED. */
static void set_state(struct delivery *d, enum delivery_state state)
{
	if (d->state == DELIVERY_PENDING && state != DELIVERY_PENDING)
		d->mail->pending--;
	if (d->state != DELIVERY_PENDING && state == DELIVERY_PENDING)
		d->mail->pending++;
	d->state = state;
}

void deliver_finish(struct delivery *d, enum delivery_state state)
{
	if (d->state == DELIVERY_SENT)
		forget_sent(d->account, d);
	set_state(d, state);
	uncount(d);
}

void deliver_dequeue(struct delivery *d)
{
	struct account *a = d->account;
	if (!d->listed)
		return;
	if (a->cursor == d)
		a->cursor = d->next;
	*(d->previous ? &d->previous->next : &a->first) = d->next;
	*(d->next ? &d->next->previous : &a->last) = d->previous;
	d->previous = d->next = NULL;
	d->listed = false;
	a->waiting--;
}

/* ---- waiting and trying again ---- */

static void retry_now(void *owner)
{
	struct account *a = owner;
	a->held = false;
	a->cursor = a->first;
	deliver_push(a);
}

static void hold(struct account *a)
{
	int64_t delay = RETRY_FIRST_MS;
	for (unsigned i = 0; i < a->failures && delay < RETRY_MAX_MS; i++)
		delay *= 2;
	a->failures++;
	a->held = true;
	loop_start_timer(a->queue->loop, &a->retry_timer, delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS, retry_now, a);
}

void deliver_retry_soon(struct account *a)
{
	a->failures = 0;
	if (a->wanted)
		return; /* it is being started: then all is sent */
	a->held = true;
	loop_start_timer(a->queue->loop, &a->retry_timer, 0, retry_now, a);
}

void deliver_again(struct delivery *d)
{
	struct account *a = d->account;
	if (d->state == DELIVERY_SENT)
		forget_sent(a, d);
	d->replay = true;
	set_state(d, DELIVERY_PENDING);
	if (!a->cursor || a->cursor->order > d->order)
		a->cursor = d;
}

static void note_failure(struct delivery *d, enum relay_outcome outcome, const char *status, struct str why)
{
	const struct attempt_facts facts = { .outcome = outcome, .status = str_of(status),
		.reply = str_first(why, LIMIT_RELAY_REPLY_MAX) };
	attempt_note(d, attempt_new(&facts), clock_wall_seconds());
}

void deliver_give_up(struct delivery *d, const char *status, const char *why, bool tell)
{
	struct mail *mail = d->mail;
	char id[17];
	envelope_id_text(mail->id, id);
	if (status)
		note_failure(d, RELAY_FAILED, status, str_of(why));
	if (d->account)
		deliver_finish(d, DELIVERY_BOUNCING);
	destination_leave(d);
	d->state = DELIVERY_BOUNCING;
	d->report = REPORT_FAILED;
	const struct attempt_facts last = attempt_facts(d->last);
	log_event(LOG_WARNING, mail->session, "given-up", LOG_TEXT("queue-id", str_of(id)),
	          LOG_NUMBER("recipient", d->index), LOG_TEXT("to", mail_address(d)),
	          LOG_NUMBER("account", d->account ? d->account->number : 0), LOG_TEXT("status", last.status),
	          LOG_TEXT("why", last.reply));
	if (!tell) {
		mail_settle(d, DELIVERY_FAILED);
		return;
	}
	if (!d->account)
		results_write(d);
	bounce_report(d, REPORT_FAILED);
}

void deliver_hold(struct delivery *d)
{
	int64_t left = d->mail->hold_until - clock_wall_seconds();
	destination_withdraw(d);
	if (d->account)
		set_state(d, DELIVERY_HELD);
	d->state = DELIVERY_HELD;
	if (!d->mail->held)
		destination_remind(d, left > 0 ? left * 1000 : 0);
}

void deliver_release(struct delivery *d)
{
	destination_withdraw(d);
	if (d->account) {
		deliver_again(d);
		deliver_push(d->account);
		return;
	}
	d->state = DELIVERY_PENDING;
	destination_enqueue(d);
}

/* ---- sending ---- */

static bool send_mail(struct account *a, struct delivery *d, struct fail **fail)
{
	struct mail *mail = d->mail;
	int body = -1;
	if (!mail_load(mail, fail))
		return false;
	bool is_inline = !mail->body_in_file && mail->size <= INLINE_MAX;
	if (!is_inline && (body = spool_open_content(mail, fail)) < 0)
		return false;
	d->durable = a->queue->sync.is_slow;
	struct msg_deliver deliver = {
		.sequence = mail->sequence, .recipient = d->index, .quarantine = mail->quarantine,
		.flags = (d->replay ? DELIVER_AGAIN : 0) | (d->durable ? DELIVER_DURABLE : 0),
		.received_us = mail->received * 1000000,
		.sender = mail_text(mail, mail->sender), .original = mail_text(mail, d->address),
		.detail = mail_text(mail, d->detail), .size = mail->size,
		.content = is_inline ? str_from(mail->body, mail->size) : (struct str){},
	};
	memcpy(deliver.journal.bytes, mail->journal.bytes, sizeof deliver.journal.bytes);
	set_state(d, DELIVERY_SENT);
	d->attempts++;
	a->sent[a->sent_count++] = d;
	a->sent_octets += mail->size;
	msg_deliver_send(&a->peer.channel, 0, &deliver, body);
	return true;
}

/* False when it is still to be sent, later. */
static bool send_one(struct account *a, struct delivery *d)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct mail *mail = d->mail;
	if (send_mail(a, d, &fail)) {
		if (mail->pending == 0 || mail->queue->octets > LIMIT_QUEUE_OCTETS_MAX / 2)
			mail_unload(mail);
		return true;
	}
	if (fail->kind == FAIL_CORRUPT || fail->kind == FAIL_NOT_FOUND) {
		mail_give_up_damaged(mail, fail);
		return true;
	}
	char id[17];
	envelope_id_text(mail->id, id);
	log_event(LOG_WARNING, mail->session, "deferred", LOG_TEXT("queue-id", str_of(id)),
	          LOG_NUMBER("account", a->number), LOG_TEXT("why", str_of(fail_text(fail))));
	hold(a);
	return false;
}

static void end_replay(struct account *a)
{
	a->replaying = false;
	msg_replay_end_send(&a->peer.channel, 0, &(struct msg_replay_end){}, -1);
}

struct delivery *deliver_next_pending(struct account *a)
{
	while (a->cursor && a->cursor->state != DELIVERY_PENDING)
		a->cursor = a->cursor->next;
	return a->cursor;
}

static bool has_window(const struct account *a, const struct delivery *d)
{
	return a->sent_count < WINDOW_FRAMES && (a->sent_count == 0 || a->sent_octets + d->mail->size <= WINDOW_OCTETS);
}

static void send_window(struct account *a)
{
	for (struct delivery *d; (d = deliver_next_pending(a)) != NULL && has_window(a, d) && !a->peer.channel.broken;) {
		if (a->replaying && d->order > a->replay_until)
			end_replay(a);
		if (!a->replaying && (a->held || a->queue->held))
			return;
		/* While it is replayed what fails is passed over: REPLAY_END must come. */
		a->cursor = d->next;
		if (!send_one(a, d) && !a->replaying)
			a->cursor = d;
	}
	if (a->replaying && !deliver_next_pending(a))
		end_replay(a);
}

/* ---- starting ---- */

static void no_longer_wanted(struct account *a);

/* Master did not say that it failed, and no channel came: others want to start, too. */
static void start_is_overdue(void *owner)
{
	struct account *a = owner;
	log_event(LOG_WARNING, 0, "mailbox-does-not-start", LOG_NUMBER("account", a->number));
	hold(a);
	no_longer_wanted(a);
}

static bool needs_start(struct account *a)
{
	return !a->has_peer && !a->wanted && !a->held && !a->queue->held && deliver_next_pending(a);
}

static void want(struct account *a)
{
	a->wanted = true;
	a->queue->starting++;
	loop_start_timer(a->queue->loop, &a->retry_timer, START_PATIENCE_MS, start_is_overdue, a);
	msg_want_mailbox_send(&a->queue->daemon.master.channel, 0, &(struct msg_want_mailbox){ .account = a->number }, -1);
}

/* After a crash thousands of accounts may have mail: they are started some at a time. */
static void start_next(struct queue *q)
{
	while (q->starting < STARTING_MAX && q->first_to_start) {
		struct account *a = q->first_to_start;
		q->first_to_start = a->next_to_start;
		if (!q->first_to_start)
			q->last_to_start = NULL;
		a->queues_to_start = false;
		if (needs_start(a))
			want(a);
	}
}

static void no_longer_wanted(struct account *a)
{
	if (!a->wanted)
		return;
	a->wanted = false;
	a->queue->starting--;
	if (!a->held)
		loop_stop_timer(a->queue->loop, &a->retry_timer);
	start_next(a->queue);
}

void deliver_failed_to_start(struct queue *q, uint64_t number)
{
	struct account *a = account_get(q, number);
	log_event(LOG_WARNING, 0, "mailbox-unavailable", LOG_NUMBER("account", number));
	hold(a);
	no_longer_wanted(a);
}

void deliver_push(struct account *a)
{
	struct queue *q = a->queue;
	if (a->opened) {
		if (!a->gathered.holds)
			send_window(a);
		return;
	}
	if (a->queues_to_start || !needs_start(a))
		return;
	a->queues_to_start = true;
	a->next_to_start = NULL;
	*(q->last_to_start ? &q->last_to_start->next_to_start : &q->first_to_start) = a;
	q->last_to_start = a;
	start_next(q);
}

static void push_recovered(struct delivery *d)
{
	if (d->account)
		deliver_push(d->account);
	else if (d->state == DELIVERY_BOUNCING)
		bounce_report(d, d->report);
}

void deliver_push_all(struct queue *q)
{
	for (struct mail *mail = q->first, *next; mail; mail = next) {
		next = mail->next;
		bool was_busy = mail->busy;
		mail->busy = true;
		for (uint32_t i = 0; i < mail->count; i++)
			push_recovered(&mail->deliveries[i]);
		mail->busy = was_busy;
		if (mail->open == 0)
			mail_proceed(mail);
	}
}

/* ---- from the mailbox ---- */

static void owe_again(struct account *a, bool unclean)
{
	for (struct delivery *d = a->first; d; d = d->next)
		if (d->state == DELIVERY_SENT || (unclean && d->state == DELIVERY_APPLIED))
			deliver_again(d);
	a->cursor = a->first;
}

static bool on_opened(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	struct msg_mailbox_opened read;
	if (!msg_mailbox_opened_read(frame, &read))
		return false;
	peer->state = OPEN;
	a->opened = true;
	quota_note(a, &(struct usage){ read.used_bytes, read.used_messages, read.limit_bytes, read.limit_messages });
	gather_end(a);
	owe_again(a, read.unclean);
	a->replaying = true;
	a->replay_until = read.unclean ? a->next_order : 0;
	if (read.unclean)
		log_event(LOG_INFO, 0, "replaying", LOG_NUMBER("account", a->number), LOG_NUMBER("messages", a->waiting));
	deliver_push(a);
	return true;
}

static bool may_pass(enum fail_kind kind)
{
	return kind != FAIL_TOO_BIG && kind != FAIL_INVALID && kind != FAIL_DENIED;
}

static void log_result(const struct delivery *d, const char *event, struct str why)
{
	char id[17];
	envelope_id_text(d->mail->id, id);
	log_event(why.length ? LOG_WARNING : LOG_INFO, d->mail->session, event, LOG_TEXT("queue-id", str_of(id)),
	          LOG_NUMBER("account", d->account->number), LOG_NUMBER("recipient", d->index),
	          LOG_NUMBER("attempts", d->attempts),
	          LOG_TEXT("why", why));
}

static bool is_too_old(const struct delivery *d)
{
	return d->attempts >= ATTEMPTS_MIN &&
	       clock_wall_seconds() - d->mail->received > d->mail->queue->daemon.config.queue_lifetime_seconds;
}

/* RFC 3463 §3.3, §3.4, §3.8 */
static const char *status_of(enum fail_kind kind, bool is_final)
{
	switch (kind) {
	case FAIL_TOO_BIG: return "5.2.3";
	case FAIL_INVALID: return "5.6.0";
	case FAIL_DENIED: return "5.2.1";
	default: return is_final ? "4.4.7" : "4.2.0";
	}
}

static void delivery_failed(struct delivery *d, uint32_t result, struct str text)
{
	struct account *a = d->account;
	enum fail_kind kind = (enum fail_kind)(result - 1);
	bool is_final = !may_pass(kind) || is_too_old(d);
	note_failure(d, is_final ? RELAY_FAILED : RELAY_DEFERRED, status_of(kind, is_final),
	             text.length ? text : str_of(fail_kind_name(kind)));
	if (is_final) {
		deliver_give_up(d, NULL, NULL, true);
		return;
	}
	log_result(d, "deferred", attempt_facts(d->last).reply);
	deliver_again(d);
	if (!a->held)
		hold(a);
	if (a->replaying)
		a->cursor = a->cursor == d ? d->next : a->cursor;
}

static struct delivery *find_sent(struct account *a, const struct ipc_id *journal, const struct delivery_place *place)
{
	for (size_t i = 0; i < a->sent_count; i++) {
		struct delivery *d = a->sent[i];
		if (d->mail->sequence == place->sequence && d->index == place->recipient &&
		    memcmp(d->mail->journal.bytes, journal->bytes, sizeof journal->bytes) == 0)
			return d;
	}
	return NULL;
}

static void applied(struct delivery *d)
{
	struct account *a = d->account;
	deliver_finish(d, DELIVERY_APPLIED);
	a->failures = 0;
	a->prunable++;
	log_result(d, "delivered", (struct str){});
	trim_note_applied(d);
}

static bool on_stored(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	struct msg_stored read;
	struct delivery_place place;
	if (!msg_stored_read(frame, &read))
		return false;
	quota_note(a, &(struct usage){ read.used_bytes, read.used_messages, read.limit_bytes, read.limit_messages });
	while (delivery_place_next(&read.places, &place)) {
		struct delivery *d = find_sent(a, &read.journal, &place);
		if (!d)
			return false; /* it was never sent, or answered before */
		applied(d);
	}
	deliver_push(a);
	return read.places.length == 0;
}

static bool on_delivered(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	struct msg_delivered read;
	if (!msg_delivered_read(frame, &read) || read.result > FAIL_KIND_COUNT)
		return false;
	struct delivery *d = find_sent(a, &read.journal, &(struct delivery_place){ read.sequence, read.recipient });
	if (!d)
		return false;
	quota_note(a, &(struct usage){ read.used_bytes, read.used_messages, read.limit_bytes, read.limit_messages });
	if (read.result)
		delivery_failed(d, read.result, read.text);
	else
		applied(d);
	deliver_push(a);
	return true;
}

/* What it was told is there before UP_TO_DATE comes. */
static bool on_clients(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	struct msg_clients clients;
	if (!msg_clients_read(frame, &clients) || clients.present > 1)
		return false;
	a->watched = clients.present;
	if (a->watched) {
		gather_send(a);
		msg_up_to_date_send(&peer->channel, 0, &(struct msg_up_to_date){}, -1);
	}
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_MAILBOX_OPENED, OPENING, 1, on_opened },
	{ MSG_CLIENTS, OPEN, 0, on_clients },
	{ MSG_STORED, OPEN, 0, on_stored },
	{ MSG_DELIVERED, OPEN, 0, on_delivered },
};

static void mailbox_ended(struct ipc_peer *peer, const char *why)
{
	struct account *a = peer->owner;
	if (why) {
		log_event(LOG_ERROR, 0, "mailbox-channel-ended", LOG_NUMBER("account", a->number),
		          LOG_TEXT("why", str_of(why)));
		daemon_report(&a->queue->daemon, ROLE_MAILBOX, a->number);
	}
	bool was_of_use = a->opened && a->failures == 0;
	ipc_peer_release(peer);
	a->has_peer = a->opened = a->replaying = false;
	owe_again(a, false);
	/* One that dies with what it is given is not started again at once. */
	if (deliver_next_pending(a) && !a->held && (why || !was_of_use || a->cursor->replay))
		hold(a);
	deliver_push(a);
}

bool deliver_wire(struct queue *q, const struct msg_wire *wire, int descriptor)
{
	if (wire->peer == 0) {
		close(descriptor);
		return false;
	}
	struct account *a = account_get(q, wire->peer);
	if (a->has_peer) {
		ipc_peer_release(&a->peer);
		owe_again(a, false);
	}
	a->opened = a->replaying = a->watched = false;
	a->journals_told = 0;
	a->has_peer = true;
	no_longer_wanted(a);
	a->peer = (struct ipc_peer){ .role = ROLE_MAILBOX, .id = wire->peer, .owner = a };
	ipc_peer_start(&a->peer, q->loop, descriptor, permits, COUNT_OF(permits), mailbox_ended);
	return true;
}

/* ---- what the mailbox may forget ---- */

/* Invariant 5. */
static uint64_t forgettable(const struct account *a, const struct ring *ring)
{
	uint64_t below = journal_durable_mark(ring->journal);
	for (const struct delivery *d = a->first; d; d = d->next)
		if (d->mail->sequence < below && memcmp(&d->mail->journal, &ring->uuid, sizeof ring->uuid) == 0)
			below = d->mail->sequence;
	return below;
}

static bool add_journal(struct buf *ids, const struct journal_uuid *uuid)
{
	for (size_t at = 0; at < ids->length; at += sizeof *uuid)
		if (memcmp(ids->data + at, uuid, sizeof *uuid) == 0)
			return true;
	return buf_append(ids, uuid, sizeof *uuid);
}

static void tell_journals(struct account *a)
{
	CLEANUP(buf_release) struct buf ids = BUF_WITH_LIMIT(LIMIT_QUEUE_JOURNALS_TOLD_MAX * sizeof(struct journal_uuid));
	bool fits = true;
	for (const struct ring *ring = a->queue->rings; ring; ring = ring->next)
		fits = add_journal(&ids, &ring->uuid) && fits;
	for (const struct delivery *d = a->first; d && fits; d = d->next)
		fits = add_journal(&ids, &d->mail->journal);
	a->journals_told = a->queue->journals_generation;
	if (fits)
		msg_journals_send(&a->peer.channel, 0, &(struct msg_journals){ .ids = buf_str(&ids) }, -1);
}

static void tell_trimmed(struct account *a)
{
	for (const struct ring *ring = a->queue->rings; ring; ring = ring->next) {
		struct msg_trimmed trimmed = { .sequence = forgettable(a, ring) };
		memcpy(trimmed.journal.bytes, ring->uuid.bytes, sizeof trimmed.journal.bytes);
		msg_trimmed_send(&a->peer.channel, 0, &trimmed, -1);
	}
	a->prunable = 0;
	a->trimmed_ms = loop_now_ms(a->queue->loop);
}

void deliver_tell_trimmed(struct queue *q)
{
	size_t position = 0;
	struct str key;
	void *value;
	int64_t now = loop_now_ms(q->loop);
	while (map_next(q->accounts, &position, &key, &value)) {
		struct account *a = value;
		if (q->may_know_less || !a->opened || a->replaying)
			continue;
		if (a->journals_told != q->journals_generation)
			tell_journals(a);
		if (a->prunable && (a->prunable >= TRIMMED_ROWS || now - a->trimmed_ms >= TRIMMED_EVERY_MS))
			tell_trimmed(a);
	}
}

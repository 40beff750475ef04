#include "schedule.h"
#include "queue.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <inttypes.h>
#include <unistd.h>

enum { ATTEMPTS_MIN = 3, LOST_MS = 2000 };

/* ---- times ---- */

static int64_t age_of(const struct mail *mail)
{
	return clock_wall_seconds() - mail->received;
}

static int64_t delay_ms(const struct delivery *d)
{
	const struct config *config = &d->mail->queue->daemon.config;
	int64_t delay = config->retry_first_seconds, most = config->retry_max_seconds;
	for (uint32_t i = 1; i < d->attempts && delay < most; i++)
		delay *= 2;
	return (delay < most ? delay : most) * 1000;
}

static bool is_past_deadline(const struct mail *mail)
{
	return mail->deliver_by && clock_wall_seconds() >= mail->deliver_by;
}

static bool is_expired(const struct delivery *d)
{
	unsigned failures = d->destination ? d->destination->failures : 0;
	if (is_past_deadline(d->mail) && d->mail->by_return)
		return true;
	return age_of(d->mail) > d->mail->queue->daemon.config.queue_lifetime_seconds &&
	       d->tries + failures >= ATTEMPTS_MIN;
}

/* RFC 3461 §4.1, RFC 2852 §4.1.4.2 */
static bool deserves_warning(const struct delivery *d)
{
	unsigned after = d->mail->queue->daemon.config.delay_warning_seconds;
	bool wants = d->mail->has_sender && (d->notify == 0 || d->notify & ENVELOPE_NOTIFY_DELAY);
	return wants && !d->warned && ((after && age_of(d->mail) >= after) || is_past_deadline(d->mail));
}

int64_t schedule_next(const struct delivery *d)
{
	int64_t left_ms = d->due_ms - clock_monotonic_ms();
	if (d->lane)
		left_ms = d->destination->backs_off ? d->destination->timer.due_ms - clock_monotonic_ms() : 0;
	if (d->state == DELIVERY_HELD)
		return d->mail->held ? 0 : d->mail->hold_until;
	return (d->lane || d->waits) && left_ms > 0 ? clock_wall_seconds() + (left_ms + 999) / 1000 : 0;
}

/* ---- results ---- */

static void log_attempt(const struct delivery *d)
{
	static const char *const names[] = { "delivered", "relayed", "deferred", "failed" };
	const struct attempt_facts last = attempt_facts(d->last);
	struct mail *mail = d->mail;
	char id[17];
	envelope_id_text(mail->id, id);
	log_event(LOG_INFO, mail->session, "attempt", LOG_TEXT("queue-id", str_of(id)),
		LOG_TEXT("recipient", mail_address(d)),
	          LOG_TEXT("outcome", str_of(names[last.outcome])), LOG_NUMBER("attempt", d->attempts),
	          LOG_TEXT("host", last.host),
	          LOG_TEXT("address", last.address), LOG_TEXT("tls", last.tls), LOG_TEXT("status", last.status),
	          LOG_TEXT("reply", last.reply));
}

/* RFC 3461 §5.2.1, §5.2.2: a host that takes part in this reports what becomes of it. RFC 2852 §4.1.4, §4.1.4.2: a
 * mail with a time that is traced, or goes to where nobody minds the time, is told of, whatever NOTIFY says but
 * NEVER. */
static bool is_told_of(const struct delivery *d)
{
	const struct mail *mail = d->mail;
	bool relayed = attempt_facts(d->last).outcome == RELAY_RELAYED;
	if (!mail->has_sender || d->notify & ENVELOPE_NOTIFY_NEVER)
		return false;
	return (relayed && d->notify & ENVELOPE_NOTIFY_SUCCESS) ||
	       (mail->deliver_by && (mail->by_trace || (relayed && !mail->by_return)));
}

static void is_delivered(struct delivery *d)
{
	bool wants = is_told_of(d);
	destination_leave(d);
	d->state = wants ? DELIVERY_BOUNCING : DELIVERY_APPLIED;
	d->report = REPORT_RELAYED;
	results_write(d);
	if (wants)
		bounce_report(d, REPORT_RELAYED);
	else
		trim_note_applied(d);
}

/* RFC 3463 §3.5: what the other side said last is the reason that people look for. */
static void give_up_expired(struct delivery *d)
{
	struct attempt_facts facts = attempt_facts(d->last ? d->last : d->destination->last_failure);
	struct str answer = str_first(facts.reply, LIMIT_RELAY_REPLY_MAX);
	CLEANUP(mem_free) char *reply = mem_printf("not delivered in time; the last answer was: %.*s", STR_ARG(answer));
	facts.outcome = RELAY_FAILED;
	facts.status = is_past_deadline(d->mail) ? STR("5.4.7") : STR("4.4.7"); /* RFC 2852 §4.1.3 */
	if (facts.reply.length)
		facts.reply = str_of(reply);
	else
		facts.reply = STR("not delivered in time");
	attempt_note(d, attempt_new(&facts), clock_wall_seconds());
	deliver_give_up(d, NULL, NULL, true);
}

static void warn(struct delivery *d)
{
	if (!deserves_warning(d))
		return;
	if (!d->last)
		attempt_note(d, attempt_ref(d->destination->last_failure), d->last_attempt);
	d->warned = d->unlogged = true;
	d->last_attempt = clock_wall_seconds();
	bounce_report(d, REPORT_DELAYED);
}

static void delete(struct delivery *d)
{
	deliver_give_up(d, "5.7.0", "deleted by the administrator", false);
}

static void is_deferred(struct delivery *d)
{
	struct destination *destination = d->destination;
	attempt_unref(destination->last_failure);
	destination->last_failure = attempt_ref(d->last);
	d->state = DELIVERY_PENDING;
	if (d->deleted) {
		delete(d);
		return;
	}
	if (is_expired(d)) {
		give_up_expired(d);
		return;
	}
	d->unlogged = true;
	if (d->mail->held)
		deliver_hold(d);
	else
		destination_wait(d, delay_ms(d));
	warn(d);
}

void schedule_result(struct delivery *d, struct attempt *attempt)
{
	attempt_note(d, attempt, clock_wall_seconds());
	d->attempts++;
	d->tries++;
	log_attempt(d);
	switch (attempt_facts(attempt).outcome) {
	case RELAY_DELIVERED:
	case RELAY_RELAYED:
		is_delivered(d);
		break;
	case RELAY_FAILED:
		deliver_give_up(d, NULL, NULL, true);
		break;
	default:
		is_deferred(d);
	}
}

void schedule_lost(struct delivery *d)
{
	d->state = DELIVERY_PENDING;
	if (d->deleted)
		delete(d);
	else if (d->mail->held)
		deliver_hold(d);
	else
		destination_wait(d, LOST_MS);
}

/* ---- times that have come ---- */

static void look_at(struct delivery *d)
{
	if (!is_expired(d)) {
		warn(d);
		mail_proceed(d->mail);
		return;
	}
	destination_withdraw(d);
	give_up_expired(d);
}

struct looked_at {
	struct delivery **items;
	size_t count;
	size_t capacity;
};

static void add_old(struct looked_at *old, struct delivery *first)
{
	for (struct delivery *d = first; d; d = d->next)
		if (is_expired(d) || deserves_warning(d))
			*array_add(old) = d;
}

/* A mail lives as long as one of its recipients is to be looked at. */
void schedule_look(struct destination *destination)
{
	struct looked_at old = {};
	for (const struct lane *lane = destination->first; lane; lane = lane->next)
		add_old(&old, lane->first);
	add_old(&old, destination->first_waiting);
	for (size_t i = 0; i < old.count; i++)
		look_at(old.items[i]);
	array_release(&old);
}

static void time_has_come(struct delivery *d)
{
	if (d->state == DELIVERY_HELD) {
		deliver_release(d);
		return;
	}
	if (d->lane) { /* its deadline, while its destination has no room */
		look_at(d);
		return;
	}
	destination_withdraw(d);
	if (is_past_deadline(d->mail) && d->mail->by_return) {
		give_up_expired(d);
		return;
	}
	if (is_past_deadline(d->mail))
		warn(d);
	destination_enqueue(d);
	mail_proceed(d->mail);
}

void schedule_tick(struct queue *q)
{
	for (struct delivery *d; (d = destination_due(q)) != NULL;)
		time_has_come(d);
}

/* ---- places ---- */

static void place_pending(struct delivery *d)
{
	struct mail *mail = d->mail;
	int64_t wait = mail->hold_until - clock_wall_seconds();
	if (mail->held || (mail->hold_until && wait > 0)) {
		deliver_hold(d);
	} else if (!d->account) {
		int64_t left_ms = d->due_ms - clock_monotonic_ms();
		if (left_ms > 0)
			destination_wait(d, left_ms);
		else
			destination_enqueue(d);
	}
}

void schedule_mail(struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].state == DELIVERY_PENDING)
			place_pending(&mail->deliveries[i]);
}

void schedule_recovered(struct delivery *d, int64_t last_attempt, int64_t next_attempt)
{
	const struct config *config = &d->mail->queue->daemon.config;
	int64_t left = next_attempt - clock_wall_seconds();
	if (left > config->retry_max_seconds)
		left = config->retry_max_seconds; /* the clock was set back */
	d->last_attempt = last_attempt;
	d->due_ms = left > 0 ? clock_monotonic_ms() + left * 1000 : 0;
	d->warned = config->delay_warning_seconds && last_attempt >= d->mail->received + config->delay_warning_seconds;
}

/* ---- the administrator ---- */

static void held_name(char name[32], const struct mail *mail)
{
	snprintf(name, 32, "%016" PRIx64 ".held", mail->id);
}

/* What the administrator does to one mail is part of its way. */
static void log_order(const struct mail *mail, const char *event)
{
	char id[17];
	envelope_id_text(mail->id, id);
	log_event(LOG_INFO, mail->session, event, LOG_TEXT("queue-id", str_of(id)));
}

bool schedule_hold(struct mail *mail, struct fail **fail)
{
	char name[32];
	held_name(name, mail);
	int file = openat(mail->queue->spool, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0 || close(file) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot note that it is held");
	mail->held = true;
	log_order(mail, "held");
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].state == DELIVERY_PENDING)
			deliver_hold(&mail->deliveries[i]);
	mail_proceed(mail);
	return true;
}

bool schedule_keep_marks(struct queue *q, struct fail **fail)
{
	return fsync(q->spool) == 0 || fail_set_errno(fail, FAIL_IO, "cannot note that it is held");
}

bool schedule_release(struct mail *mail, struct fail **fail)
{
	char name[32];
	held_name(name, mail);
	if (unlinkat(mail->queue->spool, name, 0) != 0 && errno != ENOENT)
		return fail_set_errno(fail, FAIL_IO, "cannot note that it is released");
	mail->held = false;
	mail->hold_until = 0;
	log_order(mail, "released");
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].state == DELIVERY_HELD)
			deliver_release(&mail->deliveries[i]);
	return true;
}

/* What is with a mailbox process already comes back by itself. */
bool schedule_delete(struct delivery *d)
{
	bool waits = d->state == DELIVERY_PENDING || d->state == DELIVERY_HELD;
	d->deleted = waits || (d->state == DELIVERY_SENT && !d->account);
	if (waits)
		delete(d);
	return d->deleted;
}

void schedule_retry_one(struct delivery *d)
{
	if (d->state != DELIVERY_PENDING)
		return;
	if (d->account) {
		deliver_retry_soon(d->account);
		return;
	}
	destination_forgive(d->destination);
	if (!d->waits)
		return;
	destination_withdraw(d);
	destination_enqueue(d);
}

void schedule_retry(struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++)
		schedule_retry_one(&mail->deliveries[i]);
}

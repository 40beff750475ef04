#include "control.h"
#include "queue.h"
#include "aggregate.h"
#include "sign.h"
#include "tls_report.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "text.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROW_MAX = 59000, ROWS_TOGETHER = 100, ROUND_MS = 3, WAITING_MAX = 1 << 20, FULL_WAIT_MAX_MS = 100 };

/* Recipients by what the administrator says: "all", "domain:example.org", "sender:alice@example.org". */
struct selection {
	enum { SELECTED_ALL, SELECTED_BY_DOMAIN, SELECTED_BY_SENDER } kind;
	char value[LIMIT_ADDRESS_MAX + 1];
};

/* A listing goes on in rounds of the loop, so that mail goes on beside it. */
struct control {
	struct control *next;
	struct queue *queue;
	struct ipc_peer peer;
	uint64_t request;
	bool listing;
	struct mail *cursor;
	/* what is done to each mail of the selection; selected: so far */
	bool (*act)(struct control *c, struct mail *mail, struct fail **fail);
	bool (*finish)(struct queue *q, struct fail **fail); /* once, after the last one; or NULL */
	struct selection selection;
	size_t selected;
	unsigned full_wait_ms;          /* doubled while posthornctl does not read */
	struct timer timer;
	bool waits;                     /* for somebody who answers later */
	void (*withdraw)(void *work);
	void *work;
};

static void done(struct control *c, const struct fail *fail)
{
	struct str why = str_of(fail ? fail->text : "");
	struct msg_ctl_done answer = { .status = fail ? 1 + (uint32_t)fail->kind : 0, .text = str_first(why, 1000) };
	msg_ctl_done_send(&c->peer.channel, c->request, &answer, -1);
}

/* ---- rows ---- */

static void add_field(struct buf *row, const char *key, struct str value)
{
	if (row->length + strlen(key) + value.length + 2 > ROW_MAX)
		return;
	buf_append(row, key, strlen(key) + 1);
	buf_add_str(row, value);
	buf_add_char(row, '\0');
}

static void add_number(struct buf *row, const char *key, uint64_t number)
{
	char text[24];
	int length = snprintf(text, sizeof text, "%" PRIu64, number);
	add_field(row, key, str_from(text, (size_t)length));
}

void control_waits(struct control *c, void (*withdraw)(void *work), void *work)
{
	c->waits = true;
	c->withdraw = withdraw;
	c->work = work;
}

void control_row(struct control *c, struct str fields)
{
	msg_ctl_row_send(&c->peer.channel, c->request, &(struct msg_ctl_row){ .fields = fields }, -1);
}

void control_done(struct control *c, const struct fail *fail)
{
	c->waits = false;
	done(c, fail);
}

static void send_row(struct control *c, const struct buf *row)
{
	msg_ctl_row_send(&c->peer.channel, c->request, &(struct msg_ctl_row){ .fields = buf_str(row) }, -1);
}

static const char *state_name(const struct delivery *d)
{
	static const char *const names[] = {
		[DELIVERY_PENDING] = "waiting",   [DELIVERY_HELD] = "held",         [DELIVERY_SENT] = "active",
		[DELIVERY_APPLIED] = "delivered", [DELIVERY_BOUNCING] = "bouncing", [DELIVERY_DONE] = "delivered",
		[DELIVERY_FAILED] = "failed",
	};
	if (d->state != DELIVERY_PENDING)
		return names[d->state];
	if (d->mail->queue->held)
		return "held";
	bool is_deferred = d->account ? d->account->held : d->waits || d->destination->backs_off;
	return is_deferred ? "deferred" : names[DELIVERY_PENDING];
}

static bool is_open(const struct delivery *d)
{
	return d->state == DELIVERY_PENDING || d->state == DELIVERY_HELD || d->state == DELIVERY_SENT ||
	       d->state == DELIVERY_BOUNCING;
}

static bool has_open(const struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++)
		if (is_open(&mail->deliveries[i]))
			return true;
	return false;
}

/* Of mail that waits for its destination, the reason of the destination. */
static void add_reason(struct buf *row, const char *key, const struct delivery *d)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(2 * LIMIT_RELAY_REPLY_MAX);
	const struct attempt *why = d->last;
	if (!why && d->destination && d->destination->backs_off)
		why = d->destination->last_failure;
	const struct attempt_facts facts = attempt_facts(why);
	attempt_text(&text, &facts);
	add_field(row, key, buf_str(&text));
}

static void add_recipient(struct buf *row, const struct delivery *d)
{
	add_field(row, "recipient", mail_address(d));
	add_field(row, "state", str_of(state_name(d)));
	add_number(row, "attempts", d->attempts);
	add_number(row, "next", d->account ? 0 : (uint64_t)schedule_next(d));
	add_reason(row, "reason", d);
}

/* Adds what is known without the octets, then sender and open recipients if they can be read. */
static void add_mail(struct buf *row, struct mail *mail)
{
	char id[17];
	envelope_id_text(mail->id, id);
	add_field(row, "id", str_of(id));
	add_number(row, "time", (uint64_t)mail->received);
	add_number(row, "size", mail->size);
	add_number(row, "recipients", mail->count);
	add_field(row, "place", mail->in_file ? STR("file") : STR("journal"));
	bool was_loaded = mail->head != NULL;
	if (!mail->brief && !mail_load(mail, NULL)) {
		add_field(row, "sender", STR("?"));
		return;
	}
	add_field(row, "sender", mail->brief ? str_of(mail->brief) : mail_text(mail, mail->sender));
	for (uint32_t i = 0; i < mail->count; i++)
		if (is_open(&mail->deliveries[i]))
			add_recipient(row, &mail->deliveries[i]);
	if (!was_loaded)
		mail_unload(mail);
}

/* Rows that fit into one frame go in one. */
static void collect_row(struct control *c, struct buf *rows, const struct buf *row)
{
	if (rows->length && rows->length + 1 + row->length > ROW_MAX) {
		send_row(c, rows);
		buf_clear(rows);
	}
	if (rows->length)
		buf_add_char(rows, '\0');
	buf_add_str(rows, buf_str(row));
}

static void send_mails(struct control *c)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX), rows = BUF_WITH_LIMIT(ROW_MAX);
	for (unsigned i = 0; c->cursor && i < ROWS_TOGETHER; i++) {
		struct mail *mail = c->cursor;
		c->cursor = mail->next;
		if (!has_open(mail))
			continue;
		buf_clear(&row);
		add_mail(&row, mail);
		collect_row(c, &rows, &row);
	}
	if (rows.length)
		send_row(c, &rows);
}

static bool is_full(const struct control *c)
{
	return c->peer.channel.waiting_octets > WAITING_MAX;
}

/* A timer without delay waits a millisecond for its next round: so a round is not a few rows, but a time. */
static void go_on_listing(void *owner)
{
	struct control *c = owner;
	if (is_full(c)) {
		c->full_wait_ms = c->full_wait_ms * 2 < FULL_WAIT_MAX_MS ? c->full_wait_ms * 2 : FULL_WAIT_MAX_MS;
		loop_start_timer(c->queue->loop, &c->timer, c->full_wait_ms, go_on_listing, c);
		return;
	}
	c->full_wait_ms = 1;
	int64_t until = clock_monotonic_ms() + ROUND_MS;
	do
		send_mails(c);
	while (c->cursor && !is_full(c) && clock_monotonic_ms() < until);
	if (c->cursor) {
		loop_start_timer(c->queue->loop, &c->timer, 0, go_on_listing, c);
		return;
	}
	c->listing = false;
	done(c, NULL);
}

void control_mail_gone(struct queue *q, struct mail *mail)
{
	for (struct control *c = q->controls; c; c = c->next)
		if (c->cursor == mail)
			c->cursor = mail->next;
}

/* ---- verbs ---- */

static struct mail *find(struct control *c, struct str id, struct fail **fail)
{
	uint64_t number;
	bool is_id = text_hex_decode(id, &number, sizeof number);
	for (struct mail *mail = is_id ? c->queue->first : NULL; mail; mail = mail->next)
		if (mail->id == be64toh(number))
			return mail;
	fail_set(fail, FAIL_NOT_FOUND, "no message %.*s in the queue", STR_ARG(id));
	return NULL;
}

static bool list(struct control *c, struct str argument, struct fail **fail)
{
	(void)argument;
	(void)fail;
	c->listing = true;
	c->full_wait_ms = 1;
	c->cursor = c->queue->first;
	loop_start_timer(c->queue->loop, &c->timer, 0, go_on_listing, c);
	return true;
}

/* ---- attempts ---- */

struct shown {
	struct control *control;
	struct mail *mail;
};

static void show_attempt(struct control *c, const struct delivery *d, uint32_t number, int64_t when,
                         const struct attempt_facts *facts)
{
	static const char *const outcomes[] = { "delivered", "relayed", "deferred", "failed" };
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	add_field(&row, "recipient", mail_address(d));
	add_number(&row, "attempt", number);
	add_number(&row, "time", (uint64_t)when);
	add_field(&row, "outcome", str_of(outcomes[facts->outcome]));
	add_field(&row, "host", facts->host);
	add_field(&row, "address", facts->address);
	add_field(&row, "tls", facts->tls);
	add_field(&row, "status", facts->status);
	add_number(&row, "code", facts->code);
	add_field(&row, "reply", facts->reply);
	send_row(c, &row);
}

static void show_logged(void *owner, const struct spoolfile_result *result)
{
	static const enum relay_outcome outcomes[] = {
		[ENVELOPE_PENDING] = RELAY_DEFERRED, [ENVELOPE_APPLIED] = RELAY_DELIVERED, [ENVELOPE_FAILED] = RELAY_FAILED,
	};
	const struct shown *shown = owner;
	if (result->recipient >= shown->mail->count || result->reply.length == 0)
		return;
	const struct attempt_facts facts = attempt_unpack(result->reply, outcomes[result->state]);
	show_attempt(shown->control, &shown->mail->deliveries[result->recipient], result->attempts, result->last_attempt,
	             &facts);
}

/* Those that the file tells of, then those that it does not yet. */
static void show_attempts(struct control *c, struct mail *mail)
{
	struct shown shown = { c, mail };
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = mail->in_file ? spoolfile_open(c->queue->spool, mail->id, NULL) : NULL;
	if (f)
		spoolfile_attempts(f, show_logged, &shown, NULL);
	for (uint32_t i = 0; i < mail->count; i++) {
		const struct delivery *d = &mail->deliveries[i];
		bool is_in_file = f &&
		                  (d->logged || (!d->unlogged && (d->state == DELIVERY_PENDING || d->state == DELIVERY_HELD)));
		const struct attempt_facts last = attempt_facts(d->last);
		if (d->last && !is_in_file)
			show_attempt(c, d, d->attempts, d->last_attempt, &last);
	}
}

static bool show(struct control *c, struct str argument, struct fail **fail)
{
	struct mail *mail = find(c, argument, fail);
	if (!mail)
		return false;
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	bool was_loaded = mail->head != NULL;
	add_mail(&row, mail);
	send_row(c, &row);
	for (uint32_t i = 0; i < mail->count; i++) {
		buf_clear(&row);
		add_recipient(&row, &mail->deliveries[i]);
		add_number(&row, "account", mail->deliveries[i].account ? mail->deliveries[i].account->number : 0);
		send_row(c, &row);
	}
	show_attempts(c, mail);
	if (!was_loaded)
		mail_unload(mail);
	return true;
}

/* ---- all, or all of a domain or of a sender ---- */

static bool is_selected(const struct selection *s, const struct delivery *d)
{
	struct mail *mail = d->mail;
	if (s->kind == SELECTED_ALL)
		return true;
	if (s->kind == SELECTED_BY_SENDER)
		return str_equal_nocase(mail->brief ? str_of(mail->brief) : mail_text(mail, mail->sender), str_of(s->value));
	struct str address = mail_address(d);
	if (d->destination &&
	    str_equal_nocase(str_from(d->destination->name, d->destination->name_length), str_of(s->value)))
		return true;
	return str_equal_nocase(str_from_index(address, str_find_last_char(address, '@') + 1), str_of(s->value));
}

static bool act_on(struct control *c, struct mail *mail, struct fail **fail)
{
	bool was_loaded = mail->head != NULL, found = false, is_asked = c->selection.kind != SELECTED_ALL;
	if (!has_open(mail) || (is_asked && !mail->brief && !mail_load(mail, NULL)))
		return true;
	for (uint32_t i = 0; i < mail->count && !found; i++)
		found = is_open(&mail->deliveries[i]) && is_selected(&c->selection, &mail->deliveries[i]);
	c->selected += found;
	if (found)
		return c->act(c, mail, fail); /* which may be the end of it */
	if (!was_loaded)
		mail_unload(mail);
	return true;
}

static void go_on_selecting(void *owner)
{
	struct control *c = owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	int64_t until = clock_monotonic_ms() + ROUND_MS;
	bool good = true;
	while (c->cursor && good && clock_monotonic_ms() < until) {
		struct mail *mail = c->cursor;
		c->cursor = mail->next;
		good = act_on(c, mail, &fail);
	}
	if (c->cursor && good) {
		loop_start_timer(c->queue->loop, &c->timer, 0, go_on_selecting, c);
		return;
	}
	if (good && c->selected == 0 && c->selection.kind != SELECTED_ALL)
		fail_set(&fail, FAIL_NOT_FOUND, "no message %s %s waits",
		         c->selection.kind == SELECTED_BY_SENDER ? "from" : "for", c->selection.value);
	if (c->selected && c->finish)
		c->finish(c->queue, fail ? NULL : &fail);
	c->cursor = NULL;
	c->listing = false;
	done(c, fail);
}

/* Begins going through all mail in rounds of the loop: act for each that is selected, then finish. */
static void go_through(struct control *c, struct selection selection,
                       bool (*act)(struct control *c, struct mail *mail, struct fail **fail),
                       bool (*finish)(struct queue *q, struct fail **fail))
{
	c->selection = selection;
	c->act = act;
	c->finish = finish;
	c->selected = 0;
	c->listing = true;
	c->cursor = c->queue->first;
	loop_start_timer(c->queue->loop, &c->timer, 0, go_on_selecting, c);
}

/* True when the argument names more than one message. */
static bool select_all(struct control *c, struct str argument,
                       bool (*act)(struct control *c, struct mail *mail, struct fail **fail),
                       bool (*finish)(struct queue *q, struct fail **fail))
{
	struct selection selection = { .kind = str_starts(argument, STR("sender:")) ? SELECTED_BY_SENDER : SELECTED_BY_DOMAIN };
	if (selection.kind == SELECTED_BY_DOMAIN && !str_starts(argument, STR("domain:")))
		return false;
	str_copy_to_array(str_first(str_from_index(argument, 7), LIMIT_ADDRESS_MAX), selection.value,
	                  sizeof selection.value);
	go_through(c, selection, act, finish);
	return true;
}

/* ---- what is done ---- */

/* Many were loaded to be looked at. */
static void leave(struct mail *mail)
{
	if (mail->queue->octets > LIMIT_QUEUE_OCTETS_MAX / 2)
		mail_unload(mail);
}

static bool retry_selected(struct control *c, struct mail *mail, struct fail **fail)
{
	(void)fail;
	for (uint32_t i = 0; i < mail->count; i++)
		if (is_selected(&c->selection, &mail->deliveries[i]))
			schedule_retry_one(&mail->deliveries[i]);
	leave(mail);
	return true;
}

static bool hold_selected(struct control *c, struct mail *mail, struct fail **fail)
{
	(void)c;
	leave(mail);
	return schedule_hold(mail, fail);
}

static bool release_selected(struct control *c, struct mail *mail, struct fail **fail)
{
	(void)c;
	leave(mail);
	return schedule_release(mail, fail);
}

static bool retry(struct control *c, struct str argument, struct fail **fail)
{
	if (select_all(c, argument, retry_selected, NULL))
		return true;
	if (!str_equal(argument, STR("all"))) {
		struct mail *mail = find(c, argument, fail);
		if (mail)
			schedule_retry(mail);
		return mail != NULL;
	}
	size_t position = 0;
	struct str key;
	void *value;
	while (map_next(c->queue->accounts, &position, &key, &value))
		if (((struct account *)value)->held)
			deliver_retry_soon(value);
	go_through(c, (struct selection){ .kind = SELECTED_ALL }, retry_selected, NULL);
	return true;
}

static bool hold(struct control *c, struct str argument, struct fail **fail)
{
	if (select_all(c, argument, hold_selected, schedule_keep_marks))
		return true;
	struct mail *mail = argument.length ? find(c, argument, fail) : NULL;
	if (argument.length)
		return mail && schedule_hold(mail, fail) && schedule_keep_marks(c->queue, fail);
	int file = openat(c->queue->spool, "held", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot note that the queue is held");
	close(file);
	c->queue->held = true;
	log_event(LOG_WARNING, 0, "held");
	return true;
}

static bool release(struct control *c, struct str argument, struct fail **fail)
{
	size_t position = 0;
	struct str key;
	void *value;
	if (select_all(c, argument, release_selected, NULL))
		return true;
	struct mail *mail = argument.length ? find(c, argument, fail) : NULL;
	if (argument.length)
		return mail && schedule_release(mail, fail);
	if (unlinkat(c->queue->spool, "held", 0) != 0 && errno != ENOENT)
		return fail_set_errno(fail, FAIL_IO, "cannot note that the queue is released");
	c->queue->held = false;
	log_event(LOG_WARNING, 0, "released");
	while (map_next(c->queue->accounts, &position, &key, &value))
		if (((struct account *)value)->first)
			deliver_retry_soon(value);
	relay_dispatch_soon(c->queue);
	return true;
}

void control_load_hold(struct queue *q)
{
	q->held = faccessat(q->spool, "held", F_OK, 0) == 0;
	if (q->held)
		log_event(LOG_WARNING, 0, "held");
}

static unsigned delete_from(struct mail *mail, const struct selection *only)
{
	bool was_busy = mail->busy;
	unsigned dropped = 0;
	mail->busy = true;
	for (uint32_t i = 0; i < mail->count; i++) {
		struct delivery *d = &mail->deliveries[i];
		if (!only || is_selected(only, d))
			dropped += schedule_delete(d);
	}
	mail->busy = was_busy;
	mail_proceed(mail);
	return dropped;
}

static bool delete_selected(struct control *c, struct mail *mail, struct fail **fail)
{
	(void)fail;
	delete_from(mail, &c->selection);
	return true;
}

static bool delete(struct control *c, struct str argument, struct fail **fail)
{
	if (select_all(c, argument, delete_selected, NULL))
		return true;
	struct mail *mail = find(c, argument, fail);
	return mail && (delete_from(mail, NULL) || fail_set(fail, FAIL_BUSY, "its recipients are being served now"));
}

static const struct {
	const char *verb;
	unsigned arguments_min, arguments_max;
	bool (*act)(struct control *c, struct str argument, struct fail **fail);
} verbs[] = {
	{ "list", 0, 0, list }, { "show", 1, 1, show },       { "retry", 1, 1, retry },
	{ "hold", 0, 1, hold }, { "release", 0, 1, release }, { "delete", 1, 1, delete },
};

static bool on_request(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct control *c = peer->owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct msg_ctl_request request;
	struct str verb, argument = {};
	if (!msg_ctl_request_read(frame, &request) || c->listing || c->waits ||
	    !str_take_until(&request.words, '\0', &verb))
		return false;
	c->request = frame->request;
	if (str_equal(verb, STR("dkim"))) {
		key_control(c->queue, c, request.words, ipc_take_descriptor(frame));
		return true;
	}
	if (str_equal(verb, STR("dmarc"))) {
		aggregate_control(c->queue, c, request.words);
		return true;
	}
	if (str_equal(verb, STR("tlsrpt"))) {
		tls_report_control(c->queue, c, request.words);
		return true;
	}
	str_take_until(&request.words, '\0', &argument);
	unsigned given = argument.length > 0;
	fail_set(&fail, FAIL_INVALID,
		"list, show ID, retry ID|all, hold [ID], release [ID], delete ID; for ID also domain:NAME and sender:ADDRESS");
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		if (!str_equal(verb, str_of(verbs[i].verb)) || given < verbs[i].arguments_min || given > verbs[i].arguments_max)
			continue;
		fail_free(&fail);
		verbs[i].act(c, argument, &fail);
	}
	if (!c->listing)
		done(c, fail);
	return true;
}

/* ---- the door ---- */

static const struct ipc_permit permits[] = {
	{ MSG_CTL_REQUEST, (unsigned)IPC_ANY_STATE, 0, on_request },
};

static void control_ended(struct ipc_peer *peer, const char *why)
{
	struct control *c = peer->owner;
	struct control **at = &c->queue->controls;
	(void)why;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (c->waits)
		c->withdraw(c->work);
	loop_stop_timer(c->queue->loop, &c->timer);
	ipc_peer_release(peer);
	free(c);
}

static size_t count(const struct queue *q)
{
	size_t count = 0;
	for (const struct control *c = q->controls; c; c = c->next)
		count++;
	return count;
}

static void accept_control(void *owner, uint32_t events)
{
	struct queue *q = owner;
	(void)events;
	int descriptor = accept4(q->control_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (descriptor < 0)
		return;
	if (count(q) >= LIMIT_QUEUE_CONTROLS_MAX) {
		close(descriptor);
		return;
	}
	struct control *c = mem_alloc(sizeof *c);
	c->queue = q;
	c->next = q->controls;
	q->controls = c;
	c->peer.role = ROLE_CTL;
	c->peer.owner = c;
	ipc_peer_start(&c->peer, q->loop, descriptor, permits, COUNT_OF(permits), control_ended);
}

void control_listen(struct queue *q, int descriptor)
{
	if (q->control_listener >= 0) {
		loop_unwatch(q->loop, &q->control_watch);
		close(q->control_listener);
	}
	q->control_listener = descriptor;
	loop_watch(q->loop, &q->control_watch, descriptor, EPOLLIN, accept_control, q);
}

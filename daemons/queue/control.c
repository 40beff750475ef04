/* posthornctl's door: what is in the queue, and what the administrator wants done with it. */
#include "queue.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROW_MAX = 59000, ROWS_PER_ROUND = 50, WAITING_MAX = 1 << 20, FULL_WAIT_MS = 20 };

/* A listing goes on in rounds of the loop, so that mail goes on beside it. */
struct control {
	struct control *next;
	struct queue *queue;
	struct ipc_peer peer;
	uint64_t request;
	bool listing;
	struct mail *cursor;
	struct timer timer;
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
	CLEANUP(mem_free) char *text = mem_printf("%" PRIu64, number);
	add_field(row, key, str_of(text));
}

static void send_row(struct control *c, const struct buf *row)
{
	msg_ctl_row_send(&c->peer.channel, c->request, &(struct msg_ctl_row){ .fields = buf_str(row) }, -1);
}

static const char *state_name(const struct delivery *d)
{
	static const char *const names[] = {
		[DELIVERY_PENDING] = "waiting",    [DELIVERY_SENT] = "active",    [DELIVERY_APPLIED] = "delivered",
		[DELIVERY_BOUNCING] = "bouncing", [DELIVERY_DONE] = "delivered", [DELIVERY_FAILED] = "failed",
	};
	if (d->state == DELIVERY_PENDING && !d->account)
		return "remote";
	if (d->state == DELIVERY_PENDING && d->mail->queue->held)
		return "held";
	return d->state == DELIVERY_PENDING && d->account->held ? "deferred" : names[d->state];
}

static bool is_open(const struct delivery *d)
{
	return d->state == DELIVERY_PENDING || d->state == DELIVERY_SENT || d->state == DELIVERY_BOUNCING;
}

static bool has_open(const struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++)
		if (is_open(&mail->deliveries[i]))
			return true;
	return false;
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
	if (!mail_load(mail, NULL)) {
		add_field(row, "sender", STR("?"));
		return;
	}
	add_field(row, "sender", mail_text(mail, mail->sender));
	for (uint32_t i = 0; i < mail->count; i++) {
		const struct delivery *d = &mail->deliveries[i];
		if (!is_open(d))
			continue;
		add_field(row, "recipient", mail_text(mail, d->address));
		add_field(row, "state", str_of(state_name(d)));
		add_field(row, "reason", str_of(d->reply));
	}
	if (!was_loaded)
		mail_unload(mail);
}

static void go_on_listing(void *owner)
{
	struct control *c = owner;
	if (c->peer.channel.waiting_octets > WAITING_MAX) {
		loop_start_timer(c->queue->loop, &c->timer, FULL_WAIT_MS, go_on_listing, c);
		return;
	}
	for (unsigned i = 0; c->cursor && i < ROWS_PER_ROUND; i++) {
		struct mail *mail = c->cursor;
		c->cursor = mail->next;
		if (!has_open(mail))
			continue;
		CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
		add_mail(&row, mail);
		send_row(c, &row);
	}
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
	char text[17];
	for (struct mail *mail = c->queue->first; mail; mail = mail->next) {
		envelope_id_text(mail->id, text);
		if (str_equal_nocase(id, str_of(text)))
			return mail;
	}
	fail_set(fail, FAIL_NOT_FOUND, "no message %.*s in the queue", STR_ARG(id));
	return NULL;
}

static bool list(struct control *c, struct str argument, struct fail **fail)
{
	(void)argument;
	(void)fail;
	c->listing = true;
	c->cursor = c->queue->first;
	loop_start_timer(c->queue->loop, &c->timer, 0, go_on_listing, c);
	return true;
}

static bool show(struct control *c, struct str argument, struct fail **fail)
{
	struct mail *mail = find(c, argument, fail);
	if (!mail)
		return false;
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	add_mail(&row, mail);
	send_row(c, &row);
	bool loaded = mail_load(mail, NULL);
	for (uint32_t i = 0; i < mail->count; i++) {
		const struct delivery *d = &mail->deliveries[i];
		buf_clear(&row);
		add_field(&row, "recipient", loaded ? mail_text(mail, d->address) : STR("?"));
		add_number(&row, "account", d->account ? d->account->number : 0);
		add_field(&row, "state", str_of(state_name(d)));
		add_number(&row, "attempts", d->attempts);
		add_field(&row, "reason", str_of(d->reply));
		send_row(c, &row);
	}
	mail_unload(mail);
	return true;
}

static void retry_mail(struct mail *mail)
{
	for (uint32_t i = 0; i < mail->count; i++)
		if (mail->deliveries[i].account && mail->deliveries[i].state == DELIVERY_PENDING)
			deliver_retry_soon(mail->deliveries[i].account);
}

static bool retry(struct control *c, struct str argument, struct fail **fail)
{
	if (!str_equal(argument, STR("all"))) {
		struct mail *mail = find(c, argument, fail);
		if (mail)
			retry_mail(mail);
		return mail != NULL;
	}
	size_t position = 0;
	struct str key;
	void *value;
	while (map_next(c->queue->accounts, &position, &key, &value))
		if (((struct account *)value)->held)
			deliver_retry_soon(value);
	return true;
}

static bool hold(struct control *c, struct str argument, struct fail **fail)
{
	(void)argument;
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
	(void)argument;
	if (unlinkat(c->queue->spool, "held", 0) != 0 && errno != ENOENT)
		return fail_set_errno(fail, FAIL_IO, "cannot note that the queue is released");
	c->queue->held = false;
	log_event(LOG_WARNING, 0, "released");
	while (map_next(c->queue->accounts, &position, &key, &value))
		if (((struct account *)value)->first)
			deliver_retry_soon(value);
	return true;
}

void control_load_hold(struct queue *q)
{
	q->held = faccessat(q->spool, "held", F_OK, 0) == 0;
	if (q->held)
		log_event(LOG_WARNING, 0, "held");
}

/* What is with a mailbox process already comes back by itself. */
static bool delete(struct control *c, struct str argument, struct fail **fail)
{
	struct mail *mail = find(c, argument, fail);
	if (!mail)
		return false;
	bool was_busy = mail->busy;
	unsigned dropped = 0;
	mail->busy = true;
	for (uint32_t i = 0; i < mail->count; i++) {
		if (mail->deliveries[i].state != DELIVERY_PENDING)
			continue;
		deliver_give_up(&mail->deliveries[i], "deleted by the administrator", false);
		dropped++;
	}
	mail->busy = was_busy;
	mail_proceed(mail);
	return dropped || fail_set(fail, FAIL_BUSY, "its recipients are being served now");
}

static const struct {
	const char *verb;
	bool takes_argument;
	bool (*act)(struct control *c, struct str argument, struct fail **fail);
} verbs[] = {
	{ "list", false, list }, { "show", true, show },       { "retry", true, retry },
	{ "hold", false, hold }, { "release", false, release }, { "delete", true, delete },
};

static bool on_request(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct control *c = peer->owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct msg_ctl_request request;
	struct str verb, argument = {};
	if (!msg_ctl_request_read(frame, &request) || c->listing || !str_take_until(&request.words, '\0', &verb))
		return false;
	str_take_until(&request.words, '\0', &argument);
	c->request = frame->request;
	fail_set(&fail, FAIL_INVALID, "list, show ID, retry ID|all, hold, release, delete ID");
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		if (!str_equal(verb, str_of(verbs[i].verb)) || verbs[i].takes_argument != (argument.length > 0))
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

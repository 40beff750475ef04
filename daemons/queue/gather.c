#include "gather.h"
#include "queue.h"

enum {
	AT_MOST_MS = 250,
	QUIET_MS = 20,
	MAILS_MAX = WINDOW_FRAMES / 2,
	OCTETS_MAX = WINDOW_OCTETS / 2,
};

void gather_end(struct account *a)
{
	a->gathered.holds = false;
	a->gathered.mails = 0;
	a->gathered.octets = 0;
}

void gather_send(struct account *a)
{
	gather_end(a);
	deliver_push(a);
}

static void look(void *owner)
{
	struct queue *q = owner;
	struct gathering *all = &q->gathering;
	int64_t now = loop_now_ms(q->loop);
	bool quiet = now - all->mail_came_ms >= QUIET_MS;
	for (struct account *a; (a = all->first) != NULL && (quiet || a->gathered.until_ms <= now);) {
		all->first = a->gathered.next;
		a->gathered.listed = false;
		if (a->gathered.holds)
			gather_send(a);
	}
	if (all->first)
		loop_start_timer(q->loop, &all->timer, QUIET_MS, look, q);
}

static void hold_back(struct account *a)
{
	struct queue *q = a->queue;
	struct gathering *all = &q->gathering;
	a->gathered.holds = true;
	if (a->gathered.listed)
		return; /* what is left of its time there is enough */
	a->gathered.listed = true;
	a->gathered.until_ms = loop_now_ms(q->loop) + AT_MOST_MS;
	a->gathered.next = NULL;
	*(all->first ? &all->last->gathered.next : &all->first) = a;
	all->last = a;
	if (all->timer.place == 0)
		loop_start_timer(q->loop, &all->timer, QUIET_MS, look, q);
}

static bool may_wait(struct account *a, const struct delivery *d)
{
	const struct gathered *g = &a->gathered;
	bool wakes_anyway = !a->opened || a->replaying || a->watched || a->held;
	/* Where more waits than this mail the window is what holds it back, and its answers fetch it. */
	bool is_alone = g->holds || deliver_next_pending(a) == d;
	return !wakes_anyway && is_alone && g->mails + 1 < MAILS_MAX && g->octets + d->mail->size < OCTETS_MAX &&
	       a->queue->octets <= LIMIT_QUEUE_OCTETS_MAX / 2;
}

void gather_new(struct delivery *d)
{
	struct account *a = d->account;
	if (d->state != DELIVERY_PENDING)
		return; /* refused at commit */
	a->queue->gathering.mail_came_ms = loop_now_ms(a->queue->loop);
	if (!may_wait(a, d)) {
		gather_send(a);
		return;
	}
	a->gathered.mails++;
	a->gathered.octets += d->mail->size;
	hold_back(a);
}

#include "loop.h"

#include "array.h"
#include "check.h"
#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { EVENTS_PER_ROUND = 64 };

/* Invariant: timers is a binary heap by due_ms, and timers.items[i]->place == i + 1. */
struct loop {
	int epoll;
	bool stopped;
	bool firing; /* timers */
	int64_t now_ms;
	struct epoll_event events[EVENTS_PER_ROUND];
	int event_count;
	int event_next;
	ARRAY(struct timer *) timers;
};

struct loop *loop_new(void)
{
	struct loop *loop = mem_alloc(sizeof *loop);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	must(loop->epoll >= 0);
	loop->now_ms = clock_monotonic_ms();
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll);
	array_release(&loop->timers);
	free(loop);
}

int64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_ms;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

static void put(struct loop *loop, size_t i, struct timer *timer)
{
	loop->timers.items[i] = timer;
	timer->place = i + 1;
}

static void sift_up(struct loop *loop, size_t i)
{
	struct timer *timer = loop->timers.items[i];
	while (i > 0 && loop->timers.items[(i - 1) / 2]->due_ms > timer->due_ms) {
		put(loop, i, loop->timers.items[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(loop, i, timer);
}

static void sift_down(struct loop *loop, size_t i)
{
	struct timer *timer = loop->timers.items[i];
	for (size_t child; (child = 2 * i + 1) < loop->timers.count; i = child) {
		if (child + 1 < loop->timers.count && loop->timers.items[child + 1]->due_ms < loop->timers.items[child]->due_ms)
			child++;
		if (loop->timers.items[child]->due_ms >= timer->due_ms)
			break;
		put(loop, i, loop->timers.items[child]);
	}
	put(loop, i, timer);
}

void loop_start_timer(struct loop *loop, struct timer *timer, int64_t delay_ms, void (*fire)(void *owner), void *owner)
{
	loop_stop_timer(loop, timer);
	/* Without delay it fires at the end of this round, without another look at what is ready. */
	int64_t now = delay_ms == 0 ? loop->now_ms : clock_monotonic_ms();
	/* One that is started again and again without delay must not keep the round from ending. */
	if (loop->firing && now + delay_ms <= loop->now_ms)
		now = loop->now_ms + 1 - delay_ms;
	*timer = (struct timer){ .due_ms = now + delay_ms, .fire = fire, .owner = owner };
	*array_add(&loop->timers) = timer;
	sift_up(loop, loop->timers.count - 1);
}

void loop_stop_timer(struct loop *loop, struct timer *timer)
{
	if (timer->place == 0)
		return;
	size_t i = timer->place - 1;
	must(i < loop->timers.count && loop->timers.items[i] == timer);
	timer->place = 0;
	struct timer *last = loop->timers.items[--loop->timers.count];
	if (last == timer)
		return;
	put(loop, i, last);
	sift_up(loop, i);
	sift_down(loop, last->place - 1);
}

void loop_watch(struct loop *loop, struct watch *watch, int descriptor, uint32_t events,
                void (*ready)(void *owner, uint32_t events), void *owner)
{
	must(!watch->added);
	*watch = (struct watch){ descriptor, events, ready, owner, true };
	struct epoll_event event = { .events = events, .data.ptr = watch };
	must(epoll_ctl(loop->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

void loop_change(struct loop *loop, struct watch *watch, uint32_t events)
{
	must(watch->added);
	if (watch->events == events)
		return;
	watch->events = events;
	struct epoll_event event = { .events = events, .data.ptr = watch };
	must(epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->descriptor, &event) == 0);
}

void loop_unwatch(struct loop *loop, struct watch *watch)
{
	if (!watch->added)
		return;
	watch->added = false;
	must(epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->descriptor, NULL) == 0);
	for (int i = loop->event_next; i < loop->event_count; i++)
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
}

static int wait_ms(const struct loop *loop, int timeout_ms)
{
	if (loop->timers.count == 0)
		return timeout_ms;
	int64_t until_due = loop->timers.items[0]->due_ms - clock_monotonic_ms();
	if (until_due < 0)
		until_due = 0;
	if (until_due > 60000)
		until_due = 60000;
	return timeout_ms < 0 || until_due < timeout_ms ? (int)until_due : timeout_ms;
}

static void fire_due_timers(struct loop *loop)
{
	loop->firing = true;
	while (loop->timers.count && loop->timers.items[0]->due_ms <= loop->now_ms) {
		struct timer *timer = loop->timers.items[0];
		loop_stop_timer(loop, timer);
		timer->fire(timer->owner);
	}
	loop->firing = false;
}

void loop_step(struct loop *loop, int timeout_ms)
{
	int count = epoll_wait(loop->epoll, loop->events, EVENTS_PER_ROUND, wait_ms(loop, timeout_ms));
	must(count >= 0 || errno == EINTR);
	loop->now_ms = clock_monotonic_ms();
	loop->event_count = count > 0 ? count : 0;
	for (loop->event_next = 0; loop->event_next < loop->event_count;) {
		struct epoll_event *event = &loop->events[loop->event_next++];
		struct watch *watch = event->data.ptr;
		if (watch)
			watch->ready(watch->owner, event->events);
	}
	fire_due_timers(loop);
}

void loop_run(struct loop *loop)
{
	loop->stopped = false;
	while (!loop->stopped)
		loop_step(loop, -1);
}

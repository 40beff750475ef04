#include "loop.h"

#include "check.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

enum { MANY = 300 };

/* A watched descriptor that is readable from the start, and what its callback shall do. */
struct item {
	struct loop *loop;
	struct watch watch;
	struct timer timer;
	int descriptor;
	unsigned called;
	struct item *victim; /* unwatched and freed by the callback */
	unsigned *freed;
};

static struct item *item_new(struct loop *loop)
{
	struct item *item = mem_alloc(sizeof *item);
	item->loop = loop;
	item->descriptor = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(item->descriptor >= 0);
	return item;
}

static void item_free(struct item *item)
{
	loop_unwatch(item->loop, &item->watch);
	loop_stop_timer(item->loop, &item->timer);
	close(item->descriptor);
	free(item);
}

static void count(void *owner, uint32_t events)
{
	struct item *item = owner;
	assert_true(events & EPOLLIN);
	item->called++;
}

static void count_and_free_victim(void *owner, uint32_t events)
{
	struct item *item = owner;
	count(owner, events);
	if (item->victim) {
		item_free(item->victim);
		item->victim = NULL;
		++*item->freed;
	}
}

static void free_itself(void *owner, uint32_t events)
{
	struct item *item = owner;
	(void)events;
	++*item->freed;
	item_free(item);
}

/* More than one round's worth of events: level-triggered, so nobody starves. */
static void many_watches_are_all_called(void **state)
{
	struct loop *loop = loop_new();
	struct item *items[MANY];
	unsigned rounds = 0, waiting = MANY;
	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		items[i] = item_new(loop);
		loop_watch(loop, &items[i]->watch, items[i]->descriptor, EPOLLIN, count, items[i]);
	}
	for (; waiting && rounds < MANY; rounds++) {
		loop_step(loop, 0);
		waiting = 0;
		for (size_t i = 0; i < MANY; i++)
			waiting += items[i]->called == 0;
	}
	assert_int_equal(waiting, 0);
	for (size_t i = 0; i < MANY; i++)
		item_free(items[i]);
	loop_free(loop);
}

/* Each callback frees its neighbour, for which an event may be fetched already: the sanitizer watches. */
static void removed_in_a_callback_is_not_called_again(void **state)
{
	struct loop *loop = loop_new();
	struct item *items[64];
	unsigned freed = 0, survivors = 0;
	(void)state;
	for (size_t i = 0; i < COUNT_OF(items); i++) {
		items[i] = item_new(loop);
		items[i]->freed = &freed;
		loop_watch(loop, &items[i]->watch, items[i]->descriptor, EPOLLIN, count_and_free_victim, items[i]);
	}
	/* Pairs point at each other: whoever is called first frees the other. */
	struct item *left[COUNT_OF(items) / 2];
	for (size_t i = 0; i < COUNT_OF(items); i += 2) {
		items[i]->victim = items[i + 1];
		items[i + 1]->victim = items[i];
		left[i / 2] = items[i];
	}
	loop_step(loop, 0);
	assert_int_equal(freed, COUNT_OF(items) / 2);
	/* The kernel reports in the order of becoming ready, so it was the first of each pair. */
	for (size_t i = 0; i < COUNT_OF(left); i++) {
		survivors += left[i]->called == 1;
		item_free(left[i]);
	}
	assert_int_equal(survivors, COUNT_OF(left));
	loop_free(loop);
}

static void an_owner_may_free_itself(void **state)
{
	struct loop *loop = loop_new();
	unsigned freed = 0;
	(void)state;
	for (size_t i = 0; i < 10; i++) {
		struct item *item = item_new(loop);
		item->freed = &freed;
		loop_watch(loop, &item->watch, item->descriptor, EPOLLIN, free_itself, item);
	}
	loop_step(loop, 0);
	loop_step(loop, 0);
	assert_int_equal(freed, 10);
	loop_free(loop);
}

static void changing_events_silences_a_watch(void **state)
{
	struct loop *loop = loop_new();
	struct item *item = item_new(loop);
	(void)state;
	loop_watch(loop, &item->watch, item->descriptor, EPOLLIN, count, item);
	loop_step(loop, 0);
	loop_change(loop, &item->watch, 0);
	loop_step(loop, 0);
	assert_int_equal(item->called, 1);
	loop_change(loop, &item->watch, EPOLLIN);
	loop_step(loop, 0);
	assert_int_equal(item->called, 2);
	item_free(item);
	loop_free(loop);
}

/* What a nested round takes is not served twice by the outer one. */
static void nest(void *owner, uint32_t events)
{
	struct item *item = owner;
	count(owner, events);
	loop_unwatch(item->loop, &item->watch);
	loop_step(item->loop, 0);
}

static void rounds_nest(void **state)
{
	struct loop *loop = loop_new();
	struct item *items[10];
	(void)state;
	for (size_t i = 0; i < COUNT_OF(items); i++) {
		items[i] = item_new(loop);
		loop_watch(loop, &items[i]->watch, items[i]->descriptor, EPOLLIN, nest, items[i]);
	}
	loop_step(loop, 0);
	for (size_t i = 0; i < COUNT_OF(items); i++) {
		assert_int_equal(items[i]->called, 1);
		item_free(items[i]);
	}
	loop_free(loop);
}

/* ---- timers ---- */

struct alarm {
	struct loop *loop;
	struct timer timer;
	unsigned fired;
	unsigned stop_at;
	int64_t last_due_ms;
	struct alarm *other;
};

static int64_t latest_due;
static unsigned out_of_order;

static void note(void *owner)
{
	struct alarm *alarm = owner;
	alarm->fired++;
	/* The timer is stopped when it fires, but still knows when that was due. */
	out_of_order += alarm->timer.due_ms < latest_due;
	latest_due = alarm->timer.due_ms;
}

static void timers_fire_in_order(void **state)
{
	struct loop *loop = loop_new();
	struct alarm alarms[MANY] = {};
	unsigned fired = 0;
	(void)state;
	latest_due = 0;
	out_of_order = 0;
	srand(1);
	for (size_t i = 0; i < MANY; i++)
		loop_start_timer(loop, &alarms[i].timer, rand() % 20, note, &alarms[i]);
	/* Every third is stopped, every fifth started anew. */
	for (size_t i = 0; i < MANY; i += 3)
		loop_stop_timer(loop, &alarms[i].timer);
	for (size_t i = 0; i < MANY; i += 5)
		loop_start_timer(loop, &alarms[i].timer, rand() % 20, note, &alarms[i]);
	unsigned wanted = 0;
	for (size_t i = 0; i < MANY; i++)
		wanted += i % 3 != 0 || i % 5 == 0;
	while (fired < wanted) {
		loop_step(loop, -1);
		fired = 0;
		for (size_t i = 0; i < MANY; i++)
			fired += alarms[i].fired;
	}
	assert_int_equal(out_of_order, 0);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(alarms[i].fired, i % 3 != 0 || i % 5 == 0);
	loop_free(loop);
}

static void start_again(void *owner)
{
	struct alarm *alarm = owner;
	if (++alarm->fired == alarm->stop_at)
		loop_stop(alarm->loop);
	else
		loop_start_timer(alarm->loop, &alarm->timer, 0, start_again, alarm);
}

/* A timer that is always due again leaves room for the watches: it fires once a round. */
static void a_timer_started_again_waits_for_the_next_round(void **state)
{
	struct loop *loop = loop_new();
	struct alarm alarm = { .loop = loop, .stop_at = 5 };
	struct item *item = item_new(loop);
	(void)state;
	loop_watch(loop, &item->watch, item->descriptor, EPOLLIN, count, item);
	loop_start_timer(loop, &alarm.timer, 0, start_again, &alarm);
	loop_run(loop);
	assert_int_equal(alarm.fired, 5);
	assert_true(item->called >= 5);
	item_free(item);
	loop_free(loop);
}

static void stop_the_other(void *owner)
{
	struct alarm *alarm = owner;
	alarm->fired++;
	loop_stop_timer(alarm->loop, &alarm->other->timer);
}

static void a_timer_stopped_by_another_does_not_fire(void **state)
{
	struct loop *loop = loop_new();
	struct alarm first = { .loop = loop }, second = { .loop = loop }, last = { .loop = loop, .stop_at = 1 };
	(void)state;
	first.other = &second;
	second.other = &first;
	loop_start_timer(loop, &first.timer, 0, stop_the_other, &first);
	loop_start_timer(loop, &second.timer, 0, stop_the_other, &second);
	loop_start_timer(loop, &last.timer, 2, start_again, &last);
	loop_run(loop);
	assert_int_equal(first.fired + second.fired, 1);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_watches_are_all_called),
		cmocka_unit_test(removed_in_a_callback_is_not_called_again),
		cmocka_unit_test(an_owner_may_free_itself),
		cmocka_unit_test(changing_events_silences_a_watch),
		cmocka_unit_test(rounds_nest),
		cmocka_unit_test(timers_fire_in_order),
		cmocka_unit_test(a_timer_started_again_waits_for_the_next_round),
		cmocka_unit_test(a_timer_stopped_by_another_does_not_fire),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * struct loop: waits for many descriptors and timers in one thread (epoll, level-triggered).
 *
 * Watches and timers are embedded in their owner's struct and not owned by the loop. A callback may
 * add, change or remove any watch or timer, its own too, and may free the struct around a
 * removed one: what is removed is not called again, not even for events already fetched.
 * A timer fires once; its callback may start it again, which fires in a later round. Timers fire in the order of
 * their times. A forked child must not use its parent's loop but to free it. Times are monotonic milliseconds.
 */
#ifndef POSTHORN_OS_LOOP_H
#define POSTHORN_OS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

struct watch {
	int descriptor;
	uint32_t events;                              /* EPOLLIN, EPOLLOUT; 0 still reports EPOLLHUP, EPOLLERR */
	void (*ready)(void *owner, uint32_t events);
	void *owner;
	bool added;
};

struct timer {
	int64_t due_ms;
	void (*fire)(void *owner);
	void *owner;
	size_t place; /* 1 + index in the loop's heap, 0 while stopped */
};

struct loop *loop_new(void);
void loop_free(struct loop *loop);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* One round: waits at most timeout_ms (-1: until something happens) and calls what is ready. */
void loop_step(struct loop *loop, int timeout_ms);

/* The time at the start of the round: enough for timers, cheaper than the clock. */
int64_t loop_now_ms(const struct loop *loop);

void loop_watch(struct loop *loop, struct watch *watch, int descriptor, uint32_t events,
                void (*ready)(void *owner, uint32_t events), void *owner);
void loop_change(struct loop *loop, struct watch *watch, uint32_t events);

/* Nothing when it was not added. Call it before closing the descriptor. */
void loop_unwatch(struct loop *loop, struct watch *watch);

/* (Re)starts a timer delay_ms from now; 0: it fires at the end of the present round, when all that was ready was
 * served. */
void loop_start_timer(struct loop *loop, struct timer *timer, int64_t delay_ms, void (*fire)(void *owner), void *owner);

/* Nothing when it is not running. */
void loop_stop_timer(struct loop *loop, struct timer *timer);

#endif

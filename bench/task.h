/*
 * Coroutines over one epoll loop in one thread, so that a client session is written as
 * straight-line code and gives way wherever it would block. Also the shared counter of work:
 * every coroutine takes the next operation until --count or --seconds is used up.
 */
#ifndef POSTHORN_BENCH_TASK_H
#define POSTHORN_BENCH_TASK_H

#include <stdbool.h>
#include <stdint.h>

/* Runs n coroutines run(0) .. run(n - 1) to their end. */
void task_run_all(int n, void (*run)(int id));

/* The current coroutine is woken by every edge on fd from now on. */
void task_watch(int fd);

/* Gives way until an event comes. */
void task_yield(void);

/* Gives way until an event comes or the time is reached. */
void task_wait(uint64_t deadline_ns);

/* Gives way until the time is reached, whatever comes. */
void task_sleep_until(uint64_t when_ns);

/* Wakes all the others at the next turn of the loop. */
void task_wake_others(void);

/* Starts the clock of --seconds. */
void task_prepare(void);

/* The number of the next operation; false when the work is used up. */
bool task_take_operation(long *index);

/* Takes n more operations right behind the last one taken. */
void task_take_more(long n);

#endif

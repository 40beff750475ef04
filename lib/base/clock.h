/*
 * Time. Timers and durations use the monotonic clock; dates shown to people and stored with
 * mails use the wall clock, which may jump.
 */
#ifndef POSTHORN_BASE_CLOCK_H
#define POSTHORN_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since boot, never going back. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);

/* Since 1970-01-01 UTC. */
int64_t clock_wall_seconds(void);
int64_t clock_wall_us(void);

#endif

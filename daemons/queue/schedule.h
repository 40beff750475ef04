/*
 * When mail for other hosts is tried, held, given up; RFC 5321 §4.5.4.1.
 *
 * After an attempt that may pass: the first time to wait, then twice as long each time up to the longest one. Given
 * up is what is older than its lifetime and was tried, or its destination, at least three times since this process
 * began: neither a clock that jumps nor a host that was switched off for a week makes mail go back untried.
 *
 * Times that others see are wall clock, seconds. Failures: schedule_hold, schedule_keep_marks and schedule_release,
 * when the disk does not take it.
 */
#ifndef POSTHORN_QUEUE_SCHEDULE_H
#define POSTHORN_QUEUE_SCHEDULE_H

#include "fail.h"
#include "mail.h"

struct destination;
struct queue;

/* A new mail, or one that was read at the start: each remote recipient gets its place. */
void schedule_mail(struct mail *mail);

/* What an attempt led to; it takes the reference. d is SENT; it and its mail may be gone when it returns. */
void schedule_result(struct delivery *d, struct attempt *attempt);

/* It was under way when relay ended. */
void schedule_lost(struct delivery *d);

/* Its destination failed: tells or gives up what is old. */
void schedule_look(struct destination *destination);

/* At the start, what the file says of d, PENDING: wall clock. */
void schedule_recovered(struct delivery *d, int64_t last_attempt, int64_t next_attempt);

/* When it is tried next, wall clock; 0: as soon as may be. */
int64_t schedule_next(const struct delivery *d);

/* The times that have come. */
void schedule_tick(struct queue *q);

/* By the administrator: the whole mail. The file says so from then on; that it is held is durable after
 * schedule_keep_marks, which is called once for many. */
bool schedule_hold(struct mail *mail, struct fail **fail);
bool schedule_keep_marks(struct queue *q, struct fail **fail);
bool schedule_release(struct mail *mail, struct fail **fail);
void schedule_retry(struct mail *mail);
void schedule_retry_one(struct delivery *d);

/* One that relay has at this moment goes when its attempt comes to nothing, unless queue was started again before.
 * False for one that is on its way into an account, or was delivered. */
bool schedule_delete(struct delivery *d);

#endif

/*
 * How much each account, and each sender address, sends to other hosts: counts of the last day, and what the
 * configuration allows.
 *
 * Counted is what was taken, by the hour; an hour's limit looks at the present hour and the part of the one before that
 * is less than an hour ago. The counts lie in state.db, so that a restart forgives nothing. Memory: 200 octets for
 * whoever sent within a day, SENDERS_MAX of them at most.
 */
#ifndef POSTHORN_QUEUE_SENDING_H
#define POSTHORN_QUEUE_SENDING_H

#include "services.h"

struct queue;

/* Loads the counts; after state_init. */
void sending_init(struct queue *q);

/* May one more mail to so many recipients on other hosts go? account 0: nobody logged in; sender: empty is never
 * limited as such. VERDICT_OK or VERDICT_LIMIT; the first refusal in an hour is logged as an alarm. */
enum verdict_kind sending_check(struct queue *q, uint64_t account, struct str sender, size_t recipients);

/* It was taken. */
void sending_count(struct queue *q, uint64_t account, struct str sender, size_t recipients);

/* Forgets who sent nothing for a day. */
void sending_tick(struct queue *q);

#endif

/*
 * Greylisting (RFC 6647): the first attempt of an unknown network, sender and recipient is refused for now; who tries
 * again as a mail server does is remembered, and a network that enough senders passed from is not asked to wait any
 * more.
 *
 * All is in memory (LIMIT_GREYLIST_MAX entries, the oldest go first) and in state.db, so that a restart makes nobody
 * wait again. Networks are /24 and /64; digits in a sender's local part do not count, since mailing lists number
 * their senders.
 */
#ifndef POSTHORN_QUEUE_GREYLIST_H
#define POSTHORN_QUEUE_GREYLIST_H

#include "str.h"

struct queue;

/* After state_init. */
void greylist_init(struct queue *q);

/* May this mail come in now? Notes the attempt. */
bool greylist_lets_pass(struct queue *q, struct str peer, struct str sender, struct str recipient);

#endif

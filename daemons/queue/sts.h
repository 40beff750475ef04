/*
 * Policies of MTA-STS (RFC 8461) that relay found: kept in state.db until they expire and told to each new relay
 * before its first job, so that neither a restart nor an attacker who holds back DNS answers makes us forget what a
 * domain demands.
 */
#ifndef POSTHORN_QUEUE_STS_H
#define POSTHORN_QUEUE_STS_H

#include "ipc.h"

struct queue;

/* Loads them; after state_init. */
void sts_init(struct queue *q);

/* All that hold. */
void sts_tell(struct queue *q, struct ipc_channel *relay);

/* False when it makes no sense. */
bool sts_take(struct queue *q, const struct msg_sts_policy *message);

#endif

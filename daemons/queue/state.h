/*
 * state.db: what queue has to remember that is no mail, and that it may lose the last seconds of: greylisting, counts
 * for reports, policies of other hosts.
 *
 * Each module keeps what it knows in memory and loads it at the start; here it writes down what changed: a value (any
 * octets) of a kind and a key, which is forgotten after its expiry. Changes gather and are written by a thread of its
 * own, about once a second, in one transaction: a crash loses at most that. A state.db that is damaged is set aside
 * (state.db.damaged) and begun anew, with an alarm.
 */
#ifndef POSTHORN_QUEUE_STATE_H
#define POSTHORN_QUEUE_STATE_H

#include "str.h"

struct queue;

enum { STATE_KEY_MAX = 8192, STATE_VALUE_MAX = 1 << 20 };

/* Opens it; at the start, before any other function. Without it nothing is remembered, which is logged. */
void state_init(struct queue *q);

/* Calls take for each value of a kind that has not expired; the views live for that call. At the start only. */
void state_load(struct queue *q, const char *kind,
                void (*take)(void *owner, struct str key, struct str value, int64_t expires), void *owner);

/* kind: a word that lives as long as the program. expires: wall clock, seconds. */
void state_put(struct queue *q, const char *kind, struct str key, struct str value, int64_t expires);
void state_remove(struct queue *q, const char *kind, struct str key);

/* Everything that was put is written; else it begins to be. Before the program ends. */
bool state_is_written(struct queue *q);

/* Once a second. */
void state_tick(struct queue *q);

#endif

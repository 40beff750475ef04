/*
 * Questions to the resolver from a program that never waits: each is an object of its owner, and its answer a call.
 *
 * At most ASK_UNDER_WAY_MAX are with the resolver at a time; the others wait in order. An answer comes within
 * ASK_PATIENCE_MS, as DNS_FAILED at worst: when the resolver is silent, goes away, or what it sends makes no sense. A
 * name that is none is DNS_NO_NAME. What was answered is kept for its time to live, at most KEPT_SECONDS_MAX: the
 * next mail to the same destination asks nobody. An answer is never given before ask_start has returned, and never
 * after ask_stop.
 */
#ifndef POSTHORN_RELAY_ASK_H
#define POSTHORN_RELAY_ASK_H

#include "dns_cache.h"
#include "ipc.h"

enum { ASK_UNDER_WAY_MAX = 4000, ASK_PATIENCE_MS = 20000, KEPT_SECONDS_MAX = 60, KEPT_ANSWERS_MAX = 4000,
	KEPT_OCTETS_MAX = 4 << 20 };

struct asker;

/* Embedded in its owner's struct; zeroed before its first use. */
struct ask {
	struct asker *asker;       /* NULL: nothing is asked */
	struct ask *previous, *next;
	uint64_t request;          /* 0: it is not with the resolver */
	enum dns_type type;
	char name[256];
	bool waits;                /* in the asker's list */
	struct timer patience;     /* or for what is known already */
	/* The answer lives as long as the call; the ask is free for another question then. */
	void (*answered)(struct ask *ask, const struct dns_answer *answer);
	void *owner;
};

struct ask_list {
	struct ask *first, *last;
};

struct asker {
	struct loop *loop;
	void (*offended)(void *owner); /* the resolver sent what it may not, and stays: no new one comes by itself */
	void *owner;
	struct ipc_peer peer;
	bool there;
	uint64_t requests;
	struct map *by_request;     /* those with the resolver */
	struct ask_list waiting;    /* in the order they came */
	struct dns_cache *known;
	struct arena *arena;        /* of the answer at hand */
	bool in_answer;             /* it is still looked at */
};

void asker_init(struct asker *asker, struct loop *loop, void (*offended)(void *owner), void *owner);

/* Takes the descriptor; what was asked of the resolver before is asked of this one. */
void asker_wire(struct asker *asker, int descriptor);

/* name: UTF-8 or A-labels. */
void ask_start(struct asker *asker, struct ask *ask, struct str name, enum dns_type type,
               void (*answered)(struct ask *ask, const struct dns_answer *answer), void *owner);

/* Nothing when nothing is asked. */
void ask_stop(struct ask *ask);

#endif

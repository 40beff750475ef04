/*
 * What auth knows: where an address leads, who may send as whom, which token is whose log-in.
 *
 * Answers are remembered in two generations: when the young one is full, the old one is forgotten. What is still in
 * use comes back to the young one. DIRECTORY_CHANGED forgets all. A waiter belongs to its giver, who withdraws it
 * before it goes. When auth does not answer the answer is a temporary one: nothing here fails.
 */
#ifndef POSTHORN_QUEUE_RESOLVE_H
#define POSTHORN_QUEUE_RESOLVE_H

#include "array.h"
#include "hash.h"
#include "ipc.h"
#include "limits.h"
#include "services.h"

struct queue;
struct question;

struct answer {
	uint32_t verdict;           /* enum resolve_verdict, or allowed for MAY_SEND */
	struct str targets;
};

/* Somebody waits for auth's answer; it may be withdrawn. */
struct waiter {
	struct waiter *next;
	struct question *question;  /* NULL: does not wait */
	void (*answered)(struct waiter *waiter, const struct answer *answer);
	void *owner;
};

/* Calls answered now, or when auth answered; RESOLVE_TEMPORARY, or not allowed, after some time without. */
void resolve_address(struct queue *q, struct str address, struct waiter *waiter);
void resolve_may_send(struct queue *q, uint64_t account, struct str address, struct waiter *waiter);
void resolve_withdraw(struct waiter *waiter);

/* Tokens: NULL when it is not known (yet). */
struct token {
	uint64_t account;
	uint64_t porter, connection; /* who logged in */
	unsigned generation;         /* which auth told it */
	char address[LIMIT_ADDRESS_MAX + 1];
};
const struct token *resolve_token(struct queue *q, const struct ipc_id *id);

bool resolve_wire(struct queue *q, int descriptor);
void resolve_init(struct queue *q);
void resolve_tick(struct queue *q);

struct lookups {
	struct map *young, *old;     /* key → struct known; see resolve.c */
	size_t octets;               /* of the young ones */
	struct map *tokens;
	struct question *questions;  /* on their way */
	uint64_t next_number;
	unsigned auth_generation;
	int64_t auth_since_ms;
	struct ipc_peer auth;
	bool has_auth;
};

#endif

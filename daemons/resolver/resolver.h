/*
 * resolver: the one process that speaks DNS, for all that ask: one cache and one validator (libunbound).
 *
 * It has sockets to the world and channels to those who ask, and nothing else: no file, no client, no mail. A peer's questions are
 * answered in any order, each by its number; one that asks more than QUESTIONS_MAX at a time is ended. An answer comes within
 * PATIENCE_MS, as DNS_FAILED at worst.
 */
#ifndef POSTHORN_RESOLVER_RESOLVER_H
#define POSTHORN_RESOLVER_RESOLVER_H

#include "daemon.h"
#include "dns.h"

#include <unbound.h>

enum { QUESTIONS_MAX = 1000, PATIENCE_MS = 15000, ANSWER_MAX = 120000 };

struct asker;

/* One that was asked and not answered yet. */
struct question {
	struct asker *asker;
	struct question *previous, *next; /* of the asker */
	uint64_t request;
	int number; /* libunbound's */
	struct timer patience;
};

struct asker {
	struct resolver *resolver;
	struct ipc_peer peer;
	struct question *questions;
	unsigned count;
};

struct resolver {
	struct daemon daemon;
	struct ub_ctx *unbound;
	struct watch watch;
	struct arena *arena; /* of the answer at hand */
};

/* ---- resolver_unbound.c: libunbound as it is configured ---- */

/* Before the sandbox: everything that libunbound reads from files. */
struct ub_ctx *resolver_unbound_new(const struct config *config, struct fail **fail);

/* An answer of libunbound in our form; result NULL: it failed. */
void resolver_answer(struct arena *a, const struct ub_result *result, struct dns_answer *answer);

#endif

/*
 * resolver: the one process that speaks DNS, for all that ask: one cache and one validator (libunbound).
 *
 * It has sockets to the world and channels to those who ask, and nothing else: no file, no client, no mail. A peer's
 * questions are answered in any order, each by its number; one that asks more than QUESTIONS_MAX at a time is ended.
 * An answer comes within PATIENCE_MS, as DNS_FAILED at worst.
 */
#ifndef POSTHORN_RESOLVER_RESOLVER_H
#define POSTHORN_RESOLVER_RESOLVER_H

#include "daemon.h"
#include "dns_cache.h"
#include "dns_unbound.h"

enum { QUESTIONS_MAX = 5000, PATIENCE_MS = 15000, CACHE_ANSWERS_MAX = 20000, CACHE_OCTETS_MAX = 8 << 20 }; /* of each generation */

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
	struct dns_cache *cache;
};

#endif

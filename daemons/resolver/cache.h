/*
 * Answers as they are sent, kept for their time to live: a question that comes again costs neither libunbound's thread nor the packing.
 *
 * Bounded in answers and octets by two generations: what was not asked for during one of them is forgotten. Failures are not kept.
 */
#ifndef POSTHORN_RESOLVER_CACHE_H
#define POSTHORN_RESOLVER_CACHE_H

#include "dns.h"

enum { CACHE_ANSWERS_MAX = 20000, CACHE_OCTETS_MAX = 8 << 20 }; /* of each generation */

struct cache;

struct cache *cache_new(void);
void cache_free(struct cache *cache);

/* The packed answer with the time that is left to it, or empty; lives until the next call. */
struct str cache_find(struct cache *cache, struct str name, enum dns_type type, int64_t now_ms);

void cache_keep(struct cache *cache, struct str name, enum dns_type type, struct str packed, uint32_t ttl_seconds, int64_t now_ms);

#endif

/*
 * Answers of the resolver as they are sent, kept for their time to live: what is asked again costs no validator, no
 * packing and, where the one who asks has a cache too, no question.
 *
 * Bounded in answers and octets by two generations: what was not asked for during one of them is forgotten. Failures
 * are not kept.
 */
#ifndef POSTHORN_DNS_DNS_CACHE_H
#define POSTHORN_DNS_DNS_CACHE_H

#include "dns.h"

struct dns_cache;

/* The limits are those of each generation. */
struct dns_cache *dns_cache_new(size_t answers_max, size_t octets_max);
void dns_cache_free(struct dns_cache *cache);

/* The packed answer with the time that is left to it, or empty; lives until the next call. */
struct str dns_cache_find(struct dns_cache *cache, struct str name, enum dns_type type, int64_t now_ms);

/* At most for that many seconds. */
void dns_cache_keep(struct dns_cache *cache, struct str name, enum dns_type type, struct str packed,
                    uint32_t seconds_max, int64_t now_ms);

#endif

#include "dns_cache.h"

#include "hash.h"
#include "mem.h"

#include <stdlib.h>

struct kept {
	int64_t until_ms;
	size_t length;
	char packed[];
};

struct generation {
	struct map *answers;
	size_t octets;
};

struct dns_cache {
	struct generation young, old;
	size_t answers_max, octets_max;
};

static void generation_free(struct generation *g)
{
	struct str key;
	void *value;
	for (size_t position = 0; map_next(g->answers, &position, &key, &value);)
		free(value);
	map_free(g->answers);
}

static struct generation generation_new(void)
{
	return (struct generation){ .answers = map_new() };
}

struct dns_cache *dns_cache_new(size_t answers_max, size_t octets_max)
{
	struct dns_cache *cache = mem_alloc(sizeof *cache);
	cache->answers_max = answers_max;
	cache->octets_max = octets_max;
	cache->young = generation_new();
	cache->old = generation_new();
	return cache;
}

void dns_cache_free(struct dns_cache *cache)
{
	generation_free(&cache->young);
	generation_free(&cache->old);
	free(cache);
}

/* The type and the name in lower case. */
struct cache_key {
	char octets[256];
	size_t length;
};

static struct cache_key key_of(struct str name, enum dns_type type)
{
	struct cache_key key = { .octets = { (char)type } };
	must(name.length < sizeof key.octets);
	for (size_t i = 0; i < name.length; i++)
		key.octets[i + 1] = char_lower(name.data[i]);
	key.length = name.length + 1;
	return key;
}

static void put(struct dns_cache *cache, struct str key, struct kept *kept)
{
	struct generation *g = &cache->young;
	if (map_count(g->answers) >= cache->answers_max || g->octets + kept->length > cache->octets_max) {
		generation_free(&cache->old);
		cache->old = *g;
		*g = generation_new();
	}
	struct kept *before = map_set(g->answers, key, kept);
	g->octets += kept->length - (before ? before->length : 0);
	free(before);
}

/* What is still asked for goes over to the young ones. */
static struct kept *find(struct dns_cache *cache, struct str key)
{
	struct kept *kept = map_get(cache->young.answers, key);
	if (kept)
		return kept;
	kept = map_remove(cache->old.answers, key);
	if (kept) {
		cache->old.octets -= kept->length;
		put(cache, key, kept);
	}
	return kept;
}

struct str dns_cache_find(struct dns_cache *cache, struct str name, enum dns_type type, int64_t now_ms)
{
	struct cache_key key = key_of(name, type);
	struct kept *kept = find(cache, str_from(key.octets, key.length));
	if (!kept || kept->until_ms <= now_ms)
		return (struct str){};
	dns_packed_set_ttl(kept->packed, kept->length, (uint32_t)((kept->until_ms - now_ms + 999) / 1000));
	return str_from(kept->packed, kept->length);
}

void dns_cache_keep(struct dns_cache *cache, struct str name, enum dns_type type, struct str packed,
                    uint32_t seconds_max, int64_t now_ms)
{
	struct cache_key key = key_of(name, type);
	uint32_t ttl_seconds = dns_packed_ttl(packed);
	if (ttl_seconds == 0)
		return;
	struct kept *kept = mem_alloc(sizeof *kept + packed.length);
	kept->until_ms = now_ms + (int64_t)(ttl_seconds < seconds_max ? ttl_seconds : seconds_max) * 1000;
	kept->length = packed.length;
	memcpy(kept->packed, packed.data, packed.length);
	put(cache, str_from(key.octets, key.length), kept);
}

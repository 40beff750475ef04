/*
 * struct map: from a key (bytes, copied unless it is a map of views) to a pointer, for keys that strangers choose.
 *
 * Keyed SipHash-2-4 (Aumasson, Bernstein 2012) with a random key per process, so that nobody
 * can aim at one bucket. Open addressing; grows at 3/4. Values are not owned. Adding or removing while
 * walking is not allowed, except removing the item the walk stands on.
 */
#ifndef POSTHORN_BASE_HASH_H
#define POSTHORN_BASE_HASH_H

#include "str.h"

struct map;

struct map *map_new(void);

/* Keys are not copied: each lies where it is, as a rule in its value, until it is removed, replaced or the map
 * freed. */
struct map *map_new_of_views(void);
void map_free(struct map *m);
size_t map_count(const struct map *m);

/* NULL when there is none. */
void *map_get(const struct map *m, struct str key);

/* Sets or replaces; value must not be NULL. Returns the value that was there, or NULL. */
void *map_set(struct map *m, struct str key, void *value);

/* Returns the value that was there, or NULL. */
void *map_remove(struct map *m, struct str key);

/* The next item from *position (begin with 0); false at the end. */
bool map_next(const struct map *m, size_t *position, struct str *key, void **value);

/* A key for fixed-size integers. */
#define MAP_KEY(variable) str_from((const char *)&(variable), sizeof(variable))

uint64_t hash_sip(const uint64_t key[2], const void *data, size_t length);

#endif

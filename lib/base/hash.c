#include "hash.h"

#include "check.h"
#include "mem.h"

#include <endian.h>
#include <stdlib.h>
#include <sys/random.h>

/* Small: there may be some hundred thousands of them. */
struct slot {
	uint32_t hash;
	uint32_t key_length;
	const char *key;
	void *value;
};

/* Invariants: capacity is a power of two; a slot is empty (key NULL), a grave (key NULL, value GRAVE) or live. */
struct map {
	uint64_t key[2];
	struct slot *slots;
	size_t capacity;
	size_t live;
	size_t used; /* live and graves */
	bool of_views;
};

static char grave_mark;
#define GRAVE ((void *)&grave_mark)

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1], v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0], v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1], v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2], v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

uint64_t hash_sip(const uint64_t key[2], const void *data, size_t length)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
		              key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
	const unsigned char *bytes = data;
	size_t left = length;
	for (; left >= 8; left -= 8, bytes += 8) {
		uint64_t word;
		memcpy(&word, bytes, 8);
		word = le64toh(word);
		v[3] ^= word;
		sip_round(v), sip_round(v);
		v[0] ^= word;
	}
	uint64_t last = (uint64_t)length << 56;
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)bytes[i] << (8 * i);
	v[3] ^= last;
	sip_round(v), sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
	struct map *m = mem_alloc(sizeof *m);
	must(getrandom(m->key, sizeof m->key, 0) == (ssize_t)sizeof m->key);
	m->capacity = 16;
	m->slots = mem_alloc(m->capacity * sizeof *m->slots);
	return m;
}

struct map *map_new_of_views(void)
{
	struct map *m = map_new();
	m->of_views = true;
	return m;
}

static void free_key(const struct map *m, struct slot *slot)
{
	if (!m->of_views)
		free((char *)slot->key);
}

void map_free(struct map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->capacity; i++)
		free_key(m, &m->slots[i]);
	free(m->slots);
	free(m);
}

size_t map_count(const struct map *m)
{
	return m->live;
}

static uint32_t hash_of(const struct map *m, struct str key)
{
	return (uint32_t)hash_sip(m->key, key.data, key.length);
}

static struct slot *find(const struct map *m, struct str key)
{
	uint32_t hash = hash_of(m, key);
	for (size_t i = hash & (m->capacity - 1);; i = (i + 1) & (m->capacity - 1)) {
		struct slot *slot = &m->slots[i];
		if (slot->key && slot->hash == hash && str_equal(str_from(slot->key, slot->key_length), key))
			return slot;
		if (!slot->key && slot->value != GRAVE)
			return NULL;
	}
}

static struct slot *find_free(struct map *m, uint32_t hash)
{
	size_t i = hash & (m->capacity - 1);
	while (m->slots[i].key)
		i = (i + 1) & (m->capacity - 1);
	return &m->slots[i];
}

static void grow(struct map *m)
{
	struct slot *old = m->slots;
	size_t old_capacity = m->capacity;
	while (m->live * 2 >= m->capacity)
		m->capacity *= 2;
	m->slots = mem_alloc(m->capacity * sizeof *m->slots);
	m->used = m->live;
	for (size_t i = 0; i < old_capacity; i++)
		if (old[i].key)
			*find_free(m, old[i].hash) = old[i];
	free(old);
}

void *map_get(const struct map *m, struct str key)
{
	struct slot *slot = find(m, key);
	return slot ? slot->value : NULL;
}

void *map_set(struct map *m, struct str key, void *value)
{
	must(value != NULL && key.length <= UINT32_MAX && (key.data || !m->of_views));
	struct slot *slot = find(m, key);
	if (slot) {
		void *before = slot->value;
		slot->value = value;
		if (m->of_views)
			slot->key = key.data;
		return before;
	}
	if ((m->used + 1) * 4 > m->capacity * 3)
		grow(m);
	uint32_t hash = hash_of(m, key);
	slot = find_free(m, hash);
	m->used += slot->value != GRAVE;
	m->live++;
	*slot = (struct slot){ hash, (uint32_t)key.length, m->of_views ? key.data : str_copy(key), value };
	return NULL;
}

void *map_remove(struct map *m, struct str key)
{
	struct slot *slot = find(m, key);
	if (!slot)
		return NULL;
	void *before = slot->value;
	free_key(m, slot);
	*slot = (struct slot){ .value = GRAVE };
	m->live--;
	return before;
}

bool map_next(const struct map *m, size_t *position, struct str *key, void **value)
{
	for (; *position < m->capacity; ++*position) {
		struct slot *slot = &m->slots[*position];
		if (!slot->key)
			continue;
		if (key)
			*key = str_from(slot->key, slot->key_length);
		*value = slot->value;
		++*position;
		return true;
	}
	return false;
}

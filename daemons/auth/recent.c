#include "recent.h"

#include "check.h"
#include "hash.h"
#include "mem.h"

#include <stdlib.h>

struct recent {
	size_t max;
	struct map *entries;
	struct recent_entry *oldest, *newest;
};

struct recent *recent_new(size_t max)
{
	struct recent *r = mem_alloc(sizeof *r);
	must(max > 0);
	r->max = max;
	r->entries = map_new();
	return r;
}

static struct str key_of(const struct recent_key *key)
{
	return str_from((const char *)key->bytes, sizeof key->bytes);
}

static void unlink_entry(struct recent *r, struct recent_entry *e)
{
	*(e->older ? &e->older->newer : &r->oldest) = e->newer;
	*(e->newer ? &e->newer->older : &r->newest) = e->older;
}

static void link_as_newest(struct recent *r, struct recent_entry *e)
{
	e->newer = NULL;
	e->older = r->newest;
	*(r->newest ? &r->newest->newer : &r->oldest) = e;
	r->newest = e;
}

static void drop(struct recent *r, struct recent_entry *e)
{
	unlink_entry(r, e);
	map_remove(r->entries, key_of(&e->key));
	free(e);
}

void recent_free(struct recent *r)
{
	if (!r)
		return;
	recent_forget_all(r);
	map_free(r->entries);
	free(r);
}

struct recent_entry *recent_find(struct recent *r, const struct recent_key *key, int64_t now_ms)
{
	struct recent_entry *e = map_get(r->entries, key_of(key));
	if (e && e->until_ms <= now_ms) {
		drop(r, e);
		return NULL;
	}
	return e;
}

struct recent_entry *recent_put(struct recent *r, const struct recent_key *key, int64_t now_ms, int64_t until_ms)
{
	struct recent_entry *e = recent_find(r, key, now_ms);
	if (e)
		unlink_entry(r, e);
	else {
		while (r->oldest && (map_count(r->entries) >= r->max || r->oldest->until_ms <= now_ms))
			drop(r, r->oldest);
		e = mem_alloc(sizeof *e);
		e->key = *key;
		map_set(r->entries, key_of(key), e);
	}
	e->put_ms = now_ms;
	e->until_ms = until_ms;
	link_as_newest(r, e);
	return e;
}

void recent_forget(struct recent *r, const struct recent_key *key)
{
	struct recent_entry *e = map_get(r->entries, key_of(key));
	if (e)
		drop(r, e);
}

void recent_forget_account(struct recent *r, uint64_t account)
{
	struct recent_entry *older;
	for (struct recent_entry *e = r->newest; e; e = older) {
		older = e->older;
		if (e->account == account)
			drop(r, e);
	}
}

void recent_forget_all(struct recent *r)
{
	while (r->oldest)
		drop(r, r->oldest);
}

struct recent_entry *recent_next(struct recent *r, struct recent_entry *entry)
{
	return entry ? entry->older : r->newest;
}

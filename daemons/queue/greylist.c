#include "greylist.h"

#include "clock.h"
#include "mem.h"
#include "queue.h"
#include "state.h"

#include <stdlib.h>
#include <xxhash.h>

enum { RETRY_SECONDS = 86400, RENEW_SECONDS = 3600, TEXT_MAX = 2 * LIMIT_ADDRESS_MAX + 100, DROPPED_AT_ONCE = 2 };

/* Of these each has one lifetime, so the first to come is the first to go. */
enum stage { WAITS, PASSED, NETWORK, STAGE_COUNT };

static const char *const kinds[STAGE_COUNT] = { "greylist-first", "greylist-passed", "greylist-network" };

struct entry {
	struct entry *previous, *next;
	enum stage stage;
	XXH128_canonical_t key;
	int64_t since;    /* wall clock, seconds: first attempt, or last renewal */
	uint64_t senders; /* of NETWORK: that passed */
};

struct greylist {
	struct map *entries; /* stage and key → entry */
	size_t count;
	struct entry *oldest[STAGE_COUNT], *newest[STAGE_COUNT];
};

/* ---- entries ---- */

/* The key of the map: a stage, and what it is about. */
struct spot {
	char octets[1 + sizeof(XXH128_canonical_t)];
};

static struct spot spot_of(enum stage stage, const XXH128_canonical_t *key)
{
	struct spot spot = { .octets = { (char)stage } };
	memcpy(spot.octets + 1, key, sizeof *key);
	return spot;
}

static struct entry *find(const struct greylist *g, enum stage stage, const XXH128_canonical_t *key)
{
	struct spot spot = spot_of(stage, key);
	return map_get(g->entries, str_from(spot.octets, sizeof spot.octets));
}

static void unchain(struct greylist *g, struct entry *e)
{
	*(e->previous ? &e->previous->next : &g->oldest[e->stage]) = e->next;
	*(e->next ? &e->next->previous : &g->newest[e->stage]) = e->previous;
}

static void chain(struct greylist *g, struct entry *e)
{
	e->next = NULL;
	e->previous = g->newest[e->stage];
	*(e->previous ? &e->previous->next : &g->oldest[e->stage]) = e;
	g->newest[e->stage] = e;
}

static void forget(struct queue *q, struct entry *e)
{
	struct greylist *g = q->greylist;
	struct spot spot = spot_of(e->stage, &e->key);
	state_remove(q, kinds[e->stage], str_from((const char *)&e->key, sizeof e->key));
	map_remove(g->entries, str_from(spot.octets, sizeof spot.octets));
	unchain(g, e);
	g->count--;
	free(e);
}

static int64_t lifetime(const struct queue *q, enum stage stage)
{
	return stage == WAITS ? RETRY_SECONDS : (int64_t)q->daemon.config.greylist_days * 86400;
}

static bool has_expired(const struct queue *q, const struct entry *e, int64_t now)
{
	return e->since + lifetime(q, e->stage) < now;
}

/* A little at each turn; and one more where there is no room. */
static void drop_old(struct queue *q, int64_t now)
{
	struct greylist *g = q->greylist;
	for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
		for (unsigned i = 0; i < DROPPED_AT_ONCE && g->oldest[stage] && has_expired(q, g->oldest[stage], now); i++)
			forget(q, g->oldest[stage]);
	for (enum stage stage = 0; stage < STAGE_COUNT && g->count >= LIMIT_GREYLIST_MAX; stage++)
		if (g->oldest[stage])
			forget(q, g->oldest[stage]);
}

static struct entry *add(struct greylist *g, enum stage stage, const XXH128_canonical_t *key, int64_t since)
{
	struct spot spot = spot_of(stage, key);
	struct entry *e = mem_alloc(sizeof *e);
	e->stage = stage;
	e->key = *key;
	e->since = since;
	map_set(g->entries, str_from(spot.octets, sizeof spot.octets), e);
	chain(g, e);
	g->count++;
	return e;
}

/* ---- what is written down: since and senders, little-endian ---- */

struct written {
	int64_t since;
	uint64_t senders;
};

static void write_down(struct queue *q, const struct entry *e)
{
	const struct written written = { e->since, e->senders };
	state_put(q, kinds[e->stage], str_from((const char *)&e->key, sizeof e->key),
	          str_from((const char *)&written, sizeof written), e->since + lifetime(q, e->stage));
}

struct loading {
	struct queue *queue;
	enum stage stage;
};

static void take(void *owner, struct str key, struct str value, int64_t expires)
{
	const struct loading *loading = owner;
	struct greylist *g = loading->queue->greylist;
	XXH128_canonical_t place;
	struct written written;
	(void)expires;
	if (key.length != sizeof place || value.length != sizeof written || g->count >= LIMIT_GREYLIST_MAX)
		return;
	memcpy(&place, key.data, sizeof place);
	memcpy(&written, value.data, sizeof written);
	add(g, loading->stage, &place, written.since)->senders = written.senders;
}

void greylist_init(struct queue *q)
{
	q->greylist = mem_alloc(sizeof *q->greylist);
	q->greylist->entries = map_new();
	for (enum stage stage = 0; stage < STAGE_COUNT; stage++)
		state_load(q, kinds[stage], take, &(struct loading){ q, stage });
}

/* ---- keys ---- */

static void add_lower(struct buf *out, struct str text, bool digits_count)
{
	bool in_number = false;
	for (size_t i = 0; i < text.length; i++) {
		bool is_digit = char_is_digit(text.data[i]) && !digits_count;
		if (!is_digit)
			buf_add_char(out, char_lower(text.data[i]));
		else if (!in_number)
			buf_add_char(out, '#');
		in_number = is_digit;
	}
	buf_add_char(out, '\0');
}

/* 192.0.2, 2001:db8:0:1 */
static void add_network(struct buf *out, struct str peer)
{
	struct endpoint address;
	if (!endpoint_parse_ip(peer, 0, &address, NULL))
		buf_add_str(out, peer);
	else if (address.any.sa_family == AF_INET)
		buf_append(out, &address.v4.sin_addr, 3);
	else
		buf_append(out, &address.v6.sin6_addr, 8);
}

static XXH128_canonical_t key_of(const struct buf *text)
{
	XXH128_canonical_t key;
	XXH128_canonicalFromHash(&key, XXH3_128bits(text->data, text->length));
	return key;
}

/* ---- the decision ---- */

static void renew(struct queue *q, struct entry *e, int64_t now)
{
	if (now - e->since < RENEW_SECONDS)
		return;
	e->since = now;
	unchain(q->greylist, e);
	chain(q->greylist, e);
	write_down(q, e);
}

static bool is_trusted(struct queue *q, const XXH128_canonical_t *network, int64_t now)
{
	struct entry *e = find(q->greylist, NETWORK, network);
	uint64_t wanted = q->daemon.config.greylist_trust_after;
	if (!wanted || !e || e->senders < wanted || has_expired(q, e, now))
		return false;
	renew(q, e, now);
	return true;
}

static void count_sender(struct queue *q, const XXH128_canonical_t *network, int64_t now)
{
	struct entry *e = find(q->greylist, NETWORK, network);
	if (!e)
		e = add(q->greylist, NETWORK, network, now);
	e->senders++;
	write_down(q, e);
}

static bool tries_again(struct queue *q, const XXH128_canonical_t *key, const XXH128_canonical_t *network, int64_t now)
{
	struct entry *e = find(q->greylist, WAITS, key);
	if (e && has_expired(q, e, now)) {
		forget(q, e);
		e = NULL;
	}
	if (!e) {
		write_down(q, add(q->greylist, WAITS, key, now));
		return false;
	}
	if (now - e->since < (int64_t)q->daemon.config.greylist_seconds)
		return false;
	forget(q, e);
	write_down(q, add(q->greylist, PASSED, key, now));
	count_sender(q, network, now);
	return true;
}

bool greylist_lets_pass(struct queue *q, struct str peer, struct str sender, struct str recipient)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(TEXT_MAX);
	int64_t now = clock_wall_seconds();
	drop_old(q, now);
	add_network(&text, peer);
	XXH128_canonical_t network = key_of(&text);
	if (is_trusted(q, &network, now))
		return true;
	size_t at = str_find_last_char(sender, '@');
	buf_add_char(&text, '\0');
	add_lower(&text, str_first(sender, at), false);
	add_lower(&text, str_from_index(sender, at), true);
	add_lower(&text, recipient, true);
	XXH128_canonical_t key = key_of(&text);
	struct entry *passed = find(q->greylist, PASSED, &key);
	if (passed && !has_expired(q, passed, now)) {
		renew(q, passed, now);
		return true;
	}
	if (passed)
		forget(q, passed);
	return tries_again(q, &key, &network, now);
}

#include "forward.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "queue.h"
#include "srs.h"
#include "state.h"

#include <stdlib.h>

enum { KEY_DAYS = 30, DAY_SECONDS = 86400 };

struct dated_key {
	int64_t day; /* when it was made */
	struct srs_key key;
};

struct forward {
	struct dated_key dated[SRS_KEYS_MAX]; /* newest first */
	struct srs_keys keys;                 /* the same, as srs.h wants them */
};

static int64_t today(void)
{
	return clock_wall_seconds() / DAY_SECONDS;
}

/* The oldest one makes room. */
static void add_key(struct forward *f, const struct dated_key *fresh)
{
	size_t at = 0;
	while (at < f->keys.count && f->dated[at].day > fresh->day)
		at++;
	if (at == SRS_KEYS_MAX)
		return;
	if (f->keys.count < SRS_KEYS_MAX)
		f->keys.count++;
	memmove(&f->dated[at + 1], &f->dated[at], (f->keys.count - 1 - at) * sizeof f->dated[0]);
	f->dated[at] = *fresh;
	for (size_t i = 0; i < f->keys.count; i++)
		f->keys.items[i] = f->dated[i].key;
}

/* It is its own name: a key of a backup may be as old as one that was made since. */
static void take(void *owner, struct str key, struct str value, int64_t expires)
{
	struct dated_key dated;
	(void)value;
	(void)expires;
	if (key.length != sizeof dated)
		return;
	memcpy(&dated, key.data, sizeof dated);
	add_key(owner, &dated);
}

/* As long as it signs, and as its last address lives. */
static int64_t last_day(const struct dated_key *key)
{
	return key->day + KEY_DAYS + SRS_DAYS + 2;
}

static void keep_key(struct queue *q, const struct dated_key *key)
{
	add_key(q->forward, key);
	state_put(q, "srs", MAP_KEY(*key), STR(""), (last_day(key) + 1) * DAY_SECONDS);
}

static void make_key(struct queue *q)
{
	const struct dated_key fresh = { today(), { { ipc_number_make(), ipc_number_make() } } };
	keep_key(q, &fresh);
	log_event(LOG_INFO, 0, "srs-key-made", LOG_NUMBER("keys", q->forward->keys.count));
}

void forward_init(struct queue *q)
{
	q->forward = mem_alloc(sizeof *q->forward);
	state_load(q, "srs", take, q->forward);
	forward_tick(q);
}

void forward_tick(struct queue *q)
{
	const struct forward *f = q->forward;
	if (q->daemon.config.srs && (f->keys.count == 0 || today() >= f->dated[0].day + KEY_DAYS))
		make_key(q);
}

void forward_save(const struct queue *q, struct buf *out)
{
	buf_append(out, q->forward->dated, q->forward->keys.count * sizeof q->forward->dated[0]);
}

static bool has_key(const struct forward *f, const struct dated_key *key)
{
	for (size_t i = 0; i < f->keys.count; i++)
		if (memcmp(&f->dated[i], key, sizeof *key) == 0)
			return true;
	return false;
}

void forward_restore(struct queue *q, struct str saved)
{
	struct dated_key key;
	for (; saved.length >= sizeof key; saved = str_from_index(saved, sizeof key)) {
		memcpy(&key, saved.data, sizeof key);
		if (key.day >= 0 && key.day <= today() && last_day(&key) >= today() && !has_key(q->forward, &key))
			keep_key(q, &key);
	}
}

struct str forward_sender(struct queue *q, struct arena *arena, struct str reverse_path, struct str domain)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 1);
	if (domain.length == 0 || reverse_path.length == 0 || !q->daemon.config.srs ||
	    !srs_forward(&out, &q->forward->keys, today(), reverse_path, domain))
		return reverse_path;
	return arena_copy(arena, buf_str(&out));
}

bool forward_return_path(struct queue *q, struct arena *arena, struct str address, struct str *original)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 1);
	struct str local = str_first(address, str_find_last_char(address, '@'));
	if (srs_reverse(&out, &q->forward->keys, today(), local) != SRS_GOOD)
		return false;
	*original = arena_copy(arena, buf_str(&out));
	return true;
}

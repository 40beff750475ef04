#include "sts.h"

#include "clock.h"
#include "hash.h"
#include "mem.h"
#include "queue.h"
#include "state.h"

#include <stdlib.h>

/* As relay remembers them: all together fit behind a channel whose reader is busy. */
enum { POLICIES_MAX = 5000, POLICY_OCTETS_MAX = 8192, ID_OCTETS_MAX = 64 };

struct sts_policy {
	char *domain, *id, *text;
	int64_t fetched, expires;
};

struct sts_policies {
	struct map *by_domain;
};

static void policy_free(struct sts_policy *p)
{
	free(p->domain);
	free(p->id);
	free(p->text);
	free(p);
}

static void forget(struct queue *q, struct sts_policy *p)
{
	map_remove(q->sts->by_domain, str_of(p->domain));
	policy_free(p);
}

static void forget_expired(struct queue *q)
{
	size_t position = 0;
	struct str key;
	void *value;
	int64_t now = clock_wall_seconds();
	while (map_next(q->sts->by_domain, &position, &key, &value)) {
		struct sts_policy *p = value;
		if (p->expires <= now)
			forget(q, p);
	}
}

/* False when there is no room for one more. */
static bool put(struct queue *q, struct str domain, struct str id, struct str text, int64_t fetched, int64_t expires)
{
	struct sts_policy *old = map_get(q->sts->by_domain, domain);
	if (old)
		forget(q, old);
	if (map_count(q->sts->by_domain) >= POLICIES_MAX)
		forget_expired(q);
	if (map_count(q->sts->by_domain) >= POLICIES_MAX)
		return false;
	struct sts_policy *p = mem_alloc(sizeof *p);
	*p = (struct sts_policy){ str_copy(domain), str_copy(id), str_copy(text), fetched, expires };
	map_set(q->sts->by_domain, str_of(p->domain), p);
	return true;
}

/* The value is the time of fetching, the id, a NUL, and the policy. */
static void load(void *owner, struct str key, struct str value, int64_t expires)
{
	struct queue *q = owner;
	int64_t fetched;
	if (value.length < sizeof fetched)
		return;
	memcpy(&fetched, value.data, sizeof fetched);
	value = str_from_index(value, sizeof fetched);
	size_t end = str_find_char(value, '\0');
	if (end < value.length)
		put(q, key, str_first(value, end), str_from_index(value, end + 1), fetched, expires);
}

void sts_init(struct queue *q)
{
	q->sts = mem_alloc(sizeof *q->sts);
	q->sts->by_domain = map_new();
	state_load(q, "mta-sts", load, q);
}

bool sts_take(struct queue *q, const struct msg_sts_policy *message)
{
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(sizeof message->fetched + ID_OCTETS_MAX + 1 + POLICY_OCTETS_MAX);
	struct str id = message->id, domain = message->domain;
	buf_append(&value, &message->fetched, sizeof message->fetched);
	buf_add_str(&value, id);
	buf_add_char(&value, '\0');
	buf_add_str(&value, message->policy);
	if (domain.length == 0 || value.overflowed || memchr(message->policy.data, '\0', message->policy.length))
		return false;
	if (put(q, domain, id, message->policy, message->fetched, message->expires))
		state_put(q, "mta-sts", domain, buf_str(&value), message->expires);
	return true;
}

void sts_tell(struct queue *q, struct ipc_channel *relay)
{
	size_t position = 0;
	struct str key;
	void *value;
	int64_t now = clock_wall_seconds();
	while (map_next(q->sts->by_domain, &position, &key, &value)) {
		const struct sts_policy *p = value;
		if (p->expires > now)
			msg_sts_policy_send(relay, 0, &(struct msg_sts_policy){ .domain = key, .id = str_of(p->id),
			                                                        .fetched = p->fetched,
			                    .expires = p->expires, .policy = str_of(p->text) }, -1);
	}
}

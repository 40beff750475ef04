#include "sending.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "queue.h"
#include "state.h"

#include <stdlib.h>

enum { HOURS = 24, HOUR_SECONDS = 3600, SENDERS_MAX = 200000 };

struct amount {
	uint32_t messages, recipients;
};

/* As it lies in state.db too. */
struct counts {
	int64_t hour;                /* since 1970: of the newest */
	struct amount hours[HOURS];  /* at hour % HOURS */
};

struct sender {
	struct counts counts;
	int64_t alarmed;             /* hour of the last alarm */
};

struct limits {
	uint64_t messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day;
};

static struct limits limits_of(const struct queue *q, bool is_account)
{
	const struct config *c = &q->daemon.config;
	if (is_account)
		return (struct limits){ c->account_messages_per_hour, c->account_messages_per_day,
			c->account_recipients_per_hour,
			                    c->account_recipients_per_day };
	return (struct limits){ c->sender_messages_per_hour, c->sender_messages_per_day, c->sender_recipients_per_hour,
		                    c->sender_recipients_per_day };
}

static bool are_none(const struct limits *l)
{
	return !l->messages_per_hour && !l->messages_per_day && !l->recipients_per_hour && !l->recipients_per_day;
}

/* ---- counting ---- */

static void advance(struct counts *c, int64_t hour)
{
	if (hour - c->hour >= HOURS || hour < c->hour)
		*c = (struct counts){};
	else
		while (c->hour < hour)
			c->hours[++c->hour % HOURS] = (struct amount){};
	c->hour = hour;
}

static bool exceeds(uint64_t limit, double so_far, double more)
{
	return limit && so_far + more > (double)limit;
}

static bool is_too_much(const struct limits *l, const struct counts *c, int64_t now, size_t recipients)
{
	const struct amount *this_hour = &c->hours[c->hour % HOURS], *last_hour = &c->hours[(c->hour + HOURS - 1) % HOURS];
	double part = 1.0 - (double)(now % HOUR_SECONDS) / HOUR_SECONDS, messages = 0, all = 0;
	for (size_t i = 0; i < HOURS; i++) {
		messages += c->hours[i].messages;
		all += c->hours[i].recipients;
	}
	return exceeds(l->messages_per_hour, this_hour->messages + part * last_hour->messages, 1) ||
	       exceeds(l->recipients_per_hour, this_hour->recipients + part * last_hour->recipients, (double)recipients) ||
	       exceeds(l->messages_per_day, messages, 1) || exceeds(l->recipients_per_day, all, (double)recipients);
}

/* ---- who ---- */

/* "a" and the number, or "s" and the address in lower case. */
static void write_key(struct buf *key, uint64_t account, struct str sender)
{
	buf_add_char(key, account ? 'a' : 's');
	if (account)
		buf_append(key, &account, sizeof account);
	for (size_t i = 0; !account && i < sender.length; i++)
		buf_add_char(key, char_lower(sender.data[i]));
}

/* NULL when there are too many. */
static struct sender *find(struct queue *q, struct str key)
{
	struct sender *s = map_get(q->senders, key);
	if (s || map_count(q->senders) >= SENDERS_MAX)
		return s;
	s = mem_alloc(sizeof *s);
	map_set(q->senders, key, s);
	return s;
}

static void alarm_once(struct sender *s, uint64_t account, struct str sender)
{
	if (s->alarmed == s->counts.hour)
		return;
	s->alarmed = s->counts.hour;
	log_event(LOG_ERROR, 0, "sends-too-much", LOG_NUMBER("account", account), LOG_TEXT("from", sender));
}

static bool one_is_good(struct queue *q, uint64_t account, struct str sender, size_t recipients)
{
	CLEANUP(buf_release) struct buf key = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 16);
	struct limits limits = limits_of(q, account != 0);
	int64_t now = clock_wall_seconds();
	if (are_none(&limits))
		return true;
	write_key(&key, account, sender);
	struct sender *s = find(q, buf_str(&key));
	if (!s)
		return true;
	advance(&s->counts, now / HOUR_SECONDS);
	if (!is_too_much(&limits, &s->counts, now, recipients))
		return true;
	alarm_once(s, account, sender);
	return false;
}

enum verdict_kind sending_check(struct queue *q, uint64_t account, struct str sender, size_t recipients)
{
	if (account && !one_is_good(q, account, sender, recipients))
		return VERDICT_LIMIT;
	return sender.length == 0 || one_is_good(q, 0, sender, recipients) ? VERDICT_OK : VERDICT_LIMIT;
}

static void count_one(struct queue *q, uint64_t account, struct str sender, size_t recipients)
{
	CLEANUP(buf_release) struct buf key = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 16);
	struct limits limits = limits_of(q, account != 0);
	int64_t now = clock_wall_seconds();
	if (are_none(&limits))
		return;
	write_key(&key, account, sender);
	struct sender *s = find(q, buf_str(&key));
	if (!s)
		return;
	advance(&s->counts, now / HOUR_SECONDS);
	struct amount *amount = &s->counts.hours[s->counts.hour % HOURS];
	amount->messages++;
	amount->recipients += (uint32_t)recipients;
	state_put(q, "sent", buf_str(&key), MAP_KEY(s->counts), now + HOURS * HOUR_SECONDS);
}

void sending_count(struct queue *q, uint64_t account, struct str sender, size_t recipients)
{
	if (account)
		count_one(q, account, sender, recipients);
	if (sender.length)
		count_one(q, 0, sender, recipients);
}

/* ---- keeping ---- */

static void take(void *owner, struct str key, struct str value, int64_t expires)
{
	struct queue *q = owner;
	struct sender *s = key.length > 1 && value.length == sizeof s->counts ? find(q, key) : NULL;
	(void)expires;
	if (s)
		memcpy(&s->counts, value.data, sizeof s->counts);
}

void sending_init(struct queue *q)
{
	q->senders = map_new();
	state_load(q, "sent", take, q);
}

void sending_tick(struct queue *q)
{
	int64_t hour = clock_wall_seconds() / HOUR_SECONDS;
	size_t position = 0;
	struct str key;
	void *value;
	if (q->senders_hour == hour)
		return;
	q->senders_hour = hour;
	while (map_next(q->senders, &position, &key, &value)) {
		struct sender *s = value;
		if (hour - s->counts.hour < HOURS)
			continue;
		map_remove(q->senders, key);
		free(s);
	}
}

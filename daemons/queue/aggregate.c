#include "aggregate.h"

#include "clock.h"
#include "dmarc_report.h"
#include "dns_link.h"
#include "mem.h"
#include "state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { DOMAINS_MAX = 10000, ROWS_MAX = 200000, ROWS_PER_DOMAIN_MAX = 10000 };
enum { KEEP_DAYS = 8, LOOK_SECONDS = 60, FIRST_MINUTE = 600, SPREAD = 7200,
	VALUE_MAX = sizeof(uint64_t) + DMARC_ROW_MAX };

static const char kind[] = "dmarc";

/* ---- counting ---- */

static void add_name(struct buf *name, struct str domain, int64_t day)
{
	buf_append(name, &day, sizeof day);
	buf_add_str(name, domain);
}

static void enter(struct queue *q, struct aggregate *a)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + sizeof a->day);
	add_name(&name, a->domain, a->day);
	map_set(q->aggregates->by_name, buf_str(&name), a);
}

static void leave(struct queue *q, const struct aggregate *a)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + sizeof a->day);
	add_name(&name, a->domain, a->day);
	if (map_get(q->aggregates->by_name, buf_str(&name)) == a)
		map_remove(q->aggregates->by_name, buf_str(&name));
}

/* While the report of one is being made, mail is counted in another one. */
static struct aggregate *find(struct queue *q, struct str domain, int64_t day)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + sizeof day);
	add_name(&name, domain, day);
	struct aggregate *a = map_get(q->aggregates->by_name, buf_str(&name));
	return a && !a->busy ? a : NULL;
}

static struct aggregate *find_or_add(struct queue *q, struct str domain, int64_t day)
{
	struct aggregate *a = find(q, domain, day);
	if (a || q->aggregates->count >= DOMAINS_MAX)
		return a;
	a = mem_alloc(sizeof *a);
	a->domain = str_from(str_copy(domain), domain.length);
	a->day = day;
	a->begin = q->aggregates->sent > day * AGGREGATE_DAY ? q->aggregates->sent : day * AGGREGATE_DAY;
	a->rows = map_new();
	a->next = q->aggregates->first;
	q->aggregates->first = a;
	q->aggregates->count++;
	enter(q, a);
	return a;
}

static void keep_policy(struct aggregate *a, struct str policy)
{
	if (str_equal(a->policy, policy))
		return;
	free((char *)(uintptr_t)a->policy.data);
	a->policy = str_from(mem_copy_text(policy.data, policy.length), policy.length);
}

/* NULL: there are too many. */
static uint64_t *find_row(struct queue *q, struct aggregate *a, struct str row)
{
	uint64_t *count = map_get(a->rows, row);
	if (count || map_count(a->rows) >= ROWS_PER_DOMAIN_MAX || q->aggregates->row_count >= ROWS_MAX)
		return count;
	count = mem_alloc(sizeof *count);
	map_set(a->rows, row, count);
	q->aggregates->row_count++;
	return count;
}

/* In state.db: the day, the domain's length and the domain, the row → count and policy. */
static void add_key(struct buf *key, const struct aggregate *a, struct str row)
{
	uint32_t length = (uint32_t)a->domain.length;
	buf_append(key, &a->day, sizeof a->day);
	buf_append(key, &length, sizeof length);
	buf_add_str(key, a->domain);
	buf_add_str(key, row);
}

static void remember(struct queue *q, const struct aggregate *a, struct str row, uint64_t count)
{
	CLEANUP(buf_release) struct buf key = BUF_WITH_LIMIT(STATE_KEY_MAX);
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(VALUE_MAX);
	add_key(&key, a, row);
	buf_append(&value, &count, sizeof count);
	buf_add_str(&value, a->policy);
	state_put(q, kind, buf_str(&key), buf_str(&value), (a->day + KEEP_DAYS) * AGGREGATE_DAY);
}

bool aggregate_count(struct queue *q, struct str packed)
{
	struct str policy, row;
	struct dmarc_row_policy published;
	struct dmarc_row found;
	if (packed.length == 0)
		return true;
	if (!dmarc_row_split(packed, &policy, &row) || !dmarc_row_policy_read(policy, &published) ||
	    !dmarc_row_read(row, &found))
		return false;
	if (!q->daemon.config.dmarc_reports)
		return true;
	struct aggregate *a = find_or_add(q, published.domain, clock_wall_seconds() / AGGREGATE_DAY);
	if (!a)
		return true;
	keep_policy(a, policy);
	uint64_t *count = row.length <= DMARC_ROW_PART_MAX ? find_row(q, a, row) : NULL;
	a->messages++;
	if (!count) {
		a->left_out++;
		return true;
	}
	++*count;
	remember(q, a, row, *count);
	return true;
}

/* ---- the start ---- */

static void load(void *owner, struct str key, struct str value, int64_t expires)
{
	struct queue *q = owner;
	int64_t day;
	uint32_t length;
	uint64_t number;
	struct dmarc_row found;
	struct dmarc_row_policy published;
	(void)expires;
	if (key.length < sizeof day + sizeof length || value.length < sizeof number)
		return;
	memcpy(&day, key.data, sizeof day);
	memcpy(&length, key.data + sizeof day, sizeof length);
	memcpy(&number, value.data, sizeof number);
	key = str_from_index(key, sizeof day + sizeof length);
	struct str row = str_from_index(key, length);
	struct str policy = str_from_index(value, sizeof number);
	if (length > key.length || !dmarc_row_read(row, &found) || !dmarc_row_policy_read(policy, &published))
		return;
	struct aggregate *a = find_or_add(q, str_first(key, length), day);
	uint64_t *count = a ? find_row(q, a, row) : NULL;
	if (!count)
		return;
	keep_policy(a, policy);
	*count += number;
	a->messages += number;
}

void aggregate_init(struct queue *q)
{
	q->aggregates = mem_alloc(sizeof *q->aggregates);
	q->aggregates->by_name = map_new();
	q->aggregates->dns = mem_alloc(sizeof *q->aggregates->dns);
	state_load(q, kind, load, q);
	worker_start(&q->aggregates->worker, q->loop);
}

/* ---- the end of a report ---- */

void aggregate_forget(struct queue *q, struct aggregate *a)
{
	struct aggregate **at = &q->aggregates->first;
	size_t position = 0;
	struct str row;
	void *count;
	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	leave(q, a);
	q->aggregates->count--;
	q->aggregates->row_count -= map_count(a->rows);
	while (map_next(a->rows, &position, &row, &count)) {
		CLEANUP(buf_release) struct buf key = BUF_WITH_LIMIT(STATE_KEY_MAX);
		add_key(&key, a, row);
		state_remove(q, kind, buf_str(&key));
		free(count);
	}
	map_free(a->rows);
	free((char *)(uintptr_t)a->policy.data);
	free((char *)(uintptr_t)a->domain.data);
	free(a);
}

/* ---- the resolver: the link is the thread's, and so is its change ---- */

struct wiring {
	struct job job;
	struct dns_link *link;
	int descriptor;
};

static void run_wiring(struct job *job)
{
	struct wiring *wiring = (struct wiring *)job;
	dns_link_wire(wiring->link, wiring->descriptor);
}

static void wired(struct job *job)
{
	free(job);
}

bool aggregate_wire(struct queue *q, int descriptor)
{
	struct wiring *wiring = mem_alloc(sizeof *wiring);
	*wiring = (struct wiring){ { .run = run_wiring, .done = wired }, q->aggregates->dns, descriptor };
	worker_give(&q->aggregates->worker, &wiring->job);
	return true;
}

/* ---- when ---- */

/* Not all hosts of the world at midnight. */
static int64_t spread(const struct queue *q)
{
	unsigned sum = 0;
	for (const char *at = q->daemon.config.hostname; *at; at++)
		sum = sum * 31 + (unsigned char)*at;
	return FIRST_MINUTE + sum % SPREAD;
}

static bool is_due(const struct queue *q, const struct aggregate *a, int64_t now)
{
	return !a->busy && a->not_before <= now && (a->forced || now >= (a->day + 1) * AGGREGATE_DAY + spread(q));
}

void aggregate_tick(struct queue *q)
{
	int64_t now = clock_wall_seconds();
	if (q->aggregates->report || now < q->aggregates->next_look)
		return;
	for (struct aggregate *a = q->aggregates->first, *next; a && !q->aggregates->report; a = next) {
		next = a->next;
		if (now > (a->day + KEEP_DAYS) * AGGREGATE_DAY && !a->busy)
			aggregate_forget(q, a);
		else if (is_due(q, a, now))
			aggregate_send(q, a);
	}
	q->aggregates->next_look = q->aggregates->report ? now : now + LOOK_SECONDS;
}

/* ---- posthornctl ---- */

static void add_field(struct buf *row, const char *name, struct str value)
{
	buf_append(row, name, strlen(name) + 1);
	buf_add_str(row, value);
	buf_add_char(row, '\0');
}

static void add_number(struct buf *row, const char *name, uint64_t number)
{
	CLEANUP(mem_free) char *text = mem_printf("%" PRIu64, number);
	add_field(row, name, str_of(text));
}

static void tell(struct control *c, const struct aggregate *a)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(8192);
	struct dmarc_row_policy policy;
	add_field(&row, "domain", a->domain);
	add_number(&row, "begin", (uint64_t)a->begin);
	add_number(&row, "messages", a->messages);
	add_number(&row, "rows", map_count(a->rows));
	add_field(&row, "reports-to", dmarc_row_policy_read(a->policy, &policy) ? policy.rua : (struct str){});
	control_row(c, buf_str(&row));
}

void aggregate_control(struct queue *q, struct control *c, struct str words)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct str verb, domain = {};
	str_take_until(&words, '\0', &verb);
	str_take_until(&words, '\0', &domain);
	bool is_send = str_equal(verb, STR("send"));
	size_t told = 0;
	if (!is_send && !str_equal(verb, STR("list")))
		fail_set(&fail, FAIL_INVALID, "dmarc list, send");
	for (struct aggregate *a = q->aggregates->first; a && !fail; a = a->next) {
		if (domain.length && !str_equal_nocase(a->domain, domain))
			continue;
		tell(c, a);
		told++;
		a->forced |= is_send;
		a->not_before = is_send ? 0 : a->not_before;
	}
	if (is_send) {
		q->aggregates->next_look = 0;
		q->aggregates->sent = domain.length ? q->aggregates->sent : clock_wall_seconds();
	}
	if (!fail && domain.length && !told)
		fail_set(&fail, FAIL_NOT_FOUND, "nothing was counted for %.*s", STR_ARG(domain));
	control_done(c, fail);
}

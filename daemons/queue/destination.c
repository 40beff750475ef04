#include "destination.h"
#include "queue.h"

#include "clock.h"
#include "dns.h"
#include "mem.h"
#include "text.h"

#include <stdlib.h>

enum { WINDOW_FIRST = 4, BACKS_OFF_PART = 4, IDLE_MS = 600000, EIGHTHS = 8 };

/* Of all jobs; what was tried and what fails counts as new, too. */
static const size_t eighths[STANDING_COUNT] = {
	[STANDING_LIVING] = 8, [STANDING_NEW] = 6, [STANDING_TRIED] = 1, [STANDING_FAILING] = 2,
};

void destination_init(struct queue *q)
{
	q->destinations.by_name = map_new_of_views();
	q->destinations.lanes = map_new_of_views();
}

/* ---- names ---- */

static void add_lower(struct buf *name, struct str text)
{
	for (size_t i = 0; i < text.length; i++)
		buf_add_char(name, char_lower(text.data[i]));
}

static struct str without_broken_end(struct str name)
{
	name = str_first(name, LIMIT_DOMAIN_MAX);
	while (!text_is_utf8(name))
		name.length--;
	return name;
}

/* A-labels in lower case; what is no domain name, as an address literal, as it is. */
static void add_name(struct buf *name, struct str address)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(65536);
	size_t at = str_find_last_char(address, '@');
	struct str domain = at < address.length ? str_from_index(address, at + 1) : address, normal;
	if (domain.length && domain.data[0] != '[' && dns_name_normalise(arena, domain, &normal))
		buf_add_str(name, normal);
	else
		add_lower(name, without_broken_end(domain));
}

static void destination_free(struct destination *destination)
{
	struct queue *q = destination->queue;
	map_remove(q->destinations.by_name, str_from(destination->name, destination->name_length));
	loop_stop_timer(q->loop, &destination->timer);
	attempt_unref(destination->last_failure);
	free(destination);
}

static void is_idle(void *owner)
{
	struct destination *destination = owner;
	if (destination->count == 0 && destination->jobs == 0)
		destination_free(destination);
}

/* What was learned of it is kept for a while. */
static void rest_if_idle(struct destination *destination)
{
	if (destination->count == 0 && destination->jobs == 0 && !destination->backs_off)
		loop_start_timer(destination->queue->loop, &destination->timer, IDLE_MS, is_idle, destination);
}

struct destination *destination_of(struct queue *q, struct str address)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + 1);
	add_name(&name, address);
	struct destination *destination = map_get(q->destinations.by_name, buf_str(&name));
	if (destination)
		return destination;
	destination = mem_alloc(sizeof *destination + name.length);
	destination->queue = q;
	destination->standing = STANDING_NEW;
	destination->window = WINDOW_FIRST;
	destination->name_length = (uint16_t)name.length;
	if (name.length)
		memcpy(destination->name, name.data, name.length);
	map_set(q->destinations.by_name, str_from(destination->name, name.length), destination);
	return destination;
}

/* ---- whose turn it is ---- */

static unsigned window_of(const struct destination *destination)
{
	unsigned most = destination->queue->daemon.config.destination_mails_max;
	return destination->window < most ? destination->window : most;
}

static void leave_ready(struct destination *destination)
{
	struct destinations *all = &destination->queue->destinations;
	if (!destination->ready)
		return;
	*(destination->previous ? &destination->previous->next : &all->ready[destination->standing].first) = destination->next;
	*(destination->next ? &destination->next->previous : &all->ready[destination->standing].last) = destination->previous;
	destination->previous = destination->next = NULL;
	destination->ready = false;
}

static void enter_ready(struct destination *destination)
{
	struct destinations *all = &destination->queue->destinations;
	bool may = destination->first && !destination->backs_off && destination->jobs < window_of(destination);
	if (destination->ready || !may)
		return;
	struct destination **last = &all->ready[destination->standing].last;
	destination->ready = true;
	destination->previous = *last;
	*(*last ? &(*last)->next : &all->ready[destination->standing].first) = destination;
	*last = destination;
	relay_dispatch_soon(destination->queue);
}

/* At the end of the list of that standing, if it is to be there at all. */
static void set_standing(struct destination *destination, enum standing standing)
{
	leave_ready(destination);
	destination->standing = standing;
	enter_ready(destination);
}

/* ---- lanes ---- */

static struct lane_key key_of(const struct delivery *d)
{
	return (struct lane_key){ d->destination, d->mail->submitter, d->mail->priority };
}

/* Behind all that are not of lower priority. */
static void link_lane(struct lane *lane)
{
	struct destination *destination = lane->key.destination;
	struct lane *before = destination->last;
	while (before && before->key.priority < lane->key.priority)
		before = before->previous;
	lane->previous = before;
	lane->next = before ? before->next : destination->first;
	*(before ? &before->next : &destination->first) = lane;
	*(lane->next ? &lane->next->previous : &destination->last) = lane;
}

static void unlink_lane(struct lane *lane)
{
	struct destination *destination = lane->key.destination;
	*(lane->previous ? &lane->previous->next : &destination->first) = lane->next;
	*(lane->next ? &lane->next->previous : &destination->last) = lane->previous;
}

static struct lane *lane_of(struct delivery *d)
{
	struct map *lanes = d->mail->queue->destinations.lanes;
	struct lane_key key = key_of(d);
	struct lane *lane = map_get(lanes, MAP_KEY(key));
	if (lane)
		return lane;
	lane = mem_alloc(sizeof *lane);
	lane->key = key;
	map_set(lanes, MAP_KEY(lane->key), lane);
	link_lane(lane);
	return lane;
}

static void leave_lane(struct delivery *d)
{
	struct lane *lane = d->lane;
	*(d->previous ? &d->previous->next : &lane->first) = d->next;
	*(d->next ? &d->next->previous : &lane->last) = d->previous;
	d->previous = d->next = NULL;
	d->lane = NULL;
	d->mail->pending--;
	if (lane->first)
		return;
	unlink_lane(lane);
	map_remove(d->mail->queue->destinations.lanes, MAP_KEY(lane->key));
	free(lane);
	if (!d->destination->first)
		leave_ready(d->destination);
}

/* ---- those that wait ---- */

static void set_place(struct destinations *all, size_t place, struct delivery *d)
{
	all->due.items[place - 1] = d;
	d->due_place = (uint32_t)place;
}

static void sift_up(struct destinations *all, struct delivery *d)
{
	size_t place = d->due_place;
	for (; place > 1 && all->due.items[place / 2 - 1]->due_ms > d->due_ms; place /= 2)
		set_place(all, place, all->due.items[place / 2 - 1]);
	set_place(all, place, d);
}

static void sift_down(struct destinations *all, struct delivery *d)
{
	size_t place = d->due_place;
	for (size_t child; (child = 2 * place) <= all->due.count; place = child) {
		if (child < all->due.count && all->due.items[child]->due_ms < all->due.items[child - 1]->due_ms)
			child++;
		if (all->due.items[child - 1]->due_ms >= d->due_ms)
			break;
		set_place(all, place, all->due.items[child - 1]);
	}
	set_place(all, place, d);
}

static void enter_due(struct delivery *d, int64_t due_ms)
{
	struct destinations *all = &d->mail->queue->destinations;
	d->due_ms = due_ms;
	*array_add(&all->due) = d;
	d->due_place = (uint32_t)all->due.count;
	sift_up(all, d);
}

static void leave_due(struct delivery *d)
{
	struct destinations *all = &d->mail->queue->destinations;
	size_t place = d->due_place;
	if (place == 0)
		return;
	struct delivery *last = all->due.items[--all->due.count];
	d->due_place = 0;
	if (last == d)
		return;
	set_place(all, place, last);
	sift_up(all, last);
	sift_down(all, last);
}

struct delivery *destination_due(struct queue *q)
{
	struct destinations *all = &q->destinations;
	struct delivery *first = all->due.count ? all->due.items[0] : NULL;
	if (!first || first->due_ms > clock_monotonic_ms())
		return NULL;
	leave_due(first);
	return first;
}

static void leave_waiting(struct delivery *d)
{
	*(d->previous ? &d->previous->next : &d->destination->first_waiting) = d->next;
	if (d->next)
		d->next->previous = d->previous;
	d->previous = d->next = NULL;
	d->waits = false;
}

/* ---- deliveries ---- */

/* Monotonic: when its time is over. */
static int64_t deadline_ms(const struct delivery *d)
{
	int64_t left = d->mail->deliver_by - clock_wall_seconds();
	return clock_monotonic_ms() + (left > 0 ? left * 1000 : 0);
}

void destination_enqueue(struct delivery *d)
{
	must(!d->lane && !d->waits && d->due_place == 0);
	struct lane *lane = d->lane = lane_of(d);
	d->previous = lane->last;
	*(lane->last ? &lane->last->next : &lane->first) = d;
	lane->last = d;
	d->mail->pending++;
	d->for_destination = false;
	if (d->mail->deliver_by && (d->mail->by_return || !d->warned))
		enter_due(d, deadline_ms(d));
	enter_ready(d->destination);
}

void destination_wait(struct delivery *d, int64_t delay_ms)
{
	struct destination *destination = d->destination;
	must(!d->lane && !d->waits && d->due_place == 0);
	d->waits = true;
	d->next = destination->first_waiting;
	if (d->next)
		d->next->previous = d;
	destination->first_waiting = d;
	int64_t due_ms = clock_monotonic_ms() + delay_ms;
	if (d->mail->deliver_by && (d->mail->by_return || !d->warned) && deadline_ms(d) < due_ms)
		due_ms = deadline_ms(d);
	enter_due(d, due_ms);
}

void destination_remind(struct delivery *d, int64_t delay_ms)
{
	leave_due(d);
	enter_due(d, clock_monotonic_ms() + delay_ms);
}

void destination_withdraw(struct delivery *d)
{
	leave_due(d);
	if (d->lane)
		leave_lane(d);
	if (d->waits)
		leave_waiting(d);
}

void destination_leave(struct delivery *d)
{
	struct destination *destination = d->destination;
	destination_withdraw(d);
	if (!destination)
		return;
	d->destination = NULL;
	destination->count--;
	rest_if_idle(destination);
}

/* ---- choosing ---- */

/* Those of the living and of the new hold all jobs of those that nothing good is known of as well. */
static size_t jobs_of(const struct destinations *all, enum standing standing)
{
	size_t jobs = all->jobs[standing];
	for (size_t i = standing + 1; i < STANDING_COUNT && standing <= STANDING_NEW; i++)
		jobs += all->jobs[i];
	return jobs;
}

static bool has_share(const struct destinations *all, enum standing standing, size_t jobs_max)
{
	size_t share = jobs_max * eighths[standing] / EIGHTHS;
	return jobs_of(all, standing) < (share ? share : 1);
}

/* The oldest; but when most of the share is taken by those that nothing is known of, every other time the newest: it
 * need not wait for a thousand dead ones that came before it. */
static struct destination *next_of(struct destinations *all, enum standing standing, size_t jobs_max)
{
	bool is_scarce = standing == STANDING_NEW && jobs_of(all, standing) >= jobs_max / 2;
	bool newest = is_scarce && all->newest_next;
	all->newest_next ^= is_scarce;
	return newest ? all->ready[standing].last : all->ready[standing].first;
}

/* The lane's next turn comes after those of its priority. */
static void turn_lane(struct lane *lane)
{
	if (!lane->next || lane->next->key.priority != lane->key.priority)
		return;
	unlink_lane(lane);
	link_lane(lane);
}

struct delivery *destination_next(struct queue *q, size_t jobs_max)
{
	struct destinations *all = &q->destinations;
	for (unsigned i = 0; i < STANDING_COUNT; i++) {
		enum standing standing = (enum standing)(all->turn++ % STANDING_COUNT);
		if (!all->ready[standing].first || !has_share(all, standing, jobs_max))
			continue;
		struct lane *lane = next_of(all, standing, jobs_max)->first;
		turn_lane(lane);
		return lane->first;
	}
	return NULL;
}

enum standing destination_job_began(struct destination *destination)
{
	enum standing standing = destination->standing;
	destination->jobs++;
	destination->queue->destinations.jobs[standing]++;
	set_standing(destination, standing == STANDING_NEW ? STANDING_TRIED : standing);
	return standing;
}

/* ---- what jobs tell ---- */

static void is_over(void *owner)
{
	struct destination *destination = owner;
	destination->backs_off = false;
	rest_if_idle(destination);
	enter_ready(destination);
}

/* Not as long as a mail waits: it is what all its mail waits for. */
static void back_off(struct destination *destination)
{
	const struct config *config = &destination->queue->daemon.config;
	int64_t delay = config->retry_first_seconds, most = config->retry_max_seconds / BACKS_OFF_PART;
	for (unsigned i = 1; i < destination->failures && delay < most; i++)
		delay *= 2;
	if (most >= config->retry_first_seconds && delay > most)
		delay = most;
	destination->backs_off = true;
	loop_start_timer(destination->queue->loop, &destination->timer, delay * 1000, is_over, destination);
}

/* What waited for it alone goes now. */
static void came_back(struct destination *destination)
{
	for (struct delivery *d = destination->first_waiting, *next; d; d = next) {
		next = d->next;
		if (!d->for_destination || d->state != DELIVERY_PENDING)
			continue;
		destination_withdraw(d);
		destination_enqueue(d);
	}
}

void destination_forgive(struct destination *destination)
{
	if (!destination->backs_off)
		return;
	destination->backs_off = false;
	loop_stop_timer(destination->queue->loop, &destination->timer);
	enter_ready(destination);
	rest_if_idle(destination);
}

static void was_reached(struct destination *destination)
{
	bool was_away = destination->failures > 0;
	destination->failures = 0;
	destination_forgive(destination);
	destination->reached++;
	/* beyond what was too many once it grows by one for as many as there are at a time */
	if (destination->window < destination->ceiling || destination->ceiling == 0 || destination->reached >= destination->window) {
		destination->reached = 0;
		if (destination->window < destination->queue->daemon.config.destination_mails_max)
			destination->window++;
	}
	if (destination->standing != STANDING_LIVING)
		set_standing(destination, STANDING_LIVING);
	if (was_away)
		came_back(destination);
}

static void failed(struct destination *destination)
{
	destination->window = 1;
	destination->reached = 0;
	if (destination->backs_off)
		return; /* one of those that began before */
	destination->failures++;
	set_standing(destination, STANDING_FAILING);
	back_off(destination);
	leave_ready(destination);
	schedule_look(destination);
}

static void was_refused(struct destination *destination)
{
	if (destination->window <= 1) {
		failed(destination);
		return;
	}
	destination->window /= 2;
	destination->ceiling = destination->window;
	destination->reached = 0;
}

void destination_job_ended(struct destination *destination, enum standing standing, bool lost, enum relay_reach reach)
{
	destination->jobs--;
	destination->queue->destinations.jobs[standing]--;
	if (!lost && reach == RELAY_REACHED)
		was_reached(destination);
	else if (!lost && reach == RELAY_REFUSED)
		was_refused(destination);
	else if (!lost)
		failed(destination);
	bool tells_nothing = destination->standing == STANDING_TRIED && destination->jobs == 0;
	set_standing(destination, tells_nothing ? STANDING_NEW : destination->standing);
	rest_if_idle(destination);
	relay_dispatch_soon(destination->queue);
}

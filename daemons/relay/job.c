/*
 * A job from its message to its results.
 *
 * A result goes to queue at the end of the loop's round, so that the last one can say that the job is done: mostly
 * the one message is all that there is to say.
 */
#include "relay.h"

#include "mem.h"
#include "text.h"

#include <stdlib.h>
#include <unistd.h>

enum { ARENA_MAX = 4 << 20, JOBS_SLACK = 4 };

static void link_job(struct job *job)
{
	struct relay *r = job->relay;
	job->next = r->jobs;
	if (r->jobs)
		r->jobs->previous = job;
	r->jobs = job;
	r->job_count++;
	map_set(r->by_number, MAP_KEY(job->number), job);
}

static void unlink_job(struct job *job)
{
	struct relay *r = job->relay;
	*(job->previous ? &job->previous->next : &r->jobs) = job->next;
	if (job->next)
		job->next->previous = job->previous;
	r->job_count--;
	map_remove(r->by_number, MAP_KEY(job->number));
}

struct job *job_find(struct relay *r, uint64_t number)
{
	return map_get(r->by_number, MAP_KEY(number));
}

void job_renumber(struct job *job, uint64_t number)
{
	map_remove(job->relay->by_number, MAP_KEY(job->number));
	job->number = number;
	map_set(job->relay->by_number, MAP_KEY(job->number), job);
}

static void close_content(struct job *job)
{
	if (job->content >= 0)
		close(job->content);
	job->content = -1;
	free(job->text);
	job->text = NULL;
}

void job_free(struct job *job)
{
	unlink_job(job);
	loop_stop_timer(job->relay->daemon.loop, &job->timer);
	close_content(job);
	for (size_t i = 0; i < job->results.count; i++)
		buf_release(&job->results.items[i].places);
	array_release(&job->results);
	arena_free(job->arena);
	free(job);
}

static bool read_recipients(struct job *job)
{
	struct str rest = job->ask.recipients;
	struct relay_recipient recipient;
	job->recipients = arena_alloc_array(job->arena, LIMIT_RELAY_RECIPIENTS_MAX, sizeof *job->recipients);
	while (job->count < LIMIT_RELAY_RECIPIENTS_MAX && relay_recipient_next(&rest, &recipient))
		job->recipients[job->count++].as_given = recipient;
	job->open = job->count;
	return rest.length == 0 && job->count > 0;
}

static void copy_ask(struct job *job, const struct msg_relay_job *ask)
{
	struct arena *a = job->arena;
	job->ask = *ask;
	job->ask.destination = arena_copy(a, ask->destination);
	job->ask.sender = arena_copy(a, ask->sender);
	job->ask.envelope_id = arena_copy(a, ask->envelope_id);
	job->ask.recipients = arena_copy(a, ask->recipients);
	job->ask.content = STR("");
	if (job->content < 0)
		job->text = str_copy(ask->content);
}

bool job_begin(struct relay *r, uint64_t number, const struct msg_relay_job *ask, int content)
{
	struct job *job = mem_alloc(sizeof *job);
	*job = (struct job){ .relay = r, .number = number, .content = content, .arena = arena_new(ARENA_MAX) };
	copy_ask(job, ask);
	bool twice = job_find(r, number) != NULL;
	if (twice || !read_recipients(job) || r->job_count >= JOBS_SLACK * relay_jobs_max(r)) {
		close_content(job);
		arena_free(job->arena);
		free(job);
		return false;
	}
	link_job(job);
	attempt_begin(job);
	return true;
}

/* What a server said may hold any octets; in a message to queue it is UTF-8 without control characters. */
static struct str as_text(struct arena *a, struct str text, size_t max)
{
	struct str copy = arena_copy(a, str_first(text, max));
	while (text.length > max && copy.length && text.data[copy.length] & 0x80 && !(text.data[copy.length] & 0x40))
		copy.length--; /* not within a character */
	char *octets = arena_alloc(a, copy.length + 1);
	bool utf8 = text_is_utf8(copy);
	for (size_t i = 0; i < copy.length; i++) {
		unsigned char c = (unsigned char)copy.data[i];
		octets[i] = c < ' ' || c == 0x7f || (c > 0x7f && !utf8) ? '?' : (char)c;
	}
	return str_from(octets, copy.length);
}

static struct result *add_result(struct job *job, const struct job_result *r)
{
	struct result *result = array_add(&job->results);
	struct arena *a = job->arena;
	result->outcome = r->outcome;
	result->code = r->code;
	result->places = BUF_WITH_LIMIT(4 * LIMIT_RELAY_RECIPIENTS_MAX);
	result->status = as_text(a, r->status, 16);
	result->reply = as_text(a, r->reply, LIMIT_RELAY_REPLY_MAX);
	result->host = as_text(a, r->host, LIMIT_DOMAIN_MAX);
	result->address = as_text(a, r->address, 64);
	result->tls = as_text(a, r->tls, 200);
	return result;
}

static void tell_new(void *owner)
{
	struct job *job = owner;
	for (; job->told < job->results.count; job->told++)
		queue_link_result(job->relay, job, &job->results.items[job->told],
		                  job->done && job->told + 1 == job->results.count);
}

void job_tell(struct job *job)
{
	loop_stop_timer(job->relay->daemon.loop, &job->timer);
	job->told = 0;
	tell_new(job);
}

void job_settle(struct job *job, const size_t *which, size_t count, const struct job_result *given)
{
	struct loop *loop = job->relay->daemon.loop;
	struct result *result = add_result(job, given);
	for (size_t i = 0; i < count; i++) {
		struct recipient *recipient = &job->recipients[which[i]];
		must(!recipient->has_result);
		recipient->has_result = true;
		job->open--;
		relay_place_add(&result->places, recipient->as_given.place);
	}
	if (!job->timer.place)
		loop_start_timer(loop, &job->timer, 0, tell_new, job);
}

void job_settle_rest(struct job *job, const struct job_result *result)
{
	size_t which[LIMIT_RELAY_RECIPIENTS_MAX];
	size_t count = 0;
	for (size_t i = 0; i < job->count; i++)
		if (!job->recipients[i].has_result)
			which[count++] = i;
	if (count)
		job_settle(job, which, count, result);
}

void job_end(struct job *job, enum relay_reach reach)
{
	must(job->open == 0 && !job->done);
	job->done = true;
	job->reach = reach;
	close_content(job);
	loop_stop_timer(job->relay->daemon.loop, &job->timer);
	if (job->told < job->results.count)
		tell_new(job);
	else
		queue_link_done(job->relay, job);
}

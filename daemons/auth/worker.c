#include "worker.h"

#include "mem.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, WAITING_MAX = 128 };

struct queue {
	struct hashing *first, *last;
	size_t count;
};

struct workers {
	struct loop *loop;
	struct watch watch;
	int wake; /* eventfd: something is done */
	pthread_t threads[THREADS];
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t work;
	struct queue waiting, finished;
	bool ending;
};

static void push(struct queue *q, struct hashing *h)
{
	h->next = NULL;
	*(q->last ? &q->last->next : &q->first) = h;
	q->last = h;
	q->count++;
}

static struct hashing *take(struct queue *q)
{
	struct hashing *h = q->first;
	if (!h)
		return NULL;
	q->first = h->next;
	if (!q->first)
		q->last = NULL;
	q->count--;
	return h;
}

struct hashing *hashing_new(const struct directory_credential_cost *cost, void *owner, void (*done)(struct hashing *h))
{
	struct hashing *h = mem_alloc(sizeof *h);
	h->cost = *cost;
	h->owner = owner;
	h->done = done;
	return h;
}

void hashing_free(struct hashing *h)
{
	if (!h)
		return;
	mem_wipe(h, sizeof *h);
	free(h);
}

void hashing_set_typed(struct hashing *h, struct str typed)
{
	h->typed_length = typed.length <= sizeof h->typed ? typed.length : 0;
	if (h->typed_length)
		memcpy(h->typed, typed.data, h->typed_length);
}

/* A failure is answered at a time counted in whole milliseconds from its check's end. The part below one would tell
 * how long the check took, and so of which kind the stored hash is, or that there is one: a random part takes its
 * place. */
static void blur_end(void)
{
	const struct timespec part = { .tv_nsec = (long)randombytes_uniform(1000000) };
	clock_nanosleep(CLOCK_MONOTONIC, 0, &part, NULL);
}

static void carry_out(struct hashing *h)
{
	if (h->checks)
		h->result = directory_credential_check(&h->stored, &h->cost, h->parts, str_from(h->typed, h->typed_length));
	if (h->makes && !(h->checks && h->result == DIRECTORY_WRONG))
		directory_credential_make(&h->cost, &h->password, h->make_parts, &h->made);
	if (h->checks && h->result == DIRECTORY_WRONG)
		blur_end();
}

static void *serve(void *argument)
{
	struct workers *w = argument;
	const uint64_t one = 1;
	pthread_mutex_lock(&w->lock);
	while (!w->ending) {
		struct hashing *h = take(&w->waiting);
		if (!h) {
			pthread_cond_wait(&w->work, &w->lock);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		carry_out(h);
		pthread_mutex_lock(&w->lock);
		push(&w->finished, h);
		must(write(w->wake, &one, sizeof one) == (ssize_t)sizeof one);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void on_finished(void *owner, uint32_t events)
{
	struct workers *w = owner;
	struct hashing *h;
	uint64_t count;
	(void)events;
	ssize_t got = read(w->wake, &count, sizeof count);
	(void)got;
	for (;;) {
		pthread_mutex_lock(&w->lock);
		h = take(&w->finished);
		pthread_mutex_unlock(&w->lock);
		if (!h)
			return;
		h->done(h);
	}
}

struct workers *workers_new(struct loop *loop)
{
	struct workers *w = mem_alloc(sizeof *w);
	w->loop = loop;
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(w->wake >= 0);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	loop_watch(loop, &w->watch, w->wake, EPOLLIN, on_finished, w);
	for (size_t i = 0; i < THREADS; i++)
		must(pthread_create(&w->threads[i], NULL, serve, w) == 0);
	return w;
}

static void drop_all(struct queue *q)
{
	struct hashing *h;
	while ((h = take(q)))
		hashing_free(h);
}

void workers_free(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(w->threads[i], NULL);
	loop_unwatch(w->loop, &w->watch);
	close(w->wake);
	drop_all(&w->waiting);
	drop_all(&w->finished);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->work);
	free(w);
}

bool worker_submit(struct workers *w, struct hashing *h)
{
	pthread_mutex_lock(&w->lock);
	bool room = w->waiting.count < WAITING_MAX;
	if (room) {
		push(&w->waiting, h);
		pthread_cond_signal(&w->work);
	}
	pthread_mutex_unlock(&w->lock);
	return room;
}

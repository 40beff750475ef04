#include "worker.h"

#include "check.h"

#include <sys/eventfd.h>
#include <unistd.h>

static void append(struct job_list *list, struct job *job)
{
	job->next = NULL;
	if (list->last)
		list->last->next = job;
	else
		list->first = job;
	list->last = job;
}

static struct job *take_first(struct job_list *list)
{
	struct job *job = list->first;
	if (!job)
		return NULL;
	list->first = job->next;
	if (!list->first)
		list->last = NULL;
	return job;
}

static struct job *wait_for_job(struct worker *w)
{
	struct job *job;
	must(pthread_mutex_lock(&w->lock) == 0);
	while ((job = take_first(&w->given)) == NULL)
		must(pthread_cond_wait(&w->wanted, &w->lock) == 0);
	must(pthread_mutex_unlock(&w->lock) == 0);
	return job;
}

static void *work(void *argument)
{
	struct worker *w = argument;
	for (;;) {
		struct job *job = wait_for_job(w);
		job->run(job);
		must(pthread_mutex_lock(&w->lock) == 0);
		append(&w->finished, job);
		must(pthread_mutex_unlock(&w->lock) == 0);
		must(write(w->event, &(uint64_t){ 1 }, sizeof(uint64_t)) == sizeof(uint64_t));
	}
	return NULL;
}

static void finish_jobs(void *owner, uint32_t events)
{
	struct worker *w = owner;
	uint64_t count;
	(void)events;
	if (read(w->event, &count, sizeof count) != (ssize_t)sizeof count)
		return;
	must(pthread_mutex_lock(&w->lock) == 0);
	struct job_list finished = w->finished;
	w->finished = (struct job_list){};
	must(pthread_mutex_unlock(&w->lock) == 0);
	for (struct job *job; (job = take_first(&finished)) != NULL;)
		job->done(job);
}

void worker_start(struct worker *w, struct loop *loop)
{
	*w = (struct worker){ .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	must(w->event >= 0 && pthread_mutex_init(&w->lock, NULL) == 0 && pthread_cond_init(&w->wanted, NULL) == 0);
	loop_watch(loop, &w->watch, w->event, EPOLLIN, finish_jobs, w);
	must(pthread_create(&w->thread, NULL, work, w) == 0);
}

void worker_give(struct worker *w, struct job *job)
{
	must(pthread_mutex_lock(&w->lock) == 0);
	append(&w->given, job);
	must(pthread_mutex_unlock(&w->lock) == 0);
	must(pthread_cond_signal(&w->wanted) == 0);
}

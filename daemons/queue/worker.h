/*
 * A thread that does jobs one after the other, so that the loop never waits for the disk.
 *
 * A job belongs to its giver and must live until done() was called. run() is called in the
 * worker's thread and touches only what the job holds; done() is called in the loop's thread, in
 * the order of giving.
 */
#ifndef POSTHORN_QUEUE_WORKER_H
#define POSTHORN_QUEUE_WORKER_H

#include "loop.h"

#include <pthread.h>

struct job {
	void (*run)(struct job *job);
	void (*done)(struct job *job);
	struct job *next;
};

struct job_list {
	struct job *first;
	struct job *last;
};

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct job_list given;    /* under the lock */
	struct job_list finished; /* under the lock */
	int event;
	struct watch watch;
};

/* Starts the thread, which lives as long as the process. */
void worker_start(struct worker *w, struct loop *loop);

void worker_give(struct worker *w, struct job *job);

#endif

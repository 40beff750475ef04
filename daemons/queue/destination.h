/*
 * Domains that mail goes to: which one has the next job, and how many it may have.
 *
 * A destination begins with a few jobs at a time, has one more for each that reached it, and half as many after one
 * that was refused. One that is out of reach backs off: all its mail waits, then a single job tries it. Destinations
 * of which nothing is known, and those that fail, get only a share of all jobs, so that they cannot take the last one
 * from those that live. Of those of which nothing is known only few may have a second job before the first one told
 * something: what thousands of dead ones take is one each. Within its standing each destination has its turn, and a
 * new one need not wait for all that came before it; within a destination, of those of the highest priority, each
 * account.
 *
 * A destination lives while a delivery names it, and a while longer. Delays are milliseconds. Nothing here fails.
 */
#ifndef POSTHORN_QUEUE_DESTINATION_H
#define POSTHORN_QUEUE_DESTINATION_H

#include "array.h"
#include "hash.h"
#include "loop.h"
#include "services.h"
#include "str.h"

struct attempt;
struct delivery;
struct queue;

/* NEW, TRIED: nothing is known of it, and it has no job yet, or has some. */
enum standing { STANDING_LIVING, STANDING_NEW, STANDING_TRIED, STANDING_FAILING, STANDING_COUNT };

/* Without holes: it is compared as octets. */
struct lane_key {
	struct destination *destination;
	uint64_t account;
	int64_t priority;
};

/* Mail of one account and priority. */
struct lane {
	struct lane_key key;
	struct lane *previous, *next;   /* by falling priority; of those alike the one whose turn is next first */
	struct delivery *first, *last;
};

struct destination {
	struct queue *queue;
	struct destination *previous, *next; /* those that could have a job now, of their standing */
	struct lane *first, *last;
	struct delivery *first_waiting;
	uint32_t count;               /* deliveries that name it */
	uint32_t jobs;                /* under way */
	unsigned window;              /* jobs at the same time */
	unsigned ceiling;             /* where it was too many once */
	unsigned reached;             /* since the window changed */
	unsigned failures;            /* in a row */
	struct timer timer;
	struct attempt *last_failure; /* or NULL */
	enum standing standing;
	bool ready;                   /* in the list of its standing */
	bool backs_off;               /* until timer; else the timer ends its life when nothing names it */
	uint16_t name_length;
	char name[];
};

struct destinations {
	struct map *by_name; /* of views, both */
	struct map *lanes;
	struct {
		struct destination *first, *last;
	} ready[STANDING_COUNT];
	size_t jobs[STANDING_COUNT];
	bool newest_next;                       /* of those of which nothing is known, when many wait */
	unsigned turn;
	ARRAY(struct delivery *) due; /* a heap by due_ms */
};

void destination_init(struct queue *q);

/* Of an address. */
struct destination *destination_of(struct queue *q, struct str address);

/* d, PENDING and in no list: to be sent now, or after a time. */
void destination_enqueue(struct delivery *d);
void destination_wait(struct delivery *d, int64_t delay_ms);

/* d, HELD: destination_due gives it after that time. */
void destination_remind(struct delivery *d, int64_t delay_ms);

/* One whose time has come, which is named only once; NULL: none. */
struct delivery *destination_due(struct queue *q);

/* It is neither to be sent nor waits; and it has nothing to do with its destination any more. */
void destination_withdraw(struct delivery *d);
void destination_leave(struct delivery *d);

/* The next one to be sent; jobs_max of all. NULL: none now. It is still in its lane. */
struct delivery *destination_next(struct queue *q, size_t jobs_max);

/* A job began, and ended; reach: what it says of the destination, lost: it says nothing. */
enum standing destination_job_began(struct destination *destination);
void destination_job_ended(struct destination *destination, enum standing standing, bool lost, enum relay_reach reach);

/* The administrator knows that it is there. */
void destination_forgive(struct destination *destination);

#endif

/*
 * The measurement under way: operations, octets, errors, latencies, the client's own CPU time
 * and that of the server's cgroups (--cost), printed as one JSON line.
 *
 * There is one, since a load generator measures one thing at a time: stats_begin … stats_end,
 * then stats_print. Errors are counted over the whole run and the first one is kept in words.
 */
#ifndef POSTHORN_BENCH_STATS_H
#define POSTHORN_BENCH_STATS_H

#include "check.h"

#include <stddef.h>
#include <stdint.h>

struct stats {
	float *samples; /* milliseconds */
	size_t nsamples, capacity;
	uint64_t ops, bytes, errors, started, finished, cost_start, cost_end, own_start, own_end;
	char first_error[200];
};

extern struct stats stats;

uint64_t stats_now_ns(void);
void stats_begin(void);
void stats_end(void);

/* Keeps one latency. */
void stats_sample(uint64_t ns);

void stats_error(const char *format, ...) FORMAT(1, 2);

/* extra: further JSON members without the comma before them, or "". */
void stats_print(const char *what, const char *extra);

/* One operation that began at started has ended well. */
void stats_operation(uint64_t started);

/* Prints the reason and exits with 2. */
__attribute__((noreturn)) void die(const char *format, ...) FORMAT(1, 2);

#endif

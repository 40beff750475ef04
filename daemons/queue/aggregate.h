/*
 * DMARC aggregate reports (RFC 9990): what smtpd found in mail is counted per domain and day, and sent to whom the
 * domain names.
 *
 * Counts are in memory and in state.db; both are bounded, and what goes beyond is left out, which the report says.
 * After the end of a day (UTC) a thread of its own makes the report and asks the DNS who may get it; the mail goes
 * the way of all mail (submit.h). A report that could not be made because the DNS was away is tried again every hour,
 * for a week. When the program ends between sending a report and forgetting its counts, it is sent again under the
 * same name, which receivers know it by.
 */
#ifndef POSTHORN_QUEUE_AGGREGATE_H
#define POSTHORN_QUEUE_AGGREGATE_H

#include "queue.h"

/* After state_init. */
void aggregate_init(struct queue *q);

/* A row as smtpd packed it (dmarc_report.h), or nothing. False when it makes no sense. */
bool aggregate_count(struct queue *q, struct str packed);

/* The resolver. */
bool aggregate_wire(struct queue *q, int descriptor);

void aggregate_tick(struct queue *q);

/* posthornctl dmarc list, send. */
void aggregate_control(struct queue *q, struct control *c, struct str words);

/* ---- between the two files ---- */

/* What came under one domain on one day. */
struct aggregate {
	struct aggregate *next;
	struct str domain;       /* in memory of its own, as the policy */
	int64_t day;             /* days since 1970 */
	int64_t begin;           /* wall clock, seconds */
	struct str policy;       /* packed; the latest one */
	struct map *rows;        /* packed → uint64_t * */
	uint64_t messages, left_out;
	bool busy;               /* its report is being made */
	bool forced;             /* now, though the day is not over */
	int64_t not_before;      /* wall clock, seconds */
};

struct aggregate_report;

struct aggregates {
	struct aggregate *first;
	struct map *by_name;     /* day and domain → those that count on */
	size_t count, row_count;
	int64_t sent;            /* wall clock, seconds: when an administrator had all sent */
	int64_t next_look;
	struct worker worker;    /* makes reports */
	struct dns_link *dns;    /* of that thread */
	struct aggregate_report *report; /* under way, or NULL */
};

/* Makes and sends it; then it is forgotten, or gets a not_before. */
void aggregate_send(struct queue *q, struct aggregate *a);
void aggregate_forget(struct queue *q, struct aggregate *a);

enum { AGGREGATE_DAY = 86400 };

#endif

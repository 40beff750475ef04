/*
 * TLS reports (RFC 8460): what came of relay's connections is counted per domain and day, and sent to whom the domain
 * names.
 *
 * Counts are in memory and in state.db; both are bounded, and what goes beyond is not counted. After the end of a day
 * (UTC) the report goes out as mail (submit.h), or by HTTPS through relay: to the first address that takes it, as the
 * RFC allows. What nobody took is tried again every hour, and forgotten with the second day after it.
 */
#ifndef POSTHORN_QUEUE_TLS_REPORT_H
#define POSTHORN_QUEUE_TLS_REPORT_H

#include "queue.h"

/* After state_init. */
void tls_report_init(struct queue *q);

/* False when it makes no sense. */
bool tls_report_count(struct queue *q, const struct msg_tls_outcome *outcome);

/* Relay's answer to a report that was posted. */
void tls_report_posted(struct queue *q, uint64_t request, unsigned status);

void tls_report_tick(struct queue *q);

/* posthornctl tlsrpt list, send. */
void tls_report_control(struct queue *q, struct control *c, struct str words);

#endif

/*
 * The link to relay: jobs out, results in. A job is one mail and its recipients in one domain (destination.h).
 *
 * After a restart relay may still work on jobs that an earlier queue gave: no job is given before every relay that is
 * wired has told of those (RELAY_HELD, then RELAY_UP). There may be two for a while, of which the older one only ends
 * what it has. What relay says for good is in the results log (results.h) before relay is told that it is noted.
 */
#ifndef POSTHORN_QUEUE_RELAY_H
#define POSTHORN_QUEUE_RELAY_H

#include "ipc.h"
#include "loop.h"
#include "services.h"
#include "str.h"

struct mail;
struct queue;
struct relay_link;

struct relays {
	struct relay_link *links;
	uint64_t last_number;
	struct timer timer;
};

bool relay_wire(struct queue *q, const struct msg_wire *wire, int descriptor);

/* Has relay post a report (tls_report.h hears of it); takes the descriptor. False when there is no relay now. */
bool relay_post(struct queue *q, uint64_t request, struct str url, uint64_t size, int content);

/* Gives what can be given, from the loop, not from here. */
void relay_dispatch_soon(struct queue *q);

/* What waited to be written is. */
void relay_say_noted(struct queue *q);

/* It is about to be freed. */
void relay_mail_gone(struct mail *mail);

#endif

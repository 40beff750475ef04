/*
 * Mail for an account that no client looks at is held back, to wake the account's process once for several mails.
 *
 * A mail waits at most 250 ms, and no longer than 20 ms after the last mail for anybody: a stream of mail is gathered
 * and its end is not. Half a window ends it, too. Nobody can see it: while an account has a session nothing is held
 * back, and a session that begins waits until all is there (UP_TO_DATE). What is gathered is in the journal like all
 * mail (docs/decisions/0007).
 */
#ifndef POSTHORN_QUEUE_GATHER_H
#define POSTHORN_QUEUE_GATHER_H

#include "loop.h"

#include <stdbool.h>
#include <stdint.h>

struct account;
struct delivery;

/* Of an account. */
struct gathered {
	bool holds;              /* mail is held back */
	bool listed;             /* in the list of struct gathering, maybe still */
	struct account *next;    /* there */
	int64_t until_ms;        /* rises along that list */
	unsigned mails;          /* held back, */
	uint64_t octets;         /* and their bodies */
};

/* Of queue: the accounts, the one that waits longest first. */
struct gathering {
	struct account *first, *last;
	struct timer timer;
	int64_t mail_came_ms;    /* for any account */
};

/* One mail came: it is held back, or what the window allows is sent. */
void gather_new(struct delivery *d);

/* What is held back is sent; or only held back no longer. */
void gather_send(struct account *a);
void gather_end(struct account *a);

#endif

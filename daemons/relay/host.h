/*
 * What relay knows of an address of another host: how many connections it has there, whether it should be left alone
 * for a while, and whether TLS is of no use there.
 *
 * An address that could not be reached is left alone for BACK_OFF_SECONDS, doubling with each further failure to
 * BACK_OFF_SECONDS_MAX (scaled as relay_timeout_percent says): many destinations may share a dead host, and each
 * would wait for it. An entry lives while it has connections or something to remember; at most HOSTS_MAX remember
 * anything.
 */
#ifndef POSTHORN_RELAY_HOST_H
#define POSTHORN_RELAY_HOST_H

#include "relay.h"

enum { HOSTS_MAX = 20000, BACK_OFF_SECONDS = 15, BACK_OFF_SECONDS_MAX = 240, PLAIN_SECONDS = 600 };

struct host {
	struct relay *relay;
	struct endpoint address;
	size_t users;              /* connections and attempts that look at it */
	size_t connections;
	size_t resting;            /* of them */
	unsigned failures;         /* in a row */
	int64_t off_until_ms;
	int64_t plain_until_ms;    /* TLS failed where it was not needed */
	char status[8], why[200];  /* of the last failure */
	struct timer timer;        /* until nothing is remembered */
};

/* Makes it when there is none; it stays until host_let_go. */
struct host *host_get(struct relay *r, const struct endpoint *address);
void host_let_go(struct host *host);

bool host_is_off(const struct host *host);
bool host_is_plain(const struct host *host);

/* It could not be reached. */
void host_failed(struct host *host, const char *status, struct str why);
void host_works(struct host *host);
void host_tls_failed(struct host *host);

#endif

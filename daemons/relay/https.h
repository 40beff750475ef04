/*
 * One HTTPS request on a connection of its own, driven by the event loop: for policies of MTA-STS and reports of TLS.
 *
 * The server's certificate must be for its name and from an authority that we trust. No redirect is followed, nothing
 * is cached, nothing kept (RFC 8461 §3.3). Each address of the host is tried until one accepts the connection; all
 * together is bounded by HTTPS_SECONDS_MAX, and at most HTTPS_UNDER_WAY_MAX requests are under way: beyond them a
 * request fails at once.
 */
#ifndef POSTHORN_RELAY_HTTPS_H
#define POSTHORN_RELAY_HTTPS_H

#include "http_response.h"
#include "relay.h"
#include "route.h"

struct tls_connection;

enum { HTTPS_SECONDS_MAX = 30, HTTPS_UNDER_WAY_MAX = 100 };

struct https {
	struct relay *relay;
	char host[LIMIT_DOMAIN_MAX + 1];
	unsigned port;
	struct ask v4, v6;
	size_t asked;
	struct endpoint addresses[ROUTE_ADDRESSES_MAX];
	size_t address, address_count;
	int descriptor;
	enum { HTTPS_CONNECTS, HTTPS_SHAKES_HANDS, HTTPS_TALKS } state;
	struct watch watch;
	struct timer timer, deadline;
	struct tls_connection *tls;
	struct buf request;
	size_t sent;
	struct http_response response; /* the answer, in done */
	bool answered;                 /* whatever the status; else why not */
	bool is_untrusted;             /* because of the server's certificate */
	char why[200];
	void (*done)(void *owner, struct https *https);
	void *owner;
};

/* host: A-labels. request: all of it, "GET …"; its Host and Connection fields too. done is called once, never before
 * this returns; what it is given is gone when it returns. */
struct https *https_begin(struct relay *r, struct str host, unsigned port, struct str request, size_t body_max,
                          void (*done)(void *owner, struct https *https), void *owner);

#endif

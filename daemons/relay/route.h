/*
 * Where the mail of a destination goes: the hosts in the order in which they are tried (RFC 5321 §5.1).
 *
 * Pure: what the DNS said goes in, hosts or the reason why there are none come out. Bounded whatever the DNS says: of
 * any number of MX records the best ROUTE_HOSTS_MAX are kept. All texts lie in the arena that was given.
 */
#ifndef POSTHORN_RELAY_ROUTE_H
#define POSTHORN_RELAY_ROUTE_H

#include "config.h"
#include "dns.h"
#include "services.h"

enum { ROUTE_HOSTS_MAX = 20, ROUTE_FAMILY_MAX = 5, ROUTE_ADDRESSES_MAX = 2 * ROUTE_FAMILY_MAX };

enum route_kind {
	ROUTE_BY_MX,       /* the hosts of the destination's MX records */
	ROUTE_IMPLICIT,    /* it has none: the destination is the host, RFC 5321 §5.1 */
	ROUTE_LITERAL,     /* the destination is an address */
	ROUTE_GIVEN,       /* a transport or the smarthost of our own configuration */
};

struct route_host {
	struct str name;          /* A-labels in lower case; an address as text for a literal; the path of a Unix socket */
	uint16_t preference;      /* of its MX */
	bool has_address;         /* it is one: address */
	struct endpoint address;
};

struct route {
	enum route_kind kind;
	struct route_host hosts[ROUTE_HOSTS_MAX];
	size_t count;             /* 0: see outcome, code, status and text */
	bool secure;              /* DNSSEC vouches for the names of the hosts */
	unsigned port;
	bool lmtp, smarthost;
	enum relay_outcome outcome;
	unsigned code;            /* of the reply that stands for it, or 0 */
	struct str status, text;
};

/* Without the DNS: true when the destination is an address literal or the configuration says where its mail goes. */
bool route_without_mx(struct arena *a, const struct config *config, struct str destination, struct route *route);

/* By the answer to the question for its MX. random: numbers for the order among equals. */
void route_by_mx(struct arena *a, const struct config *config, struct str destination, const struct dns_answer *answer,
                 uint32_t (*random)(void), struct route *route);

/* Adds the addresses of an answer to A or AAAA to those that are there, at most ROUTE_FAMILY_MAX, in an order that
 * lots begin. */
void route_add_addresses(const struct dns_answer *answer, enum dns_type type, unsigned port, uint32_t (*random)(void),
                         struct endpoint *addresses, size_t *count);

#endif

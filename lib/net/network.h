/*
 * struct network: a block of IP addresses in CIDR notation (RFC 4632 §3.1, RFC 4291 §2.3), for lists
 * of trusted networks and for counting per address.
 *
 * Plain value. IPv4 blocks hold IPv4 addresses only and IPv6 blocks IPv6 only: ::/0 does not hold 127.0.0.1.
 */
#ifndef POSTHORN_NET_NETWORK_H
#define POSTHORN_NET_NETWORK_H

#include "endpoint.h"

struct network {
	unsigned char prefix[16]; /* bits behind the prefix are 0; IPv4 uses the first four bytes */
	unsigned bits;
	bool v6;
};

/* "10.0.0.0/8", "2001:db8::/32"; without a slash one address. Bits set behind the prefix are refused:
 * 10.0.0.1/8 is more likely a slip than a wish. */
bool network_parse(struct str text, struct network *n, struct fail **fail);

void network_print(struct buf *out, const struct network *n);

/* A Unix path is in no network. */
bool network_contains(const struct network *n, const struct endpoint *a);

bool network_any_contains(const struct network *networks, size_t count, const struct endpoint *a);

/* The block around an IP address: one customer has one IPv4 address but a whole IPv6 /64 or /56. */
struct network network_around(const struct endpoint *a, unsigned v4_bits, unsigned v6_bits);

#endif

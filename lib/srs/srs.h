/*
 * The sender rewriting scheme: sender addresses of forwarded mail that SPF passes for, and the way back for what bounces
 * (openspf.org, "Sender Rewriting Scheme"; M. S. Wong, 2004).
 *
 *	user@a.example         forwarded by b.example:  SRS0=HHHHHH=TT=a.example=user@b.example
 *	SRS0=…@b.example       forwarded by c.example:  SRS1=HHHHHH=b.example==…@c.example
 *
 * The hash is keyed, so that nobody else makes addresses that come back through us, and the timestamp (days) ends their
 * life after SRS_DAYS. Keys can be changed: the first one signs, all of them verify. Case is of no account, for hosts
 * that change it. Pure functions; nothing is kept.
 */
#ifndef POSTHORN_SRS_SRS_H
#define POSTHORN_SRS_SRS_H

#include "buf.h"

enum { SRS_DAYS = 21, SRS_KEYS_MAX = 8 };

struct srs_key {
	uint64_t words[2];
};

struct srs_keys {
	struct srs_key items[SRS_KEYS_MAX];
	size_t count;
};

enum srs_result {
	SRS_NONE,    /* it is no such address */
	SRS_FORGED,  /* it looks like one, and we did not make it */
	SRS_EXPIRED,
	SRS_GOOD,
};

/* Adds sender rewritten into domain; day: since 1970. False (nothing added) for what cannot be rewritten: a null
 * sender, a local part that needs quotes, an address literal, or when the new address would be longer than an address
 * may be. */
bool srs_forward(struct buf *out, const struct srs_keys *keys, int64_t day, struct str sender, struct str domain);

/* What the local part of one of our addresses stands for; SRS_GOOD adds the address to out. */
enum srs_result srs_reverse(struct buf *out, const struct srs_keys *keys, int64_t day, struct str local);

#endif

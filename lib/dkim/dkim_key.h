/*
 * Key records (RFC 6376 §3.6.1, RFC 8463 §4.2) and the keys in them. A record is what a stranger published: it gives a
 * key, or a reason in words for Authentication-Results. The caller releases the key.
 */
#ifndef POSTHORN_DKIM_DKIM_KEY_H
#define POSTHORN_DKIM_DKIM_KEY_H

#include "dkim_signature.h"

enum { DKIM_KEY_BITS_MIN = 1024, DKIM_KEY_BITS_MAX = 4096 }; /* RFC 8301 §3.2; what is larger costs more than mail is worth */

struct dkim_key {
	EVP_PKEY *key;
	unsigned bits;
	bool is_ed25519;
	bool testing;       /* t=y */
	bool strict;        /* t=s: i= has the domain of d= itself */
};

/* False: *why says what is wrong: it was revoked, is for something else, is too short. */
bool dkim_key_parse(struct arena *a, struct str record, struct dkim_key *key, const char **why);
void dkim_key_release(struct dkim_key *key);

/* The record that publishes a key. */
void dkim_key_record(struct buf *out, EVP_PKEY *key);

#endif

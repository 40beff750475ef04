/*
 * DomainKeys Identified Mail: verifying (RFC 6376, 8301, 8463) and signing; verifying of ARC chains (RFC 8617).
 *
 * The body comes in pieces: a verifier or signer is made with the whole header block, is given the body, and is asked
 * at the end. Signatures that share a canonical form and length share its hash. Bounded: DKIM_SIGNATURES_MAX
 * signatures are looked at, from the top; keys are asked from a dns_source.
 */
#ifndef POSTHORN_DKIM_DKIM_H
#define POSTHORN_DKIM_DKIM_H

#include "dkim_signature.h"
#include "dns.h"

#include <openssl/evp.h>

enum { DKIM_SIGNATURES_MAX = 10 };

/* RFC 8601 §2.7.1. */
enum dkim_result { DKIM_NONE, DKIM_PASS, DKIM_FAIL, DKIM_POLICY, DKIM_NEUTRAL, DKIM_TEMPERROR, DKIM_PERMERROR,
	DKIM_RESULT_COUNT };

struct dkim_outcome {
	enum dkim_result result;
	struct str domain;      /* what could be read of it */
	struct str selector;
	struct str identity;
	enum dkim_algorithm algorithm;
	unsigned key_bits;
	struct str signature;   /* the first octets of b=: header.b of RFC 6008 */
	bool testing;           /* the key says t=y */
	bool part_of_body;      /* l= left some of the body out */
	const char *why;        /* NULL for DKIM_PASS */
};

struct dkim_outcomes {
	struct dkim_outcome list[DKIM_SIGNATURES_MAX];
	size_t count;
	bool more; /* there were more signatures, which nobody looked at */
};

struct dkim_verifier;

/* Everything lies in the arena but hashes: free it. header: the whole block; it and the arena must outlive the
 * verifier. */
struct dkim_verifier *dkim_verifier_new(struct arena *a, struct str header);
void dkim_verifier_free(struct dkim_verifier *v);

/* For CLEANUP. */
void dkim_verifier_cleanup(struct dkim_verifier **v);

/* Says which keys will be asked for: waits for nothing. */
void dkim_verifier_ask_ahead(struct dkim_verifier *v, const struct dns_source *dns);

/* False when there is no signature that looks at the body: nothing need be given. */
bool dkim_verifier_wants_body(const struct dkim_verifier *v);
void dkim_verifier_body(struct dkim_verifier *v, struct str piece);

/* Asks for the keys and says how it went. now: wall clock in seconds. */
void dkim_verifier_finish(struct dkim_verifier *v, const struct dns_source *dns, int64_t now,
                          struct dkim_outcomes *outcomes);

/* RFC 8617 §5.2; DKIM_NONE: no ARC fields. Of a chain that passed: who sealed last. Comes after finish. */
struct arc_outcome {
	enum dkim_result result; /* NONE, PASS, FAIL; §5.2.1: a DNS that does not answer is FAIL too */
	unsigned instances;
	struct str sealer;
	struct str authentication_results; /* of the first ARC-Authentication-Results field, its value */
	const char *why;
};
void dkim_verifier_arc(struct dkim_verifier *v, const struct dns_source *dns, int64_t now, struct arc_outcome *outcome);

/* "pass" and so on. */
const char *dkim_result_name(enum dkim_result result);

/* ---- signing ---- */

struct dkim_signing_key {
	struct str domain;
	struct str selector;
	EVP_PKEY *key; /* RSA or Ed25519; the caller's */
};

struct dkim_signer;

/* Signs with each key, relaxed/relaxed. now: t=. */
struct dkim_signer *dkim_signer_new(struct arena *a, struct str header, int64_t now);
void dkim_signer_free(struct dkim_signer *s);
void dkim_signer_cleanup(struct dkim_signer **s);
void dkim_signer_body(struct dkim_signer *s, struct str piece);

/* Adds a DKIM-Signature field for each key, to be put before the header. */
bool dkim_signer_finish(struct dkim_signer *s, const struct dkim_signing_key *keys, size_t count, struct buf *out,
                        struct fail **fail);

/* A new key; PEM in out. bits: of RSA, 0 for Ed25519. */
bool dkim_key_generate(unsigned bits, struct buf *pem, struct fail **fail);
EVP_PKEY *dkim_key_from_pem(struct str pem, struct fail **fail);

#endif

/*
 * A DKIM-Signature field read (RFC 6376 §3.5), and the ARC-Message-Signature that has its form (RFC 8617 §4.1.2).
 */
#ifndef POSTHORN_DKIM_DKIM_SIGNATURE_H
#define POSTHORN_DKIM_DKIM_SIGNATURE_H

#include "dkim_canonical.h"
#include "dkim_tag.h"

enum dkim_algorithm { DKIM_RSA_SHA256, DKIM_ED25519_SHA256, DKIM_RSA_SHA1, DKIM_ALGORITHM_COUNT };

struct dkim_signature {
	enum dkim_algorithm algorithm;
	enum dkim_canonical header_form, body_form;
	struct str domain;    /* d= */
	struct str selector;  /* s= */
	struct str identity;  /* i=; @domain without one */
	struct str headers;   /* h=, without white space */
	struct str signature; /* b=, base64 */
	unsigned char body_hash[32];
	uint64_t body_length; /* l=; UINT64_MAX without */
	int64_t signed_at;    /* t=; 0 without */
	int64_t expires;      /* x=; 0: never */
	unsigned instance;    /* ARC i= */
};

enum dkim_signature_kind { DKIM_OF_MESSAGE, DKIM_OF_ARC };

/* value: of the field, folded as it came. False: *why says what is wrong with it; domain and selector are set if they
 * could be read. */
bool dkim_signature_parse(struct arena *a, struct str value, enum dkim_signature_kind kind,
                          struct dkim_signature *signature, const char **why);

/* Adds the field's value with the value of b= left out, as it was when it was signed (§3.7). */
void dkim_signature_without_b(struct buf *out, struct str field);

struct str dkim_algorithm_name(enum dkim_algorithm algorithm);
bool dkim_algorithm_find(struct str name, enum dkim_algorithm *algorithm);

#endif

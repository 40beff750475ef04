/*
 * Canonical forms of headers and bodies (RFC 6376 §3.4). A body comes in pieces of any size; memory is constant.
 */
#ifndef POSTHORN_DKIM_DKIM_CANONICAL_H
#define POSTHORN_DKIM_DKIM_CANONICAL_H

#include "buf.h"

#include <openssl/evp.h>

enum dkim_canonical { DKIM_SIMPLE, DKIM_RELAXED };

/* A whole field with its name and line ends, as it came; what is added ends with CRLF. */
void dkim_canonical_field(struct buf *out, enum dkim_canonical form, struct str field);

/* SHA-256 of a body's canonical form. */
struct dkim_body {
	enum dkim_canonical form;
	uint64_t limit;       /* octets of the canonical form that count: l=; UINT64_MAX: all */
	uint64_t length;      /* octets of the canonical form so far */
	EVP_MD_CTX *digest;
	char gathered[1024];  /* words are short, and each call of the digest has its price */
	size_t gathered_length;
	uint64_t empty_lines; /* line ends not given on yet: those at the end of the body do not count */
	bool blank;           /* relaxed: white space not given on yet */
	bool after_cr;        /* a CR was seen that may begin a line end */
};

void dkim_body_init(struct dkim_body *b, enum dkim_canonical form, uint64_t limit);
void dkim_body_release(struct dkim_body *b);
void dkim_body_add(struct dkim_body *b, struct str piece);

/* The end of the body. */
void dkim_body_finish(struct dkim_body *b, unsigned char hash[32]);

#endif

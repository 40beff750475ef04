/*
 * The service extensions of EHLO and LHLO (RFC 5321 §4.1.1.1) as one table: written by servers, read by clients.
 * What was read holds no pointers; unknown keywords are ignored, a malformed LIMITS is as if not there (RFC 9422 §3.7).
 */
#ifndef POSTHORN_SMTP_EHLO_H
#define POSTHORN_SMTP_EHLO_H

#include "buf.h"

enum smtp_extension {
	SMTP_PIPELINING = 1 << 0,     /* RFC 2920 */
	SMTP_SIZE = 1 << 1,           /* RFC 1870 */
	SMTP_8BITMIME = 1 << 2,       /* RFC 6152 */
	SMTP_CHUNKING = 1 << 3,       /* RFC 3030 */
	SMTP_BINARYMIME = 1 << 4,     /* RFC 3030 */
	SMTP_SMTPUTF8 = 1 << 5,       /* RFC 6531 */
	SMTP_ENHANCED = 1 << 6,       /* ENHANCEDSTATUSCODES, RFC 2034 */
	SMTP_LIMITS = 1 << 7,         /* RFC 9422 */
	SMTP_STARTTLS = 1 << 8,       /* RFC 3207 */
	SMTP_AUTH = 1 << 9,           /* RFC 4954 */
	SMTP_DSN = 1 << 10,           /* RFC 3461 */
	SMTP_REQUIRETLS = 1 << 11,    /* RFC 8689 */
	SMTP_FUTURERELEASE = 1 << 12, /* RFC 4865 */
	SMTP_DELIVERBY = 1 << 13,     /* RFC 2852 */
	SMTP_MT_PRIORITY = 1 << 14,   /* RFC 6710 */
	SMTP_VRFY = 1 << 15,
	SMTP_EXPN = 1 << 16,
	SMTP_HELP = 1 << 17,
};

struct smtp_ehlo {
	unsigned extensions;
	uint64_t size;               /* 0: no fixed maximum, RFC 1870 §4 */
	uint64_t mail_max;           /* LIMITS: 0 where not given */
	uint64_t recipient_max;
	uint64_t recipient_domain_max;
	uint64_t hold_max;           /* FUTURERELEASE: seconds; 0 where not given */
	int64_t hold_until_max;      /* FUTURERELEASE: seconds since 1970 UTC; written, not read */
	uint64_t by_min;             /* DELIVERBY: seconds; 0 where not given */
	char mechanisms[400];        /* AUTH: separated by single spaces, upper case */
};

/* Adds the whole reply 250. hostname is ours; client is what EHLO said, as smtp_helo keeps it. */
void smtp_ehlo_write(struct buf *out, const struct smtp_ehlo *e, struct str hostname, struct str client);

/* Reads the text of a reply 250 as struct smtp_reply_reader gives it: lines joined by LF, the first is the greeting. */
void smtp_ehlo_read(struct str text, struct smtp_ehlo *e);

bool smtp_ehlo_has_mechanism(const struct smtp_ehlo *e, struct str mechanism);

#endif

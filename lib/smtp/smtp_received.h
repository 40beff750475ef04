/*
 * Trace fields: Received and Return-Path (RFC 5321 §4.4, RFC 6531 §3.7.3; "with" by RFC 3848 and RFC 6531 §4.3).
 *
 * Folded to stay within 78 columns wherever a single word allows it. Whatever stands in the strings, the result is one
 * well-formed field: octets that could end a line, a comment or a word become "?". Octets of UTF-8 pass in an
 * address only, and only if the protocol says UTF8.
 */
#ifndef POSTHORN_SMTP_RECEIVED_H
#define POSTHORN_SMTP_RECEIVED_H

#include "buf.h"

struct smtp_received {
	struct str helo;           /* what EHLO said; empty for none */
	struct str client_name;    /* from the reverse look-up, verified; empty for none */
	struct str client_address; /* "192.0.2.1" or "2001:db8::1"; empty for a local socket */
	struct str host;           /* ours */
	bool lmtp;
	bool extended;             /* EHLO or LHLO, not HELO */
	bool tls, authenticated, utf8;
	struct str tls_version, tls_cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384"; with tls only */
	struct str id;
	struct str recipient;      /* canonical mailbox if there is exactly one recipient, else empty: §7.2 */
	int64_t time;              /* seconds since 1970 UTC */
	int zone_minutes;          /* east of UTC, for the date as people see it */
};

/* Adds the field with its CRLF. */
void smtp_received_write(struct buf *out, const struct smtp_received *r);

/* Adds "Return-Path: <mailbox>" with CRLF; the canonical mailbox is empty for the null path. */
void smtp_return_path_write(struct buf *out, struct str mailbox);

/* "ESMTPSA" and so on. */
const char *smtp_received_with(const struct smtp_received *r);

#endif

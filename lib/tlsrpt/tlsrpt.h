/*
 * SMTP TLS reporting (RFC 8460): the TXT record that says who wants reports, and the report as JSON. Pure: text in,
 * text out.
 *
 * Strings from outside become valid JSON whatever they hold: what is no UTF-8 is replaced.
 */
#ifndef POSTHORN_TLSRPT_H
#define POSTHORN_TLSRPT_H

#include "buf.h"

/* §3: among the TXT records (each with its strings joined) exactly one is of TLSRPT and well-formed: its list of
 * addresses. */
bool tlsrpt_find_rua(const struct str *records, size_t count, struct str *rua);

/* Takes the next "mailto:…" or "https://…" off the front of a list; others are passed over. False at the end. mailto
 * has the address alone, with percent signs decoded, in the buffer. */
enum tlsrpt_scheme { TLSRPT_MAILTO, TLSRPT_HTTPS };
bool tlsrpt_next_uri(struct str *rua, enum tlsrpt_scheme *scheme, struct buf *address);

enum tlsrpt_policy_type { TLSRPT_TLSA, TLSRPT_STS, TLSRPT_NO_POLICY, TLSRPT_POLICY_TYPE_COUNT };

/* §4.3, but for dane-required: nobody can require it here. */
enum tlsrpt_result {
	TLSRPT_SUCCESS, TLSRPT_STARTTLS_NOT_SUPPORTED, TLSRPT_CERTIFICATE_HOST_MISMATCH, TLSRPT_CERTIFICATE_EXPIRED,
	TLSRPT_CERTIFICATE_NOT_TRUSTED, TLSRPT_VALIDATION_FAILURE, TLSRPT_TLSA_INVALID, TLSRPT_DNSSEC_INVALID,
	TLSRPT_STS_FETCH_ERROR, TLSRPT_STS_INVALID, TLSRPT_STS_WEBPKI_INVALID,
	TLSRPT_RESULT_COUNT
};

/* What was applied, as one text: the rua of the record; then lines, each with LF at its end: "s" and a policy-string,
 * or "m" and an mx pattern. */
void tlsrpt_policy_begin(struct buf *policy, struct str rua);
void tlsrpt_policy_add(struct buf *policy, char kind, struct str text);
struct str tlsrpt_policy_rua(struct str policy);

struct tlsrpt_row {
	enum tlsrpt_policy_type type;
	struct str policy;
	enum tlsrpt_result result;
	struct str mx, address, local, reason; /* of a failure; may be empty */
	uint64_t count;
};

struct tlsrpt_report {
	struct str organisation, contact, id, domain;
	int64_t begin, end; /* seconds since 1970 UTC */
	const struct tlsrpt_row *rows;
	size_t row_count;
};

/* §4.4. Rows of one type and policy come together. Quadratic in the number of different policies. */
void tlsrpt_write(struct buf *json, const struct tlsrpt_report *report);

#endif

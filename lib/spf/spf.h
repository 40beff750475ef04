/*
 * check_host() of the Sender Policy Framework: may this address send mail for that domain? RFC 7208.
 *
 * Bounded whatever records say: ten terms that ask the DNS, two answers without records, ten names of an mx or ptr
 * (§4.6.4), and the deadline of the request. Everything of a result lies in the arena. No failure: each way things
 * can go is a result.
 */
#ifndef POSTHORN_SPF_SPF_H
#define POSTHORN_SPF_SPF_H

#include "dns.h"

/* Terms of a record and of those that it includes that may ask the DNS: RFC 7208 §4.6.4. */
enum { SPF_LOOKUPS_MAX = 10 };

/* RFC 7208 §2.6. */
enum spf_result { SPF_NONE, SPF_NEUTRAL, SPF_PASS, SPF_FAIL, SPF_SOFTFAIL, SPF_TEMPERROR, SPF_PERMERROR,
	SPF_RESULT_COUNT };

struct spf_request {
	const struct dns_source *dns;
	struct endpoint client;   /* <ip> */
	struct str helo;          /* as given */
	struct str sender;        /* MAIL FROM without brackets; empty: postmaster@helo, §2.4 */
	struct str receiver;      /* our name, for exp texts */
	int64_t deadline_ms;      /* clock_monotonic_ms(); 0: none */
	int64_t now;              /* wall clock, seconds, for exp texts */
};

struct spf_outcome {
	enum spf_result result;
	struct str domain;      /* that was asked: of the sender, or the HELO name */
	struct str term;        /* that decided, as written; empty: the default */
	struct str explanation; /* of SPF_FAIL, §6.2: from outside; empty without */
	const char *why;        /* of the errors, for logs and people */
	unsigned lookups;       /* terms that asked */
};

/* For MAIL FROM; for the HELO name when that is empty (§2.4), with the result none when it is no host name. */
void spf_check(struct arena *a, const struct spf_request *request, struct spf_outcome *outcome);

/* "pass" and so on, as RFC 8601 §2.7.2 has it. */
const char *spf_result_name(enum spf_result result);

#endif

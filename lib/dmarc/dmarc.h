/*
 * DMARC (RFC 9989): does a mail come from the domain that its From names, and what does that domain ask for when it
 * does not?
 *
 * The policy is found by the tree walk, without a list of public suffixes: eight questions at most for each domain
 * that has to be looked at. Everything of an outcome lies in the arena. No failure: each way things can go is a
 * result.
 */
#ifndef POSTHORN_DMARC_DMARC_H
#define POSTHORN_DMARC_DMARC_H

#include "dns.h"

enum dmarc_policy { DMARC_POLICY_ABSENT, DMARC_POLICY_NONE, DMARC_POLICY_QUARANTINE, DMARC_POLICY_REJECT,
	DMARC_POLICY_COUNT };

enum dmarc_psd { DMARC_PSD_UNKNOWN, DMARC_PSD_YES, DMARC_PSD_NO };

/* fo=, RFC 9989 §4.7 */
enum dmarc_failure { DMARC_FAILURE_ALL = 1, DMARC_FAILURE_ANY = 2, DMARC_FAILURE_DKIM = 4, DMARC_FAILURE_SPF = 8 };

struct dmarc_record {
	enum dmarc_policy policy, subdomain_policy, nonexistent_policy; /* p, sp, np */
	enum dmarc_psd psd;
	bool dkim_strict, spf_strict; /* adkim, aspf */
	bool testing;                 /* t=y */
	unsigned failure;             /* enum dmarc_failure */
	struct str aggregate, forensic; /* rua, ruf; empty without */
	bool malformed;               /* p, sp or np makes no sense, §4.10.1 */
};

/* False when it is none: it does not begin with v=DMARC1. What is wrong behind that is passed over (§4.8). */
bool dmarc_record_parse(struct str text, struct dmarc_record *record);

/* Takes the next address of rua or ruf that is a mailto: off the list, percent-decoded in the arena, without the size
 * that old records have. False at the end. */
bool dmarc_address_next(struct arena *a, struct str *list, struct str *address);

/* ---- the author ---- */

enum dmarc_author { DMARC_AUTHOR_FOUND, DMARC_AUTHOR_NONE, DMARC_AUTHOR_SEVERAL };

/* The domain of From in a header block (§5.3.1), in the form that is asked. SEVERAL: several fields, or several
 * domains. */
enum dmarc_author dmarc_author_find(struct arena *a, struct str header, struct str *domain);

/* ---- the check ---- */

enum dmarc_result { DMARC_NONE, DMARC_PASS, DMARC_FAIL, DMARC_TEMPERROR, DMARC_PERMERROR, DMARC_RESULT_COUNT };

struct dmarc_request {
	const struct dns_source *dns;
	struct str author;            /* from dmarc_author_find */
	struct str spf_domain;        /* that SPF passed for; empty: it did not pass */
	const struct str *dkim_domains; /* d= of the signatures that passed */
	size_t dkim_count;
	/* the same of what could not be asked for now, and may yet pass */
	struct str spf_unanswered;
	const struct str *dkim_unanswered;
	size_t dkim_unanswered_count;
};

struct dmarc_outcome {
	enum dmarc_result result;
	enum dmarc_policy policy;     /* asked for if it failed, t=y taken into account */
	enum dmarc_policy published;  /* as published */
	bool spf_aligned, dkim_aligned;
	struct str policy_domain;     /* where the record stands; empty: there is none */
	struct str organizational;    /* of the author, if it had to be known */
	struct dmarc_record record;
	const char *why;              /* of the errors */
};

void dmarc_check(struct arena *a, const struct dmarc_request *request, struct dmarc_outcome *outcome);

/* The organizational domain of a domain, §4.10.2; false when the DNS failed. */
bool dmarc_organizational_domain(struct arena *a, const struct dns_source *dns, struct str domain,
                                 struct str *organizational);

/* "pass" and so on (RFC 8601 §2.7.4); "none", "quarantine", "reject". */
const char *dmarc_result_name(enum dmarc_result result);
const char *dmarc_policy_name(enum dmarc_policy policy);

#endif

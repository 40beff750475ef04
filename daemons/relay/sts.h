/*
 * Policies of MTA-STS (RFC 8461): found by the TXT record, fetched by HTTPS, remembered until they expire, here and
 * by queue for the next relay.
 *
 * What is remembered holds as long as it has not expired, whatever the DNS or the server says or does not say (§5.1).
 * A policy that is a day old is fetched again; a fetch that failed is not tried again for STS_QUIET_SECONDS as long
 * as the record names the same id (§3.3). Many that ask for one domain share one fetch. At most STS_POLICIES_MAX
 * policies of STS_REMEMBERED_OCTETS_MAX are remembered; another one is used, and fetched again the next time.
 */
#ifndef POSTHORN_RELAY_STS_H
#define POSTHORN_RELAY_STS_H

#include "mtasts.h"
#include "relay.h"
#include "tlsrpt.h"

enum { STS_QUIET_SECONDS = 300, STS_REFRESH_SECONDS = 86400, STS_POLICIES_MAX = 5000,
       STS_REMEMBERED_OCTETS_MAX = 8192 };

struct sts_entry;

/* Why the policy that the domain's record names could not be got, for reports (RFC 8460 §4.3.2.2). */
struct sts_failure {
	enum tlsrpt_result result; /* TLSRPT_SUCCESS: it could, or there is none */
	char why[200];
};

/* Embedded in its owner's struct; zeroed before its first use. */
struct sts_wait {
	struct sts_entry *entry; /* NULL: nothing is asked */
	struct sts_wait *previous, *next;
	/* policy: NULL when the domain has none (or none that holds); an older one may hold after a failure. Both live as
	 * long as the call. */
	void (*ready)(struct sts_wait *wait, const struct mtasts_policy *policy, const struct sts_failure *failure);
	void *owner;
};

void sts_init(struct relay *r);

/* domain: A-labels in lower case. ready is called once, never before this returns. */
void sts_ask(struct relay *r, struct sts_wait *wait, struct str domain,
             void (*ready)(struct sts_wait *wait, const struct mtasts_policy *policy,
                           const struct sts_failure *failure),
             void *owner);

/* Nothing when nothing is asked. */
void sts_stop(struct sts_wait *wait);

/* What queue remembers. False when it makes no sense. */
bool sts_remember(struct relay *r, const struct msg_sts_policy *message);

#endif

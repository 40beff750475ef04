/*
 * What the way to a host demands of TLS: DANE (RFC 7672), MTA-STS (RFC 8461) and REQUIRETLS (RFC 8689), on top of
 * what our own configuration says.
 *
 * Records of TLSA are asked for only where DNSSEC vouches for the host's name and its addresses (RFC 7672 §2.2.2), at
 * the name that it is an alias of first (§2.2.3);
 * where there are none that can be used, the domain's policy of MTA-STS holds. What came of it is told to queue for
 * reports (RFC 8460); connections that are made before it is known who wants them are not counted. A policy belongs
 * to one attempt; a demand is a value of its own, so that a connection can keep it. The sender's "TLS-Required: No"
 * (RFC 8689 §3) sets all of it aside.
 */
#ifndef POSTHORN_RELAY_POLICY_H
#define POSTHORN_RELAY_POLICY_H

#include "ask.h"
#include "services.h"
#include "sts.h"
#include "tls.h"
#include "tlsrpt.h"

struct relay;

enum { POLICY_TEXT_MAX = 4000, POLICY_RECORDS_MAX = 16, POLICY_RECORD_OCTETS_MAX = 64 };

enum policy_level {
	POLICY_AS_CONFIGURED,
	POLICY_ENCRYPTED, /* TLS, and any certificate will do: there are TLSA records, but none that can be used (RFC 7672 §2.2) */
	POLICY_VERIFIED,  /* a certificate for the host's name, from an authority that we trust */
	POLICY_DANE,
};

enum policy_use {
	POLICY_USE,
	POLICY_NOT_NOW, /* this host is not used now: what the DNS says of it can't be trusted, or got */
	POLICY_NEVER,   /* it can't give what is demanded */
};

struct policy_record {
	uint8_t usage, selector, matching, length;
	unsigned char data[POLICY_RECORD_OCTETS_MAX];
};

/* Zeroed it is that of the configuration. */
struct policy_demand {
	enum policy_use use;
	enum policy_level level;
	bool observed;                    /* the certificate is looked at, for reports, and not insisted on: MTA-STS in testing mode */
	size_t record_count;              /* DANE */
	struct policy_record records[POLICY_RECORDS_MAX];
	char base[LIMIT_DOMAIN_MAX + 1];   /* DANE: where the records are; what the certificate is for */
	char domain[LIMIT_DOMAIN_MAX + 1]; /* DANE with a trust anchor: the certificate may be for it, too; else "" */
	char status[8];                   /* where it is not used */
	const char *why;
};

/* Embedded in its attempt. */
struct policy {
	struct relay *relay;
	struct ask tlsa;
	struct sts_wait sts;
	char domain[LIMIT_DOMAIN_MAX + 1];
	uint32_t flags;
	char host[LIMIT_DOMAIN_MAX + 1];  /* the one at hand */
	char base[LIMIT_DOMAIN_MAX + 1];  /* TLSA records are asked for there */
	unsigned port;
	bool secure;                      /* DNSSEC vouches for it, */
	bool named;                       /* or the policy of MTA-STS names it */
	bool failure_told;                /* of getting that policy */
	struct policy_demand demand;
	struct ask wanted;                /* who gets reports */
	char rua[1000];                   /*  : nobody, as far as is known */
	enum tlsrpt_policy_type type;     /* that was applied to the host at hand */
	struct buf applied;               /* as tlsrpt_policy_add writes it */
	void (*ready)(void *owner);
	void *owner;
};

/* domain: the destination; flags: enum relay_flags. Of our own configuration (a smarthost, a transport) nothing is
 * demanded: then no policy is begun. */
void policy_begin(struct policy *p, struct relay *r, struct str domain, uint32_t flags, void (*ready)(void *owner),
                  void *owner);
void policy_end(struct policy *p);

/* What the DNS said of a host. */
struct policy_host {
	struct str name;
	struct str canonical; /* that it is an alias of, or empty */
	unsigned port;
	bool name_is_secure;  /* DNSSEC vouches for the name (the MX record), */
	bool secure;          /* and for its addresses, with all aliases */
};

/* Finds out what is demanded of this host; calls ready, maybe before it returns, when policy->demand says so. */
void policy_look(struct policy *p, const struct policy_host *host);

/* Tells queue of one connection to the host at hand, for the report (RFC 8460), where the domain wants any. reason:
 * our own words. */
void policy_report(struct policy *p, enum tlsrpt_result result, struct str address, struct str local,
                   struct str reason);

/* A connection that was made for one will do for the other. */
bool policy_is_same_demand(const struct policy_demand *a, const struct policy_demand *b);

/* For a demand of DANE. */
struct tls_connection *policy_connect(const struct policy_demand *demand, struct tls_client *client, int fd,
                                      struct fail **fail);

#endif

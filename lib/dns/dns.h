/*
 * Questions to the DNS and their answers, for programs that have no socket of their own: they ask a dns_source, which
 * in service is the resolver process and in tests a zone in memory (dns_zone.h).
 *
 * An answer is what the resolver found after following CNAMEs: the records of the type asked for, in the order given,
 * each as its RDATA without compression (RFC 1035 §3.2). Nothing in it is trusted: the readers below refuse what is
 * malformed. Everything of an answer lies in the arena that was given.
 */
#ifndef POSTHORN_DNS_DNS_H
#define POSTHORN_DNS_DNS_H

#include "arena.h"
#include "buf.h"
#include "endpoint.h"

/* RFC 1035 §3.2.2, RFC 3596, RFC 2782, RFC 6698. */
enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_TLSA = 52,
};

enum dns_status {
	DNS_FOUND,   /* at least one record */
	DNS_NO_DATA, /* the name exists, without such a record */
	DNS_NO_NAME, /* NXDOMAIN */
	DNS_FAILED,  /* no answer, SERVFAIL: may pass */
	DNS_BOGUS,   /* DNSSEC says that it was tampered with, or is broken */
	DNS_STATUS_COUNT
};

struct dns_answer {
	enum dns_status status;
	bool secure;          /* DNSSEC-validated, also that there is nothing */
	uint32_t ttl_seconds; /* how long it may be kept */
	struct str canonical; /* the name at the end of CNAMEs; empty when that is the name asked for */
	struct str *records;
	size_t count;
};

/* Who answers. ask fills answer; it waits as long as its own limits say and then gives DNS_FAILED. ahead, which may
 * be NULL, is told of a question that is to come: the answer may then be there when it does. */
struct dns_source {
	void (*ask)(void *context, struct arena *a, struct str name, enum dns_type type, struct dns_answer *answer);
	void *context;
	void (*ahead)(void *context, struct str name, enum dns_type type);
};

/* A name that is none gives DNS_NO_NAME without being asked. The name may be in UTF-8 (RFC 5890) or end with a dot. */
void dns_ask(const struct dns_source *source, struct arena *a, struct str name, enum dns_type type,
             struct dns_answer *answer);

/* Says that dns_ask will come with the same: waits for nothing. */
void dns_ask_ahead(const struct dns_source *source, struct arena *a, struct str name, enum dns_type type);

/* "MX"; "TYPE99" is not for us: NULL. */
const char *dns_type_name(enum dns_type type);
const char *dns_status_name(enum dns_status status);

/* ---- names ---- */

/* Labels of 1 to 63 octets, 253 in all, printable ASCII without blanks; underscores and what else occurs in TXT
 * owners is allowed. A final dot is not part of it. */
bool dns_name_is_valid(struct str name);

/* A host name: letters, digits and hyphens inside labels (RFC 1123 §2.1), two labels or more. */
bool dns_name_is_host(struct str name);

/* In the form that is asked: A-labels, lower case, without the final dot; in the arena. False when it is no name. */
bool dns_name_normalise(struct arena *a, struct str name, struct str *out);

/* Does it equal the domain or end with "." domain? Case does not count. */
bool dns_name_is_within(struct str name, struct str domain);

/* 1.2.0.192.in-addr.arpa, RFC 1035 §3.5; ….ip6.arpa, RFC 3596 §2.5. */
void dns_reverse_name(struct buf *out, const struct endpoint *address);

/* ---- RDATA ---- */

/* A or AAAA. */
bool dns_read_address(struct str record, enum dns_type type, struct endpoint *address);

/* Of PTR, CNAME, NS: the name as text. */
bool dns_read_name(struct arena *a, struct str record, struct str *name);

struct dns_mx {
	uint16_t preference;
	struct str host; /* empty for "." (RFC 7505) */
};
bool dns_read_mx(struct arena *a, struct str record, struct dns_mx *mx);

/* The strings of a TXT record joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2). */
bool dns_read_txt(struct arena *a, struct str record, struct str *text);

struct dns_srv {
	uint16_t priority, weight, port;
	struct str host;
};
bool dns_read_srv(struct arena *a, struct str record, struct dns_srv *srv);

/* RFC 6698 §2.1. */
struct dns_tlsa {
	uint8_t usage, selector, matching;
	struct str data;
};
bool dns_read_tlsa(struct str record, struct dns_tlsa *tlsa);

/* ---- as the resolver sends them ---- */
void dns_answer_pack(const struct dns_answer *answer, struct buf *out);

/* Of what was packed: how long it may be kept; 0 for failures and what is malformed. */
uint32_t dns_packed_ttl(struct str packed);

/* It is another one from now on. */
void dns_packed_set_ttl(char *packed, size_t length, uint32_t ttl_seconds);

/* The strings of the answer are views of packed. False when it is malformed. */
bool dns_answer_unpack(struct arena *a, struct str packed, struct dns_answer *answer);

#endif

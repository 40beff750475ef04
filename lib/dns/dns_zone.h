/*
 * A zone in memory, as a dns_source for tests, fuzzers and tools that try out records before they are published.
 *
 * One record a line: `name TYPE data`, names absolute without the final dot, `;` begins a comment. Types and their
 * data: A and AAAA address, MX preference host, TXT "string" "string", PTR, CNAME and NS name, TLSA usage selector
 * matching hex. `name FAIL` and `name TYPE FAIL` fail for now, `name BOGUS` is not secure where it should be. CNAMEs
 * are followed, a chain of more than 10 fails. A name exists when it or one below it has a record.
 */
#ifndef POSTHORN_DNS_DNS_ZONE_H
#define POSTHORN_DNS_DNS_ZONE_H

#include "dns.h"

struct dns_zone;

/* FAIL_INVALID names the line. */
struct dns_zone *dns_zone_parse(struct str text, struct fail **fail);
void dns_zone_free(struct dns_zone *zone);

/* Lives as long as the zone. */
struct dns_source dns_zone_source(struct dns_zone *zone);

/* Questions asked since the parse. */
unsigned dns_zone_asked(const struct dns_zone *zone);

#endif

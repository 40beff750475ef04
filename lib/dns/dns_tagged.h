/*
 * TXT records that begin with their version and a semicolon, "v=STSv1; id=…": those of MTA-STS (RFC 8461 §3.1) and of
 * TLSRPT (RFC 8460 §3). What is found are views of the texts given; each has the strings of its record joined.
 */
#ifndef POSTHORN_DNS_TAGGED_H
#define POSTHORN_DNS_TAGGED_H

#include "str.h"

/* The one record of that version; false when there is none, or more than one: then the domain counts as having none. */
bool dns_tagged_find(const struct str *records, size_t count, struct str version, struct str *record);

/* Takes what stands before the next semicolon off the front, without the blanks around it. False at the end; what is
 * empty behind the last semicolon is none. */
bool dns_tagged_next(struct str *rest, struct str *field);

/* Without the blanks (RFC 5234 WSP) around it. */
struct str dns_tagged_trim(struct str s);

#endif

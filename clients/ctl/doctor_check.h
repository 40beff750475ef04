/*
 * What the checks of doctor share: whom they look at, whom they ask, and how they say what they found.
 *
 * A check is a function in the table of doctor.c; it runs once for the host, or once for each domain. It reports one
 * finding or several, with what is wrong in plain words, what to do, and the record to publish; and it adds to the
 * zone what should stand there, be it there already or not. Everything that is said lies in the arena. Names are
 * A-labels in lower case without the final dot.
 */
#ifndef POSTHORN_CTL_DOCTOR_CHECK_H
#define POSTHORN_CTL_DOCTOR_CHECK_H

#include "array.h"
#include "config.h"
#include "ctl_command.h"
#include "ctl_link.h"
#include "dns.h"

#include <stdio.h>

enum { DOCTOR_ARENA_MAX = 256 << 20, DOCTOR_CONNECT_MS = 5000 };

enum doctor_level { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_WARNING, DOCTOR_ERROR, DOCTOR_LEVEL_COUNT };

struct doctor_finding {
	enum doctor_level level;
	struct str text;   /* one or more sentences without the final stop */
	struct str advice; /* or empty */
	struct str record; /* lines of a zone file, or empty */
};

/* A line of the zone file; data as it is written there. */
struct doctor_record {
	struct str owner;
	const char *type;
	struct str data;
};

struct doctor_dns;
struct doctor_output;

struct doctor {
	const struct ctl_call *call;
	struct config config;
	char *runtime_directory;
	struct arena *arena;
	struct str host;               /* the host's name; empty when it has none that could stand in the DNS */
	ARRAY(struct endpoint) local;     /* the addresses that this host has */
	ARRAY(struct endpoint) addresses; /* those that the DNS gives its name: where the world finds it */
	ARRAY(struct str) domains;
	ARRAY(struct doctor_record) zone;
	struct doctor_dns *dns;
	struct doctor_output *output;
	int64_t deadline_ms;           /* of all together */
	unsigned counts[DOCTOR_LEVEL_COUNT];
};

/* ---- doctor_output.c: findings ---- */

struct doctor_output *doctor_output_begin(const struct ctl_call *call, FILE *out);
void doctor_output_end(struct doctor *d);

/* What follows is about this host or domain, and found by this check. */
void doctor_output_about(struct doctor_output *output, struct str subject, const char *check);

void doctor_report(struct doctor *d, struct doctor_finding finding);
void doctor_ok(struct doctor *d, const char *format, ...) FORMAT(2, 3);
void doctor_note(struct doctor *d, const char *format, ...) FORMAT(2, 3);

/* A line for a finding: "owner. IN TYPE data". */
struct str doctor_record(struct doctor *d, struct str owner, const char *type, struct str data);

/* A text as data of a TXT record: quoted, in strings of 255 octets. */
struct str doctor_text_data(struct doctor *d, struct str text);

/* A line for a finding with it. */
struct str doctor_text_record(struct doctor *d, struct str owner, struct str text);

/* Should stand in the zone; once is enough. */
void doctor_zone_add(struct doctor *d, struct str owner, const char *type, struct str data);
void doctor_zone_print(struct doctor *d, FILE *out);

/* "192.0.2.1" */
struct str doctor_address(struct doctor *d, const struct endpoint *address);

/* ---- doctor_dns.c: questions ---- */

struct doctor_dns *doctor_dns_begin(struct doctor *d, struct fail **fail);
void doctor_dns_end(struct doctor_dns *dns);

/* For libraries that ask by themselves. */
const struct dns_source *doctor_dns_source(const struct doctor_dns *dns);

/* Nobody answers: questions fail at once. */
bool doctor_dns_is_silent(const struct doctor_dns *dns);

/* Does it know the keys of the root, so that an answer can be secure? */
bool doctor_dns_validates(const struct doctor_dns *dns);

/* False when there was no answer, which it reports. */
bool doctor_ask(struct doctor *d, struct str name, enum dns_type type, struct dns_answer *answer);

/* The TXT records at name that begin as is_wanted says (NULL: all): how many, and the first one. False when there was
 * no answer. */
bool doctor_ask_text(struct doctor *d, struct str name, bool (*is_wanted)(struct str text), size_t *count,
                     struct str *text);

/* What stands in a TXT record at a name that has only one use, where what belongs there was not found; empty:
 * nothing. */
struct str doctor_stray_text(struct doctor *d, struct str name);

/* A and AAAA of a name. */
struct doctor_addresses {
	ARRAY(struct endpoint) list;
	bool is_alias; /* the name is a CNAME */
	bool answered;
};
void doctor_ask_addresses(struct doctor *d, struct str name, struct doctor_addresses *addresses);

/* For CLEANUP. */
void doctor_addresses_release(struct doctor_addresses *addresses);

bool doctor_is_among(const struct endpoint *list, size_t count, const struct endpoint *address);

/* ---- the checks; of the host, or of a domain ---- */

/* doctor_names.c */
void doctor_check_dns(struct doctor *d, struct str host);
void doctor_check_helo(struct doctor *d, struct str host);
void doctor_check_address(struct doctor *d, struct str host);
void doctor_check_reverse(struct doctor *d, struct str host);
void doctor_check_lists(struct doctor *d, struct str host);
void doctor_check_mx(struct doctor *d, struct str domain);

/* doctor_spf.c */
void doctor_check_spf(struct doctor *d, struct str domain);

/* doctor_sender.c */
void doctor_check_dkim(struct doctor *d, struct str domain);
void doctor_check_dmarc(struct doctor *d, struct str domain);

/* doctor_tls.c */
void doctor_check_certificate(struct doctor *d, struct str host);
void doctor_check_tlsa(struct doctor *d, struct str host);

/* doctor_policy.c */
void doctor_check_mta_sts(struct doctor *d, struct str domain);
void doctor_check_tls_report(struct doctor *d, struct str domain);

/* doctor_tls.c: the file of authorities that are trusted, NULL: the system's. */
const char *doctor_authorities(const struct doctor *d);

/* doctor_https.c: the body of a page, at most out's limit. FAIL_NOT_FOUND when the server has none, or sends elsewhere;
 * a certificate that is wrong is a failure too. */
bool doctor_https_get(struct doctor *d, struct str host, const char *path, struct buf *out, struct fail **fail);

/* doctor_clients.c */
void doctor_check_clients(struct doctor *d, struct str domain);

/* doctor_host.c */
void doctor_check_ports(struct doctor *d, struct str host);
void doctor_check_clock(struct doctor *d, struct str host);
void doctor_check_disk(struct doctor *d, struct str host);

#endif

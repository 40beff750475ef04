/*
 * The domains whose mail is ours.
 *
 * Names are A-labels in lower case. A domain may have a catch-all target (an address, local or
 * remote, that gets what no account or alias takes), a postmaster, and the quotas that its
 * accounts inherit. It can be removed only when it has no accounts, not even deleted ones that
 * still wait for their purge, and no aliases.
 */
#ifndef POSTHORN_DIRECTORY_DOMAIN_H
#define POSTHORN_DIRECTORY_DOMAIN_H

#include "directory.h"

struct directory_domain {
	int64_t id;
	int64_t quota_bytes;     /* of each account; 0: no limit */
	int64_t quota_messages;
	int64_t created;         /* seconds since 1970 */
	char name[LIMIT_DOMAIN_MAX + 1];
	char catch_all[DIRECTORY_ADDRESS_TEXT_MAX + 1];   /* "" for none */
	char postmaster[DIRECTORY_ADDRESS_TEXT_MAX + 1];  /* "" takes the domain's first account */
};

bool directory_domain_add(struct directory *d, struct str name, struct fail **fail);
bool directory_domain_remove(struct directory *d, struct str name, struct fail **fail);

/* FAIL_NOT_FOUND with "domain … is not ours; add it with: …". */
bool directory_domain_get(struct directory *d, struct str name, struct directory_domain *domain, struct fail **fail);

/* The next domain in order of addition; begin with domain->id 0. False at the end and on failure. */
bool directory_domain_next(struct directory *d, struct directory_domain *domain, struct fail **fail);

/* An empty target takes the setting away. A bare local part means this domain. */
bool directory_domain_set_catch_all(struct directory *d, struct str name, struct str target, struct fail **fail);
bool directory_domain_set_postmaster(struct directory *d, struct str name, struct str target, struct fail **fail);
bool directory_domain_set_quota(struct directory *d, struct str name, int64_t bytes, int64_t messages,
                                struct fail **fail);

/* The domain for names without one: the setting, else the first domain. */
bool directory_default_domain(struct directory *d, char name[LIMIT_DOMAIN_MAX + 1], struct fail **fail);

#endif

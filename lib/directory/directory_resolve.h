/*
 * Where mail for an address goes.
 *
 * Order for local@domain: the account or alias of that name; the same without its subaddress
 * ("alice+lists"); for postmaster and abuse the domain's postmaster, else its first account; the
 * domain's catch-all. Aliases are followed as far as they go; every account and every remote
 * address comes once; targets that no longer exist or are disabled are left out. About 5 µs for an
 * account.
 *
 * Bounded: LIMIT_ALIAS_DEPTH_MAX, LIMIT_ALIAS_TARGETS_MAX; what passes them is DIRECTORY_BROKEN
 * as a whole, not cut short. A resolution is reused: directory_resolve empties it first.
 */
#ifndef POSTHORN_DIRECTORY_RESOLVE_H
#define POSTHORN_DIRECTORY_RESOLVE_H

#include "arena.h"
#include "array.h"
#include "directory.h"

enum directory_verdict {
	DIRECTORY_DELIVER,         /* there are targets */
	DIRECTORY_UNKNOWN_DOMAIN,  /* not ours */
	DIRECTORY_UNKNOWN_USER,
	DIRECTORY_DISABLED,        /* an account that gets no mail for now */
	DIRECTORY_BROKEN,          /* aliases that pass a limit: the administrator's to mend, the mail is to wait */
};

struct directory_target {
	int64_t account_id;     /* 0: address is elsewhere */
	struct str address;     /* the account's primary address, or the remote one */
	struct str directory;   /* of the account */
	struct str subaddress;  /* as written, without the separator; empty without */
};

struct directory_resolution {
	enum directory_verdict verdict;
	struct str recipient;   /* the address asked for, in comparing form */
	ARRAY(struct directory_target) targets;
	struct arena *arena;    /* holds all the text */
};

void directory_resolution_init(struct directory_resolution *r);

/* For CLEANUP. */
void directory_resolution_release(struct directory_resolution *r);

/* <postmaster> without a domain is the default domain's (RFC 5321 §4.5.1). Fails for what is no
 * address, and when the database fails. */
bool directory_resolve(struct directory *d, struct str address, struct directory_resolution *r, struct fail **fail);

#endif

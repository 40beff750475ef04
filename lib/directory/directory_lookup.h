/*
 * Inside lib/directory only: one address looked up, without following aliases.
 */
#ifndef POSTHORN_DIRECTORY_LOOKUP_H
#define POSTHORN_DIRECTORY_LOOKUP_H

#include "directory_account.h"
#include "directory_sql.h"

struct lookup {
	int64_t domain_id;    /* 0: not our domain; all else is empty then */
	int64_t alias_id;     /* 0: not an alias */
	int64_t account_id;   /* 0: not an account */
	bool enabled;
	size_t local_length;  /* octets of address.local that matched: less than all with a subaddress */
	char directory[DIRECTORY_PATH_MAX + 1];
};

/* The address as it is, else without its subaddress. False only when the database fails. */
bool lookup_address(struct directory *d, const struct directory_address *address, struct lookup *found,
                    struct fail **fail);

/* Length of the part of local before the first separator; all of it without one. */
size_t lookup_base_length(const struct directory *d, const char *local);

/* The form in which a target is kept: bare local parts get domain, ours are in comparing form, the
 * case of others and of subaddresses stays. text has room for DIRECTORY_ADDRESS_TEXT_MAX + 1. */
bool lookup_target(struct directory *d, const char *domain, struct str target, char *text, struct fail **fail);

/* postmaster (RFC 5321 §4.5.1) or abuse (RFC 2142 §2), with or without a subaddress. */
bool lookup_is_role(const struct directory *d, const struct directory_address *address);

#endif

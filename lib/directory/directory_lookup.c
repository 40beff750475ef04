#include "directory_lookup.h"

size_t lookup_base_length(const struct directory *d, const char *local)
{
	const char *separators = directory_setting(d, DIRECTORY_SEPARATORS);
	/* "+x@…" has no base: it is a name of its own. */
	return local[0] ? 1 + strcspn(local + 1, separators) : 0;
}

bool lookup_is_role(const struct directory *d, const struct directory_address *address)
{
	struct str base = str_first(str_of(address->local), lookup_base_length(d, address->local));
	return str_equal(base, STR("postmaster")) || str_equal(base, STR("abuse"));
}

static bool lookup_local(struct directory *d, struct str domain, struct str local, struct lookup *found,
                         struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ADDRESS_FIND, fail);
	query_text(&q, 1, domain);
	query_text(&q, 2, local);
	found->domain_id = found->alias_id = found->account_id = 0;
	if (!query_row(&q))
		return !q.failed;
	found->domain_id = query_get_number(&q, 0);
	found->alias_id = query_get_number(&q, 1);
	found->account_id = query_get_number(&q, 2);
	query_copy(&q, 3, found->directory, sizeof found->directory);
	found->enabled = query_get_number(&q, 4);
	found->local_length = local.length;
	return !q.failed;
}

bool lookup_address(struct directory *d, const struct directory_address *address, struct lookup *found,
                    struct fail **fail)
{
	struct str local = str_of(address->local);
	struct str domain = str_of(address->domain);
	if (!lookup_local(d, domain, local, found, fail))
		return false;
	size_t base = lookup_base_length(d, address->local);
	if (found->alias_id || found->account_id || !found->domain_id || base == local.length)
		return true;
	return lookup_local(d, domain, str_first(local, base), found, fail);
}

bool lookup_target(struct directory *d, const char *domain, struct str target, char *text, struct fail **fail)
{
	struct directory_address address;
	struct lookup found;
	if (!directory_address_parse(target, &address, fail))
		return false;
	if (!address.domain[0])
		memcpy(address.domain, domain, strlen(domain) + 1);
	if (!lookup_address(d, &address, &found, fail))
		return false;
	/* The subaddress keeps its case too; only what is compared must not. */
	bool folded = found.domain_id && found.local_length == strlen(address.local);
	directory_address_write(str_of(folded ? address.local : address.shown), str_of(address.domain), text);
	return true;
}

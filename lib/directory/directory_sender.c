#include "directory_sender.h"

#include "directory_account.h"
#include "directory_resolve.h"
#include "directory_sql.h"

#include <stdio.h>

static bool has_sender_row(struct directory *d, int64_t account_id, const struct directory_address *address,
                           bool *allowed, struct fail **fail)
{
	char whole[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	char domain[LIMIT_DOMAIN_MAX + 2];
	directory_address_write(str_of(address->local), str_of(address->domain), whole);
	snprintf(domain, sizeof domain, "@%s", address->domain);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_SENDER_HAS, fail);
	query_number(&q, 1, account_id);
	query_text(&q, 2, str_of(whole));
	query_text(&q, 3, str_of(domain));
	*allowed = query_row(&q);
	return !q.failed;
}

bool directory_sender_allowed(struct directory *d, int64_t account_id, struct str text, bool *allowed,
                              struct fail **fail)
{
	struct directory_address address;
	*allowed = false;
	if (!directory_address_parse(text, &address, fail))
		return false;
	if (!has_sender_row(d, account_id, &address, allowed, fail))
		return false;
	CLEANUP(directory_resolution_release) struct directory_resolution r;
	directory_resolution_init(&r);
	if (!*allowed && address.domain[0] && !directory_resolve(d, text, &r, fail))
		return false;
	for (size_t i = 0; i < r.targets.count; i++)
		*allowed = *allowed || r.targets.items[i].account_id == account_id;
	return true;
}

/* "@domain" or an address with a domain, in comparing form. */
static bool prepare(struct str text, char *written, struct fail **fail)
{
	struct directory_address address;
	if (text.length > 0 && text.data[0] == '@') {
		written[0] = '@';
		return directory_domain_name(str_from_index(text, 1), written + 1, fail);
	}
	if (!directory_address_parse(text, &address, fail))
		return false;
	if (!address.domain[0])
		return fail_set(fail, FAIL_INVALID, "%s has no domain; write %s@DOMAIN", address.local, address.local);
	directory_address_write(str_of(address.local), str_of(address.domain), written);
	return true;
}

/* *changed: rows that became others. */
static bool change_row(struct directory *d, enum directory_sql which, int64_t account_id, const char *address,
                       int *changed, struct fail **fail)
{
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, which, fail);
	query_number(&q, 1, account_id);
	query_text(&q, 2, str_of(address));
	if (!query_run(&q))
		return false;
	*changed = sqlite3_changes(d->db);
	return change_commit(&change);
}

bool directory_sender_add(struct directory *d, int64_t account_id, struct str text, struct fail **fail)
{
	struct directory_account account;
	char written[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	int added;
	return prepare(text, written, fail) && directory_account_get_by_id(d, account_id, &account, fail) &&
	       change_row(d, SQL_SENDER_ADD, account_id, written, &added, fail);
}

bool directory_sender_remove(struct directory *d, int64_t account_id, struct str text, struct fail **fail)
{
	char written[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	int removed;
	if (!prepare(text, written, fail) || !change_row(d, SQL_SENDER_REMOVE, account_id, written, &removed, fail))
		return false;
	return removed > 0 || fail_set(fail, FAIL_NOT_FOUND, "%s was not added as a sender", written);
}

bool directory_sender_next(struct directory *d, int64_t account_id, char *address, struct fail **fail)
{
	char after[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	snprintf(after, sizeof after, "%s", address);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_SENDER_NEXT, fail);
	query_number(&q, 1, account_id);
	query_text(&q, 2, str_of(after));
	if (!query_row(&q))
		return false;
	query_copy(&q, 0, address, sizeof after);
	return !q.failed;
}

#include "directory_account.h"

#include "clock.h"
#include "directory_credential.h"
#include "directory_domain.h"
#include "directory_sql.h"
#include "text.h"

#include <stdio.h>

static void read_account(struct query *q, struct directory_account *account)
{
	account->id = query_get_number(q, 0);
	char local[LIMIT_LOCAL_PART_MAX + 1];
	char domain[LIMIT_DOMAIN_MAX + 1];
	query_copy(q, 1, local, sizeof local);
	query_copy(q, 2, domain, sizeof domain);
	directory_address_write(str_of(local), str_of(domain), account->address);
	query_copy(q, 3, account->directory, sizeof account->directory);
	query_copy(q, 4, account->display_name, sizeof account->display_name);
	query_copy(q, 5, account->language, sizeof account->language);
	account->enabled = query_get_number(q, 6);
	account->mechanisms = (unsigned)query_get_number(q, 7);
	account->own_quota_bytes = query_get_number(q, 8);
	account->own_quota_messages = query_get_number(q, 9);
	account->quota_bytes = query_get_number(q, account->own_quota_bytes < 0 ? 10 : 8);
	account->quota_messages = query_get_number(q, account->own_quota_messages < 0 ? 11 : 9);
	account->created = query_get_number(q, 12);
	account->purge_at = query_get_number(q, 13);
}

/* The row of q, if it has one. */
static bool take_account(struct query *q, struct directory_account *account)
{
	if (!query_row(q))
		return false;
	read_account(q, account);
	return !q->failed;
}

/* By address in comparing form; false also on failure, which then is set. */
static bool find(struct directory *d, const struct directory_address *address, struct directory_account *account,
                 bool *found, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ACCOUNT_BY_ADDRESS, fail);
	query_text(&q, 1, str_of(address->domain));
	query_text(&q, 2, str_of(address->local));
	*found = take_account(&q, account);
	return !q.failed;
}

bool directory_account_get(struct directory *d, struct str text, struct directory_account *account, struct fail **fail)
{
	struct directory_address address;
	struct directory_domain domain;
	bool found;
	if (!directory_address_parse(text, &address, fail))
		return false;
	if (!address.domain[0])
		return fail_set(fail, FAIL_INVALID, "%s has no domain; write %s@DOMAIN", address.local, address.local);
	if (!find(d, &address, account, &found, fail))
		return false;
	if (found)
		return true;
	if (!directory_domain_get(d, str_of(address.domain), &domain, fail))
		return false;
	return fail_set(fail, FAIL_NOT_FOUND, "there is no account %s@%s; add it with: posthornctl account add %s@%s",
	                address.local, address.domain, address.local, address.domain);
}

bool directory_account_get_by_id(struct directory *d, int64_t id, struct directory_account *account, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ACCOUNT_BY_ID, fail);
	query_number(&q, 1, id);
	if (take_account(&q, account))
		return true;
	return q.failed ? false : fail_set(fail, FAIL_NOT_FOUND, "there is no account number %lld", (long long)id);
}

bool directory_account_next(struct directory *d, int64_t domain_id, struct directory_account *account,
                            struct fail **fail)
{
	enum directory_sql which = domain_id ? SQL_ACCOUNT_NEXT_OF_DOMAIN : SQL_ACCOUNT_NEXT;
	CLEANUP(query_end) struct query q = query_begin(d, which, fail);
	query_number(&q, 1, account->id);
	if (domain_id)
		query_number(&q, 2, domain_id);
	return take_account(&q, account);
}

static bool language_is_known(struct str language, struct fail **fail)
{
	if (str_equal(language, STR("en")) || str_equal(language, STR("it")) || str_equal(language, STR("sk")))
		return true;
	return fail_set(fail, FAIL_INVALID, "the language is one of en, it, sk");
}

static bool display_name_is_good(struct str name, struct fail **fail)
{
	if (name.length > DIRECTORY_DISPLAY_NAME_MAX || !text_is_utf8(name))
		return fail_set(fail, FAIL_INVALID, "the display name is longer than %d octets or not UTF-8",
		                DIRECTORY_DISPLAY_NAME_MAX);
	for (size_t i = 0; i < name.length; i++) {
		if ((unsigned char)name.data[i] < ' ' || name.data[i] == 127)
			return fail_set(fail, FAIL_INVALID, "the display name has control characters");
	}
	return true;
}

/* A name that any tool can type, and that tells people whose it is when the database is lost. */
static void directory_name(const struct directory_address *address, int64_t id, char *name)
{
	char local[LIMIT_ACCOUNT_LOCAL_PART_MAX + 1];
	size_t length = strlen(address->local);
	for (size_t i = 0; i <= length; i++) {
		char c = address->local[i];
		bool plain = !c || char_is_alpha(c) || char_is_digit(c) || c == '_' || ((c == '-' || c == '.') && i > 0);
		local[i] = plain ? c : '_';
	}
	snprintf(name, DIRECTORY_PATH_MAX + 1, "%s/%s.%lld", address->domain, local, (long long)id);
}

static bool insert_account(struct directory *d, int64_t domain_id, const struct directory_address *address,
                           struct str display_name, struct str language, int64_t *id, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ACCOUNT_ADD, fail);
	query_number(&q, 1, domain_id);
	query_text(&q, 2, str_of(address->local));
	query_text(&q, 3, display_name);
	query_text(&q, 4, language);
	query_number(&q, 5, clock_wall_seconds());
	if (!query_run(&q))
		return false;
	*id = sqlite3_last_insert_rowid(d->db);
	char name[DIRECTORY_PATH_MAX + 1];
	directory_name(address, *id, name);
	CLEANUP(query_end) struct query named = query_begin(d, SQL_ACCOUNT_DIRECTORY, fail);
	query_number(&named, 1, *id);
	query_text(&named, 2, str_of(name));
	return query_run(&named);
}

static bool give_address(struct directory *d, int64_t domain_id, const char *local, int64_t id, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ADDRESS_SET_ACCOUNT, fail);
	query_number(&q, 1, domain_id);
	query_text(&q, 2, str_of(local));
	query_number(&q, 3, id);
	return query_run(&q);
}

/* An alias at the address would swallow the account's mail, unless it names the account. */
static bool address_is_free(struct directory *d, const struct directory_address *address, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ADDRESS_FIND, fail);
	query_text(&q, 1, str_of(address->domain));
	query_text(&q, 2, str_of(address->local));
	if (!query_row(&q))
		return !q.failed;
	if (query_get_number(&q, 2))
		return fail_set(fail, FAIL_EXISTS, "account %s@%s exists already", address->local, address->domain);
	if (query_get_number(&q, 1))
		return fail_set(fail, FAIL_EXISTS, "%s@%s is an alias; remove it with: posthornctl alias remove %s@%s",
		                address->local, address->domain, address->local, address->domain);
	return true;
}

bool directory_account_add(struct directory *d, struct str text, struct str display_name, struct str language,
                           int64_t *id, struct fail **fail)
{
	struct directory_address address;
	struct directory_domain domain;
	if (str_is_empty(language))
		language = STR("en");
	if (!directory_address_parse(text, &address, fail))
		return false;
	if (!address.domain[0])
		return fail_set(fail, FAIL_INVALID, "%s has no domain; write %s@DOMAIN", address.local, address.local);
	if (strlen(address.local) > LIMIT_ACCOUNT_LOCAL_PART_MAX || strlen(address.shown) > LIMIT_ACCOUNT_LOCAL_PART_MAX)
		return fail_set(fail, FAIL_INVALID, "the part before the \"@\" of an account has at most %d octets",
		                LIMIT_ACCOUNT_LOCAL_PART_MAX);
	if (!language_is_known(language, fail) || !display_name_is_good(display_name, fail) ||
	    !directory_domain_get(d, str_of(address.domain), &domain, fail) || !address_is_free(d, &address, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	return insert_account(d, domain.id, &address, display_name, language, id, fail) &&
	       give_address(d, domain.id, address.local, *id, fail) && change_commit(&change);
}

/* A change of one row of an account that exists. */
static bool set_number(struct directory *d, enum directory_sql which, int64_t id, int64_t value, struct fail **fail)
{
	struct directory_account account;
	if (!directory_account_get_by_id(d, id, &account, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	return query_numbers(d, which, id, value, fail) && change_commit(&change);
}

static bool set_text(struct directory *d, enum directory_sql which, int64_t id, struct str value, struct fail **fail)
{
	struct directory_account account;
	if (!directory_account_get_by_id(d, id, &account, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, which, fail);
	query_number(&q, 1, id);
	query_text(&q, 2, value);
	return query_run(&q) && change_commit(&change);
}

bool directory_account_set_enabled(struct directory *d, int64_t id, bool enabled, struct fail **fail)
{
	return set_number(d, SQL_ACCOUNT_ENABLED, id, enabled, fail);
}

bool directory_account_set_display_name(struct directory *d, int64_t id, struct str name, struct fail **fail)
{
	return display_name_is_good(name, fail) && set_text(d, SQL_ACCOUNT_DISPLAY_NAME, id, name, fail);
}

bool directory_account_set_language(struct directory *d, int64_t id, struct str language, struct fail **fail)
{
	return language_is_known(language, fail) && set_text(d, SQL_ACCOUNT_LANGUAGE, id, language, fail);
}

bool directory_account_set_quota(struct directory *d, int64_t id, int64_t bytes, int64_t messages, struct fail **fail)
{
	struct directory_account account;
	if (bytes < DIRECTORY_QUOTA_INHERIT || messages < DIRECTORY_QUOTA_INHERIT)
		return fail_set(fail, FAIL_INVALID, "a quota is not negative; 0 means no limit");
	if (!directory_account_get_by_id(d, id, &account, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ACCOUNT_QUOTA, fail);
	query_number(&q, 1, id);
	query_number(&q, 2, bytes);
	query_number(&q, 3, messages);
	return query_run(&q) && change_commit(&change);
}

bool directory_account_set_mechanisms(struct directory *d, int64_t id, unsigned parts, struct fail **fail)
{
	struct directory_account account;
	if (parts & ~(unsigned)(DIRECTORY_SCRAM_SHA1 | DIRECTORY_CHALLENGE))
		return fail_set(fail, FAIL_INVALID, "no such mechanism to opt in to");
	if (!directory_account_get_by_id(d, id, &account, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	if (!query_numbers(d, SQL_ACCOUNT_MECHANISMS, id, parts, fail))
		return false;
	if (!(parts & DIRECTORY_SCRAM_SHA1) && !query_numbers(d, SQL_CREDENTIAL_DROP_SHA1, id, 0, fail))
		return false;
	if (!(parts & DIRECTORY_CHALLENGE) && !query_numbers(d, SQL_CREDENTIAL_DROP_SECRET, id, 0, fail))
		return false;
	return change_commit(&change);
}

bool directory_account_delete(struct directory *d, int64_t id, int64_t grace_seconds, struct fail **fail)
{
	struct directory_account account;
	if (grace_seconds < 0 || grace_seconds > INT32_MAX)
		return fail_set(fail, FAIL_INVALID, "the grace time is 0 to %d seconds", INT32_MAX);
	if (!directory_account_get_by_id(d, id, &account, fail))
		return false;
	if (account.purge_at)
		return fail_set(fail, FAIL_NOT_FOUND, "account %s is deleted already", account.address);
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	return query_numbers(d, SQL_ACCOUNT_PURGE_AT, id, clock_wall_seconds() + grace_seconds, fail) &&
	       query_numbers(d, SQL_ADDRESS_DROP_ACCOUNT, id, 0, fail) &&
	       query_numbers(d, SQL_ADDRESS_REMOVE_ACCOUNT, id, 0, fail) && change_commit(&change);
}

bool directory_account_undelete(struct directory *d, int64_t id, struct fail **fail)
{
	struct directory_account account;
	struct directory_account other;
	struct directory_address address;
	struct directory_domain domain;
	bool taken;
	if (!directory_account_get_by_id(d, id, &account, fail))
		return false;
	if (!account.purge_at)
		return fail_set(fail, FAIL_EXISTS, "account %s is not deleted", account.address);
	if (!directory_address_parse(str_of(account.address), &address, fail) ||
	    !find(d, &address, &other, &taken, fail) || !directory_domain_get(d, str_of(address.domain), &domain, fail))
		return false;
	if (taken)
		return fail_set(fail, FAIL_EXISTS, "%s belongs to account number %lld now", account.address,
		                (long long)other.id);
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	return query_numbers(d, SQL_ACCOUNT_PURGE_AT, id, 0, fail) && give_address(d, domain.id, address.local, id, fail) &&
	       change_commit(&change);
}

bool directory_account_purge(struct directory *d, int64_t id, struct fail **fail)
{
	static const enum directory_sql steps[] = { SQL_CREDENTIAL_REMOVE, SQL_APP_PASSWORDS_REMOVE, SQL_SENDERS_REMOVE,
		                                        SQL_ACCOUNT_REMOVE };
	struct directory_account account;
	if (!directory_account_get_by_id(d, id, &account, fail))
		return false;
	if (!account.purge_at)
		return fail_set(fail, FAIL_DENIED, "account %s is not deleted", account.address);
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		if (!query_numbers(d, steps[i], id, 0, fail))
			return false;
	}
	return change_commit(&change);
}

/* Nonsense too must have one comparing form: letters of either case are the same name. */
static void keep_nonsense(struct str name, char *kept)
{
	size_t length = name.length < DIRECTORY_ADDRESS_TEXT_MAX ? name.length : DIRECTORY_ADDRESS_TEXT_MAX;
	for (size_t i = 0; i < length; i++)
		kept[i] = name.data[i] ? char_lower(name.data[i]) : ' ';
	kept[length] = 0;
}

bool directory_login_find(struct directory *d, struct str name, struct directory_login *login, struct fail **fail)
{
	struct directory_address address;
	login->known = false;
	if (!directory_address_parse(name, &address, NULL)) {
		keep_nonsense(name, login->name);
		return true;
	}
	if (!address.domain[0] && !directory_default_domain(d, address.domain, NULL)) {
		keep_nonsense(name, login->name);
		return true;
	}
	directory_address_write(str_of(address.local), str_of(address.domain), login->name);
	return find(d, &address, &login->account, &login->known, fail);
}

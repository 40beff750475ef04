/* posthornctl account, sender. */
#include "control.h"

#include "directory_domain.h"
#include "directory_secret.h"
#include "directory_sender.h"
#include "log.h"
#include "mem.h"

#include <stdio.h>

enum { RANGE_MAX = 1000000, GRACE_SECONDS = 14 * 86400 };

/* ---- options ------------------------------------------------------------------------------- */

static void options_wipe(struct options *options)
{
	mem_wipe(options, sizeof *options);
}

bool parts_read(struct str text, unsigned *parts, struct fail **fail)
{
	static const struct {
		struct str name;
		unsigned part;
	} names[] = {
		{ STR("apop"), DIRECTORY_CHALLENGE },
		{ STR("cram-md5"), DIRECTORY_CHALLENGE },
		{ STR("scram-sha-1"), DIRECTORY_SCRAM_SHA1 },
	};
	struct str name;
	*parts = 0;
	while (str_take_until(&text, ',', &name)) {
		unsigned found = 0;
		for (size_t i = 0; i < COUNT_OF(names); i++)
			found |= str_equal_nocase(name, names[i].name) ? names[i].part : 0;
		if (!found)
			return fail_set(fail, FAIL_INVALID, "a mechanism to opt in to is one of apop, cram-md5, scram-sha-1");
		*parts |= found;
	}
	return true;
}

/* "default" is the domain's. */
static bool read_quota(struct str value, bool *has, int64_t *quota, struct fail **fail)
{
	uint64_t number;
	*has = true;
	*quota = DIRECTORY_QUOTA_INHERIT;
	if (str_equal(value, STR("default")))
		return true;
	if (!str_to_u64(value, INT64_MAX, &number))
		return fail_set(fail, FAIL_INVALID, "a quota is a number, 0 for no limit, or \"default\" for the domain's");
	*quota = (int64_t)number;
	return true;
}

static bool keep(struct str value, const char *what, bool *has, char *room, size_t size, struct fail **fail)
{
	if (value.length >= size)
		return fail_set(fail, FAIL_TOO_BIG, "the %s is longer than %zu octets", what, size - 1);
	if (value.length)
		memcpy(room, value.data, value.length);
	room[value.length] = '\0';
	*has = true;
	return true;
}

bool new_password(struct auth *auth, struct str typed, struct directory_password *password, struct fail **fail)
{
	return directory_password_normalise(typed, password, fail) &&
	       directory_password_acceptable(password, auth->daemon.config.password_minimum_length, fail);
}

static bool read_option(const struct call *call, struct str key, struct str value, bool with_secrets, struct options *o,
                        struct fail **fail)
{
	if (str_equal(key, STR("name")))
		return keep(value, "name", &o->has_name, o->name, sizeof o->name, fail);
	if (str_equal(key, STR("language")))
		return keep(value, "language", &o->has_language, o->language, sizeof o->language, fail);
	if (str_equal(key, STR("quota-bytes")))
		return read_quota(value, &o->has_quota_bytes, &o->quota_bytes, fail);
	if (str_equal(key, STR("quota-messages")))
		return read_quota(value, &o->has_quota_messages, &o->quota_messages, fail);
	if (with_secrets && str_equal(key, STR("optin")))
		return parts_read(value, &o->parts, fail);
	if (with_secrets && str_equal(key, STR("password"))) {
		o->has_password = true;
		return new_password(call->auth, value, &o->password, fail);
	}
	return fail_set(fail, FAIL_INVALID, "unknown option %.*s", STR_ARG(str_first(key, 40)));
}

/* The words from first on. Takes password and optin only if with_secrets. */
static bool options_read(const struct call *call, size_t first, bool with_secrets, struct options *options,
                         struct fail **fail)
{
	*options = (struct options){ .quota_bytes = DIRECTORY_QUOTA_INHERIT, .quota_messages = DIRECTORY_QUOTA_INHERIT };
	for (size_t i = first; i < call->count; i += 2) {
		if (i + 1 == call->count)
			return fail_set(fail, FAIL_INVALID, "the option %.*s has no value", STR_ARG(str_first(call->words[i], 40)));
		if (!read_option(call, call->words[i], call->words[i + 1], with_secrets, options, fail))
			return false;
	}
	return true;
}

bool find_account(const struct call *call, struct str name, struct directory_account *account, struct fail **fail)
{
	uint64_t number;
	if (str_to_u64(name, INT64_MAX, &number))
		return directory_account_get_by_id(call->auth->directory, (int64_t)number, account, fail);
	return directory_account_get(call->auth->directory, name, account, fail);
}

/* ---- adding -------------------------------------------------------------------------------- */

/* One account, with a credential if made is given. */
static bool add_one(struct auth *auth, struct str address, const struct options *o,
                    const struct directory_credential *made, int64_t *id, struct fail **fail)
{
	struct directory *d = auth->directory;
	struct directory_account account;
	if (!directory_account_add(d, address, str_of(o->name), str_of(o->language), id, fail) ||
	    !directory_account_get_by_id(d, *id, &account, fail))
		return false;
	/* Messages between programs hold no longer one. */
	if (strlen(account.address) > LIMIT_ADDRESS_MAX)
		return fail_set(fail, FAIL_TOO_BIG, "the address is longer than %d octets", LIMIT_ADDRESS_MAX);
	if ((o->has_quota_bytes || o->has_quota_messages) &&
	    !directory_account_set_quota(d, *id, o->quota_bytes, o->quota_messages, fail))
		return false;
	if (o->parts && !directory_account_set_mechanisms(d, *id, o->parts, fail))
		return false;
	return !made || directory_credential_set(d, *id, made, fail);
}

/* The pattern's "%d" becomes the number. */
static bool add_numbered(struct operation *o, uint64_t number, const struct directory_credential *made,
                         struct fail **fail)
{
	struct str pattern = str_of(o->address);
	size_t at = str_find(pattern, STR("%d"));
	int64_t id;
	CLEANUP(mem_free) char *address =
		mem_printf("%.*s%llu%s", (int)at, o->address, (unsigned long long)number, o->address + at + 2);
	return add_one(o->auth, str_of(address), &o->options, made, &id, fail);
}

/* All or none. */
static bool finish_add(struct operation *o, struct fail **fail)
{
	const struct directory_credential *made = o->options.has_password ? &o->hashing->made : NULL;
	int64_t id = 0;
	bool done = directory_begin(o->auth->directory, fail);
	if (!done)
		return false;
	if (o->range == 0)
		done = add_one(o->auth, str_of(o->address), &o->options, made, &id, fail);
	for (uint64_t number = 0; done && number < o->range; number++)
		done = add_numbered(o, number, made, fail);
	done = done && directory_commit(o->auth->directory, fail);
	if (!done) {
		directory_rollback(o->auth->directory);
		return false;
	}
	log_event(LOG_INFO, 0, "account-added", LOG_TEXT("address", str_of(o->address)),
	          LOG_NUMBER("count", o->range ? o->range : 1));
	if (o->control && o->range == 0) {
		CLEANUP(row_release) struct row row = ROW;
		row_text(&row, "address", str_of(o->address));
		row_number(&row, "number", id);
		row_send(&row, o->control);
	}
	return true;
}

/* With a password it is hashed first, once for all. */
static bool begin_add(struct call *call, struct str address, uint64_t range, size_t first_option, struct fail **fail)
{
	CLEANUP(options_wipe) struct options options;
	if (!options_read(call, first_option, true, &options, fail))
		return false;
	struct operation *o = operation_new(call, finish_add);
	bool fits = address.length < sizeof o->address;
	if (fits)
		memcpy(o->address, address.data, address.length);
	o->range = range;
	o->options = options;
	if (fits && options.has_password) {
		o->hashing->makes = true;
		o->hashing->make_parts = options.parts;
		o->hashing->password = options.password;
		return operation_begin(call, o, fail);
	}
	bool done = fits ? finish_add(o, fail) : fail_set(fail, FAIL_TOO_BIG, "the address is too long");
	operation_free(o);
	return done;
}

bool account_add(struct call *call, struct fail **fail)
{
	struct directory_account account;
	if (directory_account_get(call->auth->directory, call->words[0], &account, NULL))
		return fail_set(fail, FAIL_EXISTS, "account %s exists already", account.address);
	return begin_add(call, call->words[0], 0, 1, fail);
}

bool account_add_range(struct call *call, struct fail **fail)
{
	struct str pattern = call->words[0];
	size_t at = str_find(pattern, STR("%d"));
	uint64_t count;
	if (at == pattern.length || str_find_char(str_from_index(pattern, at + 1), '%') != pattern.length - at - 1)
		return fail_set(fail, FAIL_INVALID, "the pattern is an address with %%d once, which becomes 0, 1, 2 and so on");
	if (!str_to_u64(call->words[1], RANGE_MAX, &count) || count == 0)
		return fail_set(fail, FAIL_INVALID, "the count is a number from 1 to %d", RANGE_MAX);
	return begin_add(call, pattern, count, 2, fail);
}

/* ---- showing ------------------------------------------------------------------------------- */

static void describe(struct row *row, const struct directory_account *account)
{
	row_text(row, "address", str_of(account->address));
	row_number(row, "number", account->id);
	row_text(row, "state", account->purge_at ? STR("deleted") : account->enabled ? STR("enabled") : STR("disabled"));
	row_text(row, "name", str_of(account->display_name));
	row_text(row, "language", str_of(account->language));
	row_number(row, "quota-bytes", account->quota_bytes);
	row_number(row, "quota-messages", account->quota_messages);
	row_number(row, "created", account->created);
	row_number(row, "purge-at", account->purge_at);
}

static bool domain_number(struct call *call, int64_t *id, struct fail **fail)
{
	struct directory_domain domain;
	*id = 0;
	if (call->count == 0)
		return true;
	if (!directory_domain_get(call->auth->directory, call->words[0], &domain, fail))
		return false;
	*id = domain.id;
	return true;
}

bool account_list(struct call *call, struct fail **fail)
{
	CLEANUP(row_release) struct row row = ROW;
	struct directory_account account = {};
	int64_t domain;
	if (!domain_number(call, &domain, fail))
		return false;
	while (directory_account_next(call->auth->directory, domain, &account, fail)) {
		describe(&row, &account);
		row_send(&row, call->control);
	}
	return !fail || !*fail;
}

bool account_show(struct call *call, struct fail **fail)
{
	CLEANUP(row_release) struct row row = ROW;
	CLEANUP(directory_credential_wipe) struct directory_credential credential = {};
	struct directory_account account;
	if (!find_account(call, call->words[0], &account, fail))
		return false;
	bool has_password = directory_credential_get(call->auth->directory, account.id, &credential, NULL);
	describe(&row, &account);
	row_text(&row, "password", has_password ? STR("yes") : STR("no"));
	row_text(&row, "scram-sha-1", account.mechanisms & DIRECTORY_SCRAM_SHA1 ? STR("yes") : STR("no"));
	row_text(&row, "cram-md5", account.mechanisms & DIRECTORY_CHALLENGE ? STR("yes") : STR("no"));
	row_text(&row, "apop", account.mechanisms & DIRECTORY_CHALLENGE ? STR("yes") : STR("no"));
	row_send(&row, call->control);
	return true;
}

/* ---- changing ------------------------------------------------------------------------------ */

static bool set_all(struct directory *d, const struct directory_account *account, const struct options *o,
                    struct fail **fail)
{
	int64_t bytes = o->has_quota_bytes ? o->quota_bytes : account->own_quota_bytes;
	int64_t messages = o->has_quota_messages ? o->quota_messages : account->own_quota_messages;
	return (!o->has_name || directory_account_set_display_name(d, account->id, str_of(o->name), fail)) &&
	       (!o->has_language || directory_account_set_language(d, account->id, str_of(o->language), fail)) &&
	       ((!o->has_quota_bytes && !o->has_quota_messages) ||
	        directory_account_set_quota(d, account->id, bytes, messages, fail));
}

bool account_set(struct call *call, struct fail **fail)
{
	struct directory *d = call->auth->directory;
	struct directory_account account;
	struct options options;
	if (!find_account(call, call->words[0], &account, fail) || !options_read(call, 1, false, &options, fail) ||
	    !directory_begin(d, fail))
		return false;
	if (set_all(d, &account, &options, fail) && directory_commit(d, fail))
		return true;
	directory_rollback(d);
	return false;
}

static bool set_enabled(struct call *call, bool enabled, struct fail **fail)
{
	struct directory_account account;
	if (!find_account(call, call->words[0], &account, fail) ||
	    !directory_account_set_enabled(call->auth->directory, account.id, enabled, fail))
		return false;
	log_event(LOG_INFO, 0, enabled ? "account-enabled" : "account-disabled",
	          LOG_TEXT("account", str_of(account.address)));
	if (!enabled)
		auth_revoke(call->auth, (uint64_t)account.id);
	return true;
}

bool account_disable(struct call *call, struct fail **fail)
{
	return set_enabled(call, false, fail);
}

bool account_enable(struct call *call, struct fail **fail)
{
	return set_enabled(call, true, fail);
}

bool account_delete(struct call *call, struct fail **fail)
{
	struct directory_account account;
	uint64_t grace = GRACE_SECONDS;
	if (call->count == 2 && !str_to_u64(call->words[1], INT32_MAX, &grace))
		return fail_set(fail, FAIL_INVALID, "the grace time is a number of seconds");
	if (!find_account(call, call->words[0], &account, fail) ||
	    !directory_account_delete(call->auth->directory, account.id, (int64_t)grace, fail))
		return false;
	log_event(LOG_INFO, 0, "account-deleted", LOG_TEXT("account", str_of(account.address)),
	          LOG_NUMBER("grace-seconds", grace));
	auth_revoke(call->auth, (uint64_t)account.id);
	return true;
}

/* A deleted account has no address any more: the one deleted last under that name is meant. */
static bool find_deleted(struct call *call, struct str name, int64_t *id, struct fail **fail)
{
	struct directory_account account = {};
	uint64_t number;
	*id = 0;
	if (str_to_u64(name, INT64_MAX, &number)) {
		*id = (int64_t)number;
		return true;
	}
	while (directory_account_next(call->auth->directory, 0, &account, fail))
		if (account.purge_at && str_equal_nocase(str_of(account.address), name))
			*id = account.id;
	if (fail && *fail)
		return false;
	return *id || fail_set(fail, FAIL_NOT_FOUND, "there is no deleted account of that address");
}

bool account_undelete(struct call *call, struct fail **fail)
{
	int64_t id;
	if (!find_deleted(call, call->words[0], &id, fail) || !directory_account_undelete(call->auth->directory, id, fail))
		return false;
	log_event(LOG_INFO, 0, "account-undeleted", LOG_NUMBER("account", id));
	return true;
}

/* Its files are gone: whoever removed them says so. */
bool account_purge(struct call *call, struct fail **fail)
{
	uint64_t id;
	if (!str_to_u64(call->words[0], INT64_MAX, &id))
		return fail_set(fail, FAIL_INVALID, "a deleted account is named by its number");
	if (!directory_account_purge(call->auth->directory, (int64_t)id, fail))
		return false;
	log_event(LOG_INFO, 0, "account-purged", LOG_NUMBER("account", id));
	return true;
}

/* ---- sender -------------------------------------------------------------------------------- */

bool sender_add(struct call *call, struct fail **fail)
{
	struct directory_account account;
	return find_account(call, call->words[0], &account, fail) &&
	       directory_sender_add(call->auth->directory, account.id, call->words[1], fail);
}

bool sender_remove(struct call *call, struct fail **fail)
{
	struct directory_account account;
	return find_account(call, call->words[0], &account, fail) &&
	       directory_sender_remove(call->auth->directory, account.id, call->words[1], fail);
}

bool sender_list(struct call *call, struct fail **fail)
{
	CLEANUP(row_release) struct row row = ROW;
	struct directory_account account;
	char address[DIRECTORY_ADDRESS_TEXT_MAX + 1] = "";
	if (!find_account(call, call->words[0], &account, fail))
		return false;
	while (directory_sender_next(call->auth->directory, account.id, address, fail)) {
		row_text(&row, "address", str_of(address));
		row_send(&row, call->control);
	}
	return !fail || !*fail;
}

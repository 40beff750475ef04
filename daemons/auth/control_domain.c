/* posthornctl domain, alias. */
#include "control.h"

#include "directory_alias.h"
#include "directory_domain.h"
#include "directory_resolve.h"
#include "file.h"
#include "log.h"

#include <sys/stat.h>

bool domain_add(struct call *call, struct fail **fail)
{
	if (!directory_domain_add(call->auth->directory, call->words[0], fail))
		return false;
	log_event(LOG_INFO, 0, "domain-added", LOG_TEXT("domain", call->words[0]));
	return true;
}

bool domain_remove(struct call *call, struct fail **fail)
{
	if (!directory_domain_remove(call->auth->directory, call->words[0], fail))
		return false;
	log_event(LOG_INFO, 0, "domain-removed", LOG_TEXT("domain", call->words[0]));
	return true;
}

bool domain_list(struct call *call, struct fail **fail)
{
	CLEANUP(row_release) struct row row = ROW;
	struct directory *d = call->auth->directory;
	struct directory_domain domain = {};
	char standard[LIMIT_DOMAIN_MAX + 1] = "";
	directory_default_domain(d, standard, NULL);
	while (directory_domain_next(d, &domain, fail)) {
		row_text(&row, "domain", str_of(domain.name));
		row_text(&row, "default", strcmp(domain.name, standard) == 0 ? STR("yes") : STR("no"));
		row_text(&row, "catch-all", str_of(domain.catch_all));
		row_text(&row, "postmaster", str_of(domain.postmaster));
		row_number(&row, "quota-bytes", domain.quota_bytes);
		row_number(&row, "quota-messages", domain.quota_messages);
		row_number(&row, "created", domain.created);
		row_send(&row, call->control);
	}
	return !fail || !*fail;
}

static bool set_quota(struct directory *d, struct str name, bool octets, struct str value, struct fail **fail)
{
	struct directory_domain domain;
	uint64_t number;
	if (!str_to_u64(value, INT64_MAX, &number))
		return fail_set(fail, FAIL_INVALID, "a quota is a number; 0 takes the configuration's");
	if (!directory_domain_get(d, name, &domain, fail))
		return false;
	return directory_domain_set_quota(d, name, octets ? (int64_t)number : domain.quota_bytes,
	                                  octets ? domain.quota_messages : (int64_t)number, fail);
}

static bool set_default(struct directory *d, struct str name, struct str value, struct fail **fail)
{
	struct directory_domain domain;
	if (!str_equal(value, STR("yes")))
		return fail_set(fail, FAIL_INVALID, "default takes \"yes\"; another domain takes it over so");
	return directory_domain_get(d, name, &domain, fail) &&
	       directory_setting_set(d, DIRECTORY_DEFAULT_DOMAIN, str_of(domain.name), fail);
}

/* A target of ours has to exist, as an alias's has; "" is none. */
static bool leads_somewhere(struct directory *d, struct str key, struct str target, struct fail **fail)
{
	CLEANUP(directory_resolution_release) struct directory_resolution r;
	directory_resolution_init(&r);
	if (str_is_empty(target))
		return true;
	if (!directory_resolve(d, target, &r, fail))
		return false;
	return r.verdict != DIRECTORY_UNKNOWN_USER ||
	       fail_set(fail, FAIL_NOT_FOUND, "%.*s: its target %.*s does not exist; add it first", STR_ARG(key),
	                STR_ARG(target));
}

/* The target is looked at as it is kept: one without a domain has this one. */
static bool set_target(struct directory *d, struct str name, struct str key, struct str value, struct fail **fail)
{
	struct directory_domain domain;
	bool catches_all = str_equal(key, STR("catch-all"));
	if (!(catches_all ? directory_domain_set_catch_all : directory_domain_set_postmaster)(d, name, value, fail) ||
	    !directory_domain_get(d, name, &domain, fail))
		return false;
	return leads_somewhere(d, key, str_of(catches_all ? domain.catch_all : domain.postmaster), fail);
}

static bool set_one(struct directory *d, struct str name, struct str key, struct str value, struct fail **fail)
{
	if (str_equal(key, STR("catch-all")) || str_equal(key, STR("postmaster")))
		return set_target(d, name, key, value, fail);
	if (str_equal(key, STR("default")))
		return set_default(d, name, value, fail);
	if (str_equal(key, STR("quota-bytes")) || str_equal(key, STR("quota-messages")))
		return set_quota(d, name, str_equal(key, STR("quota-bytes")), value, fail);
	return fail_set(fail, FAIL_INVALID, "unknown option %.*s", STR_ARG(str_first(key, 40)));
}

bool domain_set(struct call *call, struct fail **fail)
{
	struct directory *d = call->auth->directory;
	if (call->count % 2 == 0)
		return fail_set(fail, FAIL_INVALID, "each option takes one value");
	if (!directory_begin(d, fail))
		return false;
	for (size_t i = 1; i < call->count; i += 2) {
		if (set_one(d, call->words[0], call->words[i], call->words[i + 1], fail))
			continue;
		directory_rollback(d);
		return false;
	}
	return directory_commit(d, fail);
}

/* ---- aliases ------------------------------------------------------------------------------- */

bool alias_add(struct call *call, struct fail **fail)
{
	if (!directory_alias_set(call->auth->directory, call->words[0], call->words + 1, call->count - 1, fail))
		return false;
	log_event(LOG_INFO, 0, "alias-set", LOG_TEXT("alias", call->words[0]), LOG_NUMBER("targets", call->count - 1));
	return true;
}

bool alias_remove(struct call *call, struct fail **fail)
{
	if (!directory_alias_remove(call->auth->directory, call->words[0], fail))
		return false;
	log_event(LOG_INFO, 0, "alias-removed", LOG_TEXT("alias", call->words[0]));
	return true;
}

#define TARGETS_TEXT_MAX (LIMIT_ALIAS_TARGETS_MAX * (DIRECTORY_ADDRESS_TEXT_MAX + 1))

/* One row per target: a row holds no list, and an alias may have a thousand. */
static void send_targets(struct call *call, struct str alias, struct str targets)
{
	CLEANUP(row_release) struct row row = ROW;
	struct str target;
	while (str_take_until(&targets, '\n', &target)) {
		row_text(&row, "alias", alias);
		row_text(&row, "target", target);
		row_send(&row, call->control);
	}
}

static void release_targets(struct directory_alias *alias)
{
	buf_release(&alias->targets);
}

bool alias_list(struct call *call, struct fail **fail)
{
	CLEANUP(release_targets) struct directory_alias alias = { .targets = BUF_WITH_LIMIT(TARGETS_TEXT_MAX) };
	if (call->count == 1) {
		if (!directory_alias_get(call->auth->directory, call->words[0], &alias.targets, fail))
			return false;
		send_targets(call, call->words[0], buf_str(&alias.targets));
		return true;
	}
	while (directory_alias_next(call->auth->directory, &alias, fail))
		send_targets(call, str_of(alias.address), buf_str(&alias.targets));
	return !fail || !*fail;
}

/* Reading must not wait, so it is a file or sealed memory; posthornctl copies a pipe into memory first. */
static bool read_text(const struct call *call, struct buf *text, struct fail **fail)
{
	struct stat facts;
	if (call->descriptor < 0 || fstat(call->descriptor, &facts) != 0 || !S_ISREG(facts.st_mode))
		return fail_set(fail, FAIL_INVALID, "the text to import must be a file");
	return file_read_all(call->descriptor, text, fail);
}

bool alias_import(struct call *call, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_ALIAS_FILE_MAX), report = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(row_release) struct row row = ROW;
	bool skip = call->count == 2 && str_equal(call->words[1], STR("skip"));
	size_t count = 0;
	struct str rest, line;
	if (call->count == 2 && !skip)
		return fail_set(fail, FAIL_INVALID, "usage: alias import DOMAIN [skip]");
	if (!read_text(call, &text, fail) ||
	    !directory_alias_import(call->auth->directory, call->words[0], buf_str(&text),
	                            skip ? DIRECTORY_IMPORT_SKIP : DIRECTORY_IMPORT_STRICT, &count, &report, fail))
		return false;
	log_event(LOG_INFO, 0, "aliases-imported", LOG_TEXT("domain", call->words[0]), LOG_NUMBER("count", count));
	rest = buf_str(&report);
	while (str_take_until(&rest, '\n', &line)) {
		row_text(&row, "left-out", line);
		row_send(&row, call->control);
	}
	row_number(&row, "imported", (int64_t)count);
	row_send(&row, call->control);
	return true;
}

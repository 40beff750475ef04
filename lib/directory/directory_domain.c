#include "directory_domain.h"

#include "clock.h"
#include "directory_lookup.h"

static void read_domain(struct query *q, struct directory_domain *domain)
{
	domain->id = query_get_number(q, 0);
	query_copy(q, 1, domain->name, sizeof domain->name);
	query_copy(q, 2, domain->catch_all, sizeof domain->catch_all);
	query_copy(q, 3, domain->postmaster, sizeof domain->postmaster);
	domain->quota_bytes = query_get_number(q, 4);
	domain->quota_messages = query_get_number(q, 5);
	domain->created = query_get_number(q, 6);
}

/* name is in comparing form. */
static bool find(struct directory *d, const char *name, struct directory_domain *domain, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_DOMAIN_BY_NAME, fail);
	query_text(&q, 1, str_of(name));
	if (query_row(&q)) {
		read_domain(&q, domain);
		return !q.failed;
	}
	if (q.failed)
		return false;
	return fail_set(fail, FAIL_NOT_FOUND, "domain %s is not ours; add it with: posthornctl domain add %s", name, name);
}

bool directory_domain_get(struct directory *d, struct str name, struct directory_domain *domain, struct fail **fail)
{
	char canonical[LIMIT_DOMAIN_MAX + 1];
	return directory_domain_name(name, canonical, fail) && find(d, canonical, domain, fail);
}

bool directory_domain_next(struct directory *d, struct directory_domain *domain, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_DOMAIN_NEXT, fail);
	query_number(&q, 1, domain->id);
	if (!query_row(&q))
		return false;
	read_domain(&q, domain);
	return !q.failed;
}

bool directory_domain_add(struct directory *d, struct str name, struct fail **fail)
{
	char canonical[LIMIT_DOMAIN_MAX + 1];
	struct directory_domain there;
	if (!directory_domain_name(name, canonical, fail))
		return false;
	if (find(d, canonical, &there, NULL))
		return fail_set(fail, FAIL_EXISTS, "domain %s is ours already", canonical);
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_DOMAIN_ADD, fail);
	query_text(&q, 1, str_of(canonical));
	query_number(&q, 2, clock_wall_seconds());
	return query_run(&q) && change_commit(&change);
}

static bool is_in_use(struct directory *d, int64_t id, bool *in_use, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_DOMAIN_IN_USE, fail);
	query_number(&q, 1, id);
	*in_use = query_row(&q) && query_get_number(&q, 0);
	return !q.failed;
}

bool directory_domain_remove(struct directory *d, struct str name, struct fail **fail)
{
	struct directory_domain domain;
	bool in_use;
	if (!directory_domain_get(d, name, &domain, fail) || !is_in_use(d, domain.id, &in_use, fail))
		return false;
	if (in_use)
		return fail_set(fail, FAIL_BUSY,
		                "domain %s still has accounts (deleted ones count until they are purged) or aliases",
		                domain.name);
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	return query_numbers(d, SQL_DOMAIN_REMOVE, domain.id, 0, fail) && change_commit(&change);
}

static bool set_target(struct directory *d, enum directory_sql which, struct str name, struct str target,
                       struct fail **fail)
{
	struct directory_domain domain;
	char text[DIRECTORY_ADDRESS_TEXT_MAX + 1] = "";
	if (!directory_domain_get(d, name, &domain, fail))
		return false;
	if (!str_is_empty(target) && !lookup_target(d, domain.name, target, text, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, which, fail);
	query_number(&q, 1, domain.id);
	query_text(&q, 2, str_of(text));
	return query_run(&q) && change_commit(&change);
}

bool directory_domain_set_catch_all(struct directory *d, struct str name, struct str target, struct fail **fail)
{
	return set_target(d, SQL_DOMAIN_CATCH_ALL, name, target, fail);
}

bool directory_domain_set_postmaster(struct directory *d, struct str name, struct str target, struct fail **fail)
{
	return set_target(d, SQL_DOMAIN_POSTMASTER, name, target, fail);
}

bool directory_domain_set_quota(struct directory *d, struct str name, int64_t bytes, int64_t messages,
                                struct fail **fail)
{
	struct directory_domain domain;
	if (bytes < 0 || messages < 0)
		return fail_set(fail, FAIL_INVALID, "a quota is not negative; 0 means no limit");
	if (!directory_domain_get(d, name, &domain, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_DOMAIN_QUOTA, fail);
	query_number(&q, 1, domain.id);
	query_number(&q, 2, bytes);
	query_number(&q, 3, messages);
	return query_run(&q) && change_commit(&change);
}

bool directory_default_domain(struct directory *d, char name[LIMIT_DOMAIN_MAX + 1], struct fail **fail)
{
	struct directory_domain first = { .id = 0 };
	struct fail *trouble = NULL;
	const char *setting = directory_setting(d, DIRECTORY_DEFAULT_DOMAIN);
	if (setting[0]) {
		memcpy(name, setting, strlen(setting) + 1);
		return true;
	}
	if (directory_domain_next(d, &first, &trouble)) {
		memcpy(name, first.name, sizeof first.name);
		return true;
	}
	if (trouble) {
		bool set = fail_set(fail, trouble->kind, "%s", trouble->text);
		fail_free(&trouble);
		return set;
	}
	return fail_set(fail, FAIL_NOT_FOUND, "no domain is ours yet; add one with: posthornctl domain add NAME");
}

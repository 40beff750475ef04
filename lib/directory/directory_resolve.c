#include "directory_resolve.h"

#include "directory_domain.h"
#include "directory_lookup.h"
#include "hash.h"

#include <stdio.h>

#define ARENA_MAX (16 * 1024 * 1024)

/* One resolution under way. */
struct expansion {
	struct directory *d;
	struct directory_resolution *r;
	struct fail **fail;
	struct map *seen;   /* made when the first alias is met: aliases, accounts and remote addresses */
	size_t work;        /* alias targets read */
	bool disabled;      /* one was left out for it */
	bool broken;
};

/* What is asked about one address. */
struct step {
	struct directory_address address;
	struct str subaddress; /* of the address that led here, for a target that has none of its own */
	int64_t from_alias;    /* the alias that names it, 0 for none */
	unsigned depth;
	bool from_catch_all;
};

static bool expand(struct expansion *e, const struct step *step);

/* True the first time. Keys: "a" alias number, "c" account number, "@" remote address. */
static bool is_new(struct expansion *e, char kind, struct str name)
{
	if (!e->seen)
		return true;
	struct str key = arena_printf(e->r->arena, "%c%.*s", kind, STR_ARG(name));
	return !map_set(e->seen, key, e);
}

static bool is_new_number(struct expansion *e, char kind, int64_t number)
{
	char digits[24];
	if (!e->seen)
		return true;
	return is_new(e, kind, str_from(digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)number)));
}

static struct str written(struct expansion *e, struct str local, struct str domain)
{
	char text[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	directory_address_write(local, domain, text);
	return arena_copy(e->r->arena, str_of(text));
}

/* Behind the first separator, its case kept. */
static struct str own_subaddress(struct expansion *e, const struct step *step)
{
	size_t base = lookup_base_length(e->d, step->address.shown);
	struct str shown = str_of(step->address.shown);
	return base < shown.length ? arena_copy(e->r->arena, str_from_index(shown, base + 1)) : step->subaddress;
}

static void add_account(struct expansion *e, const struct lookup *found, struct str address, struct str subaddress)
{
	if (!found->enabled) {
		e->disabled = true;
		return;
	}
	if (!is_new_number(e, 'c', found->account_id))
		return;
	*array_add(&e->r->targets) = (struct directory_target){
		.account_id = found->account_id,
		.address = address,
		.directory = arena_copy(e->r->arena, str_of(found->directory)),
		.subaddress = subaddress,
	};
}

static void add_remote(struct expansion *e, const struct step *step)
{
	struct str address = written(e, str_of(step->address.shown), str_of(step->address.domain));
	if (is_new(e, '@', address))
		*array_add(&e->r->targets) = (struct directory_target){ .address = address };
}

struct targets {
	ARRAY(struct str) texts;
};

static void targets_release(struct targets *t)
{
	array_release(&t->texts);
}

/* The alias's targets, copied: the statement is needed again further down. */
static bool collect(struct expansion *e, int64_t alias_id, struct targets *t)
{
	CLEANUP(query_end) struct query q = query_begin(e->d, SQL_ALIAS_TARGETS, e->fail);
	query_number(&q, 1, alias_id);
	while (!e->broken && query_row(&q)) {
		e->broken = ++e->work > LIMIT_ALIAS_TARGETS_MAX;
		*array_add(&t->texts) = arena_copy(e->r->arena, query_get(&q, 0));
	}
	return !q.failed;
}

static bool expand_text(struct expansion *e, struct str text, struct step next)
{
	if (!directory_address_parse(text, &next.address, e->fail) || !next.address.domain[0])
		return fail_set(e->fail, FAIL_CORRUPT, "the directory database has the alias target \"%.*s\"", STR_ARG(text));
	return expand(e, &next);
}

static bool expand_alias(struct expansion *e, const struct lookup *found, const struct step *step)
{
	CLEANUP(targets_release) struct targets t = {};
	if (!e->seen)
		e->seen = map_new();
	if (!is_new_number(e, 'a', found->alias_id))
		return true;
	if (!collect(e, found->alias_id, &t))
		return false;
	bool whole = found->local_length == strlen(step->address.local);
	struct step next = { .subaddress = whole ? step->subaddress : own_subaddress(e, step) };
	next.from_alias = found->alias_id;
	next.depth = step->depth + 1;
	next.from_catch_all = step->from_catch_all;
	for (size_t i = 0; i < t.texts.count && !e->broken; i++) {
		if (!expand_text(e, t.texts.items[i], next))
			return false;
	}
	return true;
}

static bool expand_account(struct expansion *e, int64_t id, struct str subaddress)
{
	CLEANUP(query_end) struct query q = query_begin(e->d, SQL_ADDRESS_OF_ACCOUNT, e->fail);
	query_number(&q, 1, id);
	if (!query_row(&q))
		return !q.failed;
	struct lookup found = { .account_id = id, .enabled = query_get_number(&q, 1) };
	query_copy(&q, 0, found.directory, sizeof found.directory);
	struct str address = written(e, query_get(&q, 2), query_get(&q, 3));
	add_account(e, &found, address, subaddress);
	return !q.failed;
}

/* The domain's first account that can read mail, for the roles nobody was named for. */
static bool expand_first_account(struct expansion *e, int64_t domain_id)
{
	int64_t id = 0;
	CLEANUP(query_end) struct query q = query_begin(e->d, SQL_ACCOUNT_FIRST_OF_DOMAIN, e->fail);
	query_number(&q, 1, domain_id);
	if (query_row(&q))
		id = query_get_number(&q, 0);
	if (q.failed || !id)
		return !q.failed;
	return expand_account(e, id, STR(""));
}

/* Neither account nor alias: the domain's own rules. They are used once on a way, since a
 * catch-all that is not there would lead to itself. */
static bool expand_by_domain(struct expansion *e, const struct step *step)
{
	struct directory_domain domain;
	struct step next = { .depth = step->depth + 1, .from_catch_all = true };
	bool role = lookup_is_role(e->d, &step->address);
	if (step->from_catch_all)
		return true;
	if (!directory_domain_get(e->d, str_of(step->address.domain), &domain, e->fail))
		return false;
	size_t before = e->r->targets.count;
	if (role && domain.postmaster[0] && !expand_text(e, str_of(domain.postmaster), next))
		return false;
	if (role && e->r->targets.count == before && !expand_first_account(e, domain.id))
		return false;
	if (e->r->targets.count > before || !domain.catch_all[0])
		return true;
	return expand_text(e, str_of(domain.catch_all), next);
}

static void deliver(struct expansion *e, const struct lookup *found, const struct step *step)
{
	struct str local = str_first(str_of(step->address.local), found->local_length);
	bool whole = found->local_length == strlen(step->address.local);
	add_account(e, found, written(e, local, str_of(step->address.domain)),
	            whole ? step->subaddress : own_subaddress(e, step));
}

static bool expand(struct expansion *e, const struct step *step)
{
	struct lookup found;
	e->broken = e->broken || step->depth > LIMIT_ALIAS_DEPTH_MAX;
	if (e->broken)
		return true;
	if (!lookup_address(e->d, &step->address, &found, e->fail))
		return false;
	if (!found.domain_id) {
		if (step->depth > 0)
			add_remote(e, step);
		else
			e->r->verdict = DIRECTORY_UNKNOWN_DOMAIN;
		return true;
	}
	if (found.alias_id && found.alias_id != step->from_alias)
		return expand_alias(e, &found, step);
	if (found.account_id)
		deliver(e, &found, step);
	if (found.account_id || found.alias_id)
		return true;
	return expand_by_domain(e, step);
}

/* RFC 5321 §4.5.1: mail for postmaster arrives, even where its alias is broken or its account
 * disabled. */
static bool rescue_role(struct expansion *e, const struct directory_address *address)
{
	struct directory_domain domain;
	if (!lookup_is_role(e->d, address))
		return true;
	if (!directory_domain_get(e->d, str_of(address->domain), &domain, e->fail) || !expand_first_account(e, domain.id))
		return false;
	e->broken = e->broken && e->r->targets.count == 0;
	return true;
}

static enum directory_verdict judge(const struct expansion *e)
{
	if (e->broken)
		return DIRECTORY_BROKEN;
	if (e->r->targets.count > 0)
		return DIRECTORY_DELIVER;
	if (e->r->verdict == DIRECTORY_UNKNOWN_DOMAIN)
		return DIRECTORY_UNKNOWN_DOMAIN;
	return e->disabled ? DIRECTORY_DISABLED : DIRECTORY_UNKNOWN_USER;
}

void directory_resolution_init(struct directory_resolution *r)
{
	memset(r, 0, sizeof *r);
	r->arena = arena_new(ARENA_MAX);
}

void directory_resolution_release(struct directory_resolution *r)
{
	array_release(&r->targets);
	arena_free(r->arena);
	r->arena = NULL;
}

static void empty(struct directory_resolution *r)
{
	r->verdict = DIRECTORY_UNKNOWN_USER;
	r->recipient = STR("");
	r->targets.count = 0;
	arena_reset(r->arena);
}

bool directory_resolve(struct directory *d, struct str text, struct directory_resolution *r, struct fail **fail)
{
	struct step first = { .subaddress = STR("") };
	struct expansion e = { .d = d, .r = r, .fail = fail };
	empty(r);
	if (!directory_address_parse(text, &first.address, fail))
		return false;
	if (!first.address.domain[0]) {
		if (!str_equal(str_of(first.address.local), STR("postmaster")))
			return fail_set(fail, FAIL_INVALID, "the address %s has no domain", first.address.local);
		if (!directory_default_domain(d, first.address.domain, fail))
			return false;
	}
	r->recipient = written(&e, str_of(first.address.local), str_of(first.address.domain));
	bool done = expand(&e, &first);
	if (e.broken)
		r->targets.count = 0;
	if (done && r->targets.count == 0 && r->verdict != DIRECTORY_UNKNOWN_DOMAIN)
		done = rescue_role(&e, &first.address);
	map_free(e.seen);
	r->verdict = judge(&e);
	return done;
}

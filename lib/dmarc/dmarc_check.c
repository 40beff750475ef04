#include "dmarc.h"

/* RFC 9989 §4.10: eight questions, so domains of more labels are shortened to seven after the first. */
enum { WALK_MAX = 8, LABELS_MAX = 7 };

struct found {
	struct str domain;
	struct dmarc_record record;
};

/* The records between a domain and the root, from the longest name. */
struct walk {
	struct arena *arena;
	const struct dns_source *dns;
	struct str start;
	struct found found[WALK_MAX];
	size_t count;
	bool failed; /* the DNS did */
};

static size_t count_labels(struct str domain)
{
	size_t labels = 1;
	for (size_t i = 0; i < domain.length; i++)
		labels += domain.data[i] == '.';
	return labels;
}

static struct str parent_of(struct str domain)
{
	return str_from_index(domain, str_find_char(domain, '.') + 1);
}

/* Of several records at one name none counts. */
static bool ask_record(struct walk *w, struct str domain, struct dmarc_record *record)
{
	struct dns_answer answer;
	unsigned records = 0;
	dns_ask(w->dns, w->arena, arena_printf(w->arena, "_dmarc.%.*s", STR_ARG(domain)), DNS_TXT, &answer);
	w->failed |= answer.status == DNS_FAILED || answer.status == DNS_BOGUS;
	for (size_t i = 0; i < answer.count; i++) {
		struct str text;
		struct dmarc_record one;
		if (!dns_read_txt(w->arena, answer.records[i], &text) || !dmarc_record_parse(text, &one))
			continue;
		*record = one;
		records++;
	}
	return records == 1;
}

/* False: the walk stops here. */
static bool step(struct walk *w, struct str domain)
{
	struct found *found = &w->found[w->count];
	found->domain = domain;
	if (ask_record(w, domain, &found->record))
		w->count++;
	return !w->failed && (w->count == 0 || w->found[w->count - 1].record.psd == DMARC_PSD_UNKNOWN);
}

static void walk_up(struct walk *w, struct str domain)
{
	while (domain.length && step(w, domain))
		domain = parent_of(domain);
}

/* Where the walk goes on after the name it begins at. */
static struct str second_target(struct str domain)
{
	do
		domain = parent_of(domain);
	while (domain.length && count_labels(domain) > LABELS_MAX);
	return domain;
}

static void walk_from(struct walk *w, struct str domain)
{
	if (step(w, domain))
		walk_up(w, second_target(domain));
}

/* The name one label longer than the parent, on the way to the domain. */
static struct str child_towards(struct str parent, struct str domain)
{
	struct str child = domain;
	while (count_labels(child) > count_labels(parent) + 1)
		child = parent_of(child);
	return child;
}

/* §4.10.2 */
static struct str organizational_of(const struct walk *w)
{
	for (size_t i = 0; i < w->count; i++) {
		const struct found *found = &w->found[i];
		if (found->record.psd == DMARC_PSD_NO)
			return found->domain;
		if (found->record.psd == DMARC_PSD_YES && !str_equal(found->domain, w->start))
			return child_towards(found->domain, w->start);
	}
	return w->count ? w->found[w->count - 1].domain : w->start;
}

bool dmarc_organizational_domain(struct arena *a, const struct dns_source *dns, struct str domain,
                                 struct str *organizational)
{
	struct walk w = { .arena = a, .dns = dns, .start = domain };
	walk_from(&w, domain);
	*organizational = organizational_of(&w);
	return !w.failed;
}

/* ---- alignment ---- */

struct aligning {
	struct arena *arena;
	const struct dmarc_request *request;
	struct dmarc_outcome *outcome;
	bool failed;
};

/* Asked for once, and only where names differ. */
static struct str author_organization(struct aligning *al)
{
	if (!al->outcome->organizational.data)
		al->failed |= !dmarc_organizational_domain(al->arena, al->request->dns, al->request->author,
		                                           &al->outcome->organizational);
	return al->outcome->organizational;
}

static bool is_aligned(struct aligning *al, struct str domain, bool strict)
{
	struct str organizational;
	if (!dns_name_normalise(al->arena, domain, &domain))
		return false;
	if (str_equal(domain, al->request->author))
		return true;
	/* a domain that does not lie within the author's has another one itself */
	if (strict || !dns_name_is_within(domain, author_organization(al)))
		return false;
	al->failed |= !dmarc_organizational_domain(al->arena, al->request->dns, domain, &organizational);
	return !al->failed && str_equal(organizational, author_organization(al));
}

static bool one_is_aligned(struct aligning *al, const struct str *domains, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_aligned(al, domains[i], al->outcome->record.dkim_strict))
			return true;
	return false;
}

static void align(struct aligning *al)
{
	const struct dmarc_request *request = al->request;
	al->outcome->dkim_aligned = one_is_aligned(al, request->dkim_domains, request->dkim_count);
	if (request->spf_domain.length)
		al->outcome->spf_aligned = is_aligned(al, request->spf_domain, al->outcome->record.spf_strict);
}

/* Would it have passed, had the DNS answered SPF or DKIM? */
static bool may_be_aligned(struct aligning *al)
{
	const struct dmarc_request *request = al->request;
	return (request->spf_unanswered.length &&
	        is_aligned(al, request->spf_unanswered, al->outcome->record.spf_strict)) ||
	       one_is_aligned(al, request->dkim_unanswered, request->dkim_unanswered_count);
}

/* ---- the policy ---- */

/* §3.2.13: any record there, and any name below it, makes it exist. What could not be asked counts as there. */
static bool exists(struct arena *a, const struct dns_source *dns, struct str domain)
{
	struct dns_answer answer;
	dns_ask(dns, a, domain, DNS_A, &answer);
	return answer.status != DNS_NO_NAME;
}

/* §4.10.1: of the author itself, else of the organizational domain, else of the public suffix above it. */
static const struct found *find_policy(struct walk *w, struct dmarc_outcome *outcome)
{
	if (w->count && str_equal(w->found[0].domain, w->start))
		return &w->found[0];
	outcome->organizational = organizational_of(w);
	for (size_t i = 0; i < w->count; i++)
		if (str_equal(w->found[i].domain, outcome->organizational))
			return &w->found[i];
	return w->count ? &w->found[w->count - 1] : NULL;
}

static enum dmarc_policy published_policy(struct aligning *al)
{
	const struct dmarc_record *record = &al->outcome->record;
	struct str author = al->request->author;
	if (record->malformed || !record->policy) /* §4.10.1: as if p=none stood there */
		return DMARC_POLICY_NONE;
	enum dmarc_policy policy = record->policy;
	if (!str_equal(author, al->outcome->policy_domain)) {
		if (record->subdomain_policy)
			policy = record->subdomain_policy;
		if (record->nonexistent_policy && !exists(al->arena, al->request->dns, author))
			policy = record->nonexistent_policy;
	}
	return policy;
}

/* t=y: one level below, §4.7 */
static enum dmarc_policy applied_policy(const struct dmarc_outcome *outcome)
{
	bool lowered = outcome->record.testing && outcome->published > DMARC_POLICY_NONE;
	return lowered ? outcome->published - 1 : outcome->published;
}

static bool asks_for_reports(struct arena *a, const struct dmarc_record *record)
{
	struct str list = record->aggregate;
	struct str address;
	return dmarc_address_next(a, &list, &address);
}

static void judge(struct aligning *al)
{
	struct dmarc_outcome *outcome = al->outcome;
	align(al);
	if (outcome->spf_aligned || outcome->dkim_aligned)
		outcome->result = DMARC_PASS;
	else if (may_be_aligned(al) || al->failed) /* §5.3.6 */
		outcome->result = DMARC_TEMPERROR;
	else
		outcome->result = DMARC_FAIL;
	outcome->published = published_policy(al);
	outcome->policy = applied_policy(outcome);
	if (outcome->result == DMARC_TEMPERROR)
		outcome->why = "the DNS did not answer";
}

void dmarc_check(struct arena *a, const struct dmarc_request *request, struct dmarc_outcome *outcome)
{
	struct walk w = { .arena = a, .dns = request->dns, .start = request->author };
	*outcome = (struct dmarc_outcome){ .result = DMARC_NONE };
	step(&w, request->author);
	if (w.count == 0 && !w.failed)
		walk_up(&w, second_target(request->author));
	if (w.failed) {
		outcome->result = DMARC_TEMPERROR;
		outcome->why = "the DNS did not answer";
		return;
	}
	const struct found *found = find_policy(&w, outcome);
	if (!found)
		return;
	outcome->record = found->record;
	outcome->policy_domain = found->domain;
	if ((found->record.malformed || !found->record.policy) && !asks_for_reports(a, &found->record)) {
		outcome->result = DMARC_PERMERROR;
		outcome->why = "the record has no policy that makes sense";
		return;
	}
	struct aligning al = { a, request, outcome, false };
	judge(&al);
}

const char *dmarc_result_name(enum dmarc_result result)
{
	static const char *const names[DMARC_RESULT_COUNT] = { "none", "pass", "fail", "temperror", "permerror" };
	return names[result];
}

const char *dmarc_policy_name(enum dmarc_policy policy)
{
	static const char *const names[DMARC_POLICY_COUNT] = { "none", "none", "quarantine", "reject" };
	return names[policy];
}

#include "spf_macro.h"
#include "spf_record.h"

#include "clock.h"

/* RFC 7208 §4.6.4, §5.5 */
enum { VOID_LOOKUPS_MAX = 2, NAMES_MAX = 10, EXPANSION_MAX = 4096, EXPLANATION_MAX = 500 };

struct check {
	struct arena *arena;
	const struct spf_request *request;
	struct spf_outcome *outcome;
	struct str sender;
	unsigned voids;
	struct str validated; /* %{p}; data NULL: not asked yet */
	struct str exp;       /* of the record whose term decided, and its domain */
	struct str exp_domain;
};

struct evaluation {
	struct check *check;
	struct str domain; /* <domain> of this check_host() */
};

/* An error anywhere ends all of it: no result of a term. */
enum match { NO_MATCH, MATCH, ERROR };

static enum spf_result check_host(struct check *c, struct str domain);

static enum match give_up(struct check *c, enum spf_result result, const char *why)
{
	c->outcome->result = result;
	c->outcome->why = why;
	return ERROR;
}

/* ---- asking ---- */

static bool is_late(const struct check *c)
{
	return c->request->deadline_ms && clock_monotonic_ms() >= c->request->deadline_ms;
}

/* False: the check has failed. counts_void: an answer without records is one of two that are allowed. */
static bool ask(struct check *c, struct str name, enum dns_type type, bool counts_void, struct dns_answer *answer)
{
	if (is_late(c)) {
		give_up(c, SPF_TEMPERROR, "it took too long");
		return false;
	}
	dns_ask(c->request->dns, c->arena, name, type, answer);
	if (answer->status == DNS_FAILED || answer->status == DNS_BOGUS) {
		give_up(c, SPF_TEMPERROR, "the DNS did not answer");
		return false;
	}
	if (answer->status != DNS_FOUND && counts_void && ++c->voids > VOID_LOOKUPS_MAX) {
		give_up(c, SPF_PERMERROR, "too many answers without records");
		return false;
	}
	return true;
}

static bool count_lookup(struct check *c)
{
	if (++c->outcome->lookups <= SPF_LOOKUPS_MAX)
		return true;
	give_up(c, SPF_PERMERROR, "too many terms that ask the DNS");
	return false;
}

/* ---- comparing addresses ---- */

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8;
	uint8_t mask = (uint8_t)(0xff00 >> bits % 8);
	return memcmp(a, b, whole) == 0 && (bits % 8 == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

static bool is_in(const struct endpoint *client, const struct endpoint *network, const struct spf_term *term)
{
	if (client->any.sa_family != network->any.sa_family)
		return false;
	if (client->any.sa_family == AF_INET)
		return bits_equal((const uint8_t *)&client->v4.sin_addr, (const uint8_t *)&network->v4.sin_addr, term->prefix4);
	return bits_equal(client->v6.sin6_addr.s6_addr, network->v6.sin6_addr.s6_addr, term->prefix6);
}

static enum dns_type address_type(const struct check *c)
{
	return c->request->client.any.sa_family == AF_INET ? DNS_A : DNS_AAAA;
}

static enum match match_addresses(struct check *c, struct str name, const struct spf_term *term, bool counts_void)
{
	struct dns_answer answer;
	if (!ask(c, name, address_type(c), counts_void, &answer))
		return ERROR;
	for (size_t i = 0; i < answer.count; i++) {
		struct endpoint address;
		if (dns_read_address(answer.records[i], address_type(c), &address) &&
		    is_in(&c->request->client, &address, term))
			return MATCH;
	}
	return NO_MATCH;
}

/* ---- names of the client, §5.5 ---- */

static bool resolves_to_client(struct check *c, struct str name)
{
	static const struct spf_term exact = { .prefix4 = 32, .prefix6 = 128 };
	struct dns_answer answer;
	dns_ask(c->request->dns, c->arena, name, address_type(c), &answer);
	for (size_t i = 0; i < answer.count; i++) {
		struct endpoint address;
		if (dns_read_address(answer.records[i], address_type(c), &address) &&
		    is_in(&c->request->client, &address, &exact))
			return true;
	}
	return false;
}

static void ask_client_names(struct check *c, struct dns_answer *answer)
{
	CLEANUP(buf_release) struct buf reverse = BUF_WITH_LIMIT(100);
	dns_reverse_name(&reverse, &c->request->client);
	dns_ask(c->request->dns, c->arena, buf_str(&reverse), DNS_PTR, answer);
	if (answer->count > NAMES_MAX)
		answer->count = NAMES_MAX;
}

static enum match match_ptr(struct check *c, struct str target)
{
	struct dns_answer answer;
	ask_client_names(c, &answer);
	if (answer.status != DNS_FOUND && answer.status != DNS_FAILED && ++c->voids > VOID_LOOKUPS_MAX)
		return give_up(c, SPF_PERMERROR, "too many answers without records");
	for (size_t i = 0; i < answer.count; i++) {
		struct str name;
		if (is_late(c))
			return give_up(c, SPF_TEMPERROR, "it took too long");
		if (dns_read_name(c->arena, answer.records[i], &name) && dns_name_is_within(name, target) &&
		    resolves_to_client(c, name))
			return MATCH;
	}
	return NO_MATCH;
}

/* §7.3: the domain itself is best, then a name below it, then any. */
static struct str validated_name(void *context)
{
	struct evaluation *e = context;
	struct check *c = e->check;
	struct dns_answer answer;
	int best = 0;
	if (c->validated.data)
		return c->validated;
	c->validated = STR("unknown");
	ask_client_names(c, &answer);
	for (size_t i = 0; i < answer.count && best < 3; i++) {
		struct str name;
		if (!dns_read_name(c->arena, answer.records[i], &name))
			continue;
		int rank = str_equal_nocase(name, e->domain) ? 3 : dns_name_is_within(name, e->domain) ? 2 : 1;
		if (rank <= best || is_late(c) || !resolves_to_client(c, name))
			continue;
		best = rank;
		c->validated = name;
	}
	return c->validated;
}

/* ---- terms ---- */

static bool target_name(struct evaluation *e, struct str domain_spec, struct str *name)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(EXPANSION_MAX);
	struct check *c = e->check;
	const struct spf_macro_values values = { c->request, c->sender, e->domain, validated_name, e };
	*name = e->domain;
	if (!domain_spec.data)
		return true;
	if (!spf_macro_expand_name(&text, domain_spec, &values)) {
		give_up(c, SPF_PERMERROR, "macros make too long a name");
		return false;
	}
	*name = arena_copy(c->arena, buf_str(&text));
	return true;
}

static enum match match_mx(struct check *c, struct str name, const struct spf_term *term)
{
	struct dns_answer answer;
	if (!ask(c, name, DNS_MX, true, &answer))
		return ERROR;
	if (answer.count > NAMES_MAX)
		return give_up(c, SPF_PERMERROR, "mx has too many names");
	for (size_t i = 0; i < answer.count; i++) {
		struct dns_mx mx;
		if (!dns_read_mx(c->arena, answer.records[i], &mx) || !mx.host.length)
			continue;
		enum match match = match_addresses(c, mx.host, term, false);
		if (match != NO_MATCH)
			return match;
	}
	return NO_MATCH;
}

/* §5.2 */
static enum match match_include(struct check *c, struct str name)
{
	switch (check_host(c, name)) {
	case SPF_PASS: return MATCH;
	case SPF_FAIL:
	case SPF_SOFTFAIL:
	case SPF_NEUTRAL: return NO_MATCH;
	case SPF_TEMPERROR: return give_up(c, SPF_TEMPERROR, c->outcome->why);
	case SPF_NONE: return give_up(c, SPF_PERMERROR, "include of a domain without a record");
	default: return give_up(c, SPF_PERMERROR, c->outcome->why);
	}
}

static enum match match_exists(struct check *c, struct str name)
{
	struct dns_answer answer;
	if (!ask(c, name, DNS_A, true, &answer))
		return ERROR;
	return answer.count ? MATCH : NO_MATCH;
}

static enum match match_term(struct evaluation *e, const struct spf_term *term)
{
	struct check *c = e->check;
	struct str name;
	switch (term->mechanism) {
	case SPF_ALL: return MATCH;
	case SPF_IP4:
	case SPF_IP6: return is_in(&c->request->client, &term->address, term) ? MATCH : NO_MATCH;
	default: break;
	}
	if (!count_lookup(c) || !target_name(e, term->domain, &name))
		return ERROR;
	switch (term->mechanism) {
	case SPF_INCLUDE: return match_include(c, name);
	case SPF_A: return match_addresses(c, name, term, true);
	case SPF_MX: return match_mx(c, name, term);
	case SPF_PTR: return match_ptr(c, name);
	default: return match_exists(c, name);
	}
}

/* ---- records ---- */

static enum spf_result fail_with(struct check *c, enum spf_result result, const char *why)
{
	give_up(c, result, why);
	return result;
}

/* §4.4, §4.5 */
static enum spf_result find_record(struct check *c, struct str domain, struct str *record)
{
	struct dns_answer answer;
	unsigned found = 0;
	if (!ask(c, domain, DNS_TXT, false, &answer))
		return c->outcome->result;
	for (size_t i = 0; i < answer.count; i++) {
		struct str text;
		if (!dns_read_txt(c->arena, answer.records[i], &text) || !spf_is_record(text))
			continue;
		*record = text;
		found++;
	}
	if (found > 1)
		return fail_with(c, SPF_PERMERROR, "the domain has several records");
	return found ? SPF_PASS : SPF_NONE;
}

/* §6.1 */
static enum spf_result redirect(struct evaluation *e, struct str domain_spec)
{
	struct check *c = e->check;
	struct str name;
	if (!count_lookup(c) || !target_name(e, domain_spec, &name))
		return c->outcome->result;
	enum spf_result result = check_host(c, name);
	return result == SPF_NONE ? fail_with(c, SPF_PERMERROR, "redirect to a domain without a record") : result;
}

static enum spf_result evaluate(struct evaluation *e, const struct spf_record *record)
{
	struct check *c = e->check;
	for (size_t i = 0; i < record->count; i++) {
		const struct spf_term *term = &record->terms[i];
		enum match match = match_term(e, term);
		if (match == ERROR)
			return c->outcome->result;
		if (match == NO_MATCH)
			continue;
		c->outcome->term = term->text;
		c->exp = record->exp;
		c->exp_domain = e->domain;
		return term->qualifier;
	}
	c->outcome->term = (struct str){};
	return record->redirect.data ? redirect(e, record->redirect) : SPF_NEUTRAL;
}

/* §4.6.1 says what the depth of it is: each step was counted. */
static enum spf_result check_host(struct check *c, struct str domain)
{
	struct evaluation e = { c, domain };
	struct spf_record record;
	struct str text = {};
	const char *why = NULL;
	if (!dns_name_is_valid(domain) || str_find_char(domain, '.') == domain.length)
		return SPF_NONE;
	enum spf_result result = find_record(c, domain, &text);
	if (result != SPF_PASS)
		return result;
	if (!spf_record_parse(c->arena, text, &record, &why))
		return fail_with(c, SPF_PERMERROR, why);
	return evaluate(&e, &record);
}

/* ---- explanations, §6.2: anything wrong with it and there is none ---- */

static void explain(struct check *c)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(EXPLANATION_MAX);
	struct evaluation e = { c, c->exp_domain };
	const struct spf_macro_values values = { c->request, c->sender, c->exp_domain, validated_name, &e };
	struct dns_answer answer;
	struct str name;
	struct str macros;
	if (!c->exp.data || is_late(c) || !target_name(&e, c->exp, &name))
		return;
	dns_ask(c->request->dns, c->arena, name, DNS_TXT, &answer);
	if (answer.count != 1 || !dns_read_txt(c->arena, answer.records[0], &macros) || !spf_macro_is_valid(macros, true) ||
	    !spf_macro_expand(&text, macros, &values) || !str_is_printable(buf_str(&text)))
		return;
	c->outcome->explanation = arena_copy(c->arena, buf_str(&text));
}

static void run(struct arena *a, const struct spf_request *request, struct str sender, struct spf_outcome *outcome)
{
	struct check c = { .arena = a, .request = request, .outcome = outcome, .sender = sender };
	struct str given = str_from_index(sender, str_find_last_char(sender, '@') + 1);
	*outcome = (struct spf_outcome){ .result = SPF_NONE, .domain = given };
	if (!dns_name_normalise(a, given, &outcome->domain))
		return;
	outcome->result = check_host(&c, outcome->domain);
	if (outcome->result == SPF_FAIL)
		explain(&c);
}

/* §2.3. */
static void check_helo(struct arena *a, const struct spf_request *request, struct spf_outcome *outcome)
{
	*outcome = (struct spf_outcome){ .result = SPF_NONE, .domain = request->helo };
	if (dns_name_is_host(request->helo))
		run(a, request, arena_printf(a, "postmaster@%.*s", STR_ARG(request->helo)), outcome);
}

void spf_check(struct arena *a, const struct spf_request *request, struct spf_outcome *outcome)
{
	size_t at = str_find_last_char(request->sender, '@');
	if (!request->sender.length)
		check_helo(a, request, outcome);
	else if (at == 0)
		run(a, request, arena_printf(a, "postmaster%.*s", STR_ARG(request->sender)), outcome);
	else
		run(a, request, request->sender, outcome);
}

const char *spf_result_name(enum spf_result result)
{
	static const char *const names[SPF_RESULT_COUNT] = { "none", "neutral", "pass", "fail", "softfail", "temperror",
		"permerror" };
	return names[result];
}

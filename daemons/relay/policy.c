#include "policy.h"

#include "relay.h"
#include "text.h"

#include <openssl/evp.h>

enum { ARENA_MAX = 8 << 20, REASON_MAX = 300 };

/* RFC 8460 §3 */
static void on_wanted(struct ask *ask, const struct dns_answer *answer)
{
	struct policy *p = ask->owner;
	if (answer->status != DNS_FOUND)
		return;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
	struct str *texts = arena_alloc_array(a, answer->count, sizeof *texts), rua;
	size_t count = 0;
	for (size_t i = 0; i < answer->count; i++)
		count += dns_read_txt(a, answer->records[i], &texts[count]);
	if (tlsrpt_find_rua(texts, count, &rua) && rua.length < sizeof p->rua)
		str_copy_to_array(rua, p->rua, sizeof p->rua);
}

void policy_begin(struct policy *p, struct relay *r, struct str domain, uint32_t flags, void (*ready)(void *owner),
                  void *owner)
{
	if (flags & RELAY_REQUIRETLS) /* RFC 8689 §4.1: it outweighs TLS-Required: No */
		flags &= ~(uint32_t)RELAY_TLS_OPTIONAL;
	*p = (struct policy){ .relay = r, .flags = flags, .ready = ready, .owner = owner };
	str_copy_to_array(domain, p->domain, sizeof p->domain);
	p->applied = BUF_WITH_LIMIT(POLICY_TEXT_MAX);
	if (flags & RELAY_TLS_OPTIONAL || !r->daemon.config.tls_reports)
		return;
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + 20);
	buf_printf(&name, "_smtp._tls.%s", p->domain);
	ask_start(&r->asker, &p->wanted, buf_str(&name), DNS_TXT, on_wanted, p);
}

static void stop_looking(struct policy *p)
{
	ask_stop(&p->tlsa);
	sts_stop(&p->sts);
}

void policy_end(struct policy *p)
{
	stop_looking(p);
	ask_stop(&p->wanted);
	buf_release(&p->applied);
}

static void refuse(struct policy *p, enum policy_use use, const char *status, const char *why)
{
	p->demand.use = use;
	str_copy_to_array(str_of(status), p->demand.status, sizeof p->demand.status);
	p->demand.why = why;
}

/* RFC 8689 §4.2.1: somebody must vouch for the host's name, and then for its certificate. */
static void apply_require_tls(struct policy *p)
{
	if (!(p->flags & RELAY_REQUIRETLS) || p->demand.use != POLICY_USE || p->demand.level == POLICY_DANE)
		return;
	if (p->secure || p->named)
		p->demand.level = POLICY_VERIFIED;
	else
		refuse(p, POLICY_NEVER, "5.7.30",
		       "nothing vouches for the host's name (DNSSEC or MTA-STS), as the sender asks for by REQUIRETLS");
}

/* ---- reports ---- */

void policy_report(struct policy *p, enum tlsrpt_result result, struct str address, struct str local, struct str reason)
{
	CLEANUP(buf_release) struct buf policy = BUF_WITH_LIMIT(sizeof p->rua + 2 + POLICY_TEXT_MAX);
	struct relay *r = p->relay;
	if (!p->rua[0] || !r->queue)
		return;
	tlsrpt_policy_begin(&policy, str_of(p->rua));
	buf_add_str(&policy, buf_str(&p->applied));
	const struct msg_tls_outcome message = { .domain = str_of(p->domain), .policy_type = (uint32_t)p->type,
	                                         .policy = buf_str(&policy),
		                                     .result = (uint32_t)result, .mx = str_of(p->host), .address = address,
		                                     .local = local,
		                                     .reason = str_first(reason, REASON_MAX) };
	msg_tls_outcome_send(&r->queue->peer.channel, 0, &message, -1);
}

static void report_early(struct policy *p, enum tlsrpt_result result, const char *reason)
{
	policy_report(p, result, STR(""), STR(""), str_of(reason));
}

static void finish(struct policy *p)
{
	apply_require_tls(p);
	p->ready(p->owner);
}

/* ---- MTA-STS ---- */

/* The applied policy is the last one: where TLSA records could not be used, that of MTA-STS. */
static void note_sts(struct policy *p, const struct mtasts_policy *policy)
{
	struct str rest = policy->text, line;
	p->type = TLSRPT_STS;
	buf_clear(&p->applied);
	while (str_take_until(&rest, '\n', &line))
		if (str_trim(line).length)
			tlsrpt_policy_add(&p->applied, 's', str_trim(line));
	for (size_t i = 0; i < policy->pattern_count; i++)
		tlsrpt_policy_add(&p->applied, 'm', policy->patterns[i]);
}

/* Once for all hosts of the domain. It tells of the policy that should be there, also where an older one, or none, is
 * applied. */
static void report_sts_failure(struct policy *p, const struct sts_failure *failure)
{
	enum tlsrpt_policy_type applied = p->type;
	if (p->failure_told)
		return;
	p->failure_told = true;
	p->type = TLSRPT_STS;
	report_early(p, failure->result, failure->why);
	p->type = applied;
}

/* RFC 8461 §5: what fails in testing mode is delivered all the same. */
static void on_sts(struct sts_wait *wait, const struct mtasts_policy *policy, const struct sts_failure *failure)
{
	struct policy *p = wait->owner;
	bool holds = policy && policy->mode != MTASTS_NONE;
	if (holds)
		note_sts(p, policy);
	if (failure->result != TLSRPT_SUCCESS)
		report_sts_failure(p, failure);
	p->named = holds && mtasts_policy_allows(policy, str_of(p->host));
	if (holds && policy->mode == MTASTS_ENFORCE && p->named)
		p->demand.level = POLICY_VERIFIED;
	else if (holds && policy->mode == MTASTS_ENFORCE)
		refuse(p, POLICY_NOT_NOW, "4.7.5", "the domain's policy (MTA-STS) does not name this host");
	else
		p->demand.observed = p->named;
	if (holds && !p->named)
		report_early(p, TLSRPT_VALIDATION_FAILURE, "the policy does not name the MX host");
	finish(p);
}

static void look_at_sts(struct policy *p)
{
	sts_ask(p->relay, &p->sts, str_of(p->domain), on_sts, p);
}

/* ---- DANE ---- */

/* A whole certificate or key is kept as its SHA-256, which says the same (the trust anchor of DANE-TA comes with the
 * certificate in any case, RFC 7672 §3.1.2). */
static void add_record(struct policy_demand *demand, const struct tls_tlsa *record, const char *domain)
{
	struct policy_record *r = &demand->records[demand->record_count];
	if (demand->record_count == POLICY_RECORDS_MAX || !tls_tlsa_is_usable(record))
		return;
	*r = (struct policy_record){ .usage = record->usage, .selector = record->selector, .matching = record->matching };
	if (record->matching == 0) {
		unsigned length = 0;
		must(EVP_Digest(record->data.data, record->data.length, r->data, &length, EVP_sha256(), NULL) == 1);
		r->matching = 1;
		r->length = (uint8_t)length;
	} else {
		r->length = (uint8_t)record->data.length;
		memcpy(r->data, record->data.data, record->data.length);
	}
	demand->record_count++;
	if (record->usage == 2) /* DANE-TA, RFC 7672 §3.2.2 */
		str_copy_to_array(str_of(domain), demand->domain, sizeof demand->domain);
}

/* RFC 8460 §4.5 */
static void note_record(struct policy *p, const struct dns_tlsa *record)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(POLICY_TEXT_MAX);
	buf_printf(&text, "%u %u %u ", record->usage, record->selector, record->matching);
	text_hex_encode(&text, record->data);
	if (!text.overflowed)
		tlsrpt_policy_add(&p->applied, 's', buf_str(&text));
}

static void take_records(struct policy *p, const struct dns_answer *answer)
{
	struct dns_tlsa read;
	p->type = TLSRPT_TLSA;
	for (size_t i = 0; i < answer->count; i++) {
		if (!dns_read_tlsa(answer->records[i], &read))
			continue;
		add_record(&p->demand, &(struct tls_tlsa){ read.usage, read.selector, read.matching, read.data }, p->domain);
		note_record(p, &read);
	}
	p->demand.level = p->demand.record_count ? POLICY_DANE : POLICY_ENCRYPTED;
	str_copy_to_array(str_of(p->base), p->demand.base, sizeof p->demand.base);
	if (!p->demand.record_count)
		report_early(p, TLSRPT_TLSA_INVALID, "no TLSA record can be used");
}

static void on_tlsa(struct ask *ask, const struct dns_answer *answer);

static void ask_for_records(struct policy *p, struct str base)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + 20);
	str_copy_to_array(base, p->base, sizeof p->base);
	buf_printf(&name, "_%u._tcp.%.*s", p->port, STR_ARG(base)); /* RFC 6698 §3 */
	ask_start(&p->relay->asker, &p->tlsa, buf_str(&name), DNS_TLSA, on_tlsa, p);
}

/* RFC 7672 §2.1: the DNS does not say what it should. */
static void look_elsewhere(struct policy *p, const struct dns_answer *answer)
{
	if (answer->status == DNS_BOGUS) {
		p->type = TLSRPT_TLSA;
		report_early(p, TLSRPT_DNSSEC_INVALID, "the answer to the question for TLSA records is bogus");
	}
	refuse(p, POLICY_NOT_NOW, "4.7.5", "the DNS does not say whether the host has TLSA records (DANE)");
	finish(p);
}

static bool is_failure(const struct dns_answer *answer)
{
	return answer->status == DNS_FAILED || answer->status == DNS_BOGUS;
}

static void on_tlsa(struct ask *ask, const struct dns_answer *answer)
{
	struct policy *p = ask->owner;
	bool found = answer->status == DNS_FOUND && answer->secure;
	if (is_failure(answer)) {
		look_elsewhere(p, answer);
		return;
	}
	if (!found && strcmp(p->base, p->host) != 0) { /* RFC 7672 §2.2.3: then the name that is the alias */
		ask_for_records(p, str_of(p->host));
		return;
	}
	if (found)
		take_records(p, answer);
	if (p->demand.level != POLICY_DANE)
		look_at_sts(p);
	else
		finish(p);
}

/* RFC 7672 §2.2.2 "Insecure CNAME": an alias that is signed may lead out of what is signed; records of its own still
 * count. */
static void on_alias(struct ask *ask, const struct dns_answer *answer)
{
	struct policy *p = ask->owner;
	if (is_failure(answer))
		look_elsewhere(p, answer);
	else if (answer->status == DNS_FOUND && answer->secure)
		ask_for_records(p, str_of(p->host));
	else
		look_at_sts(p);
}

static void begin_host(struct policy *p, const struct policy_host *host)
{
	memset(&p->demand, 0, sizeof p->demand);
	p->secure = host->secure;
	p->port = host->port;
	p->named = false;
	p->type = TLSRPT_NO_POLICY;
	buf_clear(&p->applied);
	str_copy_to_array(host->name, p->host, sizeof p->host);
}

void policy_look(struct policy *p, const struct policy_host *host)
{
	stop_looking(p);
	begin_host(p, host);
	if (p->flags & RELAY_TLS_OPTIONAL)
		finish(p);
	else if (host->secure)
		ask_for_records(p, host->canonical.length ? host->canonical : host->name);
	else if (host->name_is_secure && host->canonical.length)
		ask_start(&p->relay->asker, &p->tlsa, host->name, DNS_CNAME, on_alias, p);
	else
		look_at_sts(p);
}

bool policy_is_same_demand(const struct policy_demand *a, const struct policy_demand *b)
{
	return a->level == b->level && a->observed == b->observed && a->record_count == b->record_count &&
	       strcmp(a->base, b->base) == 0 && strcmp(a->domain, b->domain) == 0 &&
	       memcmp(a->records, b->records, a->record_count * sizeof a->records[0]) == 0;
}

struct tls_connection *policy_connect(const struct policy_demand *demand, struct tls_client *client, int fd,
                                      struct fail **fail)
{
	struct tls_tlsa records[POLICY_RECORDS_MAX];
	const char *domain = demand->domain;
	for (size_t i = 0; i < demand->record_count; i++) {
		const struct policy_record *r = &demand->records[i];
		records[i] = (struct tls_tlsa){ r->usage, r->selector, r->matching,
		                                str_from((const char *)r->data, r->length) };
	}
	return tls_connect_dane(client, fd, demand->base, &domain, domain[0] ? 1 : 0, records, demand->record_count, fail);
}

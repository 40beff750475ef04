#include "doctor_check.h"

#include "network.h"

#include <arpa/inet.h>

enum { MX_LOOKED_AT_MAX = 20 };

void doctor_check_dns(struct doctor *d, struct str host)
{
	struct dns_answer answer;
	if (!doctor_dns_validates(d->dns))
		doctor_note(d, d->call->dns
		                   ? "a name server that --dns names is believed without DNSSEC"
		                   : "nothing is validated by DNSSEC, so no mail is protected by DANE (see dns_trust_anchor)");
	if (host.length && doctor_ask(d, host, DNS_A, &answer))
		doctor_ok(d, "the DNS answers%s", answer.secure ? ", and the host's zone is signed" : "");
}

/* RFC 5321 §2.3.5, §4.1.4: a name that the DNS knows, and that leads back to the client. */
void doctor_check_helo(struct doctor *d, struct str host)
{
	if (host.length)
		doctor_ok(d, "this host says HELO %.*s", STR_ARG(host));
	else
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena,
				"this host says HELO %s, which is no full name: many servers refuse its mail", d->config.hostname),
			.advice = STR("Set hostname in posthorn.conf to a name of a domain of yours, as mail.example.org") });
}

static const char *address_type(const struct endpoint *address)
{
	return address->any.sa_family == AF_INET ? "A" : "AAAA";
}

/* Of no use in the world's DNS (RFC 6890). */
static bool is_private(const struct endpoint *address)
{
	static const char *const blocks[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"169.254.0.0/16",
		                                  "127.0.0.0/8", "::1/128", "fe80::/10", "fc00::/7" };
	for (size_t i = 0; i < COUNT_OF(blocks); i++) {
		struct network block;
		if (network_parse(str_of(blocks[i]), &block, NULL) && network_contains(&block, address))
			return true;
	}
	return false;
}

/* What the administrator is to publish when the DNS has nothing: the host's public addresses. */
static struct str address_records(struct doctor *d, struct str host)
{
	struct str lines = STR("");
	for (size_t i = 0; i < d->local.count; i++) {
		const struct endpoint *address = &d->local.items[i];
		if (is_private(address))
			continue;
		doctor_zone_add(d, host, address_type(address), doctor_address(d, address));
		lines = arena_printf(d->arena, "%.*s%s%.*s", STR_ARG(lines), lines.length ? "\n" : "",
		                     STR_ARG(doctor_record(d, host, address_type(address), doctor_address(d, address))));
	}
	return lines;
}

static void check_one_address(struct doctor *d, struct str host, const struct endpoint *address)
{
	struct str text = doctor_address(d, address);
	doctor_zone_add(d, host, address_type(address), text);
	if (doctor_is_among(d->local.items, d->local.count, address))
		doctor_ok(d, "%.*s has the address %.*s, which is this host's%s", STR_ARG(host), STR_ARG(text),
		          is_private(address) ? ", and which nobody beyond its own network reaches" : "");
	else if (is_private(address))
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "%.*s has the address %.*s, which nobody beyond its own network reaches (RFC 6890)", STR_ARG(host), STR_ARG(text)),
			.advice = STR("Publish the address that the world sees") });
	else
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "the DNS says that %.*s is at %.*s, which this host does not have",
				STR_ARG(host), STR_ARG(text)),
			.advice = STR("Right if a router translates that address to this host; else correct the record") });
}

static struct str records_of(struct doctor *d, struct str host, const struct doctor_addresses *found)
{
	struct str lines = STR("");
	for (size_t i = 0; i < found->list.count; i++)
		lines = arena_printf(d->arena, "%.*s%s%.*s", STR_ARG(lines), lines.length ? "\n" : "",
		                     STR_ARG(doctor_record(d, host, address_type(&found->list.items[i]),
		                                           doctor_address(d, &found->list.items[i]))));
	return lines;
}

void doctor_check_address(struct doctor *d, struct str host)
{
	CLEANUP(doctor_addresses_release) struct doctor_addresses found = {};
	if (!host.length)
		return;
	doctor_ask_addresses(d, host, &found);
	if (!found.answered)
		return;
	for (size_t i = 0; i < found.list.count; i++)
		*array_add(&d->addresses) = found.list.items[i];
	if (found.is_alias)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena,
				"%.*s is a CNAME, which the name of a mail server must not be (RFC 2181 §10.3)", STR_ARG(host)),
			.advice = STR("Give it address records of its own instead"), .record = records_of(d, host, &found) });
	if (found.list.count == 0)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "%.*s has no address in the DNS", STR_ARG(host)),
			.advice = STR("Publish this host's public addresses under its name"), .record = address_records(d, host) });
	for (size_t i = 0; i < found.list.count; i++)
		check_one_address(d, host, &found.list.items[i]);
}

static struct str reverse_name(struct doctor *d, const struct endpoint *address)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX);
	dns_reverse_name(&name, address);
	return arena_copy(d->arena, buf_str(&name));
}

static bool has_name(struct doctor *d, const struct dns_answer *answer, struct str host, struct str *other)
{
	*other = STR("");
	for (size_t i = 0; i < answer->count; i++)
		if (dns_read_name(d->arena, answer->records[i], other) && str_equal_nocase(*other, host))
			return true;
	return false;
}

static void check_one_reverse(struct doctor *d, struct str host, const struct endpoint *address)
{
	struct str owner = reverse_name(d, address), text = doctor_address(d, address), other;
	struct str data = arena_printf(d->arena, "%.*s.", STR_ARG(host));
	struct dns_answer answer;
	doctor_zone_add(d, owner, "PTR", data);
	if (!doctor_ask(d, owner, DNS_PTR, &answer))
		return;
	if (has_name(d, &answer, host, &other)) {
		doctor_ok(d, "%.*s leads back to %.*s", STR_ARG(text), STR_ARG(host));
		return;
	}
	struct str wrong = answer.count ? arena_printf(d->arena, "leads to %.*s instead of %.*s",
	                                               STR_ARG(other.length ? other : STR(".")), STR_ARG(host))
	                                : STR("has no name: most servers refuse mail from such an address");
	doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
		.text = arena_printf(d->arena, "%.*s %.*s", STR_ARG(text), STR_ARG(wrong)),
		.advice = STR("The provider of the address keeps this record; ask there, or set it in its web pages"),
		.record = doctor_record(d, owner, "PTR", data) });
}

void doctor_check_reverse(struct doctor *d, struct str host)
{
	for (size_t i = 0; i < d->addresses.count; i++)
		check_one_reverse(d, host, &d->addresses.items[i]);
}

/* ---- lists of bad hosts, RFC 5782 ---- */

/* Asked besides those of the configuration; what they answer to a resolver that may not ask (127.255.255.x) is no
 * listing. */
static const char *const lists[] = { "zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com" };

/* 2.0.0.127.list, or the 32 digits of an IPv6 address likewise (§2.1, §2.4): the reverse name with another end. */
static struct str listed_name(struct doctor *d, const struct endpoint *address, struct str zone)
{
	struct str name = reverse_name(d, address);
	size_t end = str_find(name, address->any.sa_family == AF_INET ? STR(".in-addr.arpa") : STR(".ip6.arpa"));
	return arena_printf(d->arena, "%.*s.%.*s", STR_ARG(str_first(name, end)), STR_ARG(zone));
}

static bool is_listing(const struct dns_answer *answer, uint32_t first, uint32_t last)
{
	for (size_t i = 0; i < answer->count; i++) {
		struct endpoint code;
		if (!dns_read_address(answer->records[i], DNS_A, &code))
			continue;
		uint32_t value = ntohl(code.v4.sin_addr.s_addr);
		if (value >> 8 != 0x7fffff && value >= first && value <= last)
			return true;
	}
	return false;
}

/* True when the list could be asked; a listing is reported. */
static bool check_list(struct doctor *d, const struct endpoint *address, const struct config_dns_list *list)
{
	struct dns_answer answer;
	struct str zone = str_of(list->zone), text = doctor_address(d, address);
	dns_ask(doctor_dns_source(d->dns), d->arena, listed_name(d, address, zone), DNS_A, &answer);
	if (answer.status == DNS_FAILED || answer.status == DNS_BOGUS)
		return false;
	if (is_listing(&answer, list->first, list->last))
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "%.*s is listed by %.*s: many servers refuse its mail", STR_ARG(text),
				STR_ARG(zone)),
			.advice = STR("Find what it was listed for, end that, and ask the list to take it off") });
	return true;
}

void doctor_check_lists(struct doctor *d, struct str host UNUSED)
{
	unsigned asked = 0, errors = d->counts[DOCTOR_ERROR];
	for (size_t i = 0; i < d->addresses.count; i++) {
		for (size_t l = 0; l < d->config.dnsbl.count; l++)
			asked += check_list(d, &d->addresses.items[i], &d->config.dnsbl.items[l]);
		for (size_t l = 0; l < COUNT_OF(lists) && !is_private(&d->addresses.items[i]); l++) {
			CLEANUP(mem_free) char *zone = mem_printf("%s", lists[l]);
			asked += check_list(d, &d->addresses.items[i],
				&(struct config_dns_list){ zone, 127u << 24, (127u << 24) | 0xffffff });
		}
	}
	if (asked && errors == d->counts[DOCTOR_ERROR])
		doctor_ok(d, "%u list%s of bad hosts asked, none has this host's address", asked, asked == 1 ? "" : "s");
	else if (!asked && d->addresses.count)
		doctor_note(d, "no list of bad hosts answered");
}

/* ---- MX ---- */

struct mx_facts {
	unsigned ours, others;
	bool is_null;
	struct dns_mx *good; /* those that may stand */
	size_t good_count;
	bool ours_is_good;
	struct str record;   /* what is to stand */
};

/* By its name, or by an address that this host has and that others can reach. */
static bool is_this_host(const struct doctor *d, const struct dns_mx *mx, const struct doctor_addresses *found)
{
	bool is_ours = str_equal_nocase(mx->host, d->host);
	for (size_t i = 0; i < found->list.count && !is_ours; i++) {
		const struct endpoint *address = &found->list.items[i];
		is_ours = doctor_is_among(d->addresses.items, d->addresses.count, address) ||
		          (!is_private(address) && doctor_is_among(d->local.items, d->local.count, address));
	}
	return is_ours;
}

static bool is_literal(struct str host)
{
	struct endpoint address;
	return endpoint_parse_ip(host, 0, &address, NULL);
}

/* NULL: nothing is wrong with it. */
static const char *fault_of(const struct dns_mx *mx, const struct doctor_addresses *found)
{
	if (is_literal(mx->host))
		return "is an address, where a name has to stand (RFC 5321 §5.1)";
	if (found->answered && found->list.count == 0)
		return "has no address";
	return found->is_alias ? "is a CNAME, which it must not be (RFC 2181 §10.3)" : NULL;
}

static void check_one_mx(struct doctor *d, struct str domain, const struct dns_mx *mx, struct mx_facts *facts)
{
	CLEANUP(doctor_addresses_release) struct doctor_addresses found = {};
	facts->is_null |= mx->host.length == 0;
	if (mx->host.length == 0)
		return;
	if (!is_literal(mx->host))
		doctor_ask_addresses(d, mx->host, &found);
	bool is_ours = is_this_host(d, mx, &found);
	const char *fault = fault_of(mx, &found);
	facts->ours += is_ours;
	facts->others += !is_ours;
	facts->ours_is_good |= is_ours && !fault;
	if (!fault)
		facts->good[facts->good_count++] = *mx;
	else
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "the MX %.*s of %.*s %s", STR_ARG(mx->host), STR_ARG(domain), fault),
			.advice = STR("Name the host itself there, and publish its address; or remove it"), .record = is_ours ? facts->record : STR("") });
}

/* False when it should be another one. */
static bool judge_mx(struct doctor *d, struct str domain, const struct mx_facts *facts, size_t count)
{
	struct doctor_finding finding = { DOCTOR_ERROR, .record = facts->record };
	if (facts->is_null && count > 1) {
		finding.text = STR("a null MX (\".\", no mail at all) stands beside others");
		finding.advice = STR("Remove it (RFC 7505 §3)");
	} else if (facts->is_null) {
		finding.text = STR("a null MX says that the domain takes no mail");
		finding.advice = STR("Replace it");
	} else if (count == 0) {
		finding.text = STR("there is no MX record: mail finds this host only if the domain itself has its address");
		finding.advice = STR("Publish one");
	} else if (facts->ours == 0) {
		finding.text = STR("no MX is this host: mail for the domain goes elsewhere");
		finding.advice = STR("If its mail is to come here, publish the record");
	} else {
		if (facts->ours_is_good)
			doctor_ok(d, "mail for %.*s comes to this host%s", STR_ARG(domain),
			          facts->others ? "; other hosts take it too" : "");
		return true;
	}
	doctor_report(d, finding);
	return false;
}

void doctor_check_mx(struct doctor *d, struct str domain)
{
	struct dns_answer answer;
	struct dns_mx mx;
	size_t count = 0;
	struct str data = arena_printf(d->arena, "10 %.*s.", STR_ARG(d->host));
	struct mx_facts facts = { .record = doctor_record(d, domain, "MX", data) };
	if (!doctor_ask(d, domain, DNS_MX, &answer))
		return;
	facts.good = arena_alloc_array(d->arena, answer.count, sizeof *facts.good);
	for (size_t i = 0; i < answer.count; i++)
		if (dns_read_mx(d->arena, answer.records[i], &mx) &&
		    (++count <= MX_LOOKED_AT_MAX || str_equal_nocase(mx.host, d->host)))
			check_one_mx(d, domain, &mx, &facts);
	bool stays = judge_mx(d, domain, &facts, count);
	if (!stays || !facts.ours_is_good)
		doctor_zone_add(d, domain, "MX", data);
	for (size_t i = 0; i < facts.good_count && stays; i++)
		doctor_zone_add(d, domain, "MX",
		                arena_printf(d->arena, "%u %.*s.", facts.good[i].preference, STR_ARG(facts.good[i].host)));
}

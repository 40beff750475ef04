/* RFC 9990, "Verifying External Destinations": nobody is sent reports that he did not ask for. */
#include "dmarc_report.h"

#include "limits.h"

enum { CONSENT_RECORDS_MAX = 20 };

struct consent {
	bool given;
	struct str rua; /* where the reports go instead, or empty */
};

static struct str host_of(struct str address)
{
	return str_from_index(address, str_find_last_char(address, '@') + 1);
}

static bool ask_consent(struct arena *a, const struct dns_source *dns, struct str policy_domain, struct str host,
                        struct consent *consent)
{
	struct dns_answer answer;
	struct dmarc_record record;
	struct str text;
	struct str name = arena_printf(a, "%.*s._report._dmarc.%.*s", STR_ARG(policy_domain), STR_ARG(host));
	*consent = (struct consent){};
	if (!dns_name_is_valid(name))
		return true;
	dns_ask(dns, a, name, DNS_TXT, &answer);
	if (answer.status == DNS_FAILED || answer.status == DNS_BOGUS)
		return false;
	for (size_t i = 0; i < answer.count && i < CONSENT_RECORDS_MAX; i++)
		if (dns_read_txt(a, answer.records[i], &text) && dmarc_record_parse(text, &record)) {
			consent->given = true;
			if (!consent->rua.length)
				consent->rua = record.aggregate;
		}
	return true;
}

static void add(struct str address, struct str *addresses, size_t *count)
{
	if (address.length > LIMIT_ADDRESS_MAX || *count == DMARC_DESTINATIONS_MAX)
		return;
	for (size_t i = 0; i < *count; i++)
		if (str_equal_nocase(addresses[i], address))
			return;
	addresses[(*count)++] = address;
}

/* Whoever agrees may name other addresses, but not of another host. */
static void add_instead(struct arena *a, struct str rua, struct str host, struct str *addresses, size_t *count)
{
	struct str address;
	while (dmarc_address_next(a, &rua, &address))
		if (str_equal_nocase(host_of(address), host))
			add(address, addresses, count);
}

bool dmarc_destinations(struct arena *a, const struct dns_source *dns, struct str policy_domain, struct str rua,
                        struct str addresses[DMARC_DESTINATIONS_MAX], size_t *count)
{
	struct str address, host, ours, theirs;
	struct consent consent;
	*count = 0;
	if (!dmarc_organizational_domain(a, dns, policy_domain, &ours))
		return false;
	for (unsigned looked = 0; looked < DMARC_DESTINATIONS_MAX && dmarc_address_next(a, &rua, &address); looked++) {
		if (!dns_name_normalise(a, host_of(address), &host))
			continue;
		if (!dmarc_organizational_domain(a, dns, host, &theirs))
			return false;
		bool is_own = str_equal_nocase(ours, theirs);
		if (!is_own && !ask_consent(a, dns, policy_domain, host, &consent))
			return false;
		if (is_own || (consent.given && !consent.rua.length))
			add(address, addresses, count);
		else if (consent.given)
			add_instead(a, consent.rua, host, addresses, count);
	}
	return true;
}

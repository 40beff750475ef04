/* Any zone, header and authenticated domains: bounded, and what is said fits together. The first line has the SPF and
 * DKIM domains, the second the value of From, the rest is the zone. */
#include "dmarc.h"

#include "dns_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_addresses(struct arena *a, struct str list)
{
	struct str address;
	while (dmarc_address_next(a, &list, &address))
		must(str_is_printable(address) && str_find_char(address, '@') < address.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_from((const char *)data, size);
	struct str line;
	struct str from;
	struct str domains[2] = {};
	struct str author;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(256 << 20);
	CLEANUP(buf_release) struct buf header = BUF_WITH_LIMIT(size + 100);
	if (!str_take_until(&input, '\n', &line) || !str_take_until(&input, '\n', &from))
		return 0;
	str_take_until(&line, ' ', &domains[0]);
	str_take_until(&line, ' ', &domains[1]);
	buf_add_str(&header, STR("From: "));
	buf_add_str(&header, from);
	if (dmarc_author_find(a, buf_str(&header), &author) != DMARC_AUTHOR_FOUND)
		return 0;
	must(dns_name_is_valid(author));
	struct dns_zone *zone = dns_zone_parse(input, NULL);
	if (!zone)
		return 0;
	struct dns_source source = dns_zone_source(zone);
	const struct dmarc_request request = {
		.dns = &source, .author = author, .spf_domain = domains[0], .dkim_domains = domains, .dkim_count = 2, .spf_unanswered = domains[1],
	};
	struct dmarc_outcome outcome;
	dmarc_check(a, &request, &outcome);
	must((outcome.result == DMARC_PASS) ==
	     ((outcome.spf_aligned || outcome.dkim_aligned) && outcome.policy_domain.length));
	must(outcome.policy_domain.length == 0 || dns_name_is_within(author, outcome.policy_domain));
	must(outcome.policy <= outcome.published);
	must(dns_zone_asked(zone) <= 8 * 6 + 1);
	check_addresses(a, outcome.record.aggregate);
	dns_zone_free(zone);
	return 0;
}

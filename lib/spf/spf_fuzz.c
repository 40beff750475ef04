/* Any zone and any request: the check ends within its bounds, and an explanation is something that may be shown. The
 * first line of the input is client, HELO name and sender; what follows is the zone. */
#include "dns_zone.h"
#include "spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_from((const char *)data, size);
	struct str words[3] = {};
	struct str line;
	if (!str_take_until(&input, '\n', &line))
		return 0;
	for (size_t i = 0; i < COUNT_OF(words); i++)
		str_take_until(&line, ' ', &words[i]);
	struct endpoint client;
	if (!endpoint_parse_ip(words[0], 0, &client, NULL))
		return 0;
	struct dns_zone *zone = dns_zone_parse(input, NULL);
	if (!zone)
		return 0;
	struct dns_source source = dns_zone_source(zone);
	CLEANUP(arena_cleanup) struct arena *a = arena_new(256 << 20);
	const struct spf_request request = { .dns = &source, .client = client, .helo = words[1], .sender = words[2], .receiver = STR("mx.test") };
	struct spf_outcome outcome;
	spf_check(a, &request, &outcome);
	must(outcome.result < SPF_RESULT_COUNT && outcome.lookups <= 11);
	/* each term asks for eleven names at most, each with a record, and %{p} and exp come on top */
	must(dns_zone_asked(zone) <= 11 * 12 + 30);
	must(outcome.explanation.length == 0 || (outcome.result == SPF_FAIL && str_is_printable(outcome.explanation)));
	must((outcome.result == SPF_PERMERROR || outcome.result == SPF_TEMPERROR) ==
	     (outcome.why != NULL && outcome.result >= SPF_TEMPERROR));
	dns_zone_free(zone);
	return 0;
}

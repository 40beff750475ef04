/* Addresses and networks: what is accepted prints to a form that reads back as the same. */
#include "network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(struct str text)
{
	struct endpoint a, again;
	if (!endpoint_parse(text, &a, NULL))
		return;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(200);
	endpoint_print(&out, &a);
	must(endpoint_parse(buf_str(&out), &again, NULL) && endpoint_equal(&a, &again));
	must(again.every_family == a.every_family);
}

static void check_network(struct str text)
{
	struct network n, again;
	if (!network_parse(text, &n, NULL))
		return;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(200);
	struct endpoint first;
	network_print(&out, &n);
	must(network_parse(buf_str(&out), &again, NULL) && again.bits == n.bits && again.v6 == n.v6);
	must(memcmp(n.prefix, again.prefix, sizeof n.prefix) == 0);
	must(endpoint_parse_ip(str_first(buf_str(&out), str_find_char(buf_str(&out), '/')), 0, &first, NULL));
	must(network_contains(&n, &first));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_address(str_from((const char *)data, size));
	check_network(str_from((const char *)data, size));
	return 0;
}

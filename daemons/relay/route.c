#include "route.h"

#include <stdlib.h>

enum { LMTP_PORT = 24 };

static void no_route(struct route *route, enum relay_outcome outcome, unsigned code, struct str status, struct str text)
{
	route->count = 0;
	route->outcome = outcome;
	route->code = code;
	route->status = status;
	route->text = text;
}

static void add_host(struct route *route, struct str name)
{
	struct route_host *host = &route->hosts[route->count++];
	*host = (struct route_host){ .name = name };
	host->has_address = name.length && name.data[0] == '/'
	                        ? endpoint_parse(name, &host->address, NULL)
	                        : endpoint_parse_ip(name, (uint16_t)route->port, &host->address, NULL);
}

/* ---- what the configuration and the destination itself say ---- */

/* RFC 5321 §4.1.3 */
static bool is_literal(struct str destination, struct route *route)
{
	if (destination.length < 3 || destination.data[0] != '[' || destination.data[destination.length - 1] != ']')
		return false;
	struct str inner = str_from(destination.data + 1, destination.length - 2);
	if (str_starts_nocase(inner, STR("IPv6:")))
		inner = str_from_index(inner, 5);
	route->kind = ROUTE_LITERAL;
	add_host(route, inner);
	if (!route->hosts[0].has_address)
		no_route(route, RELAY_FAILED, 0, STR("5.1.2"), STR("the domain is no address that mail can be brought to"));
	return true;
}

static const struct config_transport *find_transport(const struct config *config, struct str destination)
{
	const struct config_transport *best = NULL;
	size_t best_length = 0;
	for (size_t i = 0; i < config->transport.count; i++) {
		const struct config_transport *t = &config->transport.items[i];
		struct str domain = str_of(t->domain);
		bool below = domain.data[0] == '.' && str_ends_nocase(destination, domain);
		if (str_equal_nocase(destination, domain))
			return t;
		if (below && domain.length > best_length) {
			best = t;
			best_length = domain.length;
		}
	}
	return best;
}

static void go_to(struct arena *a, struct route *route, const struct config_relay_host *to, unsigned port)
{
	route->kind = ROUTE_GIVEN;
	route->port = to->port ? to->port : port;
	add_host(route, arena_copy(a, str_of(to->host)));
}

bool route_without_mx(struct arena *a, const struct config *config, struct str destination, struct route *route)
{
	*route = (struct route){ .port = config->relay_port };
	const struct config_transport *transport = find_transport(config, destination);
	if (transport) {
		route->lmtp = transport->lmtp;
		go_to(a, route, &transport->to, transport->lmtp ? LMTP_PORT : config->relay_port);
		return true;
	}
	if (config->smarthost.host[0]) {
		route->smarthost = true;
		go_to(a, route, &config->smarthost, config->relay_port);
		return true;
	}
	return is_literal(destination, route);
}

/* ---- MX ---- */

struct candidate {
	uint16_t preference;
	uint32_t lot; /* decides among equals */
	struct str host;
};

static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	if (x->preference != y->preference)
		return x->preference < y->preference ? -1 : 1;
	return x->lot < y->lot ? -1 : x->lot > y->lot;
}

static struct candidate *read_candidates(struct arena *a, const struct dns_answer *answer, uint32_t (*random)(void),
                                         size_t *count)
{
	struct candidate *candidates = arena_alloc_array(a, answer->count + 1, sizeof *candidates);
	*count = 0;
	for (size_t i = 0; i < answer->count; i++) {
		struct dns_mx mx;
		struct str host;
		if (!dns_read_mx(a, answer->records[i], &mx))
			continue;
		/* RFC 7505 §3: beside others "." is no host; alone it was dealt with before */
		if (mx.host.length && dns_name_normalise(a, mx.host, &host))
			candidates[(*count)++] = (struct candidate){ mx.preference, random(), host };
	}
	qsort(candidates, *count, sizeof *candidates, compare_candidates);
	return candidates;
}

/* RFC 7505 */
static bool is_null_mx(struct arena *a, const struct dns_answer *answer)
{
	struct dns_mx mx;
	return answer->count == 1 && dns_read_mx(a, answer->records[0], &mx) && mx.host.length == 0;
}

/* RFC 5321 §5.1: a host that finds itself in the list drops itself and all that are not better. */
static size_t without_own(const struct candidate *candidates, size_t count, struct str hostname)
{
	for (size_t i = 0; i < count; i++) {
		if (!str_equal_nocase(candidates[i].host, hostname))
			continue;
		while (i > 0 && candidates[i - 1].preference == candidates[i].preference)
			i--;
		return i;
	}
	return count;
}

static bool is_there(const struct route *route, struct str host)
{
	for (size_t i = 0; i < route->count; i++)
		if (str_equal(route->hosts[i].name, host))
			return true;
	return false;
}

static void take_hosts(struct arena *a, const struct config *config, const struct dns_answer *answer,
                       uint32_t (*random)(void), struct route *route)
{
	size_t count;
	struct candidate *candidates = read_candidates(a, answer, random, &count);
	size_t usable = without_own(candidates, count, str_of(config->hostname));
	for (size_t i = 0; i < usable && route->count < ROUTE_HOSTS_MAX; i++) {
		if (is_there(route, candidates[i].host))
			continue;
		add_host(route, candidates[i].host);
		route->hosts[route->count - 1].preference = candidates[i].preference;
	}
	/* RFC 5321 §5.1: an MX names a host; one that is an address in words is none */
	for (size_t i = 0; i < route->count; i++)
		route->hosts[i].has_address = false;
	if (count == 0)
		no_route(route, RELAY_FAILED, 0, STR("5.4.4"), STR("the domain's MX records name no host"));
	else if (usable == 0)
		no_route(route, RELAY_FAILED, 0, STR("5.4.6"), STR("mail for the domain loops back to this host"));
}

void route_by_mx(struct arena *a, const struct config *config, struct str destination, const struct dns_answer *answer,
                 uint32_t (*random)(void), struct route *route)
{
	*route = (struct route){ .port = config->relay_port, .secure = answer->secure };
	switch (answer->status) {
	case DNS_FOUND:
		if (is_null_mx(a, answer))
			no_route(route, RELAY_FAILED, 556, STR("5.1.10"), STR("the domain takes no mail"));
		else
			take_hosts(a, config, answer, random, route);
		return;
	case DNS_NO_DATA:
		route->kind = ROUTE_IMPLICIT;
		if (str_equal_nocase(destination, str_of(config->hostname)))
			no_route(route, RELAY_FAILED, 0, STR("5.4.6"), STR("mail for the domain loops back to this host"));
		else
			add_host(route, arena_copy(a, destination));
		return;
	case DNS_NO_NAME:
		no_route(route, RELAY_FAILED, 0, STR("5.1.2"), STR("the domain does not exist"));
		return;
	case DNS_BOGUS:
		no_route(route, RELAY_DEFERRED, 0, STR("4.4.3"), STR("what the DNS says of the domain fails DNSSEC"));
		return;
	default:
		no_route(route, RELAY_DEFERRED, 0, STR("4.4.3"), STR("the DNS did not answer for the domain"));
	}
}

/* ---- addresses ---- */

/* RFC 1122 §3.2.1.3, RFC 4291 §2.5.2, §2.7: "this host", groups, and what lies beyond them are no place to bring mail
 * to. */
static bool is_of_one_host(const struct endpoint *address)
{
	if (address->any.sa_family == AF_INET6)
		return !IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr) && !IN6_IS_ADDR_MULTICAST(&address->v6.sin6_addr);
	uint32_t first = ntohl(address->v4.sin_addr.s_addr) >> 24;
	return first != 0 && first < 224;
}

void route_add_addresses(const struct dns_answer *answer, enum dns_type type, unsigned port, uint32_t (*random)(void),
                         struct endpoint *addresses, size_t *count)
{
	size_t first = answer->count ? random() % answer->count : 0, before = *count;
	if (answer->status != DNS_FOUND)
		return;
	for (size_t i = 0; i < answer->count && *count - before < ROUTE_FAMILY_MAX; i++) {
		struct endpoint address;
		if (!dns_read_address(answer->records[(first + i) % answer->count], type, &address) ||
		    !is_of_one_host(&address))
			continue;
		endpoint_set_port(&address, (uint16_t)port);
		addresses[(*count)++] = address;
	}
}

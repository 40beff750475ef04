/* Routes: which hosts, in which order, and why there are none. */
#include "route.h"

#include <setjmp.h> /* for cmocka */
#include <stdarg.h>

#include <cmocka.h>

enum { ARENA_MAX = 16 << 20, RECORDS_MAX = 10000, RDATA_MAX = 270 };

static uint32_t lots;

static uint32_t next_lot(void)
{
	return lots = lots * 1664525 + 1013904223;
}

static uint32_t same_lot(void)
{
	return 7;
}

/* ---- answers ---- */

static struct str mx_record(struct arena *a, unsigned preference, const char *host)
{
	char rdata[RDATA_MAX];
	size_t length = 2;
	struct str rest = str_of(strcmp(host, ".") == 0 ? "" : host), label;
	rdata[0] = (char)(preference >> 8);
	rdata[1] = (char)preference;
	while (str_take_until(&rest, '.', &label)) {
		rdata[length++] = (char)label.length;
		memcpy(rdata + length, label.data, label.length);
		length += label.length;
	}
	rdata[length++] = 0;
	return arena_copy(a, str_from(rdata, length));
}

/* "10 a.test,20 b.test"; "!": a malformed one. */
static struct dns_answer answer_of(struct arena *a, const char *text)
{
	struct dns_answer answer = { .status = DNS_FOUND, .records = arena_alloc_array(a, RECORDS_MAX, sizeof(struct str)) };
	struct str rest = str_of(text), one;
	while (str_take_until(&rest, ',', &one)) {
		size_t space = str_find_char(one, ' ');
		uint64_t preference = 0;
		struct str host = arena_copy(a, str_from_index(one, space + 1));
		str_to_u64(str_first(one, space), 65535, &preference);
		answer.records[answer.count++] = one.data[0] == '!' ? STR("\0") : mx_record(a, (unsigned)preference, host.data);
	}
	return answer;
}

static void assert_hosts(const struct route *route, const char *wanted)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(10000);
	for (size_t i = 0; i < route->count; i++)
		buf_printf(&text, i ? " %.*s" : "%.*s", STR_ARG(route->hosts[i].name));
	assert_string_equal(buf_text(&text), wanted);
}

static void configure(struct config *config, const char *const *settings)
{
	config_init(config);
	assert_true(config_set(config, "hostname=mail.own.test", NULL));
	for (; settings && *settings; settings++)
		assert_true(config_set(config, *settings, NULL));
}

/* ---- by MX ---- */

static const struct {
	const char *mx, *hosts;
	enum relay_outcome outcome; /* without hosts */
	unsigned code;
	const char *status;
} cases[] = {
	{ "10 a.test,20 b.test,5 c.test", "c.test a.test b.test" },
	{ "10 A.Test,20 b.test", "a.test b.test" },
	{ "0 .", "", RELAY_FAILED, 556, "5.1.10" },
	{ "10 .", "", RELAY_FAILED, 556, "5.1.10" },
	{ "0 .,10 a.test", "a.test" },
	{ "10 a.test,20 mail.own.test,30 b.test", "a.test" },
	{ "10 a.test,20 b.test,20 MAIL.own.test", "a.test" },
	{ "10 mail.own.test,20 a.test", "", RELAY_FAILED, 0, "5.4.6" },
	{ "10 mail.own.test", "", RELAY_FAILED, 0, "5.4.6" },
	{ "!", "", RELAY_FAILED, 0, "5.4.4" },
	{ "!,10 a.test", "a.test" },
	{ "10 a.test,10 a.test,20 a.test", "a.test" },
};

static void hosts_come_by_preference(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config;
	configure(&config, NULL);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
		struct dns_answer answer = answer_of(a, cases[i].mx);
		struct route route;
		route_by_mx(a, &config, STR("other.test"), &answer, same_lot, &route);
		assert_hosts(&route, cases[i].hosts);
		assert_int_equal(route.kind, ROUTE_BY_MX);
		if (route.count)
			continue;
		assert_int_equal(route.outcome, cases[i].outcome);
		assert_int_equal(route.code, cases[i].code);
		assert_true(str_equal(route.status, str_of(cases[i].status)));
		assert_true(route.text.length > 0);
	}
}

static void other_answers_are_told_apart(void **state)
{
	static const struct {
		enum dns_status status;
		const char *hosts;
		enum relay_outcome outcome;
		const char *code;
	} answers[] = {
		{ DNS_NO_DATA, "other.test", RELAY_DELIVERED, NULL },
		{ DNS_NO_NAME, "", RELAY_FAILED, "5.1.2" },
		{ DNS_FAILED, "", RELAY_DEFERRED, "4.4.3" },
		{ DNS_BOGUS, "", RELAY_DEFERRED, "4.4.3" },
	};
	(void)state;
	CLEANUP(config_release) struct config config;
	configure(&config, NULL);
	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
		struct route route;
		route_by_mx(a, &config, STR("other.test"), &(struct dns_answer){ .status = answers[i].status }, same_lot, &route);
		assert_hosts(&route, answers[i].hosts);
		if (answers[i].code) {
			assert_int_equal(route.outcome, answers[i].outcome);
			assert_true(str_equal(route.status, str_of(answers[i].code)));
		} else {
			assert_int_equal(route.kind, ROUTE_IMPLICIT);
		}
	}
}

static void the_implicit_host_may_be_this_one(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
	struct route route;
	configure(&config, NULL);
	route_by_mx(a, &config, STR("mail.own.test"), &(struct dns_answer){ .status = DNS_NO_DATA }, same_lot, &route);
	assert_int_equal(route.count, 0);
	assert_true(str_equal(route.status, STR("5.4.6")));
}

static void lots_decide_among_equals(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config;
	configure(&config, NULL);
	size_t first_is_a = 0;
	for (size_t i = 0; i < 1000; i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
		struct dns_answer answer = answer_of(a, "10 a.test,10 b.test,20 c.test");
		struct route route;
		route_by_mx(a, &config, STR("other.test"), &answer, next_lot, &route);
		assert_int_equal(route.count, 3);
		assert_true(str_equal(route.hosts[2].name, STR("c.test")));
		first_is_a += str_equal(route.hosts[0].name, STR("a.test"));
	}
	assert_in_range(first_is_a, 400, 600);
}

static void ten_thousand_are_bounded(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
	struct dns_answer answer = { .status = DNS_FOUND, .records = arena_alloc_array(a, RECORDS_MAX, sizeof(struct str)) };
	struct route route;
	configure(&config, NULL);
	for (unsigned i = 0; i < RECORDS_MAX; i++)
		answer.records[answer.count++] = mx_record(a, RECORDS_MAX - i, arena_printf(a, "h%u.test", i).data);
	route_by_mx(a, &config, STR("other.test"), &answer, next_lot, &route);
	assert_int_equal(route.count, ROUTE_HOSTS_MAX);
	assert_true(str_equal(route.hosts[0].name, STR("h9999.test")));
	assert_true(str_equal(route.hosts[ROUTE_HOSTS_MAX - 1].name, STR("h9980.test")));
}

/* ---- without ---- */

static void literals_are_addresses(void **state)
{
	static const struct {
		const char *destination, *host; /* NULL: refused */
	} literals[] = {
		{ "[192.0.2.1]", "192.0.2.1" }, { "[IPv6:2001:db8::1]", "2001:db8::1" }, { "[ipv6:::1]", "::1" },
		{ "[mail.test]", NULL },        { "[]x]", NULL },
	};
	(void)state;
	CLEANUP(config_release) struct config config;
	configure(&config, NULL);
	for (size_t i = 0; i < COUNT_OF(literals); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
		struct route route;
		assert_true(route_without_mx(a, &config, str_of(literals[i].destination), &route));
		assert_int_equal(route.kind, ROUTE_LITERAL);
		assert_hosts(&route, literals[i].host ? literals[i].host : "");
		if (literals[i].host)
			assert_true(route.hosts[0].has_address && endpoint_port(&route.hosts[0].address) == 25);
		else
			assert_true(route.outcome == RELAY_FAILED && str_equal(route.status, STR("5.1.2")));
	}
}

static void transports_come_before_the_smarthost(void **state)
{
	static const struct {
		const char *destination, *host;
		unsigned port;
		bool lmtp, smarthost;
	} ways[] = {
		{ "a.test", "192.0.2.7", 24, true, false },        { "A.TEST", "192.0.2.7", 24, true, false },
		{ "x.a.test", "below.test", 2525, false, false },  { "y.x.a.test", "deeper.test", 2526, false, false },
		{ "b.test", "smart.test", 587, false, true },      { "[192.0.2.1]", "smart.test", 587, false, true },
		{ "aa.test", "smart.test", 587, false, true },
	};
	static const char *const settings[] = {
		"transport=a.test=lmtp:192.0.2.7,.a.test=smtp:below.test:2525,.x.a.test=smtp:deeper.test:2526",
		"smarthost=smart.test:587",
		NULL,
	};
	(void)state;
	CLEANUP(config_release) struct config config;
	configure(&config, settings);
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
		struct route route;
		assert_true(route_without_mx(a, &config, str_of(ways[i].destination), &route));
		assert_hosts(&route, ways[i].host);
		assert_int_equal(route.port, ways[i].port);
		assert_int_equal(route.lmtp, ways[i].lmtp);
		assert_int_equal(route.smarthost, ways[i].smarthost);
	}
}

static void others_need_the_dns(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(ARENA_MAX);
	struct route route;
	configure(&config, NULL);
	assert_false(route_without_mx(a, &config, STR("other.test"), &route));
}

/* ---- addresses ---- */

static void addresses_are_bounded(void **state)
{
	(void)state;
	struct str v4[100];
	struct endpoint addresses[ROUTE_ADDRESSES_MAX];
	size_t count = 0;
	for (size_t i = 0; i < COUNT_OF(v4); i++)
		v4[i] = STR("\xc0\x00\x02\x01");
	v4[50] = STR("bad");
	const struct str v6 = STR("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01");
	route_add_addresses(&(struct dns_answer){ .status = DNS_FAILED, .records = v4, .count = 1 }, DNS_A, 25, same_lot, addresses, &count);
	assert_int_equal(count, 0);
	route_add_addresses(&(struct dns_answer){ .status = DNS_FOUND, .records = (struct str *)&v6, .count = 1 }, DNS_AAAA, 25, same_lot,
	                    addresses, &count);
	assert_int_equal(count, 1);
	route_add_addresses(&(struct dns_answer){ .status = DNS_FOUND, .records = v4, .count = COUNT_OF(v4) }, DNS_A, 26, next_lot, addresses, &count);
	assert_int_equal(count, 1 + ROUTE_FAMILY_MAX);
	assert_int_equal(endpoint_port(&addresses[0]), 25);
	assert_int_equal(endpoint_port(&addresses[1]), 26);
	assert_int_equal(addresses[1].any.sa_family, AF_INET);
}

static void addresses_of_no_host(void **state)
{
	static const struct {
		enum dns_type type;
		struct str octets;
		size_t count;
	} ones[] = {
		{ DNS_A, STR("\0\0\0\0"), 0 },         { DNS_A, STR("\0\x01\x02\x03"), 0 },      { DNS_A, STR("\xe0\0\0\x01"), 0 },
		{ DNS_A, STR("\xf0\0\0\x01"), 0 },      { DNS_A, STR("\xff\xff\xff\xff"), 0 },  { DNS_A, STR("\xdf\xff\xff\xff"), 1 },
		{ DNS_A, STR("\x01\0\0\x01"), 1 },      { DNS_A, STR("\x7f\0\0\x01"), 1 },
		{ DNS_AAAA, STR("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), 0 },
		{ DNS_AAAA, STR("\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"), 0 },
		{ DNS_AAAA, STR("\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0\0"), 0 }, /* mapped */
		{ DNS_AAAA, STR("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"), 1 },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(ones); i++) {
		struct endpoint addresses[ROUTE_ADDRESSES_MAX];
		struct str record = ones[i].octets;
		size_t count = 0;
		route_add_addresses(&(struct dns_answer){ .status = DNS_FOUND, .records = &record, .count = 1 }, ones[i].type, 25, same_lot, addresses,
		                    &count);
		if (count != ones[i].count)
			fail_msg("%zu: %zu", i, count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_come_by_preference),   cmocka_unit_test(other_answers_are_told_apart),
		cmocka_unit_test(the_implicit_host_may_be_this_one), cmocka_unit_test(lots_decide_among_equals),
		cmocka_unit_test(ten_thousand_are_bounded),   cmocka_unit_test(literals_are_addresses),
		cmocka_unit_test(transports_come_before_the_smarthost), cmocka_unit_test(others_need_the_dns),
		cmocka_unit_test(addresses_are_bounded), cmocka_unit_test(addresses_of_no_host),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

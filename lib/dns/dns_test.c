#include "dns_zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char zone_text[] = "; a zone\n"
								"example.test A 192.0.2.1\n"
								"example.test A 192.0.2.2\n"
								"example.test MX 10 mail.example.test\n"
								"example.test MX 20 backup.example.test\n"
								"example.test TXT \"v=spf1 \" \"-all\"\n"
								"mail.example.test AAAA 2001:db8::1\n"
								"mapped.test AAAA ::ffff:192.0.2.9\n"
								"null.test MX 0 .\n"
								"alias.test CNAME www.alias.test\n"
								"www.alias.test CNAME example.test\n"
								"loop.test CNAME pool.test\n"
								"pool.test CNAME loop.test\n"
								"broken.test FAIL\n"
								"half.test TXT FAIL\n"
								"half.test A 192.0.2.3\n"
								"forged.test BOGUS\n"
								"1.2.0.192.in-addr.arpa PTR example.test\n"
								"_25._tcp.mail.example.test TLSA 3 1 1 00ff\n";

struct fixture {
	struct dns_zone *zone;
	struct dns_source source;
	struct arena *arena;
};

static int set_up(void **state)
{
	static struct fixture f;
	f.zone = dns_zone_parse(str_of(zone_text), NULL);
	f.arena = arena_new(1 << 20);
	assert_non_null(f.zone);
	f.source = dns_zone_source(f.zone);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	dns_zone_free(f->zone);
	arena_free(f->arena);
	return 0;
}

static void statuses(void **state)
{
	static const struct {
		const char *name;
		enum dns_type type;
		enum dns_status status;
		size_t count;
	} cases[] = {
		{ "example.test", DNS_A, DNS_FOUND, 2 },       { "EXAMPLE.test.", DNS_A, DNS_FOUND, 2 },
		{ "example.test", DNS_AAAA, DNS_NO_DATA, 0 },  { "nowhere.test", DNS_A, DNS_NO_NAME, 0 },
		{ "_tcp.mail.example.test", DNS_A, DNS_NO_DATA, 0 }, { "alias.test", DNS_MX, DNS_FOUND, 2 },
		{ "loop.test", DNS_A, DNS_FAILED, 0 },         { "broken.test", DNS_MX, DNS_FAILED, 0 },
		{ "half.test", DNS_TXT, DNS_FAILED, 0 },       { "half.test", DNS_A, DNS_FOUND, 1 },
		{ "forged.test", DNS_A, DNS_BOGUS, 0 },        { "a..test", DNS_A, DNS_NO_NAME, 0 },
		{ "", DNS_A, DNS_NO_NAME, 0 },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dns_answer answer;
		dns_ask(&f->source, f->arena, str_of(cases[i].name), cases[i].type, &answer);
		assert_string_equal(dns_status_name(answer.status), dns_status_name(cases[i].status));
		assert_int_equal(answer.count, cases[i].count);
	}
}

static void records(void **state)
{
	struct fixture *f = *state;
	struct dns_answer answer;
	struct dns_mx mx;
	struct str text;
	struct endpoint address;
	struct dns_tlsa tlsa;
	dns_ask(&f->source, f->arena, STR("example.test"), DNS_MX, &answer);
	assert_true(dns_read_mx(f->arena, answer.records[1], &mx));
	assert_int_equal(mx.preference, 20);
	assert_true(str_equal(mx.host, STR("backup.example.test")));
	dns_ask(&f->source, f->arena, STR("null.test"), DNS_MX, &answer);
	assert_true(dns_read_mx(f->arena, answer.records[0], &mx) && mx.host.length == 0);
	dns_ask(&f->source, f->arena, STR("example.test"), DNS_TXT, &answer);
	assert_true(dns_read_txt(f->arena, answer.records[0], &text) && str_equal(text, STR("v=spf1 -all")));
	dns_ask(&f->source, f->arena, STR("mapped.test"), DNS_AAAA, &answer);
	assert_true(dns_read_address(answer.records[0], DNS_AAAA, &address));
	assert_int_equal(address.any.sa_family, AF_INET);
	dns_ask(&f->source, f->arena, STR("1.2.0.192.in-addr.arpa"), DNS_PTR, &answer);
	assert_true(dns_read_name(f->arena, answer.records[0], &text) && str_equal(text, STR("example.test")));
	dns_ask(&f->source, f->arena, STR("_25._tcp.mail.example.test"), DNS_TLSA, &answer);
	assert_true(dns_read_tlsa(answer.records[0], &tlsa) && tlsa.usage == 3 && tlsa.data.length == 2);
	dns_ask(&f->source, f->arena, STR("alias.test"), DNS_A, &answer);
	assert_true(str_equal(answer.canonical, STR("example.test")));
}

static void malformed_records(void **state)
{
	struct fixture *f = *state;
	struct dns_mx mx;
	struct str text;
	struct endpoint address;
	assert_false(dns_read_mx(f->arena, STR("\0\n"), &mx));
	assert_false(dns_read_mx(f->arena, STR("\0\n\3abc"), &mx));       /* no end */
	assert_false(dns_read_mx(f->arena, STR("\0\n\3abc\0x"), &mx));    /* something behind it */
	assert_false(dns_read_name(f->arena, STR("\300\0"), &text));       /* compression */
	assert_false(dns_read_name(f->arena, STR("\3a.b\0"), &text));      /* a dot inside a label */
	assert_false(dns_read_name(f->arena, STR("\3a\0b\0"), &text));
	assert_false(dns_read_name(f->arena, STR("\0"), &text));
	assert_false(dns_read_txt(f->arena, STR("\5abc"), &text));
	assert_true(dns_read_txt(f->arena, STR("\0\3abc"), &text) && text.length == 3);
	assert_false(dns_read_address(STR("abc"), DNS_A, &address));
	assert_false(dns_read_address(STR("abcd"), DNS_AAAA, &address));
}

static void names(void **state)
{
	struct fixture *f = *state;
	struct str out;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	struct endpoint address;
	char label[65] = {};
	memset(label, 'a', 64);
	assert_false(dns_name_is_valid(str_of(label)));
	assert_true(dns_name_is_valid(str_from(label, 63)));
	assert_false(dns_name_is_valid(STR("a b.test")) || dns_name_is_valid(STR(".test")) ||
	             dns_name_is_valid(STR("test.")));
	assert_true(dns_name_is_host(STR("a-1.test")));
	assert_false(dns_name_is_host(STR("test")) || dns_name_is_host(STR("-a.test")) ||
	             dns_name_is_host(STR("a_b.test")));
	assert_true(dns_name_normalise(f->arena, STR("B\xc3\xbc"
	                                             "cher.TEST."),
	                               &out));
	assert_true(str_equal(out, STR("xn--bcher-kva.test")));
	assert_false(dns_name_normalise(f->arena, STR("."), &out));
	assert_true(dns_name_is_within(STR("a.Example.test"), STR("example.test")));
	assert_false(dns_name_is_within(STR("badexample.test"), STR("example.test")));
	assert_true(endpoint_parse_ip(STR("192.0.2.1"), 0, &address, NULL));
	dns_reverse_name(&text, &address);
	assert_string_equal(buf_text(&text), "1.2.0.192.in-addr.arpa");
	buf_clear(&text);
	assert_true(endpoint_parse_ip(STR("2001:db8::f1"), 0, &address, NULL));
	dns_reverse_name(&text, &address);
	assert_string_equal(buf_text(&text), "1.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

static void packing(void **state)
{
	struct fixture *f = *state;
	struct dns_answer answer;
	struct dns_answer again;
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(100000);
	dns_ask(&f->source, f->arena, STR("alias.test"), DNS_MX, &answer);
	dns_answer_pack(&answer, &packed);
	assert_true(dns_answer_unpack(f->arena, buf_str(&packed), &again));
	assert_int_equal(again.count, 2);
	assert_int_equal(again.ttl_seconds, 3600);
	assert_true(again.secure && str_equal(again.records[1], answer.records[1]) &&
	            str_equal(again.canonical, answer.canonical));
	for (size_t length = 0; length < packed.length; length++)
		assert_false(dns_answer_unpack(f->arena, str_from(packed.data, length), &again));
	packed.data[0] = DNS_NO_NAME; /* with records */
	assert_false(dns_answer_unpack(f->arena, buf_str(&packed), &again));
}

static void zone_errors(void **state)
{
	static const char *const cases[] = { "a.test", "a.test A", "a.test A 1.2.3", "a.test MX mail.test", "a.test TXT text",
		                                 "a.test NONSENSE x", "a..b A 1.2.3.4", "a.test TLSA 3 1 1 0" };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct fail *fail = NULL;
		assert_null(dns_zone_parse(str_of(cases[i]), &fail));
		assert_int_equal(fail->kind, FAIL_INVALID);
		fail_free(&fail);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(statuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(malformed_records, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(packing, set_up, tear_down),
		cmocka_unit_test(zone_errors),
	};
	return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}

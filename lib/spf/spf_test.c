#include "dns_zone.h"
#include "spf_macro.h"
#include "spf_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct asking {
	struct dns_zone *zone;
	struct arena *arena;
	struct dns_source source;
	struct spf_request request;
	struct spf_outcome outcome;
};

static void check(struct asking *k, const char *zone, const char *client, const char *helo, const char *sender)
{
	struct fail *fail = NULL;
	*k = (struct asking){ .zone = dns_zone_parse(str_of(zone), &fail), .arena = arena_new(64 << 20) };
	if (!k->zone)
		fail_msg("%s", fail_text(fail));
	k->source = dns_zone_source(k->zone);
	k->request = (struct spf_request){ .dns = &k->source, .helo = str_of(helo), .sender = str_of(sender),
		                               .receiver = STR("mx.here.test"), .now = 1000000000 };
	assert_true(endpoint_parse_ip(str_of(client), 0, &k->request.client, NULL));
	spf_check(k->arena, &k->request, &k->outcome);
}

static void release(struct asking *k)
{
	dns_zone_free(k->zone);
	arena_free(k->arena);
}

/* A zone whose record of example.test is the one given, with what is named in it. */
static void results_of_records(void **state)
{
	static const char rest[] =
		"example.test A 192.0.2.1\nexample.test AAAA 2001:db8::1\nexample.test MX 10 mail.example.test\n"
		"mail.example.test A 192.0.2.25\nmail.example.test AAAA 2001:db8::25\n"
		"other.test A 198.51.100.7\nother.test MX 5 mail.other.test\nmail.other.test A 198.51.100.25\n"
		"pass.test TXT \"v=spf1 +all\"\nfail.test TXT \"v=spf1 -all\"\nsoft.test TXT \"v=spf1 ~all\"\n"
		"neutral.test TXT \"v=spf1 ?all\"\nbad.test TXT \"v=spf1 moo\"\nnothing.test A 192.0.2.77\n"
		"slow.test FAIL\nloop.test TXT \"v=spf1 include:loop.test -all\"\n"
		"two.test TXT \"v=spf1 -all\"\ntwo.test TXT \"v=spf1 +all\"\n"
		"3.2.0.192.in-addr._spf.example.test A 127.0.0.2\n"
		"9.2.0.192.in-addr.arpa PTR host.example.test\nhost.example.test A 192.0.2.9\n"
		"8.2.0.192.in-addr.arpa PTR forged.example.test\nforged.example.test A 192.0.2.200\n"
		"one%\\032two%20three.example.test A 192.0.2.3\n";
	static const struct {
		const char *record;
		const char *client;
		enum spf_result result;
	} cases[] = {
		{ "v=spf1", "192.0.2.3", SPF_NEUTRAL },
		{ "v=spf1 ", "192.0.2.3", SPF_NEUTRAL },
		{ "V=SPF1 -ALL", "192.0.2.3", SPF_FAIL },
		{ "v=spf10 -all", "192.0.2.3", SPF_NONE },
		{ "v=spf1-all", "192.0.2.3", SPF_NONE },
		{ "v=spf1 a -all", "192.0.2.1", SPF_PASS },
		{ "v=spf1 a -all", "2001:db8::1", SPF_PASS },
		{ "v=spf1 a -all", "192.0.2.2", SPF_FAIL },
		{ "v=spf1 a/30 -all", "192.0.2.2", SPF_PASS },
		{ "v=spf1 a/0 -all", "203.0.113.1", SPF_PASS },
		{ "v=spf1 a//64 -all", "2001:db8::ffff", SPF_PASS },
		{ "v=spf1 a/30//64 -all", "2001:db8::ffff", SPF_PASS },
		{ "v=spf1 a:other.test/24 -all", "198.51.100.200", SPF_PASS },
		{ "v=spf1 mx -all", "192.0.2.25", SPF_PASS },
		{ "v=spf1 mx:other.test ~all", "198.51.100.25", SPF_PASS },
		{ "v=spf1 mx:other.test ~all", "198.51.100.26", SPF_SOFTFAIL },
		{ "v=spf1 ip4:192.0.2.0/24 -all", "192.0.2.99", SPF_PASS },
		{ "v=spf1 ip4:192.0.2.0/24 -all", "::ffff:192.0.2.99", SPF_PASS },
		{ "v=spf1 ip4:192.0.2.128/25 -all", "192.0.2.99", SPF_FAIL },
		{ "v=spf1 ip6:2001:db8::/32 -all", "2001:db8:1::9", SPF_PASS },
		{ "v=spf1 ip6:2001:db8::/32 -all", "192.0.2.1", SPF_FAIL },
		{ "v=spf1 -ip4:192.0.2.3 +all", "192.0.2.3", SPF_FAIL },
		{ "v=spf1 ?ip4:192.0.2.3 +all", "192.0.2.3", SPF_NEUTRAL },
		{ "v=spf1 include:pass.test -all", "192.0.2.3", SPF_PASS },
		{ "v=spf1 include:fail.test ~all", "192.0.2.3", SPF_SOFTFAIL },
		{ "v=spf1 include:soft.test ?all", "192.0.2.3", SPF_NEUTRAL },
		{ "v=spf1 include:neutral.test -all", "192.0.2.3", SPF_FAIL },
		{ "v=spf1 include:nothing.test -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 include:bad.test -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 include:slow.test -all", "192.0.2.3", SPF_TEMPERROR },
		{ "v=spf1 include:two.test -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 include:loop.test -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 redirect=pass.test", "192.0.2.3", SPF_PASS },
		{ "v=spf1 redirect=nothing.test", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 redirect=pass.test -all", "192.0.2.3", SPF_FAIL },
		{ "v=spf1 -all redirect=bad..", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all", "192.0.2.3", SPF_PASS },
		{ "v=spf1 exists:%{ir}.%{v}._spf.%{d2} -all", "192.0.2.4", SPF_FAIL },
		{ "v=spf1 ptr -all", "192.0.2.9", SPF_PASS },
		{ "v=spf1 ptr -all", "192.0.2.8", SPF_FAIL },
		{ "v=spf1 ptr:other.test -all", "192.0.2.9", SPF_FAIL },
		{ "v=spf1 exists:%{p}.found.test a:%{p} -all", "192.0.2.9", SPF_PASS },
		{ "v=spf1 a:one%%%_two%-three.example.test -all", "192.0.2.3", SPF_PASS },
		{ "v=spf1 a:one%%%_two%-three.example.test -all", "192.0.2.4", SPF_FAIL },
		{ "v=spf1 moo=x%{l} -all", "192.0.2.3", SPF_FAIL },
		{ "v=spf1 moo=%(l} -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 -all moo", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 all:x.test", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 all/8", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 include", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 include:", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 a: -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 a/33", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 a/08", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 a//129", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 a:test -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 a:b.123 -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 ip4:1.2.3 -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 ip4:::1 -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 ip6:1.2.3.4 -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 ip4 -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 ip4:1.2.3.4//32 -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 exists:%{c}.x.test -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 exists:%{d0}.x.test -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 redirect=a.test redirect=b.test", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 exp=a.test exp=b.test -all", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 -redirect=a.test", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 =x", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 +", "192.0.2.3", SPF_PERMERROR },
		{ "v=spf1 a:n1.test a:n2.test -all", "192.0.2.3", SPF_FAIL },
		{ "v=spf1 a:n1.test a:n2.test a:n3.test -all", "192.0.2.3", SPF_PERMERROR },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf zone = BUF_WITH_LIMIT(10000);
		struct asking k;
		buf_printf(&zone, "example.test TXT \"%s\"\n%s", cases[i].record, rest);
		check(&k, buf_text(&zone), cases[i].client, "mail.example.test", "alice@example.test");
		if (k.outcome.result != cases[i].result)
			fail_msg("%s from %s: %s (%s), not %s", cases[i].record, cases[i].client, spf_result_name(k.outcome.result),
			         k.outcome.why ? k.outcome.why : "", spf_result_name(cases[i].result));
		assert_int_equal(k.outcome.why != NULL, k.outcome.result >= SPF_TEMPERROR);
		release(&k);
	}
}

/* Exactly ten terms may ask, RFC 7208 §4.6.4. */
static void limit_of_lookups(void **state)
{
	(void)state;
	for (int terms = 9; terms <= 11; terms++) {
		CLEANUP(buf_release) struct buf zone = BUF_WITH_LIMIT(10000);
		struct asking k;
		buf_printf(&zone, "h.test A 192.0.2.1\nexample.test TXT \"v=spf1");
		for (int i = 0; i < terms; i++)
			buf_printf(&zone, " a:h.test");
		buf_printf(&zone, " -all\"\n");
		check(&k, buf_text(&zone), "192.0.2.9", "x.test", "a@example.test");
		assert_int_equal(k.outcome.result, terms <= 10 ? SPF_FAIL : SPF_PERMERROR);
		release(&k);
	}
}

static void limit_of_mx_names(void **state)
{
	(void)state;
	for (int names = 10; names <= 11; names++) {
		CLEANUP(buf_release) struct buf zone = BUF_WITH_LIMIT(10000);
		struct asking k;
		buf_printf(&zone, "example.test TXT \"v=spf1 mx -all\"\n");
		for (int i = 0; i < names; i++)
			buf_printf(&zone, "example.test MX %d m%d.test\nm%d.test A 192.0.2.%d\n", i, i, i, i);
		check(&k, buf_text(&zone), "192.0.2.9", "x.test", "a@example.test");
		assert_int_equal(k.outcome.result, names <= 10 ? SPF_PASS : SPF_PERMERROR);
		release(&k);
	}
}

/* Thousands of names cost ten questions each way. */
static void many_ptr_names(void **state)
{
	CLEANUP(buf_release) struct buf zone = BUF_WITH_LIMIT(1000000);
	struct asking k;
	(void)state;
	buf_printf(&zone, "example.test TXT \"v=spf1 ptr -all\"\n");
	for (int i = 0; i < 5000; i++)
		buf_printf(&zone, "9.2.0.192.in-addr.arpa PTR h%d.example.test\n", i);
	check(&k, buf_text(&zone), "192.0.2.9", "x.test", "a@example.test");
	assert_int_equal(k.outcome.result, SPF_FAIL);
	assert_in_range(dns_zone_asked(k.zone), 2, 12);
	release(&k);
}

static void identities(void **state)
{
	static const char zone[] = "helo.test TXT \"v=spf1 a -all\"\nhelo.test A 192.0.2.1\n"
							   "l.test TXT \"v=spf1 exists:%{l}.%{o}.who.test -all\"\n"
							   "postmaster.l.test.who.test A 127.0.0.1\na.b.l.test.who.test A 127.0.0.1\n";
	struct asking k;
	(void)state;
	check(&k, zone, "192.0.2.1", "helo.test", "");
	assert_int_equal(k.outcome.result, SPF_PASS);
	assert_true(str_equal(k.outcome.domain, STR("helo.test")));
	release(&k);
	check(&k, zone, "192.0.2.1", "[192.0.2.1]", "");
	assert_int_equal(k.outcome.result, SPF_NONE);
	release(&k);
	check(&k, zone, "192.0.2.1", "helo.test", "@l.test");
	assert_int_equal(k.outcome.result, SPF_PASS);
	release(&k);
	check(&k, zone, "192.0.2.1", "helo.test", "a.b@l.test");
	assert_int_equal(k.outcome.result, SPF_PASS);
	release(&k);
	check(&k, zone, "192.0.2.1", "helo.test", "x@localhost");
	assert_int_equal(k.outcome.result, SPF_NONE);
	release(&k);
	check(&k, zone, "192.0.2.1", "helo.test", "x@a..test");
	assert_int_equal(k.outcome.result, SPF_NONE);
	release(&k);
}

static void explanations(void **state)
{
	static const struct {
		const char *zone;
		const char *explanation;
	} cases[] = {
		{ "example.test TXT \"v=spf1 exp=why.test -all\"\n"
		  "why.test TXT \"%{c} is not for %{o}, says %{r}%_at%_%{t}, %{S}\"",
		  "192.0.2.3 is not for example.test, says mx.here.test at 1000000000, a%2Bb%40example.test" },
		{ "example.test TXT \"v=spf1 exp=why.test -all\"\nwhy.test TXT \"%{x}\"", "" },
		{ "example.test TXT \"v=spf1 exp=why.test -all\"\nwhy.test TXT \"a\"\nwhy.test TXT \"b\"", "" },
		{ "example.test TXT \"v=spf1 exp=why.test -all\"\nwhy.test FAIL", "" },
		{ "example.test TXT \"v=spf1 exp=no.test redirect=r.test\"\nr.test TXT \"v=spf1 exp=why.r.test -all\"\n"
		  "why.r.test TXT \"of the redirect\"",
		  "of the redirect" },
		{ "example.test TXT \"v=spf1 include:i.test exp=why.test -all\"\ni.test TXT \"v=spf1 exp=w.test -all\"\n"
		  "w.test TXT \"of the include\"\nwhy.test TXT \"of the domain\"",
		  "of the domain" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct asking k;
		check(&k, cases[i].zone, "192.0.2.3", "h.test", "a+b@example.test");
		assert_int_equal(k.outcome.result, SPF_FAIL);
		if (!str_equal(k.outcome.explanation, str_of(cases[i].explanation)))
			fail_msg("%zu: \"%.*s\"", i, STR_ARG(k.outcome.explanation));
		release(&k);
	}
}

static struct str nobody(void *context)
{
	(void)context;
	return STR("mx.example.org");
}

/* RFC 7208 §7.4 */
static void expansions(void **state)
{
	static const struct {
		const char *client, *text, *expansion;
	} cases[] = {
		{ "192.0.2.3", "%{s}", "strong-bad@email.example.com" },
		{ "192.0.2.3", "%{o}", "email.example.com" },
		{ "192.0.2.3", "%{d4}", "email.example.com" },
		{ "192.0.2.3", "%{d2}", "example.com" },
		{ "192.0.2.3", "%{d1}", "com" },
		{ "192.0.2.3", "%{dr}", "com.example.email" },
		{ "192.0.2.3", "%{d2r}", "example.email" },
		{ "192.0.2.3", "%{l-}", "strong.bad" },
		{ "192.0.2.3", "%{lr}", "strong-bad" },
		{ "192.0.2.3", "%{lr-}", "bad.strong" },
		{ "192.0.2.3", "%{l1r-}", "strong" },
		{ "192.0.2.3", "%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com" },
		{ "192.0.2.3", "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com" },
		{ "192.0.2.3", "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com" },
		{ "2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}",
		  "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com" },
		{ "192.0.2.3", "%{p}%%%-%_x", "mx.example.org%%20 x" },
		{ "192.0.2.3", "%{D2}%{h}", "example.comhelo.test" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		struct spf_request request = { .helo = STR("helo.test") };
		const struct spf_macro_values values = { &request, STR("strong-bad@email.example.com"), STR("email.example.com"),
			                                     nobody, NULL };
		assert_true(endpoint_parse_ip(str_of(cases[i].client), 0, &request.client, NULL));
		assert_true(spf_macro_is_valid(str_of(cases[i].text), true) || cases[i].text[4] == '%');
		assert_true(spf_macro_expand(&out, str_of(cases[i].text), &values));
		assert_string_equal(buf_text(&out), cases[i].expansion);
	}
}

/* §7.3: labels go from the left of a name that is too long; a label that is too long is no name, and matches
 * nothing. */
static void long_names(void **state)
{
	CLEANUP(buf_release) struct buf zone = BUF_WITH_LIMIT(10000);
	CLEANUP(buf_release) struct buf sender = BUF_WITH_LIMIT(1000);
	struct asking k;
	(void)state;
	buf_printf(&zone, "example.test TXT \"v=spf1 exists:%%{l}.tail.test -all\"\n");
	for (int i = 0; i < 24; i++)
		buf_printf(&zone, "%snnnnnnnnn", i ? "." : "");
	buf_printf(&zone, ".tail.test A 127.0.0.2\n");
	for (int i = 0; i < 27; i++)
		buf_printf(&sender, "%snnnnnnnnn", i ? "." : "");
	buf_printf(&sender, "@example.test");
	check(&k, buf_text(&zone), "192.0.2.3", "h.test", buf_text(&sender));
	assert_int_equal(k.outcome.result, SPF_PASS);
	release(&k);
	check(&k, "example.test TXT \"v=spf1 exists:%{l}.tail.test ?all\"\n", "192.0.2.3", "h.test",
	      "0123456789012345678901234567890123456789012345678901234567890123456789@example.test");
	assert_int_equal(k.outcome.result, SPF_NEUTRAL);
	release(&k);
}

static void deadline(void **state)
{
	struct asking k;
	(void)state;
	check(&k, "example.test TXT \"v=spf1 -all\"\n", "192.0.2.3", "h.test", "a@example.test");
	k.request.deadline_ms = 1;
	spf_check(k.arena, &k.request, &k.outcome);
	assert_int_equal(k.outcome.result, SPF_TEMPERROR);
	release(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_of_records), cmocka_unit_test(limit_of_lookups), cmocka_unit_test(limit_of_mx_names),
		cmocka_unit_test(many_ptr_names),     cmocka_unit_test(identities),       cmocka_unit_test(explanations),
		cmocka_unit_test(expansions),         cmocka_unit_test(long_names),       cmocka_unit_test(deadline),
	};
	return cmocka_run_group_tests_name("spf", tests, NULL, NULL);
}

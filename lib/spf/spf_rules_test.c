/* Rule by rule of RFC 7208: each a zone, a client and what must come out. */
#include "dns_zone.h"
#include "mem.h"
#include "spf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct rule {
	const char *what;
	const char *zone;
	const char *client, *helo, *sender;
	enum spf_result result;
	const char *explanation; /* NULL: not looked at */
};

#define LABEL_63 "a12345678901234567890123456789012345678901234567890123456789012"
#define FROM_V4 "1.2.3.4", "mail.example.net"
#define FROM_V6 "cafe:babe::1", "mail.example.net"

static void check(const struct rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct rule *rule = &rules[i];
		struct fail *fail = NULL;
		struct dns_zone *zone = dns_zone_parse(str_of(rule->zone), &fail);
		if (!zone)
			fail_msg("%s: %s", rule->what, fail_text(fail));
		struct arena *arena = arena_new(64 << 20);
		struct dns_source source = dns_zone_source(zone);
		struct spf_request request = { .dns = &source, .helo = str_of(rule->helo), .sender = str_of(rule->sender),
			                           .receiver = STR("receiver.example"), .now = 1000000000 };
		struct spf_outcome outcome;
		assert_true(endpoint_parse_ip(str_of(rule->client), 0, &request.client, NULL));
		spf_check(arena, &request, &outcome);
		if (outcome.result != rule->result)
			fail_msg("%s: %s (%s), not %s", rule->what, spf_result_name(outcome.result), outcome.why ? outcome.why : "",
			         spf_result_name(rule->result));
		if (rule->explanation && !str_equal(outcome.explanation, str_of(rule->explanation)))
			fail_msg("%s: \"%.*s\"", rule->what, STR_ARG(outcome.explanation));
		arena_free(arena);
		dns_zone_free(zone);
	}
}

/* §4.3, §2.4 */
static void names(void **state)
{
	static const struct rule rules[] = {
		{ "a label of 64 octets", "", FROM_V4, "a@" LABEL_63 "x.example.com", SPF_NONE, NULL },
		{ "a label of 63 octets", LABEL_63 ".example.com TXT \"v=spf1 -all\"", FROM_V4, "a@" LABEL_63 ".example.com", SPF_FAIL, NULL },
		{ "an empty label", "", FROM_V4, "a@b..example.com", SPF_NONE, NULL },
		{ "an address literal", "", FROM_V4, "a@[1.2.3.5]", SPF_NONE, NULL },
		{ "a HELO that is no FQDN", "", "1.2.3.4", "mailhost", "", SPF_NONE, NULL },
		{ "a HELO that is a literal", "", "1.2.3.4", "[1.2.3.5]", "", SPF_NONE, NULL },
		{ "the null sender", "mail.example.net TXT \"v=spf1 -all\"", FROM_V4, "", SPF_FAIL, NULL },
		{ "no local part", "example.com TXT \"v=spf1 -all exp=why.example.com\"\nwhy.example.com TXT \"%{l}\"", FROM_V4, "@example.com",
		  SPF_FAIL, "postmaster" },
		{ "upper case", "example.com TXT \"v=spf1 -all\"", FROM_V4, "a@EXAMPLE.com", SPF_FAIL, NULL },
	};
	(void)state;
	check(rules, COUNT_OF(rules));
}

/* §4.4, §4.5 */
static void records(void **state)
{
	static const struct rule rules[] = {
		{ "no TXT", "example.com A 1.2.3.4", FROM_V4, "a@example.com", SPF_NONE, NULL },
		{ "no name", "", FROM_V4, "a@example.com", SPF_NONE, NULL },
		{ "the DNS fails", "example.com FAIL", FROM_V4, "a@example.com", SPF_TEMPERROR, NULL },
		{ "other TXT", "example.com TXT \"hello\"\nexample.com TXT \"v=spf2.0/pra -all\"", FROM_V4, "a@example.com", SPF_NONE, NULL },
		{ "an empty string", "example.com TXT \"\"", FROM_V4, "a@example.com", SPF_NONE, NULL },
		{ "one among others", "example.com TXT \"hello\"\nexample.com TXT \"v=spf1 -all\"\nexample.com TXT \"\"", FROM_V4, "a@example.com", SPF_FAIL, NULL },
		{ "several strings", "example.com TXT \"v=spf1 ip4:1.2\" \".3.4 -all\"", FROM_V4, "a@example.com", SPF_PASS, NULL },
		{ "strings without a blank between", "example.com TXT \"v=spf1\" \"-all\"", FROM_V4, "a@example.com", SPF_NONE, NULL },
		{ "two that are the same", "example.com TXT \"v=spf1 -all\"\nexample.com TXT \"v=spf1 -all\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "case", "example.com TXT \"V=sPf1 ~ALL\"", FROM_V4, "a@example.com", SPF_SOFTFAIL, NULL },
		{ "blanks", "example.com TXT \"v=spf1   -all  \"", FROM_V4, "a@example.com", SPF_FAIL, NULL },
		{ "octets beyond ASCII in another TXT", "example.com TXT \"\x96zzz\"\nexample.com TXT \"v=spf1 -all\"", FROM_V4, "a@example.com", SPF_FAIL, NULL },
		{ "octets beyond ASCII in a term", "example.com TXT \"v=spf1 \xefip4:1.2.3.4 -all\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "octets beyond ASCII in a name", "example.com TXT \"v=spf1 a:\xef\xbb\xbfx.example.com -all\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "behind a CNAME", "example.com CNAME other.test\nother.test TXT \"v=spf1 -all\"", FROM_V4, "a@example.com", SPF_FAIL, NULL },
	};
	(void)state;
	check(rules, COUNT_OF(rules));
}

#define TERMS(what, terms, client, result) { what, "example.com TXT \"v=spf1 " terms "\"\n" HOSTS, client, "a@example.com", result, NULL }
#define TERMS_FROM(what, terms, client, helo, result) { what, "example.com TXT \"v=spf1 " terms "\"\n" HOSTS, client, helo, "a@example.com", result, NULL }
#define HOSTS                                                                                                                     \
	"example.com A 1.2.3.4\nexample.com AAAA cafe:babe::1\nexample.com MX 10 mx.example.com\nmx.example.com A 1.2.3.5\n"           \
	"only4.example.com A 1.2.3.4\nonly6.example.com AAAA cafe:babe::1\npass.test TXT \"v=spf1 +all\"\nfail.test TXT \"v=spf1 -all\"\n" \
	"slow.test FAIL\nfoo:bar/baz.example.com A 1.2.3.4\nfoo.xn--zckzah A 1.2.3.4\nnull.test MX 0 .\n"                               \
	"many.test A 9.9.9.1\nmany.test A 9.9.9.2\nmany.test A 9.9.9.3\nmany.test A 9.9.9.4\nmany.test A 9.9.9.5\nmany.test A 9.9.9.6\n"  \
	"many.test A 9.9.9.7\nmany.test A 9.9.9.8\nmany.test A 9.9.9.9\nmany.test A 9.9.9.10\nmany.test A 9.9.9.11\nmany.test A 1.2.3.4\n"

/* §4.6, §5, §6.1: their form */
static void forms(void **state)
{
	static const struct rule rules[] = {
		TERMS("an error anywhere", "ip4:1.2.3.4 ipv4:1.2.3.4 -all", FROM_V4, SPF_PERMERROR),
		TERMS("letters of a modifier's name", "moo.cow-far_out=man:dog/cat ip4:1.2.3.4 -all", FROM_V4, SPF_PASS),
		TERMS("a slash in it", "moo.cow/far_out=man:dog/cat ip4:1.2.3.4 -all", FROM_V4, SPF_PERMERROR),
		TERMS("a colon in it", "moo.cow:far_out=man:dog/cat ip4:1.2.3.4 -all", FROM_V4, SPF_PERMERROR),
		TERMS("a digit before it", "1up=foo -all", FROM_V4, SPF_PERMERROR), TERMS("no name", "=all", FROM_V4, SPF_PERMERROR),
		TERMS("a modifier of old", "default=pass", FROM_V4, SPF_NEUTRAL), TERMS("its value is a macro-string", "foo=%abc -all", FROM_V4, SPF_PERMERROR),
		TERMS("an empty value", "foo= ip4:1.2.3.4", FROM_V4, SPF_PASS), TERMS("redirect is no mechanism", "ip4:9.9.9.9 redirect:pass.test", FROM_V4, SPF_PERMERROR),
		TERMS("redirect before mechanisms", "redirect=pass.test ~all", FROM_V4, SPF_SOFTFAIL),
		TERMS("redirect without a domain", "redirect=", FROM_V4, SPF_PERMERROR), TERMS("redirect to what is none", "redirect=-all ?all", FROM_V4, SPF_PERMERROR),
		TERMS("all with a dot", "-all.", FROM_V4, SPF_PERMERROR), TERMS("all with an argument", "-all:foobar", FROM_V4, SPF_PERMERROR),
		TERMS("all with a prefix", "-all/8", FROM_V4, SPF_PERMERROR), TERMS("two qualifiers", "--all", FROM_V4, SPF_PERMERROR),
		TERMS("what follows all", "+all -all", FROM_V4, SPF_PASS), TERMS("ptr with a prefix", "ptr/0 -all", FROM_V4, SPF_PERMERROR),
		TERMS("ptr without a domain", "ptr: -all", FROM_V4, SPF_PERMERROR), TERMS("a prefix without digits", "a/ -all", FROM_V4, SPF_PERMERROR),
		TERMS("two prefixes of IPv4", "a/24/8 -all", FROM_V4, SPF_PERMERROR), TERMS("three slashes", "a///8 -all", FROM_V4, SPF_PERMERROR),
		TERMS("a port", "a:example.com:8080", FROM_V4, SPF_PERMERROR), TERMS("one label", "a:museum -all", FROM_V4, SPF_PERMERROR),
		TERMS("one label and a dot", "a:museum. -all", FROM_V4, SPF_PERMERROR), TERMS("digits last", "a:111.222.33.44 -all", FROM_V4, SPF_PERMERROR),
		TERMS("a hyphen first in the last label", "a:example.-com -all", FROM_V4, SPF_PERMERROR),
		TERMS("hyphens inside it", "a:foo.xn--zckzah -all", FROM_V4, SPF_PASS), TERMS("a colon and a slash in a name", "a:foo:bar/baz.example.com -all", FROM_V4, SPF_PASS),
		TERMS("a dot behind it", "a:only4.example.com. -all", FROM_V4, SPF_PASS), TERMS("an empty label matches nothing", "a:b..example.com ?all", FROM_V4, SPF_NEUTRAL),
		TERMS("a label that is too long", "a:" LABEL_63 "x.example.com ?all", FROM_V4, SPF_NEUTRAL),
		TERMS("include without a domain", "include -all", FROM_V4, SPF_PERMERROR), TERMS("include with a prefix", "include:pass.test/24 -all", FROM_V4, SPF_PERMERROR),
		TERMS("exists without a domain", "exists -all", FROM_V4, SPF_PERMERROR), TERMS("exists with a prefix", "exists:mx.example.com/8 -all", FROM_V4, SPF_PERMERROR),
		TERMS("ip4 with a port", "ip4:1.2.3.4:8080", FROM_V4, SPF_PERMERROR), TERMS("ip4 with two slashes", "ip4:1.2.3.4//32 -all", FROM_V4, SPF_PERMERROR),
		TERMS("a zero before the prefix", "ip4:1.2.3.4/032 -all", FROM_V4, SPF_PERMERROR), TERMS("a prefix of 33", "ip4:1.2.3.4/33 -all", FROM_V4, SPF_PERMERROR),
		TERMS("a mapped address for ip4", "ip4:::ffff:1.2.3.4 -all", FROM_V4, SPF_PERMERROR), TERMS("ip6 without", "ip6 -all", FROM_V4, SPF_PERMERROR),
		TERMS("ip6 that is none", "ip6:::CAFE::BABE -all", FROM_V6, SPF_PERMERROR), TERMS("a prefix of 129", "ip6:::1.1.1.1/129 -all", FROM_V6, SPF_PERMERROR),
		TERMS("ip6 with two slashes", "ip6:::1.1.1.1//33 -all", FROM_V6, SPF_PERMERROR),
		TERMS("the macros of explanations", "exists:%{r}.example.com -all", FROM_V4, SPF_PERMERROR), TERMS("a lonely percent", "exists:%.example.com -all", FROM_V4, SPF_PERMERROR),
		TERMS("a macro in round brackets", "exists:%(i).example.com -all", FROM_V4, SPF_PERMERROR), TERMS("an unknown macro", "exists:%{a}.example.com -all", FROM_V4, SPF_PERMERROR),
		TERMS("a macro that does not end", "exists:%{i.example.com -all", FROM_V4, SPF_PERMERROR), TERMS("ends with a macro", "exists:%{d} -all", FROM_V4, SPF_PASS),
	};
	(void)state;
	check(rules, COUNT_OF(rules));
}

/* §5 */
static void mechanisms(void **state)
{
	static const struct rule rules[] = {
		TERMS("a of IPv6 for IPv4", "a:only6.example.com ?all", FROM_V4, SPF_NEUTRAL), TERMS("a/0 of IPv4 for IPv6", "a:only4.example.com/0 -all", FROM_V6, SPF_FAIL),
		TERMS_FROM("a//0", "a:only6.example.com//0 -all", "1234::1", "h.test", SPF_PASS), TERMS("a//0 for IPv4", "a:only6.example.com//0 -all", FROM_V4, SPF_FAIL),
		TERMS("a/0 of no name", "a:nothing.example.com/0 -all", FROM_V4, SPF_FAIL), TERMS_FROM("both prefixes, IPv4", "a/24//48 -all", "1.2.3.99", "h.test", SPF_PASS),
		TERMS_FROM("both prefixes, IPv6", "a/24//48 -all", "cafe:babe::99", "h.test", SPF_PASS), TERMS_FROM("no prefix for IPv6", "a/24 -all", "cafe:babe::99", "h.test", SPF_FAIL),
		TERMS("more than ten addresses of a", "a:many.test -all", FROM_V4, SPF_PASS), TERMS("a that fails", "a:slow.test -all", FROM_V4, SPF_TEMPERROR),
		TERMS("mx does not fall back on a", "mx:only4.example.com ?all", FROM_V4, SPF_NEUTRAL), TERMS("null MX", "mx:null.test ?all", FROM_V4, SPF_NEUTRAL),
		TERMS("mx/30", "mx/30 -all", FROM_V4, SPF_PASS), TERMS("mx that fails", "mx:slow.test -all", FROM_V4, SPF_TEMPERROR),
		TERMS("exists asks for A, whatever the client is", "exists:only4.example.com -all", FROM_V6, SPF_PASS),
		TERMS("exists of AAAA alone", "exists:only6.example.com -all", FROM_V6, SPF_FAIL), TERMS("exists that fails", "exists:slow.test -all", FROM_V4, SPF_TEMPERROR),
		TERMS("ip4/0", "ip4:9.9.9.9/0 -all", FROM_V4, SPF_PASS), TERMS_FROM("ip4 for a mapped client", "ip4:1.2.0.0/16 -all", "::ffff:1.2.3.4", "h.test", SPF_PASS),
		TERMS("ip6/0 for IPv4", "ip6:::1.1.1.1/0 ?all", FROM_V4, SPF_NEUTRAL), TERMS("ip6/0", "ip6:::1.1.1.1/0 -all", FROM_V6, SPF_PASS),
		TERMS_FROM("ip6/33", "ip6:cafe:babe:8000::/33 -all", "cafe:babe:8000::1", "h.test", SPF_PASS),
		TERMS_FROM("ip6/33, the other half", "ip6:cafe:babe:8000::/33 -all", "cafe:babe:7fff::1", "h.test", SPF_FAIL),
		TERMS("include that fails", "include:fail.test ~all", FROM_V4, SPF_SOFTFAIL), TERMS("include of no record", "include:none.test -all", FROM_V4, SPF_PERMERROR),
		TERMS("redirect", "ip4:9.9.9.9 redirect=fail.test", FROM_V4, SPF_FAIL),
		{ "redirect changes the domain", "example.com TXT \"v=spf1 redirect=r.test\"\nr.test TXT \"v=spf1 a -all\"\nr.test A 1.2.3.4", FROM_V4, "a@example.com", SPF_PASS, NULL },
		{ "include changes it too", "example.com TXT \"v=spf1 include:i.test -all\"\ni.test TXT \"v=spf1 a -all\"\ni.test A 1.2.3.4", FROM_V4, "a@example.com", SPF_PASS, NULL },
		{ "ptr of another case", "example.com TXT \"v=spf1 ptr -all\"\n4.3.2.1.in-addr.arpa PTR Mail.EXAMPLE.com\nmail.example.com A 1.2.3.4", FROM_V4, "a@example.com", SPF_PASS, NULL },
		{ "ptr for IPv6", "example.com TXT \"v=spf1 ptr -all\"\n"
		  "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.b.a.b.e.f.a.c.ip6.arpa PTR mail.example.com\nmail.example.com AAAA cafe:babe::1", FROM_V6, "a@example.com", SPF_PASS, NULL },
		{ "ptr that fails", "example.com TXT \"v=spf1 ptr ?all\"\n4.3.2.1.in-addr.arpa FAIL", FROM_V4, "a@example.com", SPF_NEUTRAL, NULL },
		{ "ptr whose name fails", "example.com TXT \"v=spf1 ptr ?all\"\n4.3.2.1.in-addr.arpa PTR x.example.com\nx.example.com FAIL", FROM_V4, "a@example.com", SPF_NEUTRAL, NULL },
	};
	(void)state;
	check(rules, COUNT_OF(rules));
}

/* §6.2 */
static void explanations(void **state)
{
	static const struct rule rules[] = {
		{ "redirect cancels exp", "example.com TXT \"v=spf1 exp=w.test redirect=r.test\"\nr.test TXT \"v=spf1 -all\"\nw.test TXT \"no\"", FROM_V4, "a@example.com", SPF_FAIL, "" },
		{ "exp of the include is not used", "example.com TXT \"v=spf1 include:i.test -all exp=w.test\"\ni.test TXT \"v=spf1 -all exp=v.test\"\nv.test TXT \"v\"\nw.test TXT \"w\"",
		  FROM_V4, "a@example.com", SPF_FAIL, "w" },
		{ "exp that does not exist", "example.com TXT \"v=spf1 -all exp=none.test\"", FROM_V4, "a@example.com", SPF_FAIL, "" },
		{ "exp with octets beyond ASCII", "example.com TXT \"v=spf1 -all exp=w.test\"\nw.test TXT \"caf\xc3\xa9\"", FROM_V4, "a@example.com", SPF_FAIL, "" },
		{ "exp without a domain", "example.com TXT \"v=spf1 -all exp=\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "exp with a wrong domain", "example.com TXT \"v=spf1 -all exp=-all\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "exp of several strings", "example.com TXT \"v=spf1 -all exp=w.test\"\nw.test TXT \"one \" \"two\"", FROM_V4, "a@example.com", SPF_FAIL, "one two" },
		{ "no exp for softfail", "example.com TXT \"v=spf1 ~all exp=w.test\"\nw.test TXT \"no\"", FROM_V4, "a@example.com", SPF_SOFTFAIL, "" },
		{ "of an IPv6 client", "example.com TXT \"v=spf1 -all exp=w.test\"\nw.test TXT \"%{c} is queried as %{ir}.%{v}.arpa\"", FROM_V6, "a@example.com", SPF_FAIL,
		  "cafe:babe::1 is queried as 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.e.b.a.b.e.f.a.c.ip6.arpa" },
		{ "escaped", "example.com TXT \"v=spf1 -all exp=w.test\"\nw.test TXT \"http://x.test/?l=%{L}&h=%{H}\"", FROM_V4, "jack&jill=up@example.com", SPF_FAIL,
		  "http://x.test/?l=jack%26jill%3Dup&h=mail.example.net" },
		{ "the validated name", "example.com TXT \"v=spf1 -all exp=w.test\"\nw.test TXT \"from %{p}\"\n4.3.2.1.in-addr.arpa PTR other.test\n"
		  "4.3.2.1.in-addr.arpa PTR mx.example.com\nother.test A 1.2.3.4\nmx.example.com A 1.2.3.4", FROM_V4, "a@example.com", SPF_FAIL, "from mx.example.com" },
		{ "no validated name", "example.com TXT \"v=spf1 -all exp=w.test\"\nw.test TXT \"from %{p}\"\n4.3.2.1.in-addr.arpa PTR mx.example.com\nmx.example.com A 9.9.9.9",
		  FROM_V4, "a@example.com", SPF_FAIL, "from unknown" },
	};
	(void)state;
	check(rules, COUNT_OF(rules));
}

/* §7 */
static void macros(void **state)
{
	static const struct rule rules[] = {
		{ "the HELO name", "example.com TXT \"v=spf1 a:%{h} -all\"\nmail.example.net A 1.2.3.4", FROM_V4, "a@example.com", SPF_PASS, NULL },
		{ "a HELO that is no name", "example.com TXT \"v=spf1 a:%{h} -all\"", "1.2.3.4", "jumpin' jupiter", "a@example.com", SPF_FAIL, NULL },
		{ "a HELO that is a literal", "example.com TXT \"v=spf1 a:%{h} -all\"", "1.2.3.4", "[1.2.3.4]", "a@example.com", SPF_FAIL, NULL },
		{ "split at hyphens, turned round", "example.com TXT \"v=spf1 exists:%{l2r-}.user.%{d2} -all\"\ngladstone.philip.user.example.com A 127.0.0.2", FROM_V4,
		  "philip-gladstone@example.com", SPF_PASS, NULL },
		{ "several delimiters", "example.com TXT \"v=spf1 exists:%{l2r+-}.user.%{d2} -all\"\nzip.foo.user.example.com A 127.0.0.2", FROM_V4,
		  "foo-zip+quux@example.com", SPF_PASS, NULL },
		{ "a domain of macros only", "example.com TXT \"v=spf1 include:%{h} -all\"\nmail.example.net TXT \"v=spf1 +all\"", FROM_V4, "a@example.com", SPF_PASS, NULL },
		{ "a dot behind a macro is no domain-end (§7.1)", "example.com TXT \"v=spf1 redirect=%{h}.\"\nmail.example.net TXT \"v=spf1 +all\"", FROM_V4, "a@example.com",
		  SPF_PERMERROR, NULL },
		{ "a dot behind the last label", "example.com TXT \"v=spf1 redirect=%{h}.r.test.\"\nmail.example.net.r.test TXT \"v=spf1 +all\"", FROM_V4, "a@example.com", SPF_PASS, NULL },
		{ "the sender's domain in a redirected record", "example.com TXT \"v=spf1 redirect=r.test\"\nr.test TXT \"v=spf1 exists:%{o}.%{d} -all\"\nexample.com.r.test A 127.0.0.1",
		  FROM_V4, "a@example.com", SPF_PASS, NULL },
		{ "more parts than there are", "example.com TXT \"v=spf1 exists:%{d9}.x.test -all\"\nexample.com.x.test A 127.0.0.1", FROM_V4, "a@example.com", SPF_PASS, NULL },
	};
	(void)state;
	check(rules, COUNT_OF(rules));
}

/* §4.6.4 */
static void limits(void **state)
{
	static const struct rule rules[] = {
		{ "redirect to itself", "example.com TXT \"v=spf1 redirect=example.com\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "two that include each other", "example.com TXT \"v=spf1 include:i.test -all\"\ni.test TXT \"v=spf1 include:example.com\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "ten in includes", "example.com TXT \"v=spf1 include:i.test include:i.test a a a a -all\"\ni.test TXT \"v=spf1 a a -all\"\nexample.com A 9.9.9.9\ni.test A 9.9.9.9",
		  FROM_V4, "a@example.com", SPF_FAIL, NULL },
		{ "eleven in includes", "example.com TXT \"v=spf1 include:i.test include:i.test a a a a a -all\"\ni.test TXT \"v=spf1 a a -all\"\nexample.com A 9.9.9.9\ni.test A 9.9.9.9",
		  FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "an eleventh that is not reached", "example.com TXT \"v=spf1 a a a a a a a a a a:p.test a -all\"\nexample.com A 9.9.9.9\np.test A 1.2.3.4", FROM_V4,
		  "a@example.com", SPF_PASS, NULL },
		{ "ip4 and all ask nothing", "example.com TXT \"v=spf1 a a a a a a a a a a ip4:9.9.9.1 ip4:9.9.9.2 ip6:::1 ?all\"\nexample.com A 9.9.9.9", FROM_V4, "a@example.com",
		  SPF_NEUTRAL, NULL },
		{ "two answers without records", "example.com TXT \"v=spf1 exists:a.test mx:b.test ?all\"", FROM_V4, "a@example.com", SPF_NEUTRAL, NULL },
		{ "three", "example.com TXT \"v=spf1 exists:a.test mx:b.test a:c.test ?all\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "three in an include", "example.com TXT \"v=spf1 a:a.test include:i.test ?all\"\ni.test TXT \"v=spf1 a:b.test a:c.test\"", FROM_V4, "a@example.com", SPF_PERMERROR, NULL },
		{ "the eleventh name of ptr is not looked at",
		  "example.com TXT \"v=spf1 ptr ?all\"\n4.3.2.1.in-addr.arpa PTR a.test\n4.3.2.1.in-addr.arpa PTR b.test\n4.3.2.1.in-addr.arpa PTR c.test\n"
		  "4.3.2.1.in-addr.arpa PTR d.test\n4.3.2.1.in-addr.arpa PTR e.test\n4.3.2.1.in-addr.arpa PTR f.test\n4.3.2.1.in-addr.arpa PTR g.test\n"
		  "4.3.2.1.in-addr.arpa PTR h.test\n4.3.2.1.in-addr.arpa PTR i.test\n4.3.2.1.in-addr.arpa PTR j.test\n4.3.2.1.in-addr.arpa PTR x.example.com\nx.example.com A 1.2.3.4",
		  FROM_V4, "a@example.com", SPF_NEUTRAL, NULL },
	};
	(void)state;
	check(rules, COUNT_OF(rules));
}

/* Appendix A: the records beside that of example.com */
#define EXTENDED_EXAMPLE                                                                                                                        \
	"example.com MX 10 mail-a.example.com\nexample.com MX 20 mail-b.example.com\nexample.com A 192.0.2.10\nexample.com A 192.0.2.11\n"           \
	"amy.example.com A 192.0.2.65\nbob.example.com A 192.0.2.66\nmail-a.example.com A 192.0.2.129\nmail-b.example.com A 192.0.2.130\n"          \
	"www.example.com CNAME example.com\nexample.org MX 10 mail-c.example.org\nmail-c.example.org A 192.0.2.140\n"                             \
	"10.2.0.192.in-addr.arpa PTR example.com\n11.2.0.192.in-addr.arpa PTR example.com\n65.2.0.192.in-addr.arpa PTR amy.example.com\n"         \
	"66.2.0.192.in-addr.arpa PTR bob.example.com\n129.2.0.192.in-addr.arpa PTR mail-a.example.com\n"                                         \
	"130.2.0.192.in-addr.arpa PTR mail-b.example.com\n140.2.0.192.in-addr.arpa PTR mail-c.example.org\n"                                     \
	"4.0.0.10.in-addr.arpa PTR bob.example.com\nmary.mobile-users._spf.example.com A 127.0.0.2\n"                                             \
	"15.15.168.192.joel.remote-users._spf.example.com A 127.0.0.2\nexample.com TXT \"v=spf1 "
#define MX_AND_OTHERS "mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all\"\n"                                             \
	"mobile-users._spf.example.com TXT \"v=spf1 exists:%{l1r+}.%{d}\"\nremote-users._spf.example.com TXT \"v=spf1 exists:%{ir}.%{l1r+}.%{d}\""
/* §A.4 leaves the domain of ptr out, which would be ptr._spf.example.com there (§5.2) */
#define BOTH "-include:ip4._spf.%{d} -include:ptr._spf.%{d} +all\"\nip4._spf.example.com TXT \"v=spf1 -ip4:192.0.2.0/24 +all\"\n"           \
	"ptr._spf.example.com TXT \"v=spf1 -ptr:example.com +all\""
#define UNION "mx -all\"\nexample.net TXT \"v=spf1 ip4:198.51.100.7 -all\"\nexample.org TXT \"v=spf1 include:example.com include:example.net -all\"\n" \
	"la.example.org TXT \"v=spf1 redirect=example.org\""

static void extended_examples(void **state)
{
	static const struct {
		const char *rest, *client, *sender;
		enum spf_result result;
	} examples[] = {
		{ "+all\"", "198.51.100.1", "a@example.com", SPF_PASS },
		{ "a -all\"", "192.0.2.10", "a@example.com", SPF_PASS },
		{ "a -all\"", "192.0.2.11", "a@example.com", SPF_PASS },
		{ "a -all\"", "192.0.2.12", "a@example.com", SPF_FAIL },
		{ "a:example.org -all\"", "192.0.2.140", "a@example.com", SPF_FAIL },
		{ "mx -all\"", "192.0.2.129", "a@example.com", SPF_PASS },
		{ "mx -all\"", "192.0.2.130", "a@example.com", SPF_PASS },
		{ "mx -all\"", "192.0.2.10", "a@example.com", SPF_FAIL },
		{ "mx:example.org -all\"", "192.0.2.140", "a@example.com", SPF_PASS },
		{ "mx:example.org -all\"", "192.0.2.129", "a@example.com", SPF_FAIL },
		{ "mx mx:example.org -all\"", "192.0.2.130", "a@example.com", SPF_PASS },
		{ "mx mx:example.org -all\"", "192.0.2.140", "a@example.com", SPF_PASS },
		{ "mx/30 mx:example.org/30 -all\"", "192.0.2.131", "a@example.com", SPF_PASS },
		{ "mx/30 mx:example.org/30 -all\"", "192.0.2.143", "a@example.com", SPF_PASS },
		{ "mx/30 mx:example.org/30 -all\"", "192.0.2.132", "a@example.com", SPF_FAIL },
		{ "ptr -all\"", "192.0.2.65", "a@example.com", SPF_PASS },
		{ "ptr -all\"", "192.0.2.140", "a@example.com", SPF_FAIL },
		{ "ptr -all\"", "10.0.0.4", "a@example.com", SPF_FAIL },
		{ "ip4:192.0.2.128/28 -all\"", "192.0.2.65", "a@example.com", SPF_FAIL },
		{ "ip4:192.0.2.128/28 -all\"", "192.0.2.129", "a@example.com", SPF_PASS },
		{ UNION, "192.0.2.129", "a@example.org", SPF_PASS },
		{ UNION, "198.51.100.7", "a@example.org", SPF_PASS },
		{ UNION, "198.51.100.7", "a@la.example.org", SPF_PASS },
		{ UNION, "198.51.100.8", "a@la.example.org", SPF_FAIL },
		{ MX_AND_OTHERS, "192.0.2.130", "someone@example.com", SPF_PASS },
		{ MX_AND_OTHERS, "203.0.113.9", "mary@example.com", SPF_PASS },
		{ MX_AND_OTHERS, "192.168.15.15", "joel@example.com", SPF_PASS },
		{ MX_AND_OTHERS, "192.168.15.17", "joel@example.com", SPF_FAIL },
		{ BOTH, "192.0.2.65", "a@example.com", SPF_PASS },
		{ BOTH, "192.0.2.140", "a@example.com", SPF_FAIL },
		{ BOTH, "10.0.0.4", "a@example.com", SPF_FAIL },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(examples); i++) {
		CLEANUP(mem_free) char *zone = mem_printf("%s%s\n", EXTENDED_EXAMPLE, examples[i].rest);
		check(&(struct rule){ examples[i].rest, zone, examples[i].client, "mail.example.net", examples[i].sender, examples[i].result, NULL }, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),      cmocka_unit_test(records),           cmocka_unit_test(forms),
		cmocka_unit_test(mechanisms), cmocka_unit_test(explanations),      cmocka_unit_test(macros),
		cmocka_unit_test(limits),     cmocka_unit_test(extended_examples),
	};
	return cmocka_run_group_tests_name("spf_rules", tests, NULL, NULL);
}

#include "dmarc.h"

#include "dns_zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const char zone_text[] =
	"_dmarc.example.com TXT \"v=DMARC1; p=reject; sp=quarantine; np=none; rua=mailto:r@example.com\"\n"
	"example.com A 192.0.2.1\nsub.example.com A 192.0.2.2\ntext.example.com TXT \"hello\"\nbelow.empty.example.com A 192.0.2.3\n"
	"_dmarc.strict.test TXT \"v=DMARC1; p=quarantine; adkim=s; aspf=s\"\n"
	"_dmarc.trying.test TXT \"v=DMARC1; p=reject; t=y\"\n"
	"_dmarc.trying2.test TXT \"v=DMARC1; p=quarantine; t=y\"\n"
	"_dmarc.bank TXT \"v=DMARC1; p=reject; psd=y; sp=quarantine\"\n"
	"_dmarc.deep.org.test TXT \"v=DMARC1; p=none; psd=n\"\n_dmarc.org.test TXT \"v=DMARC1; p=reject\"\n"
	"_dmarc.two.test TXT \"v=DMARC1; p=reject\"\n_dmarc.two.test TXT \"v=DMARC1; p=none\"\n"
	"_dmarc.other.test TXT \"hello\"\n_dmarc.other.test TXT \"v=DMARC1; p=reject\"\n"
	"_dmarc.bad.test TXT \"v=DMARC1; p=never\"\n"
	"_dmarc.nopbutsp.test TXT \"v=DMARC1; sp=reject; rua=mailto:a@b.test\"\nwww.nopbutsp.test A 192.0.2.1\n"
	"_dmarc.badrua.test TXT \"v=DMARC1; p=never; rua=mailto:a@b.test\"\n"
	"_dmarc.nop.test TXT \"v=DMARC1\"\n"
	/* RFC 9989 appendix B.4 */
	"_dmarc.signing.example.com TXT \"v=DMARC1; p=none\"\n"
	"_dmarc.bank.example TXT \"v=DMARC1; p=reject; psd=y\"\n_dmarc.giant.bank.example TXT \"v=DMARC1; p=quarantine\"\n"
	"_dmarc.slow.test FAIL\n"
	"_dmarc.half.test TXT \"v=DMARC1; p=reject\"\n_dmarc.a.half.test FAIL\n";

struct fixture {
	struct dns_zone *zone;
	struct dns_source source;
	struct arena *arena;
};

static int set_up(void **state)
{
	static struct fixture f;
	f.zone = dns_zone_parse(str_of(zone_text), NULL);
	f.arena = arena_new(1 << 24);
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

static void checks(void **state)
{
	static const struct {
		const char *author, *spf, *dkim;
		enum dmarc_result result;
		enum dmarc_policy policy;
	} cases[] = {
		{ "example.com", "", "", DMARC_FAIL, DMARC_POLICY_REJECT },
		{ "example.com", "example.com", "", DMARC_PASS, DMARC_POLICY_REJECT },
		{ "example.com", "", "example.com", DMARC_PASS, DMARC_POLICY_REJECT },
		{ "example.com", "", "mail.example.com", DMARC_PASS, DMARC_POLICY_REJECT },
		{ "example.com", "bounce.example.com", "", DMARC_PASS, DMARC_POLICY_REJECT },
		{ "example.com", "example.org", "example.net", DMARC_FAIL, DMARC_POLICY_REJECT },
		{ "example.com", "badexample.com", "", DMARC_FAIL, DMARC_POLICY_REJECT },
		{ "example.com", "com", "com", DMARC_FAIL, DMARC_POLICY_REJECT },
		{ "sub.example.com", "", "", DMARC_FAIL, DMARC_POLICY_QUARANTINE },
		{ "sub.example.com", "example.com", "", DMARC_PASS, DMARC_POLICY_QUARANTINE },
		{ "nowhere.example.com", "", "", DMARC_FAIL, DMARC_POLICY_NONE },
		/* RFC 9989 §3.2.13: these exist, although they take no mail */
		{ "text.example.com", "", "", DMARC_FAIL, DMARC_POLICY_QUARANTINE },
		{ "empty.example.com", "", "", DMARC_FAIL, DMARC_POLICY_QUARANTINE },
		{ "a.b.c.d.e.f.g.h.i.j.sub.example.com", "", "example.com", DMARC_PASS, DMARC_POLICY_NONE },
		{ "strict.test", "", "strict.test", DMARC_PASS, DMARC_POLICY_QUARANTINE },
		{ "strict.test", "a.strict.test", "b.strict.test", DMARC_FAIL, DMARC_POLICY_QUARANTINE },
		{ "trying.test", "", "", DMARC_FAIL, DMARC_POLICY_QUARANTINE },
		{ "trying2.test", "", "", DMARC_FAIL, DMARC_POLICY_NONE },
		{ "branch.bank", "", "", DMARC_FAIL, DMARC_POLICY_QUARANTINE },
		{ "a.branch.bank", "branch.bank", "", DMARC_PASS, DMARC_POLICY_QUARANTINE },
		{ "a.branch.bank", "other.bank", "", DMARC_FAIL, DMARC_POLICY_QUARANTINE },
		{ "bank", "", "", DMARC_FAIL, DMARC_POLICY_REJECT },
		{ "x.deep.org.test", "org.test", "", DMARC_FAIL, DMARC_POLICY_NONE },
		{ "x.deep.org.test", "y.deep.org.test", "", DMARC_PASS, DMARC_POLICY_NONE },
		{ "org.test", "deep.org.test", "", DMARC_FAIL, DMARC_POLICY_REJECT },
		{ "org.test", "shallow.org.test", "", DMARC_PASS, DMARC_POLICY_REJECT },
		{ "two.test", "", "", DMARC_NONE, DMARC_POLICY_ABSENT },
		{ "other.test", "", "", DMARC_FAIL, DMARC_POLICY_REJECT },
		{ "bad.test", "", "", DMARC_PERMERROR, DMARC_POLICY_ABSENT },
		{ "badrua.test", "", "", DMARC_FAIL, DMARC_POLICY_NONE },
		{ "www.nopbutsp.test", "", "", DMARC_FAIL, DMARC_POLICY_NONE },
		{ "nop.test", "", "", DMARC_PERMERROR, DMARC_POLICY_ABSENT },
		{ "slow.test", "", "", DMARC_TEMPERROR, DMARC_POLICY_ABSENT },
		{ "half.test", "a.half.test", "", DMARC_TEMPERROR, DMARC_POLICY_REJECT },
		{ "none.test", "none.test", "none.test", DMARC_NONE, DMARC_POLICY_ABSENT },
		/* RFC 9989 appendix B.4.1 to B.4.3 */
		{ "example.com", "", "signing.example.com", DMARC_PASS, DMARC_POLICY_REJECT },
		{ "a.b.c.d.e.f.g.h.i.j.k.example.com", "example.com", "", DMARC_PASS, DMARC_POLICY_NONE },
		{ "a.b.c.d.e.f.g.h.i.j.k.example.com", "", "signing.example.com", DMARC_PASS, DMARC_POLICY_NONE },
		{ "giant.bank.example", "mail.giant.bank.example", "", DMARC_PASS, DMARC_POLICY_QUARANTINE },
		{ "giant.bank.example", "", "mail.mega.bank.example", DMARC_FAIL, DMARC_POLICY_QUARANTINE },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct str dkim[] = { STR("unrelated.test"), str_of(cases[i].dkim) };
		const struct dmarc_request request = {
			.dns = &f->source,
			.author = str_of(cases[i].author),
			.spf_domain = str_of(cases[i].spf),
			.dkim_domains = dkim,
			.dkim_count = dkim[1].length ? 2 : 0,
		};
		struct dmarc_outcome outcome;
		dmarc_check(f->arena, &request, &outcome);
		if (outcome.result != cases[i].result || outcome.policy != cases[i].policy)
			fail_msg("%s, SPF %s, DKIM %s: %s, policy %s", cases[i].author, cases[i].spf, cases[i].dkim,
			         dmarc_result_name(outcome.result), dmarc_policy_name(outcome.policy));
		assert_int_equal(outcome.why != NULL, outcome.result >= DMARC_TEMPERROR);
	}
}

/* RFC 9989 §5.3.6: what may yet pass has not failed, if it is aligned; what has passed needs no more. */
static void unanswered(void **state)
{
	static const struct {
		const char *author, *passed, *spf, *dkim;
		enum dmarc_result result;
	} cases[] = {
		{ "example.com", "", "example.com", "", DMARC_TEMPERROR },
		{ "example.com", "", "mail.example.com", "", DMARC_TEMPERROR },
		{ "example.com", "", "", "example.com", DMARC_TEMPERROR },
		{ "example.com", "", "other.test", "sub.example.com", DMARC_TEMPERROR },
		{ "example.com", "", "other.test", "other.test", DMARC_FAIL },
		{ "strict.test", "", "a.strict.test", "b.strict.test", DMARC_FAIL },
		{ "strict.test", "", "a.strict.test", "strict.test", DMARC_TEMPERROR },
		{ "example.com", "example.com", "example.com", "example.com", DMARC_PASS },
		{ "nowhere.test", "", "nowhere.test", "nowhere.test", DMARC_NONE },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct str dkim = str_of(cases[i].dkim);
		const struct dmarc_request request = {
			.dns = &f->source, .author = str_of(cases[i].author), .spf_domain = str_of(cases[i].passed), .spf_unanswered = str_of(cases[i].spf),
			.dkim_unanswered = &dkim, .dkim_unanswered_count = dkim.length > 0,
		};
		struct dmarc_outcome outcome;
		dmarc_check(f->arena, &request, &outcome);
		if (outcome.result != cases[i].result)
			fail_msg("%s, SPF %s, DKIM %s: %s", cases[i].author, cases[i].spf, cases[i].dkim,
			         dmarc_result_name(outcome.result));
	}
}

/* Names of any length cost eight questions a walk. */
static void questions_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct str organizational;
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(1000);
	for (int i = 0; i < 100; i++)
		buf_printf(&name, "a.");
	buf_add_str(&name, STR("example.com"));
	unsigned before = dns_zone_asked(f->zone);
	assert_true(dmarc_organizational_domain(f->arena, &f->source, buf_str(&name), &organizational));
	assert_int_equal(dns_zone_asked(f->zone) - before, 8);
	assert_true(str_equal(organizational, STR("example.com")));
}

static void records(void **state)
{
	struct dmarc_record r;
	(void)state;
	assert_false(dmarc_record_parse(STR(""), &r));
	assert_false(dmarc_record_parse(STR("v=DMARC2; p=none"), &r));
	assert_false(dmarc_record_parse(STR("v=dmarc1; p=none"), &r));
	assert_false(dmarc_record_parse(STR("p=none; v=DMARC1"), &r));
	assert_false(dmarc_record_parse(STR("v=DMARC1 p=none"), &r));
	assert_true(dmarc_record_parse(STR(" v = DMARC1 ;P=Reject ; unknown=1;garbage;sp=none;adkim=S;fo=1:d:s;psd=N;t=Y;ruf=mailto:a@b.test"), &r));
	assert_int_equal(r.policy, DMARC_POLICY_REJECT);
	assert_int_equal(r.subdomain_policy, DMARC_POLICY_NONE);
	assert_int_equal(r.nonexistent_policy, DMARC_POLICY_ABSENT);
	assert_int_equal(r.psd, DMARC_PSD_NO);
	assert_int_equal(r.failure, DMARC_FAILURE_ANY | DMARC_FAILURE_DKIM | DMARC_FAILURE_SPF);
	assert_true(r.dkim_strict && !r.spf_strict && r.testing && !r.malformed);
	assert_true(dmarc_record_parse(STR("V=DMARC1; fo=1:d; pct=10"), &r) && !r.malformed);
	assert_int_equal(r.failure, DMARC_FAILURE_ALL); /* without ruf it says nothing */
	assert_true(dmarc_record_parse(STR("v=DMARC1;p=none;np=x"), &r) && r.malformed);
}

static void addresses(void **state)
{
	struct fixture *f = *state;
	struct str list = STR("https://x.test/, mailto:a@b.test!10m ,mailto:bad, mailto:c%2Cd@e.test?subject=x,mailto:e%0a@f.test,MAILTO:g@h.test");
	static const char *const wanted[] = { "a@b.test", "c,d@e.test", "g@h.test" };
	struct str address;
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		assert_true(dmarc_address_next(f->arena, &list, &address));
		assert_true(str_equal(address, str_of(wanted[i])));
	}
	assert_false(dmarc_address_next(f->arena, &list, &address));
}

static void authors(void **state)
{
	static const struct {
		const char *header;
		enum dmarc_author found;
		const char *domain;
	} cases[] = {
		{ "From: Alice <alice@Example.COM>\r\n", DMARC_AUTHOR_FOUND, "example.com" },
		{ "From: a@b\xc3\xbc"
		  "cher.test\r\n",
		  DMARC_AUTHOR_FOUND, "xn--bcher-kva.test" },
		{ "From: a@x.test, b@X.test\r\n", DMARC_AUTHOR_FOUND, "x.test" },
		{ "From: a@x.test, b@y.test\r\n", DMARC_AUTHOR_SEVERAL, NULL },
		{ "From: a@x.test\r\nFrom: a@x.test\r\n", DMARC_AUTHOR_SEVERAL, NULL },
		{ "From: \"a@evil.test\" <a@x.test>\r\n", DMARC_AUTHOR_FOUND, "x.test" },
		{ "From: nobody\r\n", DMARC_AUTHOR_NONE, NULL },
		{ "From: a@b..test\r\n", DMARC_AUTHOR_NONE, NULL },
		{ "From: group: a@x.test, b@x.test;\r\n", DMARC_AUTHOR_FOUND, "x.test" },
		{ "To: a@x.test\r\n", DMARC_AUTHOR_NONE, NULL },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str domain;
		assert_int_equal(dmarc_author_find(f->arena, str_of(cases[i].header), &domain), cases[i].found);
		if (cases[i].domain)
			assert_true(str_equal(domain, str_of(cases[i].domain)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(checks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(unanswered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(questions_are_bounded, set_up, tear_down),
		cmocka_unit_test(records),
		cmocka_unit_test_setup_teardown(addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(authors, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("dmarc", tests, NULL, NULL);
}

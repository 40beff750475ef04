#include "dkim.h"

#include "dkim_key.h"
#include "dns_zone.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

/* RFC 8463 appendix A */
static const char rfc_zone[] =
	"brisbane._domainkey.football.example.com TXT \"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"\n"
	"test._domainkey.football.example.com TXT \"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR\""
	" \"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC\""
	" \"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3\" \"Ip3G+2kryOTIKT+l/K4w3QIDAQAB\"\n";
static const char rfc_header[] =
	"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
	" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n"
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
	" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
	" q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n date : message-id : from : subject : date;\r\n"
	" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
	" b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n"
	" dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n"
	"From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\n"
	"Subject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
	"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n";
static const char rfc_body[] = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";

struct checked {
	struct arena *arena;
	struct dns_zone *zone;
	struct dkim_verifier *verifier;
	struct dkim_outcomes outcomes;
	struct arc_outcome arc;
};

/* The body goes in by pieces of a given size. */
static void verify(struct checked *k, const char *zone, struct str header, struct str body, size_t piece, int64_t now)
{
	struct fail *fail = NULL;
	*k = (struct checked){ .arena = arena_new(256 << 20), .zone = dns_zone_parse(str_of(zone), &fail) };
	if (!k->zone)
		fail_msg("%s", fail_text(fail));
	struct dns_source source = dns_zone_source(k->zone);
	k->verifier = dkim_verifier_new(k->arena, header);
	for (; body.length; body = str_from_index(body, piece))
		dkim_verifier_body(k->verifier, str_first(body, piece));
	dkim_verifier_finish(k->verifier, &source, now, &k->outcomes);
	dkim_verifier_arc(k->verifier, &source, now, &k->arc);
}

static void release(struct checked *k)
{
	dkim_verifier_free(k->verifier);
	dns_zone_free(k->zone);
	arena_free(k->arena);
}

static void example_of_rfc_8463(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 40; piece += 6) {
		struct checked k;
		verify(&k, rfc_zone, str_of(rfc_header), str_of(rfc_body), piece, 1600000000);
		assert_int_equal(k.outcomes.count, 2);
		for (size_t i = 0; i < 2; i++) {
			if (k.outcomes.list[i].result != DKIM_PASS)
				fail_msg("%zu: %s", i, k.outcomes.list[i].why);
			assert_true(str_equal(k.outcomes.list[i].domain, STR("football.example.com")));
		}
		assert_int_equal(k.outcomes.list[0].algorithm, DKIM_ED25519_SHA256);
		assert_int_equal(k.outcomes.list[1].key_bits, 1024);
		assert_true(str_equal(k.outcomes.list[1].signature, STR("F45dVWDf")));
		assert_int_equal(k.arc.result, DKIM_NONE);
		release(&k);
	}
}

/* RFC 6376 appendix A.2, with the key of appendix C: simple/simple, a key of 1024 bits. Simple counts each octet,
 * which the page does not show: lines go on with six spaces, as in RFC 4871. */
static void example_of_rfc_6376(void **state)
{
	static const char zone[] = "brisbane._domainkey.example.com TXT \"v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQ\" "
							   "\"KBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt\" \"IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v\" "
							   "\"/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi\" \"tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB\"\n";
	static const char header[] =
		"DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
		"      h=Received : From : To : Subject : Date : Message-ID;\r\n      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
		"      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB\r\n      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut\r\n"
		"      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV\r\n      4bmp/YzhwvcubU4=;\r\n"
		"Received: from client1.football.example.com  [192.0.2.1]\r\n      by submitserver.example.com with SUBMISSION;\r\n"
		"      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\nFrom: Joe SixPack <joe@football.example.com>\r\n"
		"To: Suzie Q <suzie@shopping.example.net>\r\nSubject: Is dinner ready?\r\nDate: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
		"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n";
	struct checked k;
	(void)state;
	/* one space after the stop: that of RFC 8463 has two, which its relaxed form makes one */
	verify(&k, zone, str_of(header), STR("Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n"), 7,
	       1600000000);
	assert_int_equal(k.outcomes.count, 1);
	if (k.outcomes.list[0].result != DKIM_PASS)
		fail_msg("%s", k.outcomes.list[0].why);
	assert_true(str_equal(k.outcomes.list[0].domain, STR("example.com")));
	assert_true(str_equal(k.outcomes.list[0].identity, STR("joe@football.example.com")));
	release(&k);
}

/* ---- keys and signing of our own ---- */

enum { NOW = 1700000000 };
static const char mail_header[] = "Received: from a by b\r\nFrom: alice@example.test\r\nTo:  bob@other.test\r\n"
								  "Subject: a\r\n  folded   one \r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\n\r\n";
static const char mail_body[] = "Dear  Bob, \r\n\r\n\t tabs and\tspaces \r\n.\r\nbye\r\n\r\n\r\n";

struct keys {
	EVP_PKEY *rsa, *ed25519;
	char zone[4096];
};

static EVP_PKEY *new_key(unsigned bits)
{
	CLEANUP(buf_release) struct buf pem = BUF_WITH_LIMIT(10000);
	assert_true(dkim_key_generate(bits, &pem, NULL));
	EVP_PKEY *key = dkim_key_from_pem(buf_str(&pem), NULL);
	assert_non_null(key);
	return key;
}

static int make_keys(void **state)
{
	static struct keys keys;
	CLEANUP(buf_release) struct buf zone = BUF_WITH_LIMIT(sizeof keys.zone - 1);
	keys.rsa = new_key(2048);
	keys.ed25519 = new_key(0);
	buf_add_str(&zone, STR("rsa._domainkey.example.test TXT \""));
	dkim_key_record(&zone, keys.rsa);
	buf_add_str(&zone, STR("\"\ned._domainkey.example.test TXT \""));
	dkim_key_record(&zone, keys.ed25519);
	buf_add_str(&zone, STR("\"\n"));
	assert_false(zone.overflowed);
	memcpy(keys.zone, buf_text(&zone), zone.length + 1);
	*state = &keys;
	return 0;
}

static int free_keys(void **state)
{
	struct keys *keys = *state;
	EVP_PKEY_free(keys->rsa);
	EVP_PKEY_free(keys->ed25519);
	return 0;
}

static void sign(const struct keys *keys, struct str header, struct str body, struct buf *out)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(64 << 20);
	struct fail *fail = NULL;
	const struct dkim_signing_key list[] = { { STR("example.test"), STR("rsa"), keys->rsa },
		                                     { STR("example.test"), STR("ed"), keys->ed25519 } };
	CLEANUP(dkim_signer_cleanup) struct dkim_signer *signer = dkim_signer_new(a, header, NOW);
	dkim_signer_body(signer, body);
	if (!dkim_signer_finish(signer, list, 2, out, &fail))
		fail_msg("%s", fail_text(fail));
	buf_add_str(out, header);
}

static void assert_results(const struct keys *keys, struct str header, struct str body, enum dkim_result result,
                           const char *what)
{
	struct checked k;
	verify(&k, keys->zone, header, body, 7, NOW);
	assert_int_equal(k.outcomes.count, 2);
	for (size_t i = 0; i < 2; i++)
		if (k.outcomes.list[i].result != result)
			fail_msg("%s: %s (%s)", what, dkim_result_name(k.outcomes.list[i].result), k.outcomes.list[i].why);
	release(&k);
}

/* What is signed passes; whatever may change in relaxed form may, and nothing else. */
static void signed_mail(void **state)
{
	const struct keys *keys = *state;
	CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(100000);
	sign(keys, str_of(mail_header), str_of(mail_body), &mail);
	struct str header = buf_str(&mail);
	assert_results(keys, header, str_of(mail_body), DKIM_PASS, "unchanged");
	assert_results(keys, header, STR("Dear Bob,\r\n\r\n tabs  and spaces\t\r\n.\r\nbye"), DKIM_PASS, "white space");
	assert_results(keys, header, STR("Dear Bob,\r\n\r\ntabs and spaces\r\n.\r\nbye\r\n"), DKIM_FAIL,
	               "a blank gone at a line's beginning");
	assert_results(keys, header, STR("Dear Bob,\r\n tabs and spaces\r\n.\r\nbye\r\n"), DKIM_FAIL, "an empty line gone");
	assert_results(keys, header, STR(""), DKIM_FAIL, "no body");
	static const struct {
		const char *from, *to;
		enum dkim_result result;
	} changes[] = {
		{ "Subject: a\r\n  folded   one ", "SUBJECT:a folded one", DKIM_PASS },
		{ "Subject: a", "Subject: b", DKIM_FAIL },
		{ "To:  bob", "To: Bob", DKIM_FAIL },
		{ "Received: from a", "Received: from x", DKIM_PASS },
		{ "Received: from a", "X-Spam: no\r\nReceived: from a", DKIM_PASS },
		{ "Received: from a", "From: evil@example.test\r\nReceived: from a", DKIM_FAIL },
		{ "Date: Fri", "Subject: second\r\nDate: Fri", DKIM_FAIL },
		{ "Date: Fri", "Reply-To: x@evil.test\r\nDate: Fri", DKIM_FAIL },
	};
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		CLEANUP(buf_release) struct buf changed = BUF_WITH_LIMIT(100000);
		size_t at = str_find(header, str_of(changes[i].from));
		buf_add_str(&changed, str_first(header, at));
		if (at < header.length)
			buf_add_str(&changed, str_of(changes[i].to));
		buf_add_str(&changed, str_from_index(header, at + strlen(changes[i].from)));
		assert_results(keys, buf_str(&changed), str_of(mail_body), changes[i].result, changes[i].to);
	}
}

/* An empty body, one of line ends alone, a last line without its end. */
static void odd_bodies(void **state)
{
	static const char *const bodies[] = { "", "\r\n", "\r\n\r\n", " \r\n", "x", "x\r", "x\r\ny \r", "\rx\r\n", "a\nb\r\n" };
	const struct keys *keys = *state;
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(100000);
		sign(keys, str_of(mail_header), str_of(bodies[i]), &mail);
		assert_results(keys, buf_str(&mail), str_of(bodies[i]), DKIM_PASS, bodies[i]);
	}
}

/* RFC 6376 §3.4.5, and the hashes of an empty body in §3.4.3 and §3.4.4 */
static void canonical_forms(void **state)
{
	static const struct {
		enum dkim_canonical form;
		const char *body, *canonical;
	} cases[] = {
		{ DKIM_RELAXED, " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n" },
		{ DKIM_SIMPLE, " C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n" },
		{ DKIM_SIMPLE, "", "\r\n" },
		{ DKIM_RELAXED, "", "" },
		{ DKIM_RELAXED, "  \r\n\t\r\n", "" },
		{ DKIM_SIMPLE, "\r\n", "\r\n" },
		{ DKIM_RELAXED, "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\na", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\na\r\n" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned char wanted[32], hash[32];
		struct dkim_body body;
		must(EVP_Digest(cases[i].canonical, strlen(cases[i].canonical), wanted, NULL, EVP_sha256(), NULL) == 1);
		for (size_t piece = 1; piece < 5; piece++) {
			dkim_body_init(&body, cases[i].form, UINT64_MAX);
			for (struct str rest = str_of(cases[i].body); rest.length; rest = str_from_index(rest, piece))
				dkim_body_add(&body, str_first(rest, piece));
			dkim_body_finish(&body, hash);
			assert_int_equal(body.length, strlen(cases[i].canonical));
			assert_memory_equal(hash, wanted, 32);
			dkim_body_release(&body);
		}
	}
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
	dkim_canonical_field(&out, DKIM_RELAXED, STR("B : Y\t\r\n\tZ  \r\n"));
	dkim_canonical_field(&out, DKIM_SIMPLE, STR("B : Y\t\r\n\tZ  \r\n"));
	assert_string_equal(buf_text(&out), "b:Y Z\r\nB : Y\t\r\n\tZ  \r\n");
}

/* Signatures that say something wrong of themselves, and keys that cannot be used. */
static void errors(void **state)
{
	static const struct {
		const char *tags, *key;
		enum dkim_result result;
	} cases[] = {
#define HASH "bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
#define GOOD "v=1; a=rsa-sha256; d=e.test; s=s; h=from; b=YQ==; c=relaxed/relaxed; " HASH
#define KEY "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
		{ "", "", DKIM_PERMERROR },
		{ "v=2; a=rsa-sha256; d=e.test; s=s; h=from; b=YQ==; " HASH, "", DKIM_PERMERROR },
		{ "v=1; a=rsa-md5; d=e.test; s=s; h=from; b=YQ==; " HASH, "", DKIM_PERMERROR },
		{ "v=1; a=rsa-sha1; d=e.test; s=s; h=from; b=YQ==; " HASH, "", DKIM_PERMERROR },
		{ "v=1; a=rsa-sha256; d=e..test; s=s; h=from; b=YQ==; " HASH, "", DKIM_PERMERROR },
		{ "v=1; a=rsa-sha256; d=e.test; s=s; h=to; b=YQ==; " HASH, "", DKIM_PERMERROR },
		{ "v=1; a=rsa-sha256; d=e.test; s=s; h=from; b=YQ==; bh=YQ==", "", DKIM_PERMERROR },
		{ "v=1; a=rsa-sha256; a=rsa-sha256; d=e.test; s=s; h=from; b=YQ==; " HASH, "", DKIM_PERMERROR },
		{ GOOD "; i=@f.test", "", DKIM_PERMERROR },
		{ GOOD "; q=http", "", DKIM_PERMERROR },
		{ GOOD "; l=x", "", DKIM_PERMERROR },
		{ GOOD "; l=18446744073709551616", "", DKIM_PERMERROR },
		{ GOOD "; t=5; x=4", "", DKIM_PERMERROR },
		{ GOOD "; x=1000", "", DKIM_FAIL },
		{ GOOD "; t=1800000000", "", DKIM_FAIL },
		{ GOOD "; l=1000", "", DKIM_FAIL },
		{ GOOD, "x A 192.0.2.1", DKIM_PERMERROR },
		{ GOOD, "s._domainkey.e.test FAIL", DKIM_TEMPERROR },
		{ GOOD, "s._domainkey.e.test BOGUS", DKIM_TEMPERROR },
		{ GOOD, "s._domainkey.e.test TXT \"v=DKIM1; p=\"", DKIM_PERMERROR },
		{ GOOD, "s._domainkey.e.test TXT \"v=DKIM2; p=YQ==\"", DKIM_PERMERROR },
		{ GOOD, "s._domainkey.e.test TXT \"p=YQ==; v=DKIM1\"", DKIM_PERMERROR },
		{ GOOD, "s._domainkey.e.test TXT \"hello\"", DKIM_PERMERROR },
		{ GOOD, "s._domainkey.e.test TXT \"" KEY "\"", DKIM_PERMERROR }, /* of another algorithm */
		{ "v=1; a=ed25519-sha256; d=e.test; s=s; h=from; b=YQ==; c=relaxed/relaxed; " HASH,
		  "s._domainkey.e.test TXT \"" KEY "\"", DKIM_FAIL },
		{ "v=1; a=ed25519-sha256; d=e.test; s=s; i=@a.e.test; h=from; b=YQ==; c=relaxed/relaxed; " HASH,
		  "s._domainkey.e.test TXT \"" KEY "; t=s\"", DKIM_PERMERROR },
		{ "v=1; a=ed25519-sha256; d=e.test; s=s; h=from; b=YQ==; c=relaxed/relaxed; " HASH,
		  "s._domainkey.e.test TXT \"" KEY "; s=other\"", DKIM_PERMERROR },
		{ "v=1; a=ed25519-sha256; d=e.test; s=s; h=from; b=YQ==; c=relaxed/relaxed; " HASH,
		  "s._domainkey.e.test TXT \"" KEY "; h=sha1\"", DKIM_PERMERROR },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf header = BUF_WITH_LIMIT(10000);
		struct checked k;
		buf_printf(&header, "DKIM-Signature: %s\r\nFrom: a@e.test\r\n\r\n", cases[i].tags);
		verify(&k, cases[i].key, buf_str(&header), str_of(rfc_body), 100, NOW);
		if (k.outcomes.list[0].result != cases[i].result || !k.outcomes.list[0].why)
			fail_msg("%s with %s: %s (%s)", cases[i].tags, cases[i].key, dkim_result_name(k.outcomes.list[0].result),
			         k.outcomes.list[0].why ? k.outcomes.list[0].why : "");
		release(&k);
	}
}

static void many_signatures(void **state)
{
	const struct keys *keys = *state;
	CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(1000000);
	struct checked k;
	for (int i = 0; i < 6; i++) {
		CLEANUP(buf_release) struct buf one = BUF_WITH_LIMIT(100000);
		sign(keys, str_of(mail_header), str_of(mail_body), &one);
		buf_add_str(&mail, str_from(one.data, one.length - strlen(mail_header)));
	}
	buf_add_str(&mail, str_of(mail_header));
	verify(&k, keys->zone, buf_str(&mail), str_of(mail_body), 100, NOW);
	assert_int_equal(k.outcomes.count, DKIM_SIGNATURES_MAX);
	assert_true(k.outcomes.more);
	for (size_t i = 0; i < k.outcomes.count; i++)
		assert_int_equal(k.outcomes.list[i].result, DKIM_PASS);
	assert_int_equal(dns_zone_asked(k.zone), DKIM_SIGNATURES_MAX);
	release(&k);
}

static void lists_of_tags(void **state)
{
	static const struct {
		const char *text;
		size_t count; /* 0: no list */
	} cases[] = {
		{ "a=b", 1 }, { "a=b;", 1 }, { " a = b ;\r\n c=", 2 }, { "a=b; ;c=d", 0 }, { "a", 0 }, { "", 0 }, { ";", 0 },
		{ "a=b;a=c", 0 }, { "A=b;a=c", 2 }, { "1a=b", 0 }, { "a_1=b=c", 1 }, { "a=\001", 0 }, { "a=\xc3\xbc", 1 },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dkim_tags tags;
		assert_int_equal(dkim_tags_parse(str_of(cases[i].text), &tags), cases[i].count > 0);
		if (cases[i].count)
			assert_int_equal(tags.count, cases[i].count);
	}
	CLEANUP(buf_release) struct buf many = BUF_WITH_LIMIT(10000);
	struct dkim_tags tags;
	for (int i = 0; i < DKIM_TAGS_MAX; i++)
		buf_printf(&many, "a%d=x;", i);
	assert_true(dkim_tags_parse(buf_str(&many), &tags));
	buf_add_str(&many, STR("z=x"));
	assert_false(dkim_tags_parse(buf_str(&many), &tags));
}

static bool parse_der(struct arena *arena, const unsigned char *der, size_t length, struct dkim_key *key)
{
	CLEANUP(buf_release) struct buf record = BUF_WITH_LIMIT(10000);
	const char *why = NULL;
	buf_add_str(&record, STR("v=DKIM1; p="));
	text_base64_encode(&record, str_from((const char *)der, length));
	return dkim_key_parse(arena, buf_str(&record), key, &why);
}

/* The keys that OpenSSL writes, in both forms, are the same when read; cut or changed in length they are none. */
static void rsa_keys(void **state)
{
	static const unsigned sizes[] = { 1024, 2048, 3072 };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(64 << 20);
		EVP_PKEY *made = EVP_RSA_gen(sizes[i]);
		unsigned char *forms[2] = {};
		int lengths[2] = { i2d_PUBKEY(made, &forms[0]), i2d_PublicKey(made, &forms[1]) };
		for (size_t form = 0; form < 2; form++) {
			size_t length = (size_t)lengths[form];
			struct dkim_key key;
			assert_true(parse_der(arena, forms[form], length, &key));
			assert_int_equal(key.bits, sizes[i]);
			assert_int_equal(EVP_PKEY_eq(key.key, made), 1);
			dkim_key_release(&key);
			for (size_t cut = 0; cut < length; cut++)
				assert_false(parse_der(arena, forms[form], cut, &key));
			for (size_t at = 0; at < 4; at++) {
				forms[form][at] ^= 1;
				assert_false(parse_der(arena, forms[form], length, &key));
				forms[form][at] ^= 1;
			}
			OPENSSL_free(forms[form]);
		}
		EVP_PKEY_free(made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rsa_keys),
		cmocka_unit_test(example_of_rfc_8463), cmocka_unit_test(example_of_rfc_6376), cmocka_unit_test(signed_mail),     cmocka_unit_test(odd_bodies),
		cmocka_unit_test(canonical_forms),     cmocka_unit_test(errors),          cmocka_unit_test(many_signatures),
		cmocka_unit_test(lists_of_tags),
	};
	return cmocka_run_group_tests_name("dkim", tests, make_keys, free_keys);
}

#include "dkim.h"

#include "dkim_header.h"
#include "dkim_key.h"
#include "dns_zone.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { NOW = 1700000000, SETS_MAX = 60, FIELDS_MAX = 100000 };

static const char mail_header[] = "From: alice@example.test\r\nSubject: a\r\n  folded   one \r\nTo: list@lists.test\r\n\r\n";
static const char mail_body[] = "Dear  Bob, \r\n\r\nbye\r\n\r\n";

/* What one host adds. instance 0: none of it; what is NULL is as it should be. */
struct set {
	unsigned instance;
	const char *chain;        /* cv= of its seal */
	const char *names;        /* h= of its signature */
	const char *message_more; /* tags of the signature, before b= */
	const char *seal_more;
	const char *left_out; /* the name of a field that it forgets */
};

/* A header that grows, and the fields that the next seal covers. */
struct chain {
	EVP_PKEY *key;
	struct buf header;
	struct buf sealed; /* canonical */
};

static void sign(EVP_PKEY *key, struct str text, struct buf *field)
{
	unsigned char hash[32], octets[64];
	size_t length = sizeof octets;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	assert_int_equal(EVP_Digest(text.data, text.length, hash, NULL, EVP_sha256(), NULL), 1);
	assert_int_equal(EVP_DigestSignInit(context, NULL, NULL, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, octets, &length, hash, sizeof hash), 1);
	text_base64_encode(field, str_from((const char *)octets, length));
	buf_add_str(field, STR("\r\n"));
	EVP_MD_CTX_free(context);
}

static void sign_field(struct chain *c, struct buf *covered, struct buf *field)
{
	size_t length = covered->length;
	dkim_canonical_field(covered, DKIM_RELAXED, buf_str(field));
	buf_truncate(covered, covered->length - 2);
	sign(c->key, buf_str(covered), field);
	buf_truncate(covered, length);
}

static void make_message_signature(struct chain *c, const struct set *set, struct str body, struct buf *field)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 20);
	CLEANUP(buf_release) struct buf covered = BUF_WITH_LIMIT(FIELDS_MAX);
	const char *names = set->names ? set->names : "from:subject";
	struct dkim_header header;
	struct dkim_body hashed;
	unsigned char hash[32];
	dkim_body_init(&hashed, DKIM_RELAXED, UINT64_MAX);
	dkim_body_add(&hashed, body);
	dkim_body_finish(&hashed, hash);
	dkim_body_release(&hashed);
	buf_printf(field,
	           "ARC-Message-Signature: i=%u; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=seal.test; s=k; h=%s;%s bh=",
	           set->instance, names, set->message_more ? set->message_more : "");
	text_base64_encode(field, str_from((const char *)hash, sizeof hash));
	buf_add_str(field, STR("; b="));
	dkim_header_read(a, buf_str(&c->header), &header);
	dkim_header_add(&covered, a, &header, str_of(names), DKIM_RELAXED, SIZE_MAX);
	sign_field(c, &covered, field);
}

static void put_in_front(struct chain *c, const struct set *set, const struct buf *field)
{
	CLEANUP(buf_release) struct buf old = BUF_WITH_LIMIT(FIELDS_MAX);
	struct str name = str_first(buf_str(field), str_find_char(buf_str(field), ':'));
	if (set->left_out && str_equal(name, str_of(set->left_out)))
		return;
	buf_add_str(&old, buf_str(&c->header));
	buf_clear(&c->header);
	buf_add_str(&c->header, buf_str(field));
	buf_add_str(&c->header, buf_str(&old));
}

static void add_set(struct chain *c, const struct set *set, struct str body)
{
	CLEANUP(buf_release) struct buf results = BUF_WITH_LIMIT(1000), message = BUF_WITH_LIMIT(1000), seal = BUF_WITH_LIMIT(1000);
	const char *chain = set->chain ? set->chain : set->instance == 1 ? "none" : "pass";
	buf_printf(&results, "ARC-Authentication-Results: i=%u; mx%u.test;\r\n dkim=pass\r\n", set->instance,
	           set->instance);
	make_message_signature(c, set, body, &message);
	dkim_canonical_field(&c->sealed, DKIM_RELAXED, buf_str(&results));
	dkim_canonical_field(&c->sealed, DKIM_RELAXED, buf_str(&message));
	buf_printf(&seal, "ARC-Seal: i=%u; a=ed25519-sha256; t=%d; cv=%s;\r\n d=seal%u.test; s=k;%s b=", set->instance, NOW,
	           chain, set->instance, set->seal_more ? set->seal_more : "");
	sign_field(c, &c->sealed, &seal);
	dkim_canonical_field(&c->sealed, DKIM_RELAXED, buf_str(&seal));
	put_in_front(c, set, &results);
	put_in_front(c, set, &message);
	put_in_front(c, set, &seal);
}

/* One key for everybody. */
static void make_zone(EVP_PKEY *key, const char *instead, struct buf *zone)
{
	if (instead) {
		buf_add_str(zone, str_of(instead));
		return;
	}
	for (unsigned i = 0; i < SETS_MAX; i++) {
		buf_printf(zone, i ? "k._domainkey.seal%u.test TXT \"" : "k._domainkey.seal.test TXT \"", i);
		dkim_key_record(zone, key);
		buf_add_str(zone, STR("\"\n"));
	}
}

static void verify(struct str header, struct str body, struct str zone_text, struct arena *a,
                   struct arc_outcome *outcome)
{
	struct dns_zone *zone = dns_zone_parse(zone_text, NULL);
	assert_non_null(zone);
	struct dns_source source = dns_zone_source(zone);
	struct dkim_outcomes outcomes;
	CLEANUP(dkim_verifier_cleanup) struct dkim_verifier *verifier = dkim_verifier_new(a, header);
	dkim_verifier_body(verifier, body);
	dkim_verifier_finish(verifier, &source, NOW, &outcomes);
	dkim_verifier_arc(verifier, &source, NOW, outcome);
	dns_zone_free(zone);
}

static void begin_chain(struct chain *c, EVP_PKEY *key)
{
	*c = (struct chain){ .key = key };
	buf_init(&c->header, FIELDS_MAX);
	buf_init(&c->sealed, FIELDS_MAX);
	buf_add_str(&c->header, str_of(mail_header));
}

static void release_chain(struct chain *c)
{
	assert_false(c->header.overflowed || c->sealed.overflowed);
	buf_release(&c->header);
	buf_release(&c->sealed);
}

/* RFC 8617 §5.2: chains as hosts make them, and each thing that may be wrong with one though all of it is signed. */
static void chains(void **state)
{
	static const struct {
		const char *what;
		struct set sets[3];
		enum dkim_result result;
	} cases[] = {
		{ "no field", { { 0 } }, DKIM_NONE },
		{ "one set", { { .instance = 1 } }, DKIM_PASS },
		{ "three sets", { { .instance = 1 }, { .instance = 2 }, { .instance = 3 } }, DKIM_PASS },
		{ "words in capitals", { { .instance = 1, .chain = "None" }, { .instance = 2, .chain = "PASS" } }, DKIM_PASS },
		{ "a tag that is not known", { { .instance = 1, .message_more = " v=7; zz=1;", .seal_more = " zz=1;" } }, DKIM_PASS },
		{ "the other ARC fields signed", { { .instance = 1 }, { .instance = 2, .names = "from:arc-authentication-results" } }, DKIM_PASS },
		{ "a seal signed", { { .instance = 1 }, { .instance = 2, .names = "from:arc-seal" } }, DKIM_FAIL },
		{ "no From signed", { { .instance = 1, .names = "subject" } }, DKIM_PASS },
		{ "h= in a seal", { { .instance = 1, .seal_more = " h=from;" } }, DKIM_FAIL },
		{ "it begins with 2", { { .instance = 2 } }, DKIM_FAIL },
		{ "a gap", { { .instance = 1 }, { .instance = 3 } }, DKIM_FAIL },
		{ "an instance twice", { { .instance = 1 }, { .instance = 1 } }, DKIM_FAIL },
		{ "pass from the first", { { .instance = 1, .chain = "pass" } }, DKIM_FAIL },
		{ "fail from the first", { { .instance = 1, .chain = "fail" } }, DKIM_FAIL },
		{ "none from the second", { { .instance = 1 }, { .instance = 2, .chain = "none" } }, DKIM_FAIL },
		{ "fail from the second", { { .instance = 1 }, { .instance = 2, .chain = "fail" } }, DKIM_FAIL },
		{ "fail in the middle", { { .instance = 1 }, { .instance = 2, .chain = "fail" }, { .instance = 3 } }, DKIM_FAIL },
		{ "a word that is none", { { .instance = 1, .chain = "" } }, DKIM_FAIL },
		{ "no results", { { .instance = 1, .left_out = "ARC-Authentication-Results" } }, DKIM_FAIL },
		{ "no signature", { { .instance = 1, .left_out = "ARC-Message-Signature" } }, DKIM_FAIL },
		{ "no seal", { { .instance = 1, .left_out = "ARC-Seal" } }, DKIM_FAIL },
		{ "no seal below", { { .instance = 1, .left_out = "ARC-Seal" }, { .instance = 2 } }, DKIM_FAIL },
		{ "of tomorrow", { { .instance = 1, .message_more = " t=1700100000;" } }, DKIM_FAIL },
		{ "expired", { { .instance = 1, .message_more = " x=1600000000;" } }, DKIM_FAIL },
		{ "expired below the last", { { .instance = 1, .message_more = " x=1600000000;" }, { .instance = 2 } }, DKIM_PASS },
		{ "x= in a seal", { { .instance = 1, .seal_more = " x=1600000000;" } }, DKIM_PASS },
		{ "a key to be asked for in another way", { { .instance = 1, .message_more = " q=x;" } }, DKIM_FAIL },
		{ "the usual way and another", { { .instance = 1, .message_more = " q=x:dns/txt;" } }, DKIM_PASS },
		{ "more of the body than there is", { { .instance = 1, .message_more = " l=1000;" } }, DKIM_FAIL },
		{ "a time that is none", { { .instance = 1, .message_more = " t=soon;" } }, DKIM_FAIL },
		{ "an empty time", { { .instance = 1, .message_more = " t=;" } }, DKIM_FAIL },
		{ "blanks and no name among the names", { { .instance = 1, .names = "From : : Subject" } }, DKIM_PASS },
		{ "a tag twice", { { .instance = 1, .seal_more = " cv=none;" } }, DKIM_FAIL },
	};
	CLEANUP(buf_release) struct buf zone = BUF_WITH_LIMIT(FIELDS_MAX);
	make_zone(*state, NULL, &zone);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(64 << 20);
		struct arc_outcome outcome;
		struct chain c;
		begin_chain(&c, *state);
		for (size_t n = 0; n < 3 && cases[i].sets[n].instance; n++)
			add_set(&c, &cases[i].sets[n], str_of(mail_body));
		verify(buf_str(&c.header), str_of(mail_body), buf_str(&zone), a, &outcome);
		if (outcome.result != cases[i].result)
			fail_msg("%s: %s (%s)", cases[i].what, dkim_result_name(outcome.result), outcome.why ? outcome.why : "");
		assert_int_equal(outcome.why != NULL, outcome.result == DKIM_FAIL);
		release_chain(&c);
	}
}

/* What happens to a good chain of two on its way. */
static void changes(void **state)
{
	static const struct {
		const char *from, *to, *zone;
		enum dkim_result result;
	} cases[] = {
		{ "Subject: a", "Subject:  a", NULL, DKIM_PASS },
		{ "Subject: a", "Subject: b", NULL, DKIM_FAIL },
		{ "To: list", "To: lists", NULL, DKIM_PASS },
		{ "bye", "Bye", NULL, DKIM_FAIL },
		{ "i=1; mx1.test;", "i=1; mx9.test;", NULL, DKIM_FAIL },
		{ "i=1; mx1.test;", "mx1.test; i=1;", NULL, DKIM_FAIL },
		{ "i=1; mx1.test;", "i=0; mx1.test;", NULL, DKIM_FAIL },
		{ "i=1; mx1.test;", "i=51; mx1.test;", NULL, DKIM_FAIL },
		{ "i=1; mx1.test;", "i=x; mx1.test;", NULL, DKIM_FAIL },
		{ "i=1; mx1.test;", "mx1.test;", NULL, DKIM_FAIL },
		{ "ARC-Seal: i=1; a=ed25519", "ARC-Seal: i=1;  a=ed25519", NULL, DKIM_PASS },
		{ "ARC-Seal: i=1; a=ed25519", "ARC-Seal: i=1; a=rsa", NULL, DKIM_FAIL },
		{ "d=seal1.test; s=k; b=", "d=seal1.test; s=k; b=A", NULL, DKIM_FAIL },
		{ "Subject: a", "Subject: a", "x.test A 192.0.2.1", DKIM_FAIL },
		{ "Subject: a", "Subject: a", "k._domainkey.seal.test FAIL", DKIM_FAIL },
		{ "Subject: a", "Subject: a", "k._domainkey.seal.test TXT \"v=DKIM1; p=\"", DKIM_FAIL },
		{ "ARC-Seal: i=2", "arc-seal:i=2", NULL, DKIM_PASS },
	};
	CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(FIELDS_MAX);
	struct chain c;
	begin_chain(&c, *state);
	add_set(&c, &(struct set){ .instance = 1 }, STR("something else\r\n")); /* a list added to it afterwards */
	add_set(&c, &(struct set){ .instance = 2 }, str_of(mail_body));
	buf_add_str(&mail, buf_str(&c.header));
	buf_add_str(&mail, str_of(mail_body));
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(64 << 20);
		CLEANUP(buf_release) struct buf changed = BUF_WITH_LIMIT(FIELDS_MAX), zone = BUF_WITH_LIMIT(FIELDS_MAX);
		struct arc_outcome outcome;
		size_t at = str_find(buf_str(&mail), str_of(cases[i].from));
		assert_true(at < mail.length);
		buf_add_str(&changed, str_first(buf_str(&mail), at));
		buf_add_str(&changed, str_of(cases[i].to));
		buf_add_str(&changed, str_from_index(buf_str(&mail), at + strlen(cases[i].from)));
		size_t header = str_find(buf_str(&changed), STR("\r\n\r\n")) + 4;
		make_zone(*state, cases[i].zone, &zone);
		verify(str_first(buf_str(&changed), header), str_from_index(buf_str(&changed), header), buf_str(&zone), a,
		       &outcome);
		if (outcome.result != cases[i].result)
			fail_msg("%s -> %s: %s (%s)", cases[i].from, cases[i].to, dkim_result_name(outcome.result),
			         outcome.why ? outcome.why : "");
		if (outcome.result == DKIM_PASS)
			assert_true(str_equal(outcome.sealer, STR("seal2.test")) && outcome.instances == 2 &&
			            str_starts(outcome.authentication_results, STR("mx1.test;")));
	}
	release_chain(&c);
}

/* §5.2: fifty hosts and no more. */
static void long_chains(void **state)
{
	CLEANUP(buf_release) struct buf zone = BUF_WITH_LIMIT(FIELDS_MAX);
	struct chain c;
	make_zone(*state, NULL, &zone);
	begin_chain(&c, *state);
	for (unsigned i = 1; i <= 51; i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(64 << 20);
		struct arc_outcome outcome;
		add_set(&c, &(struct set){ .instance = i }, str_of(mail_body));
		if (i < 49)
			continue;
		verify(buf_str(&c.header), str_of(mail_body), buf_str(&zone), a, &outcome);
		assert_int_equal(outcome.result, i <= 50 ? DKIM_PASS : DKIM_FAIL);
	}
	release_chain(&c);
}

static int make_key(void **state)
{
	CLEANUP(buf_release) struct buf pem = BUF_WITH_LIMIT(10000);
	assert_true(dkim_key_generate(0, &pem, NULL));
	*state = dkim_key_from_pem(buf_str(&pem), NULL);
	return *state ? 0 : -1;
}

static int free_key(void **state)
{
	EVP_PKEY_free(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(chains), cmocka_unit_test(changes), cmocka_unit_test(long_chains) };
	return cmocka_run_group_tests_name("arc", tests, make_key, free_key);
}

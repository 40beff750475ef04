#include "dkim.h"

#include "dkim_header.h"
#include "dkim_key.h"
#include "mem.h"
#include "text.h"

#include <stdlib.h>

enum { SIGNATURE_OCTETS_MAX = 1024, HEADER_B_LENGTH = 8, CLOCK_SKEW_SECONDS = 300, ARC_INSTANCES_MAX = 50 };

struct body_hash {
	struct dkim_body body;
	unsigned char hash[32];
};

/* A signature that was found, and what is to be said of it already. */
struct candidate {
	struct dkim_signature signature;
	struct dkim_outcome outcome;
	size_t field; /* its own */
	struct body_hash *body; /* NULL: it has failed already */
};

struct arc_set {
	size_t results, message, seal; /* index of the fields + 1; 0: none */
};

struct dkim_verifier {
	struct arena *arena;
	struct dkim_header header;
	struct candidate candidates[DKIM_SIGNATURES_MAX];
	size_t count;
	bool more;
	struct body_hash bodies[DKIM_SIGNATURES_MAX + 1];
	size_t body_count;
	struct arc_set *sets; /* by instance, from 1 */
	unsigned instances;
	const char *arc_problem;
	struct candidate arc; /* the newest ARC-Message-Signature */
};

static const char *const result_names[DKIM_RESULT_COUNT] = { "none", "pass", "fail", "policy", "neutral", "temperror",
	"permerror" };

const char *dkim_result_name(enum dkim_result result)
{
	return result_names[result];
}

static void settle(struct dkim_outcome *outcome, enum dkim_result result, const char *why)
{
	outcome->result = result;
	outcome->why = why;
}

/* ---- the beginning: what is there ---- */

static struct body_hash *body_for(struct dkim_verifier *v, const struct dkim_signature *s)
{
	for (size_t i = 0; i < v->body_count; i++)
		if (v->bodies[i].body.form == s->body_form && v->bodies[i].body.limit == s->body_length)
			return &v->bodies[i];
	struct body_hash *hash = &v->bodies[v->body_count++];
	dkim_body_init(&hash->body, s->body_form, s->body_length);
	return hash;
}

static void describe(struct dkim_outcome *outcome, const struct dkim_signature *s)
{
	outcome->domain = s->domain;
	outcome->selector = s->selector;
	outcome->identity = s->identity;
	outcome->algorithm = s->algorithm;
	outcome->signature = str_first(s->signature, HEADER_B_LENGTH);
}

static void begin_candidate(struct dkim_verifier *v, struct candidate *c, size_t field, enum dkim_signature_kind kind)
{
	const char *why = NULL;
	c->field = field;
	bool ok = dkim_signature_parse(v->arena, v->header.fields[field].value, kind, &c->signature, &why);
	describe(&c->outcome, &c->signature);
	if (!ok)
		settle(&c->outcome, DKIM_PERMERROR, why);
	else if (c->signature.algorithm == DKIM_RSA_SHA1) /* RFC 8301 §3.1 */
		settle(&c->outcome, DKIM_PERMERROR, "rsa-sha1 is no longer good enough");
	else
		c->body = body_for(v, &c->signature);
}

/* The field's instance: "i=1;" stands first in an ARC-Authentication-Results (RFC 8617 §4.1.1), anywhere in the
 * others. */
static unsigned arc_instance(struct str value, bool stands_first)
{
	struct str part;
	uint64_t number = 0;
	while (str_take_until(&value, ';', &part)) {
		size_t equals = str_find_char(part, '=');
		if (equals < part.length && str_equal(str_trim(str_first(part, equals)), STR("i")))
			return str_to_u64(str_trim(str_from_index(part, equals + 1)), ARC_INSTANCES_MAX, &number) ? (unsigned)number : 0;
		if (stands_first)
			return 0;
	}
	return 0;
}

static void note_arc(struct dkim_verifier *v, size_t field, size_t offset_in_set)
{
	unsigned instance = arc_instance(v->header.fields[field].value, offset_in_set == offsetof(struct arc_set, results));
	if (!v->sets)
		v->sets = arena_alloc_array(v->arena, ARC_INSTANCES_MAX + 1, sizeof *v->sets);
	size_t *place = (size_t *)((char *)&v->sets[instance] + offset_in_set);
	if (instance == 0)
		v->arc_problem = "a field without an instance";
	else if (*place)
		v->arc_problem = "two fields of one kind in an instance";
	*place = field + 1;
	if (instance > v->instances)
		v->instances = instance;
}

static void note_field(struct dkim_verifier *v, size_t i)
{
	struct str name = v->header.fields[i].name;
	if (str_equal_nocase(name, STR("DKIM-Signature"))) {
		if (v->count < DKIM_SIGNATURES_MAX)
			begin_candidate(v, &v->candidates[v->count++], i, DKIM_OF_MESSAGE);
		else
			v->more = true;
	} else if (str_equal_nocase(name, STR("ARC-Seal"))) {
		note_arc(v, i, offsetof(struct arc_set, seal));
	} else if (str_equal_nocase(name, STR("ARC-Message-Signature"))) {
		note_arc(v, i, offsetof(struct arc_set, message));
	} else if (str_equal_nocase(name, STR("ARC-Authentication-Results"))) {
		note_arc(v, i, offsetof(struct arc_set, results));
	}
}

struct dkim_verifier *dkim_verifier_new(struct arena *a, struct str header)
{
	struct dkim_verifier *v = mem_alloc(sizeof *v);
	v->arena = a;
	dkim_header_read(a, header, &v->header);
	for (size_t i = 0; i < v->header.count; i++)
		note_field(v, i);
	if (v->instances && v->sets[v->instances].message)
		begin_candidate(v, &v->arc, v->sets[v->instances].message - 1, DKIM_OF_ARC);
	return v;
}

void dkim_verifier_free(struct dkim_verifier *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < v->body_count; i++)
		dkim_body_release(&v->bodies[i].body);
	free(v);
}

void dkim_verifier_cleanup(struct dkim_verifier **v)
{
	dkim_verifier_free(*v);
	*v = NULL;
}

static struct str key_name(struct dkim_verifier *v, const struct dkim_signature *s)
{
	return arena_printf(v->arena, "%.*s._domainkey.%.*s", STR_ARG(s->selector), STR_ARG(s->domain));
}

void dkim_verifier_ask_ahead(struct dkim_verifier *v, const struct dns_source *dns)
{
	for (size_t i = 0; i < v->count; i++)
		if (v->candidates[i].body)
			dns_ask_ahead(dns, v->arena, key_name(v, &v->candidates[i].signature), DNS_TXT);
}

bool dkim_verifier_wants_body(const struct dkim_verifier *v)
{
	return v->body_count > 0;
}

void dkim_verifier_body(struct dkim_verifier *v, struct str piece)
{
	for (size_t i = 0; i < v->body_count; i++)
		dkim_body_add(&v->bodies[i].body, piece);
}

/* ---- the end ---- */

/* RFC 6376 §3.6.2: the key. Several records: any of them may be used, so the first that is one. */
static bool fetch_key(struct dkim_verifier *v, const struct dkim_signature *s, const struct dns_source *dns,
                      struct dkim_key *key, struct dkim_outcome *outcome)
{
	struct dns_answer answer;
	struct str text;
	const char *why = "there is no key";
	dns_ask(dns, v->arena, key_name(v, s), DNS_TXT, &answer);
	for (size_t i = 0; i < answer.count && i < DKIM_SIGNATURES_MAX; i++)
		if (dns_read_txt(v->arena, answer.records[i], &text) && dkim_key_parse(v->arena, text, key, &why))
			return true;
	bool may_pass = answer.status == DNS_FAILED || answer.status == DNS_BOGUS;
	settle(outcome, may_pass ? DKIM_TEMPERROR : DKIM_PERMERROR, may_pass ? "the key could not be asked for" : why);
	return false;
}

static bool check_signature(const struct dkim_key *key, struct str signed_text, struct str signature)
{
	CLEANUP(buf_release) struct buf octets = BUF_WITH_LIMIT(SIGNATURE_OCTETS_MAX);
	unsigned char hash[32];
	if (!text_base64_decode(&octets, signature))
		return false;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	must(context && EVP_Digest(signed_text.data, signed_text.length, hash, NULL, EVP_sha256(), NULL) == 1);
	/* RFC 8463 §3: Ed25519 signs the hash, RSA the text */
	bool good = key->is_ed25519
	                ? EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->key) == 1 &&
	                      EVP_DigestVerify(context, (unsigned char *)octets.data, octets.length, hash, sizeof hash) == 1
	                : EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->key) == 1 &&
	                      EVP_DigestVerify(context, (unsigned char *)octets.data, octets.length,
	                                       (const unsigned char *)signed_text.data, signed_text.length) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

/* Its own field comes last, b= empty and without a line end (§3.7). */
static void add_own_field(struct buf *out, const struct dkim_verifier *v, size_t field, enum dkim_canonical form)
{
	CLEANUP(buf_release) struct buf without = BUF_WITH_LIMIT(LIMIT_HEADER_SIZE_MAX + 10);
	dkim_signature_without_b(&without, dkim_header_raw(&v->header, field));
	dkim_canonical_field(out, form, buf_str(&without));
	buf_truncate(out, out->length - 2);
}

static size_t signed_max(const struct dkim_verifier *v)
{
	return v->header.text.length * 2 + 1000;
}

static bool matches_key(const struct candidate *c, const struct dkim_key *key, const char **why)
{
	const struct dkim_signature *s = &c->signature;
	*why = "the key is for another algorithm";
	if (key->is_ed25519 != (s->algorithm == DKIM_ED25519_SHA256))
		return false;
	*why = "the key allows no i= below its domain";
	return !key->strict || !s->identity.length ||
	       str_equal_nocase(str_from_index(s->identity, str_find_last_char(s->identity, '@') + 1), s->domain);
}

/* Dates first, then the body, whose hash costs nothing more; then the key is asked for. */
static bool is_sound(struct candidate *c, int64_t now)
{
	const struct dkim_signature *s = &c->signature;
	const struct dkim_body *body = &c->body->body;
	if (s->expires && now > s->expires + CLOCK_SKEW_SECONDS)
		settle(&c->outcome, DKIM_FAIL, "it has expired");
	else if (s->signed_at > now + CLOCK_SKEW_SECONDS)
		settle(&c->outcome, DKIM_FAIL, "it is from the future");
	else if (s->body_length != UINT64_MAX && body->length < s->body_length)
		settle(&c->outcome, DKIM_FAIL, "the body is shorter than l=");
	else if (memcmp(c->body->hash, s->body_hash, sizeof s->body_hash) != 0)
		settle(&c->outcome, DKIM_FAIL, "the body has changed");
	else
		return true;
	return false;
}

static void verify(struct dkim_verifier *v, struct candidate *c, const struct dns_source *dns, int64_t now)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(signed_max(v));
	const struct dkim_signature *s = &c->signature;
	struct dkim_key key;
	const char *why = NULL;
	if (!c->body || !is_sound(c, now) || !fetch_key(v, s, dns, &key, &c->outcome))
		return;
	c->outcome.key_bits = key.bits;
	c->outcome.testing = key.testing;
	c->outcome.part_of_body = c->body->body.length > s->body_length;
	dkim_header_add(&text, v->arena, &v->header, s->headers, s->header_form, c->field);
	add_own_field(&text, v, c->field, s->header_form);
	if (!matches_key(c, &key, &why))
		settle(&c->outcome, DKIM_PERMERROR, why);
	else if (text.overflowed || !v->header.whole)
		settle(&c->outcome, DKIM_PERMERROR, "the header is too long");
	else if (check_signature(&key, buf_str(&text), s->signature))
		settle(&c->outcome, DKIM_PASS, NULL);
	else
		settle(&c->outcome, DKIM_FAIL, "the signature does not fit the header");
	dkim_key_release(&key);
}

void dkim_verifier_finish(struct dkim_verifier *v, const struct dns_source *dns, int64_t now,
                          struct dkim_outcomes *outcomes)
{
	for (size_t i = 0; i < v->body_count; i++)
		dkim_body_finish(&v->bodies[i].body, v->bodies[i].hash);
	*outcomes = (struct dkim_outcomes){ .count = v->count, .more = v->more };
	for (size_t i = 0; i < v->count; i++) {
		verify(v, &v->candidates[i], dns, now);
		outcomes->list[i] = v->candidates[i].outcome;
	}
}

/* ---- ARC ---- */

struct seal {
	struct dkim_signature signature; /* algorithm, domain, selector and b= of it */
	enum { CHAIN_NONE, CHAIN_PASS, CHAIN_FAIL } chain;
};

/* RFC 8617 §4.1.3: fewer tags than a signature of a message has, and no h=. */
static bool read_seal(struct dkim_verifier *v, size_t field, struct seal *seal)
{
	struct dkim_tags tags;
	struct dkim_signature *s = &seal->signature;
	*seal = (struct seal){};
	if (!dkim_tags_parse(v->header.fields[field].value, &tags) || dkim_tag_value(&tags, STR("h")).data)
		return false;
	struct str chain = dkim_tag_packed(v->arena, &tags, STR("cv"));
	seal->chain = str_equal_nocase(chain, STR("pass"))   ? CHAIN_PASS
	              : str_equal_nocase(chain, STR("none")) ? CHAIN_NONE
	                                                     : CHAIN_FAIL;
	s->domain = dkim_tag_packed(v->arena, &tags, STR("d"));
	s->selector = dkim_tag_packed(v->arena, &tags, STR("s"));
	s->signature = dkim_tag_packed(v->arena, &tags, STR("b"));
	return dns_name_normalise(v->arena, s->domain, &s->domain) &&
	       dns_name_normalise(v->arena, s->selector, &s->selector) &&
	       dkim_algorithm_find(dkim_tag_value(&tags, STR("a")), &s->algorithm) && s->algorithm != DKIM_RSA_SHA1;
}

/* §5.1.1: all sets up to this one in order, its own seal last. */
static void add_sets(struct buf *text, struct dkim_verifier *v, unsigned up_to)
{
	for (unsigned i = 1; i <= up_to; i++) {
		dkim_canonical_field(text, DKIM_RELAXED, dkim_header_raw(&v->header, v->sets[i].results - 1));
		dkim_canonical_field(text, DKIM_RELAXED, dkim_header_raw(&v->header, v->sets[i].message - 1));
		if (i < up_to)
			dkim_canonical_field(text, DKIM_RELAXED, dkim_header_raw(&v->header, v->sets[i].seal - 1));
	}
	add_own_field(text, v, v->sets[up_to].seal - 1, DKIM_RELAXED);
}

static bool check_seal(struct dkim_verifier *v, unsigned instance, const struct dns_source *dns,
                       struct arc_outcome *outcome)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(signed_max(v));
	struct dkim_outcome why = {};
	struct seal seal;
	struct dkim_key key;
	outcome->result = DKIM_FAIL;
	outcome->why = "a seal is malformed";
	if (!read_seal(v, v->sets[instance].seal - 1, &seal))
		return false;
	outcome->why = "a seal says that the chain was broken";
	if (seal.chain != (instance == 1 ? CHAIN_NONE : CHAIN_PASS))
		return false;
	if (!fetch_key(v, &seal.signature, dns, &key, &why)) {
		outcome->why = why.why;
		return false;
	}
	add_sets(&text, v, instance);
	outcome->why = "a seal does not fit";
	bool good = !text.overflowed && key.is_ed25519 == (seal.signature.algorithm == DKIM_ED25519_SHA256) &&
	            check_signature(&key, buf_str(&text), seal.signature.signature);
	dkim_key_release(&key);
	outcome->sealer = seal.signature.domain;
	return good;
}

static bool sets_are_whole(const struct dkim_verifier *v)
{
	for (unsigned i = 1; i <= v->instances; i++)
		if (!v->sets[i].results || !v->sets[i].message || !v->sets[i].seal)
			return false;
	return !v->arc_problem;
}

void dkim_verifier_arc(struct dkim_verifier *v, const struct dns_source *dns, int64_t now, struct arc_outcome *outcome)
{
	*outcome = (struct arc_outcome){ .result = DKIM_NONE, .instances = v->instances };
	if (!v->sets)
		return;
	outcome->result = DKIM_FAIL;
	outcome->why = v->arc_problem ? v->arc_problem : "a set is not whole";
	if (!sets_are_whole(v) || v->instances == 0)
		return;
	verify(v, &v->arc, dns, now);
	outcome->why = v->arc.outcome.why;
	if (v->arc.outcome.result != DKIM_PASS)
		return;
	struct str sealer = {};
	for (unsigned i = v->instances; i > 0; i--) {
		if (!check_seal(v, i, dns, outcome))
			return;
		if (!sealer.data)
			sealer = outcome->sealer;
	}
	outcome->result = DKIM_PASS;
	outcome->why = NULL;
	outcome->sealer = sealer;
	struct str first = v->header.fields[v->sets[1].results - 1].value;
	outcome->authentication_results = str_trim(str_from_index(first, str_find_char(first, ';') + 1));
}

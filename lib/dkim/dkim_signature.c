#include "dkim_signature.h"

#include "dns.h"
#include "text.h"

static const struct str algorithm_names[DKIM_ALGORITHM_COUNT] = {
	[DKIM_RSA_SHA256] = { "rsa-sha256", 10 },
	[DKIM_ED25519_SHA256] = { "ed25519-sha256", 14 },
	[DKIM_RSA_SHA1] = { "rsa-sha1", 8 },
};

struct str dkim_algorithm_name(enum dkim_algorithm algorithm)
{
	return algorithm_names[algorithm];
}

bool dkim_algorithm_find(struct str name, enum dkim_algorithm *algorithm)
{
	for (size_t i = 0; i < DKIM_ALGORITHM_COUNT; i++) {
		*algorithm = (enum dkim_algorithm)i;
		if (str_equal_nocase(name, algorithm_names[i]))
			return true;
	}
	return false;
}

static bool read_form(struct str word, enum dkim_canonical *form)
{
	*form = str_equal_nocase(word, STR("relaxed")) ? DKIM_RELAXED : DKIM_SIMPLE;
	return *form == DKIM_RELAXED || str_equal_nocase(word, STR("simple"));
}

/* c=header[/body]: simple where nothing is said. */
static bool read_forms(struct str value, struct dkim_signature *s)
{
	struct str header;
	if (!value.data)
		return true;
	return str_take_until(&value, '/', &header) && read_form(header, &s->header_form) &&
	       (value.length == 0 || read_form(value, &s->body_form));
}

static bool read_number(struct str value, uint64_t max, uint64_t *number)
{
	return !value.data || str_to_u64(value, max, number);
}

static bool read_hash(struct str value, unsigned char hash[32])
{
	CLEANUP(buf_release) struct buf bytes = BUF_WITH_LIMIT(64);
	if (!value.data || !text_base64_decode(&bytes, value) || bytes.length != 32)
		return false;
	memcpy(hash, bytes.data, 32);
	return true;
}

/* §3.5: i= lies within d=. Its local part may be quoted-printable, which nobody needs here. */
static bool read_identity(struct arena *a, struct str value, struct dkim_signature *s)
{
	s->identity = value.data ? value : arena_printf(a, "@%.*s", STR_ARG(s->domain));
	size_t at = str_find_last_char(s->identity, '@');
	return at < s->identity.length && dns_name_is_within(str_from_index(s->identity, at + 1), s->domain);
}

static bool fail(const char **why, const char *text)
{
	*why = text;
	return false;
}

static bool read_times(const struct dkim_tags *tags, struct dkim_signature *s)
{
	uint64_t signed_at = 0;
	uint64_t expires = 0;
	if (!read_number(dkim_tag_value(tags, STR("t")), INT64_MAX, &signed_at) ||
	    !read_number(dkim_tag_value(tags, STR("x")), INT64_MAX, &expires))
		return false;
	s->signed_at = (int64_t)signed_at;
	s->expires = (int64_t)expires;
	return !expires || expires > signed_at;
}

/* What only one of the two kinds has. */
static bool read_kind(struct arena *a, const struct dkim_tags *tags, enum dkim_signature_kind kind,
                      struct dkim_signature *s, const char **why)
{
	uint64_t instance = 0;
	struct str i = dkim_tag_packed(a, tags, STR("i"));
	if (kind == DKIM_OF_ARC) {
		s->identity = (struct str){};
		if (!i.data || !str_to_u64(i, 50, &instance) || instance == 0)
			return fail(why, "i= is no instance");
		s->instance = (unsigned)instance;
		/* RFC 8617 §4.1.2; some sign the other ARC fields all the same */
		return !dkim_list_has(s->headers, STR("arc-seal")) || fail(why, "it signs a seal, which changes with each hop");
	}
	if (!str_equal(dkim_tag_value(tags, STR("v")), STR("1")))
		return fail(why, "it has no v=1");
	return read_identity(a, i, s) || fail(why, "i= does not lie within d=");
}

bool dkim_signature_parse(struct arena *a, struct str value, enum dkim_signature_kind kind, struct dkim_signature *s,
                          const char **why)
{
	struct dkim_tags tags;
	*s = (struct dkim_signature){ .body_length = UINT64_MAX };
	if (!dkim_tags_parse(value, &tags))
		return fail(why, "it is no list of tags");
	s->domain = dkim_tag_packed(a, &tags, STR("d"));
	s->selector = dkim_tag_packed(a, &tags, STR("s"));
	if (!dns_name_normalise(a, s->domain, &s->domain) || !dns_name_normalise(a, s->selector, &s->selector))
		return fail(why, "d= or s= is no name");
	s->headers = dkim_tag_packed(a, &tags, STR("h"));
	s->signature = dkim_tag_packed(a, &tags, STR("b"));
	if (!dkim_algorithm_find(dkim_tag_value(&tags, STR("a")), &s->algorithm))
		return fail(why, "the algorithm is unknown");
	if (!read_forms(dkim_tag_packed(a, &tags, STR("c")), s))
		return fail(why, "c= is unknown");
	struct str query = dkim_tag_packed(a, &tags, STR("q"));
	if (query.data && !dkim_list_has(query, STR("dns/txt")))
		return fail(why, "q= has no dns/txt");
	if (!s->signature.length || !s->headers.length)
		return fail(why, "it has no b= or h=");
	if (kind == DKIM_OF_MESSAGE && !dkim_list_has(s->headers, STR("from")))
		return fail(why, "it does not sign From"); /* §5.4 */
	if (!read_number(dkim_tag_value(&tags, STR("l")), UINT64_MAX - 1, &s->body_length) || !read_times(&tags, s))
		return fail(why, "l=, t= or x= makes no sense");
	if (s->algorithm != DKIM_RSA_SHA1 && !read_hash(dkim_tag_packed(a, &tags, STR("bh")), s->body_hash))
		return fail(why, "bh= is no hash");
	return read_kind(a, &tags, kind, s, why);
}

void dkim_signature_without_b(struct buf *out, struct str field)
{
	size_t colon = str_find_char(field, ':') + 1;
	buf_add_str(out, str_first(field, colon));
	struct str rest = str_from_index(field, colon);
	while (rest.length) {
		size_t end = str_find_char(rest, ';');
		struct str part = str_first(rest, end);
		size_t equals = str_find_char(part, '=');
		if (equals < part.length && str_equal(str_trim(str_first(part, equals)), STR("b")))
			part.length = equals + 1;
		buf_add_str(out, part);
		if (end < rest.length)
			buf_add_char(out, ';');
		rest = str_from_index(rest, end + 1);
	}
}

#include "dkim_key.h"

#include "text.h"

#include <openssl/x509.h>

enum { KEY_SIZE_MAX = 4096, ED25519_SIZE = 32 };

static bool fail(const char **why, const char *text)
{
	*why = text;
	return false;
}

static bool read_rsa(struct str bytes, struct dkim_key *key, const char **why)
{
	const unsigned char *at = (const unsigned char *)bytes.data;
	key->key = d2i_PUBKEY(NULL, &at, (long)bytes.length);
	if (!key->key) {
		/* some publish the bare RSAPublicKey, which RFC 6376 §3.6.1 asked for by name */
		at = (const unsigned char *)bytes.data;
		key->key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &at, (long)bytes.length);
	}
	if (!key->key || EVP_PKEY_get_base_id(key->key) != EVP_PKEY_RSA)
		return fail(why, "p= is no RSA key");
	key->bits = (unsigned)EVP_PKEY_get_bits(key->key);
	if (key->bits < DKIM_KEY_BITS_MIN)
		return fail(why, "the key is too short");
	return key->bits <= DKIM_KEY_BITS_MAX || fail(why, "the key is too long");
}

static bool read_ed25519(struct str bytes, struct dkim_key *key, const char **why)
{
	key->is_ed25519 = true;
	key->bits = 256;
	if (bytes.length == ED25519_SIZE)
		key->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.data, bytes.length);
	return key->key || fail(why, "p= is no Ed25519 key");
}

static bool read_key(struct arena *a, const struct dkim_tags *tags, struct dkim_key *key, const char **why)
{
	CLEANUP(buf_release) struct buf bytes = BUF_WITH_LIMIT(KEY_SIZE_MAX);
	struct str p = dkim_tag_packed(a, tags, STR("p"));
	struct str k = dkim_tag_packed(a, tags, STR("k"));
	if (!p.data)
		return fail(why, "the record has no p=");
	if (!p.length)
		return fail(why, "the key was revoked");
	if (!text_base64_decode(&bytes, p))
		return fail(why, "p= is no base64");
	if (!k.data || str_equal_nocase(k, STR("rsa")))
		return read_rsa(buf_str(&bytes), key, why);
	return str_equal_nocase(k, STR("ed25519")) ? read_ed25519(buf_str(&bytes), key, why) : fail(why, "k= is unknown");
}

bool dkim_key_parse(struct arena *a, struct str record, struct dkim_key *key, const char **why)
{
	struct dkim_tags tags;
	*key = (struct dkim_key){};
	if (!dkim_tags_parse(record, &tags))
		return fail(why, "the key record is no list of tags");
	struct str v = dkim_tag_value(&tags, STR("v"));
	if (v.data && (!str_equal(v, STR("DKIM1")) || !str_equal(tags.list[0].name, STR("v"))))
		return fail(why, "the key record has another version");
	struct str h = dkim_tag_packed(a, &tags, STR("h"));
	if (h.data && !dkim_list_has(h, STR("sha256")))
		return fail(why, "the key is not for sha256");
	struct str s = dkim_tag_packed(a, &tags, STR("s"));
	if (s.data && !dkim_list_has(s, STR("*")) && !dkim_list_has(s, STR("email")))
		return fail(why, "the key is not for mail");
	struct str t = dkim_tag_packed(a, &tags, STR("t"));
	key->testing = dkim_list_has(t, STR("y"));
	key->strict = dkim_list_has(t, STR("s"));
	if (read_key(a, &tags, key, why))
		return true;
	dkim_key_release(key);
	return false;
}

void dkim_key_release(struct dkim_key *key)
{
	EVP_PKEY_free(key->key);
	key->key = NULL;
}

void dkim_key_record(struct buf *out, EVP_PKEY *key)
{
	unsigned char raw[ED25519_SIZE];
	size_t length = sizeof raw;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519) {
		must(EVP_PKEY_get_raw_public_key(key, raw, &length) == 1);
		buf_add_str(out, STR("v=DKIM1; k=ed25519; p="));
		text_base64_encode(out, str_from((const char *)raw, length));
		return;
	}
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	must(size > 0);
	buf_add_str(out, STR("v=DKIM1; k=rsa; p="));
	text_base64_encode(out, str_from((const char *)der, (size_t)size));
	OPENSSL_free(der);
}

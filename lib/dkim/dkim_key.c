#include "dkim_key.h"

#include "text.h"

#include <openssl/core_names.h>
#include <openssl/x509.h>

enum { KEY_SIZE_MAX = 4096, ED25519_SIZE = 32 };

static bool fail(const char **why, const char *text)
{
	*why = text;
	return false;
}

/* ---- RSA keys: DER (ITU-T X.690), read here because OpenSSL's decoders take five times as long as the verifying ---- */

enum { DER_INTEGER = 0x02, DER_BITS = 0x03, DER_SEQUENCE = 0x30, EXPONENT_MAX = 8 };

/* Takes an element with this tag off the front. */
static bool der_take(struct str *rest, uint8_t tag, struct str *content)
{
	if (rest->length < 2 || (uint8_t)rest->data[0] != tag)
		return false;
	size_t length = (uint8_t)rest->data[1], octets = 0, start = 2;
	if (length & 0x80) {
		octets = length & 0x7f;
		length = 0;
		if (octets < 1 || octets > 2 || rest->length < start + octets)
			return false;
		for (size_t i = 0; i < octets; i++)
			length = length << 8 | (uint8_t)rest->data[start + i];
		start += octets;
	}
	if (rest->length - start < length)
		return false;
	*content = str_from(rest->data + start, length);
	*rest = str_from_index(*rest, start + length);
	return true;
}

/* A positive number without its leading zeros. */
static bool der_take_number(struct str *rest, struct str *number)
{
	if (!der_take(rest, DER_INTEGER, number) || number->length == 0 || (uint8_t)number->data[0] & 0x80)
		return false;
	while (number->length && number->data[0] == '\0')
		*number = str_from_index(*number, 1);
	return number->length > 0;
}

/* SubjectPublicKeyInfo (RFC 5280 §4.1) of rsaEncryption; some publish the bare RSAPublicKey, which RFC 6376 §3.6.1
 * asked for by name. */
static bool der_public_key(struct str bytes, struct str *modulus, struct str *exponent)
{
	static const struct str rsa = { "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01", 11 };
	struct str outer, algorithm, bits;
	if (!der_take(&bytes, DER_SEQUENCE, &outer) || bytes.length)
		return false;
	if (outer.length && (uint8_t)outer.data[0] == DER_SEQUENCE) {
		if (!der_take(&outer, DER_SEQUENCE, &algorithm) || !str_starts(algorithm, rsa) ||
		    !der_take(&outer, DER_BITS, &bits) || outer.length || bits.length < 1 || bits.data[0] != '\0')
			return false;
		bits = str_from_index(bits, 1);
		if (!der_take(&bits, DER_SEQUENCE, &outer) || bits.length)
			return false;
	}
	return der_take_number(&outer, modulus) && der_take_number(&outer, exponent) && outer.length == 0;
}

static void turn_round(struct str number, unsigned char *out)
{
	for (size_t i = 0; i < number.length; i++)
		out[i] = (unsigned char)number.data[number.length - 1 - i];
}

/* OpenSSL takes numbers in the order of the machine: the least octet first. */
static EVP_PKEY *rsa_key(struct str modulus, struct str exponent)
{
	unsigned char n[DKIM_KEY_BITS_MAX / 8], e[EXPONENT_MAX];
	EVP_PKEY *key = NULL;
	turn_round(modulus, n);
	turn_round(exponent, e);
	OSSL_PARAM parameters[] = { OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n, modulus.length),
		                        OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_E, e, exponent.length),
		                        OSSL_PARAM_construct_end() };
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

static unsigned bits_of(struct str number)
{
	unsigned bits = (unsigned)number.length * 8;
	for (unsigned mask = 0x80; mask && !((uint8_t)number.data[0] & mask); mask >>= 1)
		bits--;
	return bits;
}

static bool read_rsa(struct str bytes, struct dkim_key *key, const char **why)
{
	struct str modulus, exponent;
	if (!der_public_key(bytes, &modulus, &exponent) || exponent.length > EXPONENT_MAX)
		return fail(why, "p= is no RSA key");
	key->bits = bits_of(modulus);
	if (key->bits < DKIM_KEY_BITS_MIN)
		return fail(why, "the key is too short");
	if (key->bits > DKIM_KEY_BITS_MAX)
		return fail(why, "the key is too long");
	key->key = rsa_key(modulus, exponent);
	return key->key || fail(why, "p= is no RSA key");
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

#include "dkim.h"

#include "dkim_header.h"
#include "mem.h"
#include "text.h"

#include <openssl/pem.h>
#include <stdlib.h>

enum { VALUE_MAX = 8192, LINE_LENGTH = 72, KEY_FILE_MAX = 16384 };

/* What is signed where it is there, once more than it occurs, so that none can be added (RFC 6376 §8.15); the others
 * as often as they occur. RFC 6376 §5.4.1, and RFC 8058 §4 for the last two. */
static const struct {
	const char *name;
	bool oversigned;
} signed_fields[] = {
	{ "From", true },          { "Sender", false },     { "Reply-To", true },   { "Subject", true },
	{ "Date", true },          { "Message-ID", true },  { "To", true },         { "Cc", true },
	{ "In-Reply-To", false },  { "References", false }, { "MIME-Version", true }, { "Content-Type", true },
	{ "Content-Transfer-Encoding", true }, { "Content-Disposition", false }, { "Content-ID", false },
	{ "List-Id", false },      { "List-Post", false },  { "List-Unsubscribe", false },
	{ "List-Unsubscribe-Post", false },
};

struct dkim_signer {
	struct arena *arena;
	struct dkim_header header;
	struct dkim_body body;
	int64_t now;
	struct buf names;  /* h= */
	struct buf fields; /* their canonical form */
};

static size_t count_fields(const struct dkim_header *header, struct str name)
{
	size_t count = 0;
	for (size_t i = 0; i < header->count; i++)
		count += str_equal_nocase(header->fields[i].name, name);
	return count;
}

static void choose_fields(struct dkim_signer *s)
{
	for (size_t i = 0; i < COUNT_OF(signed_fields); i++) {
		struct str name = str_of(signed_fields[i].name);
		size_t count = count_fields(&s->header, name) + signed_fields[i].oversigned;
		for (size_t n = 0; n < count; n++) {
			if (s->names.length)
				buf_add_char(&s->names, ':');
			buf_add_str(&s->names, name);
		}
	}
}

struct dkim_signer *dkim_signer_new(struct arena *a, struct str header, int64_t now)
{
	struct dkim_signer *s = mem_alloc(sizeof *s);
	s->arena = a;
	s->now = now;
	buf_init(&s->names, VALUE_MAX);
	buf_init(&s->fields, header.length * 2 + 1000);
	dkim_header_read(a, header, &s->header);
	dkim_body_init(&s->body, DKIM_RELAXED, UINT64_MAX);
	choose_fields(s);
	dkim_header_add(&s->fields, a, &s->header, buf_str(&s->names), DKIM_RELAXED, SIZE_MAX);
	return s;
}

void dkim_signer_free(struct dkim_signer *s)
{
	if (!s)
		return;
	dkim_body_release(&s->body);
	buf_release(&s->names);
	buf_release(&s->fields);
	free(s);
}

void dkim_signer_cleanup(struct dkim_signer **s)
{
	dkim_signer_free(*s);
	*s = NULL;
}

void dkim_signer_body(struct dkim_signer *s, struct str piece)
{
	dkim_body_add(&s->body, piece);
}

/* Breaks a long value where folding is allowed: before each line's last ":" or, in base64, anywhere. */
static void add_folded(struct buf *out, struct str value, bool anywhere)
{
	while (value.length > LINE_LENGTH) {
		size_t length = LINE_LENGTH;
		while (!anywhere && length > 0 && value.data[length - 1] != ':')
			length--;
		if (length == 0)
			break;
		buf_add_str(out, str_first(value, length));
		buf_add_str(out, STR("\r\n\t "));
		value = str_from_index(value, length);
	}
	buf_add_str(out, value);
}

static void add_field(struct buf *out, const struct dkim_signer *s, const struct dkim_signing_key *key,
                      const unsigned char hash[32])
{
	bool is_ed25519 = EVP_PKEY_get_base_id(key->key) == EVP_PKEY_ED25519;
	struct str algorithm = dkim_algorithm_name(is_ed25519 ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256);
	buf_printf(out,
	           "DKIM-Signature: v=1; a=%s; c=relaxed/relaxed;\r\n\td=%.*s; s=%.*s; t=%lld;\r\n\th=", algorithm.data,
	           STR_ARG(key->domain), STR_ARG(key->selector), (long long)s->now);
	add_folded(out, buf_str(&s->names), false);
	buf_add_str(out, STR(";\r\n\tbh="));
	text_base64_encode(out, str_from((const char *)hash, 32));
	buf_add_str(out, STR(";\r\n\tb="));
}

static bool sign_text(struct str text, EVP_PKEY *key, struct buf *signature)
{
	unsigned char hash[32];
	unsigned char octets[1024];
	size_t length = sizeof octets;
	bool is_ed25519 = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	must(context && EVP_Digest(text.data, text.length, hash, NULL, EVP_sha256(), NULL) == 1);
	struct str what = is_ed25519 ? str_from((const char *)hash, sizeof hash) : text;
	bool good = EVP_DigestSignInit(context, NULL, is_ed25519 ? NULL : EVP_sha256(), NULL, key) == 1 &&
	            EVP_DigestSign(context, octets, &length, (const unsigned char *)what.data, what.length) == 1;
	EVP_MD_CTX_free(context);
	if (good)
		text_base64_encode(signature, str_from((const char *)octets, length));
	return good;
}

static bool add_signature(struct dkim_signer *s, const struct dkim_signing_key *key, const unsigned char hash[32],
                          struct buf *out, struct fail **fail)
{
	CLEANUP(buf_release) struct buf field = BUF_WITH_LIMIT(VALUE_MAX * 2);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(s->fields.limit + VALUE_MAX * 2);
	CLEANUP(buf_release) struct buf signature = BUF_WITH_LIMIT(2048);
	add_field(&field, s, key, hash);
	buf_add_str(&text, buf_str(&s->fields));
	dkim_canonical_field(&text, DKIM_RELAXED, buf_str(&field));
	buf_truncate(&text, text.length - 2);
	if (field.overflowed || text.overflowed || !s->header.whole)
		return fail_set(fail, FAIL_TOO_BIG, "the header is too long to be signed");
	if (!sign_text(buf_str(&text), key->key, &signature))
		return fail_set(fail, FAIL_INVALID, "the key %.*s of %.*s does not sign", STR_ARG(key->selector),
		                STR_ARG(key->domain));
	add_folded(&field, buf_str(&signature), true);
	buf_add_str(&field, STR("\r\n"));
	return buf_add_str(out, buf_str(&field)) || fail_set(fail, FAIL_TOO_BIG, "no room for a signature");
}

bool dkim_signer_finish(struct dkim_signer *s, const struct dkim_signing_key *keys, size_t count, struct buf *out,
                        struct fail **fail)
{
	unsigned char hash[32];
	dkim_body_finish(&s->body, hash);
	for (size_t i = 0; i < count; i++)
		if (!add_signature(s, &keys[i], hash, out, fail))
			return false;
	return true;
}

/* ---- keys ---- */

bool dkim_key_generate(unsigned bits, struct buf *pem, struct fail **fail)
{
	EVP_PKEY *key = bits ? EVP_RSA_gen(bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *memory = BIO_new(BIO_s_mem());
	char *data = NULL;
	bool good = key && memory && PEM_write_bio_PKCS8PrivateKey(memory, key, NULL, NULL, 0, NULL, NULL) == 1;
	long length = good ? BIO_get_mem_data(memory, &data) : 0;
	good = good && buf_append(pem, data, (size_t)length);
	BIO_free(memory);
	EVP_PKEY_free(key);
	return good || fail_set(fail, FAIL_INVALID, "cannot make a key");
}

EVP_PKEY *dkim_key_from_pem(struct str pem, struct fail **fail)
{
	BIO *memory = BIO_new_mem_buf(pem.data, pem.length > KEY_FILE_MAX ? 0 : (int)pem.length);
	must(memory);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(memory, NULL, NULL, NULL);
	BIO_free(memory);
	if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA && EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	if (!key)
		fail_set(fail, FAIL_INVALID, "it is no RSA or Ed25519 key in PEM form");
	return key;
}

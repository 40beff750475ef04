#include "directory_credential.h"

#include "mem.h"
#include "text.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>

#define SCRAM_ITERATIONS_MAX 10000000
#define ARGON2_MEMORY_KIB_MAX 1048576
#define ARGON2_OPERATIONS_MAX 20
#define SHA_CRYPT_ROUNDS_MAX 1000000
#define BCRYPT_COST_MAX 15
#define SHA1_CRYPT_ROUNDS_MAX 1000000
#define SUN_MD5_ROUNDS_MAX 200000

void directory_credential_init(void)
{
	must(sodium_init() >= 0);
	/* OpenSSL reads its configuration and finds its digests at first use: not in the sandbox. */
	unsigned char digest[EVP_MAX_MD_SIZE];
	must(EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL) == 1);
	must(EVP_Digest("", 0, digest, NULL, EVP_sha512(), NULL) == 1);
	must(HMAC(EVP_sha1(), "", 0, digest, 0, digest, NULL));
	struct directory_password nothing = { .length = 0 };
	struct directory_scram scram;
	directory_scram_make("SHA-256", &nothing, "", 0, 1, &scram);
}

void directory_credential_wipe(struct directory_credential *credential)
{
	mem_wipe(credential, sizeof *credential);
}

static const EVP_MD *digest_named(const char *hash)
{
	if (strcmp(hash, "SHA-256") == 0)
		return EVP_sha256();
	must(strcmp(hash, "SHA-1") == 0);
	return EVP_sha1();
}

/* RFC 5802 §3. */
void directory_scram_make(const char *hash, const struct directory_password *password, const void *salt,
                          size_t salt_length, uint32_t iterations, struct directory_scram *scram)
{
	const EVP_MD *digest = digest_named(hash);
	unsigned char salted[EVP_MAX_MD_SIZE];
	unsigned char client_key[EVP_MAX_MD_SIZE];
	must(salt_length <= sizeof scram->salt && iterations > 0 && iterations <= SCRAM_ITERATIONS_MAX);
	*scram = (struct directory_scram){ .iterations = iterations, .salt_length = salt_length };
	memcpy(scram->salt, salt, salt_length);
	scram->key_length = (size_t)EVP_MD_get_size(digest);
	int key_length = (int)scram->key_length;
	must(PKCS5_PBKDF2_HMAC(password->text, (int)password->length, scram->salt, (int)salt_length, (int)iterations,
	                       digest, key_length, salted) == 1);
	must(HMAC(digest, salted, key_length, (const unsigned char *)"Client Key", 10, client_key, NULL));
	must(EVP_Digest(client_key, scram->key_length, scram->stored_key, NULL, digest, NULL) == 1);
	must(HMAC(digest, salted, key_length, (const unsigned char *)"Server Key", 10, scram->server_key, NULL));
	mem_wipe(salted, sizeof salted);
	mem_wipe(client_key, sizeof client_key);
}

void directory_scram_write(const char *hash, const struct directory_scram *scram, struct buf *out)
{
	buf_printf(out, "SCRAM-%s$%u:", hash, scram->iterations);
	text_base64_encode(out, str_from((const char *)scram->salt, scram->salt_length));
	buf_add_char(out, '$');
	text_base64_encode(out, str_from((const char *)scram->stored_key, scram->key_length));
	buf_add_char(out, ':');
	text_base64_encode(out, str_from((const char *)scram->server_key, scram->key_length));
}

/* Base64 of at least length_min and at most length_max octets. */
static bool take_base64(struct str *rest, char separator, unsigned char *bytes, size_t length_min, size_t length_max,
                        size_t *length)
{
	struct str part;
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(length_max);
	if (!str_take_until(rest, separator, &part) || !text_base64_decode(&decoded, part) || decoded.overflowed)
		return false;
	if (decoded.length < length_min)
		return false;
	memcpy(bytes, decoded.data, decoded.length);
	*length = decoded.length;
	return true;
}

bool directory_scram_read(const char *hash, struct str text, struct directory_scram *scram)
{
	struct str name;
	struct str number;
	uint64_t iterations;
	size_t length;
	size_t key = (size_t)EVP_MD_get_size(digest_named(hash));
	*scram = (struct directory_scram){ .key_length = key };
	if (!str_take_until(&text, '$', &name) || !str_starts(name, STR("SCRAM-")) ||
	    !str_equal(str_from_index(name, 6), str_of(hash)))
		return false;
	if (!str_take_until(&text, ':', &number) || !str_to_u64(number, SCRAM_ITERATIONS_MAX, &iterations) ||
	    iterations == 0)
		return false;
	if (!take_base64(&text, '$', scram->salt, 1, sizeof scram->salt, &scram->salt_length) ||
	    !take_base64(&text, ':', scram->stored_key, key, key, &length) ||
	    !take_base64(&text, '\n', scram->server_key, key, key, &length) || !str_is_empty(text))
		return false;
	scram->iterations = (uint32_t)iterations;
	return true;
}

static void argon2_make(const struct directory_credential_cost *cost, struct str password, char *hash)
{
	_Static_assert(crypto_pwhash_STRBYTES <= DIRECTORY_HASH_MAX, "an Argon2id string fits");
	must(crypto_pwhash_str(hash, password.data, password.length, cost->argon2_operations, cost->argon2_memory) == 0);
}

void directory_credential_make(const struct directory_credential_cost *cost, const struct directory_password *password,
                               unsigned parts, struct directory_credential *credential)
{
	unsigned char salt[DIRECTORY_SCRAM_SALT];
	CLEANUP(directory_password_wipe) struct directory_password prepared;
	memset(credential, 0, sizeof *credential);
	argon2_make(cost, str_from(password->text, password->length), credential->hash);
	directory_password_saslprep(password, &prepared);
	randombytes_buf(salt, sizeof salt);
	directory_scram_make("SHA-256", &prepared, salt, sizeof salt, cost->scram_iterations, &credential->scram_sha256);
	if (parts & DIRECTORY_SCRAM_SHA1) {
		randombytes_buf(salt, sizeof salt);
		directory_scram_make("SHA-1", &prepared, salt, sizeof salt, cost->scram_iterations, &credential->scram_sha1);
	}
	if (parts & DIRECTORY_CHALLENGE)
		credential->secret = prepared;
}

void directory_credential_decoy(const struct directory_credential_cost *cost, struct directory_credential *credential)
{
	char random[32];
	randombytes_buf(random, sizeof random);
	memset(credential, 0, sizeof *credential);
	argon2_make(cost, str_from(random, sizeof random), credential->hash);
	/* or the check would take it for an imported hash and hash where it need not */
	credential->scram_sha256.iterations = cost->scram_iterations;
	mem_wipe(random, sizeof random);
}

/* --- imported hashes --- */

static bool is_argon2(const char *hash)
{
	return strncmp(hash, "$argon2id$", 10) == 0;
}

/* The number behind name, as in "rounds=5000$…" or "m=65536,…"; 0 when it is not there. */
static uint64_t parameter(struct str hash, struct str name)
{
	uint64_t number = 0;
	size_t at = str_find(hash, name);
	struct str digits = str_from_index(hash, at + name.length);
	size_t length = 0;
	while (length < digits.length && char_is_digit(digits.data[length]))
		length++;
	if (at < hash.length && !str_to_u64(str_first(digits, length), INT64_MAX, &number))
		return INT64_MAX;
	return number;
}

static bool sha_crypt_is_bounded(struct str hash)
{
	return parameter(hash, STR("$rounds=")) <= SHA_CRYPT_ROUNDS_MAX;
}

/* $2b$12$… */
static bool bcrypt_is_bounded(struct str hash)
{
	uint64_t cost;
	return hash.length > 7 && str_to_u64(str_from(hash.data + 4, 2), BCRYPT_COST_MAX, &cost) && hash.data[6] == '$';
}

/* $y$jFT$…, $gy$jFT$…: flavour, log2 of blocks, block size; F and T are 1 GB and 4 KB, the most that
 * crypt_gensalt(3) makes. Longer forms carry optional parameters that nobody uses. */
static bool yescrypt_is_bounded(struct str hash)
{
	struct str kind, setting;
	hash = str_from_index(hash, 1);
	return str_take_until(&hash, '$', &kind) && str_take_until(&hash, '$', &setting) && setting.length == 3 &&
	       setting.data[0] == 'j' &&
	       (char_is_digit(setting.data[1]) || (setting.data[1] >= 'A' && setting.data[1] <= 'F')) &&
	       (char_is_digit(setting.data[2]) || (setting.data[2] >= 'A' && setting.data[2] <= 'T'));
}

/* $7$Nrrrrrpppppsalt$…: log2 of blocks up to 1 GB, blocks of 4 KB, not parallel: the most that
 * crypt_gensalt(3) makes. */
static bool scrypt_is_bounded(struct str hash)
{
	static const struct str r_and_p = { "U..../....", 10 };
	return hash.length > 14 && (char_is_digit(hash.data[3]) || (hash.data[3] >= 'A' && hash.data[3] <= 'G')) &&
	       str_starts(str_from_index(hash, 4), r_and_p);
}

/* $sha1$248488$… */
static bool sha1_crypt_is_bounded(struct str hash)
{
	uint64_t rounds = parameter(hash, STR("$sha1$"));
	return rounds > 0 && rounds <= SHA1_CRYPT_ROUNDS_MAX;
}

/* $md5,rounds=55349$… */
static bool sun_md5_is_bounded(struct str hash)
{
	return parameter(hash, STR("$md5,rounds=")) <= SUN_MD5_ROUNDS_MAX;
}

static bool argon2_is_bounded(struct str hash)
{
	uint64_t memory_kib = parameter(hash, STR("$m="));
	uint64_t operations = parameter(hash, STR(",t="));
	return memory_kib > 0 && memory_kib <= ARGON2_MEMORY_KIB_MAX && operations > 0 &&
	       operations <= ARGON2_OPERATIONS_MAX && parameter(hash, STR(",p=")) == 1;
}

static bool md5_crypt_is_bounded(struct str hash)
{
	return hash.length > 3;
}

/* crypt(5), without what is broken by trying all passwords within days: DES and NT. */
struct crypt_kind {
	struct str prefix;
	bool (*is_bounded)(struct str hash);
	size_t digest_length; /* characters behind the last "$"; 0: of several lengths */
};

static const struct crypt_kind crypt_kinds[] = {
	{ { "$y$", 3 }, yescrypt_is_bounded, 43 },      { { "$gy$", 4 }, yescrypt_is_bounded, 43 },
	{ { "$7$", 3 }, scrypt_is_bounded, 43 },        { { "$6$", 3 }, sha_crypt_is_bounded, 86 },
	{ { "$5$", 3 }, sha_crypt_is_bounded, 43 },     { { "$sha1$", 6 }, sha1_crypt_is_bounded, 28 },
	{ { "$md5", 4 }, sun_md5_is_bounded, 22 },      { { "$1$", 3 }, md5_crypt_is_bounded, 22 },
	{ { "$2a$", 4 }, bcrypt_is_bounded, 53 },       { { "$2b$", 4 }, bcrypt_is_bounded, 53 },
	{ { "$2y$", 4 }, bcrypt_is_bounded, 53 },       { { "$argon2id$", 10 }, argon2_is_bounded, 0 },
};

/* Salted digests: base64 of the digest and the salt behind it. */
struct salted_kind {
	struct str prefix;
	const EVP_MD *(*digest)(void);
};

static const struct salted_kind salted_kinds[] = {
	{ { "{SSHA}", 6 }, EVP_sha1 },
	{ { "{SSHA256}", 9 }, EVP_sha256 },
	{ { "{SSHA512}", 9 }, EVP_sha512 },
};

static const struct salted_kind *salted_kind_of(struct str hash)
{
	for (size_t i = 0; i < COUNT_OF(salted_kinds); i++) {
		if (str_starts(hash, salted_kinds[i].prefix))
			return &salted_kinds[i];
	}
	return NULL;
}

/* The digest of password and salt, against what is stored. */
static bool salted_check(const struct salted_kind *kind, struct str hash, struct str password)
{
	unsigned char made[EVP_MAX_MD_SIZE];
	unsigned length;
	const EVP_MD *digest = kind->digest();
	size_t digest_length = (size_t)EVP_MD_get_size(digest);
	CLEANUP(buf_release) struct buf stored = BUF_WITH_LIMIT(DIRECTORY_HASH_MAX);
	if (!text_base64_decode(&stored, str_from_index(hash, kind->prefix.length)) || stored.length < digest_length)
		return false;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	must(context && EVP_DigestInit_ex(context, digest, NULL) == 1);
	must(EVP_DigestUpdate(context, password.data, password.length) == 1);
	must(EVP_DigestUpdate(context, stored.data + digest_length, stored.length - digest_length) == 1);
	must(EVP_DigestFinal_ex(context, made, &length) == 1);
	EVP_MD_CTX_free(context);
	return mem_equal_secret(made, stored.data, digest_length);
}

static bool salted_is_whole(const struct salted_kind *kind, struct str hash)
{
	CLEANUP(buf_release) struct buf stored = BUF_WITH_LIMIT(DIRECTORY_HASH_MAX);
	return text_base64_decode(&stored, str_from_index(hash, kind->prefix.length)) &&
	       stored.length > (size_t)EVP_MD_get_size(kind->digest());
}

static bool crypt_check(const char *hash, const struct directory_password *password)
{
	struct crypt_data *data = mem_alloc(sizeof *data);
	const char *made = crypt_r(password->text, hash, data);
	size_t length = strlen(hash);
	bool right = made && made[0] == '$' && strlen(made) == length && mem_equal_secret(made, hash, length);
	mem_wipe(data, sizeof *data);
	free(data);
	return right;
}

/* Whether crypt(3) of this system knows the method and the settings are whole. */
static bool crypt_is_whole(const char *hash)
{
	if (is_argon2(hash))
		return crypto_pwhash_str_needs_rehash(hash, 1, crypto_pwhash_MEMLIMIT_MIN) >= 0;
	int answer = crypt_checksalt(hash);
	return answer == CRYPT_SALT_OK || answer == CRYPT_SALT_METHOD_LEGACY;
}

/* One that was cut off in a copy would refuse everybody, and nobody would know why. */
static bool has_digest(struct str hash, size_t length)
{
	size_t digest = 0;
	while (digest < hash.length && hash.data[hash.length - 1 - digest] != '$')
		digest++;
	return length == 0 || digest == length;
}

static bool is_known_hash(struct str hash, const char *text)
{
	const struct salted_kind *salted = salted_kind_of(hash);
	if (salted)
		return salted_is_whole(salted, hash);
	for (size_t i = 0; i < COUNT_OF(crypt_kinds); i++) {
		if (str_starts(hash, crypt_kinds[i].prefix))
			return crypt_kinds[i].is_bounded(hash) && has_digest(hash, crypt_kinds[i].digest_length) &&
			       crypt_is_whole(text);
	}
	return false;
}

/* Takes a scheme name off that only says which crypt(3) method follows. */
static struct str without_scheme(struct str text)
{
	static const struct str names[] = {
		{ "{CRYPT}", 7 },        { "{SHA512-CRYPT}", 14 }, { "{SHA256-CRYPT}", 14 },
		{ "{MD5-CRYPT}", 11 },   { "{BLF-CRYPT}", 11 },    { "{ARGON2ID}", 10 },
	};
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (str_starts_nocase(text, names[i]))
			return str_from_index(text, names[i].length);
	}
	return text;
}

bool directory_credential_import(struct str text, struct directory_credential *credential, struct fail **fail)
{
	struct str hash = without_scheme(str_trim(text));
	memset(credential, 0, sizeof *credential);
	if (hash.length > DIRECTORY_HASH_MAX || !str_is_printable(hash))
		return fail_set(fail, FAIL_INVALID, "the password hash is too long or not text");
	memcpy(credential->hash, hash.data, hash.length);
	for (size_t i = 0; hash.length && hash.data[0] == '{' && i < hash.length && hash.data[i] != '}'; i++)
		credential->hash[i] = char_upper(credential->hash[i]);
	if (is_known_hash(str_of(credential->hash), credential->hash))
		return true;
	return fail_set(fail, FAIL_INVALID,
	                "the password hash is of no known kind, damaged, far too costly to check, or far too easily broken "
	                "(DES, NT); known are crypt(3) hashes ($y$ $gy$ $7$ $6$ $5$ $2b$ $sha1$ $md5 $1$), $argon2id$, and "
	                "{SSHA}, {SSHA256}, {SSHA512}");
}

/* --- checking --- */

static bool hash_fits(const char *hash, const struct directory_password *password)
{
	const struct salted_kind *salted = salted_kind_of(str_of(hash));
	if (salted)
		return salted_check(salted, str_of(hash), str_from(password->text, password->length));
	if (is_argon2(hash))
		return crypto_pwhash_str_verify(hash, password->text, password->length) == 0;
	return crypt_check(hash, password);
}

static bool is_current(const struct directory_credential *credential, const struct directory_credential_cost *cost,
                       unsigned parts)
{
	return is_argon2(credential->hash) && credential->scram_sha256.iterations == cost->scram_iterations &&
	       crypto_pwhash_str_needs_rehash(credential->hash, cost->argon2_operations, cost->argon2_memory) == 0 &&
	       !((parts & DIRECTORY_SCRAM_SHA1) && credential->scram_sha1.iterations == 0) &&
	       !((parts & DIRECTORY_CHALLENGE) && credential->secret.length == 0);
}

/* Another server may have hashed the bytes as its clients sent them. */
static bool raw_fits(const struct directory_credential *credential, struct str typed)
{
	CLEANUP(directory_password_wipe) struct directory_password raw = { .length = typed.length };
	if (is_argon2(credential->hash) && credential->scram_sha256.iterations > 0)
		return false;
	if (typed.length == 0 || typed.length > LIMIT_PASSWORD_MAX || memchr(typed.data, 0, typed.length))
		return false;
	memcpy(raw.text, typed.data, typed.length);
	return hash_fits(credential->hash, &raw);
}

enum directory_check directory_credential_check(const struct directory_credential *credential,
                                                const struct directory_credential_cost *cost, unsigned parts,
                                                struct str typed)
{
	CLEANUP(directory_password_wipe) struct directory_password password;
	if (!directory_password_normalise(typed, &password, NULL))
		return raw_fits(credential, typed) ? DIRECTORY_RIGHT : DIRECTORY_WRONG;
	if (hash_fits(credential->hash, &password))
		return is_current(credential, cost, parts) ? DIRECTORY_RIGHT : DIRECTORY_RIGHT_BUT_OLD;
	if (!str_equal(typed, str_from(password.text, password.length)) && raw_fits(credential, typed))
		return DIRECTORY_RIGHT_BUT_OLD;
	return DIRECTORY_WRONG;
}

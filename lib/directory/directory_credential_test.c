#include "directory_credential.h"

#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const struct directory_credential_cost cheap = { 1, 8192, 4096 };

static struct directory_password password_of(const char *text)
{
	struct directory_password p;
	assert_true(directory_password_normalise(str_of(text), &p, NULL));
	return p;
}

static const struct {
	const char *typed;
	const char *normal; /* NULL: refused */
} passwords[] = {
	{ "correct horse", "correct horse" },
	{ "E\u0301", "\u00c9" },                 /* NFC, RFC 8265 §4.2.2 */
	{ "a\u3000b\u00a0c", "a b c" },          /* spaces of other scripts */
	{ "\uff21", "\uff21" },                  /* width is kept, unlike SASLprep */
	{ "Case", "Case" },
	{ "\U0001f600", "\U0001f600" },
	{ "", NULL },
	{ "tab\there", NULL },
	{ "\x7f", NULL },
	{ "c1\xc2\x85", NULL },
	{ "latin\xe9", NULL },
};

static void passwords_have_one_form(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(passwords); i++) {
		struct directory_password p;
		bool taken = directory_password_normalise(str_of(passwords[i].typed), &p, NULL);
		assert_int_equal(taken, passwords[i].normal != NULL);
		if (passwords[i].normal)
			assert_string_equal(p.text, passwords[i].normal);
	}
}

static void password_length_is_limited(void **state)
{
	(void)state;
	struct directory_password p;
	char text[LIMIT_PASSWORD_MAX + 1];
	memset(text, 'x', sizeof text);
	assert_true(directory_password_normalise(str_from(text, LIMIT_PASSWORD_MAX), &p, NULL));
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(directory_password_normalise(str_from(text, sizeof text), &p, &fail));
	assert_int_equal(fail->kind, FAIL_TOO_BIG);
}

static void policy_counts_characters(void **state)
{
	(void)state;
	struct directory_password p = password_of("\u013eubo\u0161");
	assert_true(directory_password_acceptable(&p, 5, NULL));
	assert_false(directory_password_acceptable(&p, 6, NULL));
}

static void saslprep_is_what_scram_clients_do(void **state)
{
	(void)state;
	struct directory_password prepared;
	struct directory_password p = password_of("I\u00adX\u2168"); /* RFC 4013 §3, examples 1 and 5 */
	directory_password_saslprep(&p, &prepared);
	assert_string_equal(prepared.text, "IXIX");
	p = password_of("\U0001fae0"); /* newer than SASLprep */
	directory_password_saslprep(&p, &prepared);
	assert_string_equal(prepared.text, "\U0001fae0");
}

/* "pencil" in the exchanges of RFC 5802 §5 and RFC 7677 §3. */
static const struct {
	const char *hash;
	const char *salt;
	const char *message; /* AuthMessage */
	const char *proof;
	const char *signature;
} exchanges[] = {
	{ "SHA-1", "QSXCR+Q6sek8bf92",
	  "n=user,r=fyko+d2lbbFgONRv9qkxdawL,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
	  "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
	  "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ=" },
	{ "SHA-256", "W22ZaJ0SNY7soEsUEjb6gQ==",
	  "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	  "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
	  "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" },
};

static void scram_examples_of_the_rfcs(void **state)
{
	(void)state;
	struct directory_password pencil = password_of("pencil");
	for (size_t i = 0; i < COUNT_OF(exchanges); i++) {
		const EVP_MD *digest = i ? EVP_sha256() : EVP_sha1();
		struct directory_scram scram;
		unsigned char client_key[64];
		unsigned char signature[64];
		unsigned char stored[64];
		const unsigned char *message = (const unsigned char *)exchanges[i].message;
		CLEANUP(buf_release) struct buf bytes = BUF_WITH_LIMIT(100);
		assert_true(text_base64_decode(&bytes, str_of(exchanges[i].salt)));
		directory_scram_make(exchanges[i].hash, &pencil, bytes.data, bytes.length, 4096, &scram);
		/* ClientKey = ClientProof xor HMAC(StoredKey, AuthMessage); its hash is StoredKey. */
		HMAC(digest, scram.stored_key, (int)scram.key_length, message, strlen(exchanges[i].message), signature, NULL);
		buf_clear(&bytes);
		assert_true(text_base64_decode(&bytes, str_of(exchanges[i].proof)));
		assert_int_equal(bytes.length, scram.key_length);
		for (size_t n = 0; n < bytes.length; n++)
			client_key[n] = (unsigned char)((unsigned char)bytes.data[n] ^ signature[n]);
		EVP_Digest(client_key, scram.key_length, stored, NULL, digest, NULL);
		assert_memory_equal(stored, scram.stored_key, scram.key_length);
		HMAC(digest, scram.server_key, (int)scram.key_length, message, strlen(exchanges[i].message), signature, NULL);
		buf_clear(&bytes);
		text_base64_encode(&bytes, str_from((const char *)signature, scram.key_length));
		assert_string_equal(buf_text(&bytes), exchanges[i].signature);
	}
}

static void scram_text_round_trip(void **state)
{
	(void)state;
	struct directory_password p = password_of("secret");
	struct directory_scram made;
	struct directory_scram read;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(400);
	directory_scram_make("SHA-256", &p, "0123456789abcdef", 16, 5000, &made);
	directory_scram_write("SHA-256", &made, &text);
	assert_true(str_starts(buf_str(&text), STR("SCRAM-SHA-256$5000:MDEyMzQ1Njc4OWFiY2RlZg==$")));
	assert_true(directory_scram_read("SHA-256", buf_str(&text), &read));
	assert_memory_equal(&made, &read, sizeof made);
	assert_false(directory_scram_read("SHA-1", buf_str(&text), &read));
	for (size_t length = 0; length < text.length; length++)
		assert_false(directory_scram_read("SHA-256", str_first(buf_str(&text), length), &read));
	buf_add_char(&text, 'x');
	assert_false(directory_scram_read("SHA-256", buf_str(&text), &read));
	assert_false(directory_scram_read("SHA-256", STR("SCRAM-SHA-256$99999999999:MDEy$MDEy:MDEy"), &read));
}

static void made_credentials_check(void **state)
{
	(void)state;
	struct directory_password p = password_of("E\u0301t\u00e9 2026");
	struct directory_credential c;
	directory_credential_make(&cheap, &p, 0, &c);
	assert_true(str_starts(str_of(c.hash), STR("$argon2id$v=19$m=8,t=1,p=1$")));
	assert_int_equal(c.scram_sha256.iterations, 4096);
	assert_int_equal(c.scram_sha1.iterations, 0);
	assert_int_equal(c.secret.length, 0);
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("\u00c9t\u00e9 2026")), DIRECTORY_RIGHT);
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("E\u0301te\u0301\u00a02026")), DIRECTORY_RIGHT);
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("\u00e9t\u00e9 2026")), DIRECTORY_WRONG);
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("")), DIRECTORY_WRONG);
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("\xff")), DIRECTORY_WRONG);
}

static void what_is_missing_is_noticed(void **state)
{
	(void)state;
	struct directory_password p = password_of("secret");
	struct directory_credential_cost dearer = { 2, 16384, 4096 };
	struct directory_credential_cost rounds = { 1, 8192, 8192 };
	struct directory_credential c;
	directory_credential_make(&cheap, &p, 0, &c);
	assert_int_equal(directory_credential_check(&c, &dearer, 0, STR("secret")), DIRECTORY_RIGHT_BUT_OLD);
	assert_int_equal(directory_credential_check(&c, &rounds, 0, STR("secret")), DIRECTORY_RIGHT_BUT_OLD);
	assert_int_equal(directory_credential_check(&c, &cheap, DIRECTORY_SCRAM_SHA1, STR("secret")),
	                 DIRECTORY_RIGHT_BUT_OLD);
	assert_int_equal(directory_credential_check(&c, &cheap, DIRECTORY_CHALLENGE, STR("secret")),
	                 DIRECTORY_RIGHT_BUT_OLD);
	directory_credential_make(&cheap, &p, DIRECTORY_SCRAM_SHA1 | DIRECTORY_CHALLENGE, &c);
	assert_int_equal(directory_credential_check(&c, &cheap, DIRECTORY_SCRAM_SHA1 | DIRECTORY_CHALLENGE, STR("secret")),
	                 DIRECTORY_RIGHT);
	assert_string_equal(c.secret.text, "secret");
	assert_int_equal(c.scram_sha1.key_length, 20);
}

static void two_credentials_of_one_password_differ(void **state)
{
	(void)state;
	struct directory_password p = password_of("secret");
	struct directory_credential one;
	struct directory_credential two;
	directory_credential_make(&cheap, &p, 0, &one);
	directory_credential_make(&cheap, &p, 0, &two);
	assert_string_not_equal(one.hash, two.hash);
	assert_memory_not_equal(one.scram_sha256.salt, two.scram_sha256.salt, DIRECTORY_SCRAM_SALT);
}

static void a_decoy_fits_nothing(void **state)
{
	(void)state;
	struct directory_credential c;
	directory_credential_decoy(&cheap, &c);
	assert_true(str_starts(str_of(c.hash), STR("$argon2id$")));
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("secret")), DIRECTORY_WRONG);
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("")), DIRECTORY_WRONG);
}

/* All of the password "secret", made by other programs. */
static const char *const foreign[] = {
	"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$GmcwIgvdUC9qLWcKCi6gklUa1dM3ziD43YxYNURLKy0",
	"$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz.",
	"$5$rounds=5000$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.",
	"$1$saltsalt$9xy1btjgzLYfb7hivXtC//",
	"$gy$j75$n34PoBLMgFrQVl4Rn34PoBLMgF5$j0YGnTlGhTIqrABCTQ00JIGO9AyaXdbYxTsv6NC3cKB",
	"$7$BU..../....n34PoBLMgFrQVl4Rn34PoBLMgF5$tUckd4OEKUJtcOG7i/c3Uat6yWFa7PjiHCznaj8mbh3",
	"$sha1$859$g3qQVB5RnF5PolKMg3qQ$3M9mC6OowceTjnI9Ph9ccXxs6f1Q",
	"$md5,rounds=62305$gFrQVl4R$$vqGiPJ5rV9uDDbElpSY9r0",
	"$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
	"$2a$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
	"$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
	"{CRYPT}$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz.",
	("{SHA512-CRYPT}"
	 "$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz."),
	"{sha256-crypt}$5$rounds=5000$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.",
	"{MD5-CRYPT}$1$saltsalt$9xy1btjgzLYfb7hivXtC//",
	"{BLF-CRYPT}$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a",
	"{SSHA}1G904nLkTkGWjKNnQuB/hpWXC/hzYWx0c2FsdA==",
	"{ssha256}oBmrdHcA6OZEkkCLeXh71YAerbvhXz1qqwjrPsXmEtNzYWx0c2FsdA==",
	"{SSHA512}aCu7JRc+kLsuEmFs1zTY+AiP7DSGnjjG+dH28Dp+E5usqoAixeTPihKqZmkWal4mUfp63tqvCAkFV1LKTDFH6XNhbHRzYWx0",
	"$argon2id$v=19$m=64,t=1,p=1$5ZY9jDaMKmCFS3YnzfSvRw$4seNdB5GGpqx9Nf0vqgNUn/KOR9GI8Jp8CfvdN9zimg",
	"{ARGON2ID}$argon2id$v=19$m=64,t=1,p=1$5ZY9jDaMKmCFS3YnzfSvRw$4seNdB5GGpqx9Nf0vqgNUn/KOR9GI8Jp8CfvdN9zimg",
	"  $6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz.\n",
};

static void foreign_hashes_check_and_are_old(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(foreign); i++) {
		struct directory_credential c;
		CLEANUP(fail_free) struct fail *fail = NULL;
		if (!directory_credential_import(str_of(foreign[i]), &c, &fail))
			fail_msg("%s: %s", foreign[i], fail_text(fail));
		if (directory_credential_check(&c, &cheap, 0, STR("secret")) != DIRECTORY_RIGHT_BUT_OLD)
			fail_msg("%s does not take its password", foreign[i]);
		if (directory_credential_check(&c, &cheap, 0, STR("Secret")) != DIRECTORY_WRONG)
			fail_msg("%s takes another password", foreign[i]);
	}
}

static void a_foreign_hash_may_be_of_other_bytes(void **state)
{
	(void)state;
	struct directory_credential c;
	/* "caf\xe9" in Latin-1, and "cafe\u0301" that nobody had normalised. */
	static const char latin[] = "$5$saltstring$ZaV90x8rqaPqooI/X5cHToCh0gmH8Tqy001GNk5Bd/D";
	static const char apart[] = "$5$saltstring$KwZohzqQ8NxI3nc6qRQ4TBW2qNoVCWcgdIpg24XfV43";
	assert_true(directory_credential_import(str_of(latin), &c, NULL));
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("caf\xe9")), DIRECTORY_RIGHT);
	assert_true(directory_credential_import(str_of(apart), &c, NULL));
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("cafe\u0301")), DIRECTORY_RIGHT_BUT_OLD);
	assert_int_equal(directory_credential_check(&c, &cheap, 0, STR("caf\u00e9")), DIRECTORY_WRONG);
}

static const char *const refused[] = {
	"",
	"secret",
	"{PLAIN}secret",
	"{CRYPT}secret",
	"{SSHA}",
	"{SSHA}not base64!",
	"{SSHA}c2hvcnQ=",
	"{NTLM}00112233",
	"*",
	"!",
	"x",
	"$9$unknown$kind",
	"ab01FAX.bQRSU", /* DES: breakable in minutes */
	"$6$rounds=999999999$saltsalt$abc",
	"$5$rounds=99999999999999999999999$saltsalt$abc",
	"$2b$31$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
	"$2b$xx$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
	"$y$jZT$abcdefgh$abcdefgh",
	"$y$",
	"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$GmcwIgvdUC9qLWcKCi6gklUa1dM3ziD43YxYNURLKy", /* cut off */
	"$6$",
	"$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz",
	"$gy$jZ5$n34PoBLMgFrQVl4Rn34PoBLMgF5$j0YGnTlGhTIqrABCTQ00JIGO9AyaXdbYxTsv6NC3cKB",
	"$7$ZU..../....n34PoBLMgFrQVl4Rn34PoBLMgF5$tUckd4OEKUJtcOG7i/c3Uat6yWFa7PjiHCznaj8mbh3",
	"$7$Bz..../....n34PoBLMgFrQVl4Rn34PoBLMgF5$tUckd4OEKUJtcOG7i/c3Uat6yWFa7PjiHCznaj8mbh3",
	"$sha1$99999999$g3qQVB5RnF5PolKMg3qQ$3M9mC6OowceTjnI9Ph9ccXxs6f1Q",
	"$md5,rounds=99999999$gFrQVl4R$$vqGiPJ5rV9uDDbElpSY9r0",
	"$3$$878d8014606cda29677a44efa1353fc7", /* NT: likewise */
	"_J9..n34PJHleams6SX.",
	"$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHRzb21l$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
	"$argon2id$v=19$m=65536,t=99,p=1$c29tZXNhbHRzb21l$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
	"$argon2id$v=19$t=3$c29tZXNhbHRzb21l$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",
};

static void other_hashes_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		struct directory_credential c;
		CLEANUP(fail_free) struct fail *fail = NULL;
		if (directory_credential_import(str_of(refused[i]), &c, &fail))
			fail_msg("%s was taken", refused[i]);
		assert_int_equal(fail->kind, FAIL_INVALID);
	}
}

static int init(void **state)
{
	(void)state;
	directory_credential_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(passwords_have_one_form),
		cmocka_unit_test(password_length_is_limited),
		cmocka_unit_test(policy_counts_characters),
		cmocka_unit_test(saslprep_is_what_scram_clients_do),
		cmocka_unit_test(scram_examples_of_the_rfcs),
		cmocka_unit_test(scram_text_round_trip),
		cmocka_unit_test(made_credentials_check),
		cmocka_unit_test(what_is_missing_is_noticed),
		cmocka_unit_test(two_credentials_of_one_password_differ),
		cmocka_unit_test(a_decoy_fits_nothing),
		cmocka_unit_test(foreign_hashes_check_and_are_old),
		cmocka_unit_test(a_foreign_hash_may_be_of_other_bytes),
		cmocka_unit_test(other_hashes_are_refused),
	};
	return cmocka_run_group_tests(tests, init, NULL);
}

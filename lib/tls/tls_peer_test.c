/* What becomes of a server's certificate: taken from anybody, judged, trusted by an authority, or by records of DANE. */
#include "tls_test_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* What nobody vouches for is good enough where nothing is verified. */
static void opportunistic_takes_any_certificate(void **state)
{
	(void)state;
	const struct test_certificate *const certificates[] = { &plain, &expired, &nameless };
	CLEANUP(tls_client_cleanup) struct tls_client *client = tls_client_new_from(TLS_MINIMUM_1_2, STR(""), NULL);
	for (size_t i = 0; i < COUNT_OF(certificates); i++) {
		CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(certificates[i]);
		static const char *const hosts[] = { "other.example", "192.0.2.1", "no name at all" };
		struct pair p = {};
		struct tls_facts facts;
		open_sockets(&p);
		p.ends[0] = tls_connect_unverified(client, p.fds[0], hosts[i]);
		p.ends[1] = tls_accept(server, p.fds[1]);
		must_shake_hands(&p);
		tls_get_facts(p.ends[1], &facts);
		assert_string_equal(facts.server_name, i == 0 ? "other.example" : "");
		close_pair(&p);
	}
}

/* Nothing is refused, and what is wrong is known. */
static void observed_certificates_are_judged(void **state)
{
	(void)state;
	const struct {
		const struct test_certificate *certificate;
		const char *host;
		enum tls_problem problem;
	} cases[] = { { &plain, "mail.example.org", TLS_PROBLEM_NONE }, { &plain, "other.example.org", TLS_PROBLEM_NAME },
		          { &expired, "mail.example.org", TLS_PROBLEM_EXPIRED } };
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	CLEANUP(tls_client_cleanup) struct tls_client *trusts_nobody = tls_client_new_from(TLS_MINIMUM_1_2, STR(""), NULL);
	for (size_t i = 0; i <= COUNT_OF(cases); i++) {
		bool last = i == COUNT_OF(cases);
		CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(last ? &plain : cases[i].certificate);
		struct pair p = {};
		open_sockets(&p);
		p.ends[0] = tls_connect_observed(last ? trusts_nobody : client, p.fds[0],
		                                 last ? "mail.example.org" : cases[i].host, NULL);
		p.ends[1] = tls_accept(server, p.fds[1]);
		must_shake_hands(&p);
		assert_int_equal(tls_certificate_problem(p.ends[0]), last ? TLS_PROBLEM_UNTRUSTED : cases[i].problem);
		close_pair(&p);
	}
}

static void authorities_may_come_from_memory(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(TLS_AUTHORITIES_MAX);
	assert_true(tls_read_authorities(authority.file, &text, NULL));
	CLEANUP(tls_client_cleanup) struct tls_client *client = tls_client_new_from(TLS_MINIMUM_1_2, buf_str(&text), NULL);
	CLEANUP(tls_client_cleanup) struct tls_client *trusts_nobody = tls_client_new_from(TLS_MINIMUM_1_2, STR(""), NULL);
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	struct pair p;
	open_pair(&p, server, client, "mail.example.org");
	must_shake_hands(&p);
	close_pair(&p);
	open_pair(&p, server, client, "other.example.org");
	assert_false(shake_hands(&p));
	assert_int_equal(tls_certificate_problem(p.ends[0]), TLS_PROBLEM_NAME);
	close_pair(&p);
	open_pair(&p, server, trusts_nobody, "mail.example.org");
	assert_false(shake_hands(&p));
	assert_int_equal(tls_certificate_problem(p.ends[0]), TLS_PROBLEM_UNTRUSTED);
	close_pair(&p);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_null(tls_client_new_from(TLS_MINIMUM_1_2, STR("no certificate"), &fail));
	assert_non_null(fail);
	assert_false(tls_read_authorities("/dev/null/none.pem", &text, NULL));
}

/* SHA-256 of the certificate or of its key, as TLSA records have it. */
static struct tls_tlsa record_of(const char *pem, uint8_t usage, uint8_t selector, unsigned char digest[32])
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	unsigned char *der = NULL;
	int length = selector ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der) : i2d_X509(certificate, &der);
	assert_true(length > 0 && EVP_Digest(der, (size_t)length, digest, NULL, EVP_sha256(), NULL) == 1);
	OPENSSL_free(der);
	X509_free(certificate);
	BIO_free(bio);
	return (struct tls_tlsa){ usage, selector, 1, str_from((const char *)digest, 32) };
}

static void dane_decides_by_records(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf root = BUF_WITH_LIMIT(TLS_AUTHORITIES_MAX), chain = BUF_WITH_LIMIT(TLS_AUTHORITIES_MAX);
	assert_true(tls_read_authorities(authority.file, &root, NULL));
	const struct {
		const struct test_certificate *server, *named; /* named NULL: the authority */
		uint8_t usage, selector;
		const char *host, *name;
		bool accepted;
		enum tls_problem problem;
	} cases[] = {
		{ &plain, &plain, 3, 1, "mail.example.org", "", true, TLS_PROBLEM_NONE },
		{ &plain, &plain, 3, 0, "mail.example.org", "", true, TLS_PROBLEM_NONE },
		{ &expired, &expired, 3, 1, "strange.example", "", true, TLS_PROBLEM_NONE }, /* RFC 7672 §3.1.1 */
		{ &plain, &wildcard, 3, 1, "mail.example.org", "", false, TLS_PROBLEM_UNTRUSTED },
		{ &plain, NULL, 2, 0, "mail.example.org", "", true, TLS_PROBLEM_NONE },
		{ &plain, NULL, 2, 1, "strange.example", "mail.example.org", true, TLS_PROBLEM_NONE },
		{ &plain, NULL, 2, 1, "strange.example", "stranger.example", false, TLS_PROBLEM_NAME },
		{ &expired, NULL, 2, 1, "mail.example.org", "", false, TLS_PROBLEM_EXPIRED },
	};
	CLEANUP(tls_client_cleanup) struct tls_client *client = tls_client_new_from(TLS_MINIMUM_1_2, STR(""), NULL);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned char digest[32];
		buf_clear(&chain);
		buf_printf(&chain, "%s%s", cases[i].server->chain, buf_text(&root));
		struct test_certificate sent = { .chain = (char *)buf_text(&chain), .key = cases[i].server->key };
		CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&sent);
		struct tls_tlsa records[] = { { 1, 1, 1, STR("0123456789abcdef0123456789abcdef") },
			                          record_of(cases[i].named ? cases[i].named->chain : buf_text(&root),
			                                    cases[i].usage, cases[i].selector, digest) };
		struct pair p = {};
		open_sockets(&p);
		p.ends[0] = tls_connect_dane(client, p.fds[0], cases[i].host, &cases[i].name, 1, records, COUNT_OF(records),
		                             NULL);
		p.ends[1] = tls_accept(server, p.fds[1]);
		assert_int_equal(shake_hands(&p), cases[i].accepted);
		assert_int_equal(tls_certificate_problem(p.ends[0]), cases[i].problem);
		close_pair(&p);
	}
}

static void dane_knows_what_is_usable(void **state)
{
	(void)state;
	const struct {
		struct tls_tlsa record;
		bool usable;
	} cases[] = {
		{ { 3, 1, 1, STR("0123456789abcdef0123456789abcdef") }, true }, { { 2, 0, 1, STR("0123456789abcdef0123456789abcdef") }, true },
		{ { 3, 1, 2, STR("0123456789abcdef0123456789abcdef") }, false }, { { 0, 1, 1, STR("0123456789abcdef0123456789abcdef") }, false },
		{ { 1, 1, 1, STR("0123456789abcdef0123456789abcdef") }, false }, { { 3, 2, 1, STR("0123456789abcdef0123456789abcdef") }, false },
		{ { 3, 1, 3, STR("0123456789abcdef0123456789abcdef") }, false }, { { 3, 1, 0, STR("") }, false }, { { 3, 1, 0, STR("x") }, true },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(tls_tlsa_is_usable(&cases[i].record), cases[i].usable);
	CLEANUP(tls_client_cleanup) struct tls_client *client = tls_client_new_from(TLS_MINIMUM_1_2, STR(""), NULL);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_null(tls_connect_dane(client, -1, "mail.example.org", NULL, 0, &cases[8].record, 1, &fail));
	assert_string_equal(fail_text(fail), "no TLSA record can be used");
	assert_null(tls_connect_dane(client, -1, "192.0.2.1", NULL, 0, &cases[0].record, 1, &fail));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opportunistic_takes_any_certificate),
		cmocka_unit_test(authorities_may_come_from_memory),
		cmocka_unit_test(observed_certificates_are_judged),
		cmocka_unit_test(dane_decides_by_records),
		cmocka_unit_test(dane_knows_what_is_usable),
	};
	return cmocka_run_group_tests(tests, tls_kit_setup, tls_kit_teardown);
}

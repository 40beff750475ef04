#include "tls_internal.h"
#include "tls_test_kit.h"

#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/x509v3.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* TLS 1.3 clients are done before the server has seen them; the first read tells. */
static void read_refusal(struct tls_connection *end)
{
	char byte;
	size_t got;
	assert_int_equal(tls_read(end, &byte, 1, &got), TLS_FAILED);
}

static void send_text(struct pair *p, int from, const char *text)
{
	char room[200] = "";
	size_t written, got;
	assert_int_equal(tls_write(p->ends[from], text, strlen(text), &written), TLS_DONE);
	assert_int_equal(written, strlen(text));
	assert_int_equal(tls_read(p->ends[!from], room, sizeof room - 1, &got), TLS_DONE);
	assert_string_equal(room, text);
}

/* A handshake and some bytes where opening a file kills; 0 when all went well. */
static int serve_in_sandbox(bool open_too)
{
	struct tls_server *server = server_with(&plain);
	struct tls_client *client = new_client();
	struct pair p;
	open_pair(&p, server, client, "mail.example.org");
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	bool loaded = filter && seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(openat), 0) == 0 &&
	              seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(open), 0) == 0 && seccomp_load(filter) == 0;
	if (!loaded || (open_too && open("/dev/null", O_RDONLY) >= 0))
		return 1;
	bool served = shake_hands(&p);
	size_t done;
	served = served && tls_write(p.ends[0], "x", 1, &done) == TLS_DONE;
	served = served && send(p.fds[0], "garbage", 7, 0) == 7;
	char room[100];
	served = served && tls_read(p.ends[1], room, sizeof room, &done) == TLS_DONE;
	served = served && tls_read(p.ends[1], room, sizeof room, &done) == TLS_FAILED && tls_failure(p.ends[1])[0];
	return served ? 0 : 2;
}

static int status_in_sandbox(bool open_too)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(serve_in_sandbox(open_too));
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void nothing_is_opened_after_the_sandbox(void **state)
{
	(void)state;
	int status = status_in_sandbox(false);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	status = status_in_sandbox(true);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void certificates_are_chosen_by_name(void **state)
{
	(void)state;
	static const struct {
		const char *host, *chosen;
		bool accepted;
	} cases[] = {
		{ "mail.example.org", "plain", true },
		{ "MAIL.Example.ORG.", "plain", true },
		{ "mx.example.org", "plain", true },
		{ "other.example.org", "wildcard", true },
		{ "mail.example.net", "wildcard", true },
		{ "xn--bcher-kva.example.net", "wildcard", true },
		{ "a.b.example.net", "plain", false },
		{ "example.net", "plain", false },
		{ "xn--mller-kva.example", "international", true },
		{ "nameless.example.com", "nameless.example.com", false },
		{ "unknown", "plain", false },
		{ "127.0.0.1", "plain", false },
	};
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	add_certificate(server, &wildcard);
	add_certificate(server, &international);
	add_certificate(server, &nameless);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pair p;
		char chosen[64] = "";
		open_pair(&p, server, client, cases[i].host);
		assert_int_equal(shake_hands(&p), cases[i].accepted);
		if (!cases[i].accepted)
			assert_string_equal(tls_failure(p.ends[0]), "the certificate is for another name");
		X509 *used = SSL_get_certificate(tls_connection_ssl(p.ends[1]));
		X509_NAME_get_text_by_NID(X509_get_subject_name(used), NID_commonName, chosen, sizeof chosen);
		assert_string_equal(chosen, cases[i].chosen);
		close_pair(&p);
	}
}

static void addresses_are_checked_too(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		bool accepted;
	} cases[] = { { "127.0.0.1", true }, { "::1", true }, { "127.0.0.2", false }, { "address", false } };
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&address);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pair p;
		open_pair(&p, server, client, cases[i].host);
		assert_int_equal(shake_hands(&p), cases[i].accepted);
		close_pair(&p);
	}
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_null(tls_connect(client, -1, "not a name", &fail));
	assert_non_null(fail);
}

static void bad_certificates_are_explained(void **state)
{
	(void)state;
	const struct {
		const struct test_certificate *certificate;
		const char *client_says, *server_says;
	} cases[] = {
		{ &expired, "the certificate has expired", "the client says that the certificate has expired" },
		{ &early, "the certificate is not valid yet", "the client does not accept the certificate" },
		{ &for_clients, "the certificate was made for another purpose", "the client does not accept the certificate" },
	};
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(cases[i].certificate);
		struct pair p;
		open_pair(&p, server, client, "mail.example.org");
		assert_false(shake_hands(&p));
		assert_string_equal(tls_failure(p.ends[0]), cases[i].client_says);
		assert_string_equal(tls_failure(p.ends[1]), cases[i].server_says);
		close_pair(&p);
	}
}

static void strange_authorities_are_not_trusted(void **state)
{
	(void)state;
	static const char *const cases[][3] = {
		{ "Stranger", "the certificate's authority is not trusted, or an intermediate certificate is missing",
		  "the client does not trust the certificate's authority" },
		{ "Test Authority", "the certificate is not signed by the trusted authority of that name",
		  "the peer's TLS found an error in what it got" },
	};
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct test_authority stranger;
		test_authority_init(&stranger, cases[i][0]);
		struct test_certificate forged = test_certificate_sign(&stranger, "forged", "DNS:mail.example.org", -1, 5);
		CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&forged);
		struct pair p;
		open_pair(&p, server, client, "mail.example.org");
		assert_false(shake_hands(&p));
		assert_string_equal(tls_failure(p.ends[0]), cases[i][1]);
		assert_string_equal(tls_failure(p.ends[1]), cases[i][2]);
		close_pair(&p);
		test_certificate_release(&forged);
		test_authority_release(&stranger);
	}
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_null(tls_client_new(TLS_MINIMUM_1_2, "/dev/null/none.pem", &fail));
	assert_non_null(strstr(fail_text(fail), "/dev/null/none.pem"));
}

static void unusable_keys_are_explained(void **state)
{
	(void)state;
	CLEANUP(mem_free) char *broken =
		mem_printf("%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", plain.chain);
	static const char encrypted[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
	const struct {
		const char *chain, *key, *complaint;
	} cases[] = {
		{ plain.chain, wildcard.key, "key: the key does not belong to the certificate" },
		{ plain.chain, "", "key: " },
		{ plain.chain, encrypted, "key: " },
		{ plain.chain, plain.chain, "key: " },
		{ "", plain.key, "certificate: there is no such PEM block in it" },
		{ plain.key, plain.key, "certificate: there is no such PEM block in it" },
		{ broken, plain.key, "certificate chain: " },
	};
	CLEANUP(tls_server_cleanup) struct tls_server *server = tls_server_new(TLS_MINIMUM_1_2);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		assert_false(tls_server_add(server, str_of(cases[i].chain), str_of(cases[i].key), &fail));
		if (!str_starts(str_of(fail_text(fail)), str_of(cases[i].complaint)))
			fail_msg("case %zu: %s", i, fail_text(fail));
	}
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	struct pair p;
	open_pair(&p, server, client, "mail.example.org");
	assert_false(shake_hands(&p));
	assert_string_equal(tls_failure(p.ends[1]), "no certificate, or none of a kind that the peer knows");
	close_pair(&p);
	add_certificate(server, &plain);
	open_pair(&p, server, client, "mail.example.org");
	must_shake_hands(&p);
	close_pair(&p);
}

static void versions_have_a_floor(void **state)
{
	(void)state;
	static const struct {
		enum tls_minimum minimum;
		int spoken;
		const char *version;
	} cases[] = {
		{ TLS_MINIMUM_1_2, TLS1_VERSION, NULL },     { TLS_MINIMUM_1_2, TLS1_1_VERSION, NULL },
		{ TLS_MINIMUM_1_2, TLS1_2_VERSION, "TLSv1.2" }, { TLS_MINIMUM_1_2, TLS1_3_VERSION, "TLSv1.3" },
		{ TLS_MINIMUM_1_3, TLS1_2_VERSION, NULL },   { TLS_MINIMUM_1_3, TLS1_3_VERSION, "TLSv1.3" },
	};
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(tls_server_cleanup) struct tls_server *server = tls_server_new(cases[i].minimum);
		add_certificate(server, &plain);
		struct pair p;
		struct tls_facts facts;
		open_pair(&p, server, client, "mail.example.org");
		SSL *ssl = tls_connection_ssl(p.ends[0]);
		SSL_set_security_level(ssl, 0);
		assert_true(SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0"));
		assert_true(SSL_set_min_proto_version(ssl, cases[i].spoken) && SSL_set_max_proto_version(ssl, cases[i].spoken));
		assert_int_equal(shake_hands(&p), cases[i].version != NULL);
		tls_get_facts(p.ends[1], &facts);
		if (cases[i].version)
			assert_string_equal(facts.version, cases[i].version);
		else
			assert_string_equal(tls_failure(p.ends[1]), "the peer knows only versions of TLS that are too old");
		close_pair(&p);
	}
}

/* Only what has forward secrecy is agreed on. */
static void weak_ciphers_are_refused(void **state)
{
	(void)state;
	static const char *const weak[] = { "AES128-SHA", "AES256-GCM-SHA384", "AECDH-AES128-SHA", "NULL-SHA256" };
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	for (size_t i = 0; i < COUNT_OF(weak); i++) {
		struct pair p;
		open_pair(&p, server, client, "mail.example.org");
		SSL *ssl = tls_connection_ssl(p.ends[0]);
		SSL_set_security_level(ssl, 0);
		assert_true(SSL_set_max_proto_version(ssl, TLS1_2_VERSION) && SSL_set_cipher_list(ssl, weak[i]));
		assert_false(shake_hands(&p));
		assert_string_equal(tls_failure(p.ends[1]), "no cipher in common, or no certificate");
		close_pair(&p);
	}
}

static void both_ends_see_the_same_facts(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	unsigned char last[32] = {};
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct pair p;
		struct tls_facts facts[2];
		open_pair(&p, server, client, "MAIL.example.org");
		SSL_set_max_proto_version(tls_connection_ssl(p.ends[0]), version);
		must_shake_hands(&p);
		tls_get_facts(p.ends[0], &facts[0]);
		tls_get_facts(p.ends[1], &facts[1]);
		assert_true(facts[0].has_binding && facts[1].has_binding);
		assert_memory_equal(facts[0].binding, facts[1].binding, 32);
		assert_memory_not_equal(facts[0].binding, last, 32);
		memcpy(last, facts[0].binding, 32);
		assert_string_equal(facts[0].cipher, facts[1].cipher);
		assert_true(facts[1].bits >= 128);
		assert_string_equal(facts[1].server_name, "mail.example.org");
		close_pair(&p);
	}
}

static void a_certificate_is_described(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	struct pair p;
	struct tls_certificate certificate;
	open_pair(&p, server, client, "mail.example.org");
	must_shake_hands(&p);
	assert_false(tls_get_certificate(p.ends[1], &certificate));
	assert_true(tls_get_certificate(p.ends[0], &certificate));
	assert_true(str_starts(str_of(certificate.subject), STR("CN=")));
	assert_true(str_starts(str_of(certificate.issuer), STR("CN=")));
	assert_string_not_equal(certificate.subject, certificate.issuer);
	assert_int_equal(strlen(certificate.sha256), 64);
	assert_in_range(certificate.valid_until, time(NULL), time(NULL) + 100ll * 366 * 86400);
	close_pair(&p);
}

/* RFC 9266 §2: without extended master secret there is no binding in TLS 1.2. */
static void no_binding_without_unique_secret(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	struct pair p;
	struct tls_facts facts;
	open_pair(&p, server, client, "mail.example.org");
	SSL *ssl = tls_connection_ssl(p.ends[0]);
	SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
	SSL_set_options(ssl, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	must_shake_hands(&p);
	tls_get_facts(p.ends[1], &facts);
	assert_false(facts.has_binding);
	close_pair(&p);
}

static void nothing_is_resumed_or_sent_early(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct pair p;
		open_pair(&p, server, client, "mail.example.org");
		SSL *ssl = tls_connection_ssl(p.ends[0]);
		SSL_clear_options(ssl, SSL_OP_NO_TICKET);
		SSL_set_max_proto_version(ssl, version);
		must_shake_hands(&p);
		send_text(&p, 1, "what would come behind tickets");
		assert_false(SSL_SESSION_is_resumable(SSL_get_session(ssl)));
		assert_false(SSL_SESSION_has_ticket(SSL_get_session(ssl)));
		assert_int_equal(SSL_SESSION_get_max_early_data(SSL_get_session(ssl)), 0);
		assert_int_equal(SSL_get_max_early_data(tls_connection_ssl(p.ends[1])), 0);
		assert_null(SSL_get_current_compression(ssl));
		close_pair(&p);
	}
}

static void renegotiation_is_refused(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	struct pair p;
	char byte;
	size_t got;
	open_pair(&p, server, client, "mail.example.org");
	SSL *ssl = tls_connection_ssl(p.ends[0]);
	SSL_clear_options(ssl, SSL_OP_NO_RENEGOTIATION);
	SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
	must_shake_hands(&p);
	assert_int_equal(SSL_renegotiate(ssl), 1);
	assert_int_equal(tls_handshake(p.ends[0]), TLS_WANT_READ);
	assert_int_equal(tls_read(p.ends[1], &byte, 1, &got), TLS_WANT_READ);
	assert_int_equal(tls_handshake(p.ends[0]), TLS_FAILED);
	assert_non_null(strstr(tls_failure(p.ends[0]), "no renegotiation"));
	close_pair(&p);
}

static void garbage_is_explained(void **state)
{
	(void)state;
	static const struct {
		const char *sent, *complaint;
	} cases[] = {
		{ "GET / HTTP/1.0\r\n\r\n", "the peer speaks HTTP" },
		{ "EHLO mail.example.org\r\n", "the peer does not speak TLS here" },
		{ "\x16\x03\x01\xff\xff\x01\x02\x03\x04", "" },
		{ "\x80\x2e\x01\x03\x01\x01\x01", "" },
	};
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pair p = {};
		open_sockets(&p);
		p.ends[1] = tls_accept(server, p.fds[1]);
		assert_true(send(p.fds[0], cases[i].sent, strlen(cases[i].sent), 0) > 0);
		shutdown(p.fds[0], SHUT_WR);
		assert_int_equal(tls_handshake(p.ends[1]), TLS_FAILED);
		assert_true(tls_failure(p.ends[1])[0]);
		if (cases[i].complaint[0])
			assert_string_equal(tls_failure(p.ends[1]), cases[i].complaint);
		assert_int_equal(tls_handshake(p.ends[1]), TLS_FAILED);
		assert_int_equal(tls_shutdown(p.ends[1]), TLS_FAILED);
		close_pair(&p);
	}
}

static void a_cut_is_told_from_a_good_bye(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	static const char cut[] = "the peer cut the connection without ending TLS";
	struct pair p;
	char byte;
	size_t got;

	open_pair(&p, server, client, "mail.example.org");
	assert_int_equal(tls_handshake(p.ends[0]), TLS_WANT_READ);
	shutdown(p.fds[0], SHUT_WR);
	assert_int_equal(tls_handshake(p.ends[1]), TLS_FAILED);
	assert_string_equal(tls_failure(p.ends[1]), cut);
	close_pair(&p);

	open_pair(&p, server, client, "mail.example.org");
	must_shake_hands(&p);
	shutdown(p.fds[0], SHUT_WR);
	read_refusal(p.ends[1]);
	assert_string_equal(tls_failure(p.ends[1]), cut);
	close_pair(&p);

	open_pair(&p, server, client, "mail.example.org");
	must_shake_hands(&p);
	assert_int_equal(tls_shutdown(p.ends[0]), TLS_DONE);
	assert_int_equal(tls_shutdown(p.ends[0]), TLS_DONE);
	assert_int_equal(tls_read(p.ends[1], &byte, 1, &got), TLS_CLOSED);
	assert_int_equal(tls_write(p.ends[1], "still heard", 11, &got), TLS_DONE);
	assert_int_equal(tls_shutdown(p.ends[1]), TLS_DONE);
	close_pair(&p);
}

/* The other end is gone: no signal, a failure in words, and it stays. */
static void writing_to_nobody_fails_quietly(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	struct pair p;
	size_t written;
	open_pair(&p, server, client, "mail.example.org");
	must_shake_hands(&p);
	close(p.fds[0]);
	p.fds[0] = -1;
	assert_int_equal(tls_write(p.ends[1], "x", 1, &written), TLS_FAILED);
	assert_string_equal(tls_failure(p.ends[1]), "Broken pipe");
	assert_int_equal(tls_write(p.ends[1], "x", 1, &written), TLS_FAILED);
	close_pair(&p);
}

/* A megabyte each way through full sockets, in reads of odd sizes. */
static void much_goes_through_small_buffers(void **state)
{
	(void)state;
	enum { TOTAL = 1 << 20 };
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	struct pair p;
	open_pair(&p, server, client, "mail.example.org");
	must_shake_hands(&p);
	for (int from = 0; from < 2; from++) {
		CLEANUP(mem_free) unsigned char *sent = mem_alloc(TOTAL), *received = mem_alloc(TOTAL);
		size_t out = 0, in = 0, done;
		bool waited = false;
		for (size_t i = 0; i < TOTAL; i++)
			sent[i] = (unsigned char)(i * 31 + i / 251);
		while (in < TOTAL) {
			while (out < TOTAL && tls_write(p.ends[from], sent + out, TOTAL - out, &done) == TLS_DONE)
				out += done;
			waited = waited || out < TOTAL;
			size_t before = in;
			while (in < TOTAL &&
			       tls_read(p.ends[!from], received + in, TOTAL - in < 1009 ? TOTAL - in : 1009, &done) == TLS_DONE)
				in += done;
			assert_true(in > before);
		}
		assert_true(waited);
		assert_memory_equal(sent, received, TOTAL);
	}
	close_pair(&p);
}

/* What was read ahead counts as buffered once it is a whole record, and asking never waits. */
static void buffered_sees_what_was_read_ahead(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	struct pair p;
	char room[100];
	size_t done;
	open_pair(&p, server, client, "mail.example.org");
	must_shake_hands(&p);
	assert_int_equal(tls_buffered(p.ends[1]), 0);
	assert_int_equal(tls_write(p.ends[0], "first", 5, &done), TLS_DONE);
	assert_int_equal(tls_write(p.ends[0], "second!", 7, &done), TLS_DONE);
	assert_int_equal(tls_read(p.ends[1], room, 2, &done), TLS_DONE);
	assert_int_equal(tls_buffered(p.ends[1]), 3);
	assert_int_equal(tls_read(p.ends[1], room, sizeof room, &done), TLS_DONE);
	assert_int_equal(done, 3);
	assert_int_equal(tls_buffered(p.ends[1]), 7);
	assert_int_equal(tls_read(p.ends[1], room, sizeof room, &done), TLS_DONE);
	assert_int_equal(tls_buffered(p.ends[1]), 0);
	assert_int_equal(tls_read(p.ends[1], room, sizeof room, &done), TLS_WANT_READ);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_opened_after_the_sandbox),
		cmocka_unit_test(certificates_are_chosen_by_name),
		cmocka_unit_test(addresses_are_checked_too),
		cmocka_unit_test(bad_certificates_are_explained),
		cmocka_unit_test(strange_authorities_are_not_trusted),
		cmocka_unit_test(unusable_keys_are_explained),
		cmocka_unit_test(versions_have_a_floor),
		cmocka_unit_test(weak_ciphers_are_refused),
		cmocka_unit_test(both_ends_see_the_same_facts),
		cmocka_unit_test(a_certificate_is_described),
		cmocka_unit_test(no_binding_without_unique_secret),
		cmocka_unit_test(nothing_is_resumed_or_sent_early),
		cmocka_unit_test(renegotiation_is_refused),
		cmocka_unit_test(garbage_is_explained),
		cmocka_unit_test(a_cut_is_told_from_a_good_bye),
		cmocka_unit_test(writing_to_nobody_fails_quietly),
		cmocka_unit_test(much_goes_through_small_buffers),
		cmocka_unit_test(buffered_sees_what_was_read_ahead),
	};
	return cmocka_run_group_tests(tests, tls_kit_setup, tls_kit_teardown);
}

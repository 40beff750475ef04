#include "tls_internal.h"
#include "tls_stream.h"
#include "tls_test_certificates.h"

#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* One authority, and certificates by what is special about them. */
static struct test_authority authority;
static struct test_certificate plain, wildcard, international, address, nameless, expired, early;

static int setup(void **state)
{
	(void)state;
	tls_preload();
	test_authority_init(&authority, "Test Authority");
	plain = test_certificate_sign(&authority, "plain", "DNS:mail.example.org,DNS:MX.example.org", -1, 5);
	wildcard = test_certificate_sign(&authority, "wildcard", "DNS:*.example.net,DNS:*.example.org", -1, 5);
	international = test_certificate_sign(&authority, "international", "DNS:xn--mller-kva.example", -1, 5);
	address = test_certificate_sign(&authority, "address", "IP:127.0.0.1,IP:::1", -1, 5);
	nameless = test_certificate_sign(&authority, "nameless.example.com", NULL, -1, 5);
	expired = test_certificate_sign(&authority, "expired", "DNS:mail.example.org", -3, -1);
	early = test_certificate_sign(&authority, "early", "DNS:mail.example.org", 1, 5);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	struct test_certificate *all[] = { &plain, &wildcard, &international, &address, &nameless, &expired, &early };
	for (size_t i = 0; i < COUNT_OF(all); i++)
		test_certificate_release(all[i]);
	test_authority_release(&authority);
	return 0;
}

static void add(struct tls_server *server, const struct test_certificate *certificate)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!tls_server_add(server, str_of(certificate->chain), str_of(certificate->key), &fail))
		fail_msg("%s", fail_text(fail));
}

static struct tls_server *server_with(const struct test_certificate *certificate)
{
	struct tls_server *server = tls_server_new(TLS_MINIMUM_1_2);
	add(server, certificate);
	return server;
}

static struct tls_client *new_client(void)
{
	struct tls_client *client = tls_client_new(TLS_MINIMUM_1_2, authority.file, NULL);
	assert_non_null(client);
	return client;
}

/* Both ends of a non-blocking socketpair; index 0 is the client. */
struct pair {
	int fds[2];
	struct tls_connection *ends[2];
	enum tls_result results[2];
};

static void open_sockets(struct pair *p)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds), 0);
}

static void open_pair(struct pair *p, struct tls_server *server, struct tls_client *client, const char *host)
{
	*p = (struct pair){};
	open_sockets(p);
	p->ends[0] = tls_connect(client, p->fds[0], host, NULL);
	assert_non_null(p->ends[0]);
	p->ends[1] = tls_accept(server, p->fds[1]);
}

static void close_pair(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		tls_cleanup(&p->ends[i]);
		if (p->fds[i] >= 0)
			close(p->fds[i]);
		p->fds[i] = -1;
	}
}

static bool waits(enum tls_result result)
{
	return result == TLS_WANT_READ || result == TLS_WANT_WRITE;
}

/* Both ends in turn, until neither waits; true when both are done. */
static bool shake_hands(struct pair *p)
{
	p->results[0] = p->results[1] = TLS_WANT_READ;
	for (int round = 0; round < 20 && (waits(p->results[0]) || waits(p->results[1])); round++)
		for (int i = 0; i < 2; i++)
			p->results[i] = tls_handshake(p->ends[i]);
	return p->results[0] == TLS_DONE && p->results[1] == TLS_DONE;
}

static void must_shake_hands(struct pair *p)
{
	if (!shake_hands(p))
		fail_msg("client: %s; server: %s", tls_failure(p->ends[0]), tls_failure(p->ends[1]));
}

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
	add(server, &wildcard);
	add(server, &international);
	add(server, &nameless);
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
	add(server, &plain);
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
		add(server, &plain);
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
			while (in < TOTAL && tls_read(p.ends[!from], received + in, TOTAL - in < 1009 ? TOTAL - in : 1009, &done) == TLS_DONE)
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

/* ---- streams ---- */

static const struct stream_options stream_options = {
	.input_size = 4096,
	.output_high = 4096,
	.times = { .idle_ms = 10000, .command_ms = 10000, .write_ms = 10000, .bulk_grace_ms = 10000 },
};

struct stream_server {
	struct tls_server *server;
	int fd;
	bool started;
};

/* Answers each line with itself, and with much for "much", until the client is gone. */
static void *serve_stream(void *context)
{
	struct stream_server *job = context;
	CLEANUP(stream_cleanup) struct stream *s = stream_new(job->fd, &stream_options);
	CLEANUP(tls_cleanup) struct tls_connection *connection = tls_accept(job->server, job->fd);
	job->started = tls_stream_start(s, connection, NULL);
	struct str line;
	while (job->started && stream_read_line(s, 1000, STREAM_CRLF_ONLY, &line) == STREAM_LINE) {
		stream_printf(s, "> %.*s\r\n", STR_ARG(line));
		for (int i = 0; i < 5000 && str_equal(line, STR("much")); i++)
			stream_printf(s, "%08d\r\n", i);
	}
	stream_flush(s);
	tls_shutdown(connection);
	return NULL;
}

static void expect_line(struct stream *s, const char *text)
{
	struct str line;
	assert_int_equal(stream_read_line(s, 1000, STREAM_CRLF_ONLY, &line), STREAM_LINE);
	assert_int_equal(line.length, strlen(text));
	assert_memory_equal(line.data, text, line.length);
}

static void streams_run_over_tls(void **state)
{
	(void)state;
	CLEANUP(tls_server_cleanup) struct tls_server *server = server_with(&plain);
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	int fds[2];
	pthread_t thread;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct stream_server job = { server, fds[1], false };
	assert_int_equal(pthread_create(&thread, NULL, serve_stream, &job), 0);
	struct stream *s = stream_new(fds[0], &stream_options);
	struct tls_connection *connection = tls_connect(client, fds[0], "mail.example.org", NULL);
	bool started = tls_stream_start(s, connection, NULL);
	stream_write(s, STR("one\r\ntwo\r\nmuch\r\n"));
	if (started) {
		expect_line(s, "> one");
		assert_int_equal(stream_wait_readable_or(s, -1, 10000), STREAM_READABLE);
		expect_line(s, "> two");
		expect_line(s, "> much");
		for (int i = 0; i < 5000; i++) {
			CLEANUP(mem_free) char *number = mem_printf("%08d", i);
			expect_line(s, number);
		}
		assert_int_equal(tls_shutdown(connection), TLS_DONE);
		struct str line;
		assert_int_equal(stream_read_line(s, 1000, STREAM_CRLF_ONLY, &line), STREAM_NO_LINE);
		assert_int_equal(stream_status(s), STREAM_END);
	}
	stream_free(s);
	tls_free(connection);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(started && job.started);
}

static void a_stream_tells_why_tls_did_not_start(void **state)
{
	(void)state;
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct stream *s = stream_new(fds[0], &stream_options);
	struct tls_connection *connection = tls_connect(client, fds[0], "mail.example.org", NULL);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_int_equal(send(fds[1], "220 mail.example.org ESMTP\r\n", 28, 0), 28);
	assert_false(tls_stream_start(s, connection, &fail));
	assert_string_equal(fail_text(fail), "TLS: the peer does not speak TLS here");
	stream_free(s);
	tls_free(connection);
	close(fds[1]);
}

static void nothing_in_the_clear_slips_into_tls(void **state)
{
	(void)state;
	CLEANUP(tls_client_cleanup) struct tls_client *client = new_client();
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	struct stream *s = stream_new(fds[0], &stream_options);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_int_equal(send(fds[1], "220 go ahead\r\n250 forged\r\n", 26, 0), 26);
	expect_line(s, "220 go ahead");
	struct tls_connection *connection = tls_connect(client, fds[0], "mail.example.org", NULL);
	assert_false(tls_stream_start(s, connection, &fail));
	assert_string_equal(fail_text(fail), "the peer sent something in the clear before TLS");
	stream_free(s);
	tls_free(connection);
	close(fds[1]);
}

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
		p.ends[0] = tls_connect_observed(last ? trusts_nobody : client, p.fds[0], last ? "mail.example.org" : cases[i].host, NULL);
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
			                          record_of(cases[i].named ? cases[i].named->chain : buf_text(&root), cases[i].usage, cases[i].selector, digest) };
		struct pair p = {};
		open_sockets(&p);
		p.ends[0] = tls_connect_dane(client, p.fds[0], cases[i].host, &cases[i].name, 1, records, COUNT_OF(records), NULL);
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
		cmocka_unit_test(nothing_is_opened_after_the_sandbox), cmocka_unit_test(certificates_are_chosen_by_name),
		cmocka_unit_test(addresses_are_checked_too), cmocka_unit_test(bad_certificates_are_explained),
		cmocka_unit_test(strange_authorities_are_not_trusted), cmocka_unit_test(unusable_keys_are_explained),
		cmocka_unit_test(versions_have_a_floor), cmocka_unit_test(weak_ciphers_are_refused),
		cmocka_unit_test(both_ends_see_the_same_facts),
		cmocka_unit_test(a_certificate_is_described), cmocka_unit_test(no_binding_without_unique_secret),
		cmocka_unit_test(nothing_is_resumed_or_sent_early), cmocka_unit_test(renegotiation_is_refused),
		cmocka_unit_test(garbage_is_explained), cmocka_unit_test(a_cut_is_told_from_a_good_bye),
		cmocka_unit_test(writing_to_nobody_fails_quietly), cmocka_unit_test(much_goes_through_small_buffers),
		cmocka_unit_test(buffered_sees_what_was_read_ahead), cmocka_unit_test(streams_run_over_tls),
		cmocka_unit_test(a_stream_tells_why_tls_did_not_start), cmocka_unit_test(nothing_in_the_clear_slips_into_tls),
		cmocka_unit_test(opportunistic_takes_any_certificate), cmocka_unit_test(authorities_may_come_from_memory), cmocka_unit_test(observed_certificates_are_judged),
		cmocka_unit_test(dane_decides_by_records), cmocka_unit_test(dane_knows_what_is_usable),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

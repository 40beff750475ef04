#include "tls_internal.h"

#include "file.h"
#include "mem.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <stdlib.h>

struct tls_client {
	SSL_CTX *context;
	BIO_METHOD *method;
};

static struct tls_client *client_new(enum tls_minimum minimum)
{
	struct tls_client *client = mem_alloc(sizeof *client);
	client->method = tls_bio_method_new();
	client->context = tls_context_new(TLS_client_method(), minimum);
	SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
	must(SSL_CTX_dane_enable(client->context) == 1);
	SSL_CTX_dane_set_flags(client->context, DANE_FLAG_NO_DANE_EE_NAMECHECKS); /* RFC 7672 §3.1.1 */
	ERR_clear_error();
	return client;
}

struct tls_client *tls_client_new(enum tls_minimum minimum, const char *ca_file, struct fail **fail)
{
	struct tls_client *client = client_new(minimum);
	bool loaded = ca_file ? SSL_CTX_load_verify_file(client->context, ca_file) == 1
	                      : SSL_CTX_set_default_verify_paths(client->context) == 1;
	if (loaded)
		return client;
	fail_set(fail, FAIL_INVALID, "%s: %s", ca_file ? ca_file : "the system's trusted certificates", tls_explain(NULL));
	tls_client_free(client);
	return NULL;
}

/* How many there are; the text may hold anything else between them. */
static size_t add_authorities(X509_STORE *store, struct str authorities)
{
	size_t count = 0;
	BIO *bio = BIO_new_mem_buf(authorities.data, (int)authorities.length);
	must(bio);
	for (X509 *certificate; (certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL; count++) {
		must(X509_STORE_add_cert(store, certificate) == 1);
		X509_free(certificate);
	}
	BIO_free(bio);
	return count;
}

struct tls_client *tls_client_new_from(enum tls_minimum minimum, struct str authorities, struct fail **fail)
{
	struct tls_client *client = client_new(minimum);
	if (authorities.length == 0)
		return client;
	X509_STORE *store = SSL_CTX_get_cert_store(client->context);
	size_t count = authorities.length <= TLS_AUTHORITIES_MAX ? add_authorities(store, authorities) : 0;
	ERR_clear_error();
	if (count)
		return client;
	fail_set(fail, FAIL_INVALID, "there is no certificate in the list of authorities");
	tls_client_free(client);
	return NULL;
}

bool tls_read_authorities(const char *file, struct buf *out, struct fail **fail)
{
	return file_load(file ? file : "/etc/ssl/certs/ca-certificates.crt", out, fail);
}

void tls_client_free(struct tls_client *client)
{
	if (!client)
		return;
	SSL_CTX_free(client->context);
	BIO_meth_free(client->method);
	free(client);
}

void tls_client_cleanup(struct tls_client **client)
{
	tls_client_free(*client);
	*client = NULL;
}

static bool is_ip(const char *host)
{
	unsigned char bytes[16];
	return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static void expect_name(SSL *ssl, const char *name)
{
	/* RFC 6125 §6.4.3: no wildcard within a label; §6.4.4: no common name beside or instead of DNS names */
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	must(SSL_set1_host(ssl, name) == 1);
	must(SSL_set_tlsext_host_name(ssl, name) == 1);
}

static struct tls_connection *connection_new(struct tls_client *client, int fd)
{
	struct tls_connection *connection = tls_connection_new(client->context, client->method, fd);
	SSL_set_connect_state(tls_connection_ssl(connection));
	return connection;
}

struct tls_connection *tls_connect(struct tls_client *client, int fd, const char *host, struct fail **fail)
{
	char name[LIMIT_DOMAIN_MAX + 1];
	bool ip = is_ip(host);
	if (!ip && !tls_host_name(str_of(host), name)) {
		fail_set(fail, FAIL_INVALID, "no host name to check the certificate for");
		return NULL;
	}
	struct tls_connection *connection = connection_new(client, fd);
	SSL *ssl = tls_connection_ssl(connection);
	if (ip) /* RFC 6066 §3: an address is never asked for by SNI */
		must(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1);
	else
		expect_name(ssl, name);
	return connection;
}

struct tls_connection *tls_connect_unverified(struct tls_client *client, int fd, const char *host)
{
	char name[LIMIT_DOMAIN_MAX + 1];
	struct tls_connection *connection = connection_new(client, fd);
	SSL *ssl = tls_connection_ssl(connection);
	SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	if (!is_ip(host) && tls_host_name(str_of(host), name))
		must(SSL_set_tlsext_host_name(ssl, name) == 1);
	return connection;
}

static int accept_anyway(int good, X509_STORE_CTX *context)
{
	(void)good;
	(void)context;
	return 1;
}

struct tls_connection *tls_connect_observed(struct tls_client *client, int fd, const char *host, struct fail **fail)
{
	struct tls_connection *connection = tls_connect(client, fd, host, fail);
	if (connection)
		SSL_set_verify(tls_connection_ssl(connection), SSL_VERIFY_PEER, accept_anyway);
	return connection;
}

bool tls_tlsa_is_usable(const struct tls_tlsa *record)
{
	static const size_t lengths[] = { 0, 32, 64 }; /* full, SHA-256, SHA-512 */
	if ((record->usage != 2 && record->usage != 3) || record->selector > 1 || record->matching >= COUNT_OF(lengths))
		return false;
	return record->matching == 0 ? record->data.length > 0 : record->data.length == lengths[record->matching];
}

/* A full certificate or key that can't be read is passed over like one of an unknown kind. */
static size_t add_records(SSL *ssl, const struct tls_tlsa *records, size_t count)
{
	size_t used = 0;
	for (size_t i = 0; i < count; i++) {
		const struct tls_tlsa *r = &records[i];
		if (tls_tlsa_is_usable(r))
			used += SSL_dane_tlsa_add(ssl, r->usage, r->selector, r->matching, (const unsigned char *)r->data.data,
			                          r->data.length) == 1;
	}
	ERR_clear_error();
	return used;
}

struct tls_connection *tls_connect_dane(struct tls_client *client, int fd, const char *host, const char *const *names,
                                        size_t name_count, const struct tls_tlsa *records, size_t record_count,
                                        struct fail **fail)
{
	char name[LIMIT_DOMAIN_MAX + 1];
	if (is_ip(host) || !tls_host_name(str_of(host), name)) {
		fail_set(fail, FAIL_INVALID, "no host name that TLSA records can be for");
		return NULL;
	}
	struct tls_connection *connection = connection_new(client, fd);
	SSL *ssl = tls_connection_ssl(connection);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	must(SSL_dane_enable(ssl, name) == 1);
	for (size_t i = 0; i < name_count; i++) /* RFC 7672 §3.2.2 */
		if (tls_host_name(str_of(names[i]), name))
			must(SSL_add1_host(ssl, name) == 1);
	if (add_records(ssl, records, record_count))
		return connection;
	fail_set(fail, FAIL_INVALID, "no TLSA record can be used");
	tls_free(connection);
	return NULL;
}

enum tls_problem tls_certificate_problem(const struct tls_connection *connection)
{
	switch (SSL_get_verify_result(tls_connection_ssl(connection))) {
	case X509_V_OK:
		return TLS_PROBLEM_NONE;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return TLS_PROBLEM_NAME;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_PROBLEM_EXPIRED;
	case X509_V_ERR_DANE_NO_MATCH:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_PROBLEM_UNTRUSTED;
	default:
		return TLS_PROBLEM_OTHER;
	}
}

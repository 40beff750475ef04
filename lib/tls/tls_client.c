#include "tls_internal.h"

#include "mem.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <stdlib.h>

struct tls_client {
	SSL_CTX *context;
	BIO_METHOD *method;
};

struct tls_client *tls_client_new(enum tls_minimum minimum, const char *ca_file, struct fail **fail)
{
	struct tls_client *client = mem_alloc(sizeof *client);
	client->method = tls_bio_method_new();
	client->context = tls_context_new(TLS_client_method(), minimum);
	SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
	ERR_clear_error();
	bool loaded = ca_file ? SSL_CTX_load_verify_file(client->context, ca_file) == 1
	                      : SSL_CTX_set_default_verify_paths(client->context) == 1;
	if (loaded)
		return client;
	fail_set(fail, FAIL_INVALID, "%s: %s", ca_file ? ca_file : "the system's trusted certificates", tls_explain(NULL));
	tls_client_free(client);
	return NULL;
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

struct tls_connection *tls_connect(struct tls_client *client, int fd, const char *host, struct fail **fail)
{
	char name[LIMIT_DOMAIN_MAX + 1];
	bool ip = is_ip(host);
	if (!ip && !tls_host_name(str_of(host), name)) {
		fail_set(fail, FAIL_INVALID, "no host name to check the certificate for");
		return NULL;
	}
	struct tls_connection *connection = tls_connection_new(client->context, client->method, fd);
	SSL *ssl = tls_connection_ssl(connection);
	SSL_set_connect_state(ssl);
	if (ip) /* RFC 6066 §3: an address is never asked for by SNI */
		must(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1);
	else
		expect_name(ssl, name);
	return connection;
}

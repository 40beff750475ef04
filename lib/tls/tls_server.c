#include "tls_internal.h"

#include "array.h"
#include "hash.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct tls_server {
	SSL_CTX *first;            /* accepts; has the first certificate */
	ARRAY(SSL_CTX *) contexts; /* one per certificate, owned; contexts.items[0] == first once there is one */
	struct map *names;         /* "mail.example.org", "*.example.org" → SSL_CTX, lower case */
	BIO_METHOD *method;
	enum tls_minimum minimum;
};

/* RFC 6125 §6.4.3: a wildcard stands for the whole first label and nothing else. */
static SSL_CTX *find_context(const struct tls_server *server, const char *name)
{
	SSL_CTX *context = map_get(server->names, str_of(name));
	if (context)
		return context;
	const char *parent = strchr(name, '.');
	if (!parent)
		return NULL;
	char wildcard[LIMIT_DOMAIN_MAX + 2] = "*";
	size_t length = strlen(parent);
	memcpy(wildcard + 1, parent, length);
	return map_get(server->names, str_from(wildcard, length + 1));
}

/* RFC 6066 §3: an unknown name gets the first certificate rather than an alert: many clients ask with any name. */
static int choose_certificate(SSL *ssl, int *alert, void *context)
{
	(void)alert;
	const struct tls_server *server = context;
	char name[LIMIT_DOMAIN_MAX + 1];
	if (!tls_host_name(str_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)), name))
		return SSL_TLSEXT_ERR_NOACK;
	SSL_CTX *chosen = find_context(server, name);
	if (chosen && chosen != SSL_get_SSL_CTX(ssl))
		SSL_set_SSL_CTX(ssl, chosen);
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_context(struct tls_server *server)
{
	SSL_CTX *context = tls_context_new(TLS_server_method(), server->minimum);
	SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
	SSL_CTX_set_tlsext_servername_arg(context, server);
	return context;
}

struct tls_server *tls_server_new(enum tls_minimum minimum)
{
	struct tls_server *server = mem_alloc(sizeof *server);
	server->minimum = minimum;
	server->names = map_new();
	server->method = tls_bio_method_new();
	server->first = new_context(server);
	return server;
}

void tls_server_free(struct tls_server *server)
{
	if (!server)
		return;
	if (server->contexts.count == 0)
		SSL_CTX_free(server->first);
	for (size_t i = 0; i < server->contexts.count; i++)
		SSL_CTX_free(server->contexts.items[i]);
	array_release(&server->contexts);
	map_free(server->names);
	BIO_meth_free(server->method);
	free(server);
}

void tls_server_cleanup(struct tls_server **server)
{
	tls_server_free(*server);
	*server = NULL;
}

/* OpenSSL would ask at the terminal. */
static int no_password(char *room, int size, int writing, void *context)
{
	(void)room;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static void bio_release(BIO **bio)
{
	BIO_free(*bio);
}

static BIO *open_text(struct str text)
{
	BIO *bio = BIO_new_mem_buf(text.data ? text.data : "", text.length < INT_MAX ? (int)text.length : INT_MAX);
	must(bio);
	return bio;
}

static bool use_chain(SSL_CTX *context, struct str chain, struct fail **fail)
{
	CLEANUP(bio_release) BIO *bio = open_text(chain);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	bool used = certificate && SSL_CTX_use_certificate(context, certificate) == 1;
	X509_free(certificate);
	if (!used)
		return tls_fail(fail, FAIL_INVALID, "certificate");
	while ((certificate = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		if (SSL_CTX_add0_chain_cert(context, certificate) != 1) {
			X509_free(certificate);
			return tls_fail(fail, FAIL_INVALID, "certificate chain");
		}
	}
	/* The end of the text is the one error that is none. */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return tls_fail(fail, FAIL_INVALID, "certificate chain");
	ERR_clear_error();
	return true;
}

static bool use_key(SSL_CTX *context, struct str key, struct fail **fail)
{
	CLEANUP(bio_release) BIO *bio = open_text(key);
	EVP_PKEY *parsed = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	bool used = parsed && SSL_CTX_use_PrivateKey(context, parsed) == 1 && SSL_CTX_check_private_key(context) == 1;
	EVP_PKEY_free(parsed);
	return used || tls_fail(fail, FAIL_INVALID, "key");
}

static bool is_name(struct str text, char name[LIMIT_DOMAIN_MAX + 3])
{
	bool wildcard = str_starts(text, STR("*."));
	if (!tls_host_name(str_from_index(text, wildcard ? 2 : 0), name))
		return false;
	size_t length = strlen(name);
	if (wildcard) {
		memmove(name + 2, name, length + 1);
		memcpy(name, "*.", 2);
	}
	return true;
}

static void add_name(struct tls_server *server, const ASN1_STRING *text, SSL_CTX *context)
{
	char name[LIMIT_DOMAIN_MAX + 3];
	struct str s = str_from((const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
	if (is_name(s, name) && !map_get(server->names, str_of(name)))
		map_set(server->names, str_of(name), context);
}

static void add_names(struct tls_server *server, SSL_CTX *context)
{
	X509 *certificate = SSL_CTX_get0_certificate(context);
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	bool found = false;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS) {
			add_name(server, name->d.dNSName, context);
			found = true;
		}
	}
	GENERAL_NAMES_free(names);
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = found ? -1 : X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	if (at >= 0)
		add_name(server, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), context);
}

bool tls_server_add(struct tls_server *server, struct str chain, struct str key, struct fail **fail)
{
	SSL_CTX *context = new_context(server);
	ERR_clear_error();
	if (!use_chain(context, chain, fail) || !use_key(context, key, fail)) {
		SSL_CTX_free(context);
		return false;
	}
	if (server->contexts.count == 0) {
		SSL_CTX_free(server->first);
		server->first = context;
	}
	*array_add(&server->contexts) = context;
	add_names(server, context);
	return true;
}

struct tls_connection *tls_accept(struct tls_server *server, int fd)
{
	struct tls_connection *connection = tls_connection_new(server->first, server->method, fd);
	SSL_set_accept_state(tls_connection_ssl(connection));
	return connection;
}

#include "tls_internal.h"

#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/rand.h>

void tls_preload(void)
{
	must(OPENSSL_init_ssl(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS |
	                      OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL));
	unsigned char seed;
	must(RAND_bytes(&seed, 1) == 1);
	/* A context fetches every cipher, digest and group from the providers. */
	SSL_CTX_free(tls_context_new(TLS_method(), TLS_MINIMUM_1_2));
	ERR_clear_error();
}

SSL_CTX *tls_context_new(const SSL_METHOD *method, enum tls_minimum minimum)
{
	SSL_CTX *context = SSL_CTX_new(method);
	must(context);
	must(SSL_CTX_set_min_proto_version(context, minimum == TLS_MINIMUM_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION));
	/* TLS 1.2 with forward secrecy only (RFC 9325 §4.2); the suites of TLS 1.3 are all good. */
	must(SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL"));
	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
	                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	must(SSL_CTX_set_num_tickets(context, 0));
	must(SSL_CTX_set_max_early_data(context, 0));
	/* One system call per record instead of two. */
	SSL_CTX_set_read_ahead(context, 1);
	return context;
}

bool tls_host_name(struct str text, char name[LIMIT_DOMAIN_MAX + 1])
{
	if (text.length > 0 && text.data[text.length - 1] == '.')
		text.length--;
	if (text.length == 0 || text.length > LIMIT_DOMAIN_MAX || text.data[0] == '.')
		return false;
	for (size_t i = 0; i < text.length; i++) {
		char c = char_lower(text.data[i]);
		bool label_empty = c == '.' && (i + 1 == text.length || text.data[i + 1] == '.');
		if (label_empty || (!char_is_alpha(c) && !char_is_digit(c) && c != '-' && c != '.' && c != '_'))
			return false;
		name[i] = c;
	}
	name[text.length] = '\0';
	return true;
}

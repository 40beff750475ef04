/*
 * Inside lib/tls: what servers, clients and connections share.
 */
#ifndef POSTHORN_TLS_TLS_INTERNAL_H
#define POSTHORN_TLS_TLS_INTERNAL_H

#include "tls.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

/* A context with everything that holds for both ends. */
SSL_CTX *tls_context_new(const SSL_METHOD *method, enum tls_minimum minimum);

/* A socket BIO of our own: send and recv, no SIGPIPE, and a mode that never waits. */
BIO_METHOD *tls_bio_method_new(void);

struct tls_connection *tls_connection_new(SSL_CTX *context, const BIO_METHOD *method, int fd);
SSL *tls_connection_ssl(const struct tls_connection *connection);

/* What the oldest error of OpenSSL's queue means, in words; empties the queue. ssl may be NULL. */
const char *tls_explain(const SSL *ssl);

/* Sets fail from OpenSSL's queue, with a prefix; returns false. */
bool tls_fail(struct fail **fail, enum fail_kind kind, const char *what);

/* A host name in lower case into name, or false for what is none. Underscores are not refused: they occur. */
bool tls_host_name(struct str text, char name[LIMIT_DOMAIN_MAX + 1]);

#endif

/*
 * Certificates for tests, made on the spot: an authority of its own, and what it signs.
 */
#ifndef POSTHORN_TLS_TLS_TEST_CERTIFICATES_H
#define POSTHORN_TLS_TLS_TEST_CERTIFICATES_H

#include "tls.h"

#include <openssl/x509.h>

struct test_authority {
	X509 *certificate;
	EVP_PKEY *key;
	char *file; /* its certificate as a PEM file, removed by release */
};

/* PEM texts; the caller frees both. */
struct test_certificate {
	char *chain;
	char *key;
};

void test_authority_init(struct test_authority *authority, const char *name);
void test_authority_release(struct test_authority *authority);

/* names as in openssl.cnf, "DNS:a.example,IP:127.0.0.1", or NULL for none; valid from and to so many days from now. */
struct test_certificate test_certificate_sign(const struct test_authority *authority, const char *common_name,
                                              const char *names, int from_days, int to_days);

/* purpose: extendedKeyUsage as in openssl.cnf, NULL for all. */
struct test_certificate test_certificate_sign_for(const struct test_authority *authority, const char *common_name,
                                                  const char *names, const char *purpose, int from_days, int to_days);
void test_certificate_release(struct test_certificate *certificate);

#endif

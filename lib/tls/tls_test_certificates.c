#include "tls_test_certificates.h"

#include "mem.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <unistd.h>

static X509 *begin(const char *common_name, EVP_PKEY *key, int from_days, int to_days)
{
	X509 *certificate = X509_new();
	must(certificate && X509_set_version(certificate, X509_VERSION_3));
	must(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1));
	must(X509_gmtime_adj(X509_getm_notBefore(certificate), 86400L * from_days));
	must(X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * to_days));
	must(X509_set_pubkey(certificate, key));
	must(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
	                                (const unsigned char *)common_name, -1, -1, 0));
	return certificate;
}

static void add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	must(extension && X509_add_ext(certificate, extension, -1));
	X509_EXTENSION_free(extension);
}

static char *take_text(BIO *bio)
{
	char *data;
	long length = BIO_get_mem_data(bio, &data);
	char *text = mem_copy_text(data, (size_t)length);
	BIO_free(bio);
	return text;
}

static char *certificate_text(X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());
	must(PEM_write_bio_X509(bio, certificate));
	return take_text(bio);
}

static char *key_text(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	must(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
	return take_text(bio);
}

void test_authority_init(struct test_authority *authority, const char *name)
{
	char path[] = "/tmp/tls_test_XXXXXX";
	authority->key = EVP_EC_gen("P-256");
	authority->certificate = begin(name, authority->key, -1, 10);
	add_extension(authority->certificate, NID_basic_constraints, "critical,CA:TRUE");
	must(X509_set_issuer_name(authority->certificate, X509_get_subject_name(authority->certificate)));
	must(X509_sign(authority->certificate, authority->key, EVP_sha256()));
	CLEANUP(mem_free) char *text = certificate_text(authority->certificate);
	int fd = mkstemp(path);
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	authority->file = str_copy(str_of(path));
}

void test_authority_release(struct test_authority *authority)
{
	unlink(authority->file);
	free(authority->file);
	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
}

struct test_certificate test_certificate_sign(const struct test_authority *authority, const char *common_name,
                                              const char *names, int from_days, int to_days)
{
	return test_certificate_sign_for(authority, common_name, names, NULL, from_days, to_days);
}

struct test_certificate test_certificate_sign_for(const struct test_authority *authority, const char *common_name,
                                                  const char *names, const char *purpose, int from_days, int to_days)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = begin(common_name, key, from_days, to_days);
	if (names)
		add_extension(certificate, NID_subject_alt_name, names);
	if (purpose)
		add_extension(certificate, NID_ext_key_usage, purpose);
	must(X509_set_issuer_name(certificate, X509_get_subject_name(authority->certificate)));
	must(X509_sign(certificate, authority->key, EVP_sha256()));
	struct test_certificate made = { certificate_text(certificate), key_text(key) };
	X509_free(certificate);
	EVP_PKEY_free(key);
	return made;
}

void test_certificate_release(struct test_certificate *certificate)
{
	free(certificate->chain);
	free(certificate->key);
}

#include "tls_internal.h"

#include "buf.h"
#include "text.h"

#include <openssl/err.h>
#include <openssl/x509.h>

/* Names as RFC 4514 writes them, in UTF-8. */
static void copy_name(const X509_NAME *name, char *array, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text = NULL;
	must(bio != NULL);
	X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
	long length = BIO_get_mem_data(bio, &text);
	str_copy_to_array(str_from(text, length > 0 ? (size_t)length : 0), array, size);
	BIO_free(bio);
}

static int64_t seconds_of(const ASN1_TIME *time)
{
	int days = 0, seconds = 0;
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	must(epoch != NULL);
	bool good = ASN1_TIME_diff(&days, &seconds, epoch, time) == 1;
	ASN1_TIME_free(epoch);
	return good ? (int64_t)days * 86400 + seconds : 0;
}

bool tls_get_certificate(const struct tls_connection *connection, struct tls_certificate *certificate)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned length = 0;
	CLEANUP(buf_release) struct buf hex = BUF_WITH_LIMIT(sizeof certificate->sha256);
	*certificate = (struct tls_certificate){};
	X509 *x509 = SSL_get1_peer_certificate(tls_connection_ssl(connection));
	if (!x509)
		return false;
	copy_name(X509_get_subject_name(x509), certificate->subject, sizeof certificate->subject);
	copy_name(X509_get_issuer_name(x509), certificate->issuer, sizeof certificate->issuer);
	certificate->valid_until = seconds_of(X509_get0_notAfter(x509));
	if (X509_digest(x509, EVP_sha256(), digest, &length) == 1)
		text_hex_encode(&hex, str_from((const char *)digest, length));
	str_copy_to_array(buf_str(&hex), certificate->sha256, sizeof certificate->sha256);
	X509_free(x509);
	ERR_clear_error();
	return true;
}

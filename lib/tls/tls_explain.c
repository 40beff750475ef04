#include "tls_internal.h"
#include "translate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

/* The errors that admins meet; all others keep OpenSSL's words. */
static const struct {
	int library, reason;
	const char *words;
} explanations[] = {
	{ ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER, N_("the peer does not speak TLS here") },
	{ ERR_LIB_SSL, SSL_R_HTTP_REQUEST, N_("the peer speaks HTTP") },
	{ ERR_LIB_SSL, SSL_R_HTTPS_PROXY_REQUEST, N_("the peer speaks HTTP") },
	{ ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL, N_("the peer knows only versions of TLS that are too old") },
	{ ERR_LIB_SSL, SSL_R_VERSION_TOO_LOW, N_("the peer knows only versions of TLS that are too old") },
	{ ERR_LIB_SSL, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
	  N_("the peer refuses all versions of TLS that are allowed here") },
	{ ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, N_("no cipher in common, or no certificate") },
	{ ERR_LIB_SSL, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, N_("no certificate, or none of a kind that the peer knows") },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, N_("the peer found nothing in common") },
	{ ERR_LIB_SSL, SSL_R_TLSV1_ALERT_UNKNOWN_CA, N_("the client does not trust the certificate's authority") },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, N_("the client does not accept the certificate") },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, N_("the client does not accept the certificate") },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, N_("the client does not accept the certificate") },
	{ ERR_LIB_SSL, SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, N_("the client says that the certificate has expired") },
	{ ERR_LIB_SSL, SSL_R_TLSV1_ALERT_DECRYPT_ERROR, N_("the peer's TLS found an error in what it got") },
	{ ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING, N_("the peer cut the connection without ending TLS") },
	{ ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH, N_("the key does not belong to the certificate") },
	{ ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH, N_("the key does not belong to the certificate") },
	{ ERR_LIB_PEM, PEM_R_NO_START_LINE, N_("there is no such PEM block in it") },
	{ ERR_LIB_PEM, PEM_R_BAD_PASSWORD_READ, N_("it is encrypted; a server needs it without password") },
};

static const char *explain_verification(long result)
{
	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return N_("the certificate is for another name");
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return N_("the certificate has expired");
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return N_("the certificate is not valid yet");
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return N_("the certificate is signed by itself and not among the trusted ones");
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		return N_("the certificate's authority is not trusted, or an intermediate certificate is missing");
	case X509_V_ERR_DANE_NO_MATCH:
		return N_("the certificate matches no TLSA record");
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return N_("the certificate is not signed by the trusted authority of that name");
	case X509_V_ERR_INVALID_PURPOSE:
	case X509_V_ERR_CERT_REJECTED:
		return N_("the certificate was made for another purpose");
	case X509_V_ERR_EE_KEY_TOO_SMALL:
		return N_("the certificate's key is too short to be safe");
	case X509_V_ERR_CA_KEY_TOO_SMALL:
	case X509_V_ERR_CA_MD_TOO_WEAK:
		return N_("the certificate's authority signs with a key or a digest that is not safe");
	case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
		return N_("the certificate demands what is not known here");
	case X509_V_ERR_INVALID_CA:
	case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
	case X509_V_ERR_PATH_LENGTH_EXCEEDED:
		return N_("the certificate is signed by one that may sign none");
	default:
		return X509_verify_cert_error_string(result);
	}
}

const char *tls_explain(const SSL *ssl)
{
	unsigned long error = ERR_peek_last_error();
	int library = ERR_GET_LIB(error), reason = ERR_GET_REASON(error);
	ERR_clear_error();
	if (ssl && library == ERR_LIB_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return explain_verification(SSL_get_verify_result(ssl));
	for (size_t i = 0; i < COUNT_OF(explanations); i++)
		if (explanations[i].library == library && explanations[i].reason == reason)
			return explanations[i].words;
	const char *words = ERR_reason_error_string(error);
	return words ? words : N_("TLS failed");
}

bool tls_fail(struct fail **fail, enum fail_kind kind, const char *what)
{
	return fail_set(fail, kind, "%s: %s", what, tls_explain(NULL));
}

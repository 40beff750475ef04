#include "doctor.h"
#include "doctor_check.h"
#include "file.h"
#include "tls_files.h"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

enum { CERTIFICATES_MAX = 20, WARN_DAYS = 14, DAY_SECONDS = 86400, DIGEST_MAX = 64 };

static void free_certificates(STACK_OF(X509) **chain)
{
	sk_X509_pop_free(*chain, X509_free);
}

static STACK_OF(X509) *read_chain(const char *path, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 18);
	STACK_OF(X509) *chain = sk_X509_new_null();
	must(chain);
	if (!file_load(path, &text, fail))
		return chain;
	BIO *bio = BIO_new_mem_buf(text.data, (int)text.length);
	X509 *certificate;
	while (sk_X509_num(chain) < CERTIFICATES_MAX && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		must(sk_X509_push(chain, certificate) > 0);
	BIO_free(bio);
	if (sk_X509_num(chain) == 0)
		fail_set(fail, FAIL_INVALID, "%s holds no certificate", path);
	return chain;
}

static bool names(X509 *certificate, struct str host)
{
	return X509_check_host(certificate, host.data, host.length, 0, NULL) == 1;
}

const char *doctor_authorities(const struct doctor *d)
{
	return d->config.relay_ca_file[0] ? d->config.relay_ca_file : NULL;
}

/* As another host sees it. Returns NULL, or why it is not trusted. */
static const char *distrust(const struct doctor *d, STACK_OF(X509) *chain)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	must(store && check);
	/* without authorities nothing is trusted, which is what is then said */
	if (doctor_authorities(d))
		X509_STORE_load_file(store, doctor_authorities(d));
	else
		X509_STORE_set_default_paths(store);
	must(X509_STORE_CTX_init(check, store, sk_X509_value(chain, 0), chain) == 1);
	X509_STORE_CTX_set_purpose(check, X509_PURPOSE_SSL_SERVER);
	bool good = X509_verify_cert(check) == 1;
	const char *why = good ? NULL : X509_verify_cert_error_string(X509_STORE_CTX_get_error(check));
	X509_STORE_CTX_free(check);
	X509_STORE_free(store);
	return why;
}

static int64_t seconds_left(X509 *certificate)
{
	int days = 0, seconds = 0;
	must(ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)) == 1);
	return (int64_t)days * DAY_SECONDS + seconds;
}

static int64_t shortest_life(STACK_OF(X509) *chain)
{
	int64_t left = INT64_MAX;
	for (int i = 0; i < sk_X509_num(chain); i++) {
		int64_t other = seconds_left(sk_X509_value(chain, i));
		left = other < left ? other : left;
	}
	return left;
}

bool doctor_certificate_life(const char *path, int64_t *seconds, struct fail **fail)
{
	CLEANUP(free_certificates) STACK_OF(X509) *chain = read_chain(path, fail);
	if (sk_X509_num(chain) == 0)
		return false;
	*seconds = shortest_life(chain);
	return true;
}

static void judge_time(struct doctor *d, const char *title, STACK_OF(X509) *chain)
{
	int64_t left = shortest_life(chain);
	if (left <= 0)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "certificate \"%s\" has expired %lld days ago", title,
				(long long)(-left / DAY_SECONDS)),
			.advice = STR("Get a new one, then: posthornctl reload") });
	else if (left < WARN_DAYS * DAY_SECONDS)
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "certificate \"%s\" expires in %lld days", title,
				(long long)(left / DAY_SECONDS)),
			.advice = STR("See why it was not renewed; after that: posthornctl reload") });
	else
		doctor_ok(d, "certificate \"%s\" is good for %lld days", title, (long long)(left / DAY_SECONDS));
}

/* True when it is for host. */
static bool check_one(struct doctor *d, struct tls_server *server, const struct config_certificate *certificate,
                      struct str host)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	CLEANUP(tls_files_release) struct tls_files files;
	CLEANUP(free_certificates) STACK_OF(X509) *chain = read_chain(certificate->chain, &why);
	if (why || !tls_files_load(server, certificate->chain, certificate->key, &files, &why)) {
		if (why)
			doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
				.text = arena_printf(d->arena, "certificate \"%s\": %s", certificate->title, fail_text(why)) });
		return false;
	}
	judge_time(d, certificate->title, chain);
	const char *distrusted = distrust(d, chain);
	if (distrusted && seconds_left(sk_X509_value(chain, 0)) > 0)
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "mail programs will not trust certificate \"%s\": %s", certificate->title,
				distrusted),
			.advice = STR("Take one of a public authority, as by ACME, and put its whole chain into the file") });
	return names(sk_X509_value(chain, 0), host);
}

void doctor_check_certificate(struct doctor *d, struct str host)
{
	CLEANUP(tls_server_cleanup) struct tls_server *server = tls_server_new((enum tls_minimum)d->config.tls_minimum);
	bool named = false;
	for (size_t i = 0; i < d->config.certificates.count; i++)
		named |= check_one(d, server, &d->config.certificates.items[i], host);
	if (d->config.certificates.count == 0)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = STR("there is no certificate: nothing is encrypted, and nobody can log in"),
			.advice = STR("Name one in posthorn.conf") });
	else if (!named && host.length)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "no certificate is for %.*s", STR_ARG(host)),
			.advice = STR("Get one for that name") });
	else if (named)
		doctor_ok(d, "a certificate is for %.*s", STR_ARG(host));
}

/* ---- DANE, RFC 7672 ---- */

static struct str digest(struct doctor *d, const struct dns_tlsa *tlsa, X509 *certificate)
{
	unsigned char *der = NULL, hash[DIGEST_MAX];
	int length = tlsa->selector == 1 ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der)
	                                 : i2d_X509(certificate, &der);
	must(length > 0);
	struct str bytes = str_from((const char *)der, (size_t)length);
	if (tlsa->matching == 1)
		bytes = str_from((const char *)SHA256(der, (size_t)length, hash), SHA256_DIGEST_LENGTH);
	else if (tlsa->matching == 2)
		bytes = str_from((const char *)SHA512(der, (size_t)length, hash), SHA512_DIGEST_LENGTH);
	bytes = arena_copy(d->arena, bytes);
	OPENSSL_free(der);
	return bytes;
}

/* Usages 0 and 1 are of no use in SMTP (§3.1.3). */
static bool fits(struct doctor *d, const struct dns_tlsa *tlsa, STACK_OF(X509) *chain)
{
	if (tlsa->selector > 1 || tlsa->matching > 2 || (tlsa->usage != 2 && tlsa->usage != 3))
		return false;
	int last = tlsa->usage == 3 ? 1 : sk_X509_num(chain);
	for (int i = 0; i < last; i++)
		if (str_equal(digest(d, tlsa, sk_X509_value(chain, i)), tlsa->data))
			return true;
	return false;
}

/* What porter shows a client that names the host, or none. */
static STACK_OF(X509) *chain_of(struct doctor *d, struct str host)
{
	for (size_t i = 0; i < d->config.certificates.count; i++) {
		STACK_OF(X509) *chain = read_chain(d->config.certificates.items[i].chain, NULL);
		if (sk_X509_num(chain) > 0 && (names(sk_X509_value(chain, 0), host) || d->config.certificates.count == 1))
			return chain;
		sk_X509_pop_free(chain, X509_free);
	}
	return NULL;
}

static struct str tlsa_data(struct doctor *d, X509 *certificate)
{
	static const char digits[] = "0123456789abcdef";
	struct str bytes = digest(d, &(struct dns_tlsa){ .usage = 3, .selector = 1, .matching = 1 }, certificate);
	char text[2 * DIGEST_MAX];
	for (size_t i = 0; i < bytes.length; i++) {
		text[2 * i] = digits[(unsigned char)bytes.data[i] >> 4];
		text[2 * i + 1] = digits[bytes.data[i] & 15];
	}
	return arena_printf(d->arena, "3 1 1 %.*s", (int)(2 * bytes.length), text);
}

static void judge_tlsa(struct doctor *d, const struct dns_answer *answer, size_t fitting, struct str record)
{
	bool validates = doctor_dns_validates(d->dns);
	if (answer->count && !fitting)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = STR("the TLSA records do not fit the certificate: servers that use DANE cannot deliver mail here"),
			.advice = STR("Publish the record of the present key, and only then remove the others"),
			.record = record });
	else if (answer->count && validates && !answer->secure)
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = STR("the TLSA record is right, but the zone is not signed: it has no effect"),
			.advice = STR("Sign the zone with DNSSEC") });
	else if (answer->count)
		doctor_ok(d, "%zu TLSA record%s for the certificate", fitting, fitting == 1 ? " stands" : "s stand");
	else if (validates && !answer->secure)
		doctor_note(d, "the host's zone is not signed, so DANE cannot protect mail to it");
	else
		doctor_report(d, (struct doctor_finding){ DOCTOR_NOTE, .text = STR("there is no TLSA record"),
			.advice = STR("If the zone is signed with DNSSEC, publish one, and anew before the key of the certificate changes"), .record = record });
}

void doctor_check_tlsa(struct doctor *d, struct str host)
{
	CLEANUP(free_certificates) STACK_OF(X509) *chain = host.length ? chain_of(d, host) : NULL;
	struct str owner = arena_printf(d->arena, "_25._tcp.%.*s", STR_ARG(host));
	struct dns_answer answer;
	size_t fitting = 0;
	if (!chain || !doctor_ask(d, owner, DNS_TLSA, &answer))
		return;
	for (size_t i = 0; i < answer.count; i++) {
		struct dns_tlsa tlsa;
		fitting += dns_read_tlsa(answer.records[i], &tlsa) && fits(d, &tlsa, chain);
	}
	struct str data = tlsa_data(d, sk_X509_value(chain, 0));
	if (answer.secure || !doctor_dns_validates(d->dns))
		doctor_zone_add(d, owner, "TLSA", data);
	judge_tlsa(d, &answer, fitting, doctor_record(d, owner, "TLSA", data));
}

#include "sasl.h"

#include "clock.h"
#include "mem.h"
#include "sasl_internal.h"
#include "text.h"
#include "translate.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>

/* Strongest first. */
static const struct mechanism mechanisms[] = {
	{ "SCRAM-SHA-256-PLUS", SCRAM | BINDS, SASL_SCRAM_SHA_256, sasl_server_scram, sasl_client_scram },
	{ "SCRAM-SHA-256", SCRAM, SASL_SCRAM_SHA_256, sasl_server_scram, sasl_client_scram },
	{ "SCRAM-SHA-1-PLUS", SCRAM | BINDS | SHA_1, SASL_SCRAM_SHA_1, sasl_server_scram, sasl_client_scram },
	{ "SCRAM-SHA-1", SCRAM | SHA_1, SASL_SCRAM_SHA_1, sasl_server_scram, sasl_client_scram },
	{ "CRAM-MD5", MD5 | SERVER_FIRST, SASL_CLEAR, sasl_server_cram, sasl_client_cram },
	{ "PLAIN", CLEARTEXT, SASL_CLEAR, sasl_server_plain, sasl_client_plain },
	{ "LOGIN", CLEARTEXT | SERVER_FIRST, SASL_CLEAR, sasl_server_login, sasl_client_login },
};

static const struct mechanism *mechanism_find(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		if (str_equal_nocase(name, str_of(mechanisms[i].name)))
			return &mechanisms[i];
	}
	return NULL;
}

static bool is_offered(const struct mechanism *m, const struct sasl_facts *facts)
{
	bool binding = facts->tls && (facts->tls_exporter.length > 0 || facts->tls_unique.length > 0);
	return !((m->traits & CLEARTEXT) && !facts->tls && !facts->cleartext_allowed) &&
	       !((m->traits & BINDS) && !binding) && !((m->traits & SHA_1) && !facts->scram_sha1) &&
	       !((m->traits & MD5) && !facts->cram_md5);
}

/* --- GNU SASL --- */

static int answer_property(Gsasl *library, Gsasl_session *session, Gsasl_property property)
{
	struct sasl_exchange *x = session ? gsasl_session_hook_get(session) : NULL;
	/* While a session is being started it has no hook yet. */
	if (!x)
		x = gsasl_callback_hook_get(library);
	if (!x || !session)
		return GSASL_NO_CALLBACK;
	const struct buf *binding = property == GSASL_CB_TLS_EXPORTER ? &x->exporter
	                            : property == GSASL_CB_TLS_UNIQUE ? &x->unique
	                                                              : NULL;
	if (binding)
		return binding->length ? gsasl_property_set_raw(session, property, binding->data, binding->length)
		                       : GSASL_NO_CALLBACK;
	if (x->directory)
		return sasl_server_property(x, session, property);
	if (property == GSASL_AUTHID)
		return gsasl_property_set_raw(session, property, x->name, x->name_length);
	if (property == GSASL_PASSWORD)
		return gsasl_property_set_raw(session, property, x->password, x->password_length);
	return GSASL_NO_CALLBACK;
}

struct sasl *sasl_new(void)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char random[1];
	struct sasl *s = mem_alloc(sizeof *s);
	must(gsasl_init(&s->library) == GSASL_OK);
	gsasl_callback_set(s->library, answer_property);
	/* OpenSSL and the random generators do their opening of files now. */
	must(gsasl_nonce(random, sizeof random) == GSASL_OK && RAND_bytes(digest, 1) == 1);
	must(EVP_Digest("", 0, digest, NULL, EVP_md5(), NULL) == 1);
	must(HMAC(EVP_sha256(), "", 0, digest, 0, digest, NULL));
	return s;
}

void sasl_free(struct sasl *s)
{
	if (!s)
		return;
	gsasl_done(s->library);
	free(s);
}

void sasl_cleanup(struct sasl **s)
{
	sasl_free(*s);
	*s = NULL;
}

static bool session_start(struct sasl *s, struct sasl_exchange *x)
{
	gsasl_callback_hook_set(s->library, x);
	int code = x->directory ? gsasl_server_start(s->library, x->mechanism->name, &x->session)
	                        : gsasl_client_start(s->library, x->mechanism->name, &x->session);
	gsasl_callback_hook_set(s->library, NULL);
	if (code != GSASL_OK)
		return false;
	gsasl_session_hook_set(x->session, x);
	return true;
}

int sasl_session_step(struct sasl_exchange *x, struct str input, struct buf *output)
{
	char *made = NULL;
	size_t length = 0;
	/* GNU SASL reads C strings. */
	CLEANUP(mem_free) char *text = str_copy(input);
	int code = gsasl_step(x->session, text, input.length, &made, &length);
	if ((code == GSASL_OK || code == GSASL_NEEDS_MORE) && !buf_append(output, made ? made : "", length))
		code = GSASL_MALLOC_ERROR;
	gsasl_free(made);
	return code;
}

/* --- exchanges --- */

/* With GNU SASL's session, if the mechanism needs one. */
static struct sasl_exchange *exchange_new(struct sasl *s, const struct mechanism *mechanism,
                                          const struct sasl_facts *facts, const struct sasl_directory *directory)
{
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *x = mem_alloc(sizeof *x);
	x->mechanism = mechanism;
	x->directory = directory;
	buf_init(&x->exporter, SASL_MESSAGE_MAX);
	buf_init(&x->unique, SASL_MESSAGE_MAX);
	/* GNU SASL fails a client that knows a binding and does not use it: it would say "y" (RFC 5802 §6), and cannot. */
	if (facts->tls && (directory || mechanism->traits & BINDS)) {
		text_base64_encode(&x->exporter, facts->tls_exporter);
		text_base64_encode(&x->unique, facts->tls_unique);
	}
	if ((mechanism->traits & CLEARTEXT) || session_start(s, x))
		return TAKE(x);
	return NULL;
}

void sasl_exchange_free(struct sasl_exchange *x)
{
	if (!x)
		return;
	if (x->session)
		gsasl_finish(x->session);
	buf_release(&x->exporter);
	buf_release(&x->unique);
	mem_wipe(x, sizeof *x);
	free(x);
}

void sasl_exchange_cleanup(struct sasl_exchange **x)
{
	sasl_exchange_free(*x);
	*x = NULL;
}

enum sasl_result sasl_fail(struct sasl_exchange *x, const char *why)
{
	x->over = true;
	if (!x->why)
		x->why = why;
	return SASL_FAILED;
}

bool sasl_step_begin(struct sasl_exchange *x, struct str input, struct buf *output)
{
	buf_clear(output);
	if (x->over)
		sasl_fail(x, N_("the exchange is over"));
	else if (++x->steps > SASL_STEPS_MAX)
		sasl_fail(x, N_("too many steps"));
	else if (input.length > SASL_MESSAGE_MAX)
		sasl_fail(x, N_("the message is too long"));
	return !x->over;
}

const char *sasl_why(const struct sasl_exchange *x)
{
	return x->why ? x->why : N_("no reason given");
}

struct str sasl_identity(const struct sasl_exchange *x)
{
	return str_from(x->name, x->name_length);
}

struct str sasl_password(const struct sasl_exchange *x)
{
	return str_from(x->password, x->password_length);
}

static bool keep(struct str from, char *to, size_t max, size_t *length)
{
	if (from.length == 0 || from.length > max || memchr(from.data, 0, from.length))
		return false;
	memcpy(to, from.data, from.length);
	to[from.length] = 0;
	*length = from.length;
	return true;
}

bool sasl_keep_name(struct sasl_exchange *x, struct str name)
{
	return keep(name, x->name, SASL_NAME_MAX, &x->name_length);
}

bool sasl_keep_password(struct sasl_exchange *x, struct str password)
{
	return keep(password, x->password, LIMIT_PASSWORD_MAX, &x->password_length);
}

/* --- starting --- */

static const struct mechanism *choose(struct str name, const struct sasl_facts *facts, bool server, struct fail **fail)
{
	const struct mechanism *m = mechanism_find(name);
	struct sasl_facts client_facts = *facts;
	/* A client takes what the server offers and its user allows; only the binding must be there. */
	client_facts.cleartext_allowed = client_facts.scram_sha1 = client_facts.cram_md5 = true;
	if (m && is_offered(m, server ? facts : &client_facts))
		return m;
	fail_set(fail, FAIL_INVALID, m ? "the mechanism is not offered here" : "there is no such mechanism");
	return NULL;
}

struct sasl_exchange *sasl_server_start(struct sasl *s, struct str mechanism, const struct sasl_facts *facts,
                                        const struct sasl_directory *directory, struct fail **fail)
{
	const struct mechanism *m = choose(mechanism, facts, true, fail);
	if (!m)
		return NULL;
	struct sasl_exchange *x = exchange_new(s, m, facts, directory);
	if (!x)
		fail_set(fail, FAIL_UNAVAILABLE, "GNU SASL cannot start %s", m->name);
	return x;
}

struct sasl_exchange *sasl_client_start(struct sasl *s, struct str mechanism, const struct sasl_facts *facts,
                                        struct str name, struct str password, struct fail **fail)
{
	const struct mechanism *m = choose(mechanism, facts, false, fail);
	if (!m)
		return NULL;
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *x = exchange_new(s, m, facts, NULL);
	if (!x) {
		fail_set(fail, FAIL_UNAVAILABLE, "GNU SASL cannot start %s", m->name);
		return NULL;
	}
	if (!sasl_keep_name(x, name) || !sasl_keep_password(x, password)) {
		fail_set(fail, FAIL_INVALID, "the name or the password is empty, too long, or has a NUL");
		return NULL;
	}
	return TAKE(x);
}

bool sasl_client_speaks_first(const struct sasl_exchange *x)
{
	return !(x->mechanism->traits & SERVER_FIRST);
}

/* --- APOP --- */

void sasl_apop_timestamp(struct str host, struct buf *timestamp)
{
	unsigned char random[16];
	must(RAND_bytes(random, sizeof random) == 1);
	buf_add_char(timestamp, '<');
	text_hex_encode(timestamp, str_from((const char *)random, sizeof random));
	buf_printf(timestamp, ".%lld@%.*s>", (long long)clock_wall_seconds(), STR_ARG(host));
}

bool sasl_apop_check(struct str timestamp, struct str secret, struct str digest)
{
	unsigned char given[16];
	unsigned char made[EVP_MAX_MD_SIZE];
	unsigned length;
	if (str_is_empty(secret) || !text_hex_decode(digest, given, sizeof given))
		return false;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	must(context && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1);
	must(EVP_DigestUpdate(context, timestamp.data, timestamp.length) == 1);
	must(EVP_DigestUpdate(context, secret.data, secret.length) == 1);
	must(EVP_DigestFinal_ex(context, made, &length) == 1 && length == sizeof given);
	EVP_MD_CTX_free(context);
	return mem_equal_secret(made, given, sizeof given);
}

#include "sasl_internal.h"
#include "text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

/* --- what is known of the name --- */

/* 32 octets that depend on the name and cannot be guessed. */
static void fake(const struct sasl_exchange *x, const char *label, unsigned char bytes[32])
{
	CLEANUP(buf_release) struct buf input = BUF_WITH_LIMIT(SASL_NAME_MAX + 100);
	buf_printf(&input, "%s %d %s", label, (int)x->mechanism->kind, x->secret.canonical);
	must(!input.overflowed);
	must(HMAC(EVP_sha256(), x->directory->fake_key, sizeof x->directory->fake_key, (unsigned char *)input.data,
	          input.length, bytes, NULL));
}

/* An unknown user's secrets: they look like a real user's, always the same, and fit nothing. */
static void invent_secret(struct sasl_exchange *x)
{
	struct sasl_secret *secret = &x->secret;
	unsigned char bytes[32];
	fake(x, "salt", bytes);
	secret->salt_length = 16;
	memcpy(secret->salt, bytes, secret->salt_length);
	fake(x, "stored key", secret->stored_key);
	fake(x, "server key", secret->server_key);
	fake(x, "password", bytes);
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(&secret->clear[2 * i], 3, "%02x", bytes[i]);
}

static bool ask_directory(struct sasl_exchange *x, Gsasl_session *session)
{
	const char *name = gsasl_property_fast(session, GSASL_AUTHID);
	if (x->asked)
		return true;
	if (!name || !sasl_keep_name(x, str_of(name)))
		return false;
	x->directory->find(x->directory->context, sasl_identity(x), x->mechanism->kind, &x->secret);
	must(x->secret.iterations > 0 || x->mechanism->kind == SASL_CLEAR);
	if (!x->secret.known)
		invent_secret(x);
	x->asked = true;
	return true;
}

static int give_base64(Gsasl_session *session, Gsasl_property property, const void *bytes, size_t length)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(200);
	text_base64_encode(&text, str_from(bytes, length));
	return gsasl_property_set_raw(session, property, text.data, text.length);
}

int sasl_server_property(struct sasl_exchange *x, Gsasl_session *session, Gsasl_property property)
{
	size_t key_length = x->mechanism->kind == SASL_SCRAM_SHA_1 ? 20 : 32;
	bool scram = x->mechanism->traits & SCRAM;
	char number[16];
	if (!ask_directory(x, session))
		return GSASL_NO_CALLBACK;
	if (scram && property == GSASL_SCRAM_ITER) {
		snprintf(number, sizeof number, "%u", x->secret.iterations);
		return gsasl_property_set(session, property, number);
	}
	if (scram && property == GSASL_SCRAM_SALT)
		return give_base64(session, property, x->secret.salt, x->secret.salt_length);
	if (scram && property == GSASL_SCRAM_STOREDKEY)
		return give_base64(session, property, x->secret.stored_key, key_length);
	if (scram && property == GSASL_SCRAM_SERVERKEY)
		return give_base64(session, property, x->secret.server_key, key_length);
	if (!scram && property == GSASL_PASSWORD)
		return gsasl_property_set(session, property, x->secret.clear);
	return GSASL_NO_CALLBACK;
}

/* The directory says no more than that it has nothing to prove against: also of an account that did not opt in. */
#define NOT_KNOWN "unknown user, or one without a secret for this mechanism"

/* --- mechanisms --- */

/* RFC 4422 §3.4.1: acting for somebody else is not allowed to anybody here. */
static bool is_for_itself(struct str authorization, struct str authentication)
{
	return str_is_empty(authorization) || str_equal_nocase(authorization, authentication);
}

static enum sasl_result password_given(struct sasl_exchange *x)
{
	x->over = true;
	return SASL_PASSWORD;
}

/* RFC 4616 §2: [authzid] NUL authcid NUL passwd. */
enum sasl_result sasl_server_plain(struct sasl_exchange *x, struct str input, bool initial, struct buf *output)
{
	(void)output;
	if (x->steps == 1 && !initial && str_is_empty(input))
		return SASL_MORE;
	struct str authorization = str_first(input, str_find_char(input, 0));
	struct str rest = str_from_index(input, authorization.length + 1);
	struct str name = str_first(rest, str_find_char(rest, 0));
	struct str password = str_from_index(rest, name.length + 1);
	if (!sasl_keep_name(x, name) || !sasl_keep_password(x, password))
		return sasl_fail(x, "the PLAIN message is malformed");
	if (!is_for_itself(authorization, name))
		return sasl_fail(x, "another authorization identity is asked for");
	return password_given(x);
}

/* Never standardised; draft-murchison-sasl-login. The prompts are the ones that old clients look for. */
enum sasl_result sasl_server_login(struct sasl_exchange *x, struct str input, bool initial, struct buf *output)
{
	if (x->name_length > 0) {
		if (!sasl_keep_password(x, input))
			return sasl_fail(x, "the LOGIN password is malformed");
		return password_given(x);
	}
	if (x->steps == 1 && (!initial || str_is_empty(input))) {
		buf_add_str(output, STR("Username:"));
		return SASL_MORE;
	}
	if (!sasl_keep_name(x, input))
		return sasl_fail(x, "the LOGIN name is malformed");
	buf_add_str(output, STR("Password:"));
	return SASL_MORE;
}

static enum sasl_result finish(struct sasl_exchange *x)
{
	const char *authorization = gsasl_property_fast(x->session, GSASL_AUTHZID);
	if (!x->asked || !x->secret.known)
		return sasl_fail(x, NOT_KNOWN);
	if (!is_for_itself(str_of(authorization), sasl_identity(x)))
		return sasl_fail(x, "another authorization identity is asked for");
	must(sasl_keep_name(x, str_of(x->secret.canonical)));
	x->over = true;
	return SASL_DONE;
}

static enum sasl_result failed(struct sasl_exchange *x, int code)
{
	if (x->asked && !x->secret.known)
		return sasl_fail(x, NOT_KNOWN);
	if (code == GSASL_AUTHENTICATION_ERROR)
		return sasl_fail(x, x->mechanism->traits & BINDS ? "wrong password or channel binding" : "wrong password");
	return sasl_fail(x, gsasl_strerror(code));
}

/* RFC 5802. Neither side of SMTP, IMAP and POP3 can send data with success, so the last message
 * goes as a challenge and gets an empty answer (RFC 4422 §5). */
enum sasl_result sasl_server_scram(struct sasl_exchange *x, struct str input, bool initial, struct buf *output)
{
	if (x->proved)
		return str_is_empty(input) ? finish(x) : sasl_fail(x, "the last SCRAM answer is not empty");
	if (x->steps == 1 && !initial && str_is_empty(input))
		return SASL_MORE;
	if (str_is_empty(input) || memchr(input.data, 0, input.length))
		return sasl_fail(x, "the SCRAM message is malformed");
	/* RFC 5802 §7: "p" belongs to -PLUS alone; GNU SASL takes it elsewhere with an empty binding. */
	if (!x->asked && input.data[0] == 'p' && !(x->mechanism->traits & BINDS))
		return sasl_fail(x, "channel binding without a -PLUS mechanism");
	/* RFC 5802 §5.1: an extension that the client must be sure of; GNU SASL looks for it in one place only. */
	if (str_find(input, STR(",m=")) < input.length)
		return sasl_fail(x, "a mandatory extension that is not known");
	int code = sasl_session_step(x, input, output);
	if (code == GSASL_NEEDS_MORE)
		return SASL_MORE;
	if (code != GSASL_OK)
		return failed(x, code);
	if (!x->secret.known)
		return sasl_fail(x, NOT_KNOWN);
	x->proved = true;
	return SASL_MORE;
}

/* RFC 2195. */
enum sasl_result sasl_server_cram(struct sasl_exchange *x, struct str input, bool initial, struct buf *output)
{
	if (x->steps == 1 && !initial && str_is_empty(input))
		return sasl_session_step(x, input, output) == GSASL_NEEDS_MORE ? SASL_MORE : sasl_fail(x, "no challenge");
	if (x->steps != 2 || str_is_empty(input) || memchr(input.data, 0, input.length))
		return sasl_fail(x, "the CRAM-MD5 message is malformed");
	int code = sasl_session_step(x, input, output);
	return code == GSASL_OK ? finish(x) : failed(x, code);
}

enum sasl_result sasl_server_step(struct sasl_exchange *x, struct str input, bool initial, struct buf *output)
{
	must(x->directory);
	if (!sasl_step_begin(x, input, output))
		return SASL_FAILED;
	enum sasl_result result = x->mechanism->server_step(x, input, initial, output);
	if (result == SASL_FAILED)
		buf_clear(output);
	return result;
}

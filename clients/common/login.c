#include "login.h"

#include "sasl.h"
#include "text.h"
#include "words.h"

#include <openssl/evp.h>

enum { MD5_SIZE = 16 };

enum trait {
	BINDS = 1 << 0,
	REVEALS = 1 << 1, /* sends the password as it is */
	APOP = 1 << 2,
	USER = 1 << 3,
};

/* Strongest first. */
static const struct way {
	const char *name;
	enum login_method method;
	unsigned traits;
} ways[] = {
	{ "SCRAM-SHA-256-PLUS", LOGIN_SCRAM_SHA_256, BINDS },
	{ "SCRAM-SHA-256", LOGIN_SCRAM_SHA_256, 0 },
	{ "SCRAM-SHA-1-PLUS", LOGIN_SCRAM_SHA_1, BINDS },
	{ "SCRAM-SHA-1", LOGIN_SCRAM_SHA_1, 0 },
	{ "APOP", LOGIN_APOP, APOP },
	{ "CRAM-MD5", LOGIN_CRAM_MD5, 0 },
	{ "PLAIN", LOGIN_PLAIN, REVEALS },
	{ "LOGIN", LOGIN_LOGIN, REVEALS },
	{ "USER", LOGIN_USER, REVEALS | USER },
};

static const char *const method_names[LOGIN_METHOD_COUNT] = {
	[LOGIN_BEST] = "best",         [LOGIN_SCRAM_SHA_256] = "scram-sha-256", [LOGIN_SCRAM_SHA_1] = "scram-sha-1",
	[LOGIN_APOP] = "apop",         [LOGIN_CRAM_MD5] = "cram-md5",           [LOGIN_PLAIN] = "plain",
	[LOGIN_LOGIN] = "login",       [LOGIN_USER] = "user",
};

bool login_method_find(struct str name, enum login_method *method)
{
	for (unsigned i = 0; i < LOGIN_METHOD_COUNT; i++)
		if (str_equal_nocase(name, str_of(method_names[i]))) {
			*method = (enum login_method)i;
			return true;
		}
	return false;
}

const char *login_method_name(enum login_method method)
{
	must((unsigned)method < LOGIN_METHOD_COUNT);
	return method_names[method];
}

static bool has_word(struct str list, struct str wanted)
{
	struct str word;
	while (str_take_until(&list, ' ', &word))
		if (word.length && str_equal_nocase(word, wanted))
			return true;
	return false;
}

static bool is_offered(const struct way *way, const struct login_offer *offer)
{
	if (way->traits & APOP)
		return offer->apop;
	if (way->traits & USER)
		return offer->user;
	return (!(way->traits & BINDS) || offer->binding) && has_word(offer->mechanisms, str_of(way->name));
}

bool login_choose(const struct login_offer *offer, enum login_method method, struct login_plan *plan,
                  struct fail **fail)
{
	*plan = (struct login_plan){};
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		const struct way *way = &ways[i];
		bool second = plan->count > 0;
		bool wanted = method == LOGIN_BEST || method == way->method;
		/* The second try: what a server can check whatever it has stored, and where nobody listens. */
		if (!wanted || !is_offered(way, offer) ||
		    (second && !(offer->tls && way->traits & REVEALS && method == LOGIN_BEST)))
			continue;
		if (!second)
			plan->reveals = way->traits & REVEALS && !offer->tls;
		plan->tries[plan->count++] = way->name;
		if (way->traits & REVEALS || plan->count == LOGIN_TRIES_MAX)
			break;
	}
	if (plan->count)
		return true;
	if (method == LOGIN_BEST)
		return fail_set(fail, FAIL_DENIED, "%s%s", _("the server offers no log-in that this program knows"),
		                offer->tls ? "" : _("; it may offer one with TLS"));
	return fail_set(fail, FAIL_DENIED, _("the server does not offer the log-in method %s"), login_method_name(method));
}

/* ---- SASL ---- */

static void send_bytes(const struct login_wire *wire, const char *prefix, struct str bytes)
{
	CLEANUP(buf_wipe) struct buf line = BUF_WITH_LIMIT(2 * SASL_MESSAGE_MAX);
	buf_add_str(&line, str_of(prefix));
	text_base64_encode(&line, bytes);
	must(!line.overflowed);
	wire->send(wire->context, buf_str(&line));
}

/* "AUTH mechanism", with the first message where it fits: RFC 5034 §4, RFC 4954 §4. True when it was sent. */
static bool send_auth(const struct login_wire *wire, const char *mechanism, bool speaks_first, struct str first)
{
	char command[64];
	int length = snprintf(command, sizeof command, "AUTH %s ", mechanism);
	must(length > 0 && (size_t)length < sizeof command);
	bool fits = speaks_first && first.length && (size_t)length + (first.length + 2) / 3 * 4 + 2 <= wire->line_max;
	if (fits)
		send_bytes(wire, command, first);
	else
		wire->send(wire->context, str_from(command, (size_t)length - 1));
	return fits;
}

/* "*" ends an exchange: RFC 5034 §4, RFC 4954 §4. The answer to it is a refusal. */
static enum login_answer cancel(const struct login_wire *wire, const char *why, struct fail **fail)
{
	CLEANUP(buf_release) struct buf ignored = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	wire->send(wire->context, STR("*"));
	if (wire->receive(wire->context, &ignored, fail) == LOGIN_BROKEN)
		return LOGIN_BROKEN;
	fail_set(fail, FAIL_CORRUPT, _("log-in: %s"), _(why));
	return LOGIN_BROKEN;
}

static enum login_answer converse(const struct login_wire *wire, struct sasl_exchange *x, const char *mechanism,
                                  struct fail **fail)
{
	CLEANUP(buf_wipe) struct buf output = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	CLEANUP(buf_release) struct buf challenge = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	bool speaks_first = sasl_client_speaks_first(x);
	enum sasl_result result = speaks_first ? sasl_client_step(x, STR(""), &output) : SASL_MORE;
	if (result == SASL_FAILED) {
		fail_set(fail, FAIL_DENIED, _("log-in: %s"), _(sasl_why(x)));
		return LOGIN_REFUSED;
	}
	bool waiting = speaks_first && !send_auth(wire, mechanism, speaks_first, buf_str(&output));
	if (!speaks_first)
		send_auth(wire, mechanism, false, STR(""));
	for (;;) {
		buf_clear(&challenge);
		enum login_answer answer = wire->receive(wire->context, &challenge, fail);
		if (answer == LOGIN_ACCEPTED && result != SASL_DONE) {
			fail_set(fail, FAIL_CORRUPT,
			         _("the server accepted the log-in without proving that it knows the password"));
			return LOGIN_BROKEN;
		}
		if (answer != LOGIN_CHALLENGE)
			return answer;
		if (!waiting)
			result = sasl_client_step(x, buf_str(&challenge), &output);
		waiting = false;
		if (result == SASL_FAILED)
			return cancel(wire, sasl_why(x), fail);
		send_bytes(wire, "", buf_str(&output));
	}
}

enum login_answer login_exchange(const struct login_wire *wire, const char *mechanism,
                                 const struct login_credentials *credentials, const struct tls_facts *tls,
                                 struct fail **fail)
{
	struct sasl_facts facts = { .tls = tls != NULL, .cleartext_allowed = true, .scram_sha1 = true, .cram_md5 = true };
	if (tls && tls->has_binding)
		facts.tls_exporter = str_from((const char *)tls->binding, sizeof tls->binding);
	CLEANUP(sasl_cleanup) struct sasl *sasl = sasl_new();
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *x =
		sasl_client_start(sasl, str_of(mechanism), &facts, credentials->user, credentials->password, fail);
	return x ? converse(wire, x, mechanism, fail) : LOGIN_BROKEN;
}

/* ---- APOP ---- */

void login_apop_digest(struct buf *out, struct str timestamp, struct str password)
{
	CLEANUP(buf_wipe) struct buf text = BUF_WITH_LIMIT(LIMIT_POP3_ANSWER_LINE_MAX + LIMIT_PASSWORD_MAX);
	unsigned char digest[MD5_SIZE];
	buf_add_str(&text, timestamp);
	buf_add_str(&text, password);
	must(!text.overflowed && EVP_Digest(text.data, text.length, digest, NULL, EVP_md5(), NULL) == 1);
	text_hex_encode(out, str_from((const char *)digest, sizeof digest));
}

/* RFC 5322 §3.2.3 atext, and the dots and brackets of an id. */
static bool is_id_char(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~.[]:", c));
}

bool login_is_apop_timestamp(struct str timestamp)
{
	size_t at = str_find_char(timestamp, '@'), last = timestamp.length - 1;
	if (timestamp.length < 5 || timestamp.data[0] != '<' || timestamp.data[last] != '>' || at <= 1 || at + 1 >= last)
		return false;
	for (size_t i = 1; i < last; i++)
		if (i != at && !is_id_char(timestamp.data[i]))
			return false;
	return true;
}

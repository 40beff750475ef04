#include "login.h"

static const struct mechanism {
	const char *name;
	bool binds, reveals;
} mechanisms[] = { /* strongest first */
	{ "SCRAM-SHA-256-PLUS", true, false }, { "SCRAM-SHA-256", false, false }, { "SCRAM-SHA-1-PLUS", true, false },
	{ "SCRAM-SHA-1", false, false }, { "CRAM-MD5", false, false }, { "PLAIN", false, true }, { "LOGIN", false, true },
};

static const struct mechanism *choose(const struct smtp_ehlo *offers, const struct tls_facts *tls, bool revealing)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		const struct mechanism *m = &mechanisms[i];
		bool fits = (!m->binds || (tls && tls->has_binding)) && (!revealing || m->reveals);
		if (fits && smtp_ehlo_has_mechanism(offers, str_of(m->name)))
			return m;
	}
	return NULL;
}

static void say_auth(struct login *l, struct smtp_sender *sender, struct str mechanism)
{
	struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	bool speaks_first = sasl_client_speaks_first(l->exchange);
	l->result = speaks_first ? sasl_client_step(l->exchange, STR(""), &out) : SASL_MORE;
	if (!speaks_first || !smtp_sender_auth(sender, mechanism, true, buf_str(&out)))
		smtp_sender_auth(sender, mechanism, false, STR(""));
	else
		buf_clear(&out);
	if (out.length)
		l->first = out;
	else
		buf_wipe(&out);
}

bool login_begin(struct login *l, struct sasl *sasl, struct smtp_sender *sender, const struct tls_facts *tls,
                 const struct login_credentials *credentials, bool again)
{
	struct sasl_facts facts = { .tls = tls != NULL, .cleartext_allowed = true, .scram_sha1 = true, .cram_md5 = true };
	const struct mechanism *m = again && (!tls || l->reveals) ? NULL : choose(smtp_sender_offers(sender), tls, again);
	login_release(l);
	if (!m)
		return false;
	if (tls && tls->has_binding)
		facts.tls_exporter = str_from((const char *)tls->binding, sizeof tls->binding);
	l->reveals = m->reveals;
	l->mechanism = m->name;
	l->exchange = sasl_client_start(sasl, str_of(m->name), &facts, credentials->user, credentials->password, NULL);
	if (!l->exchange)
		return false;
	say_auth(l, sender, str_of(m->name));
	return true;
}

void login_answer(struct login *l, struct smtp_sender *sender, struct str challenge)
{
	struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	if (l->first.length) {
		smtp_sender_auth_answer(sender, buf_str(&l->first));
		buf_wipe(&l->first);
		return;
	}
	l->result = sasl_client_step(l->exchange, challenge, &out);
	if (l->result == SASL_FAILED)
		smtp_sender_auth_cancel(sender);
	else
		smtp_sender_auth_answer(sender, buf_str(&out));
	buf_wipe(&out);
}

bool login_is_proven(const struct login *l)
{
	return l->exchange && l->result == SASL_DONE;
}

void login_release(struct login *l)
{
	sasl_exchange_free(TAKE(l->exchange));
	buf_wipe(&l->first);
	l->result = SASL_MORE;
}

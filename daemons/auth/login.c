/* Log-ins that porters relay. A request number is a connection's; one log-in of a connection is under way at most. */
#include "auth.h"

#include "clock.h"
#include "directory_secret.h"
#include "log.h"

#include <stdlib.h>

enum { FAILURES_PER_CONNECTION_MAX = 20 };

static void refuse(struct ipc_peer *porter, uint64_t connection, enum auth_reason reason)
{
	static const char *const texts[] = {
		[AUTH_REASON_CREDENTIALS] = "wrong user or password",
		[AUTH_REASON_SYNTAX] = "the mechanism's data makes no sense",
		[AUTH_REASON_MECHANISM] = "the mechanism is not offered here",
		[AUTH_REASON_DISABLED] = "the account is disabled",
		[AUTH_REASON_BLOCKED] = "too many failed log-ins, try again later",
		[AUTH_REASON_TEMPORARY] = "log-in is not possible now, try again later",
		[AUTH_REASON_LOGIN_DELAY] = "too soon after the last log-in",
	};
	struct msg_auth_failed failed = { .reason = (uint32_t)reason, .text = str_of(texts[reason]) };
	msg_auth_failed_send(&porter->channel, connection, &failed, -1);
}

/* ---- success ------------------------------------------------------------------------------- */

static bool submits(const struct connection *c)
{
	return c->service == SERVICE_SUBMISSION || c->service == SERVICE_SUBMISSIONS;
}

/* RFC 2449 §6.5: true when the account's last POP3 log-in is too near. */
static bool comes_too_soon(const struct connection *c, uint64_t account)
{
	struct auth *auth = c->porter->auth;
	int64_t now = clock_monotonic_ms(), delay_ms = (int64_t)auth->daemon.config.pop3_login_delay_seconds * 1000;
	struct recent_key key = auth_key(auth, "pop3", MAP_KEY(account), STR(""));
	if (!connection_is_pop3(c) || delay_ms == 0)
		return false;
	if (recent_find(auth->pop3_logins, &key, now))
		return true;
	recent_put(auth->pop3_logins, &key, now, now + delay_ms)->account = account;
	return false;
}

/* Who needs to know hears of it before porter does. */
static void log_in(struct connection *c, const struct directory_account *account)
{
	struct auth *auth = c->porter->auth;
	struct msg_auth_ok ok = { .account = str_of(account->address), .language = str_of(account->language) };
	connection_log_out(c);
	c->account = (uint64_t)account->id;
	memcpy(c->address, account->address, ok.account.length + 1);
	c->since = clock_wall_seconds();
	if (submits(c)) {
		connection_give_token(c);
		ok.token = c->token;
	} else {
		queue_tell_quota(auth, c->account); /* what the session may add is known before it begins */
		struct msg_session_account named = { .porter = c->porter->peer.id, .account = c->account };
		msg_session_account_send(&auth->daemon.master.channel, c->id, &named, -1);
	}
	msg_auth_ok_send(&c->porter->peer.channel, c->id, &ok, -1);
}

static void settled(struct attempt *a)
{
	struct connection *c = a->owner;
	c->attempt = NULL;
	if (a->passed && comes_too_soon(c, (uint64_t)a->login.account.id))
		refuse(&c->porter->peer, c->id, AUTH_REASON_LOGIN_DELAY);
	else if (a->passed)
		log_in(c, &a->login.account);
	else {
		c->failures++;
		refuse(&c->porter->peer, c->id, a->reason);
	}
	attempt_free(a);
}

/* ---- beginning ----------------------------------------------------------------------------- */

/* The connection of the frame if it may begin a log-in. *good is false when porter should not have asked; else porter
 * has been answered. */
static struct connection *may_begin(struct ipc_peer *peer, const struct ipc_frame *frame, bool *good)
{
	struct porter *porter = peer->owner;
	struct connection *c = map_get(porter->connections, MAP_KEY(frame->request));
	*good = !c || (!c->attempt && !c->exchange && c->service != SERVICE_LMTP && c->service != SERVICE_SMTP);
	if (!*good)
		return NULL;
	/* It was announced to an auth that is no more. */
	if (!c)
		refuse(peer, frame->request, AUTH_REASON_TEMPORARY);
	else if (c->failures >= FAILURES_PER_CONNECTION_MAX) {
		refuse(peer, frame->request, AUTH_REASON_BLOCKED);
		c = NULL;
	}
	return c;
}

static struct attempt *begin_attempt(struct connection *c)
{
	c->attempt = attempt_new(c->porter->auth, c->id, service_name(c->service), &c->source, c, settled);
	return c->attempt;
}

/* The same rule that porter follows; a porter that does not is no way around it. */
static bool password_allowed(const struct connection *c, bool tls)
{
	enum config_plaintext_login allowed = c->porter->auth->daemon.config.allow_plaintext_login;
	return tls || allowed == CONFIG_PLAINTEXT_YES || (allowed == CONFIG_PLAINTEXT_LOOPBACK && c->source.loopback);
}

bool login_password(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_auth_password login;
	bool good = msg_auth_password_read(frame, &login);
	struct connection *c = good ? may_begin(peer, frame, &good) : NULL;
	if (c && (enum service)login.service != c->service)
		good = false;
	else if (c && !password_allowed(c, login.tls))
		refuse(peer, c->id, AUTH_REASON_MECHANISM);
	else if (c)
		attempt_password(begin_attempt(c), login.user, login.password);
	auth_wipe(frame->payload);
	return good;
}

/* RFC 1939 §7: every APOP client knows the timestamp of its own greeting only. */
static bool apop_is_right(struct connection *c, struct str user, struct str digest)
{
	CLEANUP(directory_credential_wipe) struct directory_credential credential = {};
	struct directory_login login;
	return c->apop_timestamp[0] && directory_login_find(c->porter->auth->directory, user, &login, NULL) &&
	       login.known && directory_credential_get(c->porter->auth->directory, login.account.id, &credential, NULL) &&
	       sasl_apop_check(str_of(c->apop_timestamp), str_from(credential.secret.text, credential.secret.length),
	                       digest);
}

bool login_apop(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_auth_apop login;
	bool good = msg_auth_apop_read(frame, &login);
	struct connection *c = good ? may_begin(peer, frame, &good) : NULL;
	if (!c)
		return good;
	if (!c->apop_timestamp[0])
		refuse(peer, c->id, AUTH_REASON_MECHANISM);
	else if (apop_is_right(c, login.user, login.digest))
		attempt_proved(begin_attempt(c), login.user);
	else
		attempt_failed(begin_attempt(c), login.user, AUTH_REASON_CREDENTIALS, "wrong APOP digest");
	return true;
}

/* ---- SASL ---------------------------------------------------------------------------------- */

static const struct directory_scram *scram_of(const struct directory_credential *credential, enum sasl_secret_kind kind)
{
	return kind == SASL_SCRAM_SHA_1 ? &credential->scram_sha1 : &credential->scram_sha256;
}

static void copy_scram(const struct directory_scram *scram, struct sasl_secret *secret)
{
	_Static_assert(SASL_SALT_MAX == DIRECTORY_SCRAM_SALT_MAX && SASL_KEY_MAX == DIRECTORY_SCRAM_KEY_MAX,
	               "one holds the other");
	secret->known = true;
	secret->iterations = scram->iterations;
	secret->salt_length = scram->salt_length;
	memcpy(secret->salt, scram->salt, sizeof secret->salt);
	memcpy(secret->stored_key, scram->stored_key, sizeof secret->stored_key);
	memcpy(secret->server_key, scram->server_key, sizeof secret->server_key);
}

void login_find_secret(void *owner, struct str name, enum sasl_secret_kind kind, struct sasl_secret *secret)
{
	struct auth *auth = owner;
	CLEANUP(directory_credential_wipe) struct directory_credential credential = {};
	struct directory_login login = {};
	secret->iterations = auth->cost.scram_iterations;
	directory_login_find(auth->directory, name, &login, NULL);
	memcpy(secret->canonical, login.name, strlen(login.name) + 1);
	if (!login.known || !login.account.enabled ||
	    !directory_credential_get(auth->directory, login.account.id, &credential, NULL))
		return;
	const struct directory_scram *scram = scram_of(&credential, kind);
	if (kind != SASL_CLEAR && scram->iterations > 0)
		copy_scram(scram, secret);
	else if (kind == SASL_CLEAR && credential.secret.length > 0) {
		secret->known = true;
		memcpy(secret->clear, credential.secret.text, credential.secret.length + 1);
	}
}

static void end_exchange(struct connection *c)
{
	sasl_exchange_cleanup(&c->exchange);
}

/* Data that names nobody tells a guesser nothing. */
static void exchange_failed(struct connection *c)
{
	struct str name = sasl_identity(c->exchange);
	if (str_is_empty(name))
		refuse(&c->porter->peer, c->id, AUTH_REASON_SYNTAX);
	else
		attempt_failed(begin_attempt(c), name, AUTH_REASON_CREDENTIALS, sasl_why(c->exchange));
}

static void step(struct connection *c, struct str input, bool initial)
{
	CLEANUP(buf_release) struct buf output = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	enum sasl_result result = sasl_server_step(c->exchange, input, initial, &output);
	if (result == SASL_MORE) {
		struct msg_auth_challenge challenge = { .challenge = buf_str(&output) };
		msg_auth_challenge_send(&c->porter->peer.channel, c->id, &challenge, -1);
		return;
	}
	/* The attempt may answer at once, and the exchange's texts must live until then. */
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *exchange = c->exchange;
	if (result == SASL_PASSWORD)
		attempt_password(begin_attempt(c), sasl_identity(exchange), sasl_password(exchange));
	else if (result == SASL_DONE && c->exchange_began != c->porter->auth->revocations)
		/* What it proved may be a password that is none any more. */
		refuse(&c->porter->peer, c->id, AUTH_REASON_TEMPORARY);
	else if (result == SASL_DONE)
		attempt_proved(begin_attempt(c), sasl_identity(exchange));
	else
		exchange_failed(c);
	c->exchange = NULL;
}

static void begin_exchange(struct connection *c, const struct msg_auth_start *start)
{
	struct auth *auth = c->porter->auth;
	struct sasl_facts facts = {
		.tls = start->tls, .cleartext_allowed = password_allowed(c, start->tls),
		.scram_sha1 = auth->mechanisms & MECHANISM_SCRAM_SHA_1, .cram_md5 = auth->mechanisms & MECHANISM_CRAM_MD5,
		.tls_exporter = start->exporter,
	};
	c->exchange = sasl_server_start(auth->sasl, start->mechanism, &facts, &auth->secrets, NULL);
	c->exchange_began = auth->revocations;
	if (c->exchange)
		step(c, start->initial, start->has_initial);
	else
		refuse(&c->porter->peer, c->id, AUTH_REASON_MECHANISM);
}

bool login_start(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_auth_start start;
	bool good = msg_auth_start_read(frame, &start);
	struct connection *c = good ? may_begin(peer, frame, &good) : NULL;
	if (c && (enum service)start.service != c->service)
		good = false;
	else if (c)
		begin_exchange(c, &start);
	auth_wipe(frame->payload);
	return good;
}

bool login_step(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = peer->owner;
	struct connection *c = map_get(porter->connections, MAP_KEY(frame->request));
	struct msg_auth_step response;
	if (!msg_auth_step_read(frame, &response) || (c && !c->exchange))
		return false;
	if (c)
		step(c, response.response, false);
	else
		refuse(peer, frame->request, AUTH_REASON_TEMPORARY);
	auth_wipe(frame->payload);
	return true;
}

bool login_cancel(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = peer->owner;
	struct connection *c = map_get(porter->connections, MAP_KEY(frame->request));
	if (c && c->exchange)
		end_exchange(c);
	return true;
}

void login_abandon(struct connection *c)
{
	end_exchange(c);
	if (c->attempt)
		attempt_abandon(c->attempt);
	c->attempt = NULL;
}

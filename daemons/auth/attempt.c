/* One try to prove who one is, and when it is answered. */
#include "auth.h"

#include "clock.h"
#include "directory_secret.h"
#include "mem.h"

#include <stdlib.h>

struct attempt *attempt_new(struct auth *auth, uint64_t session, const char *service, const struct source *source,
                            void *owner, void (*settled)(struct attempt *a))
{
	struct attempt *a = mem_alloc(sizeof *a);
	a->auth = auth;
	a->session = session;
	a->service = service;
	a->owner = owner;
	a->settled = settled;
	a->began_ms = clock_monotonic_ms();
	if (source) {
		a->source_copy = *source;
		a->source = &a->source_copy;
	}
	return a;
}

void attempt_free(struct attempt *a)
{
	loop_stop_timer(a->auth->daemon.loop, &a->timer);
	free(a);
}

static void settle(struct attempt *a)
{
	if (a->settled)
		a->settled(a);
	else
		attempt_free(a);
}

void attempt_abandon(struct attempt *a)
{
	a->settled = NULL;
	a->owner = NULL;
	/* A failure that is counted already has nothing more to do. */
	if (a->timer.place)
		attempt_free(a);
}

/* The account that a name in a log line may show: none for names that are nobody's. */
static struct str shown_account(const struct attempt *a)
{
	return str_of(a->login.known ? a->login.account.address : "-");
}

static void pass(struct attempt *a)
{
	a->passed = true;
	penalty_forget(a->auth, &a->name_key);
	settle(a);
}

static void settle_now(void *owner)
{
	settle(owner);
}

static void answer_after(struct attempt *a, int64_t delay_ms)
{
	int64_t left_ms = a->began_ms + delay_ms - clock_monotonic_ms();
	if (left_ms <= 0)
		settle(a);
	else
		loop_start_timer(a->auth->daemon.loop, &a->timer, left_ms, settle_now, a);
}

static bool source_counts(const struct attempt *a)
{
	return a->source && a->source->counted;
}

/* Counts what tells a guesser something; the delay is what earlier failures have earned. */
static int64_t count_failure(struct attempt *a, unsigned *failures)
{
	int64_t delay = 0, other = 0;
	const char *label = a->login.known ? a->login.account.address : "";
	uint64_t account = a->login.known ? (uint64_t)a->login.account.id : 0;
	*failures = 0;
	/* Who comes from an exempt network (a webmail, a proxy) waits for no failures of others. */
	if (a->source && a->source->exempt)
		return 0;
	delay = penalty_delay_ms(a->auth, &a->name_key);
	*failures = penalty_count(a->auth, &a->name_key, account, label);
	if (source_counts(a)) {
		other = penalty_delay_ms(a->auth, &a->source->key);
		*failures = penalty_count(a->auth, &a->source->key, 0, a->source->text);
	}
	return delay > other ? delay : other;
}

static void fail(struct attempt *a, enum auth_reason reason, const char *why)
{
	unsigned failures = 0;
	int64_t delay = a->auth->daemon.config.answer_time_ms;
	a->passed = false;
	a->reason = reason;
	a->why = why;
	if (reason == AUTH_REASON_CREDENTIALS)
		delay += count_failure(a, &failures);
	log_event(LOG_INFO, a->session, "login-refused", LOG_TEXT("service", str_of(a->service)),
	          LOG_TEXT("account", shown_account(a)), LOG_TEXT("peer", str_of(a->source ? a->source->text : "local")),
	          LOG_TEXT("why", str_of(why)), LOG_NUMBER("failures", failures), LOG_NUMBER("delay-ms", delay));
	if (source_counts(a) && penalty_is_blocked(a->auth, &a->source->key) && reason == AUTH_REASON_CREDENTIALS)
		log_event(LOG_WARNING, a->session, "address-blocked", LOG_TEXT("peer", str_of(a->source->text)),
		          LOG_NUMBER("seconds", a->auth->daemon.config.block_seconds));
	if (reason == AUTH_REASON_TEMPORARY)
		settle(a);
	else
		answer_after(a, delay);
}

/* Who the name is. False: a database that fails or an address that is blocked; the attempt has been answered then. */
static bool look_up(struct attempt *a, struct str name)
{
	CLEANUP(fail_free) struct fail *trouble = NULL;
	if (!directory_login_find(a->auth->directory, name, &a->login, &trouble)) {
		log_event(LOG_ERROR, a->session, "directory-failed", LOG_TEXT("why", str_of(fail_text(trouble))));
		fail(a, AUTH_REASON_TEMPORARY, "the directory fails");
		return false;
	}
	a->name_key = auth_key(a->auth, "name", str_of(a->login.name), STR(""));
	if (source_counts(a) && penalty_is_blocked(a->auth, &a->source->key)) {
		fail(a, AUTH_REASON_BLOCKED, "the address is blocked");
		return false;
	}
	return true;
}

static bool may_log_in(const struct directory_login *login)
{
	return login->known && login->account.enabled && !login->account.purge_at;
}

static const char *why_not(const struct directory_login *login)
{
	return !login->known ? "unknown user" : !may_log_in(login) ? "the account is disabled" : "wrong password";
}

/* ---- a credential that is right but old ---------------------------------------------------- */

/* The directory still has the credential that h was made from. */
static bool is_unchanged(struct auth *auth, uint64_t account, const struct hashing *h)
{
	CLEANUP(directory_credential_wipe) struct directory_credential now;
	return directory_credential_get(auth->directory, (int64_t)account, &now, NULL) &&
	       str_equal(str_of(now.hash), str_of(h->stored.hash));
}

struct renewal {
	struct auth *auth;
	uint64_t account;
};

static void renewed(struct hashing *h)
{
	CLEANUP(fail_free) struct fail *trouble = NULL;
	struct renewal *r = h->owner;
	if (is_unchanged(r->auth, r->account, h)) {
		if (!directory_credential_set(r->auth->directory, (int64_t)r->account, &h->made, &trouble))
			log_event(LOG_ERROR, 0, "renewal-failed", LOG_NUMBER("account", r->account),
			          LOG_TEXT("why", str_of(fail_text(trouble))));
		auth_directory_changed(r->auth);
	}
	free(r);
	hashing_free(h);
}

/* Imported, of other cost, or without parts that the account opted in to: made anew while the password is at hand. */
static void renew(struct attempt *a, const struct hashing *checked)
{
	struct renewal *r = mem_alloc(sizeof *r);
	struct hashing *h = hashing_new(&a->auth->cost, r, renewed);
	r->auth = a->auth;
	r->account = (uint64_t)a->login.account.id;
	h->stored = checked->stored;
	h->makes = true;
	h->make_parts = a->login.account.mechanisms;
	if (directory_password_normalise(str_from(checked->typed, checked->typed_length), &h->password, NULL) &&
	    worker_submit(a->auth->workers, h))
		return;
	free(r);
	hashing_free(h);
}

/* ---- passwords ----------------------------------------------------------------------------- */

/* While the thread worked the account may have been disabled or its password changed. */
static bool still_holds(struct attempt *a, const struct hashing *h)
{
	struct directory_account *account = &a->login.account;
	return may_log_in(&a->login) && directory_account_get_by_id(a->auth->directory, account->id, account, NULL) &&
	       may_log_in(&a->login) && is_unchanged(a->auth, (uint64_t)account->id, h);
}

static void checked(struct hashing *h)
{
	struct attempt *a = h->owner;
	bool right = h->result != DIRECTORY_WRONG && still_holds(a, h);
	if (right)
		cache_add(a->auth, (uint64_t)a->login.account.id, str_from(h->typed, h->typed_length));
	if (right && h->result == DIRECTORY_RIGHT_BUT_OLD)
		renew(a, h);
	hashing_free(h);
	if (right)
		pass(a);
	else
		fail(a, AUTH_REASON_CREDENTIALS, why_not(&a->login));
}

/* Something is hashed for every name, so that a guesser's load says nothing about it either. */
static void begin_check(struct attempt *a, struct str password)
{
	struct auth *auth = a->auth;
	struct hashing *h = hashing_new(&auth->cost, a, checked);
	h->checks = true;
	h->parts = a->login.account.mechanisms;
	hashing_set_typed(h, password);
	if (!may_log_in(&a->login) || !directory_credential_get(auth->directory, a->login.account.id, &h->stored, NULL))
		h->stored = auth->decoy;
	if (worker_submit(auth->workers, h))
		return;
	hashing_free(h);
	fail(a, AUTH_REASON_TEMPORARY, "too many log-ins wait");
}

void attempt_password(struct attempt *a, struct str name, struct str password)
{
	if (!look_up(a, name))
		return;
	uint64_t account = (uint64_t)a->login.account.id;
	bool is_app = !a->no_app_passwords && may_log_in(&a->login) &&
	              directory_app_password_check(a->auth->directory, a->login.account.id, password);
	if (is_app || (may_log_in(&a->login) && cache_has(a->auth, account, password)))
		pass(a);
	else
		begin_check(a, password);
}

void attempt_proved(struct attempt *a, struct str name)
{
	if (!look_up(a, name))
		return;
	if (may_log_in(&a->login))
		pass(a);
	else
		fail(a, AUTH_REASON_CREDENTIALS, why_not(&a->login));
}

void attempt_failed(struct attempt *a, struct str name, enum auth_reason reason, const char *why)
{
	if (look_up(a, name))
		fail(a, reason, why);
}

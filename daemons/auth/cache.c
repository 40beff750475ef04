/* Verified log-ins: a client that comes every minute costs one hash in login_cache_seconds. What is kept is a keyed
 * hash of account and password; it is dropped when the account's password changes or the account is disabled
 * (auth_revoke). */
#include "auth.h"

#include "clock.h"

static struct recent_key key_of(const struct auth *auth, uint64_t account, struct str password)
{
	return auth_key(auth, "password", MAP_KEY(account), password);
}

bool cache_has(struct auth *auth, uint64_t account, struct str password)
{
	struct recent_key key = key_of(auth, account, password);
	return recent_find(auth->verified, &key, clock_monotonic_ms()) != NULL;
}

void cache_add(struct auth *auth, uint64_t account, struct str password)
{
	struct recent_key key = key_of(auth, account, password);
	int64_t now = clock_monotonic_ms(), life_ms = (int64_t)auth->daemon.config.login_cache_seconds * 1000;
	if (life_ms > 0)
		recent_put(auth->verified, &key, now, now + life_ms)->account = account;
}

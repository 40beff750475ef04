/* Failed log-ins: counted per address and per name, forgotten block_seconds after the last one. */
#include "auth.h"

#include "clock.h"

#include <stdio.h>

int64_t penalty_delay_ms(struct auth *auth, const struct recent_key *key)
{
	const struct config *config = &auth->daemon.config;
	struct recent_entry *entry = recent_find(auth->failures, key, clock_monotonic_ms());
	int64_t delay = config->failure_delay_ms, most = config->failure_delay_max_ms;
	if (!entry)
		return 0;
	for (unsigned i = 1; i < entry->count && delay < most; i++)
		delay *= 2;
	return delay < most ? delay : most;
}

bool penalty_is_blocked(struct auth *auth, const struct recent_key *key)
{
	unsigned most = auth->daemon.config.block_after_failures;
	struct recent_entry *entry = recent_find(auth->failures, key, clock_monotonic_ms());
	return most > 0 && entry && entry->count >= most;
}

unsigned penalty_count(struct auth *auth, const struct recent_key *key, uint64_t account, const char *label)
{
	int64_t now = clock_monotonic_ms();
	struct recent_entry *entry =
		recent_put(auth->failures, key, now, now + (int64_t)auth->daemon.config.block_seconds * 1000);
	entry->account = account;
	snprintf(entry->label, sizeof entry->label, "%s", label);
	return ++entry->count;
}

void penalty_forget(struct auth *auth, const struct recent_key *key)
{
	recent_forget(auth->failures, key);
}

/*
 * struct recent: a bounded memory of things that are forgotten after a time: failed log-ins, verified passwords, last
 * log-ins.
 *
 * At most max entries: the one that was put longest ago makes room for a new one, so strangers can fill it but not grow
 * it. Keys are keyed hashes (auth_key), so neither a password nor a name that somebody typed is kept. Entries belong to
 * the struct and live until forgotten, which happens only inside the functions below. Times are monotonic milliseconds.
 */
#ifndef POSTHORN_AUTH_RECENT_H
#define POSTHORN_AUTH_RECENT_H

#include "str.h"

#include <stdint.h>

struct recent;

struct recent_key {
	unsigned char bytes[32];
};

struct recent_entry {
	struct recent_entry *older, *newer;
	struct recent_key key;
	int64_t put_ms;
	int64_t until_ms;
	uint64_t account; /* that it is about, 0: none or unknown */
	unsigned count;   /* the owner's */
	char label[65];   /* for people: an address that may be shown */
};

struct recent *recent_new(size_t max);
void recent_free(struct recent *r);

/* NULL when there is none or its time is over. */
struct recent_entry *recent_find(struct recent *r, const struct recent_key *key, int64_t now_ms);

/* Finds or adds it, and makes it the newest; count, account and label stay. */
struct recent_entry *recent_put(struct recent *r, const struct recent_key *key, int64_t now_ms, int64_t until_ms);

void recent_forget(struct recent *r, const struct recent_key *key);
void recent_forget_account(struct recent *r, uint64_t account);
void recent_forget_all(struct recent *r);

/* Newest first: NULL begins, NULL ends. */
struct recent_entry *recent_next(struct recent *r, struct recent_entry *entry);

#endif

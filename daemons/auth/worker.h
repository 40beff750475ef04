/*
 * Hashing in threads of its own: checking or making a credential takes tens of milliseconds, which look-ups must not
 * wait for.
 *
 * Two threads and a bounded queue. A thread touches nothing but the struct hashing it works on; the loop does
 * not touch that struct between worker_submit and done. What was submitted is always done, in the loop, exactly once.
 */
#ifndef POSTHORN_AUTH_WORKER_H
#define POSTHORN_AUTH_WORKER_H

#include "directory_credential.h"
#include "loop.h"

struct hashing {
	struct hashing *next;
	void *owner;
	void (*done)(struct hashing *h);
	struct directory_credential_cost cost;
	/* First, if wanted: does typed fit stored? */
	bool checks;
	unsigned parts; /* what the account opted in to */
	struct directory_credential stored;
	char typed[LIMIT_PASSWORD_MAX];
	size_t typed_length;
	enum directory_check result;
	/* Then, if wanted and the check did not fail: a new credential. */
	bool makes;
	unsigned make_parts;
	struct directory_password password;
	struct directory_credential made;
};

struct hashing *hashing_new(const struct directory_credential_cost *cost, void *owner, void (*done)(struct hashing *h));

/* Wipes it. */
void hashing_free(struct hashing *h);

/* What is to be checked. Longer than any password can be: it becomes the empty one, which never fits. */
void hashing_set_typed(struct hashing *h, struct str typed);

struct workers;

/* After the sandbox. */
struct workers *workers_new(struct loop *loop);

/* Ends the threads after the work they are at; what waits is dropped. */
void workers_free(struct workers *w);

/* False when too much waits already. */
bool worker_submit(struct workers *w, struct hashing *h);

#endif

/*
 * The keys that mail is signed with: files in the folder dkim/ of the spool.
 *
 * "DOMAIN/SELECTOR.STATE" holds one private key in PEM form (PKCS #8). Folders have mode 0700, files 0600: nobody but
 * queue's user reads them. The state is part of the name, so that a change of state is one rename: NEW keys wait
 * until their record is published, ACTIVE ones sign, RETIRED ones sign no more, but their record should stand some
 * days for mail that is under way. What keys_add and keys_move did is durable when they return. A file that holds no
 * key is counted and passed over.
 *
 * struct keys is what the folder held at one moment. It never changes and may be read by several threads; references
 * are counted by the loop's thread alone. Functions that take a folder wait for the disk: they are for a worker, and
 * for the start.
 */
#ifndef POSTHORN_QUEUE_KEYS_H
#define POSTHORN_QUEUE_KEYS_H

#include "dkim.h"
#include "limits.h"

enum key_state { KEY_NEW, KEY_ACTIVE, KEY_RETIRED, KEY_STATE_COUNT };

enum { KEYS_MAX = 20000, KEYS_PER_DOMAIN_MAX = 30, KEYS_SIGNING_MAX = 6, KEYS_PEM_MAX = 16384 };

struct key {
	struct str domain;   /* A-labels, lower case */
	struct str selector;
	enum key_state state;
	EVP_PKEY *key;
};

struct keys;

/* Makes the folder if it is missing; -1 on failure. */
int keys_open_folder(int spool, struct fail **fail);

/* One reference is the caller's. */
struct keys *keys_load(int folder, struct fail **fail);
struct keys *keys_ref(struct keys *keys);
void keys_unref(struct keys *keys);

/* Of a domain, or of all if it is empty; by domain and selector. */
size_t keys_list(const struct keys *keys, struct str domain, const struct key **list);
const struct key *keys_find(const struct keys *keys, struct str domain, struct str selector);

/* Those that sign for a domain, at most KEYS_SIGNING_MAX. */
size_t keys_signing(const struct keys *keys, struct str domain, const struct dkim_signing_key **list);
bool keys_are_none(const struct keys *keys);

/* Files that hold no key. */
size_t keys_damaged(const struct keys *keys);

/* A domain's or a selector's name that may be a file's: labels of letters, digits and hyphens (and "_"), lower case. */
bool keys_name_is_good(struct str name);

/* "new", "active", "retired"; false: none of them. */
const char *key_state_name(enum key_state state);
bool key_state_of(struct str name, enum key_state *state);

/* The private key as its file has it, added to pem; the caller wipes it. */
bool keys_read(int folder, const struct key *key, struct buf *pem, struct fail **fail);

/* Makes a key; bits: of RSA, 0 for Ed25519. FAIL_EXISTS when the domain has that selector. */
bool keys_add(int folder, struct str domain, struct str selector, unsigned bits, enum key_state state,
              struct fail **fail);

/* The same with a private key that there is, in PEM form. */
bool keys_put(int folder, struct str domain, struct str selector, enum key_state state, struct str pem,
              struct fail **fail);
bool keys_move(int folder, const struct key *key, enum key_state state, struct fail **fail);
bool keys_remove(int folder, const struct key *key, struct fail **fail);

#endif

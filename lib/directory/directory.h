/*
 * directory.db: the domains, accounts, aliases and credentials of the post office.
 *
 * One SQLite database (WAL, synchronous FULL), opened by one process only: it is locked, a
 * second one gets FAIL_BUSY. Not for several threads. What a changing function answered true to
 * is on disk, except inside directory_begin … directory_commit, where the commit says so.
 *
 * Invariants:
 *  1. An account number is never used again, nor is an account's directory name.
 *  2. One address (domain, local part in comparing form) is at most one account and one alias;
 *     where it is both, the alias decides and reaches the account by naming itself.
 *  3. No alias leads back to itself but by naming its own account directly.
 *  4. generation grows with every committed change that could alter an answer.
 *
 * Every function that can fail takes `struct fail **`; the texts are for the administrator and
 * name the command that helps. A damaged database gives FAIL_CORRUPT, a full disk FAIL_NO_SPACE.
 * Names are taken as typed (any case, U-labels) and given back in comparing form.
 */
#ifndef POSTHORN_DIRECTORY_H
#define POSTHORN_DIRECTORY_H

#include "directory_address.h"

struct directory;

/* Opens, or makes, the database. Call directory_credential_init before. The files path, path-wal
 * and path-journal are opened here and later: let the sandbox allow the folder. */
struct directory *directory_open(const char *path, struct fail **fail);
void directory_close(struct directory *d);

/* For CLEANUP. */
void directory_cleanup(struct directory **d);

/* The change counter; when it differs from what a cache was filled under, the cache is stale. */
uint64_t directory_generation(const struct directory *d);

/* Makes several changes one: all or none. Not nested. commit fails if one of them failed badly;
 * then nothing is changed. */
bool directory_begin(struct directory *d, struct fail **fail);
bool directory_commit(struct directory *d, struct fail **fail);
void directory_rollback(struct directory *d);

/* A consistent copy in a new file, while all goes on. */
bool directory_backup(struct directory *d, const char *path, struct fail **fail);

/* Takes over all that such a copy has, the key too, at once or not at all. The copy may be changed on the way.
 * FAIL_EXISTS unless the directory has no domain and no account; FAIL_CORRUPT or FAIL_INVALID when the copy is
 * damaged or none. */
bool directory_restore(struct directory *d, const char *path, struct fail **fail);

/* SQLite's own check of the whole file, and of the references in it. */
bool directory_verify(struct directory *d, struct fail **fail);

enum directory_setting {
	DIRECTORY_SEPARATORS,      /* characters that begin a subaddress (RFC 5233); "" for none; "+" at first */
	DIRECTORY_DEFAULT_DOMAIN,  /* for log-in names and <postmaster> without a domain; "" takes the first domain */
	DIRECTORY_PASSWORD_MIN,    /* characters of a new password; 8 at first */
	DIRECTORY_SETTING_COUNT
};

#define DIRECTORY_SETTING_MAX 255

/* NULL when there is no such setting ("subaddress-separators" and so on) for name. */
bool directory_setting_find(struct str name, enum directory_setting *setting);

/* Valid until the setting changes. */
const char *directory_setting(const struct directory *d, enum directory_setting setting);
bool directory_setting_set(struct directory *d, enum directory_setting setting, struct str value, struct fail **fail);

#define DIRECTORY_KEY_SIZE 32

/* A secret of this post office, the same for life, for a purpose: keyed hashes of app passwords,
 * invented SCRAM salts. Keys for different purposes say nothing about each other. */
void directory_key(const struct directory *d, const char *purpose, unsigned char key[DIRECTORY_KEY_SIZE]);

#endif

/*
 * The credentials of accounts as they are kept, and app passwords.
 *
 * Nothing here computes anything slow: directory_credential.h makes and checks, in other threads.
 */
#ifndef POSTHORN_DIRECTORY_SECRET_H
#define POSTHORN_DIRECTORY_SECRET_H

#include "directory.h"
#include "directory_credential.h"

/* Sets or replaces. What the account did not opt in to is left out, so that one credential made
 * with all parts can be given to many accounts. */
bool directory_credential_set(struct directory *d, int64_t account_id, const struct directory_credential *credential,
                              struct fail **fail);

/* FAIL_NOT_FOUND if the account has none: it cannot log in. Wipe it after use. */
bool directory_credential_get(struct directory *d, int64_t account_id, struct directory_credential *credential,
                              struct fail **fail);

/* Parts that at least one account has: the mechanisms that are worth offering. */
bool directory_credential_parts(struct directory *d, unsigned *parts, struct fail **fail);

/*
 * App passwords: one per program or device, made by us (120 random bits, so a fast keyed hash
 * is enough), shown once, for PLAIN, LOGIN and USER/PASS only. Typed in any case, with or
 * without the hyphens.
 */
#define DIRECTORY_APP_PASSWORD_TEXT 29  /* "abcd-efgh-ijkl-mnop-qrst-uvwx" */
#define DIRECTORY_APP_PASSWORD_NAME_MAX 100

struct directory_app_password {
	int64_t id;
	int64_t created;    /* seconds since 1970 */
	int64_t last_used;  /* 0: never; exact to an hour */
	char name[DIRECTORY_APP_PASSWORD_NAME_MAX + 1];
};

/* At most LIMIT_APP_PASSWORDS_MAX. FAIL_EXISTS if the account has one of that name. */
bool directory_app_password_add(struct directory *d, int64_t account_id, struct str name,
                                char text[DIRECTORY_APP_PASSWORD_TEXT + 1], struct fail **fail);
bool directory_app_password_remove(struct directory *d, int64_t account_id, struct str name, struct fail **fail);

/* The one after p->id (begin with 0). False at the end and on failure. */
bool directory_app_password_next(struct directory *d, int64_t account_id, struct directory_app_password *p,
                                 struct fail **fail);

/* True if typed is one of the account's. Takes microseconds; notes the use at most once an hour. */
bool directory_app_password_check(struct directory *d, int64_t account_id, struct str typed);

#endif

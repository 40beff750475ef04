/*
 * Accounts: who has a mailbox here.
 *
 * An account is named by its number, which is never used again. Deleting only marks it: the
 * address is free at once, nobody can log in and nothing is delivered, but number, directory and
 * credentials stay until the grace time is over (purge_at); then the caller removes its files, and
 * directory_account_purge forgets it.
 */
#ifndef POSTHORN_DIRECTORY_ACCOUNT_H
#define POSTHORN_DIRECTORY_ACCOUNT_H

#include "directory.h"

#define DIRECTORY_PATH_MAX (LIMIT_DOMAIN_MAX + 1 + LIMIT_ACCOUNT_LOCAL_PART_MAX + 1 + 20)
#define DIRECTORY_DISPLAY_NAME_MAX 255
#define DIRECTORY_QUOTA_INHERIT (-1)

struct directory_account {
	int64_t id;
	bool enabled;
	unsigned mechanisms;         /* enum directory_parts: what it opted in to */
	int64_t quota_bytes;         /* as it holds, its own or its domain's; 0: no limit */
	int64_t quota_messages;
	int64_t own_quota_bytes;     /* DIRECTORY_QUOTA_INHERIT: its domain's */
	int64_t own_quota_messages;
	int64_t created;             /* seconds since 1970 */
	int64_t purge_at;            /* 0: not deleted */
	char address[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	char directory[DIRECTORY_PATH_MAX + 1];  /* below the folder of all accounts: "example.org/alice.17" */
	char display_name[DIRECTORY_DISPLAY_NAME_MAX + 1];
	char language[3];            /* "en", "it" or "sk" */
};

/* *id gets the number. language "" is English. FAIL_EXISTS if the address is taken. */
bool directory_account_add(struct directory *d, struct str address, struct str display_name, struct str language,
                           int64_t *id, struct fail **fail);

/* By primary address; deleted accounts have none. FAIL_NOT_FOUND says how to add it. */
bool directory_account_get(struct directory *d, struct str address, struct directory_account *account,
                           struct fail **fail);
bool directory_account_get_by_id(struct directory *d, int64_t id, struct directory_account *account,
                                 struct fail **fail);

/* The account after account->id (begin with 0), deleted ones included; domain_id 0 takes all
 * domains. False at the end and on failure. */
bool directory_account_next(struct directory *d, int64_t domain_id, struct directory_account *account,
                            struct fail **fail);

bool directory_account_set_enabled(struct directory *d, int64_t id, bool enabled, struct fail **fail);
bool directory_account_set_quota(struct directory *d, int64_t id, int64_t bytes, int64_t messages, struct fail **fail);
bool directory_account_set_display_name(struct directory *d, int64_t id, struct str name, struct fail **fail);
bool directory_account_set_language(struct directory *d, int64_t id, struct str language, struct fail **fail);

/* parts: enum directory_parts. Opting out removes what was stored; opting in takes effect when
 * the password is next set, or next seen at a PLAIN log-in. */
bool directory_account_set_mechanisms(struct directory *d, int64_t id, unsigned parts, struct fail **fail);

bool directory_account_delete(struct directory *d, int64_t id, int64_t grace_seconds, struct fail **fail);

/* Takes a deletion back; FAIL_EXISTS if the address has a new owner. */
bool directory_account_undelete(struct directory *d, int64_t id, struct fail **fail);

/* Forgets a deleted account, whatever is left of its grace time; FAIL_DENIED if it is not deleted. */
bool directory_account_purge(struct directory *d, int64_t id, struct fail **fail);

/* What a log-in name stands for. */
struct directory_login {
	bool known;
	char name[DIRECTORY_ADDRESS_TEXT_MAX + 1];  /* in comparing form, the same for all ways to write it */
	struct directory_account account;           /* if known; it may be disabled */
};

/* A log-in name is a primary address; without "@" it is of the default domain. False only when
 * the database fails: a name that is nobody's or nonsense is simply not known. */
bool directory_login_find(struct directory *d, struct str name, struct directory_login *login, struct fail **fail);

#endif

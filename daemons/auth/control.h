/*
 * What posthornctl asks of auth: a request is words, each with a NUL behind it; the answer is rows of key and value,
 * then CTL_DONE.
 *
 * Verbs stand in one table (control.c) with the words that they take. A verb that must hash answers later; until then
 * the connection may ask nothing else. Numbers are decimal; times are seconds since 1970.
 */
#ifndef POSTHORN_AUTH_CONTROL_H
#define POSTHORN_AUTH_CONTROL_H

#include "auth.h"

struct control {
	struct auth *auth;
	struct ipc_peer peer;
	struct operation *operation; /* that hashes, or NULL */
};

/* One request, while it is served. */
struct call {
	struct auth *auth;
	struct control *control;
	const struct str *words; /* behind the verb's */
	size_t count;
	int descriptor;          /* that came with it, or -1 */
	bool later;              /* control_done is sent when its operation is done */
};

/* ---- rows ---------------------------------------------------------------------------------- */

struct row {
	struct buf fields;
};

#define ROW ((struct row){ BUF_WITH_LIMIT(60000) })

void row_text(struct row *row, const char *key, struct str value);
void row_number(struct row *row, const char *key, int64_t value);

/* Sends and empties it. */
void row_send(struct row *row, struct control *control);

/* For CLEANUP. */
void row_release(struct row *row);

/* ---- options: KEY VALUE pairs at a request's end ------------------------------------------- */

/* What accounts are made with, or changed to. */
struct options {
	bool has_name, has_language, has_quota_bytes, has_quota_messages, has_password;
	char name[DIRECTORY_DISPLAY_NAME_MAX + 1];
	char language[3];
	int64_t quota_bytes, quota_messages;
	unsigned parts; /* opted in to */
	struct directory_password password;
};

/* "apop", "cram-md5" or "scram-sha-1", several with commas between. */
bool parts_read(struct str text, unsigned *parts, struct fail **fail);

/* An account by address or number. */
bool find_account(const struct call *call, struct str name, struct directory_account *account, struct fail **fail);

/* A new password in normal form, long enough. */
bool new_password(struct auth *auth, struct str typed, struct directory_password *password, struct fail **fail);

/* ---- operations: hash, then finish --------------------------------------------------------- */

struct operation {
	struct auth *auth;
	struct control *control; /* NULL: posthornctl is gone, the work goes on */
	bool (*finish)(struct operation *o, struct fail **fail);
	struct hashing *hashing;
	int64_t account;
	char address[DIRECTORY_ADDRESS_TEXT_MAX + 1]; /* of the account to add, or the pattern of many */
	uint64_t range;
	struct options options;
};

/* With its hashing made, to be filled in. */
struct operation *operation_new(struct call *call, bool (*finish)(struct operation *o, struct fail **fail));

void operation_free(struct operation *o);

/* False when too much hashing waits; the operation is gone then. */
bool operation_begin(struct call *call, struct operation *o, struct fail **fail);

/* ---- verbs --------------------------------------------------------------------------------- */

#define VERB(name) bool name(struct call *call, struct fail **fail)

VERB(backup);
VERB(domain_add);
VERB(domain_list);
VERB(domain_remove);
VERB(domain_set);
VERB(alias_add);
VERB(alias_list);
VERB(alias_remove);
VERB(alias_import);
VERB(sender_add);
VERB(sender_list);
VERB(sender_remove);
VERB(account_add);
VERB(account_add_range);
VERB(account_list);
VERB(account_show);
VERB(account_set);
VERB(account_disable);
VERB(account_enable);
VERB(account_delete);
VERB(account_undelete);
VERB(account_purge);
VERB(password_set);
VERB(password_verify);
VERB(password_hash_import);
VERB(app_password_add);
VERB(app_password_list);
VERB(app_password_remove);
VERB(optin_add);
VERB(optin_remove);
VERB(restore);
VERB(sessions);
VERB(session_drop);
VERB(failures_list);
VERB(failures_clear);

#endif

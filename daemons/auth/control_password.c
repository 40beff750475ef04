/* posthornctl password, app-password, optin. */
#include "control.h"

#include "directory_secret.h"
#include "log.h"
#include "mem.h"

/* ---- password ------------------------------------------------------------------------------ */

static bool finish_set(struct operation *o, struct fail **fail)
{
	if (!directory_credential_set(o->auth->directory, o->account, &o->hashing->made, fail))
		return false;
	log_event(LOG_INFO, 0, "password-set", LOG_TEXT("account", str_of(o->address)));
	auth_revoke(o->auth, (uint64_t)o->account);
	return true;
}

static struct operation *operation_on(struct call *call, const struct directory_account *account,
                                      bool (*finish)(struct operation *o, struct fail **fail))
{
	struct operation *o = operation_new(call, finish);
	o->account = account->id;
	memcpy(o->address, account->address, sizeof account->address);
	return o;
}

bool password_set(struct call *call, struct fail **fail)
{
	CLEANUP(directory_password_wipe) struct directory_password password;
	struct directory_account account;
	if (!find_account(call, call->words[0], &account, fail) ||
	    !new_password(call->auth, call->words[1], &password, fail))
		return false;
	struct operation *o = operation_on(call, &account, finish_set);
	o->hashing->makes = true;
	o->hashing->make_parts = account.mechanisms;
	o->hashing->password = password;
	return operation_begin(call, o, fail);
}

static bool is_right(const struct operation *o, struct fail **fail)
{
	return o->hashing->result != DIRECTORY_WRONG || fail_set(fail, FAIL_DENIED, "the password is wrong");
}

static bool finish_verify(struct operation *o, struct fail **fail)
{
	return is_right(o, fail);
}

/* The operation that first checks the password typed. */
static struct operation *checking(struct call *call, const struct directory_account *account, struct str typed,
                                  bool (*finish)(struct operation *o, struct fail **fail), struct fail **fail)
{
	struct operation *o = operation_on(call, account, finish);
	o->hashing->checks = true;
	o->hashing->parts = account->mechanisms;
	hashing_set_typed(o->hashing, typed);
	if (directory_credential_get(call->auth->directory, account->id, &o->hashing->stored, fail))
		return o;
	operation_free(o);
	return NULL;
}

bool password_verify(struct call *call, struct fail **fail)
{
	struct directory_account account;
	if (!find_account(call, call->words[0], &account, fail))
		return false;
	if (directory_app_password_check(call->auth->directory, account.id, call->words[1]))
		return true;
	struct operation *o = checking(call, &account, call->words[1], finish_verify, fail);
	return o && operation_begin(call, o, fail);
}

bool password_hash_import(struct call *call, struct fail **fail)
{
	CLEANUP(directory_credential_wipe) struct directory_credential credential;
	struct directory_account account;
	if (!find_account(call, call->words[0], &account, fail) ||
	    !directory_credential_import(call->words[1], &credential, fail) ||
	    !directory_credential_set(call->auth->directory, account.id, &credential, fail))
		return false;
	log_event(LOG_INFO, 0, "password-hash-imported", LOG_TEXT("account", str_of(account.address)));
	auth_revoke(call->auth, (uint64_t)account.id);
	return true;
}

/* ---- app passwords ------------------------------------------------------------------------- */

bool app_password_add(struct call *call, struct fail **fail)
{
	CLEANUP(row_release) struct row row = ROW;
	struct directory_account account;
	char text[DIRECTORY_APP_PASSWORD_TEXT + 1];
	if (!find_account(call, call->words[0], &account, fail) ||
	    !directory_app_password_add(call->auth->directory, account.id, call->words[1], text, fail))
		return false;
	log_event(LOG_INFO, 0, "app-password-added", LOG_TEXT("account", str_of(account.address)),
	          LOG_TEXT("name", call->words[1]));
	row_text(&row, "password", str_of(text));
	row_send(&row, call->control);
	mem_wipe(text, sizeof text);
	mem_wipe(row.fields.data, row.fields.capacity);
	return true;
}

bool app_password_list(struct call *call, struct fail **fail)
{
	CLEANUP(row_release) struct row row = ROW;
	struct directory_account account;
	struct directory_app_password p = {};
	if (!find_account(call, call->words[0], &account, fail))
		return false;
	while (directory_app_password_next(call->auth->directory, account.id, &p, fail)) {
		row_text(&row, "name", str_of(p.name));
		row_number(&row, "created", p.created);
		row_number(&row, "last-used", p.last_used);
		row_send(&row, call->control);
	}
	return !fail || !*fail;
}

/* Who logged in with it must not stay: nothing tells which sessions these are, so all end. */
bool app_password_remove(struct call *call, struct fail **fail)
{
	struct directory_account account;
	if (!find_account(call, call->words[0], &account, fail) ||
	    !directory_app_password_remove(call->auth->directory, account.id, call->words[1], fail))
		return false;
	log_event(LOG_INFO, 0, "app-password-removed", LOG_TEXT("account", str_of(account.address)),
	          LOG_TEXT("name", call->words[1]));
	auth_revoke(call->auth, (uint64_t)account.id);
	return true;
}

/* ---- mechanisms that need the password or a weak verifier ---------------------------------- */

static bool finish_optin(struct operation *o, struct fail **fail)
{
	struct directory *d = o->auth->directory;
	CLEANUP(directory_credential_wipe) struct directory_credential now;
	if (!is_right(o, fail) || !directory_credential_get(d, o->account, &now, fail))
		return false;
	if (!str_equal(str_of(now.hash), str_of(o->hashing->stored.hash)))
		return fail_set(fail, FAIL_BUSY, "the password was changed meanwhile");
	if (!directory_begin(d, fail))
		return false;
	if (directory_account_set_mechanisms(d, o->account, o->hashing->make_parts, fail) &&
	    directory_credential_set(d, o->account, &o->hashing->made, fail) && directory_commit(d, fail)) {
		log_event(LOG_INFO, 0, "opted-in", LOG_TEXT("account", str_of(o->address)));
		return true;
	}
	directory_rollback(d);
	return false;
}

bool optin_add(struct call *call, struct fail **fail)
{
	CLEANUP(directory_password_wipe) struct directory_password password;
	struct directory_account account;
	unsigned parts;
	if (!find_account(call, call->words[0], &account, fail) || !parts_read(call->words[1], &parts, fail) ||
	    !directory_password_normalise(call->words[2], &password, fail))
		return false;
	struct operation *o = checking(call, &account, call->words[2], finish_optin, fail);
	if (!o)
		return false;
	o->hashing->makes = true;
	o->hashing->make_parts = account.mechanisms | parts;
	o->hashing->password = password;
	return operation_begin(call, o, fail);
}

bool optin_remove(struct call *call, struct fail **fail)
{
	struct directory_account account;
	unsigned parts;
	if (!find_account(call, call->words[0], &account, fail) || !parts_read(call->words[1], &parts, fail) ||
	    !directory_account_set_mechanisms(call->auth->directory, account.id, account.mechanisms & ~parts, fail))
		return false;
	log_event(LOG_INFO, 0, "opted-out", LOG_TEXT("account", str_of(account.address)));
	return true;
}

#include "directory_secret.h"

#include "clock.h"
#include "directory_account.h"
#include "directory_sql.h"
#include "mem.h"

#include <sodium.h>
#include <stdio.h>

#define SCRAM_TEXT_MAX 400
#define USE_NOTED_SECONDS 3600

static void write_scram(const char *hash, const struct directory_scram *scram, bool wanted, struct buf *out)
{
	if (wanted && scram->iterations > 0)
		directory_scram_write(hash, scram, out);
	must(!out->overflowed);
}

static bool store(struct directory *d, const struct directory_account *account,
                  const struct directory_credential *credential, struct fail **fail)
{
	bool challenge = account->mechanisms & DIRECTORY_CHALLENGE;
	CLEANUP(buf_release) struct buf sha256 = BUF_WITH_LIMIT(SCRAM_TEXT_MAX);
	CLEANUP(buf_release) struct buf sha1 = BUF_WITH_LIMIT(SCRAM_TEXT_MAX);
	write_scram("SHA-256", &credential->scram_sha256, true, &sha256);
	write_scram("SHA-1", &credential->scram_sha1, account->mechanisms & DIRECTORY_SCRAM_SHA1, &sha1);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_CREDENTIAL_SET, fail);
	query_number(&q, 1, account->id);
	query_text(&q, 2, str_of(credential->hash));
	query_text(&q, 3, buf_str(&sha256));
	query_text(&q, 4, buf_str(&sha1));
	query_blob(&q, 5, str_from(credential->secret.text, challenge ? credential->secret.length : 0));
	query_number(&q, 6, clock_wall_seconds());
	return query_run(&q);
}

bool directory_credential_set(struct directory *d, int64_t account_id, const struct directory_credential *credential,
                              struct fail **fail)
{
	struct directory_account account;
	must(credential->hash[0]);
	if (!directory_account_get_by_id(d, account_id, &account, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	return store(d, &account, credential, fail) && change_commit(&change);
}

static bool read_scram(struct query *q, int column, const char *hash, struct directory_scram *scram)
{
	struct str text = query_get(q, column);
	if (str_is_empty(text) || directory_scram_read(hash, text, scram))
		return true;
	return fail_set(q->fail, FAIL_CORRUPT, "the directory database has a damaged SCRAM-%s verifier", hash);
}

static bool read_credential(struct query *q, struct directory_credential *credential)
{
	struct str secret = query_get(q, 3);
	query_copy(q, 0, credential->hash, sizeof credential->hash);
	if (q->failed || !read_scram(q, 1, "SHA-256", &credential->scram_sha256) ||
	    !read_scram(q, 2, "SHA-1", &credential->scram_sha1))
		return false;
	if (secret.length > LIMIT_PASSWORD_MAX)
		return fail_set(q->fail, FAIL_CORRUPT, "the directory database has a secret that is too long");
	memcpy(credential->secret.text, secret.data, secret.length);
	credential->secret.length = secret.length;
	return true;
}

bool directory_credential_get(struct directory *d, int64_t account_id, struct directory_credential *credential,
                              struct fail **fail)
{
	memset(credential, 0, sizeof *credential);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_CREDENTIAL_GET, fail);
	query_number(&q, 1, account_id);
	if (query_row(&q))
		return read_credential(&q, credential);
	if (q.failed)
		return false;
	return fail_set(fail, FAIL_NOT_FOUND, "account number %lld has no password", (long long)account_id);
}

bool directory_credential_parts(struct directory *d, unsigned *parts, struct fail **fail)
{
	*parts = 0;
	CLEANUP(query_end) struct query q = query_begin(d, SQL_CREDENTIAL_PARTS, fail);
	if (query_row(&q)) {
		*parts |= query_get_number(&q, 0) ? DIRECTORY_SCRAM_SHA1 : 0;
		*parts |= query_get_number(&q, 1) ? DIRECTORY_CHALLENGE : 0;
	}
	return !q.failed;
}

/* --- app passwords --- */

#define LETTERS 24 /* of 5 bits each */

/* No 0, 1, l, o: nobody can misread one. */
static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

/* The letters alone, in lower case; false when typed cannot be an app password. */
static bool only_letters(struct str typed, char letters[LETTERS])
{
	size_t count = 0;
	for (size_t i = 0; i < typed.length; i++) {
		char c = char_lower(typed.data[i]);
		if (c == '-' || c == ' ')
			continue;
		if (count == LETTERS || !c || !strchr(alphabet, c))
			return false;
		letters[count++] = c;
	}
	return count == LETTERS;
}

static void app_hash(const struct directory *d, int64_t account_id, const char letters[LETTERS],
                     unsigned char hash[crypto_generichash_BYTES])
{
	unsigned char key[DIRECTORY_KEY_SIZE];
	unsigned char input[sizeof account_id + LETTERS];
	directory_key(d, "app password", key);
	memcpy(input, &account_id, sizeof account_id);
	memcpy(input + sizeof account_id, letters, LETTERS);
	must(crypto_generichash(hash, crypto_generichash_BYTES, input, sizeof input, key, sizeof key) == 0);
	mem_wipe(key, sizeof key);
	mem_wipe(input, sizeof input);
}

static void make_text(char text[DIRECTORY_APP_PASSWORD_TEXT + 1], char letters[LETTERS])
{
	_Static_assert(sizeof alphabet - 1 == 32, "a letter is five bits");
	size_t at = 0;
	for (size_t i = 0; i < LETTERS; i++) {
		letters[i] = alphabet[randombytes_uniform(32)];
		if (i > 0 && i % 4 == 0)
			text[at++] = '-';
		text[at++] = letters[i];
	}
	text[at] = 0;
	must(at == DIRECTORY_APP_PASSWORD_TEXT);
}

static bool name_is_good(struct str name, struct fail **fail)
{
	if (name.length > 0 && name.length <= DIRECTORY_APP_PASSWORD_NAME_MAX && str_is_printable(name))
		return true;
	return fail_set(fail, FAIL_INVALID, "the name of an app password is 1 to %d printable ASCII characters",
	                DIRECTORY_APP_PASSWORD_NAME_MAX);
}

/* Room for one more, and the name is free. */
static bool can_add(struct directory *d, int64_t account_id, struct str name, struct fail **fail)
{
	struct directory_app_password p = { .id = 0 };
	struct fail *trouble = NULL;
	size_t count = 0;
	while (directory_app_password_next(d, account_id, &p, &trouble)) {
		count++;
		if (str_equal(name, str_of(p.name)))
			return fail_set(fail, FAIL_EXISTS, "there is an app password \"%s\" already", p.name);
	}
	if (trouble) {
		bool set = fail_set(fail, trouble->kind, "%s", trouble->text);
		fail_free(&trouble);
		return set;
	}
	return count < LIMIT_APP_PASSWORDS_MAX ||
	       fail_set(fail, FAIL_LIMIT, "the account has %d app passwords; remove one first", LIMIT_APP_PASSWORDS_MAX);
}

bool directory_app_password_add(struct directory *d, int64_t account_id, struct str name,
                                char text[DIRECTORY_APP_PASSWORD_TEXT + 1], struct fail **fail)
{
	struct directory_account account;
	char letters[LETTERS];
	unsigned char hash[crypto_generichash_BYTES];
	if (!name_is_good(name, fail) || !directory_account_get_by_id(d, account_id, &account, fail) ||
	    !can_add(d, account_id, name, fail))
		return false;
	make_text(text, letters);
	app_hash(d, account_id, letters, hash);
	mem_wipe(letters, sizeof letters);
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_APP_PASSWORD_ADD, fail);
	query_number(&q, 1, account_id);
	query_text(&q, 2, name);
	query_blob(&q, 3, str_from((const char *)hash, sizeof hash));
	query_number(&q, 4, clock_wall_seconds());
	return query_run(&q) && change_commit(&change);
}

bool directory_app_password_remove(struct directory *d, int64_t account_id, struct str name, struct fail **fail)
{
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_APP_PASSWORD_REMOVE, fail);
	query_number(&q, 1, account_id);
	query_text(&q, 2, name);
	if (!query_run(&q))
		return false;
	if (sqlite3_changes(d->db) == 0)
		return fail_set(fail, FAIL_NOT_FOUND, "the account has no app password \"%.*s\"", STR_ARG(name));
	return change_commit(&change);
}

bool directory_app_password_next(struct directory *d, int64_t account_id, struct directory_app_password *p,
                                 struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_APP_PASSWORD_NEXT, fail);
	query_number(&q, 1, account_id);
	query_number(&q, 2, p->id);
	if (!query_row(&q))
		return false;
	p->id = query_get_number(&q, 0);
	query_copy(&q, 1, p->name, sizeof p->name);
	p->created = query_get_number(&q, 2);
	p->last_used = query_get_number(&q, 3);
	return !q.failed;
}

bool directory_app_password_check(struct directory *d, int64_t account_id, struct str typed)
{
	char letters[LETTERS];
	unsigned char hash[crypto_generichash_BYTES];
	if (!only_letters(typed, letters))
		return false;
	app_hash(d, account_id, letters, hash);
	mem_wipe(letters, sizeof letters);
	CLEANUP(query_end) struct query q = query_begin(d, SQL_APP_PASSWORD_FIND, NULL);
	query_number(&q, 1, account_id);
	query_blob(&q, 2, str_from((const char *)hash, sizeof hash));
	if (!query_row(&q))
		return false;
	int64_t id = query_get_number(&q, 0);
	int64_t now = clock_wall_seconds();
	/* Each note is an fsync, and that it cannot be written is no reason to refuse the log-in. */
	if (now >= query_get_number(&q, 1) + USE_NOTED_SECONDS)
		query_numbers(d, SQL_APP_PASSWORD_USED, id, now, NULL);
	return true;
}

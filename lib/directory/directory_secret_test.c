#include "directory_fixture.h"
#include "directory_sql.h"

static struct directory_credential make(const char *text, unsigned parts)
{
	struct directory_password p;
	struct directory_credential c;
	assert_true(directory_password_normalise(str_of(text), &p, NULL));
	directory_credential_make(&cheap, &p, parts, &c);
	return c;
}

static void credentials_come_back_as_they_were(void **state)
{
	struct fixture *f = *state;
	struct directory_credential set = make("p\u00e9ss", DIRECTORY_SCRAM_SHA1 | DIRECTORY_CHALLENGE);
	struct directory_credential got;
	bad(FAIL_NOT_FOUND, "has no password", directory_credential_get(f->d, f->alice, &got, fail));
	good(directory_account_set_mechanisms(f->d, f->alice, DIRECTORY_SCRAM_SHA1 | DIRECTORY_CHALLENGE, fail));
	good(directory_credential_set(f->d, f->alice, &set, fail));
	fixture_reopen(f);
	good(directory_credential_get(f->d, f->alice, &got, fail));
	assert_string_equal(got.hash, set.hash);
	assert_memory_equal(&got.scram_sha256, &set.scram_sha256, sizeof got.scram_sha256);
	assert_memory_equal(&got.scram_sha1, &set.scram_sha1, sizeof got.scram_sha1);
	assert_string_equal(got.secret.text, "p\u00e9ss");
	assert_int_equal(directory_credential_check(&got, &cheap, 3, STR("p\u00e9ss")), DIRECTORY_RIGHT);
}

static void only_what_was_opted_in_to_is_stored(void **state)
{
	struct fixture *f = *state;
	struct directory_credential set = make("secret", DIRECTORY_SCRAM_SHA1 | DIRECTORY_CHALLENGE);
	struct directory_credential got;
	unsigned parts;
	good(directory_credential_set(f->d, f->alice, &set, fail));
	good(directory_credential_get(f->d, f->alice, &got, fail));
	assert_int_equal(got.scram_sha1.iterations, 0);
	assert_int_equal(got.secret.length, 0);
	good(directory_credential_parts(f->d, &parts, fail));
	assert_int_equal(parts, 0);
	/* One credential for many: the same bytes, each as far as it asked for. */
	good(directory_account_set_mechanisms(f->d, f->bob, DIRECTORY_CHALLENGE, fail));
	good(directory_credential_set(f->d, f->bob, &set, fail));
	good(directory_credential_get(f->d, f->bob, &got, fail));
	assert_string_equal(got.hash, set.hash);
	assert_int_equal(got.scram_sha1.iterations, 0);
	assert_string_equal(got.secret.text, "secret");
	good(directory_credential_parts(f->d, &parts, fail));
	assert_int_equal(parts, DIRECTORY_CHALLENGE);
	good(directory_account_set_mechanisms(f->d, f->carol, DIRECTORY_SCRAM_SHA1, fail));
	good(directory_credential_set(f->d, f->carol, &set, fail));
	good(directory_credential_parts(f->d, &parts, fail));
	assert_int_equal(parts, DIRECTORY_CHALLENGE | DIRECTORY_SCRAM_SHA1);
	/* Opting out forgets. */
	good(directory_account_set_mechanisms(f->d, f->bob, 0, fail));
	good(directory_credential_get(f->d, f->bob, &got, fail));
	assert_int_equal(got.secret.length, 0);
	good(directory_credential_parts(f->d, &parts, fail));
	assert_int_equal(parts, DIRECTORY_SCRAM_SHA1);
	bad(FAIL_INVALID, "no such mechanism", directory_account_set_mechanisms(f->d, f->bob, 8, fail));
}

static void a_damaged_verifier_is_told(void **state)
{
	struct fixture *f = *state;
	struct directory_credential c = make("secret", 0);
	good(directory_credential_set(f->d, f->alice, &c, fail));
	assert_int_equal(sqlite3_exec(f->d->db, "UPDATE credential SET scram_sha256='SCRAM-SHA-256$1:x'", NULL, NULL, NULL),
	                 SQLITE_OK);
	bad(FAIL_CORRUPT, "damaged SCRAM-SHA-256", directory_credential_get(f->d, f->alice, &c, fail));
}

static void app_passwords(void **state)
{
	struct fixture *f = *state;
	char text[DIRECTORY_APP_PASSWORD_TEXT + 1];
	char other[DIRECTORY_APP_PASSWORD_TEXT + 1];
	struct directory_app_password p = { .id = 0 };
	good(directory_app_password_add(f->d, f->alice, STR("phone"), text, fail));
	good(directory_app_password_add(f->d, f->alice, STR("laptop"), other, fail));
	bad(FAIL_EXISTS, "\"phone\" already", directory_app_password_add(f->d, f->alice, STR("phone"), other, fail));
	bad(FAIL_INVALID, "name", directory_app_password_add(f->d, f->alice, STR(""), other, fail));
	bad(FAIL_INVALID, "name", directory_app_password_add(f->d, f->alice, STR("a\nb"), other, fail));
	bad(FAIL_NOT_FOUND, "number 99", directory_app_password_add(f->d, 99, STR("x"), other, fail));
	assert_int_equal(strlen(text), DIRECTORY_APP_PASSWORD_TEXT);
	assert_string_not_equal(text, other);
	assert_true(directory_app_password_next(f->d, f->alice, &p, NULL));
	assert_string_equal(p.name, "phone");
	assert_int_equal(p.last_used, 0);
	assert_true(directory_app_password_check(f->d, f->alice, str_of(text)));
	assert_false(directory_app_password_check(f->d, f->bob, str_of(text)));
	p.id = 0;
	assert_true(directory_app_password_next(f->d, f->alice, &p, NULL));
	assert_true(p.last_used >= p.created);
	good(directory_app_password_remove(f->d, f->alice, STR("phone"), fail));
	bad(FAIL_NOT_FOUND, "no app password \"phone\"", directory_app_password_remove(f->d, f->alice, STR("phone"), fail));
	assert_false(directory_app_password_check(f->d, f->alice, str_of(text)));
}

static void app_passwords_are_typed_in_many_ways(void **state)
{
	struct fixture *f = *state;
	char text[DIRECTORY_APP_PASSWORD_TEXT + 1];
	CLEANUP(buf_release) struct buf typed = BUF_WITH_LIMIT(100);
	good(directory_app_password_add(f->d, f->alice, STR("phone"), text, fail));
	for (size_t i = 0; text[i]; i++) {
		if (text[i] != '-')
			buf_add_char(&typed, char_upper(text[i]));
	}
	assert_true(directory_app_password_check(f->d, f->alice, buf_str(&typed)));
	buf_add_char(&typed, ' ');
	assert_true(directory_app_password_check(f->d, f->alice, buf_str(&typed)));
	buf_add_char(&typed, 'a');
	assert_false(directory_app_password_check(f->d, f->alice, buf_str(&typed)));
	assert_false(directory_app_password_check(f->d, f->alice, STR("")));
	assert_false(directory_app_password_check(f->d, f->alice, str_from("\0", 1)));
	for (size_t i = 0; text[i]; i++) {
		char right = text[i];
		text[i] = right == 'a' ? 'b' : 'a';
		assert_int_equal(directory_app_password_check(f->d, f->alice, str_of(text)), false);
		text[i] = right;
	}
}

static void app_passwords_are_limited(void **state)
{
	struct fixture *f = *state;
	char text[DIRECTORY_APP_PASSWORD_TEXT + 1];
	char name[20];
	for (int i = 0; i < LIMIT_APP_PASSWORDS_MAX; i++) {
		snprintf(name, sizeof name, "device %d", i);
		good(directory_app_password_add(f->d, f->alice, str_of(name), text, fail));
	}
	bad(FAIL_LIMIT, "remove one first", directory_app_password_add(f->d, f->alice, STR("one more"), text, fail));
}

static void purging_forgets_the_secrets(void **state)
{
	struct fixture *f = *state;
	char text[DIRECTORY_APP_PASSWORD_TEXT + 1];
	struct directory_credential c = make("secret", 0);
	good(directory_credential_set(f->d, f->alice, &c, fail));
	good(directory_app_password_add(f->d, f->alice, STR("phone"), text, fail));
	good(directory_sender_add(f->d, f->alice, STR("@x.example"), fail));
	good(directory_account_delete(f->d, f->alice, 0, fail));
	good(directory_account_purge(f->d, f->alice, fail));
	bad(FAIL_NOT_FOUND, "has no password", directory_credential_get(f->d, f->alice, &c, fail));
	assert_false(directory_app_password_check(f->d, f->alice, str_of(text)));
	good(directory_verify(f->d, fail));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(credentials_come_back_as_they_were),
		fixture_test(only_what_was_opted_in_to_is_stored),
		fixture_test(a_damaged_verifier_is_told),
		fixture_test(app_passwords),
		fixture_test(app_passwords_are_typed_in_many_ways),
		fixture_test(app_passwords_are_limited),
		fixture_test(purging_forgets_the_secrets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

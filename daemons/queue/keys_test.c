#include "keys.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char path[64];
	int spool, folder;
};

static int begin(void **state)
{
	static struct fixture f;
	f = (struct fixture){ .path = "/tmp/posthorn-keys-XXXXXX" };
	assert_non_null(mkdtemp(f.path));
	f.spool = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f.folder = keys_open_folder(f.spool, NULL);
	assert_true(f.spool >= 0 && f.folder >= 0);
	*state = &f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	char command[100];
	close(f->folder);
	close(f->spool);
	snprintf(command, sizeof command, "rm -rf %s", f->path);
	return system(command);
}

static void add(const struct fixture *f, const char *domain, const char *selector, enum key_state key_state)
{
	struct fail *fail = NULL;
	if (!keys_add(f->folder, str_of(domain), str_of(selector), 0, key_state, &fail))
		fail_msg("%s", fail_text(fail));
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		bool good;
	} cases[] = {
		{ "example.org", true }, { "a", true }, { "2026-rsa", true }, { "a.b-c.d_e", true }, { "xn--bcher-kva.test", true },
		{ "_domainkey", true }, { "", false }, { ".", false }, { "..", false }, { "a..b", false }, { ".a", false }, { "a.", false },
		{ "-a", false }, { "a-", false }, { "a-.b", false }, { "a.-b", false }, { "A", false }, { "a/b", false }, { "../x", false },
		{ "a b", false }, { "a\n", false }, { "ä", false },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true },   /* 63 */
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false }, /* 64 */
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (keys_name_is_good(str_of(cases[i].name)) != cases[i].good)
			fail_msg("\"%s\"", cases[i].name);
}

static void test_life_of_a_key(void **state)
{
	const struct fixture *f = *state;
	const struct dkim_signing_key *list;
	struct fail *fail = NULL;
	add(f, "example.org", "one", KEY_NEW);
	assert_false(keys_add(f->folder, STR("example.org"), STR("one"), 0, KEY_ACTIVE, &fail));
	assert_int_equal(fail->kind, FAIL_EXISTS);
	fail_free(&fail);
	for (enum key_state next = KEY_ACTIVE; next <= KEY_RETIRED; next++) {
		struct keys *keys = keys_load(f->folder, NULL);
		const struct key *key = keys_find(keys, STR("example.org"), STR("one"));
		assert_non_null(key);
		assert_int_equal(key->state, next - 1);
		assert_int_equal(keys_signing(keys, STR("example.org"), &list), key->state == KEY_ACTIVE);
		assert_true(keys_move(f->folder, key, next, NULL));
		keys_unref(keys);
	}
	struct keys *keys = keys_load(f->folder, NULL);
	assert_true(keys_remove(f->folder, keys_find(keys, STR("example.org"), STR("one")), NULL));
	keys_unref(keys);
	keys = keys_load(f->folder, NULL);
	assert_true(keys_are_none(keys));
	keys_unref(keys);
}

static void test_rights(void **state)
{
	const struct fixture *f = *state;
	struct stat facts;
	mode_t before = umask(0);
	add(f, "example.org", "one", KEY_ACTIVE);
	umask(before);
	assert_int_equal(fstatat(f->spool, "dkim", &facts, 0), 0);
	assert_int_equal(facts.st_mode & 0777, 0700);
	assert_int_equal(fstatat(f->folder, "example.org", &facts, 0), 0);
	assert_int_equal(facts.st_mode & 0777, 0700);
	assert_int_equal(fstatat(f->folder, "example.org/one.active", &facts, 0), 0);
	assert_int_equal(facts.st_mode & 0777, 0600);
}

static void test_lists(void **state)
{
	const struct fixture *f = *state;
	const struct key *list;
	const struct dkim_signing_key *signing;
	add(f, "b.test", "two", KEY_ACTIVE);
	add(f, "b.test", "one", KEY_ACTIVE);
	add(f, "b.test", "old", KEY_RETIRED);
	add(f, "a.test", "x", KEY_NEW);
	struct keys *keys = keys_load(f->folder, NULL);
	assert_int_equal(keys_list(keys, (struct str){}, &list), 4);
	assert_true(str_equal(list[0].domain, STR("a.test")) && str_equal(list[1].selector, STR("old")));
	assert_int_equal(keys_list(keys, STR("b.test"), &list), 3);
	assert_int_equal(keys_signing(keys, STR("b.test"), &signing), 2);
	assert_true(str_equal(signing[0].selector, STR("one")) && str_equal(signing[1].selector, STR("two")));
	assert_int_equal(keys_signing(keys, STR("a.test"), &signing), 0);
	assert_int_equal(keys_signing(keys, STR("c.test"), &signing), 0);
	assert_int_equal(keys_signing(keys, (struct str){}, &signing), 0);
	keys_unref(keys);
}

/* What lies there and is no key hides none, and is told of when its name is a key's. */
static void test_damage(void **state)
{
	static const char *const names[] = { "example.org/broken.active", "example.org/note.txt", "example.org/x.part", "stray", "example.org/.active" };
	const struct fixture *f = *state;
	add(f, "example.org", "good", KEY_ACTIVE);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		int file = openat(f->folder, names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(file >= 0 && file_write_at(file, "junk", 4, 0, NULL));
		close(file);
	}
	assert_int_equal(symlinkat("good.active", f->folder, "example.org/link.active"), 0);
	struct keys *keys = keys_load(f->folder, NULL);
	const struct key *list;
	assert_int_equal(keys_list(keys, (struct str){}, &list), 1);
	assert_int_equal(keys_damaged(keys), 2);
	keys_unref(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_life_of_a_key, begin, end),
		cmocka_unit_test_setup_teardown(test_rights, begin, end),
		cmocka_unit_test_setup_teardown(test_lists, begin, end),
		cmocka_unit_test_setup_teardown(test_damage, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

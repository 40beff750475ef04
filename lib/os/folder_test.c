#include "folder.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char world[] = "/tmp/posthorn-folder-XXXXXX";
static int root = -1;

static void add_file(int folder, const char *name)
{
	CLEANUP(file_close) int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(file >= 0 && file_write_at(file, "mail", 4, 0, NULL));
}

static bool is_there(const char *name)
{
	struct stat facts;
	return fstatat(root, name, &facts, AT_SYMLINK_NOFOLLOW) == 0;
}

static void one_is_made_at_a_time(void **state)
{
	struct fail *fail = NULL;
	CLEANUP(file_close) int made = folder_make(root, "backup", &fail);
	(void)state;
	assert_true(made >= 0 && !fail);
	assert_int_equal(folder_make(root, "backup", &fail), -1);
	assert_int_equal(fail->kind, FAIL_BUSY);
	fail_free(&fail);
	assert_true(folder_remove(root, "backup", NULL) && !is_there("backup"));
	assert_int_equal(folder_make(root, "no/such", &fail), -1);
	assert_int_equal(fail->kind, FAIL_IO);
	fail_free(&fail);
}

static void all_in_it_is_removed_and_nothing_else(void **state)
{
	CLEANUP(file_close) int outer = folder_make(root, "outer", NULL), inner = folder_make(outer, "inner", NULL);
	CLEANUP(file_close) int kept = folder_make(root, "kept", NULL);
	(void)state;
	add_file(outer, "1");
	add_file(inner, "2");
	add_file(kept, "3");
	assert_int_equal(symlinkat("../kept", outer, "link"), 0);
	assert_int_equal(symlinkat("kept", root, "to-kept"), 0);
	assert_true(folder_octets(outer) >= folder_octets(inner) && folder_octets(inner) > 0);
	assert_true(folder_remove(root, "outer", NULL) && !is_there("outer"));
	assert_true(folder_remove(root, "to-kept", NULL) && !is_there("to-kept"));
	assert_true(is_there("kept/3"));
	assert_true(folder_remove(root, "kept", NULL) && !is_there("kept"));
	assert_true(folder_remove(root, "never-was", NULL));
}

/* The deepest folders, which hostile hands would make endless, stay; what lies beside them goes. */
static void depth_has_a_limit(void **state)
{
	struct fail *fail = NULL;
	int folder = folder_make(root, "0", NULL);
	(void)state;
	add_file(folder, "beside");
	for (unsigned depth = 1; depth <= FOLDER_DEPTH_MAX; depth++) {
		int next = folder_make(folder, "0", NULL);
		assert_true(next >= 0);
		file_close(&folder);
		folder = next;
	}
	file_close(&folder);
	assert_false(folder_remove(root, "0", &fail));
	assert_int_equal(fail->kind, FAIL_LIMIT);
	fail_free(&fail);
	assert_true(is_there("0/0") && !is_there("0/beside"));
	folder = openat(root, "0", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(folder_remove(folder, "0", NULL));
	file_close(&folder);
	assert_true(folder_remove(root, "0", NULL));
}

static int make_world(void **state)
{
	(void)state;
	root = mkdtemp(world) ? open(world, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return root < 0;
}

static int remove_world(void **state)
{
	(void)state;
	file_close(&root);
	return rmdir(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_is_made_at_a_time), cmocka_unit_test(all_in_it_is_removed_and_nothing_else),
		cmocka_unit_test(depth_has_a_limit),
	};
	return cmocka_run_group_tests(tests, make_world, remove_world);
}

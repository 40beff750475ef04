#include "file.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/posthorn-file-XXXXXX";

static char *below(const char *name)
{
	return mem_printf("%s/%s", folder, name);
}

static void what_was_written_is_read(void **state)
{
	CLEANUP(mem_free) char *path = below("written");
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(10);
	CLEANUP(file_close) int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char back[4] = {};
	(void)state;
	assert_true(file >= 0 && file_write_at(file, "0123456789", 10, 0, NULL) && file_write_at(file, "ab", 2, 3, NULL));
	assert_true(file_read_at(file, back, 4, 2, NULL));
	assert_memory_equal(back, "2ab5", 4);
	assert_true(file_load(path, &text, NULL));
	assert_true(str_equal(buf_str(&text), STR("012ab56789")));
}

static void failures_have_their_kind(void **state)
{
	struct fail *fail = NULL;
	CLEANUP(mem_free) char *path = below("short"), *missing = below("missing");
	CLEANUP(file_close) int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(2);
	char byte[4];
	(void)state;
	assert_true(file_write_at(file, "abc", 3, 0, NULL));
	assert_false(file_read_at(file, byte, 4, 0, &fail));
	assert_int_equal(fail->kind, FAIL_CORRUPT);
	assert_false(file_load(path, &text, &fail));
	assert_int_equal(fail->kind, FAIL_TOO_BIG);
	assert_false(file_load(missing, &text, &fail));
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
	assert_false(file_read_at(-1, byte, 1, 0, &fail));
	assert_int_equal(fail->kind, FAIL_IO);
	fail_free(&fail);
}

static void sealed_memory_never_changes(void **state)
{
	CLEANUP(file_close) int memory = file_sealed_memory("test", STR("secret"), NULL);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(100);
	(void)state;
	assert_true(memory >= 0 && file_read_all(memory, &text, NULL));
	assert_true(str_equal(buf_str(&text), STR("secret")));
	assert_int_equal(pwrite(memory, "x", 1, 0), -1);
	assert_int_equal(ftruncate(memory, 0), -1);
	assert_int_equal(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_true(mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0) == MAP_FAILED);
	assert_true(fcntl(memory, F_GETFD) & FD_CLOEXEC);
}

static void directories_are_made_once(void **state)
{
	struct fail *fail = NULL;
	struct stat facts;
	CLEANUP(mem_free) char *path = below("directory"), *file = below("written");
	(void)state;
	assert_true(file_make_directory(path, 0700, NULL) && file_make_directory(path, 0755, NULL));
	assert_true(stat(path, &facts) == 0 && (facts.st_mode & 0777) == 0700);
	assert_false(file_make_directory(file, 0700, &fail)); /* a file is in the way */
	assert_int_equal(fail->kind, FAIL_IO);
	fail_free(&fail);
}

static void closing_forgets(void **state)
{
	int descriptor = dup(1);
	(void)state;
	file_close(&descriptor);
	assert_int_equal(descriptor, -1);
	file_close(&descriptor);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = { "written", "short" };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		CLEANUP(mem_free) char *path = below(names[i]);
		unlink(path);
	}
	CLEANUP(mem_free) char *directory = below("directory");
	rmdir(directory);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),     cmocka_unit_test(failures_have_their_kind),
		cmocka_unit_test(sealed_memory_never_changes),  cmocka_unit_test(directories_are_made_once),
		cmocka_unit_test(closing_forgets),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

#include "archive.h"

#include "check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { LARGE = 300000 };

static char large[LARGE];

/* Three entries: a small one, a large one and an empty one. */
static int write_sample(void)
{
	int file = memfd_create("archive", MFD_CLOEXEC);
	CLEANUP(archive_write_release) struct archive_writer w;
	CLEANUP(buf_release) struct buf fields = BUF_WITH_LIMIT(ARCHIVE_FIELDS_MAX);
	assert_true(file >= 0);
	archive_write_begin(&w, file);
	archive_field_add(&fields, "kind", STR("small"));
	archive_field_add_number(&fields, "date", 12345);
	archive_write_entry(&w, buf_str(&fields), 5);
	archive_write_body(&w, "he", 2);
	archive_write_body(&w, "llo", 3);
	archive_write_entry(&w, STR(""), LARGE);
	archive_write_body(&w, large, LARGE - 1);
	archive_write_body(&w, large + LARGE - 1, 1);
	buf_clear(&fields);
	archive_field_add(&fields, "kind", STR(""));
	archive_write_entry(&w, buf_str(&fields), 0);
	assert_true(archive_write_end(&w, NULL));
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	return file;
}

/* Reads all; the number of entries, or -1 when it was refused. */
static int read_through(int file, struct fail **fail)
{
	CLEANUP(archive_read_release) struct archive_reader r;
	struct str fields;
	uint64_t size;
	enum archive_got got;
	int count = 0;
	archive_read_begin(&r, file);
	while ((got = archive_read_entry(&r, &fields, &size, fail)) == ARCHIVE_ENTRY)
		count++;
	return got == ARCHIVE_END ? count : -1;
}

static void what_is_written_is_read(void **state)
{
	CLEANUP(archive_read_release) struct archive_reader r;
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(LARGE);
	struct str fields;
	uint64_t size, date;
	(void)state;
	int file = write_sample();
	archive_read_begin(&r, file);
	assert_int_equal(archive_read_entry(&r, &fields, &size, NULL), ARCHIVE_ENTRY);
	assert_true(str_equal(archive_field(fields, "kind"), STR("small")));
	assert_true(archive_field_number(fields, "date", 99999, &date) && date == 12345);
	assert_false(archive_field_number(fields, "kind", 99999, &date));
	assert_true(archive_field_number(fields, "none", 99999, &date) && date == 0);
	assert_true(archive_read_all(&r, &body, NULL));
	assert_true(str_equal(buf_str(&body), STR("hello")));
	buf_clear(&body);
	assert_int_equal(archive_read_entry(&r, &fields, &size, NULL), ARCHIVE_ENTRY);
	assert_int_equal(size, LARGE);
	assert_true(archive_read_all(&r, &body, NULL));
	assert_memory_equal(body.data, large, LARGE);
	assert_int_equal(archive_read_entry(&r, &fields, &size, NULL), ARCHIVE_ENTRY);
	assert_int_equal(size, 0);
	assert_int_equal(archive_read_entry(&r, &fields, &size, NULL), ARCHIVE_END);
	close(file);
}

static void a_body_beyond_the_limit_is_skipped(void **state)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(archive_read_release) struct archive_reader r;
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(4);
	struct str fields;
	uint64_t size;
	(void)state;
	int file = write_sample();
	archive_read_begin(&r, file);
	assert_int_equal(archive_read_entry(&r, &fields, &size, NULL), ARCHIVE_ENTRY);
	assert_false(archive_read_all(&r, &body, &fail));
	assert_int_equal(fail->kind, FAIL_TOO_BIG);
	assert_int_equal(archive_read_entry(&r, &fields, &size, NULL), ARCHIVE_ENTRY);
	assert_int_equal(size, LARGE);
	close(file);
}

static void every_flipped_octet_is_noticed(void **state)
{
	(void)state;
	int file = write_sample();
	off_t end = lseek(file, 0, SEEK_END);
	/* all of the small parts, and some of the large body */
	for (off_t place = 0; place < end; place += place > 300 && place < end - 300 ? 9973 : 1) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		unsigned char octet, other;
		assert_int_equal(pread(file, &octet, 1, place), 1);
		other = octet ^ 0x04;
		assert_int_equal(pwrite(file, &other, 1, place), 1);
		lseek(file, 0, SEEK_SET);
		assert_int_equal(read_through(file, &fail), -1);
		assert_true(fail->kind == FAIL_CORRUPT || (fail->kind == FAIL_INVALID && (place == 17 || place == 18)));
		assert_int_equal(pwrite(file, &octet, 1, place), 1);
	}
	lseek(file, 0, SEEK_SET);
	assert_int_equal(read_through(file, NULL), 3);
	close(file);
}

static void every_cut_is_noticed(void **state)
{
	(void)state;
	int file = write_sample();
	off_t end = lseek(file, 0, SEEK_END);
	for (off_t length = end - 1; length >= 0; length -= length > 300 && length < end - 300 ? 9973 : 1) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		assert_int_equal(ftruncate(file, length), 0);
		lseek(file, 0, SEEK_SET);
		assert_int_equal(read_through(file, &fail), -1);
		assert_int_equal(fail->kind, FAIL_CORRUPT);
	}
	close(file);
}

static void an_entry_left_out_is_noticed(void **state)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	char first[200], rest[200];
	(void)state;
	int file = write_sample();
	/* start line 19; entry line 49, fields "kind\0small\0date\012345\0" 22, body 5, check 23 */
	off_t end = lseek(file, 0, SEEK_END), cut = 19 + 49 + 22 + 5 + 23;
	int other = memfd_create("archive", MFD_CLOEXEC);
	assert_int_equal(pread(file, first, 19, 0), 19);
	assert_int_equal(write(other, first, 19), 19);
	for (ssize_t got; (got = pread(file, rest, sizeof rest, cut)) > 0; cut += got)
		assert_int_equal(write(other, rest, (size_t)got), got);
	assert_int_equal(cut, end);
	lseek(other, 0, SEEK_SET);
	assert_int_equal(read_through(other, &fail), -1);
	assert_int_equal(fail->kind, FAIL_CORRUPT);
	close(other);
	close(file);
}

static void a_writer_says_what_went_wrong(void **state)
{
	CLEANUP(fail_free) struct fail *fail = NULL, *other = NULL;
	CLEANUP(archive_write_release) struct archive_writer w, unfinished;
	(void)state;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
	archive_write_begin(&w, full);
	archive_write_entry(&w, STR(""), LARGE);
	archive_write_body(&w, large, LARGE);
	assert_true(archive_write_failed(&w));
	assert_false(archive_write_end(&w, &fail));
	assert_int_equal(fail->kind, FAIL_NO_SPACE);
	archive_write_begin(&unfinished, sink);
	archive_write_entry(&unfinished, STR(""), 2);
	archive_write_body(&unfinished, "a", 1);
	assert_false(archive_write_end(&unfinished, &other));
	close(full);
	close(sink);
}

int main(void)
{
	for (size_t i = 0; i < LARGE; i++)
		large[i] = (char)(i * 7 + i / 251);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_body_beyond_the_limit_is_skipped),
		cmocka_unit_test(every_flipped_octet_is_noticed),
		cmocka_unit_test(every_cut_is_noticed),
		cmocka_unit_test(an_entry_left_out_is_noticed),
		cmocka_unit_test(a_writer_says_what_went_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

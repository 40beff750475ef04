/* What a reader accepts is exactly what a writer would have written for the same entries. */
#include "archive.h"

#include "check.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 1 << 20 };

/* The same entries once more. */
static bool copy(int from, int to)
{
	CLEANUP(archive_read_release) struct archive_reader r;
	CLEANUP(archive_write_release) struct archive_writer w;
	enum archive_got got;
	struct str fields;
	uint64_t length;
	archive_read_begin(&r, from);
	archive_write_begin(&w, to);
	while ((got = archive_read_entry(&r, &fields, &length, NULL)) == ARCHIVE_ENTRY) {
		CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(BODY_MAX);
		archive_write_entry(&w, fields, length);
		if (!archive_read_all(&r, &body, NULL))
			return false;
		must(body.length == length);
		archive_write_body(&w, body.data, body.length);
	}
	return got == ARCHIVE_END && archive_write_end(&w, NULL);
}

/* The writer makes seeds that get past the checks: each line of the input is the body of an entry. */
static void write_lines(int to, struct str text)
{
	CLEANUP(archive_write_release) struct archive_writer w;
	CLEANUP(buf_release) struct buf fields = BUF_WITH_LIMIT(ARCHIVE_FIELDS_MAX);
	struct str line;
	archive_write_begin(&w, to);
	for (uint64_t i = 0; str_take_until(&text, '\n', &line); i++) {
		buf_clear(&fields);
		archive_field_add_number(&fields, "number", i);
		archive_write_entry(&w, buf_str(&fields), line.length);
		archive_write_body(&w, line.data, line.length);
	}
	must(archive_write_end(&w, NULL));
}

static void must_be_equal(int a, int b, off_t length)
{
	char left[4096], right[4096];
	for (off_t at = 0; at < length;) {
		ssize_t got = pread(a, left, sizeof left, at);
		must(got > 0 && pread(b, right, (size_t)got, at) == got && memcmp(left, right, (size_t)got) == 0);
		at += got;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int input = memfd_create("input", 0), output = memfd_create("output", 0), made = memfd_create("made", 0),
		again = memfd_create("again", 0);
	must(input >= 0 && output >= 0 && made >= 0 && again >= 0);
	must(write(input, data, size) == (ssize_t)size);
	lseek(input, 0, SEEK_SET);
	if (copy(input, output))
		must_be_equal(input, output, lseek(output, 0, SEEK_CUR));
	write_lines(made, str_from((const char *)data, size));
	off_t length = lseek(made, 0, SEEK_CUR);
	lseek(made, 0, SEEK_SET);
	must(copy(made, again) && lseek(again, 0, SEEK_CUR) == length);
	must_be_equal(made, again, length);
	close(input);
	close(output);
	close(made);
	close(again);
	return 0;
}

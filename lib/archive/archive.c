#include "archive.h"

#include "mem.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

enum { BLOCK = 65536, ENTRY_LINE = 49, CHECK_LINE = 23 };

static const struct str start_line = { "posthorn archive 1\n", 19 };

/* ---- fields ---- */

void archive_field_add(struct buf *fields, const char *key, struct str value)
{
	if (str_find_char(value, '\0') != value.length)
		fields->overflowed = true;
	buf_append(fields, key, strlen(key) + 1);
	buf_add_str(fields, value);
	buf_add_char(fields, '\0');
}

void archive_field_add_number(struct buf *fields, const char *key, uint64_t value)
{
	char digits[24];
	snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
	archive_field_add(fields, key, str_of(digits));
}

/* Takes the next pair; false at the end. */
static bool take_field(struct str *fields, struct str *key, struct str *value)
{
	return str_take_until(fields, '\0', key) && str_take_until(fields, '\0', value);
}

struct str archive_field(struct str fields, const char *key)
{
	struct str name, value;
	while (take_field(&fields, &name, &value))
		if (str_equal(name, str_of(key)))
			return value;
	return STR("");
}

bool archive_field_number(struct str fields, const char *key, uint64_t max, uint64_t *value)
{
	struct str text = archive_field(fields, key);
	*value = 0;
	return str_is_empty(text) || str_to_u64(text, max, value);
}

/* An even number of strings, each with its NUL. */
static bool fields_are_well_formed(struct str fields)
{
	size_t ends = 0;
	for (size_t i = 0; i < fields.length; i++)
		ends += fields.data[i] == '\0';
	return fields.length == 0 || (ends % 2 == 0 && fields.data[fields.length - 1] == '\0');
}

static uint64_t check_of_entry(uint64_t before, struct str fields, uint64_t size)
{
	return XXH3_64bits_withSeed(fields.data ? fields.data : "", fields.length, before ^ size);
}

/* The body's own check and all before it in one. */
static uint64_t check_of_body(uint64_t before, const XXH3_state_t *hash)
{
	uint64_t own = XXH3_64bits_digest(hash);
	return XXH3_64bits_withSeed(&own, sizeof own, before);
}

static uint64_t check_of_end(uint64_t before, uint64_t entries)
{
	return XXH3_64bits_withSeed(&entries, sizeof entries, before);
}

/* ---- writing ---- */

void archive_write_begin(struct archive_writer *w, int descriptor)
{
	*w = (struct archive_writer){ .descriptor = descriptor, .waiting = BUF_WITH_LIMIT(2 * BLOCK + ARCHIVE_FIELDS_MAX) };
	w->hash = XXH3_createState();
	must(w->hash);
	buf_add_str(&w->waiting, start_line);
}

void archive_write_release(struct archive_writer *w)
{
	buf_release(&w->waiting);
	XXH3_freeState(w->hash);
	w->hash = NULL;
	fail_free(&w->fail);
}

bool archive_write_failed(const struct archive_writer *w)
{
	return w->fail;
}

static void write_out(struct archive_writer *w, const char *data, size_t length)
{
	while (length && !w->fail) {
		ssize_t written = write(w->descriptor, data, length);
		if (written < 0 && errno != EINTR)
			fail_set_errno(&w->fail, FAIL_IO, "cannot write the archive");
		if (written > 0) {
			data += written;
			length -= (size_t)written;
		}
	}
}

static void write_waiting(struct archive_writer *w)
{
	write_out(w, w->waiting.data, w->waiting.length);
	buf_clear(&w->waiting);
}

static void write_check(struct archive_writer *w)
{
	w->check = check_of_body(w->check, w->hash);
	buf_printf(&w->waiting, "check %016llx\n", (unsigned long long)w->check);
	if (w->waiting.length >= BLOCK)
		write_waiting(w);
}

void archive_write_entry(struct archive_writer *w, struct str fields, uint64_t size)
{
	must(w->rest == 0 && fields.length <= ARCHIVE_FIELDS_MAX && fields_are_well_formed(fields));
	w->check = check_of_entry(w->check, fields, size);
	buf_printf(&w->waiting, "entry %08x %016llx %016llx\n", (unsigned)fields.length, (unsigned long long)size,
	           (unsigned long long)w->check);
	buf_add_str(&w->waiting, fields);
	w->entries++;
	w->rest = size;
	XXH3_64bits_reset(w->hash);
	if (size == 0)
		write_check(w);
}

void archive_write_body(struct archive_writer *w, const void *data, size_t length)
{
	must(length <= w->rest);
	if (length == 0)
		return;
	XXH3_64bits_update(w->hash, data, length);
	if (w->waiting.length + length > BLOCK)
		write_waiting(w);
	if (length > BLOCK)
		write_out(w, data, length);
	else
		buf_append(&w->waiting, data, length);
	w->rest -= length;
	if (w->rest == 0)
		write_check(w);
}

bool archive_write_end(struct archive_writer *w, struct fail **fail)
{
	if (!w->fail && w->rest)
		fail_set(&w->fail, FAIL_INVALID, "the archive ends within an entry");
	buf_printf(&w->waiting, "end   %016llx %016llx\n", (unsigned long long)w->entries,
	           (unsigned long long)check_of_end(w->check, w->entries));
	write_waiting(w);
	return !w->fail || fail_set(fail, w->fail->kind, "%s", w->fail->text);
}

/* ---- reading ---- */

void archive_read_begin(struct archive_reader *r, int descriptor)
{
	*r = (struct archive_reader){ .descriptor = descriptor,
								  .input = BUF_WITH_LIMIT(BLOCK),
								  .fields = BUF_WITH_LIMIT(ARCHIVE_FIELDS_MAX) };
	r->hash = XXH3_createState();
	must(r->hash);
	XXH3_64bits_reset(r->hash);
}

void archive_read_release(struct archive_reader *r)
{
	buf_release(&r->input);
	buf_release(&r->fields);
	XXH3_freeState(r->hash);
	r->hash = NULL;
}

static bool fail_damaged(const struct archive_reader *r, const char *what, struct fail **fail)
{
	unsigned long long place = r->read - (r->input.length - r->used);
	return fail_set(fail, FAIL_CORRUPT, "the archive is damaged: %s at octet %llu", what, place);
}

/* At least one octet in input; false at the end too, with *ended. */
static bool fill(struct archive_reader *r, bool *ended, struct fail **fail)
{
	ssize_t got = -1;
	*ended = false;
	if (r->used < r->input.length)
		return true;
	buf_clear(&r->input);
	r->used = 0;
	char *room = buf_reserve(&r->input, BLOCK);
	do
		got = read(r->descriptor, room, BLOCK);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot read the archive");
	*ended = got == 0;
	buf_claim(&r->input, (size_t)got);
	r->read += (uint64_t)got;
	return got > 0;
}

/* Up to size octets that are there, or -1. */
static int64_t take(struct archive_reader *r, void *data, size_t size, struct fail **fail)
{
	bool ended;
	if (!fill(r, &ended, fail)) {
		if (ended)
			fail_damaged(r, "it is cut off", fail);
		return -1;
	}
	size_t length = r->input.length - r->used < size ? r->input.length - r->used : size;
	memcpy(data, r->input.data + r->used, length);
	r->used += length;
	return (int64_t)length;
}

static bool take_exactly(struct archive_reader *r, char *data, size_t size, struct fail **fail)
{
	int64_t got = 1;
	for (; size && (got = take(r, data, size, fail)) > 0; size -= (size_t)got)
		data += got;
	return got > 0;
}

/* "word X…X[ X…X[ X…X]]\n": lower-case digits of fixed width behind a word of fixed width. */
static bool read_hex(struct str *line, size_t digits, uint64_t *value)
{
	*value = 0;
	if (line->length < digits + 1)
		return false;
	for (size_t i = 0; i < digits; i++) {
		char c = line->data[i];
		if (!char_is_digit(c) && (c < 'a' || c > 'f'))
			return false;
		*value = *value << 4 | (uint64_t)(char_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	char end = line->data[digits];
	*line = str_from_index(*line, digits + 1);
	return end == (line->length ? ' ' : '\n');
}

static bool read_check_line(struct archive_reader *r, struct fail **fail)
{
	char line[CHECK_LINE];
	uint64_t check;
	if (!take_exactly(r, line, sizeof line, fail))
		return false;
	struct str rest = str_from(line + 6, sizeof line - 6);
	r->check = check_of_body(r->check, r->hash);
	if (memcmp(line, "check ", 6) != 0 || !read_hex(&rest, 16, &check) || check != r->check)
		return fail_damaged(r, "what was written is not what is read", fail);
	return true;
}

static bool skip_body(struct archive_reader *r, struct fail **fail)
{
	char block[4096];
	int64_t got = 0;
	while (r->rest && (got = archive_read_body(r, block, sizeof block, fail)) > 0)
		;
	return got >= 0;
}

static bool read_start(struct archive_reader *r, struct fail **fail)
{
	char line[32];
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!take_exactly(r, line, start_line.length, &why)) {
		if (why->kind != FAIL_CORRUPT)
			return fail_set(fail, why->kind, "%s", why->text);
		return fail_set(fail, FAIL_CORRUPT, "this is no archive of posthorn");
	}
	if (memcmp(line, start_line.data, start_line.length - 2) != 0)
		return fail_set(fail, FAIL_CORRUPT, "this is no archive of posthorn");
	if (memcmp(line, start_line.data, start_line.length) != 0)
		return fail_set(fail, FAIL_INVALID, "this archive has a format that this program does not know");
	return true;
}

static bool read_fields(struct archive_reader *r, struct str line, uint64_t *size, struct fail **fail)
{
	uint64_t length, check;
	if (!read_hex(&line, 8, &length) || !read_hex(&line, 16, size) || !read_hex(&line, 16, &check) ||
	    length > ARCHIVE_FIELDS_MAX)
		return fail_damaged(r, "the head of an entry makes no sense", fail);
	buf_clear(&r->fields);
	if (length && !take_exactly(r, buf_reserve(&r->fields, length), length, fail))
		return false;
	buf_claim(&r->fields, length);
	r->check = check_of_entry(r->check, buf_str(&r->fields), *size);
	if (check != r->check || !fields_are_well_formed(buf_str(&r->fields)))
		return fail_damaged(r, "the head of an entry is not what was written, or an entry is missing", fail);
	r->rest = *size;
	r->entries++;
	XXH3_64bits_reset(r->hash);
	return *size > 0 || read_check_line(r, fail);
}

/* "end   …" is shorter than "entry …": read by the shorter one first. */
enum { END_LINE = 40 };

static bool read_end(struct archive_reader *r, struct str line, struct fail **fail)
{
	uint64_t entries, check;
	if (!read_hex(&line, 16, &entries) || !read_hex(&line, 16, &check) || entries != r->entries ||
	    check != check_of_end(r->check, r->entries))
		return fail_damaged(r, "its end does not fit", fail);
	return true;
}

enum archive_got archive_read_entry(struct archive_reader *r, struct str *fields, uint64_t *size, struct fail **fail)
{
	char line[ENTRY_LINE];
	*fields = STR("");
	*size = 0;
	if (r->read == 0 && !read_start(r, fail))
		return ARCHIVE_FAILED;
	if (!skip_body(r, fail) || !take_exactly(r, line, END_LINE, fail))
		return ARCHIVE_FAILED;
	if (memcmp(line, "end   ", 6) == 0)
		return read_end(r, str_from(line + 6, END_LINE - 6), fail) ? ARCHIVE_END : ARCHIVE_FAILED;
	if (memcmp(line, "entry ", 6) != 0) {
		fail_damaged(r, "no entry begins", fail);
		return ARCHIVE_FAILED;
	}
	if (!take_exactly(r, line + END_LINE, ENTRY_LINE - END_LINE, fail) ||
	    !read_fields(r, str_from(line + 6, ENTRY_LINE - 6), size, fail))
		return ARCHIVE_FAILED;
	*fields = buf_str(&r->fields);
	return ARCHIVE_ENTRY;
}

int64_t archive_read_body(struct archive_reader *r, void *data, size_t size, struct fail **fail)
{
	if (r->rest == 0)
		return 0;
	int64_t got = take(r, data, r->rest < size ? (size_t)r->rest : size, fail);
	if (got < 0)
		return -1;
	XXH3_64bits_update(r->hash, data, (size_t)got);
	r->rest -= (uint64_t)got;
	return r->rest == 0 && !read_check_line(r, fail) ? -1 : got;
}

bool archive_read_all(struct archive_reader *r, struct buf *out, struct fail **fail)
{
	uint64_t size = r->rest;
	if (size > out->limit - out->length) {
		if (skip_body(r, fail))
			fail_set(fail, FAIL_TOO_BIG, "an entry of %llu octets is too large", (unsigned long long)size);
		return false;
	}
	while (r->rest) {
		/* what a head claims must not decide how much memory is taken at once */
		size_t wanted = r->rest < BLOCK ? (size_t)r->rest : BLOCK;
		int64_t got = archive_read_body(r, buf_reserve(out, wanted), wanted, fail);
		if (got < 0)
			return false;
		buf_claim(out, (size_t)got);
	}
	return true;
}

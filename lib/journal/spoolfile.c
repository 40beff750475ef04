#include "spoolfile.h"

#include "disk.h"
#include "mem.h"
#include "spoolfile_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_STATIC_LINKING_ONLY /* the streaming state on the stack */
#include <xxhash.h>

enum { NAME_SIZE = 16 + sizeof ".body.part", WINDOW_SIZE = 65536 };

static const char message_suffix[] = "", part_suffix[] = ".part", body_suffix[] = ".body",
                  body_part_suffix[] = ".body.part", held_suffix[] = ".held";

/* Of each recipient, the last whole entry. */
struct latest {
	uint64_t offset; /* 0: none */
	enum envelope_state state;
	uint32_t attempts;
	int64_t next_attempt;
};

struct spoolfile {
	int directory; /* the caller's */
	int file;
	bool is_writable;
	char *head;         /* what stood at the beginning when it was opened, mostly all of it; NULL after a write */
	size_t head_length; /* less than WINDOW_SIZE: all of it */
	struct spoolfile_header header;
	struct spoolfile_summary summary;
	struct latest *latest;
	uint64_t log_end; /* where the next entry goes */
	bool failed;
};

static void file_name(char name[NAME_SIZE], uint64_t id, const char *suffix)
{
	snprintf(name, NAME_SIZE, "%016" PRIx64 "%s", id, suffix);
}

static int open_named(int directory, uint64_t id, const char *suffix, int flags, struct fail **fail)
{
	char name[NAME_SIZE];
	file_name(name, id, suffix);
	int file = openat(directory, name, flags | O_CLOEXEC, 0600);
	if (file < 0)
		fail_set_errno(fail, errno == ENOENT ? FAIL_NOT_FOUND : FAIL_IO, "opening %s", name);
	return file;
}

static void unlink_named(int directory, uint64_t id, const char *suffix)
{
	char name[NAME_SIZE];
	file_name(name, id, suffix);
	unlinkat(directory, name, 0);
}

/* Gives a flushed file its name, and flushes that. */
static bool rename_named(int directory, uint64_t id, const char *from_suffix, const char *to_suffix, bool replace,
                         struct fail **fail)
{
	char from[NAME_SIZE], to[NAME_SIZE];
	file_name(from, id, from_suffix);
	file_name(to, id, to_suffix);
	if (renameat2(directory, from, directory, to, replace ? 0 : RENAME_NOREPLACE) != 0)
		return fail_set_errno(fail, errno == EEXIST ? FAIL_EXISTS : FAIL_IO, "naming %s", to);
	if (disk_sync_directory(directory))
		return true;
	fail_set_errno(fail, FAIL_IO, "flushing the directory of %s", to);
	if (!replace)
		unlinkat(directory, to, 0);
	return false;
}

static bool check_stream(int file, uint64_t id, uint64_t offset, uint64_t size, uint64_t *check)
{
	XXH3_state_t state;
	XXH3_INITSTATE(&state);
	XXH3_64bits_reset_withSeed(&state, id);
	CLEANUP(mem_free) char *window = mem_resize(NULL, WINDOW_SIZE, 1);
	while (size > 0) {
		size_t part = size < WINDOW_SIZE ? (size_t)size : WINDOW_SIZE, got;
		if (!disk_read(file, window, part, offset, &got) || got < part)
			return false;
		XXH3_64bits_update(&state, window, part);
		offset += part;
		size -= part;
	}
	*check = XXH3_64bits_digest(&state);
	return true;
}

/* ---- bodies of their own ---- */

int spoolfile_body_begin(int directory, uint64_t id, struct fail **fail)
{
	unlink_named(directory, id, body_part_suffix);
	return open_named(directory, id, body_part_suffix, O_RDWR | O_CREAT | O_EXCL, fail);
}

bool spoolfile_body_finish(int directory, uint64_t id, uint64_t size, struct fail **fail)
{
	CLEANUP(disk_close) int file = open_named(directory, id, body_part_suffix, O_RDONLY, fail);
	if (file < 0)
		return false;
	struct stat status;
	if (fstat(file, &status) != 0)
		return fail_set_errno(fail, FAIL_IO, "reading a body");
	if ((uint64_t)status.st_size != size)
		return fail_set(fail, FAIL_INVALID, "a body of %jd octets that should have %" PRIu64,
		                (intmax_t)status.st_size, size);
	if (fsync(file) != 0)
		return fail_set_errno(fail, FAIL_IO, "flushing a body");
	return rename_named(directory, id, body_part_suffix, body_suffix, false, fail);
}

void spoolfile_body_abandon(int directory, uint64_t id)
{
	unlink_named(directory, id, body_part_suffix);
}

/* ---- writing ---- */

static bool check_body(int directory, const struct envelope *envelope, struct str body, uint64_t *check,
                       struct fail **fail)
{
	if (!envelope->body_in_file) {
		must(body.length == envelope->body_size);
		*check = spoolfile_check(envelope->id, body);
		return body.length <= LIMIT_INLINE_BODY_MAX ||
		       fail_set(fail, FAIL_TOO_BIG, "a body of %zu octets needs a file of its own", body.length);
	}
	CLEANUP(disk_close) int file = open_named(directory, envelope->id, body_suffix, O_RDONLY, fail);
	if (file < 0)
		return false;
	return check_stream(file, envelope->id, 0, envelope->body_size, check) ||
	       fail_set(fail, FAIL_IO, "a body cannot be read to its end");
}

static void fill_header(struct spoolfile_header *header, const struct envelope *envelope, struct str encoded)
{
	header->id = envelope->id;
	header->received = envelope->received;
	header->body_size = envelope->body_size;
	header->body_in_file = envelope->body_in_file;
	header->origin = envelope->origin;
	header->origin_sequence = envelope->origin_sequence;
	header->recipient_count = (uint32_t)envelope->recipient_count;
	header->envelope_length = (uint32_t)encoded.length;
	header->envelope_check = spoolfile_check(envelope->id, encoded);
	for (size_t i = 0; i < envelope->recipient_count; i++)
		header->states[i] = (uint8_t)envelope->recipients[i].state;
}

/* The whole content of a file; results has one per recipient, or is NULL. */
static bool compose(struct buf *out, const struct envelope *envelope, struct str body, uint64_t body_check,
                    const struct spoolfile_result *results, struct fail **fail)
{
	struct spoolfile_header header = { .body_check = body_check };
	char *room = buf_reserve(out, SPOOLFILE_HEADER_SIZE);
	must(room);
	buf_claim(out, SPOOLFILE_HEADER_SIZE);
	if (!envelope_encode(envelope, out, fail))
		return false;
	fill_header(&header, envelope, str_from_index(buf_str(out), SPOOLFILE_HEADER_SIZE));
	buf_add_str(out, body);
	static const char zeros[SPOOLFILE_ALIGN];
	buf_append(out, zeros, spoolfile_log_offset(&header) - out->length);
	for (size_t i = 0; results && i < envelope->recipient_count; i++)
		if (results[i].attempts > 0)
			spoolfile_entry_encode(out, envelope->id, out->length, &results[i]);
	must(!out->overflowed);
	spoolfile_header_encode((uint8_t *)out->data, &header);
	return true;
}

static bool write_part(int directory, uint64_t id, struct str content, struct fail **fail)
{
	unlink_named(directory, id, part_suffix);
	CLEANUP(disk_close) int file = open_named(directory, id, part_suffix, O_WRONLY | O_CREAT | O_EXCL, fail);
	if (file < 0)
		return false;
	if (!disk_write(file, content.data, content.length, 0) || fsync(file) != 0)
		return fail_set_errno(fail, FAIL_IO, "writing a message to its own file");
	return true;
}

static bool write_message(int directory, const struct envelope *envelope, struct str body,
                          const struct spoolfile_result *results, bool replace, struct fail **fail)
{
	static const size_t content_max = SPOOLFILE_HEADER_SIZE + LIMIT_ENVELOPE_SIZE_MAX + LIMIT_INLINE_BODY_MAX +
	                                  SPOOLFILE_ALIGN + LIMIT_ENVELOPE_RECIPIENTS_MAX * SPOOLFILE_ENTRY_MAX;
	uint64_t body_check;
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(content_max);
	if (!check_body(directory, envelope, body, &body_check, fail) ||
	    !compose(&content, envelope, body, body_check, results, fail))
		return false;
	if (write_part(directory, envelope->id, buf_str(&content), fail) &&
	    rename_named(directory, envelope->id, part_suffix, message_suffix, replace, fail))
		return true;
	unlink_named(directory, envelope->id, part_suffix);
	return false;
}

bool spoolfile_create(int directory, const struct envelope *envelope, struct str body, struct fail **fail)
{
	return write_message(directory, envelope, body, NULL, false, fail);
}

/* ---- opening: header and log ---- */

static void note(struct spoolfile *f, const struct spoolfile_result *result, uint64_t offset)
{
	if (result->recipient >= f->header.recipient_count)
		return;
	f->latest[result->recipient] =
		(struct latest){ offset, result->state, result->attempts, result->next_attempt };
}

/* Most files are read by one system call: a queue of many starts sooner so. */
static bool read_head(struct spoolfile *f)
{
	f->head = mem_resize(NULL, WINDOW_SIZE, 1);
	return disk_read(f->file, f->head, WINDOW_SIZE, 0, &f->head_length);
}

static void drop_head(struct spoolfile *f)
{
	free(f->head);
	f->head = NULL;
}

static bool read_at(const struct spoolfile *f, void *data, size_t length, uint64_t offset, size_t *got)
{
	bool is_whole = f->head_length < WINDOW_SIZE;
	if (!f->head || (!is_whole && offset + length > f->head_length))
		return disk_read(f->file, data, length, offset, got);
	size_t left = offset < f->head_length ? f->head_length - (size_t)offset : 0;
	*got = length < left ? length : left;
	if (*got)
		memcpy(data, f->head + offset, *got);
	return true;
}

/* Bounded memory: the log passes through a window. *end: where the next entry goes. */
static bool walk_log(struct spoolfile *f,
                     void (*take)(void *owner, const struct spoolfile_result *result, uint64_t offset), void *owner,
                     uint64_t *end, struct fail **fail)
{
	CLEANUP(mem_free) char *window = mem_resize(NULL, WINDOW_SIZE, 1);
	uint64_t offset = spoolfile_log_offset(&f->header), limit = offset + LIMIT_SPOOL_LOG_MAX + SPOOLFILE_ENTRY_MAX;
	size_t got = WINDOW_SIZE;
	while (got == WINDOW_SIZE && offset < limit) {
		if (!read_at(f, window, WINDOW_SIZE, offset, &got))
			return fail_set_errno(fail, FAIL_IO, "reading a message's own file");
		size_t at = 0, stop = got < WINDOW_SIZE ? got : WINDOW_SIZE - SPOOLFILE_ENTRY_MAX;
		while (at < stop) {
			struct spoolfile_result result;
			size_t span = SPOOLFILE_ALIGN;
			if (spoolfile_entry_decode(str_from(window + at, got - at), f->header.id, offset + at, &result, &span))
				take(owner, &result, offset + at);
			at += span;
		}
		offset += at;
	}
	*end = spoolfile_align(offset);
	return true;
}

static void take_latest(void *owner, const struct spoolfile_result *result, uint64_t offset)
{
	note(owner, result, offset);
}

struct visitor {
	void (*take)(void *owner, const struct spoolfile_result *result);
	void *owner;
};

static void take_attempt(void *owner, const struct spoolfile_result *result, uint64_t offset)
{
	const struct visitor *visitor = owner;
	(void)offset;
	visitor->take(visitor->owner, result);
}

bool spoolfile_attempts(struct spoolfile *f, void (*take)(void *owner, const struct spoolfile_result *result),
                        void *owner, struct fail **fail)
{
	struct visitor visitor = { take, owner };
	uint64_t end;
	return walk_log(f, take_attempt, &visitor, &end, fail);
}

static void summarize(struct spoolfile *f)
{
	const struct spoolfile_header *h = &f->header;
	f->summary = (struct spoolfile_summary){
		.id = h->id, .received = h->received, .body_size = h->body_size, .body_in_file = h->body_in_file,
		.origin = h->origin, .origin_sequence = h->origin_sequence, .recipient_count = h->recipient_count,
	};
	struct spoolfile_summary *s = &f->summary;
	for (size_t i = 0; i < h->recipient_count; i++) {
		const struct latest *latest = &f->latest[i];
		if (latest->state != ENVELOPE_PENDING)
			continue;
		if (s->pending++ == 0 || latest->next_attempt < s->next_attempt)
			s->next_attempt = latest->next_attempt;
		if (latest->attempts > s->attempts)
			s->attempts = latest->attempts;
	}
}

static bool read_file(struct spoolfile *f, uint64_t id, struct fail **fail)
{
	uint8_t bytes[SPOOLFILE_HEADER_SIZE];
	size_t got;
	if (!read_head(f) || !read_at(f, bytes, sizeof bytes, 0, &got))
		return fail_set_errno(fail, FAIL_IO, "reading a message's own file");
	if (got < sizeof bytes || !spoolfile_header_decode(bytes, id, &f->header))
		return fail_set(fail, FAIL_CORRUPT, "the header of a message's own file is damaged");
	f->latest = mem_alloc(f->header.recipient_count * sizeof *f->latest);
	for (size_t i = 0; i < f->header.recipient_count; i++)
		f->latest[i].state = f->header.states[i];
	if (!walk_log(f, take_latest, f, &f->log_end, fail))
		return false;
	summarize(f);
	return true;
}

struct spoolfile *spoolfile_open(int directory, uint64_t id, struct fail **fail)
{
	int file = open_named(directory, id, message_suffix, O_RDONLY, fail);
	if (file < 0)
		return NULL;
	struct spoolfile *f = mem_alloc(sizeof *f);
	f->directory = directory;
	f->file = file;
	if (!read_file(f, id, fail))
		spoolfile_cleanup(&f);
	return f;
}

void spoolfile_close(struct spoolfile *f)
{
	if (!f)
		return;
	disk_close(&f->file);
	free(f->latest);
	free(f->head);
	free(f);
}

void spoolfile_cleanup(struct spoolfile **f)
{
	spoolfile_close(TAKE(*f));
}

const struct spoolfile_summary *spoolfile_summary(const struct spoolfile *f)
{
	return &f->summary;
}

/* ---- reading ---- */

/* The latest results, with their replies from the file. An entry that has gone bad since gives no reply. */
static bool load_results(const struct spoolfile *f, struct arena *arena, struct spoolfile_result *results,
                         struct fail **fail)
{
	char bytes[SPOOLFILE_ENTRY_MAX];
	for (uint32_t i = 0; i < f->header.recipient_count; i++) {
		const struct latest *latest = &f->latest[i];
		results[i] = (struct spoolfile_result){ .recipient = i, .state = latest->state };
		if (latest->offset == 0)
			continue;
		size_t got, span;
		if (!read_at(f, bytes, sizeof bytes, latest->offset, &got))
			return fail_set_errno(fail, FAIL_IO, "reading a message's own file");
		struct spoolfile_result stored;
		results[i].attempts = latest->attempts;
		results[i].next_attempt = latest->next_attempt;
		if (!spoolfile_entry_decode(str_from(bytes, got), f->header.id, latest->offset, &stored, &span))
			continue;
		results[i] = stored;
		results[i].reply = arena_copy(arena, stored.reply);
	}
	return true;
}

static bool load_envelope(const struct spoolfile *f, struct arena *arena, struct envelope *envelope, struct fail **fail)
{
	const struct spoolfile_header *h = &f->header;
	char *bytes = arena_alloc(arena, h->envelope_length);
	size_t got;
	if (!read_at(f, bytes, h->envelope_length, SPOOLFILE_HEADER_SIZE, &got))
		return fail_set_errno(fail, FAIL_IO, "reading a message's own file");
	struct str encoded = str_from(bytes, got), rest;
	if (got < h->envelope_length || spoolfile_check(h->id, encoded) != h->envelope_check)
		return fail_set(fail, FAIL_CORRUPT, "the envelope in a message's own file is damaged");
	struct envelope decoded;
	if (!envelope_decode(encoded, arena, &decoded, &rest, fail))
		return false;
	if (rest.length > 0 || decoded.id != h->id || decoded.recipient_count != h->recipient_count)
		return fail_set(fail, FAIL_CORRUPT, "envelope and header of a message's own file differ");
	for (size_t i = 0; i < decoded.recipient_count; i++)
		decoded.recipients[i].state = f->latest[i].state;
	*envelope = decoded;
	return true;
}

bool spoolfile_load(struct spoolfile *f, struct arena *arena, struct envelope *envelope,
                    struct spoolfile_result **results, struct fail **fail)
{
	struct spoolfile_result *loaded = arena_alloc_array(arena, f->header.recipient_count, sizeof *loaded);
	if (!load_results(f, arena, loaded, fail) || !load_envelope(f, arena, envelope, fail))
		return false;
	*results = loaded;
	return true;
}

int spoolfile_body(struct spoolfile *f, uint64_t *offset, struct fail **fail)
{
	const struct spoolfile_header *h = &f->header;
	uint64_t start = h->body_in_file ? 0 : spoolfile_body_offset(h), check;
	CLEANUP(disk_close) int file =
		open_named(f->directory, h->id, h->body_in_file ? body_suffix : message_suffix, O_RDONLY, fail);
	if (file < 0)
		return -1;
	if (!check_stream(file, h->id, start, h->body_size, &check) || check != h->body_check) {
		fail_set(fail, FAIL_CORRUPT, "the body of a message in the queue is damaged");
		return -1;
	}
	*offset = start;
	int given = file;
	file = -1;
	return given;
}

/* ---- results ---- */

/* Opening for writing costs the kernel more, and most files are only looked at. */
static bool open_for_writing(struct spoolfile *f, struct fail **fail)
{
	if (f->is_writable)
		return true;
	int file = open_named(f->directory, f->header.id, message_suffix, O_RDWR, fail);
	if (file < 0)
		return false;
	disk_close(&f->file);
	f->file = file;
	f->is_writable = true;
	return true;
}

static bool write_log(struct spoolfile *f, struct str entries, struct fail **fail)
{
	if (!open_for_writing(f, fail))
		return false;
	drop_head(f);
	if (!disk_write(f->file, entries.data, entries.length, f->log_end)) {
		f->failed = errno != ENOSPC && errno != EDQUOT;
		return fail_set_errno(fail, FAIL_IO, "writing the results of a message");
	}
	if (fdatasync(f->file) == 0)
		return true;
	f->failed = true;
	fail_set_errno(fail, FAIL_IO, "flushing the results of a message");
	return false;
}

bool spoolfile_log(struct spoolfile *f, const struct spoolfile_result *results, size_t count, struct fail **fail)
{
	if (f->failed)
		return fail_set(fail, FAIL_IO, "the message's own file is closed for writing after an error");
	CLEANUP(buf_release) struct buf entries = BUF_WITH_LIMIT(count * SPOOLFILE_ENTRY_MAX);
	for (size_t i = 0; i < count; i++) {
		must(results[i].recipient < f->header.recipient_count && results[i].attempts > 0);
		spoolfile_entry_encode(&entries, f->header.id, f->log_end + entries.length, &results[i]);
	}
	if (f->log_end - spoolfile_log_offset(&f->header) + entries.length > LIMIT_SPOOL_LOG_MAX)
		return fail_set(fail, FAIL_LIMIT, "the log of a message's own file is full");
	if (!write_log(f, buf_str(&entries), fail))
		return false;
	for (size_t i = 0, at = 0; i < count; i++) {
		note(f, &results[i], f->log_end + at);
		at += spoolfile_align(SPOOLFILE_ENTRY_HEAD + str_first(results[i].reply, SPOOLFILE_REPLY_MAX).length);
	}
	f->log_end += entries.length;
	summarize(f);
	return true;
}

static bool read_inline_body(struct spoolfile *f, struct buf *body, struct fail **fail)
{
	if (f->header.body_in_file)
		return true;
	uint64_t offset;
	CLEANUP(disk_close) int file = spoolfile_body(f, &offset, fail);
	if (file < 0)
		return false;
	char *room = buf_reserve(body, f->header.body_size);
	size_t got;
	must(room);
	if (!disk_read(file, room, f->header.body_size, offset, &got) || got < f->header.body_size)
		return fail_set(fail, FAIL_IO, "a body cannot be read to its end");
	buf_claim(body, got);
	return true;
}

bool spoolfile_rewrite(struct spoolfile *f, struct fail **fail)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(4 * LIMIT_ENVELOPE_SIZE_MAX);
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(LIMIT_INLINE_BODY_MAX);
	struct envelope envelope;
	struct spoolfile_result *results;
	if (!spoolfile_load(f, arena, &envelope, &results, fail) || !read_inline_body(f, &body, fail) ||
	    !write_message(f->directory, &envelope, buf_str(&body), results, true, fail))
		return false;
	CLEANUP(spoolfile_cleanup) struct spoolfile *fresh = spoolfile_open(f->directory, f->header.id, fail);
	if (!fresh)
		return false;
	struct spoolfile old = *f;
	*f = *fresh;
	*fresh = old;
	return true;
}

bool spoolfile_remove(int directory, uint64_t id, struct fail **fail)
{
	char name[NAME_SIZE];
	file_name(name, id, message_suffix);
	if (unlinkat(directory, name, 0) != 0 && errno != ENOENT)
		return fail_set_errno(fail, FAIL_IO, "removing %s", name);
	unlink_named(directory, id, body_suffix);
	return true;
}

void spoolfile_remove_parts(int directory, uint64_t id)
{
	unlink_named(directory, id, part_suffix);
	unlink_named(directory, id, body_part_suffix);
}

/* ---- listing ---- */

struct spoolfile_walk {
	DIR *entries;
};

struct spoolfile_walk *spoolfile_walk_begin(int directory, struct fail **fail)
{
	int file = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = file < 0 ? NULL : fdopendir(file);
	if (!entries) {
		fail_set_errno(fail, FAIL_IO, "reading the spool directory");
		disk_close(&file);
		return NULL;
	}
	struct spoolfile_walk *walk = mem_alloc(sizeof *walk);
	walk->entries = entries;
	return walk;
}

static bool parse_name(struct str name, uint64_t *id, enum spoolfile_kind *kind)
{
	static const struct {
		const char *suffix;
		enum spoolfile_kind kind;
	} kinds[] = {
		{ message_suffix, SPOOLFILE_MESSAGE },
		{ part_suffix, SPOOLFILE_PART },
		{ body_suffix, SPOOLFILE_BODY },
		{ body_part_suffix, SPOOLFILE_PART },
		{ held_suffix, SPOOLFILE_HELD },
	};
	if (name.length < 16)
		return false;
	uint64_t number = 0;
	for (size_t i = 0; i < 16; i++) {
		char c = name.data[i];
		if (!char_is_digit(c) && (c < 'a' || c > 'f'))
			return false;
		number = number << 4 | (uint64_t)(char_is_digit(c) ? c - '0' : c - 'a' + 10);
	}
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if (!str_equal(str_from_index(name, 16), str_of(kinds[i].suffix)))
			continue;
		*id = number;
		*kind = kinds[i].kind;
		return true;
	}
	return false;
}

bool spoolfile_walk_next(struct spoolfile_walk *walk, uint64_t *id, enum spoolfile_kind *kind)
{
	for (struct dirent *entry; (entry = readdir(walk->entries)) != NULL;)
		if (parse_name(str_of(entry->d_name), id, kind))
			return true;
	return false;
}

void spoolfile_walk_end(struct spoolfile_walk *walk)
{
	if (!walk)
		return;
	closedir(walk->entries);
	free(walk);
}

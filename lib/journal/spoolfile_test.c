#include "spoolfile.h"

#include "array.h"
#include "journal_test_kit.h"
#include "spoolfile_format.h"

#include <errno.h>

enum { ID = 0xabc };
static const char file[] = "0000000000000abc";

/* The linker puts these in the place of the system's; see meson.build. */
int __wrap_fdatasync(int descriptor);
int __wrap_fsync(int descriptor);
static bool flush_fails;

int __wrap_fdatasync(int descriptor)
{
	errno = EIO;
	return flush_fails && descriptor >= 0 ? -1 : 0; /* no real power will be lost */
}

int __wrap_fsync(int descriptor)
{
	assert_true(descriptor >= 0);
	return 0;
}

static struct envelope sample(struct envelope_recipient recipients[3], uint64_t id, size_t body_size)
{
	for (size_t i = 0; i < 3; i++)
		recipients[i] = (struct envelope_recipient){ .account = i, .address = STR("bob@example.test") };
	recipients[1].state = ENVELOPE_APPLIED;
	return (struct envelope){ .id = id, .received = 1700000000, .body_size = body_size, .origin = { { 1, 2, 3 } },
		                      .origin_sequence = 9, .recipients = recipients, .recipient_count = 3 };
}

static struct kit_directory spool_with_message(size_t body_size)
{
	struct kit_directory d = kit_directory_new();
	struct envelope_recipient recipients[3];
	struct envelope e = sample(recipients, ID, body_size);
	CLEANUP(mem_free) char *body = kit_payload(1, body_size);
	assert_true(spoolfile_create(d.file, &e, str_from(body, body_size), NULL));
	return d;
}

static struct spoolfile *open_it(const struct kit_directory *d)
{
	struct spoolfile *f = spoolfile_open(d->file, ID, NULL);
	assert_non_null(f);
	return f;
}

static struct spoolfile_result result(uint32_t recipient, enum envelope_state state, uint32_t attempts,
                                      struct str reply)
{
	return (struct spoolfile_result){ recipient, state, attempts, 1700000000 + attempts, 1700001000 + attempts, reply };
}

static void check_body(struct spoolfile *f, uint64_t tag, size_t size)
{
	uint64_t offset;
	int body = spoolfile_body(f, &offset, NULL);
	assert_true(body >= 0);
	CLEANUP(mem_free) char *expected = kit_payload(tag, size);
	CLEANUP(mem_free) char *got = mem_alloc(size + 1);
	assert_int_equal(pread(body, got, size, (off_t)offset), size);
	assert_memory_equal(got, expected, size);
	assert_int_equal(write(body, "x", 1), -1); /* who gets it cannot write through it */
	close(body);
}

static void a_message_comes_back(void **state)
{
	(void)state;
	static const size_t sizes[] = { 0, 1, 5000, LIMIT_INLINE_BODY_MAX };
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct kit_directory d = spool_with_message(sizes[i]);
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
		CLEANUP(spoolfile_cleanup) struct spoolfile *f = open_it(&d);
		struct envelope e;
		struct spoolfile_result *results;
		const struct spoolfile_summary *s = spoolfile_summary(f);
		assert_true(s->id == ID && s->recipient_count == 3 && s->pending == 2 && s->origin_sequence == 9);
		assert_true(s->next_attempt == 0 && s->attempts == 0 && s->body_size == sizes[i]);
		assert_true(spoolfile_load(f, arena, &e, &results, NULL));
		assert_true(str_equal(e.recipients[2].address, STR("bob@example.test")));
		assert_true(e.recipients[1].state == ENVELOPE_APPLIED && e.recipients[2].state == ENVELOPE_PENDING);
		assert_int_equal(results[2].attempts, 0);
		check_body(f, 1, sizes[i]);
		kit_directory_remove(&d);
	}
}

static void creation_refuses(void **state)
{
	(void)state;
	struct kit_directory d = spool_with_message(10);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct envelope_recipient recipients[3];
	struct envelope e = sample(recipients, ID, 1);
	assert_false(spoolfile_create(d.file, &e, STR("x"), &fail));
	assert_int_equal(fail->kind, FAIL_EXISTS);
	e = sample(recipients, ID + 1, LIMIT_INLINE_BODY_MAX + 1);
	CLEANUP(mem_free) char *body = kit_payload(1, LIMIT_INLINE_BODY_MAX + 1);
	assert_false(spoolfile_create(d.file, &e, str_from(body, LIMIT_INLINE_BODY_MAX + 1), &fail));
	assert_int_equal(fail->kind, FAIL_TOO_BIG);
	assert_null(spoolfile_open(d.file, ID + 1, &fail));
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
	assert_int_equal(faccessat(d.file, "0000000000000abc.part", F_OK, 0), -1);
	kit_directory_remove(&d);
}

static void the_last_result_counts(void **state)
{
	(void)state;
	struct kit_directory d = spool_with_message(100);
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = open_it(&d);
	for (uint32_t i = 1; i <= 300; i++) { /* more than one window of the log */
		char reply[SPOOLFILE_REPLY_MAX + 2];
		memset(reply, 'a' + (char)(i % 26), sizeof reply);
		const struct spoolfile_result two[2] = { result(0, ENVELOPE_PENDING, i, str_from(reply, i * 3)),
			                                     result(2, ENVELOPE_PENDING, i + 7, str_from(reply, sizeof reply)) };
		assert_true(spoolfile_log(f, two, 2, NULL));
	}
	for (int again = 0; again < 3; again++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
		struct envelope e;
		struct spoolfile_result *results;
		const struct spoolfile_summary *s = spoolfile_summary(f);
		assert_true(s->pending == 2 && s->attempts == 307 && s->next_attempt == 1700001300);
		assert_true(spoolfile_load(f, arena, &e, &results, NULL));
		assert_true(results[0].attempts == 300 && results[0].reply.length == 900);
		assert_int_equal(results[0].reply.data[899], 'a' + 300 % 26);
		assert_int_equal(results[2].reply.length, SPOOLFILE_REPLY_MAX);
		assert_int_equal(results[1].attempts, 0);
		if (again == 1) /* shorter, with the same content */
			assert_true(spoolfile_rewrite(f, NULL));
		spoolfile_cleanup(&f);
		f = open_it(&d);
		check_body(f, 1, 100);
	}
	struct spoolfile_result done = result(0, ENVELOPE_APPLIED, 301, STR("250 2.0.0"));
	assert_true(spoolfile_log(f, &done, 1, NULL));
	assert_true(spoolfile_summary(f)->pending == 1 && spoolfile_summary(f)->next_attempt == 1700001307);
	kit_directory_remove(&d);
}

/* The log cut at each byte, and each of its bytes changed: only what was hit is gone. */
static void a_torn_log_loses_its_end_only(void **state)
{
	(void)state;
	struct kit_directory d = spool_with_message(100);
	struct spoolfile *f = open_it(&d);
	CLEANUP(buf_release) struct buf image = BUF_WITH_LIMIT(1 << 20);
	kit_read(d.file, file, &image);
	size_t start = image.length, ends[4];
	for (uint32_t i = 0; i < 4; i++) {
		struct str reply = STR("450 4.2.0 the mailbox is busy, try again later on");
		struct spoolfile_result one = result(0, ENVELOPE_PENDING, i + 1, reply);
		assert_true(spoolfile_log(f, &one, 1, NULL));
		kit_read(d.file, file, &image);
		ends[i] = image.length;
	}
	spoolfile_close(f);
	for (size_t at = start; at < image.length; at++) {
		size_t hit = 0;
		while (ends[hit] <= at)
			hit++;
		bool padding = at >= (hit ? ends[hit - 1] : start) + SPOOLFILE_ENTRY_HEAD + 49;
		kit_write(d.file, file, str_first(buf_str(&image), at));
		f = open_it(&d);
		assert_int_equal(spoolfile_summary(f)->attempts, hit + padding);
		struct spoolfile_result next = result(2, ENVELOPE_PENDING, 50, STR("451"));
		assert_true(spoolfile_log(f, &next, 1, NULL));
		spoolfile_close(f);
		f = open_it(&d);
		assert_int_equal(spoolfile_summary(f)->attempts, 50);
		spoolfile_close(f);
		image.data[at] ^= 0x10;
		kit_write(d.file, file, buf_str(&image));
		f = open_it(&d);
		assert_int_equal(spoolfile_summary(f)->attempts, hit == 3 && !padding ? 3 : 4);
		spoolfile_close(f);
		image.data[at] ^= 0x10;
	}
	/* an old entry at another place is not a new one */
	struct str oldest = str_from_index(str_first(buf_str(&image), ends[0]), start);
	CLEANUP(mem_free) char *copy = str_copy(oldest);
	buf_append(&image, copy, oldest.length);
	kit_write(d.file, file, buf_str(&image));
	f = open_it(&d);
	assert_int_equal(spoolfile_summary(f)->attempts, 4);
	spoolfile_close(f);
	kit_directory_remove(&d);
}

static enum fail_kind kind_after_damage(const struct kit_directory *d, struct buf *image, size_t at)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
	struct envelope e;
	struct spoolfile_result *results;
	image->data[at] ^= 1;
	kit_write(d->file, file, buf_str(image));
	image->data[at] ^= 1;
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = spoolfile_open(d->file, ID, &fail);
	uint64_t offset;
	if (f && spoolfile_load(f, arena, &e, &results, &fail))
		assert_int_equal(spoolfile_body(f, &offset, &fail), -1);
	assert_non_null(fail);
	return fail->kind;
}

static void damage_elsewhere_is_seen(void **state)
{
	(void)state;
	struct kit_directory d = spool_with_message(100);
	CLEANUP(buf_release) struct buf image = BUF_WITH_LIMIT(1 << 20);
	kit_read(d.file, file, &image);
	/* header, states, envelope, body; what follows pads to the log */
	for (size_t at = 0; at < image.length / 64 * 64 - 64; at += at < 4000 ? 37 : 1)
		assert_int_equal(kind_after_damage(&d, &image, at), FAIL_CORRUPT);
	kit_directory_remove(&d);
}

static void a_failed_flush_is_final_for_the_file(void **state)
{
	(void)state;
	struct kit_directory d = spool_with_message(100);
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = open_it(&d);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct spoolfile_result one = result(0, ENVELOPE_PENDING, 1, STR("450"));
	assert_true(spoolfile_log(f, &one, 1, NULL));
	one.attempts = 2;
	flush_fails = true;
	assert_false(spoolfile_log(f, &one, 1, &fail));
	flush_fails = false;
	assert_int_equal(fail->kind, FAIL_IO);
	assert_false(spoolfile_log(f, &one, 1, &fail));
	assert_true(spoolfile_rewrite(f, NULL));
	assert_int_equal(spoolfile_summary(f)->attempts, 1);
	assert_true(spoolfile_log(f, &one, 1, NULL));
	assert_int_equal(spoolfile_summary(f)->attempts, 2);
	kit_directory_remove(&d);
}

/* Filled through a descriptor as another process would. */
static void a_large_body_is_written_once(void **state)
{
	(void)state;
	enum { SIZE = 3000000 };
	struct kit_directory d = kit_directory_new();
	CLEANUP(fail_free) struct fail *fail = NULL;
	int writer = spoolfile_body_begin(d.file, ID, NULL);
	CLEANUP(mem_free) char *bytes = kit_payload(5, SIZE);
	assert_int_equal(write(writer, bytes, SIZE), SIZE);
	assert_false(spoolfile_body_finish(d.file, ID, SIZE - 1, &fail));
	assert_int_equal(fail->kind, FAIL_INVALID);
	struct envelope_recipient recipients[3];
	struct envelope e = sample(recipients, ID, SIZE);
	e.body_in_file = true;
	assert_false(spoolfile_create(d.file, &e, (struct str){}, &fail));
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
	assert_true(spoolfile_body_finish(d.file, ID, SIZE, NULL));
	assert_true(spoolfile_create(d.file, &e, (struct str){}, NULL));
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = open_it(&d);
	check_body(f, 5, SIZE);
	/* a writer that kept its descriptor is found out */
	assert_int_equal(pwrite(writer, "!", 1, 1000000), 1);
	uint64_t offset;
	assert_int_equal(spoolfile_body(f, &offset, &fail), -1);
	assert_int_equal(fail->kind, FAIL_CORRUPT);
	close(writer);
	assert_true(spoolfile_remove(d.file, ID, NULL));
	assert_true(spoolfile_remove(d.file, ID, NULL));
	assert_int_equal(faccessat(d.file, "0000000000000abc.body", F_OK, 0), -1);
	kit_directory_remove(&d);
}

static void the_walk_tells_the_kinds(void **state)
{
	(void)state;
	struct kit_directory d = kit_directory_new();
	static const char *const names[] = { "0000000000000001", "0000000000000002.part", "0000000000000003.body",
		                                 "0000000000000004.body.part", "000000000000000G", "00000000000000001",
		                                 "0000000000000005.bodyx", "journal-0", "000000000000000A" };
	for (size_t i = 0; i < COUNT_OF(names); i++)
		kit_write(d.file, names[i], STR("x"));
	unsigned seen[6] = { 0 };
	struct spoolfile_walk *walk = spoolfile_walk_begin(d.file, NULL);
	uint64_t id;
	enum spoolfile_kind kind;
	while (spoolfile_walk_next(walk, &id, &kind)) {
		assert_true(id >= 1 && id <= 4);
		static const enum spoolfile_kind kinds[] = { SPOOLFILE_MESSAGE, SPOOLFILE_PART, SPOOLFILE_BODY, SPOOLFILE_PART };
		assert_int_equal(kind, kinds[id - 1]);
		seen[id]++;
		spoolfile_remove_parts(d.file, id);
	}
	spoolfile_walk_end(walk);
	assert_true(seen[1] == 1 && seen[2] == 1 && seen[3] == 1 && seen[4] == 1);
	assert_int_equal(faccessat(d.file, names[0], F_OK, 0), 0);
	assert_int_equal(faccessat(d.file, names[1], F_OK, 0), -1);
	assert_int_equal(faccessat(d.file, names[3], F_OK, 0), -1);
	kit_directory_remove(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_comes_back),
		cmocka_unit_test(creation_refuses),
		cmocka_unit_test(the_last_result_counts),
		cmocka_unit_test(a_torn_log_loses_its_end_only),
		cmocka_unit_test(damage_elsewhere_is_seen),
		cmocka_unit_test(a_failed_flush_is_final_for_the_file),
		cmocka_unit_test(a_large_body_is_written_once),
		cmocka_unit_test(the_walk_tells_the_kinds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "journal.h"

#include "array.h"
#include "journal_format.h"
#include "journal_test_kit.h"

#include <errno.h>
#include <pthread.h>

enum { RING = 65536, SECTOR = 512 };

/* The linker puts these in the place of the system's; see meson.build. */
ssize_t __real_pwrite64(int file, const void *data, size_t length, off_t offset);
ssize_t __wrap_pwrite64(int file, const void *data, size_t length, off_t offset);
int __wrap_fdatasync(int file);
int __wrap_fsync(int file);

/* What a disk would do: sectors written and not yet flushed, with what stood there before. */
static struct disk_model {
	bool on;
	int crash_in;     /* flushes until the image of a crash is taken; 0: never */
	int fail_in;      /* flushes until one fails; 0: never */
	uint64_t random;
	const char *name; /* of the file */
	const struct kit_directory *directory;
	struct buf crashed;
	ARRAY(struct old_sector { off_t offset; char bytes[SECTOR]; }) unflushed;
	unsigned writes, flushes;
} disk;

ssize_t __wrap_pwrite64(int file, const void *data, size_t length, off_t offset)
{
	disk.writes++;
	for (size_t at = 0; disk.on && at < length; at += SECTOR) {
		struct old_sector *old = array_add(&disk.unflushed);
		old->offset = offset + (off_t)at;
		int reader = openat(disk.directory->file, disk.name, O_RDONLY | O_CLOEXEC);
		assert_true(pread(reader, old->bytes, SECTOR, old->offset) == SECTOR);
		close(reader);
	}
	return __real_pwrite64(file, data, length, offset);
}

/* Of the unflushed sectors, each one arrived or did not, whatever the order. */
static void take_crash_image(void)
{
	kit_read(disk.directory->file, disk.name, &disk.crashed);
	for (size_t i = disk.unflushed.count; i-- > 0;)
		if (kit_below(&disk.random, 2))
			memcpy(disk.crashed.data + disk.unflushed.items[i].offset, disk.unflushed.items[i].bytes, SECTOR);
}

int __wrap_fdatasync(int file)
{
	assert_true(file >= 0);
	disk.flushes++;
	if (disk.crash_in > 0 && --disk.crash_in == 0)
		take_crash_image();
	disk.unflushed.count = 0;
	if (disk.fail_in > 0 && --disk.fail_in == 0) {
		errno = EIO;
		return -1;
	}
	return 0; /* no real power will be lost */
}

int __wrap_fsync(int file)
{
	assert_true(file >= 0);
	return 0;
}

/* ---- a journal under test, and what should be in it ---- */

struct expected {
	uint64_t sequence;
	uint64_t tag;
	size_t length;
};

struct bench {
	struct kit_directory directory;
	struct journal_uuid uuid;
	char name[64];
	struct journal *journal;
	struct journal_report report;
	ARRAY(struct expected) live;
	uint64_t next_tag;
};

static void name_of(char name[64], const struct journal_uuid *uuid)
{
	CLEANUP(buf_release) struct buf hex = BUF_WITH_LIMIT(32);
	text_hex_encode(&hex, str_from((const char *)uuid->bytes, 16));
	snprintf(name, 64, "journal-%s", buf_text(&hex));
}

static void reopen(struct bench *b)
{
	journal_close(b->journal);
	b->journal = journal_open(b->directory.file, &b->uuid, &b->report, NULL);
	assert_non_null(b->journal);
}

static struct bench bench_new(uint64_t size)
{
	struct bench b = { .directory = kit_directory_new(), .next_tag = 1 };
	assert_true(journal_create(b.directory.file, size, &b.uuid, NULL));
	name_of(b.name, &b.uuid);
	reopen(&b);
	return b;
}

static void bench_free(struct bench *b)
{
	journal_close(b->journal);
	array_release(&b->live);
	kit_directory_remove(&b->directory);
}

/* Appends a group of records of these lengths, each cut in two at a third. */
static bool append(struct bench *b, const size_t *lengths, size_t count, struct fail **fail)
{
	struct journal_entry entries[8];
	char *payloads[8];
	assert_true(count <= 8);
	for (size_t i = 0; i < count; i++) {
		payloads[i] = kit_payload(b->next_tag + i, lengths[i]);
		size_t cut = lengths[i] / 3;
		entries[i] = (struct journal_entry){ str_from(payloads[i], cut),
		                                     str_from(payloads[i] + cut, lengths[i] - cut), 0 };
	}
	bool good = journal_append_group(b->journal, entries, count, fail);
	for (size_t i = 0; i < count; i++) {
		if (good)
			*array_add(&b->live) = (struct expected){ entries[i].sequence, b->next_tag + i, lengths[i] };
		free(payloads[i]);
	}
	b->next_tag += count;
	return good;
}

static void append_one(struct bench *b, size_t length)
{
	assert_true(append(b, &length, 1, NULL));
}

static void trim(struct bench *b, size_t count)
{
	if (count == 0)
		return;
	journal_trim(b->journal, b->live.items[count - 1].sequence);
	for (; count > 0; count--)
		array_remove(&b->live, 0);
}

static bool is_there(struct journal *j, const struct expected *e)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX);
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!journal_read(j, e->sequence, &out, &fail)) {
		assert_int_equal(fail->kind, FAIL_NOT_FOUND);
		return false;
	}
	CLEANUP(mem_free) char *payload = kit_payload(e->tag, e->length);
	assert_int_equal(out.length, e->length);
	assert_memory_equal(out.data, payload, e->length);
	return true;
}

/* Exactly the expected records, in order. */
static void check_exact(struct bench *b)
{
	uint64_t sequence = 0;
	uint32_t length;
	for (size_t i = 0; i < b->live.count; i++) {
		assert_true(journal_next(b->journal, sequence, &sequence, &length));
		assert_int_equal(sequence, b->live.items[i].sequence);
		assert_int_equal(length, b->live.items[i].length);
		assert_true(is_there(b->journal, &b->live.items[i]));
	}
	assert_false(journal_next(b->journal, sequence, &sequence, &length));
}

/* ---- tests ---- */

static void records_come_back(void **state)
{
	(void)state;
	struct bench b = bench_new(1 << 20);
	static const size_t groups[][3] = { { 1, 63, 64 }, { 65, 4032, 4033 }, { 100000, 1, 50000 } };
	for (size_t i = 0; i < COUNT_OF(groups); i++)
		assert_true(append(&b, groups[i], 3, NULL));
	check_exact(&b);
	reopen(&b);
	assert_int_equal(b.report.records, 9);
	assert_int_equal(b.report.gap_count, 0);
	assert_false(b.report.slot_damaged || b.report.salvaged || b.report.read_only);
	check_exact(&b);
	bench_free(&b);
}

static void a_group_is_one_write_and_one_flush(void **state)
{
	(void)state;
	struct bench b = bench_new(1 << 20);
	static const size_t lengths[8] = { 100, 200, 300, 4000, 12000, 12000, 12000, 1 };
	unsigned writes = disk.writes, flushes = disk.flushes;
	assert_true(append(&b, lengths, 8, NULL));
	assert_int_equal(disk.writes - writes, 1);
	assert_int_equal(disk.flushes - flushes, 1);
	bench_free(&b);
}

static void sizes_have_limits(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct journal_uuid uuid;
	assert_false(journal_create(b.directory.file, RING - 4096, &uuid, &fail));
	assert_int_equal(fail->kind, FAIL_INVALID);
	assert_false(journal_create(b.directory.file, RING + 1, &uuid, &fail));
	size_t length = RING / 2 - 4096 - 64;
	append_one(&b, length);
	length++;
	assert_false(append(&b, &length, 1, &fail));
	assert_int_equal(fail->kind, FAIL_TOO_BIG);
	check_exact(&b);
	bench_free(&b);
}

static void one_process_holds_a_journal(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct journal_report report;
	assert_null(journal_open(b.directory.file, &b.uuid, &report, &fail));
	assert_int_equal(fail->kind, FAIL_BUSY);
	struct journal_uuid other = { { 1 } };
	assert_null(journal_open(b.directory.file, &other, &report, &fail));
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
	bench_free(&b);
}

static void listing_finds_journals_and_clears_unfinished_ones(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	kit_write(b.directory.file, "journal-00000000000000000000000000000000.new", STR("x"));
	kit_write(b.directory.file, "journal-nonsense", STR("x"));
	struct journal_uuid uuids[4];
	size_t count;
	assert_true(journal_list(b.directory.file, uuids, 4, &count, NULL));
	assert_int_equal(count, 1);
	assert_memory_equal(uuids[0].bytes, b.uuid.bytes, 16);
	assert_int_equal(faccessat(b.directory.file, "journal-00000000000000000000000000000000.new", F_OK, 0), -1);
	assert_true(journal_remove(b.directory.file, &b.uuid, NULL));
	assert_true(journal_list(b.directory.file, uuids, 4, &count, NULL));
	assert_int_equal(count, 0);
	bench_free(&b);
}

/* Every way in which two records can meet the end of the ring. */
static void wraps_at_each_edge(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	for (size_t step = 0; step < 300; step++) {
		size_t here = 8128 - 64 - 200 + step; /* from a third record's room to none before the end */
		while (journal_room(b.journal) > 0 && b.live.count < 14)
			append_one(&b, 100);
		trim(&b, b.live.count - 1);
		const size_t lengths[3] = { here, 70, 130 };
		assert_true(append(&b, lengths, 3, NULL));
		if (step % 10 == 0)
			reopen(&b);
		check_exact(&b);
		assert_true(append(&b, lengths, 3, NULL));
		trim(&b, b.live.count - 2);
		check_exact(&b);
	}
	bench_free(&b);
}

/* The wrap record, and a group that ends exactly where the ring does. */
static void meets_the_end_exactly(void **state)
{
	(void)state;
	for (size_t rest = 0; rest < 3 * 64; rest++) {
		struct bench b = bench_new(RING);
		for (size_t i = 0; i < 14; i++)
			append_one(&b, 4000);
		trim(&b, 14);
		const size_t lengths[2] = { 8192 - 64 - rest, 1 };
		assert_true(append(&b, lengths, 2, NULL));
		append_one(&b, 5000);
		check_exact(&b);
		reopen(&b);
		assert_int_equal(b.report.gap_count, 0);
		check_exact(&b);
		bench_free(&b);
	}
}

static void random_walk_against_a_model(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	uint64_t random = 1;
	unsigned refused = 0, laps = 0;
	for (unsigned step = 0; step < 3000; step++) {
		size_t lengths[8], count = 1 + kit_below(&random, 5), sum = 0;
		for (size_t i = 0; i < count; i++)
			sum += lengths[i] = 1 + kit_below(&random, kit_below(&random, 8) ? 900 : 9000);
		CLEANUP(fail_free) struct fail *fail = NULL;
		if (!append(&b, lengths, count, &fail)) {
			assert_int_equal(fail->kind, FAIL_LIMIT);
			refused++;
		}
		laps += (unsigned)sum;
		trim(&b, kit_below(&random, 2) ? 0 : kit_below(&random, b.live.count + 1));
		if (kit_below(&random, 20) == 0)
			reopen(&b);
		assert_int_equal(b.report.gap_count, 0);
		if (step % 8 == 0)
			check_exact(&b);
	}
	check_exact(&b);
	assert_true(refused > 10 && laps / RING > 20);
	bench_free(&b);
}

static void a_full_ring_is_refused_and_goes_on(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	assert_false(journal_is_half_full(b.journal));
	for (size_t i = 0; i < 16; i++) {
		append_one(&b, 4032);
		assert_int_equal(journal_is_half_full(b.journal), i >= 7);
	}
	assert_int_equal(journal_room(b.journal), 0);
	CLEANUP(fail_free) struct fail *fail = NULL;
	size_t length = 1;
	assert_false(append(&b, &length, 1, &fail));
	assert_int_equal(fail->kind, FAIL_LIMIT);
	reopen(&b);
	check_exact(&b);
	trim(&b, 1);
	append_one(&b, 1);
	check_exact(&b);
	bench_free(&b);
}

static uint64_t offset_in_file(struct bench *b, const struct expected *e)
{
	CLEANUP(buf_release) struct buf image = BUF_WITH_LIMIT(1 << 24);
	kit_read(b->directory.file, b->name, &image);
	struct journal_identity identity = journal_identity_of(&b->uuid);
	for (uint64_t at = 0; at + JOURNAL_RING_OFFSET < image.length; at += JOURNAL_ALIGN) {
		struct journal_head head;
		if (journal_head_decode((uint8_t *)image.data + JOURNAL_RING_OFFSET + at, &identity, at,
		                        image.length - JOURNAL_RING_OFFSET, &head) &&
		    head.sequence == e->sequence)
			return JOURNAL_RING_OFFSET + at;
	}
	fail_msg("record not in the file");
	return 0;
}

enum { DAMAGE_ZERO, DAMAGE_GARBLE, DAMAGE_TRUNCATE, DAMAGE_KINDS };

static void damage(struct buf *image, uint64_t offset, size_t length, int kind)
{
	if (kind == DAMAGE_TRUNCATE) {
		buf_truncate(image, offset);
		return;
	}
	for (size_t i = 0; i < length; i++)
		image->data[offset + i] = kind == DAMAGE_ZERO ? '\0' : (char)(image->data[offset + i] ^ (char)(i * 13 + 1));
}

/* Each piece of the last group in turn is lost: no earlier record is, and of the last group only what lay there. */
static void a_torn_group_harms_no_other(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	const size_t first[3] = { 500, 3000, 1200 }, last[4] = { 700, 2500, 40, 900 };
	assert_true(append(&b, first, 3, NULL));
	assert_true(append(&b, last, 4, NULL));
	journal_close(TAKE(b.journal));
	CLEANUP(buf_release) struct buf image = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(buf_release) struct buf edited = BUF_WITH_LIMIT(1 << 20);
	kit_read(b.directory.file, b.name, &image);
	uint64_t group = offset_in_file(&b, &b.live.items[3]), places[8];
	assert_int_equal(group % 4096, 0);
	for (size_t i = 3; i < 7; i++)
		places[i] = offset_in_file(&b, &b.live.items[i]);
	for (uint64_t piece = group; piece < group + 8192; piece += SECTOR) {
		for (int kind = 0; kind < DAMAGE_KINDS; kind++) {
			buf_clear(&edited);
			buf_add_str(&edited, buf_str(&image));
			damage(&edited, piece, SECTOR, kind);
			kit_write(b.directory.file, b.name, buf_str(&edited));
			reopen(&b);
			assert_int_equal(b.report.read_only, kind == DAMAGE_TRUNCATE);
			for (size_t i = 0; i < 7; i++) {
				uint64_t end = i < 3 ? 0 : places[i] + 64 + b.live.items[i].length;
				bool hit = i >= 3 && piece < end && (kind == DAMAGE_TRUNCATE || piece + SECTOR > places[i]);
				assert_int_equal(is_there(b.journal, &b.live.items[i]), !hit);
			}
			journal_close(TAKE(b.journal));
		}
	}
	bench_free(&b);
}

static void edit(struct bench *b, uint64_t offset, size_t length, int kind)
{
	CLEANUP(buf_release) struct buf image = BUF_WITH_LIMIT(1 << 20);
	journal_close(TAKE(b->journal));
	kit_read(b->directory.file, b->name, &image);
	damage(&image, offset, length, kind);
	kit_write(b->directory.file, b->name, buf_str(&image));
	reopen(b);
}

/* A lost head, a lost payload, several at once; alone in a group or among others. */
static void a_damaged_record_hides_no_other(void **state)
{
	(void)state;
	static const struct {
		size_t first, count; /* records hit */
		size_t offset;       /* in the record */
	} cases[] = { { 0, 1, 0 }, { 1, 1, 0 }, { 1, 1, 70 }, { 2, 1, 10 }, { 3, 2, 10 }, { 4, 1, 0 }, { 4, 1, 500 } };
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct bench b = bench_new(RING);
		const size_t lengths[3] = { 2000, 600, 900 };
		assert_true(append(&b, lengths, 3, NULL));
		append_one(&b, 1500);
		append_one(&b, 9000);
		append_one(&b, 77);
		for (size_t k = cases[i].first; k < cases[i].first + cases[i].count; k++)
			edit(&b, offset_in_file(&b, &b.live.items[k]) + cases[i].offset, 32, DAMAGE_GARBLE);
		uint64_t first = b.live.items[cases[i].first].sequence;
		assert_int_equal(b.report.gap_count, 1);
		assert_int_equal(b.report.gaps[0].first, first);
		assert_int_equal(b.report.gaps[0].last, first + cases[i].count - 1);
		assert_true(b.report.gaps[0].synced);
		for (size_t k = 0; k < cases[i].count; k++)
			array_remove(&b.live, cases[i].first);
		check_exact(&b);
		append_one(&b, 10);
		trim(&b, 1);
		reopen(&b);
		check_exact(&b);
		bench_free(&b);
	}
}

/* A number that a damaged record had is not given again: the mailbox may remember it as applied. */
static void sequence_numbers_are_not_used_twice(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	append_one(&b, 100);
	append_one(&b, 100);
	edit(&b, offset_in_file(&b, &b.live.items[1]), 64, DAMAGE_ZERO);
	uint64_t lost = b.live.items[1].sequence;
	array_remove(&b.live, 1);
	append_one(&b, 100);
	assert_true(b.live.items[1].sequence > lost);
	/* also when the second opening left nothing behind but its header */
	uint64_t given = b.live.items[1].sequence;
	edit(&b, offset_in_file(&b, &b.live.items[1]), 64, DAMAGE_ZERO);
	reopen(&b);
	array_remove(&b.live, 1);
	append_one(&b, 100);
	assert_true(b.live.items[1].sequence > given);
	check_exact(&b);
	bench_free(&b);
}

static void records_of_earlier_laps_stay_dead(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	for (size_t i = 0; i < 100; i++) {
		append_one(&b, 4032 - i % 3 * 1000);
		trim(&b, b.live.count - (b.live.count > 2 ? 2 : b.live.count));
	}
	reopen(&b);
	assert_int_equal(b.report.records, 2);
	check_exact(&b);
	trim(&b, 2);
	reopen(&b);
	assert_int_equal(b.report.records, 0);
	bench_free(&b);
}

/* The ring of one journal in the file of another one: nothing of it counts. */
static void foreign_and_copied_records_do_not_count(void **state)
{
	(void)state;
	struct bench a = bench_new(RING), b = bench_new(RING);
	for (size_t i = 0; i < 5; i++)
		append_one(&a, 3000);
	append_one(&b, 100);
	journal_close(TAKE(a.journal));
	journal_close(TAKE(b.journal));
	CLEANUP(buf_release) struct buf ours = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(buf_release) struct buf foreign = BUF_WITH_LIMIT(1 << 20);
	kit_read(b.directory.file, b.name, &ours);
	kit_read(a.directory.file, a.name, &foreign);
	memcpy(ours.data + JOURNAL_RING_OFFSET + 4096, foreign.data + JOURNAL_RING_OFFSET, RING - 4096);
	kit_write(b.directory.file, b.name, buf_str(&ours));
	reopen(&b);
	check_exact(&b);
	/* a second copy of one of its own, further on, is not a second record */
	memcpy(ours.data + JOURNAL_RING_OFFSET + 8192, ours.data + JOURNAL_RING_OFFSET, 4096);
	journal_close(TAKE(b.journal));
	kit_write(b.directory.file, b.name, buf_str(&ours));
	reopen(&b);
	assert_int_equal(b.report.records, 1);
	check_exact(&b);
	journal_close(TAKE(b.journal));
	/* with their header too it is a journal under a wrong name: nothing at all */
	kit_write(b.directory.file, b.name, buf_str(&foreign));
	reopen(&b);
	assert_true(b.report.salvaged);
	assert_int_equal(b.report.records, 0);
	bench_free(&a);
	bench_free(&b);
}

/* Either slot lost: an older mark at worst. Both lost: everything live is found by the name's UUID. */
static void a_torn_header_loses_nothing(void **state)
{
	(void)state;
	for (int lost = 1; lost <= 3; lost++) {
		struct bench b = bench_new(RING);
		for (size_t i = 0; i < 40; i++) {
			append_one(&b, 3000);
			if (b.live.count > 5)
				trim(&b, 2);
			if (i % 3 == 0)
				assert_true(journal_write_mark(b.journal, NULL));
		}
		CLEANUP(buf_release) struct buf image = BUF_WITH_LIMIT(1 << 20);
		kit_read(b.directory.file, b.name, &image);
		journal_close(TAKE(b.journal));
		if (lost & 1)
			damage(&image, 20, 100, DAMAGE_GARBLE);
		if (lost & 2)
			damage(&image, 4096, 4096, DAMAGE_ZERO);
		kit_write(b.directory.file, b.name, buf_str(&image));
		reopen(&b);
		assert_int_equal(b.report.slot_damaged, lost != 3);
		assert_int_equal(b.report.salvaged, lost == 3);
		for (size_t i = 0; i < b.live.count; i++)
			assert_true(is_there(b.journal, &b.live.items[i]));
		/* every record carries the mark of its time, so not even the header's age brings much back */
		assert_true(b.report.records <= b.live.count + 2);
		append_one(&b, 3000);
		reopen(&b);
		assert_true(is_there(b.journal, &b.live.items[b.live.count - 1]));
		assert_false(b.report.salvaged);
		bench_free(&b);
	}
}

static void the_durable_mark_follows(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	append_one(&b, 100);
	append_one(&b, 100);
	uint64_t first = b.live.items[0].sequence;
	trim(&b, 1);
	assert_true(journal_durable_mark(b.journal) <= first);
	append_one(&b, 100);
	assert_int_equal(journal_durable_mark(b.journal), first + 1);
	trim(&b, 2);
	assert_int_equal(journal_durable_mark(b.journal), first + 1);
	assert_true(journal_write_mark(b.journal, NULL));
	assert_int_equal(journal_durable_mark(b.journal), first + 3);
	journal_trim(b.journal, first); /* going back is nothing */
	assert_int_equal(journal_durable_mark(b.journal), first + 3);
	bench_free(&b);
}

static void a_failed_flush_is_final(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	append_one(&b, 100);
	disk.fail_in = 1;
	size_t length = 200;
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(append(&b, &length, 1, &fail));
	assert_int_equal(fail->kind, FAIL_IO);
	assert_true(journal_is_failed(b.journal));
	assert_false(append(&b, &length, 1, &fail));
	assert_int_equal(fail->kind, FAIL_IO);
	assert_false(journal_write_mark(b.journal, &fail));
	check_exact(&b); /* what was acknowledged can still be read, and trimmed */
	trim(&b, 1);
	check_exact(&b);
	bench_free(&b);
}

/* Crashes at any flush, any subset of the unflushed sectors written: what was acknowledged and not trimmed is there. */
static void crashes_lose_nothing_acknowledged(void **state)
{
	(void)state;
	disk.crashed = BUF_WITH_LIMIT(1 << 20);
	for (uint64_t trial = 1; trial <= 250; trial++) {
		struct bench b = bench_new(RING);
		disk.random = trial;
		disk.name = b.name;
		disk.directory = &b.directory;
		disk.crash_in = 1 + (int)kit_below(&disk.random, 40);
		disk.on = true;
		for (unsigned step = 0; disk.crash_in > 0; step++) {
			assert_true(step < 1000); /* each group must flush */
			size_t lengths[8], count = 1 + kit_below(&disk.random, 4);
			for (size_t i = 0; i < count; i++)
				lengths[i] = 1 + kit_below(&disk.random, 4000);
			size_t done = b.live.count > 6 ? kit_below(&disk.random, 5) : 0;
			trim(&b, done);
			append(&b, lengths, count, NULL);
			if (disk.crash_in == 0) /* the group under way was not acknowledged when the crash came */
				b.live.count -= count;
			else if (kit_below(&disk.random, 4) == 0)
				journal_write_mark(b.journal, NULL);
		}
		disk.on = false;
		journal_close(TAKE(b.journal));
		kit_write(b.directory.file, b.name, buf_str(&disk.crashed));
		reopen(&b);
		assert_false(b.report.salvaged);
		for (size_t i = 0; i < b.report.gap_count; i++)
			assert_false(b.report.gaps[i].synced);
		for (size_t i = 0; i < b.live.count; i++)
			assert_true(is_there(b.journal, &b.live.items[i]));
		bench_free(&b);
	}
	buf_release(&disk.crashed);
	array_release(&disk.unflushed);
}

/* One thread appends, another one reads and trims. */
static void *read_and_trim(void *argument)
{
	struct journal *j = argument;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 16);
	uint64_t sequence = 0;
	uint32_t length;
	for (unsigned seen = 0; seen < 500;) {
		if (!journal_next(j, sequence, &sequence, &length))
			continue;
		buf_clear(&out);
		must(journal_read(j, sequence, &out, NULL) && out.length == length);
		journal_trim(j, sequence);
		seen++;
	}
	return NULL;
}

static void readers_run_beside_the_writer(void **state)
{
	(void)state;
	struct bench b = bench_new(RING);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, read_and_trim, b.journal), 0);
	size_t length = 5000;
	for (unsigned written = 0; written < 500;) {
		written += append(&b, &length, 1, NULL);
		assert_false(journal_is_failed(b.journal));
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(journal_room(b.journal), RING);
	bench_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_back),
		cmocka_unit_test(a_group_is_one_write_and_one_flush),
		cmocka_unit_test(sizes_have_limits),
		cmocka_unit_test(one_process_holds_a_journal),
		cmocka_unit_test(listing_finds_journals_and_clears_unfinished_ones),
		cmocka_unit_test(wraps_at_each_edge),
		cmocka_unit_test(meets_the_end_exactly),
		cmocka_unit_test(random_walk_against_a_model),
		cmocka_unit_test(a_full_ring_is_refused_and_goes_on),
		cmocka_unit_test(a_torn_group_harms_no_other),
		cmocka_unit_test(a_damaged_record_hides_no_other),
		cmocka_unit_test(sequence_numbers_are_not_used_twice),
		cmocka_unit_test(records_of_earlier_laps_stay_dead),
		cmocka_unit_test(foreign_and_copied_records_do_not_count),
		cmocka_unit_test(a_torn_header_loses_nothing),
		cmocka_unit_test(the_durable_mark_follows),
		cmocka_unit_test(a_failed_flush_is_final),
		cmocka_unit_test(crashes_lose_nothing_acknowledged),
		cmocka_unit_test(readers_run_beside_the_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

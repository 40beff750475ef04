/*
 * The first byte chooses. Even: the rest is steps (append, trim, reopen, damage) on a small
 * journal; every acknowledged record whose bytes were not hit must be found after each opening.
 * Odd: the rest is a ring whose heads get right checksums; whatever is found must be readable,
 * in ascending order, and the journal must take a record and give it back.
 */
#include "array.h"
#include "disk.h"
#include "journal_scan.h"
#include "wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RING = 65536 };

struct expected {
	uint64_t sequence;
	size_t length;
	uint8_t fill;
};

struct run {
	struct journal *journal;
	ARRAY(struct expected) live;
	uint8_t fill;
};

static struct {
	int directory;
	struct journal_uuid uuid;
	char name[41];
	char image[JOURNAL_RING_OFFSET + RING];
} fresh = { .directory = -1 };

static char path[] = "/dev/shm/posthorn-journal-fuzz-XXXXXX";

static void remove_fresh(void)
{
	unlinkat(fresh.directory, fresh.name, 0);
	rmdir(path);
}

static void make_fresh(void)
{
	if (fresh.directory >= 0)
		return;
	must(mkdtemp(path));
	atexit(remove_fresh);
	fresh.directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(fresh.directory >= 0 && journal_create(fresh.directory, RING, &fresh.uuid, NULL));
	memcpy(fresh.name, "journal-", 8);
	for (size_t i = 0; i < 16; i++)
		snprintf(fresh.name + 8 + 2 * i, 3, "%02x", fresh.uuid.bytes[i]);
	int file = openat(fresh.directory, fresh.name, O_RDONLY | O_CLOEXEC);
	size_t got;
	must(file >= 0 && disk_read(file, fresh.image, sizeof fresh.image, 0, &got) && got == sizeof fresh.image);
	close(file);
}

static int open_file(void)
{
	int file = openat(fresh.directory, fresh.name, O_RDWR | O_CLOEXEC);
	must(file >= 0);
	return file;
}

static void open_journal(struct run *r)
{
	struct journal_report report;
	r->journal = journal_open(fresh.directory, &fresh.uuid, &report, NULL);
	must(r->journal);
}

static void append(struct run *r, size_t count, size_t length)
{
	struct journal_entry entries[4];
	CLEANUP(mem_free) char *bytes = mem_alloc(length);
	memset(bytes, ++r->fill, length);
	for (size_t i = 0; i < count; i++)
		entries[i] = (struct journal_entry){ str_from(bytes, length / 2), str_from(bytes, length - length / 2), 0 };
	if (!journal_append_group(r->journal, entries, count, NULL))
		return;
	for (size_t i = 0; i < count; i++)
		*array_add(&r->live) = (struct expected){ entries[i].sequence, length, r->fill };
}

static bool is_there(struct run *r, const struct expected *e)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX);
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!journal_read(r->journal, e->sequence, &out, &fail)) {
		must(fail->kind == FAIL_NOT_FOUND);
		return false;
	}
	must(out.length == e->length && out.data[0] == (char)e->fill && out.data[out.length - 1] == (char)e->fill);
	return true;
}

/* Changes bytes of the ring; the records that lie there may be gone afterwards, no other. */
static void damage(struct run *r, uint64_t offset, size_t length, uint8_t with)
{
	journal_close(TAKE(r->journal));
	int file = open_file();
	struct journal_identity identity = journal_identity_of(&fresh.uuid);
	struct journal_scan scan;
	struct journal_head head;
	uint64_t at;
	journal_scan_init(&scan, file, &identity, RING, 0, 0);
	scan.any_order = true;
	ARRAY(uint64_t) hit = {};
	while (journal_scan_next(&scan, &head, &at))
		if (at < offset + length && offset < at + JOURNAL_HEAD_SIZE + head.length)
			*array_add(&hit) = head.sequence;
	journal_scan_release(&scan);
	char bytes[256];
	memset(bytes, with, sizeof bytes);
	must(disk_write(file, bytes, length, JOURNAL_RING_OFFSET + offset));
	close(file);
	open_journal(r);
	for (size_t i = r->live.count; i-- > 0;) {
		bool may_go = false;
		for (size_t k = 0; k < hit.count; k++)
			may_go |= hit.items[k] == r->live.items[i].sequence;
		bool there = is_there(r, &r->live.items[i]);
		must(there || may_go);
		if (!there)
			array_remove(&r->live, i);
	}
	array_release(&hit);
}

static void trim(struct run *r, size_t count)
{
	if (count > r->live.count)
		count = r->live.count;
	if (count > 0)
		journal_trim(r->journal, r->live.items[count - 1].sequence);
	for (; count > 0; count--)
		array_remove(&r->live, 0);
}

static void try_steps(struct wire_reader *in)
{
	struct run r = {};
	open_journal(&r);
	for (unsigned step = 0; in->rest.length > 0 && step < 60; step++) {
		uint8_t what = wire_take_u8(in);
		if (what < 128) {
			append(&r, 1 + what % 4, 1 + wire_take_u16(in) % 12000);
		} else if (what < 176) {
			trim(&r, what % 16);
		} else if (what < 208) {
			journal_close(TAKE(r.journal));
			open_journal(&r);
		} else {
			uint64_t offset = wire_take_u16(in);
			size_t length = 1 + wire_take_u8(in);
			damage(&r, offset, length > RING - offset ? RING - offset : length, what);
		}
	}
	for (size_t i = 0; i < r.live.count; i++)
		must(is_there(&r, &r.live.items[i]));
	journal_close(r.journal);
	array_release(&r.live);
}

static void try_ring(struct str bytes)
{
	static uint8_t ring[RING];
	struct journal_identity identity = journal_identity_of(&fresh.uuid);
	size_t length = bytes.length < RING ? bytes.length : RING;
	memcpy(ring, bytes.data, length);
	for (size_t at = 0; at + JOURNAL_HEAD_SIZE <= length; at += JOURNAL_ALIGN) {
		if (memcmp(ring + at, "PHjr", 4) != 0)
			continue;
		struct journal_head head = {
			wire_get_u32(ring + at + 8), wire_get_u32(ring + at + 12), wire_get_u64(ring + at + 24),
			wire_get_u64(ring + at + 40), wire_get_u64(ring + at + 32), wire_get_u64(ring + at + 48), 0,
		};
		struct str payload = str_from((char *)ring + at + 64, head.length <= RING - 64 - at ? head.length : 0);
		head.payload_check = journal_payload_check(&identity, payload, (struct str){});
		journal_head_encode(ring + at, &identity, &head);
	}
	int file = open_file();
	must(disk_write(file, ring, length, JOURNAL_RING_OFFSET));
	close(file);
	struct run r = {};
	open_journal(&r);
	uint64_t sequence = 0, before = 0;
	uint32_t size;
	while (journal_next(r.journal, before, &sequence, &size)) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_JOURNAL_RECORD_MAX);
		must(sequence > before && journal_read(r.journal, sequence, &out, NULL) && out.length == size);
		before = sequence;
	}
	append(&r, 1, 100);
	for (size_t i = 0; i < r.live.count; i++)
		must(r.live.items[i].sequence > before && is_there(&r, &r.live.items[i]));
	journal_close(r.journal);
	array_release(&r.live);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	make_fresh();
	int file = open_file();
	must(disk_write(file, fresh.image, sizeof fresh.image, 0));
	close(file);
	struct wire_reader in = { .rest = str_from((const char *)data, size) };
	if (wire_take_u8(&in) % 2)
		try_ring(in.rest);
	else
		try_steps(&in);
	return 0;
}

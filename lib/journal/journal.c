#include "journal.h"

#include "array.h"
#include "disk.h"
#include "journal_file.h"
#include "journal_scan.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BUFFER = 4 << 20 };

struct place {
	uint64_t sequence;
	uint64_t offset;
	uint32_t length;
	uint32_t span;
};

/*
 * The writer lock is held across writing; the index lock only for moments. Taken in this order.
 * What only the writer changes (write_offset, next_sequence …) it may read without the index lock.
 */
struct journal {
	struct journal_identity identity;
	uint64_t size;
	int file;   /* buffered, for reading; carries the lock */
	int writer; /* O_DIRECT where the file system has it */
	pthread_mutex_t writing;
	uint8_t *out;            /* gathers what is written; aligned for O_DIRECT */
	size_t out_capacity;     /* whole blocks */
	struct journal_slot slot; /* as last written */
	uint64_t next_sequence;
	uint64_t last_sequence; /* of the record written last */

	pthread_mutex_t index;
	ARRAY(struct place) live; /* from first_live on, by sequence */
	size_t first_live;
	uint64_t write_offset;
	uint64_t trim_sequence;
	uint64_t trim_offset;
	uint64_t used;         /* from trim_offset to write_offset */
	uint64_t unmarked;     /* trimmed, but the durable mark does not free it yet */
	uint64_t durable_mark; /* a trim_sequence that a crash cannot take back */
	bool failed;
	enum fail_kind why_failed; /* FAIL_IO or FAIL_NO_SPACE */
};

static void lock(pthread_mutex_t *mutex)
{
	must(pthread_mutex_lock(mutex) == 0);
}

static void unlock(pthread_mutex_t *mutex)
{
	must(pthread_mutex_unlock(mutex) == 0);
}

static void unlock_cleanup(pthread_mutex_t **mutex)
{
	unlock(*mutex);
}

#define HOLD(mutex) \
	lock(mutex);    \
	CLEANUP(unlock_cleanup) UNUSED pthread_mutex_t *held_ = (mutex)

/* ---- the mark ---- */

/* Needs the writer lock. A failure is final. */
static bool give_up(struct journal *j, struct fail **fail, const char *what)
{
	enum fail_kind why = errno == ENOSPC || errno == EDQUOT ? FAIL_NO_SPACE : FAIL_IO;
	fail_set_errno(fail, FAIL_IO, "%s the journal", what);
	HOLD(&j->index);
	if (!j->failed)
		j->why_failed = why;
	j->failed = true;
	return false;
}

static bool refuse_failed(struct journal *j, struct fail **fail)
{
	if (!journal_is_failed(j))
		return true;
	return fail_set(fail, j->why_failed, "the journal is closed for writing after an error");
}

/* Needs the writer lock. Writes the slot that does not hold the present mark, so that a torn write leaves that. */
static bool write_slot(struct journal *j, struct journal_slot slot, struct fail **fail)
{
	memset(j->out, 0, JOURNAL_BLOCK);
	slot.generation = j->slot.generation + 1;
	journal_slot_encode(j->out, &j->identity, &slot);
	if (!disk_write(j->writer, j->out, JOURNAL_BLOCK, (slot.generation & 1) * JOURNAL_BLOCK) ||
	    fdatasync(j->writer) != 0)
		return give_up(j, fail, "writing the mark of");
	j->slot = slot;
	return true;
}

/* Needs the writer lock. */
static bool write_mark(struct journal *j, struct fail **fail)
{
	struct journal_slot slot = j->slot;
	lock(&j->index);
	uint64_t freed = j->unmarked;
	slot.trim_sequence = j->trim_sequence;
	slot.trim_offset = j->trim_offset;
	unlock(&j->index);
	if (slot.trim_sequence == j->slot.trim_sequence && freed == 0)
		return true;
	if (!write_slot(j, slot, fail))
		return false;
	HOLD(&j->index);
	j->unmarked -= freed;
	if (slot.trim_sequence > j->durable_mark)
		j->durable_mark = slot.trim_sequence;
	return true;
}

bool journal_write_mark(struct journal *j, struct fail **fail)
{
	HOLD(&j->writing);
	return refuse_failed(j, fail) && write_mark(j, fail);
}

/* Needs the index lock. The mark passes over what is not live before the first live record: a wrap record, a loss
 * that was reported. */
static void update_used(struct journal *j)
{
	uint64_t before = j->used;
	if (j->first_live == j->live.count) {
		j->trim_offset = j->write_offset;
		j->used = 0;
	} else {
		j->trim_offset = j->live.items[j->first_live].offset;
		j->trim_sequence = j->live.items[j->first_live].sequence;
		j->used = (j->write_offset + j->size - j->trim_offset) % j->size;
		if (j->used == 0)
			j->used = j->size;
	}
	j->unmarked += before - j->used;
}

/* Items before first_live are dropped once they are the larger part, so each is moved at most once. */
static void forget_trimmed(struct journal *j)
{
	if (j->first_live * 2 < j->live.count)
		return;
	j->live.count -= j->first_live;
	if (j->live.count > 0)
		memmove(j->live.items, j->live.items + j->first_live, j->live.count * sizeof *j->live.items);
	j->first_live = 0;
}

void journal_trim(struct journal *j, uint64_t sequence)
{
	HOLD(&j->index);
	if (sequence < j->trim_sequence)
		return;
	size_t before = j->first_live;
	while (j->first_live < j->live.count && j->live.items[j->first_live].sequence <= sequence)
		j->first_live++;
	if (j->first_live == before)
		return;
	j->trim_sequence = j->live.items[j->first_live - 1].sequence + 1;
	update_used(j);
	forget_trimmed(j);
}

/* ---- appending ---- */

/* Bytes on their way to the ring: gathered in the write buffer, written in whole blocks. */
struct output {
	struct journal *j;
	uint64_t offset; /* in the ring, of the first byte in the buffer */
	size_t length;
	bool good;
};

static void output_write(struct output *o)
{
	size_t whole = journal_align(o->length, JOURNAL_BLOCK);
	memset(o->j->out + o->length, 0, whole - o->length);
	if (o->good && whole > 0)
		o->good = disk_write(o->j->writer, o->j->out, whole, JOURNAL_RING_OFFSET + o->offset);
	o->offset = (o->offset + whole) % o->j->size;
	o->length = 0;
}

static void output_add(struct output *o, struct str bytes)
{
	while (bytes.length > 0) {
		size_t part = o->j->out_capacity - o->length < bytes.length ? o->j->out_capacity - o->length : bytes.length;
		memcpy(o->j->out + o->length, bytes.data, part);
		o->length += part;
		bytes = str_from_index(bytes, part);
		if (o->length == o->j->out_capacity)
			output_write(o);
	}
}

static void output_pad(struct output *o, size_t length)
{
	static const char zeros[JOURNAL_BLOCK];
	must(length <= sizeof zeros);
	output_add(o, str_from(zeros, length));
}

static uint32_t span_of(const struct journal_entry *entry)
{
	return (uint32_t)journal_align(JOURNAL_HEAD_SIZE + entry->head.length + entry->body.length, JOURNAL_ALIGN);
}

/* Where a group goes: one place per record, wrap record included. */
struct plan {
	ARRAY(struct place) places;
	uint64_t end;   /* offset behind it */
	uint64_t taken; /* octets of the ring */
};

static void plan_release(struct plan *p)
{
	array_release(&p->places);
}

static void plan_add(struct plan *p, const struct journal *j, const struct journal_entry *entry)
{
	uint64_t sequence = j->next_sequence + p->places.count;
	uint32_t span = entry ? span_of(entry) : (uint32_t)(j->size - p->end);
	uint32_t length = entry ? (uint32_t)(entry->head.length + entry->body.length) : 0;
	*array_add(&p->places) = (struct place){ sequence, p->end, length, span };
	p->end = (p->end + span) % j->size;
	p->taken += span;
}

static void plan_group(struct plan *p, const struct journal *j, const struct journal_entry *entries, size_t count)
{
	p->end = j->write_offset;
	for (size_t i = 0; i < count; i++) {
		if (span_of(&entries[i]) > j->size - p->end)
			plan_add(p, j, NULL);
		plan_add(p, j, &entries[i]);
	}
	uint32_t padding = (uint32_t)(journal_align(p->end, JOURNAL_BLOCK) - p->end);
	p->places.items[p->places.count - 1].span += padding;
	p->taken += padding;
	p->end = (p->end + padding) % j->size;
}

static bool check_entries(const struct journal *j, const struct journal_entry *entries, size_t count,
                          struct fail **fail)
{
	for (size_t i = 0; i < count; i++) {
		must(entries[i].head.length + entries[i].body.length > 0);
		/* half a ring always fits once the ring is empty, wherever writing stands */
		if (entries[i].head.length > LIMIT_JOURNAL_RECORD_MAX ||
		    entries[i].body.length > LIMIT_JOURNAL_RECORD_MAX - entries[i].head.length ||
		    span_of(&entries[i]) + JOURNAL_BLOCK > j->size / 2)
			return fail_set(fail, FAIL_TOO_BIG, "a record of %zu octets is too big for the journal",
			                entries[i].head.length + entries[i].body.length);
	}
	return true;
}

/* Needs the writer lock. Free space that only the mark in memory frees needs a durable mark first. */
static bool make_room(struct journal *j, uint64_t needed, struct fail **fail)
{
	lock(&j->index);
	uint64_t room = j->size - j->used;
	uint64_t durable = room - j->unmarked;
	unlock(&j->index);
	if (needed > room)
		return fail_set(fail, FAIL_LIMIT, "the journal is full");
	return needed <= durable || write_mark(j, fail);
}

static void write_record(struct output *o, const struct place *place, const struct journal_entry *entry,
                         const struct journal_head *common)
{
	struct journal_head head = *common;
	head.span = place->span;
	head.length = place->length;
	head.sequence = place->sequence;
	if (entry)
		head.payload_check = journal_payload_check(&o->j->identity, entry->head, entry->body);
	uint8_t bytes[JOURNAL_HEAD_SIZE];
	journal_head_encode(bytes, &o->j->identity, &head);
	output_add(o, str_from((const char *)bytes, sizeof bytes));
	if (!entry) {
		output_write(o);
		o->offset = 0;
		return;
	}
	output_add(o, entry->head);
	output_add(o, entry->body);
	output_pad(o, place->span - JOURNAL_HEAD_SIZE - place->length);
}

static bool write_plan(struct journal *j, const struct plan *plan, struct journal_entry *entries)
{
	lock(&j->index);
	struct journal_head common = { .before = j->last_sequence, .group = j->next_sequence, .trim = j->trim_sequence };
	unlock(&j->index);
	struct output out = { .j = j, .offset = j->write_offset, .good = true };
	size_t next = 0;
	for (size_t i = 0; i < plan->places.count; i++) {
		const struct place *place = &plan->places.items[i];
		if (i > 0 && place->offset == 0)
			output_write(&out);
		struct journal_entry *entry = place->length ? &entries[next++] : NULL;
		write_record(&out, place, entry, &common);
		if (entry)
			entry->sequence = place->sequence;
	}
	output_write(&out);
	if (!out.good || fdatasync(j->writer) != 0)
		return false;
	HOLD(&j->index);
	if (common.trim > j->durable_mark)
		j->durable_mark = common.trim;
	return true;
}

/* Needs the writer lock. The group is durable: make it visible. */
static void publish(struct journal *j, const struct plan *plan)
{
	HOLD(&j->index);
	for (size_t i = 0; i < plan->places.count; i++)
		if (plan->places.items[i].length > 0)
			*array_add(&j->live) = plan->places.items[i];
	j->next_sequence += plan->places.count;
	j->last_sequence = j->next_sequence - 1;
	j->write_offset = plan->end;
	j->used += plan->taken;
}

bool journal_append_group(struct journal *j, struct journal_entry *entries, size_t count, struct fail **fail)
{
	must(count > 0);
	HOLD(&j->writing);
	if (!refuse_failed(j, fail) || !check_entries(j, entries, count, fail))
		return false;
	CLEANUP(plan_release) struct plan plan = {};
	plan_group(&plan, j, entries, count);
	if (!make_room(j, plan.taken, fail))
		return false;
	if (!write_plan(j, &plan, entries))
		return give_up(j, fail, "writing");
	publish(j, &plan);
	return true;
}

/* ---- opening ---- */

struct found {
	struct place place;
	uint64_t group;
	uint64_t before;
};

/* What a scan brought together. */
struct survey {
	ARRAY(struct found) records;
	uint64_t trim; /* the highest mark that any of them, or the header, tells of */
};

static void survey_release(struct survey *s)
{
	array_release(&s->records);
}

static int by_sequence(const void *a, const void *b)
{
	uint64_t left = ((const struct found *)a)->place.sequence, right = ((const struct found *)b)->place.sequence;
	return left < right ? -1 : left > right;
}

static void survey_ring(struct journal *j, struct survey *found, struct journal_report *report)
{
	struct journal_scan scan;
	journal_scan_init(&scan, j->file, &j->identity, j->size, j->slot.trim_offset, j->slot.trim_sequence);
	scan.any_order = report->salvaged;
	struct journal_head head;
	uint64_t offset;
	found->trim = j->slot.trim_sequence;
	while (journal_scan_next(&scan, &head, &offset)) {
		struct place place = { head.sequence, offset, head.length, head.span };
		*array_add(&found->records) = (struct found){ place, head.group, head.before };
		if (head.trim > found->trim)
			found->trim = head.trim;
	}
	if (found->records.count > 0)
		qsort(found->records.items, found->records.count, sizeof *found->records.items, by_sequence);
	report->torn = scan.torn;
	report->unreadable = scan.unreadable;
	journal_scan_release(&scan);
}

static void report_gap(struct journal_report *report, uint64_t first, uint64_t last, bool synced)
{
	if (report->gap_count < COUNT_OF(report->gaps))
		report->gaps[report->gap_count] = (struct journal_gap){ first, last, synced };
	report->gap_count++;
}

/* What was written between the record last found and this one. A group is written only when
 * the one before is durable. */
static void report_lost(struct journal_report *report, uint64_t last, const struct found *record, uint64_t last_group)
{
	uint64_t first = record->group > last + 1 ? record->group : last + 1;
	if (record->before > last)
		report_gap(report, last + 1, record->before, true);
	if (record->place.sequence > first)
		report_gap(report, first, record->place.sequence - 1, record->group < last_group);
}

/* Fills the index, and says which records should be there and are not. */
static void index_records(struct journal *j, const struct survey *found, struct journal_report *report)
{
	uint64_t last = found->trim > 0 ? found->trim - 1 : 0;
	size_t count = found->records.count;
	uint64_t last_group = count ? found->records.items[count - 1].group : 0;
	for (size_t i = 0; i < count; i++) {
		const struct found *record = &found->records.items[i];
		if (record->place.sequence < found->trim)
			continue;
		report_lost(report, last, record, last_group);
		last = record->place.sequence;
		if (record->place.length > 0)
			*array_add(&j->live) = record->place;
	}
	report->records = j->live.count;
}

/* Where writing goes on, under a number that was never used: also not by a record that was
 * acknowledged, applied and then damaged, since applied(uuid, sequence) may remember it. */
static void continue_behind(struct journal *j, const struct survey *found)
{
	j->last_sequence = found->trim > 0 ? found->trim - 1 : 0;
	j->write_offset = j->slot.trim_offset;
	if (found->records.count > 0) {
		const struct place *last = &found->records.items[found->records.count - 1].place;
		j->write_offset = last->offset + last->span;
		if (last->sequence > j->last_sequence)
			j->last_sequence = last->sequence;
	}
	j->write_offset = journal_align(j->write_offset, JOURNAL_BLOCK) % j->size;
	uint64_t next = j->last_sequence + 1 > j->slot.floor ? j->last_sequence + 1 : j->slot.floor;
	j->next_sequence = next + j->size / JOURNAL_ALIGN;
	j->trim_sequence = found->trim;
	j->durable_mark = j->slot.trim_sequence;
	update_used(j);
	j->unmarked = 0;
}

/* False when both are bad. */
static bool read_slots(struct journal *j, struct journal_report *report)
{
	size_t good = 0;
	for (uint64_t i = 0; i < 2; i++) {
		uint8_t bytes[JOURNAL_SLOT_SIZE] = { 0 };
		struct journal_slot slot;
		size_t got;
		if (!disk_read(j->file, bytes, sizeof bytes, i * JOURNAL_BLOCK, &got) ||
		    !journal_slot_decode(bytes, &j->identity, &slot) || (slot.generation & 1) != i)
			continue;
		good++;
		if (slot.generation > j->slot.generation)
			j->slot = slot;
	}
	/* a journal on which no second mark was written yet has one slot of zeros */
	report->slot_damaged = good == 1 && j->slot.generation > 1;
	return good > 0;
}

static bool read_header(struct journal *j, struct journal_report *report, struct fail **fail)
{
	struct stat status;
	if (fstat(j->file, &status) != 0)
		return fail_set_errno(fail, FAIL_IO, "reading a journal");
	uint64_t ring = (uint64_t)status.st_size < JOURNAL_RING_OFFSET ? 0 : (uint64_t)status.st_size - JOURNAL_RING_OFFSET;
	if (!read_slots(j, report)) {
		report->salvaged = true;
		j->slot.size = ring - ring % JOURNAL_BLOCK;
	}
	if (j->slot.size < JOURNAL_SIZE_MIN || j->slot.size > JOURNAL_SIZE_MAX)
		return fail_set(fail, FAIL_CORRUPT, "a journal without header and of impossible size");
	j->size = j->slot.size;
	j->out_capacity = j->size < WRITE_BUFFER ? (size_t)j->size : WRITE_BUFFER;
	j->out = aligned_alloc(JOURNAL_BLOCK, j->out_capacity);
	must(j->out);
	report->read_only = ring < j->size;
	return true;
}

/* The floor makes the numbers given since known to the next opening, whatever happens to the records. */
static void claim(struct journal *j, struct journal_report *report)
{
	struct journal_slot slot = j->slot;
	slot.trim_sequence = j->trim_sequence;
	slot.trim_offset = j->trim_offset;
	slot.floor = j->next_sequence;
	HOLD(&j->writing);
	bool exhausted = j->next_sequence >= JOURNAL_SEQUENCE_MAX - j->size;
	if (report->read_only || exhausted || !write_slot(j, slot, NULL)) {
		report->read_only = true;
		if (!j->failed)
			j->why_failed = FAIL_IO;
		j->failed = true;
		return;
	}
	j->durable_mark = j->trim_sequence;
}

static bool open_files(struct journal *j, int directory, const char *name, struct fail **fail)
{
	j->file = openat(directory, name, O_RDWR | O_CLOEXEC);
	if (j->file < 0)
		return fail_set_errno(fail, errno == ENOENT ? FAIL_NOT_FOUND : FAIL_IO, "opening %s", name);
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(j->file, F_OFD_SETLK, &whole) != 0)
		return fail_set_errno(fail, errno == EAGAIN ? FAIL_BUSY : FAIL_IO, "locking %s", name);
	j->writer = openat(directory, name, O_WRONLY | O_DIRECT | O_CLOEXEC);
	if (j->writer < 0 && errno == EINVAL)
		j->writer = openat(directory, name, O_WRONLY | O_CLOEXEC);
	if (j->writer < 0)
		return fail_set_errno(fail, FAIL_IO, "opening %s", name);
	return true;
}

static struct journal *journal_new(const struct journal_uuid *uuid)
{
	struct journal *j = mem_alloc(sizeof *j);
	j->identity = journal_identity_of(uuid);
	j->file = -1;
	j->writer = -1;
	must(pthread_mutex_init(&j->writing, NULL) == 0 && pthread_mutex_init(&j->index, NULL) == 0);
	return j;
}

static void journal_free(struct journal *j)
{
	disk_close(&j->file);
	disk_close(&j->writer);
	array_release(&j->live);
	pthread_mutex_destroy(&j->writing);
	pthread_mutex_destroy(&j->index);
	free(j->out);
	free(j);
}

struct journal *journal_open(int directory, const struct journal_uuid *uuid, struct journal_report *report,
                             struct fail **fail)
{
	char name[JOURNAL_NAME_SIZE];
	journal_file_name(name, uuid, "");
	*report = (struct journal_report){};
	struct journal *j = journal_new(uuid);
	if (!open_files(j, directory, name, fail) || !read_header(j, report, fail)) {
		journal_free(j);
		return NULL;
	}
	CLEANUP(survey_release) struct survey found = {};
	survey_ring(j, &found, report);
	index_records(j, &found, report);
	continue_behind(j, &found);
	claim(j, report);
	return j;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	journal_write_mark(j, NULL);
	journal_free(j);
}

void journal_cleanup(struct journal **j)
{
	journal_close(TAKE(*j));
}

/* ---- reading ---- */

/* Needs the index lock. Position of the first live record with at least this sequence. */
static size_t find_live(const struct journal *j, uint64_t sequence)
{
	size_t low = j->first_live, high = j->live.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (j->live.items[middle].sequence < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool journal_next(struct journal *j, uint64_t after, uint64_t *sequence, uint32_t *length)
{
	if (after == UINT64_MAX)
		return false;
	HOLD(&j->index);
	size_t position = find_live(j, after + 1);
	if (position == j->live.count)
		return false;
	*sequence = j->live.items[position].sequence;
	*length = j->live.items[position].length;
	return true;
}

static bool find_place(struct journal *j, uint64_t sequence, struct place *place)
{
	HOLD(&j->index);
	size_t position = find_live(j, sequence);
	if (position == j->live.count || j->live.items[position].sequence != sequence)
		return false;
	*place = j->live.items[position];
	return true;
}

bool journal_read(struct journal *j, uint64_t sequence, struct buf *out, struct fail **fail)
{
	struct place place;
	if (!find_place(j, sequence, &place))
		return fail_set(fail, FAIL_NOT_FOUND, "the journal has no record %llu", (unsigned long long)sequence);
	char *room = buf_reserve(out, place.length);
	if (!room)
		return fail_set(fail, FAIL_TOO_BIG, "a record of %u octets does not fit", place.length);
	uint8_t bytes[JOURNAL_HEAD_SIZE];
	struct journal_head head;
	uint64_t unreadable = 0;
	journal_scan_read(j->file, bytes, sizeof bytes, place.offset, &unreadable);
	journal_scan_read(j->file, room, place.length, place.offset + sizeof bytes, &unreadable);
	if (!journal_head_decode(bytes, &j->identity, place.offset, j->size, &head) || head.sequence != sequence ||
	    head.length != place.length ||
	    journal_payload_check(&j->identity, str_from(room, place.length), (struct str){}) != head.payload_check)
		return fail_set(fail, FAIL_CORRUPT, "record %llu of the journal is damaged", (unsigned long long)sequence);
	buf_claim(out, place.length);
	return true;
}

uint64_t journal_durable_mark(struct journal *j)
{
	HOLD(&j->index);
	return j->durable_mark;
}

uint64_t journal_size(const struct journal *j)
{
	return j->size;
}

uint64_t journal_room(struct journal *j)
{
	HOLD(&j->index);
	return j->size - j->used;
}

bool journal_is_half_full(struct journal *j)
{
	return journal_room(j) <= j->size / 2;
}

bool journal_is_failed(struct journal *j)
{
	HOLD(&j->index);
	return j->failed;
}

struct journal_uuid journal_uuid_of(const struct journal *j)
{
	return j->identity.uuid;
}

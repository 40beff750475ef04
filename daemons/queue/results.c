#include "results.h"
#include "queue.h"

#include "file.h"
#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum { LENGTH_MAX = 4 << 20, ALIGN = 16, LOADED_MAX = 256 << 20, NAME_LENGTH = 8 + 16 };
static const uint32_t magic = 0x52736850;

/* In the byte order of this host, whose file it is; the packed attempt follows. */
struct entry {
	uint64_t check; /* of all behind it, bound to file and place */
	uint32_t magic;
	uint16_t length;
	uint8_t kind;
	uint8_t outcome;
	uint64_t id;
	uint32_t recipient;
	uint32_t attempts;
	int64_t when;
};

/* What was read at the start of one recipient; oldest first. */
struct told {
	struct told *next;
	uint64_t generation;
	struct entry entry;
	struct str packed;
};

struct told_list {
	struct told *first, **end;
};

static void name_of(char name[32], uint64_t generation)
{
	snprintf(name, 32, "results-%016" PRIx64, generation);
}

static uint64_t check_of(const struct entry *entry, struct str packed, uint64_t generation, uint64_t offset)
{
	char bytes[sizeof *entry + SPOOLFILE_REPLY_MAX];
	size_t length = sizeof *entry - sizeof entry->check;
	memcpy(bytes, (const char *)entry + sizeof entry->check, length);
	if (packed.length)
		memcpy(bytes + length, packed.data, packed.length);
	return XXH3_64bits_withSeed(bytes, length + packed.length, generation ^ offset << 20);
}

/* ---- files ---- */

static struct results_file *find_file(struct results *r, uint64_t generation)
{
	for (size_t i = 0; i < r->files.count; i++)
		if (r->files.items[i].generation == generation)
			return &r->files.items[i];
	return NULL;
}

static void remove_unneeded(struct queue *q)
{
	struct results *r = &q->results;
	char name[32];
	while (r->files.count && r->files.items[0].mails == 0 && r->files.items[0].generation != r->generation) {
		name_of(name, r->files.items[0].generation);
		if (unlinkat(q->spool, name, 0) != 0 && errno != ENOENT)
			return;
		array_remove(&r->files, 0);
	}
}

void results_release(struct queue *q, uint64_t generation)
{
	struct results_file *file = find_file(&q->results, generation);
	must(file && file->mails > 0);
	file->mails--;
	remove_unneeded(q);
}

static void need(struct mail *mail, uint64_t generation)
{
	if (mail->results)
		return;
	mail->results = generation;
	find_file(&mail->queue->results, generation)->mails++;
}

/* Only while no sync is under way, which has the file before. */
static bool begin_file(struct queue *q, struct fail **fail)
{
	struct results *r = &q->results;
	char name[32];
	name_of(name, r->generation + 1);
	int file = openat(q->spool, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0)
		return fail_set_errno(fail, FAIL_IO, "a file for results");
	file_close(&r->file);
	r->file = file;
	r->length = 0;
	r->is_new = true;
	*array_add(&r->files) = (struct results_file){ .generation = ++r->generation };
	remove_unneeded(q);
	return true;
}

/* ---- writing ---- */

static uint8_t kind_of(const struct delivery *d)
{
	if (d->state == DELIVERY_BOUNCING)
		return (uint8_t)(RESULT_TO_REPORT + d->report);
	return d->state == DELIVERY_FAILED ? RESULT_FAILED : RESULT_DELIVERED;
}

static void add_entry(struct buf *out, const struct delivery *d, uint64_t generation, uint64_t offset)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(SPOOLFILE_REPLY_MAX);
	const struct attempt_facts last = attempt_facts(d->last);
	attempt_pack(&packed, &last);
	struct entry entry = { .magic = magic, .length = (uint16_t)packed.length, .kind = kind_of(d),
		.outcome = (uint8_t)last.outcome,
	                       .id = d->mail->id, .recipient = d->index, .attempts = d->attempts, .when = d->last_attempt };
	entry.check = check_of(&entry, buf_str(&packed), generation, offset);
	buf_append(out, &entry, sizeof entry);
	buf_add_str(out, buf_str(&packed));
	while (out->length % ALIGN)
		buf_add_char(out, '\0');
}

static bool append(struct queue *q, const struct delivery *d, struct fail **fail)
{
	struct results *r = &q->results;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(2 * SPOOLFILE_REPLY_MAX);
	add_entry(&out, d, r->generation, r->length);
	if (!file_write_at(r->file, out.data, out.length, r->length, fail))
		return false; /* the place is written again, or passed over by its checksum */
	r->length += out.length;
	need(d->mail, r->generation);
	return true;
}

static void fall_behind(struct queue *q, const struct fail *fail)
{
	if (!q->results.behind)
		log_event(LOG_ERROR, 0, "results-not-written", LOG_TEXT("why", str_of(fail_text(fail))));
	q->results.behind = true;
}

bool results_write(struct delivery *d)
{
	struct queue *q = d->mail->queue;
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (q->results.behind)
		return false;
	if ((q->results.file >= 0 || begin_file(q, &fail)) && append(q, d, &fail))
		return true;
	fall_behind(q, fail);
	return false;
}

bool results_are_written(const struct queue *q)
{
	return !q->results.behind;
}

static bool is_told_here_only(const struct delivery *d)
{
	bool has_result = d->state == DELIVERY_APPLIED || d->state == DELIVERY_BOUNCING || delivery_is_final(d);
	return !d->account && has_result && !d->logged;
}

/* After a failure: all that is in no other file. */
static bool write_all(struct queue *q, struct fail **fail)
{
	if (!begin_file(q, fail))
		return false;
	for (struct mail *mail = q->first; mail; mail = mail->next)
		for (uint32_t i = 0; i < mail->count; i++)
			if (is_told_here_only(&mail->deliveries[i]) && !append(q, &mail->deliveries[i], fail))
				return false;
	return true;
}

void results_tick(struct queue *q)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!q->results.behind || q->sync.under_way || !write_all(q, &fail))
		return;
	q->results.behind = false;
	relay_say_noted(q);
}

/* ---- flushing ---- */

bool results_sync(struct queue *q, int *error)
{
	const struct results *r = &q->results;
	if (r->file < 0 || (fdatasync(r->file) == 0 && (!r->is_new || fsync(q->spool) == 0)))
		return true;
	*error = errno;
	return false;
}

void results_synced(struct queue *q, bool good)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct results *r = &q->results;
	r->is_new &= !good;
	if (!good) {
		fail_set(&fail, FAIL_IO, "a flush failed");
		fall_behind(q, fail);
	} else if (r->length >= LENGTH_MAX && !r->behind && !begin_file(q, &fail)) {
		fall_behind(q, fail);
	}
}

/* ---- reports ---- */

void result_reported(struct delivery *d)
{
	must(d->state == DELIVERY_BOUNCING);
	if (d->report == REPORT_FAILED || d->account) {
		mail_settle(d, d->report == REPORT_FAILED ? DELIVERY_FAILED : DELIVERY_DONE);
		return;
	}
	d->state = DELIVERY_APPLIED;
	results_write(d);
	trim_note_applied(d);
}

/* ---- the start ---- */

static void keep(struct results *r, uint64_t generation, const struct entry *entry, struct str packed)
{
	struct told *told = arena_alloc(r->memory, sizeof *told);
	struct told_list *list = map_get(r->loaded, MAP_KEY(entry->id));
	*told = (struct told){ .generation = generation, .entry = *entry, .packed = arena_copy(r->memory, packed) };
	if (!list) {
		list = arena_alloc(r->memory, sizeof *list);
		*list = (struct told_list){ .end = &list->first };
		map_set(r->loaded, MAP_KEY(entry->id), list);
	}
	*list->end = told;
	list->end = &told->next;
}

/* How far the next one may be. */
static size_t read_entry(struct results *r, uint64_t generation, struct str content, size_t at)
{
	struct entry entry;
	if (content.length - at < sizeof entry)
		return ALIGN;
	memcpy(&entry, content.data + at, sizeof entry);
	struct str rest = str_from_index(content, at + sizeof entry);
	if (entry.magic != magic || entry.length > rest.length || entry.length > SPOOLFILE_REPLY_MAX ||
	    entry.kind > RESULT_FAILED || entry.kind < RESULT_DELIVERED || entry.outcome >= RELAY_OUTCOME_COUNT ||
	    check_of(&entry, str_first(rest, entry.length), generation, at) != entry.check)
		return ALIGN; /* torn, or damaged: it hides no other one */
	keep(r, generation, &entry, str_first(rest, entry.length));
	return (sizeof entry + entry.length + ALIGN - 1) / ALIGN * ALIGN;
}

static void load_file(struct queue *q, uint64_t generation)
{
	struct results *r = &q->results;
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(LOADED_MAX);
	CLEANUP(fail_free) struct fail *fail = NULL;
	char name[32];
	name_of(name, generation);
	CLEANUP(file_close) int file = openat(q->spool, name, O_RDONLY | O_CLOEXEC);
	if (file < 0 || !file_read_all(file, &content, &fail) || fdatasync(file) != 0)
		log_event(LOG_ERROR, 0, "results-unreadable",
		          LOG_TEXT("why", fail ? str_of(fail_text(fail)) : STR("cannot be opened or flushed")));
	for (size_t at = 0; at < content.length;)
		at += read_entry(r, generation, buf_str(&content), at);
	*array_add(&r->files) = (struct results_file){ .generation = generation };
}

static int by_generation(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

static bool is_results(const char *name, uint64_t *generation)
{
	int used = 0;
	return strlen(name) == NAME_LENGTH && sscanf(name, "results-%16" SCNx64 "%n", generation, &used) == 1 &&
	       used == NAME_LENGTH;
}

void results_load(struct queue *q)
{
	struct results *r = &q->results;
	ARRAY(uint64_t) found = {};
	uint64_t generation;
	int folder = openat(q->spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = folder < 0 ? NULL : fdopendir(folder);
	r->file = -1;
	r->loaded = map_new();
	r->memory = arena_new(LOADED_MAX);
	for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;)
		if (is_results(entry->d_name, &generation))
			*array_add(&found) = generation;
	if (entries)
		closedir(entries);
	if (found.count)
		qsort(found.items, found.count, sizeof *found.items, by_generation);
	for (size_t i = 0; i < found.count; i++)
		load_file(q, r->generation = found.items[i]);
	array_release(&found);
}

static void apply(struct delivery *d, const struct told *told)
{
	const struct entry *entry = &told->entry;
	struct attempt_facts facts = attempt_unpack(told->packed, (enum relay_outcome)entry->outcome);
	attempt_note(d, attempt_new(&facts), entry->when);
	d->attempts = entry->attempts;
	destination_leave(d);
	d->state = entry->kind == RESULT_DELIVERED ? DELIVERY_DONE
	           : entry->kind == RESULT_FAILED  ? DELIVERY_FAILED
	                                           : DELIVERY_BOUNCING;
	if (d->state == DELIVERY_BOUNCING)
		d->report = (enum report_kind)(entry->kind - RESULT_TO_REPORT);
	else
		d->mail->open--;
}

void results_apply(struct mail *mail)
{
	struct results *r = &mail->queue->results;
	const struct told_list *list = map_get(r->loaded, MAP_KEY(mail->id));
	for (const struct told *told = list ? list->first : NULL; told; told = told->next) {
		struct delivery *d = told->entry.recipient < mail->count ? &mail->deliveries[told->entry.recipient] : NULL;
		if (!d || d->account || delivery_is_final(d))
			continue;
		apply(d, told);
		need(mail, told->generation);
	}
}

void results_loaded(struct queue *q)
{
	struct results *r = &q->results;
	map_free(r->loaded);
	arena_free(r->memory);
	r->loaded = NULL;
	r->memory = NULL;
	r->generation++; /* none of those that were read is written again */
	remove_unneeded(q);
}

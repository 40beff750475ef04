/*
 * The results log. The input is steps of four octets: a recipient gets a result, a report is made, a mail is done and
 * another one comes, a flush fails (all is written anew into the next file), an octet of a file is changed, a file
 * loses its end, queue begins anew. Then each recipient is as the entries say whose octets are what they were,
 * whatever happened to others.
 */
#include "queue.h"

#include "file.h"
#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAILS = 3, RECIPIENTS = 2, STEP = 4, STEPS_MAX = 100, ENTRY_HEAD = 40, ENTRY_ALIGN = 16, FILES_MAX = STEPS_MAX + 4, NAME_SIZE = 32 };
enum { REPLY_MAX = SPOOLFILE_REPLY_MAX + 500, ENTRY_MAX = 2 * SPOOLFILE_REPLY_MAX };

/* An entry that was written. */
struct expected {
	uint64_t generation;
	uint64_t offset;
	struct buf octets;
	struct buf packed;
	uint64_t mail;
	uint32_t recipient;
	enum delivery_state state;
	enum report_kind report;
	enum relay_outcome outcome;
	uint32_t attempts;
};

static struct {
	struct queue queue;
	uint64_t next_id;
	ARRAY(struct expected) entries;
} run;

static char folder[] = "/dev/shm/posthorn-results-fuzz-XXXXXX";

/* ---- what results.c asks of others ---- */

void destination_leave(struct delivery *d)
{
	must(!d->account);
}

void relay_say_noted(struct queue *q)
{
	must(results_are_written(q));
}

void mail_settle(struct delivery *d, enum delivery_state state)
{
	d->state = state;
}

void trim_note_applied(struct delivery *d)
{
	must(d->state == DELIVERY_APPLIED);
}

/* ---- files ---- */

static void name_of(char name[NAME_SIZE], uint64_t generation)
{
	snprintf(name, NAME_SIZE, "results-%016llx", (unsigned long long)generation);
}

static int open_log(uint64_t generation)
{
	char name[NAME_SIZE];
	name_of(name, generation);
	return openat(run.queue.spool, name, O_RDWR | O_CLOEXEC);
}

static void remove_logs(void)
{
	char name[NAME_SIZE];
	for (uint64_t generation = 0; generation < FILES_MAX; generation++) {
		name_of(name, generation);
		unlinkat(run.queue.spool, name, 0);
	}
}

static void remove_folder(void)
{
	remove_logs();
	rmdir(folder);
}

static void make_folder(void)
{
	if (run.queue.spool)
		return;
	log_set_level(LOG_ERROR);
	must(mkdtemp(folder));
	run.queue.spool = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(run.queue.spool > 0);
	atexit(remove_folder);
}

/* The octets of an entry as they are now; false when they are not there any more. */
static bool read_entry(uint64_t generation, uint64_t offset, size_t length, struct buf *octets)
{
	CLEANUP(file_close) int file = open_log(generation);
	char *room = buf_reserve(octets, length);
	bool there = file >= 0 && room && pread(file, room, length, (off_t)offset) == (ssize_t)length;
	buf_claim(octets, there ? length : 0);
	return there;
}

static bool is_whole(const struct expected *e)
{
	CLEANUP(buf_release) struct buf now = BUF_WITH_LIMIT(ENTRY_MAX);
	return read_entry(e->generation, e->offset, e->octets.length, &now) &&
	       str_equal(buf_str(&now), buf_str(&e->octets));
}

/* ---- mails ---- */

static void add_mail(uint64_t id)
{
	struct mail *mail = calloc(1, sizeof *mail + RECIPIENTS * sizeof *mail->deliveries), **end = &run.queue.first;
	must(mail);
	mail->queue = &run.queue;
	mail->id = id;
	mail->count = mail->open = RECIPIENTS;
	for (uint32_t i = 0; i < RECIPIENTS; i++)
		mail->deliveries[i] = (struct delivery){ .mail = mail, .index = i };
	while (*end)
		end = &(*end)->next;
	*end = mail;
}

static void remove_mail(struct mail *mail)
{
	struct mail **place = &run.queue.first;
	while (*place != mail)
		place = &(*place)->next;
	*place = mail->next;
	for (uint32_t i = 0; i < RECIPIENTS; i++)
		attempt_unref(mail->deliveries[i].last);
	free(mail);
}

static struct delivery *any_delivery(uint8_t chosen)
{
	struct mail *mail = run.queue.first;
	for (unsigned i = chosen % MAILS; i > 0; i--)
		mail = mail->next;
	return &mail->deliveries[chosen / MAILS % RECIPIENTS];
}

/* ---- steps ---- */

/* Returns where the next one is. */
static uint64_t note(const struct delivery *d, uint64_t offset)
{
	const struct attempt_facts last = attempt_facts(d->last);
	struct expected e = {
		.generation = run.queue.results.generation, .offset = offset, .mail = d->mail->id, .recipient = d->index, .state = d->state,
		.report = d->report, .outcome = last.outcome, .attempts = d->attempts,
	};
	buf_init(&e.packed, REPLY_MAX);
	buf_init(&e.octets, ENTRY_MAX);
	attempt_pack(&e.packed, &last);
	size_t length = ENTRY_HEAD + e.packed.length;
	must(read_entry(e.generation, offset, length, &e.octets));
	*array_add(&run.entries) = e;
	return offset + (length + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
}

static uint64_t end_of_log(void)
{
	return run.queue.results.file >= 0 ? run.queue.results.length : 0;
}

static void get_result(struct delivery *d, const uint8_t step[STEP])
{
	static char text[REPLY_MAX];
	size_t length = (size_t)step[2] * step[3] % sizeof text;
	if (d->state != DELIVERY_PENDING)
		return;
	memset(text, 'a' + step[3] % 26, sizeof text);
	struct attempt_facts facts = { .outcome = (enum relay_outcome)(step[2] % RELAY_OUTCOME_COUNT), .code = 250, .reply = str_from(text, length) };
	attempt_note(d, attempt_new(&facts), step[3]);
	d->attempts++;
	d->report = (enum report_kind)(step[2] % (REPORT_RELAYED + 1));
	d->state = step[3] % 3 == 0 ? DELIVERY_FAILED : step[3] % 3 == 1 ? DELIVERY_BOUNCING : DELIVERY_APPLIED;
	uint64_t before = end_of_log();
	must(results_write(d) && note(d, before) == end_of_log());
}

static void make_report(struct delivery *d)
{
	uint64_t before = end_of_log();
	if (d->state != DELIVERY_BOUNCING)
		return;
	result_reported(d);
	if (d->state == DELIVERY_APPLIED)
		must(note(d, before) == end_of_log());
}

static bool is_done(const struct mail *mail)
{
	for (uint32_t i = 0; i < RECIPIENTS; i++)
		if (!delivery_is_final(&mail->deliveries[i]) && mail->deliveries[i].state != DELIVERY_APPLIED)
			return false;
	return true;
}

static void end_mail(struct mail *mail)
{
	if (!is_done(mail))
		return;
	if (mail->results)
		results_release(&run.queue, mail->results);
	remove_mail(mail);
	add_mail(run.next_id++);
}

/* What is in no other file is written into the next one, in the order of the mails. */
static void fail_to_flush(void)
{
	results_synced(&run.queue, false);
	must(!results_are_written(&run.queue));
	results_tick(&run.queue);
	must(results_are_written(&run.queue));
	uint64_t offset = 0;
	for (const struct mail *mail = run.queue.first; mail; mail = mail->next)
		for (uint32_t i = 0; i < RECIPIENTS; i++)
			if (mail->deliveries[i].state != DELIVERY_PENDING)
				offset = note(&mail->deliveries[i], offset);
	must(offset == end_of_log());
}

static void damage(const uint8_t step[STEP])
{
	const struct results *r = &run.queue.results;
	char octet;
	if (r->files.count == 0)
		return;
	CLEANUP(file_close) int file = open_log(r->files.items[step[1] % r->files.count].generation);
	must(file >= 0);
	off_t size = lseek(file, 0, SEEK_END), place = size ? (step[2] * 256 + step[3]) % size : 0;
	if (step[0] & 128) {
		must(ftruncate(file, place) == 0);
	} else if (size) {
		must(pread(file, &octet, 1, place) == 1);
		octet ^= (char)(step[1] | 1);
		must(pwrite(file, &octet, 1, place) == 1);
	}
}

/* ---- beginning anew ---- */

static void check_delivery(const struct delivery *d)
{
	const struct expected *last = NULL;
	enum delivery_state state = DELIVERY_PENDING;
	for (size_t i = 0; i < run.entries.count; i++) {
		const struct expected *e = &run.entries.items[i];
		if (e->mail != d->mail->id || e->recipient != d->index || state == DELIVERY_DONE || state == DELIVERY_FAILED ||
		    !is_whole(e))
			continue;
		last = e;
		state = e->state == DELIVERY_APPLIED ? DELIVERY_DONE : e->state;
	}
	must(d->state == state);
	if (!last)
		return;
	struct attempt_facts facts = attempt_unpack(buf_str(&last->packed), last->outcome);
	must(attempt_is(d->last, &facts) && d->attempts == last->attempts);
	must(state != DELIVERY_BOUNCING || d->report == last->report);
}

static void check_mail(const struct mail *mail)
{
	uint32_t open = 0;
	for (uint32_t i = 0; i < RECIPIENTS; i++) {
		check_delivery(&mail->deliveries[i]);
		open += !delivery_is_final(&mail->deliveries[i]);
	}
	must(mail->open == open);
}

static void load(void)
{
	struct queue *q = &run.queue;
	uint64_t ids[MAILS];
	size_t count = 0;
	for (const struct mail *mail = q->first; mail; mail = mail->next)
		ids[count++] = mail->id;
	while (q->first)
		remove_mail(q->first);
	file_close(&q->results.file);
	array_release(&q->results.files);
	q->results = (struct results){};
	results_load(q);
	for (size_t i = 0; i < count; i++)
		add_mail(ids[i]);
	for (struct mail *mail = q->first; mail; mail = mail->next) {
		results_apply(mail);
		check_mail(mail);
	}
	results_loaded(q);
}

static void take(const uint8_t step[STEP])
{
	switch (step[0] % 8) {
	case 0:
	case 1:
	case 2: get_result(any_delivery(step[1]), step); break;
	case 3: make_report(any_delivery(step[1])); break;
	case 4: end_mail(any_delivery(step[1])->mail); break;
	case 5: fail_to_flush(); break;
	case 6: damage(step); break;
	default: load(); break;
	}
}

static void begin(void)
{
	make_folder();
	run.queue.results = (struct results){ .file = -1 };
	run.next_id = 1;
	while (run.next_id <= MAILS)
		add_mail(run.next_id++);
	results_load(&run.queue);
	results_loaded(&run.queue);
}

static void end(void)
{
	while (run.queue.first)
		remove_mail(run.queue.first);
	for (size_t i = 0; i < run.entries.count; i++) {
		buf_release(&run.entries.items[i].octets);
		buf_release(&run.entries.items[i].packed);
	}
	array_release(&run.entries);
	file_close(&run.queue.results.file);
	array_release(&run.queue.results.files);
	remove_logs();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin();
	for (size_t i = 0; i + STEP <= size && i < STEPS_MAX * STEP; i += STEP)
		take(data + i);
	load();
	end();
	return 0;
}

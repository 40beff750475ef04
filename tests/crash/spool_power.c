/*
 * Messages in files of their own, made, tried, rewritten and removed under powerloss.so; and what is left of them.
 *
 *	spool_power run TREE MARKS STEPS SEED
 *	spool_power check TREE
 *
 * The messages lie in TREE/spool. The marks (N: a message, R: a recipient, A: attempts, 0: none); those in -ing come before the attempt:
 *
 *	created N   logging N R A   logged N R A   removing N
 *
 * check does what queue does at its start, and prints what it finds: the attempts of each recipient, and whether nothing is pending:
 *
 *	message N A A A pending|done
 *
 * Octets that are not those of the message end it with status 1.
 */
#include "fail.h"
#include "spoolfile.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIVE_MAX = 6, RECIPIENTS = 3, LAST_ATTEMPT = 4, ARENA_MAX = 1 << 20, BODY_MAX = 40000 };

struct message {
	uint64_t number;
	struct spoolfile *file;
	uint32_t attempts[RECIPIENTS];
};

static int spool = -1, marks = -1;
static uint64_t random_state, next_number = 1;
static struct message live[LIVE_MAX];

static uint64_t dice(uint64_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % below;
}

static FORMAT(1, 2) void mark(const char *format, ...)
{
	char line[100];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	must(length > 0 && (size_t)length < sizeof line && write(marks, line, (size_t)length) == length);
}

#define U(number) ((unsigned long long)(number))

/* ---- messages ---- */

static bool has_body_file(uint64_t number)
{
	return number % 3 == 0;
}

static void body_of(uint64_t number, struct buf *out)
{
	for (uint64_t i = 0; i < 3 + number * 7 % 60; i++)
		buf_printf(out, "line %llu of message %llu: %llx\r\n", U(i), U(number), U((number + i) * 2654435761u));
}

static void describe(struct envelope *e, struct envelope_recipient recipients[RECIPIENTS], uint64_t number, size_t size)
{
	static const struct str addresses[RECIPIENTS] = { STR("a@elsewhere.test"), STR("b@elsewhere.test"), STR("c@elsewhere.test") };
	for (size_t i = 0; i < RECIPIENTS; i++)
		recipients[i] = (struct envelope_recipient){ .address = addresses[i] };
	*e = (struct envelope){ .id = number, .body_size = size, .body_in_file = has_body_file(number), .recipients = recipients,
	                        .recipient_count = RECIPIENTS };
}

static void write_body(uint64_t number, struct str body)
{
	int file = spoolfile_body_begin(spool, number, NULL);
	must(file >= 0 && pwrite(file, body.data, body.length, 0) == (ssize_t)body.length);
	close(file);
	must(spoolfile_body_finish(spool, number, body.length, NULL));
}

static void create(struct message *m)
{
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(BODY_MAX);
	struct envelope_recipient recipients[RECIPIENTS];
	struct envelope e;
	*m = (struct message){ .number = next_number++ };
	body_of(m->number, &body);
	describe(&e, recipients, m->number, body.length);
	if (e.body_in_file)
		write_body(m->number, buf_str(&body));
	must(spoolfile_create(spool, &e, e.body_in_file ? STR("") : buf_str(&body), NULL));
	mark("created %llu\n", U(m->number));
	m->file = spoolfile_open(spool, m->number, NULL);
	must(m->file);
}

static void try_recipient(struct message *m, uint32_t recipient)
{
	uint32_t attempts = m->attempts[recipient] + 1;
	const struct spoolfile_result result = {
		.recipient = recipient, .attempts = attempts, .state = attempts == LAST_ATTEMPT ? ENVELOPE_APPLIED : ENVELOPE_PENDING,
		.last_attempt = 1, .next_attempt = 2, .reply = STR("450 not now"),
	};
	mark("logging %llu %u %u\n", U(m->number), recipient, attempts);
	must(spoolfile_log(m->file, &result, 1, NULL));
	mark("logged %llu %u %u\n", U(m->number), recipient, attempts);
	m->attempts[recipient] = attempts;
}

static void drop(struct message *m)
{
	mark("removing %llu\n", U(m->number));
	spoolfile_close(m->file);
	must(spoolfile_remove(spool, m->number, NULL));
	m->file = NULL;
}

static void step(void)
{
	struct message *m = &live[dice(LIVE_MAX)];
	if (!m->file) {
		create(m);
		return;
	}
	uint32_t recipient = (uint32_t)dice(RECIPIENTS);
	if (dice(12) == 0)
		must(spoolfile_rewrite(m->file, NULL));
	else if (m->attempts[recipient] < LAST_ATTEMPT)
		try_recipient(m, recipient);
	else if (spoolfile_summary(m->file)->pending == 0)
		drop(m);
}

static void run(const char *marks_path, unsigned long steps)
{
	marks = open(marks_path, O_WRONLY | O_APPEND | O_CLOEXEC);
	must(marks >= 0);
	for (unsigned long i = 0; i < steps; i++)
		step();
	for (size_t i = 0; i < LIVE_MAX; i++)
		spoolfile_close(live[i].file);
}

/* ---- afterwards ---- */

static bool has_its_body(struct spoolfile *file, uint64_t number)
{
	CLEANUP(buf_release) struct buf expected = BUF_WITH_LIMIT(BODY_MAX);
	static char found[BODY_MAX];
	uint64_t offset;
	int descriptor = spoolfile_body(file, &offset, NULL);
	if (descriptor < 0)
		return false;
	body_of(number, &expected);
	bool good = pread(descriptor, found, expected.length, (off_t)offset) == (ssize_t)expected.length &&
	            memcmp(found, expected.data, expected.length) == 0;
	close(descriptor);
	return good;
}

/* One that is done may come back without its body. */
static bool show(uint64_t number)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA_MAX);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct spoolfile_result *results;
	struct envelope e;
	CLEANUP(spoolfile_cleanup) struct spoolfile *file = spoolfile_open(spool, number, &fail);
	bool is_done = file && spoolfile_summary(file)->pending == 0;
	if (!file || !spoolfile_load(file, arena, &e, &results, &fail) || (!is_done && !has_its_body(file, number))) {
		printf("message %llu is damaged: %s\n", U(number), fail ? fail_text(fail) : "its body");
		return false;
	}
	must(e.recipient_count == RECIPIENTS);
	printf("message %llu %u %u %u %s\n", U(number), results[0].attempts, results[1].attempts, results[2].attempts,
	       is_done ? "done" : "pending");
	return true;
}

static bool check(void)
{
	enum spoolfile_kind kind;
	uint64_t id;
	bool good = true;
	struct spoolfile_walk *walk = spoolfile_walk_begin(spool, NULL);
	must(walk);
	while (spoolfile_walk_next(walk, &id, &kind))
		if (kind == SPOOLFILE_MESSAGE)
			good = show(id) && good;
	spoolfile_walk_end(walk);
	return good;
}

int main(int argc, char **argv)
{
	char path[4096];
	bool runs = argc == 6 && strcmp(argv[1], "run") == 0;
	if (!runs && (argc != 3 || strcmp(argv[1], "check") != 0)) {
		fprintf(stderr, "usage: spool_power run TREE MARKS STEPS SEED | check TREE\n");
		return 2;
	}
	snprintf(path, sizeof path, "%s/spool", argv[2]);
	spool = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(spool >= 0);
	if (!runs)
		return check() ? 0 : 1;
	random_state = strtoull(argv[5], NULL, 10);
	run(argv[3], strtoul(argv[4], NULL, 10));
	return 0;
}

/*
 * What one delivery costs in CPU: store_bench DIRECTORY COUNT PER_TRANSACTION [PROCESSES]. DIRECTORY must be empty.
 * With PROCESSES as many accounts, each in a process of its own, get their mail in turn: then the caches are as cold
 * as in the mailbox processes of a busy server.
 *
 * What sessions do to a mailbox of COUNT mails: store_bench DIRECTORY COUNT session. CPU, and the time on the clock.
 */
#include "store_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BODY_SIZE = 12288, STRUCTURE_SIZE = 600, HEADERS_SIZE = 400, PROCESSES_MAX = 1000 };

static double cpu_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void die(const struct fail *fail)
{
	fprintf(stderr, "store_bench: %s\n", fail_text(fail));
	exit(1);
}

static size_t body_size = BODY_SIZE;

static void deliver(struct store *store, unsigned first, unsigned count, uint64_t mailbox)
{
	static char body[BODY_SIZE];
	static char structure[STRUCTURE_SIZE];
	struct fail *fail = NULL;
	memset(body, 'x', sizeof body);
	struct store_message_columns columns = { .structure = str_from(structure, sizeof structure),
		                                     .headers = str_from(body, HEADERS_SIZE),
		                                     .subject = STR("about the thing we spoke of"),
		                                     .message_id = STR("<1234567890@mail.example.test>") };
	struct store_txn *txn = store_begin_deferred(store);
	for (unsigned i = 0; i < count; i++) {
		struct store_origin origin = { .journal = "bench", .seq = first + i };
		struct store_delivery delivery = { .origin = &origin,
			                               .body.bytes = str_from(body, body_size),
			                               .columns = &columns,
			                               .mailbox = mailbox,
			                               .received = 1700000000 };
		struct store_placed placed;
		store_deliver(txn, &delivery, &placed);
	}
	if (!store_commit(&txn, &fail))
		die(fail);
}

static struct store *open_at(const char *path)
{
	struct fail *fail = NULL;
	struct store_options options = { .path = path, .create = true };
	struct store *store = store_open(open(path, O_RDONLY | O_DIRECTORY), &options, &fail);
	if (!store)
		die(fail);
	return store;
}

/* ---- many processes ---- */

struct result {
	double cpu_us;
	unsigned private_kb;
};

static unsigned private_kb(void)
{
	FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
	unsigned kb = 0;
	for (char line[256]; rollup && fgets(line, sizeof line, rollup);)
		if (sscanf(line, "Private_Dirty: %u kB", &kb) == 1)
			break;
	if (rollup)
		fclose(rollup);
	return kb;
}

/* One delivery for each octet that comes; what they cost, the first one apart, when they end. */
static void serve(int socket, const char *path, unsigned each)
{
	struct store *store = open_at(path);
	unsigned first = 1;
	double start = 0;
	for (char turn; read(socket, &turn, 1) == 1 && turn; first += each) {
		deliver(store, first, each, 1);
		if (first == 1)
			start = cpu_us();
		if (write(socket, &turn, 1) != 1)
			exit(1);
	}
	struct result result = { cpu_us() - start, private_kb() };
	bool written = write(socket, &result, sizeof result) == sizeof result;
	exit(!store_close(&store, NULL) || !written);
}

static int start_process(const char *directory, unsigned number, unsigned each)
{
	int ends[2];
	char *path = mem_printf("%s/%u", directory, number);
	if (mkdir(path, 0700) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		perror(path);
		exit(1);
	}
	if (fork() == 0)
		serve(ends[1], path, each);
	close(ends[1]);
	free(path);
	return ends[0];
}

static void many_stores(const char *directory, unsigned count, unsigned each, unsigned processes)
{
	static int sockets[PROCESSES_MAX];
	char turn = 1;
	struct result sum = {};
	for (unsigned i = 0; i < processes; i++)
		sockets[i] = start_process(directory, i + 1, each);
	unsigned rounds = 1 + count / each / processes;
	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < processes; i++)
			if (write(sockets[i], &turn, 1) != 1 || read(sockets[i], &turn, 1) != 1)
				exit(1);
	turn = 0;
	for (unsigned i = 0; i < processes; i++) {
		struct result result;
		if (write(sockets[i], &turn, 1) != 1 || read(sockets[i], &result, sizeof result) != sizeof result)
			exit(1);
		sum.cpu_us += result.cpu_us;
		sum.private_kb += result.private_kb;
	}
	printf("deliver %.1f us CPU each, %u KB private per process\n",
	       sum.cpu_us / ((double)(rounds - 1) * each * processes), sum.private_kb / processes);
}

/* ---- one process ---- */

static void one_store(const char *path, unsigned count, unsigned each)
{
	struct fail *fail = NULL;
	double start = cpu_us();
	struct store *store = open_at(path);
	printf("open %.0f us\n", cpu_us() - start);
	start = cpu_us();
	for (unsigned i = 0; i < count; i += each)
		deliver(store, i + 1, each, 1);
	printf("deliver %.1f us CPU each\n", (cpu_us() - start) / count);
	struct store_reader *reader = store_reader_acquire(store, &fail);
	struct store_entries entries = {};
	struct store_selection all = { 1, &(struct store_range){ 1, UINT32_MAX }, 1 };
	start = cpu_us();
	if (!reader || !store_read_entries(reader, &all, 0, &entries, &fail) || !entries.list.count)
		die(fail);
	printf("list %.2f us each\n", (cpu_us() - start) / (double)entries.list.count);
	struct buf body = BUF_WITH_LIMIT(LIMIT_MESSAGE_SIZE);
	start = cpu_us();
	for (size_t i = 0; i < entries.list.count; i++) {
		buf_clear(&body);
		if (!store_read_body(reader, entries.list.items[i].message, &body, &fail))
			die(fail);
	}
	printf("read %.1f us each\n", (cpu_us() - start) / (double)entries.list.count);
	buf_release(&body);
	store_entries_release(&entries);
	store_reader_release(&reader);
	start = cpu_us();
	if (!store_close(&store, &fail))
		die(fail);
	printf("close %.0f us\n", cpu_us() - start);
	start = cpu_us();
	store = open_at(path);
	reader = store_reader_acquire(store, &fail);
	if (!reader)
		die(fail);
	printf("open again %.0f us\n", cpu_us() - start);
	store_reader_release(&reader);
	start = cpu_us();
	if (!store_close(&store, &fail))
		die(fail);
	printf("close again %.0f us\n", cpu_us() - start);
}

/* ---- a session ---- */

enum { LARGE_MAILBOX = 200000, SMALL_BODY = 200, SOME = 10000, APPENDS = 1000, MULTIAPPEND = 100, FILL = 1000 };

struct stopwatch {
	double cpu_us, wall_us;
};

static double wall_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static struct stopwatch watch(void)
{
	return (struct stopwatch){ cpu_us(), wall_us() };
}

static void told(const char *what, struct stopwatch start, double count)
{
	printf("%-28s %9.2f us CPU each %9.2f us on the clock, %.1f ms in all\n", what, (cpu_us() - start.cpu_us) / count,
	       (wall_us() - start.wall_us) / count, (wall_us() - start.wall_us) / 1e3);
}

static void finish(struct store_txn *txn)
{
	struct fail *fail = NULL;
	if (!store_commit(&txn, &fail))
		die(fail);
}

static void refresh_index(struct store *store, struct store_index *index)
{
	struct fail *fail = NULL;
	struct store_reader *reader = store_reader_acquire(store, &fail);
	if (!reader || !store_index_refresh(index, reader, &fail))
		die(fail);
	store_reader_release(&reader);
}

static void set_flags(struct store *store, struct store_index *index, const struct store_selection *selection,
                      uint32_t flags)
{
	struct store_change change = { .how = STORE_FLAGS_REPLACE, .flags = flags, .unchanged_since = UINT64_MAX };
	struct store_uids changed = {};
	struct fail *fail = NULL;
	struct store_txn *txn = store_begin(store);
	store_flags(txn, selection, &change, &changed, NULL);
	if (!store_commit(&txn, &fail))
		die(fail);
	store_uids_release(&changed);
	refresh_index(store, index);
}

static void time_flags(struct store *store, struct store_index *index, unsigned count)
{
	struct store_selection all = { 1, &(struct store_range){ 1, UINT32_MAX }, 1 };
	struct stopwatch start = watch();
	set_flags(store, index, &all, STORE_FLAGGED);
	told("STORE all", start, count);
	start = watch();
	set_flags(store, index, &all, STORE_FLAGGED | STORE_SEEN);
	told("STORE all again", start, count);
	start = watch();
	for (unsigned i = 0; i < APPENDS; i++) {
		struct store_range range = { 1 + i * 7919 % count, 1 + i * 7919 % count };
		struct store_selection one = { 1, &range, 1 };
		set_flags(store, index, &one, i % 32);
	}
	told("STORE one", start, APPENDS);
}

static void time_moves(struct store *store, struct store_index *index, unsigned count, uint64_t other)
{
	unsigned some = count / 4 < SOME ? count / 4 : SOME;
	struct store_range ranges[] = { { 1, some }, { some + 1, 2 * some }, { 2 * some + 1, 3 * some } };
	struct store_uids uids = {};
	struct stopwatch start = watch();
	struct store_txn *txn = store_begin(store);
	store_copy(txn, &(struct store_selection){ 1, &ranges[0], 1 }, other, &uids);
	finish(txn);
	told("COPY", start, some);
	store_uids_release(&uids);
	start = watch();
	txn = store_begin(store);
	store_move(txn, &(struct store_selection){ 1, &ranges[1], 1 }, other, &uids);
	finish(txn);
	refresh_index(store, index);
	told("MOVE", start, some);
	store_uids_release(&uids);
	start = watch();
	txn = store_begin(store);
	store_expunge(txn, &(struct store_selection){ 1, &ranges[2], 1 }, true, &uids);
	finish(txn);
	refresh_index(store, index);
	told("EXPUNGE", start, some);
	store_uids_release(&uids);
}

static void time_appends(struct store *store, struct store_index *index)
{
	static char body[BODY_SIZE];
	struct store_delivery delivery = { .body.bytes = str_from(body, sizeof body), .mailbox = 1 };
	struct store_placed placed;
	struct stopwatch start = watch();
	for (unsigned i = 0; i < APPENDS; i++) {
		struct store_txn *txn = store_begin(store);
		store_deliver(txn, &delivery, &placed);
		finish(txn);
		refresh_index(store, index);
	}
	told("APPEND", start, APPENDS);
	start = watch();
	for (unsigned i = 0; i < APPENDS / MULTIAPPEND; i++) {
		struct store_txn *txn = store_begin(store);
		for (unsigned k = 0; k < MULTIAPPEND; k++)
			store_deliver(txn, &delivery, &placed);
		finish(txn);
		refresh_index(store, index);
	}
	told("MULTIAPPEND", start, APPENDS);
}

static struct store_index *select_inbox(struct store *store, const char *what, unsigned count)
{
	struct fail *fail = NULL;
	struct uidmap uids = {};
	struct stopwatch start = watch();
	struct store_index *index = store_index_open(store, 1, &fail);
	if (!index)
		die(fail);
	store_index_uids(index, &uids, NULL);
	told(what, start, count);
	uidmap_release(&uids);
	return index;
}

static void read_rows(struct store *store, struct store_index *index, unsigned count)
{
	struct fail *fail = NULL;
	struct stopwatch start = watch();
	struct store_reader *reader = store_reader_acquire(store, &fail);
	if (!reader || !store_index_lock(index, reader, &fail))
		die(fail);
	store_index_unlock(index);
	store_reader_release(&reader);
	told("rows for the first time", start, count);
	printf("%u KB private\n", private_kb());
}

static void one_session(const char *path, unsigned count)
{
	struct fail *fail = NULL;
	uint64_t other = 0;
	struct store *store = open_at(path);
	/* of a mailbox that large nobody looks at the bodies here */
	if (count > LARGE_MAILBOX)
		body_size = SMALL_BODY;
	for (unsigned i = 0; i < count; i += FILL)
		deliver(store, i + 1, FILL, 1);
	struct store_txn *txn = store_begin(store);
	store_mailbox_create(txn, STR("other"), STORE_USE_NONE, &other);
	finish(txn);
	if (!store_close(&store, &fail))
		die(fail);
	store = open_at(path);
	struct store_index *index = select_inbox(store, "SELECT after a restart", 1);
	store_index_close(&index);
	index = select_inbox(store, "SELECT warm", 1);
	read_rows(store, index, count);
	time_flags(store, index, count);
	time_moves(store, index, count, other);
	time_appends(store, index);
	store_index_close(&index);
	if (!store_close(&store, &fail))
		die(fail);
}

int main(int count_of_arguments, char **arguments)
{
	unsigned numbers[3] = { 0, 0, 1 };
	if (count_of_arguments == 4 && strcmp(arguments[3], "session") == 0) {
		store_preload();
		one_session(arguments[1], (unsigned)strtoul(arguments[2], NULL, 10));
		return 0;
	}
	if (count_of_arguments < 4 || count_of_arguments > 5)
		return 2;
	for (int i = 2; i < count_of_arguments; i++)
		numbers[i - 2] = (unsigned)strtoul(arguments[i], NULL, 10);
	if (!numbers[0] || !numbers[1] || !numbers[2] || numbers[2] > PROCESSES_MAX)
		return 2;
	store_preload();
	if (numbers[2] == 1)
		one_store(arguments[1], numbers[0], numbers[1]);
	else
		many_stores(arguments[1], numbers[0], numbers[1], numbers[2]);
	return 0;
}

/* What one delivery costs in CPU: store_bench DIRECTORY COUNT PER_TRANSACTION. DIRECTORY must be empty. */
#include "store_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BODY_SIZE = 12288, STRUCTURE_SIZE = 600, HEADERS_SIZE = 400 };

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
			                               .body.bytes = str_from(body, sizeof body),
			                               .columns = &columns,
			                               .mailbox = mailbox,
			                               .received = 1700000000 };
		struct store_placed placed;
		store_deliver(txn, &delivery, &placed);
	}
	if (!store_commit(&txn, &fail))
		die(fail);
}

int main(int count_of_arguments, char **arguments)
{
	if (count_of_arguments != 4)
		return 2;
	struct fail *fail = NULL;
	unsigned count = (unsigned)strtoul(arguments[2], NULL, 10);
	unsigned each = (unsigned)strtoul(arguments[3], NULL, 10);
	struct store_options options = { .path = arguments[1], .create = true };
	double start = cpu_us();
	struct store *store = store_open(open(arguments[1], O_RDONLY | O_DIRECTORY), &options, &fail);
	if (!store || !each)
		die(fail);
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
	store = store_open(open(arguments[1], O_RDONLY | O_DIRECTORY), &options, &fail);
	reader = store ? store_reader_acquire(store, &fail) : NULL;
	if (!reader)
		die(fail);
	printf("open again %.0f us\n", cpu_us() - start);
	store_reader_release(&reader);
	start = cpu_us();
	if (!store_close(&store, &fail))
		die(fail);
	printf("close again %.0f us\n", cpu_us() - start);
	return 0;
}

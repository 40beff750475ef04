/* Columns of many messages at once, and mails read from the middle. */
#include "store_bulk.h"
#include "store_test_help.h"

#include <string.h>

enum { MAILS = 100 };

static uint64_t deliver_with_columns(struct account *account, int number)
{
	char structure[40], headers[4000];
	snprintf(structure, sizeof structure, "structure %d", number);
	memset(headers, 'h', sizeof headers);
	const struct store_message_columns columns = {
		.structure = str_of(structure), .headers = str_from(headers, number % 10 ? (size_t)number : sizeof headers),
	};
	const struct store_delivery delivery = {
		.body = { .bytes = STR("x\r\n"), .size = 3 }, .columns = &columns, .mailbox = inbox_of(account), .received = 1700000000,
	};
	struct store_placed placed;
	struct store_txn *txn = store_begin_deferred(account->store);
	assert_true(store_deliver(txn, &delivery, &placed));
	commit(&txn);
	return placed.message;
}

struct seen {
	size_t indexes[3 * MAILS];
	size_t count;
	size_t enough; /* stop after so many */
	unsigned wanted;
	const int *numbers; /* of the mails asked for */
};

static bool see(void *context, size_t index, const struct store_message_columns *columns)
{
	struct seen *seen = context;
	char structure[40];
	int number = seen->numbers[index];
	snprintf(structure, sizeof structure, "structure %d", number);
	assert_true(str_equal(columns->structure, seen->wanted & STORE_COLUMN_STRUCTURE ? str_of(structure) : STR("")));
	size_t headers = number % 10 ? (size_t)number : 4000;
	assert_int_equal(columns->headers.length, seen->wanted & STORE_COLUMN_HEADERS ? headers : 0);
	seen->indexes[seen->count++] = index;
	return seen->count < seen->enough;
}

/* Asks for these mails (numbers from 0; beyond MAILS there is none). */
static void ask(struct account *account, const uint64_t *messages, const int *numbers, size_t count, struct seen *seen)
{
	uint64_t asked[3 * MAILS];
	struct store_reader *reader = store_reader_acquire(account->store, NULL);
	const struct store_column_visitor visitor = { see, seen };
	assert_non_null(reader);
	for (size_t i = 0; i < count; i++)
		asked[i] = numbers[i] < MAILS ? messages[numbers[i]] : messages[MAILS - 1] + (uint64_t)numbers[i];
	seen->numbers = numbers;
	assert_true(store_read_many_columns(reader, asked, count, seen->wanted, &visitor, NULL));
	store_reader_release(&reader);
}

static void columns_in_the_order_asked(void **state)
{
	struct account *account = *state;
	uint64_t messages[MAILS];
	int all[MAILS], mixed[] = { 5, 6, 7, 7, 3, 99, 500, 40, 42, 90, 91, 600, 0 };
	for (int i = 0; i < MAILS; i++) {
		messages[i] = deliver_with_columns(account, i);
		all[i] = i;
	}
	static const unsigned wanted[] = { STORE_COLUMN_STRUCTURE, STORE_COLUMN_HEADERS, STORE_COLUMN_STRUCTURE | STORE_COLUMN_HEADERS };
	for (size_t w = 0; w < COUNT_OF(wanted); w++) {
		struct seen seen = { .enough = SIZE_MAX, .wanted = wanted[w] };
		ask(account, messages, all, MAILS, &seen);
		assert_int_equal(seen.count, MAILS);
		seen.count = 0;
		ask(account, messages, mixed, COUNT_OF(mixed), &seen);
		static const size_t there[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12 };
		assert_int_equal(seen.count, COUNT_OF(there));
		assert_memory_equal(seen.indexes, there, sizeof there);
	}
	struct seen few = { .enough = 3, .wanted = STORE_COLUMN_STRUCTURE };
	ask(account, messages, all, MAILS, &few);
	assert_int_equal(few.count, 3);
}

/* What was read through the mapping before is read anew after a change. */
static void a_mapping_shows_what_is_new(void **state)
{
	struct account *account = *state;
	uint64_t messages[MAILS];
	int all[MAILS];
	for (int i = 0; i < MAILS; i++) {
		messages[i] = deliver_with_columns(account, i);
		all[i] = i;
		if (i % 10 != 9)
			continue;
		struct seen seen = { .enough = SIZE_MAX, .wanted = STORE_COLUMN_STRUCTURE };
		ask(account, messages, all, (size_t)i + 1, &seen);
		assert_int_equal(seen.count, i + 1);
		care_for(account, 1700000000, 0);
	}
}

static void mails_from_the_middle(void **state)
{
	struct account *account = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 22);
	for (int i = 0; text.length < 200000; i++)
		buf_printf(&text, "line %d\r\n", i);
	struct store_placed placed = deliver_text(account, 0, 1, buf_text(&text));
	for (int compressed = 0; compressed < 2; compressed++) {
		static const uint64_t places[] = { 0, 1, 4095, 4096, 70000, 199000 };
		for (size_t i = 0; i < COUNT_OF(places); i++) {
			char piece[1000];
			uint64_t size;
			struct store_reader *reader = store_reader_acquire(account->store, NULL);
			struct store_stream *stream = store_stream_open(reader, placed.message, &size, NULL);
			assert_non_null(stream);
			assert_true(store_stream_skip(stream, places[i], NULL));
			int64_t got = store_stream_read(stream, piece, sizeof piece, NULL);
			assert_in_range(got, 1, sizeof piece);
			assert_memory_equal(piece, text.data + places[i], (size_t)got);
			assert_true(store_stream_skip(stream, UINT64_MAX / 2, NULL));
			assert_int_equal(store_stream_read(stream, piece, sizeof piece, NULL), 0);
			store_stream_close(&stream);
			store_reader_release(&reader);
		}
		care_for(account, 1800000000, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(columns_in_the_order_asked),
		store_test(a_mapping_shows_what_is_new),
		store_test(mails_from_the_middle),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

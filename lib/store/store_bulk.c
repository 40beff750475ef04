#include "store_bulk.h"

#include "store_internal.h"

enum { MAPPING_PAYS = 16, GAP_MAX = 2 };

#define MAP_MAX 2147418112 /* what SQLite maps at most; what lies behind it is read */
#define TEXT_OF(number) TEXT_OF_VALUE(number)
#define TEXT_OF_VALUE(number) #number

/* ---- mapping ---- */

/* The connection must allow it; then how much is said to its file, which costs no statement. */
static void map_file(struct store_reader *reader, sqlite3_int64 octets)
{
	/* what can't be mapped is read */
	sqlite3_file_control(reader->database.handle, "main", SQLITE_FCNTL_MMAP_SIZE, &octets);
}

bool bulk_prepare(struct store_reader *reader, struct fail **fail)
{
	bool done = database_execute(&reader->database, "PRAGMA mmap_size=" TEXT_OF(MAP_MAX), fail);
	map_file(reader, 0);
	return done;
}

/* ---- runs ---- */

/* How many from the first on ascend with few numbers left out between them. */
static size_t run_length(const uint64_t *messages, size_t count)
{
	size_t length = 1;
	while (length < count && messages[length] > messages[length - 1] &&
	       messages[length] - messages[0] < GAP_MAX * (length + 1))
		length++;
	return length;
}

static sqlite3_stmt *query_for(struct database *db, unsigned wanted)
{
	switch (wanted) {
	case STORE_COLUMN_STRUCTURE:
		return database_query(db, "SELECT message, structure, NULL FROM message WHERE message >= ? AND message <= ?");
	case STORE_COLUMN_HEADERS:
		return database_query(db, "SELECT message, NULL, headers FROM message WHERE message >= ? AND message <= ?");
	default:
		return database_query(db,
		                      "SELECT message, structure, headers FROM message WHERE message >= ? AND message <= ?");
	}
}

struct run {
	const uint64_t *messages;
	size_t length;
	size_t base; /* index of the first */
	const struct store_column_visitor *visitor;
	bool enough;
};

static bool visit_run(struct store_reader *reader, sqlite3_stmt *query, struct run *run, struct fail **fail)
{
	enum database_step step = DATABASE_DONE;
	size_t at = 0;
	bind_u64(query, 1, run->messages[0]);
	bind_u64(query, 2, run->messages[run->length - 1]);
	while (!run->enough && (step = database_step(&reader->database, query, fail)) == DATABASE_ROW) {
		uint64_t message = column_u64(query, 0);
		while (run->messages[at] < message)
			at++;
		if (run->messages[at] != message)
			continue;
		const struct store_message_columns columns = { .structure = column_bytes(query, 1),
			.headers = column_bytes(query, 2) };
		run->enough = !run->visitor->columns(run->visitor->context, run->base + at, &columns);
	}
	if (step == DATABASE_ROW)
		database_done(query);
	return step != DATABASE_FAILED;
}

bool store_read_many_columns(struct store_reader *reader, const uint64_t *messages, size_t count, unsigned wanted,
                             const struct store_column_visitor *visitor, struct fail **fail)
{
	struct run run = { .visitor = visitor };
	bool mapped = count >= MAPPING_PAYS, read = true;
	if (mapped)
		map_file(reader, MAP_MAX);
	for (size_t i = 0; read && !run.enough && i < count; i += run.length) {
		run.messages = messages + i;
		run.length = run_length(messages + i, count - i);
		run.base = i;
		read = visit_run(reader, query_for(&reader->database, wanted), &run, fail);
	}
	if (mapped)
		map_file(reader, 0);
	return read;
}

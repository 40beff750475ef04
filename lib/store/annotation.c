#include "annotation.h"

#include "store_internal.h"

void store_annotations_release(struct store_annotations *annotations)
{
	for (size_t i = 0; i < annotations->memory.count; i++)
		free(annotations->memory.items[i]);
	array_release(&annotations->memory);
	array_release(&annotations->list);
}

/* ---- writing ---- */

/* Another name may be added; what is only remembered as removed gives way. */
static bool check_room(struct store_txn *txn)
{
	uint64_t count = txn_number(txn, txn_query(txn, "SELECT count(*) FROM annotation"));
	if (count < LIMIT_ANNOTATIONS_MAX)
		return txn_ok(txn);
	sqlite3_stmt *forget = txn_query(txn, "DELETE FROM annotation WHERE value IS NULL AND modseq < ?");
	bind_u64(forget, 1, txn_modseq(txn));
	txn_run(txn, forget);
	count = txn_number(txn, txn_query(txn, "SELECT count(*) FROM annotation"));
	return count < LIMIT_ANNOTATIONS_MAX || txn_set_fail(txn, FAIL_LIMIT, "there are too many annotations");
}

static bool is_known(struct store_txn *txn, uint64_t mailbox, struct str entry)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT 1 FROM annotation WHERE mailbox = ? AND entry = ?");
	bind_u64(query, 1, mailbox);
	bind_text(query, 2, entry);
	return txn_number(txn, query);
}

/* No mailbox row has the modseq, and none may be given again after a restart. */
static bool keep_modseq(struct store_txn *txn)
{
	sqlite3_stmt *query = txn_query(txn, "UPDATE account SET modseq = max(modseq, ?)");
	bind_u64(query, 1, txn_modseq(txn));
	return txn_run(txn, query);
}

static bool write(struct store_txn *txn, uint64_t mailbox, struct str entry, struct str value)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO annotation(mailbox, entry, value, modseq) VALUES(?1, ?2, ?3, ?4)"
	                                     " ON CONFLICT(mailbox, entry) DO UPDATE SET value = ?3, modseq = ?4");
	bind_u64(query, 1, mailbox);
	bind_text(query, 2, entry);
	bind_bytes(query, 3, value);
	bind_u64(query, 4, txn_modseq(txn));
	return txn_run(txn, query) && keep_modseq(txn);
}

bool store_annotation_set(struct store_txn *txn, uint64_t mailbox, struct str entry, struct str value)
{
	if (value.length > LIMIT_ANNOTATION_SIZE_MAX)
		return txn_set_fail(txn, FAIL_TOO_BIG, "the annotation is too long");
	bool known = is_known(txn, mailbox, entry);
	if (!known && (!value.data || !check_room(txn)))
		return txn_ok(txn); /* nothing to remove, or no room */
	return write(txn, mailbox, entry, value);
}

bool annotation_copy(struct store_txn *txn, uint64_t from, uint64_t to)
{
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO annotation(mailbox, entry, value, modseq)"
	                                     " SELECT ?2, entry, value, ?3 FROM annotation WHERE mailbox = ?1 AND value NOT NULL");
	bind_u64(query, 1, from);
	bind_u64(query, 2, to);
	bind_u64(query, 3, txn_modseq(txn));
	return txn_run(txn, query);
}

bool annotation_drop(struct store_txn *txn, uint64_t mailbox)
{
	sqlite3_stmt *query = txn_query(txn, "DELETE FROM annotation WHERE mailbox = ?");
	bind_u64(query, 1, mailbox);
	return txn_run(txn, query);
}

/* ---- reading ---- */

static struct str keep(struct store_annotations *annotations, struct str bytes)
{
	if (!bytes.data)
		return (struct str){};
	char *copy = str_copy(bytes);
	*array_add(&annotations->memory) = copy;
	return str_from(copy, bytes.length);
}

/* A blob of no octets comes back as NULL, which is no value at all: the type tells them apart. */
static struct str column_value(sqlite3_stmt *query, int column)
{
	if (sqlite3_column_type(query, column) == SQLITE_NULL)
		return (struct str){};
	struct str value = column_bytes(query, column);
	return value.data ? value : STR("");
}

static bool read_rows(struct store_reader *reader, sqlite3_stmt *query, struct store_annotations *annotations,
                      struct fail **fail)
{
	enum database_step step;
	while ((step = database_step(&reader->database, query, fail)) == DATABASE_ROW)
		*array_add(&annotations->list) = (struct store_annotation){ .mailbox = column_u64(query, 0),
			                                                        .modseq = column_u64(query, 1),
			                                                        .entry = keep(annotations, column_bytes(query, 2)),
			                                                        .value = keep(annotations,
			                                                        	column_value(query, 3)) };
	return step == DATABASE_DONE;
}

bool store_read_annotations(struct store_reader *reader, uint64_t mailbox, struct store_annotations *annotations,
                            struct fail **fail)
{
	sqlite3_stmt *query = database_query(&reader->database, "SELECT mailbox, modseq, entry, value FROM annotation"
	                                                        " WHERE mailbox = ? AND value NOT NULL ORDER BY entry");
	bind_u64(query, 1, mailbox);
	return read_rows(reader, query, annotations, fail);
}

bool store_read_annotation_changes(struct store_reader *reader, uint64_t since, struct store_annotations *annotations,
                                   uint64_t *modseq, struct fail **fail)
{
	sqlite3_stmt *query = database_query(&reader->database, "SELECT mailbox, modseq, entry, NULL FROM annotation"
	                                                        " WHERE modseq > ? ORDER BY mailbox, entry");
	bind_u64(query, 1, since);
	if (!read_rows(reader, query, annotations, fail))
		return false;
	*modseq = since;
	for (size_t i = 0; i < annotations->list.count; i++)
		if (annotations->list.items[i].modseq > *modseq)
			*modseq = annotations->list.items[i].modseq;
	return true;
}

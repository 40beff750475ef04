/*
 * Columns of many messages at once, for lists: one statement for a run of neighbours, no copy of what is found, and
 * the database file mapped while it lasts, since a page that is mapped costs no system call. Nothing is mapped
 * between calls.
 */
#ifndef POSTHORN_STORE_STORE_BULK_H
#define POSTHORN_STORE_STORE_BULK_H

#include "store.h"

enum store_column {
	STORE_COLUMN_STRUCTURE = 1 << 0,
	STORE_COLUMN_HEADERS = 1 << 1,
};

/* Is told the columns of the message with that index; they die with the return. False: this is enough. It must
 * neither wait nor write to the store. */
struct store_column_visitor {
	bool (*columns)(void *context, size_t index, const struct store_message_columns *columns);
	void *context;
};

/* Visits the messages in the order given, without those that are gone; cheapest when their numbers ascend. wanted: enum
 * store_column; other columns are empty. Outside a snapshot each run of neighbours is of one state of its own. */
bool store_read_many_columns(struct store_reader *reader, const uint64_t *messages, size_t count, unsigned wanted,
                             const struct store_column_visitor *visitor, struct fail **fail);

#endif

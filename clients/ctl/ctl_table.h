/*
 * Rows of an answer, printed for people or for programs.
 *
 * For people: columns aligned by the width of characters on a terminal, names of columns first, nothing at all when
 * there are no rows; control characters and bytes that are not UTF-8 become \xNN, since some values were written by
 * strangers, and times are local. For programs: a JSON list of objects, each value a string. Text is printed at the
 * end, JSON row by row. A key that comes again in a row begins a further one, which shares what stood before that key
 * first.
 */
#ifndef POSTHORN_CTL_TABLE_H
#define POSTHORN_CTL_TABLE_H

#include "array.h"
#include "buf.h"
#include "str.h"

#include <stdio.h>

enum ctl_form { CTL_FORM_TABLE, CTL_FORM_LIST, CTL_FORM_JSON };

struct ctl_row;

struct ctl_table {
	FILE *out;
	enum ctl_form form;
	struct arena *memory;
	ARRAY(struct str) columns; /* in the order in which they first came */
	ARRAY(struct ctl_row *) rows;
	size_t row_count;
};

/* Adds text as it is shown to people. */
void ctl_visible_add(struct buf *out, struct str text);

/* The same for the value of a key, which may be a time; nothing for a time that never was. */
void ctl_value_add(struct buf *out, struct str key, struct str value);

/* Does not own out. */
void ctl_table_begin(struct ctl_table *table, enum ctl_form form, FILE *out);

/* For ctl_ask: owner is the table. */
void ctl_table_take(void *owner, struct str row);

/* Prints what is left and frees all. */
void ctl_table_end(struct ctl_table *table);

#endif

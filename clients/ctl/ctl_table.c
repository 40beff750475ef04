#include "ctl_table.h"

#include "arena.h"
#include "buf.h"
#include "ctl_link.h"
#include "text.h"

#include <jansson.h>
#include <stdlib.h>
#include <time.h>
#include <utf8proc.h>

/* A frame's worth of text, each octet of which may be escaped; and all rows of a large post office. */
enum { VALUE_MAX = LIMIT_IPC_FRAME_MAX * 4, COLUMNS_MAX = 100 };
static const size_t memory_max = (size_t)8 << 30;

/* One value per column; columns that came later than the row have none. */
struct ctl_row {
	size_t count;
	struct str values[];
};

void ctl_table_begin(struct ctl_table *table, enum ctl_form form, FILE *out)
{
	*table = (struct ctl_table){ .out = out, .form = form, .memory = arena_new(memory_max) };
	if (form == CTL_FORM_JSON)
		fputs("[", out);
}

/* Control characters could drive the terminal. */
static bool is_harmless(uint32_t code)
{
	return code >= 0x20 && code != 0x7f && (code < 0x80 || code > 0x9f) && code != 0x2028 && code != 0x2029 &&
	       utf8proc_category((utf8proc_int32_t)code) != UTF8PROC_CATEGORY_CF;
}

/* Octets of printable ASCII at the beginning: nearly all there are, and nothing has to be looked up for them. */
static size_t plain_length(struct str text)
{
	size_t length = 0;
	while (length < text.length && text.data[length] >= ' ' && text.data[length] <= '~')
		length++;
	return length;
}

static void add_visible(struct buf *out, struct str text, bool controls_too)
{
	for (size_t plain; text.length;) {
		uint32_t code;
		if ((plain = plain_length(text)) > 0) {
			buf_append(out, text.data, plain);
			text = str_from_index(text, plain);
			continue;
		}
		size_t length = text_utf8_next(text, &code);
		if (length && (controls_too || is_harmless(code)))
			buf_append(out, text.data, length);
		else
			for (size_t i = 0; i < (length ? length : 1); i++)
				buf_printf(out, "\\x%02x", (unsigned char)text.data[i]);
		text = str_from_index(text, length ? length : 1);
	}
}

void ctl_visible_add(struct buf *out, struct str text)
{
	add_visible(out, text, false);
}

/* Seconds since 1970 are for programs. */
static bool add_time(struct buf *out, struct str key, struct str value)
{
	static const char *const names[] = { "created", "purge-at", "last-used", "since", "time", "next" };
	uint64_t seconds;
	struct tm parts;
	bool is_time = false;
	for (size_t i = 0; i < COUNT_OF(names); i++)
		is_time |= str_equal(key, str_of(names[i]));
	if (!is_time || !str_to_u64(value, INT32_MAX, &seconds))
		return false;
	time_t when = (time_t)seconds;
	char text[32];
	if (seconds && localtime_r(&when, &parts) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts))
		buf_add_str(out, str_of(text));
	return true;
}

void ctl_value_add(struct buf *out, struct str key, struct str value)
{
	if (!add_time(out, key, value))
		add_visible(out, value, false);
}

static size_t width_of(struct str text)
{
	size_t width = plain_length(text), length;
	text = str_from_index(text, width);
	for (uint32_t code; text.length && (length = text_utf8_next(text, &code)) > 0; text = str_from_index(text, length))
		width += (size_t)utf8proc_charwidth((utf8proc_int32_t)code);
	return width;
}

static void print_json(struct ctl_table *table, struct str row)
{
	CLEANUP(buf_release) struct buf key_text = BUF_WITH_LIMIT(VALUE_MAX), text = BUF_WITH_LIMIT(VALUE_MAX);
	struct str key, value;
	json_t *object = json_object();
	while (ctl_row_next(&row, &key, &value)) {
		buf_clear(&key_text);
		buf_clear(&text);
		add_visible(&key_text, key, true);
		add_visible(&text, value, true);
		json_object_set_new(object, buf_text(&key_text), json_stringn(text.data ? text.data : "", text.length));
	}
	fputs(table->row_count ? ",\n" : "\n", table->out);
	char *dumped = json_dumps(object, JSON_COMPACT);
	must(dumped);
	fputs(dumped, table->out);
	free(dumped);
	json_decref(object);
}

static size_t column_of(struct ctl_table *table, struct str key)
{
	for (size_t i = 0; i < table->columns.count; i++)
		if (str_equal(table->columns.items[i], key))
			return i;
	if (table->columns.count == COLUMNS_MAX)
		return COLUMNS_MAX;
	*array_add(&table->columns) = arena_copy(table->memory, key);
	return table->columns.count - 1;
}

static void keep(struct ctl_table *table, struct str row)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(VALUE_MAX);
	struct str values[COLUMNS_MAX] = {}, key, value;
	while (ctl_row_next(&row, &key, &value)) {
		size_t column = column_of(table, key);
		buf_clear(&text);
		ctl_value_add(&text, key, value);
		if (column < COLUMNS_MAX)
			values[column] = arena_copy(table->memory, buf_str(&text));
	}
	struct ctl_row *kept = arena_alloc(table->memory, sizeof *kept + table->columns.count * sizeof values[0]);
	kept->count = table->columns.count;
	memcpy(kept->values, values, kept->count * sizeof values[0]);
	*array_add(&table->rows) = kept;
}

static void take_one(struct ctl_table *table, struct str row)
{
	if (table->form == CTL_FORM_JSON)
		print_json(table, row);
	else
		keep(table, row);
	table->row_count++;
}

/* Where the pair of this key stands in the row, or its end. */
static size_t find_key(struct str row, struct str wanted)
{
	struct str rest = row, key, value;
	while (rest.length) {
		size_t at = row.length - rest.length;
		if (!ctl_row_next(&rest, &key, &value))
			break;
		if (str_equal(key, wanted))
			return at;
	}
	return row.length;
}

void ctl_table_take(void *owner, struct str row)
{
	CLEANUP(buf_release) struct buf one = BUF_WITH_LIMIT(LIMIT_IPC_FRAME_MAX);
	struct str rest = row, key, value;
	size_t shared = 0;
	while (rest.length) {
		size_t at = row.length - rest.length;
		if (!ctl_row_next(&rest, &key, &value))
			break;
		if (find_key(buf_str(&one), key) < one.length) {
			take_one(owner, buf_str(&one));
			shared = shared ? shared : find_key(row, key);
			buf_truncate(&one, shared);
		}
		buf_append(&one, row.data + at, row.length - rest.length - at);
	}
	take_one(owner, buf_str(&one));
}

static struct str value_at(const struct ctl_row *row, size_t column)
{
	return column < row->count && row->values[column].length ? row->values[column] : STR("-");
}

static size_t column_width(const struct ctl_table *table, size_t column)
{
	size_t width = width_of(table->columns.items[column]);
	for (size_t i = 0; i < table->rows.count; i++) {
		size_t one = width_of(value_at(table->rows.items[i], column));
		width = one > width ? one : width;
	}
	return width;
}

static void print_padded(FILE *out, struct str text, size_t width)
{
	size_t own = width_of(text);
	fwrite(text.data, 1, text.length, out);
	fprintf(out, "%*s", own < width ? (int)(width - own) : 0, "");
}

static void print_upper(FILE *out, struct str text, size_t width)
{
	for (size_t i = 0; i < text.length; i++)
		putc(char_upper(text.data[i]), out);
	fprintf(out, "%*s", (int)(width - text.length), "");
}

static void print_table(const struct ctl_table *table)
{
	size_t widths[COLUMNS_MAX] = {}, last = table->columns.count - 1;
	for (size_t column = 0; column < last; column++)
		widths[column] = column_width(table, column) + 2;
	widths[last] = table->columns.items[last].length;
	for (size_t column = 0; column <= last; column++)
		print_upper(table->out, table->columns.items[column], widths[column]);
	putc('\n', table->out);
	for (size_t i = 0; i < table->rows.count; i++) {
		for (size_t column = 0; column < last; column++)
			print_padded(table->out, value_at(table->rows.items[i], column), widths[column]);
		print_padded(table->out, value_at(table->rows.items[i], last), 0);
		putc('\n', table->out);
	}
}

static void print_list(const struct ctl_table *table)
{
	size_t width = 0;
	for (size_t column = 0; column < table->columns.count; column++)
		width = table->columns.items[column].length > width ? table->columns.items[column].length : width;
	for (size_t i = 0; i < table->rows.count; i++) {
		if (i)
			putc('\n', table->out);
		for (size_t column = 0; column < table->rows.items[i]->count; column++) {
			if (!table->rows.items[i]->values[column].data)
				continue;
			print_padded(table->out, table->columns.items[column], width + 2);
			print_padded(table->out, value_at(table->rows.items[i], column), 0);
			putc('\n', table->out);
		}
	}
}

void ctl_table_end(struct ctl_table *table)
{
	if (table->form == CTL_FORM_JSON)
		fputs(table->row_count ? "\n]\n" : "]\n", table->out);
	else if (table->form == CTL_FORM_LIST)
		print_list(table);
	else if (table->columns.count)
		print_table(table);
	array_release(&table->columns);
	array_release(&table->rows);
	arena_free(table->memory);
}

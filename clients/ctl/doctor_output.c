#include "doctor_check.h"

#include "ctl_table.h"

#include <stdlib.h>

enum { LINE_MAX_OCTETS = 65536, TEXT_STRING_MAX = 255, WIDTH_MAX = 110, MARGIN = 22 };

struct doctor_output {
	FILE *out;
	bool json, zone;
	struct str subject;
	bool subject_is_shown;
	const char *check;
	struct ctl_table table;
};

static const char *const level_names[DOCTOR_LEVEL_COUNT] = { "ok", "note", "warning", "error" };

struct doctor_output *doctor_output_begin(const struct ctl_call *call, FILE *out)
{
	struct doctor_output *output = mem_alloc(sizeof *output);
	*output = (struct doctor_output){ .out = out, .json = call->json, .zone = call->zone };
	if (output->json)
		ctl_table_begin(&output->table, CTL_FORM_JSON, out);
	return output;
}

static void print_sum(const struct doctor *d)
{
	const unsigned *counts = d->counts;
	fprintf(d->output->out, "%u error%s, %u warning%s, %u note%s\n", counts[DOCTOR_ERROR],
	        counts[DOCTOR_ERROR] == 1 ? "" : "s", counts[DOCTOR_WARNING], counts[DOCTOR_WARNING] == 1 ? "" : "s",
	        counts[DOCTOR_NOTE], counts[DOCTOR_NOTE] == 1 ? "" : "s");
}

void doctor_output_end(struct doctor *d)
{
	if (d->output->json)
		ctl_table_end(&d->output->table);
	else if (!d->output->zone)
		print_sum(d);
	free(TAKE(d->output));
}

void doctor_output_about(struct doctor_output *output, struct str subject, const char *check)
{
	output->subject_is_shown &= str_equal(output->subject, subject);
	output->subject = subject;
	output->check = check;
}

static void add_pair(struct buf *row, const char *key, struct str value)
{
	buf_append(row, key, strlen(key) + 1);
	buf_add_str(row, value);
	buf_add_char(row, '\0');
}

static void take_row(struct doctor_output *output, const struct buf *row)
{
	if (!row->overflowed)
		ctl_table_take(&output->table, buf_str(row));
}

static void report_object(struct doctor_output *output, const struct doctor_finding *finding)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
	add_pair(&row, "level", str_of(level_names[finding->level]));
	add_pair(&row, "check", str_of(output->check));
	add_pair(&row, "subject", output->subject);
	add_pair(&row, "text", finding->text);
	add_pair(&row, "advice", finding->advice);
	add_pair(&row, "record", finding->record);
	take_row(output, &row);
}

/* Broken at blanks, so that it can be read beside its margin. */
static void print_wrapped(FILE *out, struct str text)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
	size_t column = MARGIN;
	struct str word;
	ctl_visible_add(&shown, text);
	struct str rest = buf_str(&shown);
	while (str_take_until(&rest, ' ', &word)) {
		if (column > MARGIN && column + 1 + word.length > WIDTH_MAX) {
			fprintf(out, "\n%*s", MARGIN, "");
			column = MARGIN;
		}
		fprintf(out, "%s%.*s", column > MARGIN ? " " : "", STR_ARG(word));
		column += word.length + (column > MARGIN);
	}
	fputc('\n', out);
}

/* A record is to be copied: it is never broken. */
static void print_record(FILE *out, struct str record)
{
	struct str line;
	while (str_take_until(&record, '\n', &line)) {
		CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
		ctl_visible_add(&shown, line);
		fprintf(out, "%*s    %s\n", MARGIN, "", buf_text(&shown));
	}
}

static void report_lines(struct doctor_output *output, const struct doctor_finding *finding)
{
	if (!output->subject_is_shown)
		fprintf(output->out, "%.*s\n", STR_ARG(output->subject));
	output->subject_is_shown = true;
	fprintf(output->out, "  %-7s %-11s ", level_names[finding->level], output->check);
	print_wrapped(output->out, finding->text);
	if (finding->advice.length) {
		fprintf(output->out, "%*s", MARGIN, "");
		print_wrapped(output->out, finding->advice);
	}
	print_record(output->out, finding->record);
	fflush(output->out);
}

void doctor_report(struct doctor *d, struct doctor_finding finding)
{
	d->counts[finding.level]++;
	if (d->output->zone)
		return;
	if (d->output->json)
		report_object(d->output, &finding);
	else
		report_lines(d->output, &finding);
}

static struct str say(struct doctor *d, const char *format, va_list arguments)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
	buf_vprintf(&text, format, arguments);
	return arena_copy(d->arena, buf_str(&text));
}

void doctor_ok(struct doctor *d, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	doctor_report(d, (struct doctor_finding){ DOCTOR_OK, .text = say(d, format, arguments) });
	va_end(arguments);
}

void doctor_note(struct doctor *d, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	doctor_report(d, (struct doctor_finding){ DOCTOR_NOTE, .text = say(d, format, arguments) });
	va_end(arguments);
}

struct str doctor_address(struct doctor *d, const struct endpoint *address)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(200);
	endpoint_print_ip(&text, address);
	return arena_copy(d->arena, buf_str(&text));
}

/* ---- records ---- */

struct str doctor_record(struct doctor *d, struct str owner, const char *type, struct str data)
{
	return arena_printf(d->arena, "%.*s. IN %s %.*s", STR_ARG(owner), type, STR_ARG(data));
}

/* RFC 1035 §5.1: inside quotes a quote and a backslash are escaped, and what is no printable character. */
struct str doctor_text_data(struct doctor *d, struct str text)
{
	CLEANUP(buf_release) struct buf data = BUF_WITH_LIMIT(LINE_MAX_OCTETS * 4);
	do {
		struct str piece = str_first(text, TEXT_STRING_MAX);
		buf_add_str(&data, data.length ? STR(" \"") : STR("\""));
		for (size_t i = 0; i < piece.length; i++) {
			char c = piece.data[i];
			if (c == '"' || c == '\\')
				buf_printf(&data, "\\%c", c);
			else if (c >= ' ' && c <= '~')
				buf_add_char(&data, c);
			else
				buf_printf(&data, "\\%03u", (unsigned char)c);
		}
		buf_add_char(&data, '"');
		text = str_from_index(text, piece.length);
	} while (text.length);
	return arena_copy(d->arena, buf_str(&data));
}

struct str doctor_text_record(struct doctor *d, struct str owner, struct str text)
{
	return doctor_record(d, owner, "TXT", doctor_text_data(d, text));
}

void doctor_zone_add(struct doctor *d, struct str owner, const char *type, struct str data)
{
	for (size_t i = 0; i < d->zone.count; i++) {
		const struct doctor_record *record = &d->zone.items[i];
		if (str_equal(record->owner, owner) && strcmp(record->type, type) == 0 && str_equal(record->data, data))
			return;
	}
	*array_add(&d->zone) = (struct doctor_record){ arena_copy(d->arena, owner), type, arena_copy(d->arena, data) };
}

/* The domain of ours that the record stands in, the longest one; none: somebody else's zone. */
static const struct str *zone_of(const struct doctor *d, struct str owner)
{
	const struct str *best = NULL;
	for (size_t i = 0; i < d->domains.count; i++) {
		const struct str *domain = &d->domains.items[i];
		if (dns_name_is_within(owner, *domain) && (!best || domain->length > best->length))
			best = domain;
	}
	return best;
}

static void print_zone_object(struct doctor *d, const struct str *zone, const struct doctor_record *record)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
	add_pair(&row, "zone", zone ? *zone : STR(""));
	add_pair(&row, "owner", record->owner);
	add_pair(&row, "type", str_of(record->type));
	add_pair(&row, "data", record->data);
	take_row(d->output, &row);
}

/* Those of other zones as comments: a name server takes no record that does not belong to its zone. */
static void print_zone_lines(struct doctor *d, const struct str *zone, FILE *out)
{
	bool is_begun = false;
	for (size_t i = 0; i < d->zone.count; i++) {
		const struct doctor_record *record = &d->zone.items[i];
		if (zone_of(d, record->owner) != zone)
			continue;
		if (!is_begun && zone)
			fprintf(out, "; %.*s\n", STR_ARG(*zone));
		else if (!is_begun)
			fprintf(out, "; elsewhere: ask those who keep these zones\n");
		is_begun = true;
		fprintf(out, "%s%.*s.\tIN\t%s\t%.*s\n", zone ? "" : "; ", STR_ARG(record->owner), record->type,
		        STR_ARG(record->data));
	}
}

void doctor_zone_print(struct doctor *d, FILE *out)
{
	if (d->call->json) {
		for (size_t i = 0; i < d->zone.count; i++)
			print_zone_object(d, zone_of(d, d->zone.items[i].owner), &d->zone.items[i]);
		return;
	}
	for (size_t i = 0; i < d->domains.count; i++)
		print_zone_lines(d, &d->domains.items[i], out);
	print_zone_lines(d, NULL, out);
}

#include "ctl_report.h"

#include "arena.h"
#include "ctl_table.h"
#include "dmarc_feedback.h"
#include "mime.h"
#include "sandbox.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20, PIECE = 65536, ROW_MAX = 32768 };

static bool read_file(const char *path, struct buf *out, struct fail **fail)
{
	bool is_pipe = str_equal(str_of(path), STR("-"));
	int file = is_pipe ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = 0;
	if (file < 0)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	for (char *room; (room = buf_reserve(out, PIECE)) && (length = read(file, room, PIECE)) > 0;)
		buf_claim(out, (size_t)length);
	close(file);
	if (length < 0)
		return fail_set_errno(fail, FAIL_IO, "%s", path);
	return length == 0 || fail_set(fail, FAIL_TOO_BIG, "%s is larger than %d octets", path, FILE_MAX);
}

static bool is_xml(struct str text)
{
	return str_starts(text, STR("\xef\xbb\xbf")) || str_starts(text, STR("\xff\xfe")) ||
	       str_starts(text, STR("\xfe\xff")) || str_starts(str_trim(str_first(text, 100)), STR("<"));
}

static bool is_packed(struct str text)
{
	return str_starts(text, STR("\x1f\x8b")) || str_starts(text, STR("PK\x03\x04"));
}

/* Many senders say octet-stream: what is inside counts. */
static bool may_hold_report(const struct mime_part *part)
{
	return part->kind == MIME_LEAF &&
	       (str_equal_nocase(part->type, STR("application")) || mime_is_type(part, STR("text"), STR("xml")));
}

static bool find_in_mail(struct arena *a, struct str mail, struct buf *xml, struct fail **fail)
{
	for (const struct mime_part *part = mime_parse(a, mail, NULL); part; part = mime_next(part)) {
		CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(FILE_MAX);
		if (!may_hold_report(part))
			continue;
		transfer_decode_all(part->encoding, mime_body(part, mail), &content);
		if (!is_packed(buf_str(&content)) && !is_xml(buf_str(&content)))
			continue;
		return dmarc_feedback_unpack(buf_str(&content), xml, fail);
	}
	return fail_set(fail, FAIL_INVALID, "there is no report in it");
}

static bool find_report(struct arena *a, struct str content, struct buf *xml, struct fail **fail)
{
	if (is_xml(content) || is_packed(content))
		return dmarc_feedback_unpack(content, xml, fail);
	return find_in_mail(a, content, xml, fail);
}

/* ---- printing ---- */

static void add(struct buf *row, const char *name, struct str value)
{
	buf_append(row, name, strlen(name) + 1);
	for (size_t i = 0; i < value.length; i++)
		buf_add_char(row, value.data[i] ? value.data[i] : ' ');
	buf_add_char(row, '\0');
}

static struct str time_text(struct arena *a, struct str seconds)
{
	uint64_t number;
	struct tm tm;
	char text[32];
	if (!str_to_u64(seconds, INT32_MAX, &number))
		return seconds;
	time_t when = (time_t)number;
	must(gmtime_r(&when, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm));
	return arena_copy(a, str_of(text));
}

static void print_line(FILE *out, const char *name, struct str value)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(ROW_MAX);
	if (!value.length)
		return;
	ctl_visible_add(&text, value);
	fprintf(out, "%-14s%s\n", name, buf_text(&text));
}

static void print_head(struct arena *a, const struct dmarc_feedback *f, FILE *out)
{
	print_line(out, "organisation", f->organisation);
	print_line(out, "contact", f->contact);
	print_line(out, "report", f->id);
	print_line(out, "begin", time_text(a, f->begin));
	print_line(out, "end", time_text(a, f->end));
	print_line(out, "domain", f->domain);
	print_line(out, "policy", f->policy);
	print_line(out, "subdomains", f->subdomain_policy);
	print_line(out, "error", f->error);
	fputc('\n', out);
}

static void add_head(struct arena *a, const struct dmarc_feedback *f, struct buf *row)
{
	add(row, "organisation", f->organisation);
	add(row, "report", f->id);
	add(row, "begin", time_text(a, f->begin));
	add(row, "end", time_text(a, f->end));
	add(row, "domain", f->domain);
	add(row, "policy", f->policy);
}

static void add_row(const struct dmarc_feedback_row *from, struct buf *row)
{
	add(row, "source", from->source);
	add(row, "count", from->count);
	add(row, "disposition", from->disposition);
	add(row, "dkim", from->dkim);
	add(row, "spf", from->spf);
	add(row, "header-from", from->header_from);
	add(row, "envelope-from", from->envelope_from);
	add(row, "results", from->results);
	add(row, "reason", from->reason);
}

static void print(struct arena *a, const struct dmarc_feedback *f, bool json, FILE *out)
{
	struct ctl_table table;
	if (!json)
		print_head(a, f, out);
	ctl_table_begin(&table, json ? CTL_FORM_JSON : CTL_FORM_TABLE, out);
	for (size_t i = 0; i < f->rows.count; i++) {
		CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
		if (json)
			add_head(a, f, &row);
		add_row(&f->rows.items[i], &row);
		ctl_table_take(&table, buf_str(&row));
	}
	ctl_table_end(&table);
}

/* Where the kernel has no sandbox it is read all the same. */
static void confine(void)
{
#ifndef SANITIZED /* the leak checker opens files at the end */
	CLEANUP(fail_free) struct fail *unconfined = NULL;
	sandbox_enter(&(struct sandbox){}, &unconfined);
#endif
}

bool ctl_report_run(const struct ctl_call *call, FILE *out, struct fail **fail)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(DMARC_FEEDBACK_ARENA_MAX);
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(FILE_MAX);
	CLEANUP(buf_release) struct buf xml = BUF_WITH_LIMIT(DMARC_FEEDBACK_SIZE_MAX);
	CLEANUP(dmarc_feedback_release) struct dmarc_feedback feedback = {};
	if (!read_file(call->arguments[0], &content, fail))
		return false;
	confine();
	if (!find_report(a, buf_str(&content), &xml, fail) || !dmarc_feedback_read(a, buf_str(&xml), &feedback, fail))
		return fail_prefix(fail, "%s", call->arguments[0]);
	print(a, &feedback, call->json, out);
	return true;
}

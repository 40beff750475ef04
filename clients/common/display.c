#include "display.h"

#include "encoded_word.h"
#include "header.h"
#include "limits.h"
#include "mail_envelope.h"
#include "text.h"

#include <time.h>
#include <utf8proc.h>

enum { MARKS_MAX = 4, REPLACEMENT = 0xfffd, SUMMARY_MAX = 4 * DISPLAY_TEXT_MAX, ADDRESSES_SHOWN_MAX = 100 };

static const struct str ellipsis = { "…", sizeof "…" - 1 };

static bool is_white(uint32_t code)
{
	return code == ' ' || (code >= '\t' && code <= '\r');
}

/* U+200C and U+200D join and part letters: Persian and many emoji can't be written without. */
static bool is_joiner(uint32_t code)
{
	return code == 0x200c || code == 0x200d;
}

static bool is_harmful(uint32_t code)
{
	switch (utf8proc_category((utf8proc_int32_t)code)) {
	case UTF8PROC_CATEGORY_CC:
	case UTF8PROC_CATEGORY_CS:
	case UTF8PROC_CATEGORY_CN:
	case UTF8PROC_CATEGORY_CO:
	case UTF8PROC_CATEGORY_ZL:
	case UTF8PROC_CATEGORY_ZP:
		return true;
	case UTF8PROC_CATEGORY_CF:
		return !is_joiner(code);
	default:
		return false;
	}
}

static bool is_mark(uint32_t code)
{
	utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
	return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME;
}

/* One character after another on its way out. */
struct filter {
	struct buf *out;
	bool keeps_lines;
	bool blank;       /* a blank is due before the next character */
	bool begun;
	unsigned marks;
};

static void add_white(struct filter *f, uint32_t code)
{
	f->marks = 0;
	if (!f->keeps_lines)
		f->blank = f->begun;
	else if (code != '\r')
		buf_add_char(f->out, (char)(code == '\v' || code == '\f' ? ' ' : code));
}

static void add_code(struct filter *f, uint32_t code)
{
	if (is_white(code)) {
		add_white(f, code);
		return;
	}
	f->marks = is_mark(code) ? f->marks + 1 : 0;
	if (f->marks > MARKS_MAX)
		return;
	if (f->blank)
		buf_add_char(f->out, ' ');
	f->blank = false;
	f->begun = true;
	text_utf8_add(f->out, is_harmful(code) ? REPLACEMENT : code);
}

static void filter(struct buf *out, struct str text, bool keeps_lines)
{
	struct filter f = { .out = out, .keeps_lines = keeps_lines };
	while (text.length) {
		uint32_t code;
		size_t length = text_utf8_next(text, &code);
		add_code(&f, length ? code : REPLACEMENT);
		text = str_from_index(text, length ? length : 1);
	}
}

/* Where a text of at most that many octets may be cut: between characters. */
static struct str cut(struct str text, size_t max)
{
	if (text.length <= max)
		return text;
	while (max > 0 && ((unsigned char)text.data[max] & 0xc0) == 0x80)
		max--;
	return str_first(text, max);
}

void display_text(struct buf *out, struct str text)
{
	struct str shown = cut(text, DISPLAY_TEXT_MAX);
	filter(out, shown, false);
	if (shown.length < text.length)
		buf_add_str(out, ellipsis);
}

void display_header(struct buf *out, struct str value)
{
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(8 * LIMIT_CLIENT_HEADER_MAX);
	encoded_word_decode(&decoded, str_first(value, LIMIT_CLIENT_HEADER_MAX));
	display_text(out, buf_str(&decoded));
}

static void add_address(struct buf *out, const struct address *address)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(SUMMARY_MAX);
	CLEANUP(buf_release) struct buf mailbox = BUF_WITH_LIMIT(SUMMARY_MAX);
	display_header(&name, address->name);
	buf_printf(&mailbox, "%.*s", STR_ARG(address->mailbox));
	if (address->host.length)
		buf_printf(&mailbox, "@%.*s", STR_ARG(address->host));
	if (name.length) {
		buf_add_str(out, buf_str(&name));
		buf_add_str(out, STR(" <"));
	}
	display_text(out, buf_str(&mailbox));
	if (name.length)
		buf_add_char(out, '>');
}

/* "Name <local@host>, …": the address is always shown, because a name can say anything. */
static void display_addresses(struct buf *out, const struct address_list *list)
{
	const char *comma = "";
	size_t shown = 0;
	for (const struct address *address = list->first; address; address = address->next) {
		if (!address_is_mailbox(address))
			continue;
		buf_add_str(out, str_of(comma));
		if (shown++ == ADDRESSES_SHOWN_MAX || out->length > DISPLAY_TEXT_MAX) {
			buf_add_str(out, ellipsis);
			return;
		}
		add_address(out, address);
		comma = ", ";
	}
}

/* "2002-01-05T10:11:12+01:00", RFC 3339 §5.6. */
static void display_date(struct buf *out, struct date date)
{
	char zone = date.zone_minutes < 0 ? '-' : '+';
	int minutes = date.zone_minutes < 0 ? -date.zone_minutes : date.zone_minutes;
	time_t local = (time_t)(date.seconds + (int64_t)date.zone_minutes * 60);
	struct tm clock;
	if (!gmtime_r(&local, &clock))
		return;
	buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d%c%02d:%02d", clock.tm_year + 1900, clock.tm_mon + 1, clock.tm_mday,
	           clock.tm_hour, clock.tm_min, clock.tm_sec, zone, minutes / 60, minutes % 60);
}

void display_lines(struct buf *out, struct str text)
{
	filter(out, text, true);
}

void display_wire(struct buf *out, struct str line)
{
	while (line.length) {
		uint32_t code;
		size_t length = text_utf8_next(line, &code);
		bool shown = length && (code == '\t' || !is_harmful(code));
		length = length ? length : 1;
		if (shown)
			buf_append(out, line.data, length);
		for (size_t i = 0; !shown && i < length; i++)
			buf_printf(out, "\\x%02x", (unsigned char)line.data[i]);
		line = str_from_index(line, length);
	}
}

void display_column(struct buf *out, struct str text, size_t columns)
{
	size_t used = 0;
	while (text.length && used < columns) {
		uint32_t code;
		size_t length = text_utf8_next(text, &code);
		int wide = utf8proc_charwidth((utf8proc_int32_t)code);
		size_t width = length && wide > 0 ? (size_t)wide : 0;
		if (length == 0)
			break;
		if (used + width > columns || (used + width == columns && text.length > length)) {
			buf_add_str(out, ellipsis);
			used++;
			break;
		}
		buf_append(out, text.data, length);
		used += width;
		text = str_from_index(text, length);
	}
	for (; used < columns; used++)
		buf_add_char(out, ' ');
}

/* ---- summaries ---- */

void display_summary_init(struct display_summary *s)
{
	*s = (struct display_summary){ BUF_WITH_LIMIT(SUMMARY_MAX), BUF_WITH_LIMIT(SUMMARY_MAX),
		                           BUF_WITH_LIMIT(SUMMARY_MAX), BUF_WITH_LIMIT(SUMMARY_MAX),
		                           BUF_WITH_LIMIT(SUMMARY_MAX) };
}

void display_summary_release(struct display_summary *s)
{
	buf_release(&s->from);
	buf_release(&s->to);
	buf_release(&s->cc);
	buf_release(&s->subject);
	buf_release(&s->date);
}

static void clear(struct display_summary *s)
{
	buf_clear(&s->from);
	buf_clear(&s->to);
	buf_clear(&s->cc);
	buf_clear(&s->subject);
	buf_clear(&s->date);
}

void display_summary_take(struct display_summary *s, struct str header)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new((size_t)64 * LIMIT_CLIENT_HEADER_MAX);
	struct mail_envelope envelope = {};
	struct header_reader reader;
	struct header_field field;
	struct date date;
	size_t addresses = LIMIT_ADDRESSES_MAX;
	clear(s);
	header_begin(&reader, str_first(header, LIMIT_CLIENT_HEADER_MAX));
	while (header_next(&reader, &field))
		mail_envelope_add(arena, &envelope, &field, &addresses);
	mail_envelope_finish(&envelope);
	display_addresses(&s->from, &envelope.from);
	display_addresses(&s->to, &envelope.to);
	display_addresses(&s->cc, &envelope.cc);
	display_header(&s->subject, envelope.subject);
	if (date_parse(envelope.date, &date))
		display_date(&s->date, date);
}

#include "imap_write.h"

#include "calendar.h"
#include "text.h"

#include <stdlib.h>

enum { QUOTED_MAX = 1000 }; /* longer strings go as literals, which clients read without looking at each byte */

enum string_form { ATOM_FORM, QUOTED_FORM, ESCAPED_FORM, LITERAL_FORM };

enum need { QUOTES = 1, BACKSLASH = 2, EIGHT_BITS = 4, LITERAL = 8 };

/* What a byte needs to stand in an astring. A tab and the like are legal in quotes, but not all clients take them
 * there. */
static const unsigned char needs[256] = {
	[0 ... 0x1f] = LITERAL, [0x7f] = LITERAL, [0x80 ... 0xff] = EIGHT_BITS,
	['"'] = BACKSLASH, ['\\'] = BACKSLASH,
	['('] = QUOTES, [')'] = QUOTES, ['{'] = QUOTES, [' '] = QUOTES, ['%'] = QUOTES, ['*'] = QUOTES, ['['] = QUOTES,
};

static enum string_form form_of(struct str s, bool utf8)
{
	unsigned all = 0;
	if (s.length > QUOTED_MAX)
		return LITERAL_FORM;
	for (size_t i = 0; i < s.length; i++)
		all |= needs[(unsigned char)s.data[i]];
	if (all & LITERAL || (all & EIGHT_BITS && (!utf8 || !text_is_utf8(s))))
		return LITERAL_FORM;
	if (all & BACKSLASH)
		return ESCAPED_FORM;
	return all || s.length == 0 ? QUOTED_FORM : ATOM_FORM;
}

static void write_escaped(struct buf *out, struct str s)
{
	char *room = buf_reserve(out, 2 * s.length + 2);
	if (!room)
		return;
	size_t length = 0;
	room[length++] = '"';
	for (size_t i = 0; i < s.length; i++) {
		if (s.data[i] == '"' || s.data[i] == '\\')
			room[length++] = '\\';
		room[length++] = s.data[i];
	}
	room[length++] = '"';
	buf_claim(out, length);
}

static void write_quoted(struct buf *out, struct str s)
{
	char *room = buf_reserve(out, s.length + 2);
	if (!room)
		return;
	room[0] = '"';
	if (s.length)
		memcpy(room + 1, s.data, s.length);
	room[s.length + 1] = '"';
	buf_claim(out, s.length + 2);
}

/* No NUL may be in a literal (RFC 9051 §4.3); the length stays, because it was told elsewhere. */
static void write_literal(struct buf *out, struct str s)
{
	buf_add_char(out, '{');
	buf_add_u64(out, s.length);
	buf_add_str(out, STR("}\r\n"));
	size_t start = out->length;
	if (!buf_add_str(out, s))
		return;
	char *end = out->data + out->length;
	for (char *nul = out->data + start; nul < end && (nul = memchr(nul, '\0', (size_t)(end - nul))); nul++)
		*nul = (char)0x80;
}

static void write_form(struct buf *out, struct str s, enum string_form form)
{
	switch (form) {
	case ATOM_FORM: buf_add_str(out, s); break;
	case QUOTED_FORM: write_quoted(out, s); break;
	case ESCAPED_FORM: write_escaped(out, s); break;
	case LITERAL_FORM: write_literal(out, s); break;
	}
}

void imap_write_string(struct buf *out, struct str s, bool utf8)
{
	enum string_form form = form_of(s, utf8);
	write_form(out, s, form == ATOM_FORM ? QUOTED_FORM : form);
}

void imap_write_nstring(struct buf *out, struct str s, bool utf8)
{
	if (s.data)
		imap_write_string(out, s, utf8);
	else
		buf_add_str(out, STR("NIL"));
}

void imap_write_astring(struct buf *out, struct str s, bool utf8)
{
	/* an atom NIL could be taken for nothing */
	bool is_nil = str_equal_nocase(s, STR("NIL"));
	enum string_form form = form_of(s, utf8);
	write_form(out, s, is_nil ? QUOTED_FORM : form);
}

void imap_write_mailbox(struct buf *out, struct str name, bool utf8)
{
	if (utf8 || (text_is_ascii(name) && str_find_char(name, '&') == name.length)) {
		imap_write_astring(out, name, utf8);
		return;
	}
	CLEANUP(buf_release) struct buf encoded = BUF_WITH_LIMIT(8 * name.length + 8);
	imap_mutf7_encode(&encoded, name);
	imap_write_astring(out, buf_str(&encoded), false);
}

static char *put_two(char *to, unsigned number)
{
	to[0] = (char)('0' + number / 10 % 10);
	to[1] = (char)('0' + number % 10);
	return to + 2;
}

void imap_write_date_time(struct buf *out, int64_t seconds, int zone_minutes)
{
	/* four digits of a year are all that the grammar has */
	static const int64_t first = -62167219200, last = 253402300799;
	seconds = seconds < first ? first : seconds > last ? last : seconds;
	int64_t there = seconds + (int64_t)zone_minutes * 60;
	bool fits = there >= first && there <= last && abs(zone_minutes) < 100 * 60;
	unsigned zone = fits ? (unsigned)abs(zone_minutes) : 0;
	seconds = fits ? there : seconds;
	int64_t days = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
	unsigned second = (unsigned)(seconds - days * 86400);
	struct calendar_day day = calendar_day(days);
	char text[28] = "\"DD-Mon-YYYY HH:MM:SS +0000\"";
	put_two(text + 1, day.day);
	if (day.day < 10)
		text[1] = ' ';
	memcpy(text + 4, calendar_month_name(day.month).data, 3);
	put_two(put_two(text + 8, (unsigned)(day.year / 100)), (unsigned)(day.year % 100));
	put_two(text + 13, second / 3600);
	put_two(text + 16, second / 60 % 60);
	put_two(text + 19, second % 60);
	text[22] = fits && zone_minutes < 0 ? '-' : '+';
	put_two(put_two(text + 23, zone / 60), zone % 60);
	buf_append(out, text, sizeof text);
}

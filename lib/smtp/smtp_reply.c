#include "smtp_reply.h"

#include "limits.h"

#include <stdio.h>

enum { LINE_MAX_OCTETS = 512 }; /* with CRLF, RFC 5321 §4.5.3.1.5 */

/* "250-2.1.0 ": returns how many octets of text fit behind it. */
static size_t add_prefix(struct buf *out, int code, bool more, const char *enhanced)
{
	must(code >= 200 && code <= 599);
	size_t start = out->length;
	buf_add_u64(out, (uint64_t)code);
	buf_add_char(out, more ? '-' : ' ');
	if (enhanced) {
		buf_add_str(out, str_of(enhanced));
		buf_add_char(out, ' ');
	}
	return LINE_MAX_OCTETS - 2 - (out->length - start);
}

static void add_escaped(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		if (byte >= 0x20 && byte < 0x7f)
			buf_add_char(out, (char)byte);
		else
			buf_printf(out, "\\x%02x", byte);
	}
}

/* One line as it stands: nearly all replies are fixed texts. */
static bool add_plain(struct buf *out, int code, const char *enhanced, struct str text)
{
	size_t room = LINE_MAX_OCTETS - 2 - 4 - (enhanced ? strlen(enhanced) + 1 : 0);
	if (text.length > room || !str_is_printable(text))
		return false;
	add_prefix(out, code, false, enhanced);
	buf_add_str(out, text);
	buf_add_str(out, STR("\r\n"));
	return true;
}

void smtp_reply_add_line(struct buf *out, int code, bool more, const char *enhanced, struct str text)
{
	CLEANUP(buf_release) struct buf escaped = BUF_WITH_LIMIT(LINE_MAX_OCTETS * 4);
	add_escaped(&escaped, str_first(text, LINE_MAX_OCTETS));
	size_t room = add_prefix(out, code, more, enhanced);
	buf_add_str(out, str_first(buf_str(&escaped), room));
	buf_add_str(out, STR("\r\n"));
}

/* Where to break a text that does not fit: behind the last space if that leaves most of the line in use. */
static size_t break_at(struct str text, size_t room)
{
	size_t space = str_find_last_char(str_first(text, room), ' ');
	return space < room && space > room / 2 ? space + 1 : room;
}

static void add_text(struct buf *out, int code, const char *enhanced, struct str text)
{
	if (add_plain(out, code, enhanced, text))
		return;
	CLEANUP(buf_release) struct buf escaped = BUF_WITH_LIMIT(LIMIT_SMTP_REPLY_TEXT_MAX * 4 + 3);
	add_escaped(&escaped, str_first(text, LIMIT_SMTP_REPLY_TEXT_MAX));
	if (text.length > LIMIT_SMTP_REPLY_TEXT_MAX)
		buf_add_str(&escaped, STR("..."));
	struct str rest = buf_str(&escaped);
	size_t room = LINE_MAX_OCTETS - 2 - 4 - (enhanced ? strlen(enhanced) + 1 : 0);
	do {
		size_t length = rest.length > room ? break_at(rest, room) : rest.length;
		add_prefix(out, code, length < rest.length, enhanced);
		buf_add_str(out, str_first(rest, length));
		buf_add_str(out, STR("\r\n"));
		rest = str_from_index(rest, length);
	} while (rest.length);
}

void smtp_reply_add(struct buf *out, const struct smtp_reply *reply)
{
	add_text(out, reply->code, reply->enhanced, str_of(reply->text));
}

void smtp_reply_printf(struct buf *out, int code, const char *enhanced, const char *format, ...)
{
	char text[LIMIT_SMTP_REPLY_TEXT_MAX + 2];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	must(length >= 0);
	add_text(out, code, enhanced, str_from(text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1));
}

const struct smtp_reply *smtp_reply_of_fail(enum fail_kind kind, bool final)
{
	static const struct smtp_reply replies[FAIL_KIND_COUNT] = {
		[FAIL_NOT_FOUND] = { 550, "5.1.1", "No such mailbox here" },
		[FAIL_EXISTS] = { 550, "5.3.0", "It exists already" },
		[FAIL_DENIED] = { 550, "5.7.1", "Not allowed" },
		[FAIL_INVALID] = { 501, "5.5.4", "The request makes no sense" },
		[FAIL_OVER_QUOTA] = { 452, "4.2.2", "The mailbox is full, try again later" },
		[FAIL_TOO_BIG] = { 552, "5.3.4", "The message is larger than allowed here" },
		[FAIL_LIMIT] = { 452, "4.5.3", "Too many for one transaction" },
		[FAIL_BUSY] = { 450, "4.2.0", "The mailbox is busy, try again later" },
		[FAIL_CORRUPT] = { 451, "4.3.0", "Internal error, try again later" },
		[FAIL_IO] = { 451, "4.3.0", "Internal error, try again later" },
		[FAIL_NO_SPACE] = { 452, "4.3.1", "No space left, try again later" },
		[FAIL_UNAVAILABLE] = { 451, "4.3.0", "Temporarily unavailable, try again later" },
		[FAIL_TIMEOUT] = { 451, "4.3.0", "That took too long, try again later" },
	};
	static const struct smtp_reply over_quota = { 552, "5.2.2", "The mailbox is full" };
	static const struct smtp_reply limit = { 550, "5.5.3", "Too many for one transaction" };
	must((size_t)kind < FAIL_KIND_COUNT);
	if (final && kind == FAIL_OVER_QUOTA)
		return &over_quota;
	if (final && kind == FAIL_LIMIT)
		return &limit;
	return &replies[kind];
}

void smtp_reply_reader_init(struct smtp_reply_reader *r)
{
	*r = (struct smtp_reply_reader){ .text = BUF_WITH_LIMIT(LIMIT_SMTP_REPLY_LINES_MAX * LIMIT_SMTP_REPLY_LINE_MAX),
		                             .line = BUF_WITH_LIMIT(LIMIT_SMTP_REPLY_LINE_MAX) };
}

void smtp_reply_reader_release(struct smtp_reply_reader *r)
{
	buf_release(&r->text);
	buf_release(&r->line);
}

void smtp_reply_reader_clear(struct smtp_reply_reader *r)
{
	r->code = r->class = r->subject = r->detail = 0;
	r->lines = 0;
	buf_clear(&r->text);
	buf_clear(&r->line);
}

/* RFC 2034 §4: class "." subject "." detail, then a space or the end; the class is that of the code. */
static void parse_enhanced(struct smtp_reply_reader *r, struct str text)
{
	struct str word = str_first(text, str_find_char(text, ' ')), part;
	uint64_t number[3];
	for (size_t i = 0; i < 3; i++)
		if (!str_take_until(&word, '.', &part) || !str_to_u64(part, i ? 999 : 5, &number[i]))
			return;
	if (word.length || number[0] != (uint64_t)r->code / 100)
		return;
	r->class = (int)number[0];
	r->subject = (int)number[1];
	r->detail = (int)number[2];
}

static enum smtp_reply_state take_line(struct smtp_reply_reader *r, struct str line)
{
	uint64_t code;
	if (++r->lines > LIMIT_SMTP_REPLY_LINES_MAX || line.length < 3 || !str_to_u64(str_first(line, 3), 599, &code) ||
	    code < 200)
		return SMTP_REPLY_BAD;
	char separator = line.length > 3 ? line.data[3] : ' ';
	if (separator != ' ' && separator != '-')
		return SMTP_REPLY_BAD;
	struct str text = str_from_index(line, 4);
	/* RFC 5321 §4.2.1: it is the same in all; where it is not, other clients go by the last one. */
	if ((int)code != r->code) {
		r->code = (int)code;
		r->class = r->subject = r->detail = 0;
		parse_enhanced(r, text);
	}
	if (r->lines > 1)
		buf_add_char(&r->text, '\n');
	buf_add_str(&r->text, text);
	return separator == '-' ? SMTP_REPLY_MORE : SMTP_REPLY_DONE;
}

enum smtp_reply_state smtp_reply_read(struct smtp_reply_reader *r, struct str input, size_t *used)
{
	*used = 0;
	while (*used < input.length) {
		struct str rest = str_from_index(input, *used);
		size_t end = str_find_char(rest, '\n');
		size_t taken = end < rest.length ? end + 1 : end;
		*used += taken;
		if (memchr(rest.data, '\0', taken) || !buf_append(&r->line, rest.data, taken))
			return SMTP_REPLY_BAD;
		if (end == rest.length)
			break;
		struct str line = str_first(buf_str(&r->line), r->line.length - 1);
		if (line.length && line.data[line.length - 1] == '\r')
			line.length--;
		enum smtp_reply_state state = take_line(r, line);
		buf_clear(&r->line);
		if (state != SMTP_REPLY_MORE)
			return state;
	}
	return SMTP_REPLY_MORE;
}

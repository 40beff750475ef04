#include "encoded_word.h"

#include "ascii.h"
#include "charset.h"
#include "header.h"
#include "text.h"
#include "transfer.h"

enum { CHARSET_LENGTH_MAX = 60, WORD_LENGTH_MAX = 75, LINE_LENGTH = 76 };

struct word {
	struct str charset;
	char encoding; /* 'b' or 'q' */
	struct str content;
	size_t length; /* from "=?" to "?=" */
};

/* end is where the next "?=" at or behind a place stands; it only moves on, so that all searches for it are
 * linear together. */
struct reader {
	struct str text;
	size_t end;
};

static struct str from_index(const struct reader *r, size_t i)
{
	return str_from_index(r->text, i);
}

static bool find_end(struct reader *r, size_t start)
{
	if (r->end < start)
		r->end = start + str_find(from_index(r, start), STR("?="));
	return r->end < r->text.length;
}

static bool is_charset_char(char c)
{
	return (unsigned char)c > 0x20 && (unsigned char)c < 0x7f && !memchr("()<>@,;\"/[]?=", c, 13);
}

/* RFC 2047 §2. A beginning of another word within it shows that its own end is missing. */
static bool read_word(struct reader *r, size_t start, struct word *word)
{
	struct str s = from_index(r, start);
	size_t i = 2;
	while (i < s.length && i < CHARSET_LENGTH_MAX && is_charset_char(s.data[i]))
		i++;
	if (i == 2 || i + 3 > s.length || s.data[i] != '?' || s.data[i + 2] != '?')
		return false;
	word->charset = str_from(s.data + 2, i - 2);
	word->charset = str_first(word->charset, str_find_char(word->charset, '*')); /* RFC 2231 §5 */
	word->encoding = char_lower(s.data[i + 1]);
	if ((word->encoding != 'b' && word->encoding != 'q') || !find_end(r, start + i + 3))
		return false;
	word->content = str_from(s.data + i + 3, r->end - start - i - 3);
	word->length = r->end + 2 - start;
	return str_find(word->content, STR("=?")) == word->content.length;
}

/* RFC 2047 §4.2 */
static void decode_q(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.length; i++) {
		char c = s.data[i];
		int high = c == '=' && i + 2 < s.length ? text_hex_value(s.data[i + 1]) : -1;
		int low = high >= 0 ? text_hex_value(s.data[i + 2]) : -1;
		if (low >= 0) {
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '_' || c == '\r' || c == '\n') {
			c = ' ';
		}
		buf_add_char(out, c);
	}
}

/* Controls that were hidden in a word must not reach a line of a protocol or a screen. */
static void add_converted(struct buf *out, struct str charset, struct str bytes)
{
	size_t before = out->length;
	charset_to_utf8(out, charset, bytes);
	for (size_t i = before; i < out->length; i++)
		if ((unsigned char)out->data[i] < 0x20)
			out->data[i] = ' ';
}

static void add_plain(struct buf *out, struct str text, struct buf *scratch)
{
	if (ascii_only(text)) {
		header_unfold_add(out, text);
		return;
	}
	buf_clear(scratch);
	header_unfold_add(scratch, text);
	charset_guess_to_utf8(out, buf_str(scratch));
	buf_clear(scratch);
}

/* Words of one charset side by side are converted as one text, since a character may be split between them.
 * bytes holds what was decoded of them. */
static void decode_words(struct buf *out, struct reader *r, struct buf *bytes)
{
	struct str charset = {};
	size_t plain = 0; /* where the text begins that is not given out yet */
	for (size_t i = 0; (i += str_find(from_index(r, i), STR("=?"))) < r->text.length;) {
		struct word word;
		if (!read_word(r, i, &word)) {
			i += 2;
			continue;
		}
		struct str between = str_from(r->text.data + plain, i - plain);
		bool adjacent = charset.data && str_trim(between).length == 0; /* RFC 2047 §6.2 */
		if (charset.data && (!adjacent || !str_equal_nocase(charset, word.charset))) {
			add_converted(out, charset, buf_str(bytes));
			buf_clear(bytes);
		}
		if (!adjacent)
			add_plain(out, between, bytes);
		charset = word.charset;
		if (word.encoding == 'q')
			decode_q(bytes, word.content);
		else
			transfer_decode_all(TRANSFER_BASE64, word.content, bytes);
		plain = i += word.length;
	}
	if (charset.data)
		add_converted(out, charset, buf_str(bytes));
	add_plain(out, from_index(r, plain), bytes);
}

static bool may_change(struct str text)
{
	return str_find(text, STR("=?")) < text.length || !ascii_only(text);
}

void encoded_word_decode(struct buf *out, struct str text)
{
	if (!may_change(text)) {
		header_unfold_add(out, text);
		return;
	}
	struct reader r = { .text = text };
	CLEANUP(buf_release) struct buf bytes = BUF_WITH_LIMIT(text.length);
	decode_words(out, &r, &bytes);
}

/* RFC 2047 §5 (3): what may stand in a phrase as it is. */
static bool is_q_safe(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (c && strchr("!*+-/", c));
}

static size_t q_length(struct str s)
{
	size_t length = 0;
	for (size_t i = 0; i < s.length; i++)
		length += is_q_safe(s.data[i]) || s.data[i] == ' ' ? 1 : 3;
	return length;
}

static size_t b_length(size_t bytes)
{
	return (bytes + 2) / 3 * 4;
}

static void add_q(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.length; i++) {
		if (s.data[i] == ' ')
			buf_add_char(out, '_');
		else if (is_q_safe(s.data[i]))
			buf_add_char(out, s.data[i]);
		else
			buf_printf(out, "=%02X", (unsigned char)s.data[i]);
	}
}

/* As many whole characters of s as fit a word whose content may have room bytes. */
static size_t fitting(struct str s, bool q, size_t room)
{
	size_t taken = 0, used = 0;
	while (taken < s.length) {
		uint32_t code;
		size_t length = text_utf8_next(str_from_index(s, taken), &code);
		must(length > 0);
		used = q ? used + q_length(str_from(s.data + taken, length)) : b_length(taken + length);
		if (used > room)
			break;
		taken += length;
	}
	return taken;
}

static void add_word(struct buf *out, struct str s, bool q)
{
	buf_add_str(out, q ? STR("=?utf-8?Q?") : STR("=?utf-8?B?"));
	if (q)
		add_q(out, s);
	else
		text_base64_encode(out, s);
	buf_add_str(out, STR("?="));
}

void encoded_word_encode(struct buf *out, struct str utf8, size_t column)
{
	enum { FRAME = 12, CHARACTER_MAX = 12 };
	CLEANUP(buf_release) struct buf clean = BUF_WITH_LIMIT(utf8.length * 3);
	charset_to_utf8(&clean, STR("utf-8"), utf8);
	struct str rest = buf_str(&clean);
	bool q = q_length(rest) <= b_length(rest.length);
	while (rest.length && !out->overflowed) {
		if (column + FRAME + CHARACTER_MAX > LINE_LENGTH) {
			buf_add_str(out, STR("\r\n "));
			column = 1;
		}
		size_t room = (column + WORD_LENGTH_MAX > LINE_LENGTH ? LINE_LENGTH - column : WORD_LENGTH_MAX) - FRAME;
		size_t taken = fitting(rest, q, room);
		add_word(out, str_first(rest, taken), q);
		rest = str_from_index(rest, taken);
		column = LINE_LENGTH;
	}
}

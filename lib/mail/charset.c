#include "charset.h"

#include "ascii.h"
#include "text.h"

#include <endian.h>
#include <errno.h>
#include <iconv.h>
#include <utf8proc.h>

#define REPLACEMENT STR("\xef\xbf\xbd")
#define EACH_OCTET UINT64_C(0x0101010101010101)

enum { NAME_MAX_LENGTH = 40, CHUNK = 4096 };

static const uint16_t windows_1252[32] = {
	0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0xfffd,
	0x017d, 0xfffd, 0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a,
	0x0153, 0xfffd, 0x017e, 0x0178,
};

/* The names that need no iconv, and those that mail uses for another charset than the registry says. */
static const struct {
	struct str name;
	enum charset_kind kind;
	const char *iconv_name;
} known[] = {
	{ STR("utf-8"), CHARSET_UTF8, NULL },
	{ STR("utf8"), CHARSET_UTF8, NULL },
	{ STR("us-ascii"), CHARSET_UTF8, NULL },
	{ STR("ascii"), CHARSET_UTF8, NULL },
	{ STR("ansi_x3.4-1968"), CHARSET_UTF8, NULL },
	{ STR("unicode-1-1-utf-8"), CHARSET_UTF8, NULL },
	{ STR("iso-8859-1"), CHARSET_WINDOWS_1252, NULL },
	{ STR("iso8859-1"), CHARSET_WINDOWS_1252, NULL },
	{ STR("iso_8859-1"), CHARSET_WINDOWS_1252, NULL },
	{ STR("latin1"), CHARSET_WINDOWS_1252, NULL },
	{ STR("windows-1252"), CHARSET_WINDOWS_1252, NULL },
	{ STR("cp1252"), CHARSET_WINDOWS_1252, NULL },
	{ STR("gb2312"), CHARSET_ICONV, "GBK" },
	{ STR("gb_2312-80"), CHARSET_ICONV, "GBK" },
	{ STR("x-gbk"), CHARSET_ICONV, "GBK" },
	{ STR("ks_c_5601-1987"), CHARSET_ICONV, "CP949" },
	{ STR("euc-kr"), CHARSET_ICONV, "CP949" },
	{ STR("shift_jis"), CHARSET_ICONV, "CP932" },
	{ STR("x-sjis"), CHARSET_ICONV, "CP932" },
	{ STR("iso-8859-8-i"), CHARSET_ICONV, "ISO-8859-8" },
	{ STR("iso-8859-8-e"), CHARSET_ICONV, "ISO-8859-8" },
	{ STR("iso-8859-6-i"), CHARSET_ICONV, "ISO-8859-6" },
	{ STR("iso-8859-6-e"), CHARSET_ICONV, "ISO-8859-6" },
	{ STR("unicode-1-1-utf-7"), CHARSET_ICONV, "UTF-7" },
	{ STR("iso-2022-jp-ms"), CHARSET_ICONV, "ISO-2022-JP" },
	{ STR("cp50220"), CHARSET_ICONV, "ISO-2022-JP" },
	{ STR("cp50221"), CHARSET_ICONV, "ISO-2022-JP" },
	{ STR("iso-8859-9"), CHARSET_ICONV, "WINDOWS-1254" },
	{ STR("x-mac-roman"), CHARSET_ICONV, "MACINTOSH" },
	{ STR("x-unknown"), CHARSET_WINDOWS_1252, NULL },
	{ STR("unknown-8bit"), CHARSET_WINDOWS_1252, NULL },
};

static const char *const preloaded[] = {
	"ISO-8859-2",   "ISO-8859-3",   "ISO-8859-4",   "ISO-8859-5",   "ISO-8859-6",   "ISO-8859-7",   "ISO-8859-8",
	"ISO-8859-10",  "ISO-8859-11",  "ISO-8859-13",  "ISO-8859-14",  "ISO-8859-15",  "ISO-8859-16",  "WINDOWS-1250",
	"WINDOWS-1251", "WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256", "WINDOWS-1257", "WINDOWS-1258",
	"KOI8-R",       "KOI8-U",       "CP437",        "CP850",        "CP852",        "CP866",        "MACINTOSH",
	"GBK",          "GB18030",      "BIG5",         "BIG5-HKSCS",   "CP949",        "CP932",        "EUC-JP",
	"ISO-2022-JP",  "ISO-2022-KR",  "TIS-620",      "CP874",        "UTF-7",        "UTF-16",       "UTF-32",
};

static bool is_name_char(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || c == '-' || c == '_' || c == '.' || c == ':' || c == '+';
}

/* Only plain names: a slash would select iconv's options. ISO-2022-CN-EXT is refused because it is unused in mail
 * and its converter has had exploitable faults. */
static bool open_iconv(struct charset *c, struct str name)
{
	char text[NAME_MAX_LENGTH + 1] = "";
	if (name.length > NAME_MAX_LENGTH || str_equal_nocase(name, STR("ISO-2022-CN-EXT")))
		return false;
	for (size_t i = 0; i < name.length; i++) {
		if (!is_name_char(name.data[i]))
			return false;
		text[i] = name.data[i];
	}
	iconv_t descriptor = iconv_open("UTF-8", text);
	if (descriptor == (iconv_t)-1)
		return false;
	c->kind = CHARSET_ICONV;
	c->descriptor = descriptor;
	return true;
}

bool charset_init(struct charset *c, struct str name)
{
	*c = (struct charset){ .kind = CHARSET_UTF8 };
	name = str_trim(name);
	if (name.length == 0)
		return true;
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		if (!str_equal_nocase(name, known[i].name))
			continue;
		if (known[i].iconv_name)
			return open_iconv(c, str_of(known[i].iconv_name));
		c->kind = known[i].kind;
		return true;
	}
	if (open_iconv(c, name))
		return true;
	c->kind = CHARSET_UNKNOWN;
	return false;
}

void charset_release(struct charset *c)
{
	if (c->descriptor)
		iconv_close(c->descriptor);
	c->descriptor = NULL;
}

/* True when s is the beginning of a sequence that more bytes could complete. */
static bool may_continue(struct str s)
{
	unsigned char first = (unsigned char)s.data[0];
	size_t length = first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
	if (s.length >= length)
		return false;
	for (size_t i = 1; i < s.length; i++)
		if ((unsigned char)s.data[i] >> 6 != 2)
			return false;
	return true;
}

/* Returns how much was converted; the rest is an unfinished character. */
static size_t add_utf8(struct str bytes, struct buf *out)
{
	struct str rest = bytes;
	while (rest.length && !out->overflowed) {
		uint32_t code;
		size_t length = ascii_length(rest);
		for (size_t next; length < rest.length; length += next)
			if ((next = text_utf8_next(str_from_index(rest, length), &code)) == 0)
				break;
		buf_add_str(out, str_first(rest, length));
		rest = str_from_index(rest, length);
		if (rest.length == 0 || (rest.length < 4 && may_continue(rest)))
			break;
		buf_add_str(out, REPLACEMENT);
		rest = str_from_index(rest, 1);
	}
	return bytes.length - rest.length;
}

static void add_bytes(struct str bytes, struct buf *out, bool known_charset)
{
	while (bytes.length && !out->overflowed) {
		size_t length = ascii_length(bytes);
		buf_add_str(out, str_first(bytes, length));
		for (; length < bytes.length && (unsigned char)bytes.data[length] >= 0x80; length++) {
			unsigned char c = (unsigned char)bytes.data[length];
			text_utf8_add(out, !known_charset ? 0xfffd : c < 0xa0 ? windows_1252[c - 0x80] : c);
		}
		bytes = str_from_index(bytes, length);
	}
}

/* Whole characters from iconv, which knows more than Unicode has: its UTF-8 goes beyond U+10FFFF. */
static void add_converted(struct str converted, struct buf *out)
{
	if (add_utf8(converted, out) < converted.length)
		buf_add_str(out, REPLACEMENT);
}

/* Returns how much was converted; the rest is an unfinished character. */
static size_t add_iconv(struct charset *c, struct str bytes, struct buf *out)
{
	char chunk[CHUNK];
	char *in = (char *)(uintptr_t)bytes.data;
	size_t left = bytes.length;
	while (left && !out->overflowed) {
		char *to = chunk;
		size_t room = sizeof chunk;
		size_t result = iconv(c->descriptor, &in, &left, &to, &room);
		int error = result == (size_t)-1 ? errno : 0;
		add_converted(str_from(chunk, sizeof chunk - room), out);
		if (error == EINVAL)
			break;
		if (error == 0 || error == E2BIG)
			continue;
		buf_add_str(out, REPLACEMENT);
		in++, left--;
	}
	return bytes.length - left;
}

static size_t convert(struct charset *c, struct str bytes, struct buf *out)
{
	if (c->kind == CHARSET_UTF8)
		return add_utf8(bytes, out);
	if (c->kind == CHARSET_ICONV)
		return add_iconv(c, bytes, out);
	add_bytes(bytes, out, c->kind == CHARSET_WINDOWS_1252);
	return bytes.length;
}

/* Completes the character that the last piece left unfinished, byte by byte: they are few. */
static struct str finish_kept(struct charset *c, struct str bytes, struct buf *out)
{
	while (c->kept_length && bytes.length) {
		if (c->kept_length == sizeof c->kept) {
			buf_add_str(out, REPLACEMENT);
			c->kept_length = 0;
			break;
		}
		c->kept[c->kept_length++] = bytes.data[0];
		bytes = str_from_index(bytes, 1);
		size_t done = convert(c, str_from(c->kept, c->kept_length), out);
		memmove(c->kept, c->kept + done, c->kept_length - done);
		c->kept_length -= done;
	}
	return bytes;
}

void charset_add(struct charset *c, struct str bytes, struct buf *out)
{
	bytes = finish_kept(c, bytes, out);
	if (bytes.length == 0 || out->overflowed)
		return;
	struct str rest = str_from_index(bytes, convert(c, bytes, out));
	if (out->overflowed)
		return;
	if (rest.length > sizeof c->kept) {
		buf_add_str(out, REPLACEMENT);
		rest.length = 0;
	}
	memcpy(c->kept, rest.data, rest.length);
	c->kept_length = rest.length;
}

/* A letter that iconv keeps back, as a mark that may follow would be composed with it; and it begins anew. */
static void flush_iconv(struct charset *c, struct buf *out)
{
	char chunk[sizeof c->kept];
	char *to = chunk;
	size_t room = sizeof chunk;
	iconv(c->descriptor, NULL, NULL, &to, &room);
	add_converted(str_from(chunk, sizeof chunk - room), out);
}

void charset_finish(struct charset *c, struct buf *out)
{
	if (c->kind == CHARSET_ICONV)
		flush_iconv(c, out);
	if (c->kept_length)
		buf_add_str(out, REPLACEMENT);
	c->kept_length = 0;
}

bool charset_to_utf8(struct buf *out, struct str name, struct str bytes)
{
	CLEANUP(charset_release) struct charset c;
	bool is_known = charset_init(&c, name);
	charset_add(&c, bytes, out);
	charset_finish(&c, out);
	return is_known;
}

void charset_guess_to_utf8(struct buf *out, struct str bytes)
{
	size_t ascii = ascii_length(bytes);
	if (ascii == bytes.length || text_is_utf8(str_from_index(bytes, ascii)))
		buf_add_str(out, bytes);
	else
		add_bytes(bytes, out, true);
}

/* The descriptors are kept for good, because glibc unloads a module some time after its last one is closed. */
void charset_preload(void)
{
	static iconv_t kept_open[COUNT_OF(preloaded)];
	for (size_t i = 0; i < COUNT_OF(preloaded); i++)
		if (!kept_open[i])
			kept_open[i] = iconv_open("UTF-8", preloaded[i]);
}

/* Hangul syllables have no decomposition in UnicodeData.txt, which RFC 5051 §2 names. */
static bool is_hangul_syllable(uint32_t code)
{
	return code >= 0xac00 && code <= 0xd7a3;
}

static void fold_code(struct buf *out, uint32_t code)
{
	utf8proc_int32_t parts[32];
	utf8proc_int32_t title = utf8proc_totitle((utf8proc_int32_t)code);
	int last_class = 0;
	utf8proc_ssize_t count = 0;
	if (!is_hangul_syllable(code))
		count = utf8proc_decompose_char(title, parts, COUNT_OF(parts), UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
		                                &last_class);
	if (count <= 0 || count > (utf8proc_ssize_t)COUNT_OF(parts)) {
		text_utf8_add(out, (uint32_t)title);
		return;
	}
	for (utf8proc_ssize_t i = 0; i < count; i++)
		text_utf8_add(out, (uint32_t)parts[i]);
}

/* The first character of s, which is not ASCII. */
static size_t fold_next(struct buf *out, struct str s)
{
	uint32_t code;
	size_t length = text_utf8_next(s, &code);
	if (length)
		fold_code(out, code);
	else
		buf_add_char(out, s.data[0]);
	return length ? length : 1;
}

static size_t fold_ascii(struct buf *out, struct str s)
{
	size_t length = ascii_length(s);
	char *room = buf_reserve(out, length);
	if (!room)
		return length;
	for (size_t i = 0; i < length; i++)
		room[i] = char_upper(s.data[i]);
	buf_claim(out, length);
	return length;
}

void charset_fold(struct buf *out, struct str utf8)
{
	while (utf8.length && !out->overflowed) {
		utf8 = str_from_index(utf8, fold_ascii(out, utf8));
		if (utf8.length)
			utf8 = str_from_index(utf8, fold_next(out, utf8));
	}
}

static size_t fold_ascii_octet(char *to, char c, bool *blank)
{
	bool white = (unsigned char)c <= ' ', twice = white && *blank;
	*to = white ? ' ' : char_upper(c);
	*blank = white;
	return !twice;
}

/* Of eight octets of ASCII: the high bit of each that is at least so much. */
static uint64_t octets_from(uint64_t octets, unsigned char least)
{
	return (octets + EACH_OCTET * (0x80 - least)) & EACH_OCTET * 0x80;
}

/* Eight octets at once, if no blank of them goes: false when one does. */
static bool fold_ascii_octets(char *to, const char *from, bool *blank)
{
	uint64_t octets;
	memcpy(&octets, from, sizeof octets);
	octets = le64toh(octets);
	uint64_t white = ~octets_from(octets, ' ' + 1) & EACH_OCTET * 0x80;
	uint64_t lower = octets_from(octets, 'a') & ~octets_from(octets, 'z' + 1);
	if (white & (white << 8 | (*blank ? 0x80 : 0)))
		return false;
	octets -= lower >> 2;
	octets = (octets & ~((white >> 7) * 0xff)) | white >> 2;
	octets = htole64(octets);
	memcpy(to, &octets, sizeof octets);
	*blank = white >> 63;
	return true;
}

static size_t fold_ascii_text(struct buf *out, struct str s, bool *blank)
{
	size_t length = ascii_length(s), used = 0;
	char *room = buf_reserve(out, length);
	for (size_t i = 0; room && i < length;)
		if (length - i >= sizeof(uint64_t) && fold_ascii_octets(room + used, s.data + i, blank)) {
			used += sizeof(uint64_t);
			i += sizeof(uint64_t);
		} else {
			used += fold_ascii_octet(room + used, s.data[i++], blank);
		}
	if (room)
		buf_claim(out, used);
	return length;
}

/* What was added from before on may begin with a blank: U+00A0 is one when decomposed, U+00A8 begins with one. */
static void join_blanks(struct buf *out, size_t before, bool *blank)
{
	if (*blank && out->length > before && out->data[before] == ' ') {
		memmove(out->data + before, out->data + before + 1, out->length - before - 1);
		out->length--;
	}
	if (out->length > before)
		*blank = out->data[out->length - 1] == ' ';
}

void charset_fold_text(struct buf *out, struct str utf8, bool *blank)
{
	while (utf8.length && !out->overflowed) {
		utf8 = str_from_index(utf8, fold_ascii_text(out, utf8, blank));
		if (utf8.length == 0)
			return;
		size_t before = out->length;
		utf8 = str_from_index(utf8, fold_next(out, utf8));
		join_blanks(out, before, blank);
	}
}

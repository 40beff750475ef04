/* Modified UTF-7, RFC 3501 §5.1.3. */
#include "imap_write.h"

#include "text.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* Sixteen bits at a time become six at a time. */
struct bits {
	uint32_t held;
	unsigned count;
};

static void put_unit(struct buf *out, struct bits *bits, uint32_t unit)
{
	bits->held = (bits->held << 16 | unit) & 0xffffff;
	for (bits->count += 16; bits->count >= 6; bits->count -= 6)
		buf_add_char(out, digits[bits->held >> (bits->count - 6) & 63]);
}

static void put_code(struct buf *out, struct bits *bits, uint32_t code)
{
	if (code >= 0x10000) {
		put_unit(out, bits, 0xd800 + ((code - 0x10000) >> 10));
		put_unit(out, bits, 0xdc00 + ((code - 0x10000) & 0x3ff));
	} else {
		put_unit(out, bits, code);
	}
}

static void end_shift(struct buf *out, struct bits *bits)
{
	if (bits->count)
		buf_add_char(out, digits[bits->held << (6 - bits->count) & 63]);
	buf_add_char(out, '-');
	*bits = (struct bits){};
}

static bool is_direct(uint32_t code)
{
	return code >= 0x20 && code <= 0x7e;
}

void imap_mutf7_encode(struct buf *out, struct str utf8)
{
	struct bits bits = {};
	bool shifted = false;
	while (utf8.length) {
		uint32_t code = 0xfffd;
		size_t length = text_utf8_next(utf8, &code);
		utf8 = str_from_index(utf8, length ? length : 1);
		if (is_direct(code) && shifted)
			end_shift(out, &bits);
		if (!is_direct(code) && !shifted)
			buf_add_char(out, '&');
		shifted = !is_direct(code);
		if (shifted)
			put_code(out, &bits, code);
		else
			buf_add_str(out, code == '&' ? STR("&-") : str_from((char[]){ (char)code }, 1));
	}
	if (shifted)
		end_shift(out, &bits);
}

static int digit_value(char c)
{
	const char *found = c ? strchr(digits, c) : NULL;
	return found ? (int)(found - digits) : -1;
}

/* A surrogate waits for its other half. */
static bool take_unit(struct buf *out, uint32_t *high, uint32_t unit)
{
	bool is_high = unit >= 0xd800 && unit < 0xdc00, is_low = unit >= 0xdc00 && unit < 0xe000;
	if (is_low != (*high != 0))
		return false;
	if (is_high)
		*high = unit;
	else
		text_utf8_add(out, is_low ? 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00) : unit);
	if (!is_high)
		*high = 0;
	return true;
}

static bool decode_shift(struct buf *out, struct str base64)
{
	struct bits bits = {};
	uint32_t high = 0;
	for (size_t i = 0; i < base64.length; i++) {
		int value = digit_value(base64.data[i]);
		if (value < 0)
			return false;
		bits.held = bits.held << 6 | (uint32_t)value;
		bits.count += 6;
		if (bits.count < 16)
			continue;
		bits.count -= 16;
		if (!take_unit(out, &high, bits.held >> bits.count & 0xffff))
			return false;
	}
	return high == 0;
}

static bool decode(struct buf *out, struct str text)
{
	struct str direct;
	while (str_take_until(&text, '&', &direct)) {
		buf_add_str(out, direct);
		size_t end = str_find_char(text, '-');
		if (text.length == 0)
			continue;
		if (end == 0)
			buf_add_char(out, '&');
		else if (end == text.length || !decode_shift(out, str_first(text, end)))
			return false;
		text = str_from_index(text, end + 1);
	}
	return true;
}

bool imap_mutf7_decode(struct buf *out, struct str text)
{
	size_t start = out->length;
	if (!decode(out, text) || out->overflowed)
		return false;
	/* one form for each name: what encoding would not have made is not it, be it padding, a needless shift or a lone
	 * "&" */
	struct str name = str_from_index(buf_str(out), start);
	CLEANUP(buf_release) struct buf again = BUF_WITH_LIMIT(text.length);
	imap_mutf7_encode(&again, name);
	return !again.overflowed && str_equal(buf_str(&again), text) && str_find_char(name, '\0') == name.length;
}

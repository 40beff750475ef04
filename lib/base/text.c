#include "text.h"

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char hex_digits[] = "0123456789abcdef";

void text_base64_encode(struct buf *out, struct str bytes)
{
	const unsigned char *in = (const unsigned char *)bytes.data;
	for (size_t i = 0; i < bytes.length; i += 3) {
		size_t left = bytes.length - i;
		uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
		char quad[4] = { base64_digits[group >> 18], base64_digits[group >> 12 & 63],
			             left > 1 ? base64_digits[group >> 6 & 63] : '=', left > 2 ? base64_digits[group & 63] : '=' };
		buf_append(out, quad, sizeof quad);
	}
}

static bool decode_quad(struct buf *out, const char *quad, bool last)
{
	size_t padding = !last || quad[3] != '=' ? 0 : quad[2] != '=' ? 1 : 2;
	uint32_t group = 0;
	for (size_t i = 0; i < 4; i++) {
		int value = i >= 4 - padding ? 0 : text_base64_value(quad[i]);
		if (value < 0)
			return false;
		group = group << 6 | (uint32_t)value;
	}
	if ((padding == 1 && (group & 0xff)) || (padding == 2 && (group & 0xffff)))
		return false;
	char bytes[3] = { (char)(group >> 16), (char)(group >> 8), (char)group };
	return buf_append(out, bytes, 3 - padding);
}

bool text_base64_decode(struct buf *out, struct str text)
{
	if (text.length % 4)
		return false;
	for (size_t i = 0; i < text.length; i += 4)
		if (!decode_quad(out, text.data + i, i + 4 == text.length))
			return false;
	return true;
}

void text_hex_encode(struct buf *out, struct str bytes)
{
	char *digits = buf_reserve(out, 2 * bytes.length);
	if (!digits)
		return;
	for (size_t i = 0; i < bytes.length; i++) {
		unsigned char byte = (unsigned char)bytes.data[i];
		digits[2 * i] = hex_digits[byte >> 4];
		digits[2 * i + 1] = hex_digits[byte & 15];
	}
	buf_claim(out, 2 * bytes.length);
}

bool text_hex_decode(struct str text, void *bytes, size_t size)
{
	unsigned char *out = bytes;
	if (text.length != size * 2)
		return false;
	for (size_t i = 0; i < size; i++) {
		int high = text_hex_value(text.data[2 * i]), low = text_hex_value(text.data[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

size_t text_utf8_next(struct str s, uint32_t *code)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	if (s.length == 0)
		return 0;
	unsigned char first = (unsigned char)s.data[0];
	size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
	if (length == 0 || length > s.length)
		return 0;
	uint32_t value = length == 1 ? first : first & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		unsigned char next = (unsigned char)s.data[i];
		if (next >> 6 != 2)
			return 0;
		value = value << 6 | (next & 0x3fu);
	}
	if (value < smallest[length] || (value >= 0xd800 && value <= 0xdfff) || value > 0x10ffff)
		return 0;
	*code = value;
	return length;
}

bool text_is_utf8(struct str s)
{
	uint32_t code;
	while (s.length) {
		size_t length = text_utf8_next(s, &code);
		if (length == 0)
			return false;
		s = str_from_index(s, length);
	}
	return true;
}

bool text_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if ((unsigned char)s.data[i] >= 0x80)
			return false;
	return true;
}

void text_utf8_add(struct buf *out, uint32_t code)
{
	if (code < 0x80) {
		buf_add_char(out, (char)code);
		return;
	}
	int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
	buf_add_char(out, (char)(lead[more] | code >> (6 * more)));
	while (more-- > 0)
		buf_add_char(out, (char)(0x80 | (code >> (6 * more) & 0x3f)));
}

void text_escape(struct buf *out, struct str s, size_t max)
{
	for (size_t i = 0; i < s.length && i < max; i++) {
		char c = s.data[i];
		if (c > 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '=')
			buf_add_char(out, c);
		else
			buf_printf(out, "\\x%02x", (unsigned char)c);
	}
	if (s.length > max)
		buf_add_str(out, STR("…"));
}

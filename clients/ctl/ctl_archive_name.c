#include "ctl_archive_name.h"

#include "text.h"

enum { FILE_NAME_MAX = 240 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/* ---- mailboxes ---- */

struct bits {
	uint32_t value;
	unsigned count;
};

static void add_bits(struct buf *out, struct bits *bits, uint32_t unit)
{
	bits->value = bits->value << 16 | unit;
	for (bits->count += 16; bits->count >= 6; bits->count -= 6)
		buf_add_char(out, digits[bits->value >> (bits->count - 6) & 63]);
	bits->value &= 63;
}

static void add_code(struct buf *out, struct bits *bits, uint32_t code)
{
	if (code >= 0x10000) {
		add_bits(out, bits, 0xd800 + ((code - 0x10000) >> 10));
		code = 0xdc00 + ((code - 0x10000) & 0x3ff);
	}
	add_bits(out, bits, code);
}

static void end_shift(struct buf *out, struct bits *bits)
{
	if (bits->count)
		buf_add_char(out, digits[bits->value << (6 - bits->count) & 63]);
	*bits = (struct bits){};
	buf_add_char(out, '-');
}

static bool is_plain(uint32_t code)
{
	return code >= 0x20 && code < 0x7f && code != '.' && code != '/';
}

bool ctl_name_of_mailbox(struct buf *file, struct str mailbox)
{
	struct bits bits = {};
	bool shifted = false;
	size_t length, start = file->length;
	for (uint32_t code; mailbox.length && (length = text_utf8_next(mailbox, &code));
		 mailbox = str_from_index(mailbox, length)) {
		bool plain = is_plain(code) || code == '/';
		if (shifted && plain)
			end_shift(file, &bits);
		else if (!shifted && !plain)
			buf_add_char(file, '&');
		shifted = !plain;
		if (!plain)
			add_code(file, &bits, code);
		else if (code == '&')
			buf_add_str(file, STR("&-"));
		else
			buf_add_char(file, code == '/' ? '.' : (char)code);
	}
	if (shifted)
		end_shift(file, &bits);
	return mailbox.length == 0 && file->length > start && file->length - start <= FILE_NAME_MAX && !file->overflowed;
}

/* One UTF-16 unit more; a pair is joined. */
static bool add_unit(struct buf *out, uint32_t unit, uint32_t *high)
{
	bool is_low = unit >= 0xdc00 && unit < 0xe000;
	if (is_low != (*high != 0))
		return false;
	if (unit >= 0xd800 && unit < 0xdc00) {
		*high = unit;
		return true;
	}
	text_utf8_add(out, is_low ? 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00) : unit);
	*high = 0;
	return true;
}

/* What stands between & and -. */
static bool decode_shifted(struct buf *out, struct str text)
{
	struct bits bits = {};
	uint32_t high = 0;
	if (str_is_empty(text))
		return buf_add_char(out, '&');
	for (size_t i = 0; i < text.length; i++) {
		const char *digit = text.data[i] ? strchr(digits, text.data[i]) : NULL;
		if (!digit)
			return false;
		bits.value = (bits.value << 6 | (uint32_t)(digit - digits)) & 0x3fffff;
		bits.count += 6;
		if (bits.count >= 16) {
			bits.count -= 16;
			if (!add_unit(out, bits.value >> bits.count & 0xffff, &high))
				return false;
		}
	}
	return high == 0 && bits.count < 6 && (bits.value & ((1u << bits.count) - 1)) == 0;
}

static bool decode(struct buf *out, struct str file)
{
	struct str plain;
	while (str_take_until(&file, '&', &plain)) {
		for (size_t i = 0; i < plain.length; i++)
			buf_add_char(out, plain.data[i] == '.' ? '/' : plain.data[i]);
		if (plain.data + plain.length == file.data + file.length)
			return true;
		size_t end = str_find_char(file, '-');
		if (end == file.length || !decode_shifted(out, str_first(file, end)))
			return false;
		file = str_from_index(file, end + 1);
	}
	return true;
}

bool ctl_mailbox_of_name(struct buf *mailbox, struct str file)
{
	size_t start = mailbox->length;
	/* an & at the very end begins nothing */
	bool open_end = file.length && file.data[file.length - 1] == '&';
	if (open_end || !decode(mailbox, file)) {
		buf_truncate(mailbox, start);
		for (size_t i = 0; i < file.length; i++)
			buf_add_char(mailbox, file.data[i] == '.' ? '/' : file.data[i]);
	}
	struct str made = str_from_index(buf_str(mailbox), start);
	for (size_t i = 0; i < made.length; i++)
		if ((unsigned char)made.data[i] < 0x20 || made.data[i] == 0x7f)
			return false;
	return made.length && text_is_utf8(made) && !mailbox->overflowed;
}

/* ---- addresses ---- */

void ctl_name_of_address(struct buf *file, struct str address)
{
	for (size_t i = 0; i < address.length; i++) {
		char c = address.data[i];
		if (c == '/' || c == '%' || (i == 0 && c == '.'))
			buf_printf(file, "%%%02X", (unsigned char)c);
		else
			buf_add_char(file, c);
	}
}

bool ctl_address_of_name(struct buf *address, struct str file)
{
	struct str plain;
	size_t percent;
	for (; file.length; file = str_from_index(file, percent + 3)) {
		unsigned char octet;
		percent = str_find_char(file, '%');
		plain = str_first(file, percent);
		buf_add_str(address, plain);
		if (percent == file.length)
			break;
		if (!text_hex_decode(str_first(str_from_index(file, percent + 1), 2), &octet, 1))
			return false;
		buf_add_char(address, (char)octet);
	}
	return address->length > 0;
}

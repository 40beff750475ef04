#include "transfer.h"

#include "text.h"

enum { LINE_LENGTH = 76, CHUNK = 4096 };

static const struct str names[TRANSFER_ENCODING_COUNT] = {
	[TRANSFER_7BIT] = STR("7bit"),
	[TRANSFER_8BIT] = STR("8bit"),
	[TRANSFER_BINARY] = STR("binary"),
	[TRANSFER_BASE64] = STR("base64"),
	[TRANSFER_QUOTED_PRINTABLE] = STR("quoted-printable"),
	[TRANSFER_UUENCODE] = STR("x-uuencode"),
};

struct str transfer_name(enum transfer_encoding encoding)
{
	must((unsigned)encoding < TRANSFER_ENCODING_COUNT);
	return names[encoding];
}

enum transfer_encoding transfer_find(struct str value)
{
	value = str_trim(value);
	size_t length = 0;
	while (length < value.length && (unsigned char)value.data[length] > 0x20 && !memchr(";(,", value.data[length], 3))
		length++;
	value = str_first(value, length);
	if (value.length == 0)
		return TRANSFER_7BIT;
	for (enum transfer_encoding i = 0; i < TRANSFER_UNKNOWN; i++)
		if (str_equal_nocase(value, names[i]))
			return i;
	if (str_equal_nocase(value, STR("x-uue")) || str_equal_nocase(value, STR("uuencode")))
		return TRANSFER_UUENCODE;
	return TRANSFER_UNKNOWN;
}

bool transfer_is_identity(enum transfer_encoding encoding)
{
	return encoding != TRANSFER_BASE64 && encoding != TRANSFER_QUOTED_PRINTABLE && encoding != TRANSFER_UUENCODE;
}

/* Output gathered before it goes to the buf. */
struct chunk {
	char bytes[CHUNK];
	size_t length;
	struct buf *out;
};

static void flush(struct chunk *chunk)
{
	buf_append(chunk->out, chunk->bytes, chunk->length);
	chunk->length = 0;
}

static inline void put(struct chunk *chunk, char c)
{
	if (chunk->length == CHUNK)
		flush(chunk);
	chunk->bytes[chunk->length++] = c;
}

static void flush_sextets(struct transfer_decoder *d, struct chunk *chunk)
{
	if (d->sextets >= 2)
		put(chunk, (char)(d->bits << (24 - 6 * d->sextets) >> 16));
	if (d->sextets == 3)
		put(chunk, (char)(d->bits >> 2));
	d->sextets = 0;
	d->bits = 0;
}

/* RFC 2045 §6.8: other bytes are ignored. Text behind the padding is read on, since some programs join
 * encoded pieces. */
static void decode_base64(struct transfer_decoder *d, struct str bytes, struct chunk *chunk)
{
	for (size_t i = 0; i < bytes.length; i++) {
		int value = text_base64_value(bytes.data[i]);
		if (value < 0) {
			if (bytes.data[i] == '=')
				flush_sextets(d, chunk);
			continue;
		}
		d->bits = d->bits << 6 | (uint32_t)value;
		if (++d->sextets < 4)
			continue;
		put(chunk, (char)(d->bits >> 16));
		put(chunk, (char)(d->bits >> 8));
		put(chunk, (char)d->bits);
		d->sextets = 0;
		d->bits = 0;
	}
}

/* What was read before and is kept. */
enum quoted_state { PLAIN, BLANKS, EQUALS, EQUALS_HEX, EQUALS_BLANKS, EQUALS_CR };

static void put_kept(struct transfer_decoder *d, struct chunk *chunk)
{
	for (size_t i = 0; i < d->kept_length; i++)
		put(chunk, d->kept[i]);
	d->kept_length = 0;
}

static void keep(struct transfer_decoder *d, struct chunk *chunk, char c, enum quoted_state state)
{
	if (d->kept_length == sizeof d->kept) /* more blanks than a legal line can hold */
		put_kept(d, chunk);
	d->kept[d->kept_length++] = c;
	d->state = (int)state;
}

static void drop_kept(struct transfer_decoder *d)
{
	d->kept_length = 0;
	d->state = PLAIN;
}

static void read_plain(struct transfer_decoder *d, struct chunk *chunk, char c)
{
	bool blank = c == ' ' || c == '\t';
	if (d->state == BLANKS && !blank) {
		if (c != '\r' && c != '\n') /* RFC 2045 §6.7 (3): blanks at the end of a line go */
			put_kept(d, chunk);
		drop_kept(d);
	}
	if (c == '=')
		keep(d, chunk, c, EQUALS);
	else if (blank)
		keep(d, chunk, c, BLANKS);
	else
		put(chunk, c);
}

static void read_quoted(struct transfer_decoder *d, struct chunk *chunk, char c);

/* RFC 2045 §6.7: "=" that begins nothing known stays as it is. */
static void give_up(struct transfer_decoder *d, struct chunk *chunk, char c)
{
	put_kept(d, chunk);
	d->state = PLAIN;
	read_plain(d, chunk, c);
}

static void read_quoted(struct transfer_decoder *d, struct chunk *chunk, char c)
{
	if (d->state == EQUALS_CR) {
		drop_kept(d);
		if (c != '\n')
			read_plain(d, chunk, c);
	} else if (d->state == EQUALS_HEX) {
		if (text_hex_value(c) < 0) {
			give_up(d, chunk, c);
			return;
		}
		put(chunk, (char)(text_hex_value(d->kept[1]) << 4 | text_hex_value(c)));
		drop_kept(d);
	} else if (c == '\n') {
		drop_kept(d);
	} else if (c == '\r') {
		d->state = EQUALS_CR;
	} else if (c == ' ' || c == '\t') {
		keep(d, chunk, c, EQUALS_BLANKS);
	} else if (d->state == EQUALS && text_hex_value(c) >= 0) {
		keep(d, chunk, c, EQUALS_HEX);
	} else {
		give_up(d, chunk, c);
	}
}

static void decode_quoted_printable(struct transfer_decoder *d, struct str bytes, struct chunk *chunk)
{
	for (size_t i = 0; i < bytes.length; i++) {
		char c = bytes.data[i];
		if (d->state == PLAIN && (unsigned char)c > 0x20 && c != '=')
			put(chunk, c);
		else if (d->state <= BLANKS)
			read_plain(d, chunk, c);
		else
			read_quoted(d, chunk, c);
	}
}

enum uu_state { BEFORE_BEGIN, INSIDE, AFTER_END };

/* A line of the encoding: the count of bytes, then four characters for three bytes. */
static void decode_uu_data(struct str line, struct chunk *chunk)
{
	size_t count = ((size_t)(unsigned char)line.data[0] - 0x20) & 63;
	for (size_t i = 1; i < line.length && count > 0; i += 4) {
		uint32_t bits = 0;
		for (size_t j = 0; j < 4; j++)
			bits = bits << 6 | (i + j < line.length ? ((uint32_t)(unsigned char)line.data[i + j] - 0x20) & 63 : 0);
		for (int shift = 16; shift >= 0 && count > 0; shift -= 8, count--)
			put(chunk, (char)(bits >> shift));
	}
}

static void decode_uu_line(struct transfer_decoder *d, struct chunk *chunk)
{
	struct str line = str_from(d->kept, d->kept_length);
	if (d->state == BEFORE_BEGIN && str_starts(line, STR("begin ")))
		d->state = INSIDE;
	else if (d->state == INSIDE && str_equal(str_trim(line), STR("end")))
		d->state = AFTER_END;
	else if (d->state == INSIDE && line.length)
		decode_uu_data(line, chunk);
	d->kept_length = 0;
}

static void decode_uu(struct transfer_decoder *d, struct str bytes, struct chunk *chunk)
{
	for (size_t i = 0; i < bytes.length; i++) {
		char c = bytes.data[i];
		if (c == '\n' || c == '\r')
			decode_uu_line(d, chunk);
		else if (d->kept_length < sizeof d->kept) /* a legal line has 61 characters */
			d->kept[d->kept_length++] = c;
	}
}

void transfer_decode_begin(struct transfer_decoder *d, enum transfer_encoding encoding)
{
	d->encoding = encoding;
	d->state = 0;
	d->bits = 0;
	d->sextets = 0;
	d->kept_length = 0;
}

void transfer_decode(struct transfer_decoder *d, struct str bytes, struct buf *out)
{
	if (transfer_is_identity(d->encoding)) {
		buf_add_str(out, bytes);
		return;
	}
	struct chunk chunk;
	chunk.length = 0;
	chunk.out = out;
	if (d->encoding == TRANSFER_BASE64)
		decode_base64(d, bytes, &chunk);
	else if (d->encoding == TRANSFER_QUOTED_PRINTABLE)
		decode_quoted_printable(d, bytes, &chunk);
	else
		decode_uu(d, bytes, &chunk);
	flush(&chunk);
}

void transfer_decode_finish(struct transfer_decoder *d, struct buf *out)
{
	struct chunk chunk;
	chunk.length = 0;
	chunk.out = out;
	if (d->encoding == TRANSFER_BASE64)
		flush_sextets(d, &chunk);
	else if (d->encoding == TRANSFER_QUOTED_PRINTABLE && d->state == EQUALS_HEX)
		put_kept(d, &chunk);
	else if (d->encoding == TRANSFER_UUENCODE)
		decode_uu_line(d, &chunk);
	flush(&chunk);
	transfer_decode_begin(d, d->encoding);
}

void transfer_decode_all(enum transfer_encoding encoding, struct str bytes, struct buf *out)
{
	struct transfer_decoder d;
	transfer_decode_begin(&d, encoding);
	transfer_decode(&d, bytes, out);
	transfer_decode_finish(&d, out);
}

void transfer_encode_begin(struct transfer_encoder *e, enum transfer_encoding encoding, bool text)
{
	must(encoding == TRANSFER_BASE64 || encoding == TRANSFER_QUOTED_PRINTABLE);
	*e = (struct transfer_encoder){ .encoding = encoding, .text = text };
}

static void add_base64_group(struct transfer_encoder *e, struct str group, struct buf *out)
{
	if (e->column == LINE_LENGTH) {
		buf_add_str(out, STR("\r\n"));
		e->column = 0;
	}
	text_base64_encode(out, group);
	e->column += (group.length + 2) / 3 * 4;
}

static void encode_base64(struct transfer_encoder *e, struct str bytes, struct buf *out)
{
	while (e->kept_length && bytes.length) {
		e->kept[e->kept_length++] = bytes.data[0];
		bytes = str_from_index(bytes, 1);
		if (e->kept_length < 3)
			continue;
		add_base64_group(e, str_from(e->kept, 3), out);
		e->kept_length = 0;
	}
	while (bytes.length >= 3) {
		size_t room = (LINE_LENGTH - e->column % LINE_LENGTH) / 4 * 3;
		struct str part = str_first(bytes, room < bytes.length ? room : bytes.length / 3 * 3);
		add_base64_group(e, part, out);
		bytes = str_from_index(bytes, part.length);
	}
	memcpy(e->kept + e->kept_length, bytes.length ? bytes.data : "", bytes.length);
	e->kept_length += bytes.length;
}

/* RFC 2045 §6.7 (5): 76 characters with the "=" of a soft break. */
static void add_quoted(struct transfer_encoder *e, struct str piece, struct buf *out)
{
	if (e->column + piece.length > LINE_LENGTH - 1) {
		buf_add_str(out, STR("=\r\n"));
		e->column = 0;
	}
	buf_add_str(out, piece);
	e->column += piece.length;
}

static void add_hex(struct transfer_encoder *e, char c, struct buf *out)
{
	static const char digits[] = "0123456789ABCDEF";
	char piece[3] = { '=', digits[(unsigned char)c >> 4], digits[(unsigned char)c & 15] };
	add_quoted(e, str_from(piece, sizeof piece), out);
}

/* A blank or CR waits for what follows: before a line break it must be encoded, or is part of it. */
static void release_kept(struct transfer_encoder *e, bool before_line_break, struct buf *out)
{
	if (e->kept_length && (before_line_break || e->kept[0] == '\r'))
		add_hex(e, e->kept[0], out);
	else if (e->kept_length)
		add_quoted(e, str_from(e->kept, 1), out);
	e->kept_length = 0;
}

static void encode_quoted_byte(struct transfer_encoder *e, char c, struct buf *out)
{
	bool line_break = e->text && c == '\n';
	if (line_break && e->kept_length && e->kept[0] == '\r')
		e->kept_length = 0;
	release_kept(e, line_break || (e->text && c == '\r'), out);
	if (line_break) {
		buf_add_str(out, STR("\r\n"));
		e->column = 0;
	} else if (c == ' ' || c == '\t' || (e->text && c == '\r')) {
		e->kept[e->kept_length++] = c;
	} else if (c < 0x21 || c > 0x7e || c == '=' || (c == '-' && e->column == LINE_LENGTH - 1)) {
		add_hex(e, c, out); /* behind a soft break "--" would begin a line, and may be a boundary there */
	} else {
		add_quoted(e, str_from(&c, 1), out);
	}
}

void transfer_encode(struct transfer_encoder *e, struct str bytes, struct buf *out)
{
	if (e->encoding == TRANSFER_BASE64) {
		encode_base64(e, bytes, out);
		return;
	}
	for (size_t i = 0; i < bytes.length; i++)
		encode_quoted_byte(e, bytes.data[i], out);
}

void transfer_encode_finish(struct transfer_encoder *e, struct buf *out)
{
	if (e->encoding == TRANSFER_QUOTED_PRINTABLE) {
		release_kept(e, true, out);
		return;
	}
	if (e->kept_length)
		add_base64_group(e, str_from(e->kept, e->kept_length), out);
	if (e->column || e->kept_length)
		buf_add_str(out, STR("\r\n"));
	*e = (struct transfer_encoder){ .encoding = e->encoding, .text = e->text };
}

#include "segment.h"

#include "hash.h"
#include "store_date.h"
#include "text.h"

enum { FRAME_MAGIC = 0x184D2A5E, ALIGNMENT = 64, SEAL_SIZE = 24, NAME_MAX_ENCODED = 6000 };

static const struct str start_magic = { "%posthorn segment 1 ", 20 };
static const struct str record_magic = { "%posthorn record 1 ", 19 };
static const char flag_letters[] = "SAFTD";

/* printf is too slow for what each delivery writes ten times. */
static void add_number(struct buf *out, uint64_t number, size_t width)
{
	char digits[20];
	for (size_t i = width; i-- > 0; number /= 10)
		digits[i] = (char)('0' + number % 10);
	buf_append(out, digits, width);
}

static void add_hex(struct buf *out, uint64_t word)
{
	char digits[16];
	for (size_t i = sizeof digits; i-- > 0; word >>= 4)
		digits[i] = "0123456789abcdef"[word & 15];
	buf_append(out, digits, sizeof digits);
}

static void add_frame(struct buf *out, uint32_t length)
{
	unsigned char frame[SEGMENT_FRAME_SIZE];
	for (size_t i = 0; i < 4; i++) {
		frame[i] = (unsigned char)((uint32_t)FRAME_MAGIC >> 8 * i);
		frame[4 + i] = (unsigned char)(length >> 8 * i);
	}
	buf_append(out, frame, sizeof frame);
}

/* The framed length when bytes begin with our skippable frame, else 0. */
static uint32_t frame_length(struct str bytes)
{
	const unsigned char *frame = (const unsigned char *)bytes.data;
	if (bytes.length < SEGMENT_FRAME_SIZE)
		return 0;
	uint32_t words[2] = {};
	for (size_t i = 0; i < 8; i++)
		words[i / 4] |= (uint32_t)frame[i] << 8 * (i % 4);
	return words[0] == FRAME_MAGIC ? words[1] : 0;
}

void segment_start_encode(struct buf *out, uint64_t number, enum segment_codec codec, const struct segment_key *key)
{
	if (codec == SEGMENT_ZSTD)
		add_frame(out, SEGMENT_START_SIZE);
	buf_add_str(out, start_magic);
	add_number(out, number, 10);
	buf_add_char(out, ' ');
	add_hex(out, key->words[0]);
	add_hex(out, key->words[1]);
	buf_add_char(out, '\n');
}

/* Sticky reader of the fixed lines. */
struct reading {
	struct str rest;
	bool bad;
};

static void expect(struct reading *r, struct str literal)
{
	if (r->bad || !str_starts(r->rest, literal))
		r->bad = true;
	else
		r->rest = str_from_index(r->rest, literal.length);
}

static struct str take(struct reading *r, size_t length)
{
	if (r->bad || r->rest.length < length) {
		r->bad = true;
		return str_from("", 0);
	}
	struct str taken = str_first(r->rest, length);
	r->rest = str_from_index(r->rest, length);
	return taken;
}

static uint64_t take_number(struct reading *r, size_t width, uint64_t max)
{
	uint64_t number = 0;
	if (!str_to_u64(take(r, width), max, &number))
		r->bad = true;
	return number;
}

/* A number of so many lower-case digits. */
static uint64_t take_hex(struct reading *r, size_t width)
{
	struct str digits = take(r, width);
	uint64_t word = 0;
	for (size_t i = 0; i < digits.length; i++) {
		char c = digits.data[i];
		bool letter = c >= 'a' && c <= 'f';
		if (!letter && !char_is_digit(c))
			r->bad = true;
		word = word << 4 | (uint64_t)(letter ? c - 'a' + 10 : c - '0');
	}
	return word;
}

static void take_id(struct reading *r, uint8_t id[16])
{
	for (size_t i = 0; i < 16; i++)
		id[i] = (uint8_t)take_hex(r, 2);
}

size_t segment_start_decode(struct str bytes, uint64_t *number, enum segment_codec *codec, struct segment_key *key)
{
	bool framed = frame_length(bytes) == SEGMENT_START_SIZE;
	struct reading r = { .rest = str_from_index(bytes, framed ? SEGMENT_FRAME_SIZE : 0) };
	expect(&r, start_magic);
	uint64_t found = take_number(&r, 10, UINT64_MAX);
	expect(&r, STR(" "));
	struct segment_key words = { { take_hex(&r, 16), 0 } };
	words.words[1] = take_hex(&r, 16);
	expect(&r, STR("\n"));
	if (r.bad)
		return 0;
	*number = found;
	*codec = framed ? SEGMENT_ZSTD : SEGMENT_RAW;
	*key = words;
	return SEGMENT_START_SIZE + (framed ? SEGMENT_FRAME_SIZE : 0);
}

static bool needs_escape(unsigned char c)
{
	return c < 0x20 || c == '%' || c == 0x7f;
}

static void add_name(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.length; i++) {
		unsigned char c = (unsigned char)name.data[i];
		if (needs_escape(c)) {
			buf_add_char(out, '%');
			buf_add_char(out, "0123456789abcdef"[c >> 4]);
			buf_add_char(out, "0123456789abcdef"[c & 15]);
		} else {
			buf_add_char(out, (char)c);
		}
	}
}

static void add_flags(struct buf *out, uint32_t flags)
{
	for (size_t i = 0; i < sizeof flag_letters - 1; i++)
		buf_add_char(out, flags & 1U << i ? flag_letters[i] : '-');
}

static void add_lines(struct buf *out, const struct segment_header *header, struct str name)
{
	buf_add_str(out, STR("\nsize "));
	add_number(out, header->size, 20);
	buf_add_str(out, STR(" check "));
	add_hex(out, header->check);
	buf_add_str(out, STR("\nid "));
	text_hex_encode(out, str_from((const char *)header->id, sizeof header->id));
	buf_add_str(out, STR(" message "));
	add_number(out, header->message, 20);
	buf_add_str(out, STR("\nreceived "));
	add_number(out, header->received < 0 ? 0 : (uint64_t)store_date_seconds(header->received), 12);
	buf_add_str(out, STR(" uidvalidity "));
	add_number(out, header->uidvalidity, 10);
	buf_add_str(out, STR(" uid "));
	add_number(out, header->uid, 10);
	buf_add_str(out, STR(" flags "));
	add_flags(out, header->flags);
	buf_add_str(out, STR("\nmailbox "));
	add_name(out, name);
	buf_add_char(out, '\n');
}

static size_t escaped_length(struct str name)
{
	size_t length = name.length;
	for (size_t i = 0; i < name.length; i++)
		if (needs_escape((unsigned char)name.data[i]))
			length += 2;
	return length;
}

/* Everything but the name and the padding has a fixed width. */
static size_t fixed_length(enum segment_codec codec)
{
	return record_magic.length + sizeof "mail " - 1 + (codec == SEGMENT_ZSTD ? 5 : 4) +
	       sizeof "header 00000 stored 00000000000000000000" - 1 +
	       sizeof "\nsize 00000000000000000000 check 0000000000000000" - 1 +
	       sizeof "\nid 00000000000000000000000000000000 message 00000000000000000000" - 1 +
	       sizeof "\nreceived 000000000000 uidvalidity 0000000000 uid 0000000000 flags -----" - 1 +
	       sizeof "\nmailbox \n" - 1 + SEAL_SIZE + (codec == SEGMENT_ZSTD ? SEGMENT_FRAME_SIZE : 0);
}

static uint64_t seal_of(const struct segment_key *key, struct str covered)
{
	return hash_sip(key->words, covered.data, covered.length);
}

uint32_t segment_header_encode(struct buf *out, const struct segment_header *header, const struct segment_key *key,
                               uint32_t length)
{
	size_t fixed = fixed_length(header->codec);
	struct str name = escaped_length(header->mailbox) > NAME_MAX_ENCODED ? str_from("", 0) : header->mailbox;
	size_t needed = fixed + escaped_length(name);
	if (!length)
		length = (uint32_t)((needed + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
	if (needed > length) {
		name = str_from("", 0);
		needed = fixed;
	}
	must(needed <= length && length <= SEGMENT_HEADER_MAX);
	size_t start = out->length;
	if (header->codec == SEGMENT_ZSTD)
		add_frame(out, length - SEGMENT_FRAME_SIZE);
	buf_add_str(out, record_magic);
	buf_add_str(out, header->kind == SEGMENT_MAIL ? STR("mail ") : STR("meta "));
	buf_add_str(out, header->codec == SEGMENT_ZSTD ? STR("zstd\n") : STR("raw\n"));
	buf_add_str(out, STR("header "));
	add_number(out, length, 5);
	buf_add_str(out, STR(" stored "));
	add_number(out, header->stored, 20);
	add_lines(out, header, name);
	for (size_t padding = length - needed; padding > 0; padding--)
		buf_add_char(out, ' ');
	uint64_t seal = seal_of(key, str_from(out->data + start, out->length - start));
	buf_add_str(out, STR("\nseal "));
	add_hex(out, seal);
	buf_add_str(out, STR("\n\n"));
	must(out->overflowed || out->length - start == length);
	return length;
}

static void take_name(struct reading *r, struct buf *name)
{
	struct reading line = { .rest = take(r, str_find_char(r->rest, '\n')) };
	while (!line.bad && !str_is_empty(line.rest)) {
		unsigned char c = (unsigned char)*take(&line, 1).data;
		bool escaped = c == '%';
		if (escaped)
			c = (unsigned char)take_hex(&line, 2);
		if (needs_escape(c) != escaped)
			line.bad = true;
		buf_add_char(name, (char)c);
	}
	r->bad = r->bad || line.bad;
	expect(r, STR("\n"));
}

static uint32_t take_flags(struct reading *r)
{
	struct str letters = take(r, sizeof flag_letters - 1);
	uint32_t flags = 0;
	for (size_t i = 0; i < letters.length; i++) {
		if (letters.data[i] == flag_letters[i])
			flags |= 1U << i;
		else if (letters.data[i] != '-')
			r->bad = true;
	}
	return flags;
}

static void take_lines(struct reading *r, struct segment_header *header, struct buf *name)
{
	expect(r, STR("\nsize "));
	header->size = take_number(r, 20, UINT64_MAX);
	expect(r, STR(" check "));
	header->check = take_hex(r, 16);
	expect(r, STR("\nid "));
	take_id(r, header->id);
	expect(r, STR(" message "));
	header->message = take_number(r, 20, INT64_MAX);
	expect(r, STR("\nreceived "));
	header->received = (int64_t)take_number(r, 12, INT64_MAX);
	expect(r, STR(" uidvalidity "));
	header->uidvalidity = (uint32_t)take_number(r, 10, UINT32_MAX);
	expect(r, STR(" uid "));
	header->uid = (uint32_t)take_number(r, 10, UINT32_MAX);
	expect(r, STR(" flags "));
	header->flags = take_flags(r);
	expect(r, STR("\nmailbox "));
	take_name(r, name);
}

static void take_kind(struct reading *r, struct segment_header *header, bool framed)
{
	expect(r, record_magic);
	header->kind = str_starts(r->rest, STR("meta ")) ? SEGMENT_META : SEGMENT_MAIL;
	expect(r, header->kind == SEGMENT_META ? STR("meta ") : STR("mail "));
	header->codec = framed ? SEGMENT_ZSTD : SEGMENT_RAW;
	expect(r, framed ? STR("zstd\n") : STR("raw\n"));
	expect(r, STR("header "));
	header->length = (uint32_t)take_number(r, 5, SEGMENT_HEADER_MAX);
	expect(r, STR(" stored "));
	header->stored = take_number(r, 20, INT64_MAX);
}

size_t segment_header_decode(struct str bytes, const struct segment_key *key, struct segment_header *header,
                             struct buf *name)
{
	uint32_t framed = frame_length(bytes);
	struct reading r = { .rest = str_from_index(bytes, framed ? SEGMENT_FRAME_SIZE : 0) };
	struct segment_header found = {};
	buf_clear(name);
	take_kind(&r, &found, framed);
	if (r.bad || found.length > bytes.length || found.length < SEGMENT_HEADER_MIN ||
	    (framed && framed != found.length - SEGMENT_FRAME_SIZE))
		return 0;
	struct str covered = str_first(bytes, found.length - SEAL_SIZE);
	struct reading end = { .rest = str_from(bytes.data + covered.length, SEAL_SIZE) };
	expect(&end, STR("\nseal "));
	if (take_hex(&end, 16) != seal_of(key, covered))
		return 0;
	expect(&end, STR("\n\n"));
	r.rest = str_from(r.rest.data, (size_t)(covered.data + covered.length - r.rest.data));
	take_lines(&r, &found, name);
	while (!r.bad && !str_is_empty(r.rest))
		expect(&r, STR(" "));
	if (r.bad || end.bad || name->overflowed)
		return 0;
	found.mailbox = buf_str(name);
	*header = found;
	return found.length;
}

size_t segment_find(struct str bytes, size_t from)
{
	while (from < bytes.length) {
		const char *at = memchr(bytes.data + from, '%', bytes.length - from);
		if (!at)
			return bytes.length;
		size_t index = (size_t)(at - bytes.data);
		struct str here = str_from_index(bytes, index);
		if (str_starts(record_magic, str_first(here, record_magic.length)))
			return index >= from + SEGMENT_FRAME_SIZE && frame_length(str_from_index(bytes, index - SEGMENT_FRAME_SIZE))
			           ? index - SEGMENT_FRAME_SIZE
			           : index;
		from = index + 1;
	}
	return bytes.length;
}

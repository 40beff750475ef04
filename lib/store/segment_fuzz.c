/* What is read from a damaged segment: a header that decodes encodes to the same bytes, with the same name, and
 * a search never leaves its bounds, never goes back and always finds what decodes. */
#include "segment.h"

#include "check.h"
#include "hash.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct segment_key key = { { 1, 2 } };

/* The fuzzer can't guess a seal: when the input is a header but for its seal, it gets the right one. */
static void seal(char *data, size_t size)
{
	uint64_t length = 0;
	struct str text = str_from(data, size);
	size_t at = str_find(text, STR("\nheader "));
	if (!str_to_u64(str_first(str_from_index(text, at + 8), 5), text.length, &length) || length < SEGMENT_HEADER_MIN)
		return;
	uint64_t word = hash_sip(key.words, data, length - 24);
	char *digits = data + length - 18;
	for (size_t i = 16; i-- > 0; word >>= 4)
		digits[i] = "0123456789abcdef"[word & 15];
	memcpy(digits - 6, "\nseal ", 6);
	memcpy(digits + 16, "\n\n", 2);
}

static void check_decoded(struct str bytes, const struct segment_header *header, size_t length)
{
	struct buf again = BUF_WITH_LIMIT(SEGMENT_HEADER_MAX);
	must(length >= SEGMENT_HEADER_MIN && length <= SEGMENT_HEADER_MAX && length <= bytes.length);
	must(header->length == length);
	must(segment_header_encode(&again, header, &key, header->length) == length);
	must(str_equal(buf_str(&again), str_first(bytes, length)));
	must(segment_find(bytes, 0) == 0);
	buf_release(&again);
}

static void check_made(struct str bytes)
{
	struct buf out = BUF_WITH_LIMIT(SEGMENT_HEADER_MAX);
	struct buf name = BUF_WITH_LIMIT(SEGMENT_HEADER_MAX);
	struct segment_header header = { .mailbox = bytes, .uid = 5, .size = bytes.length, .stored = bytes.length };
	struct segment_header read;
	header.codec = bytes.length % 2 ? SEGMENT_ZSTD : SEGMENT_RAW;
	uint32_t length = segment_header_encode(&out, &header, &key, 0);
	must(segment_header_decode(buf_str(&out), &key, &read, &name) == length);
	must(str_is_empty(read.mailbox) || str_equal(read.mailbox, bytes));
	check_decoded(buf_str(&out), &read, length);
	buf_release(&out);
	buf_release(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size); /* exactly: a sanitizer sees the first octet beyond */
	must(copy || !size);
	if (size)
		memcpy(copy, data, size);
	seal(copy, size);
	struct str bytes = str_from(copy, size);
	struct buf name = BUF_WITH_LIMIT(SEGMENT_HEADER_MAX);
	struct segment_header header;
	size_t length = segment_header_decode(bytes, &key, &header, &name);
	if (length)
		check_decoded(bytes, &header, length);
	for (size_t at = 0, next; at < size; at = next + 1) {
		next = segment_find(bytes, at);
		must(next >= at && next <= size);
	}
	uint64_t number = 0;
	enum segment_codec codec;
	struct segment_key found;
	must(segment_start_decode(bytes, &number, &codec, &found) <= size);
	if (size <= 1000)
		check_made(bytes);
	buf_release(&name);
	free(copy);
	return 0;
}

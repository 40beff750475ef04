#include "dmarc_feedback.h"

#include <zlib.h>

enum { PIECE = 65536, GZIP_WINDOW = 15 + 16, RAW_WINDOW = -15, ZIP_HEADER = 30 };

/* Ends at the end of the stream; a stream that does not end is damaged. */
static bool inflate_all(struct str packed, int window, struct buf *out, struct fail **fail)
{
	z_stream stream = { .next_in = (unsigned char *)(uintptr_t)packed.data, .avail_in = (unsigned)packed.length };
	int code = Z_OK;
	must(packed.length <= UINT32_MAX && inflateInit2(&stream, window) == Z_OK);
	while (code == Z_OK) {
		size_t left = out->limit - out->length;
		size_t room = left < PIECE ? left : PIECE;
		char *at = room ? buf_reserve(out, room) : NULL;
		if (!at)
			break;
		stream.next_out = (unsigned char *)at;
		stream.avail_out = (unsigned)room;
		code = inflate(&stream, Z_NO_FLUSH);
		buf_claim(out, room - stream.avail_out);
	}
	inflateEnd(&stream);
	if (code == Z_STREAM_END)
		return true;
	if (code == Z_OK)
		return fail_set(fail, FAIL_TOO_BIG, "unpacked it is larger than %zu octets", out->limit);
	return fail_set(fail, FAIL_CORRUPT, "it is damaged: it cannot be unpacked");
}

static uint32_t little(struct str s, size_t at, size_t octets)
{
	uint32_t number = 0;
	for (size_t i = octets; i-- > 0;)
		number = number << 8 | (unsigned char)s.data[at + i];
	return number;
}

/* APPNOTE.TXT §4.3.7: the local header before the first file; its sizes may be missing, so deflate's own end counts. */
static bool unzip_first(struct str zip, struct buf *out, struct fail **fail)
{
	enum { ENCRYPTED = 1, STORED = 0, DEFLATED = 8 };
	if (zip.length < ZIP_HEADER)
		return fail_set(fail, FAIL_CORRUPT, "it is damaged: a ZIP file ends early");
	unsigned flags = little(zip, 6, 2), method = little(zip, 8, 2);
	size_t size = little(zip, 18, 4), names = (size_t)little(zip, 26, 2) + little(zip, 28, 2);
	struct str content = str_from_index(zip, ZIP_HEADER + names);
	if (flags & ENCRYPTED)
		return fail_set(fail, FAIL_INVALID, "it is encrypted");
	if (method == DEFLATED)
		return inflate_all(content, RAW_WINDOW, out, fail);
	if (method != STORED || size > content.length)
		return fail_set(fail, FAIL_CORRUPT, "it is damaged, or packed in an unknown way");
	return buf_add_str(out, str_first(content, size)) || fail_set(fail, FAIL_TOO_BIG, "unpacked it is larger than %zu octets", out->limit);
}

bool dmarc_feedback_unpack(struct str packed, struct buf *out, struct fail **fail)
{
	if (str_starts(packed, STR("\x1f\x8b")))
		return inflate_all(packed, GZIP_WINDOW, out, fail);
	if (str_starts(packed, STR("PK\x03\x04")))
		return unzip_first(packed, out, fail);
	return buf_add_str(out, packed) || fail_set(fail, FAIL_TOO_BIG, "it is larger than %zu octets", out->limit);
}

#include "dmarc_feedback.h"

#include <zlib.h>

enum { PIECE = 65536, GZIP_WINDOW = 15 + 16, RAW_WINDOW = -15, ZIP_HEADER = 30, ZIP_ENTRY = 46, ZIP_END = 22,
	ZIP_FILES_MAX = 1000 };

/* Takes a stream off the front; one that does not end is damaged. */
static bool inflate_one(struct str *packed, int window, struct buf *out, struct fail **fail)
{
	z_stream stream = { .next_in = (unsigned char *)(uintptr_t)packed->data, .avail_in = (unsigned)packed->length };
	int code = Z_OK;
	must(packed->length <= UINT32_MAX && inflateInit2(&stream, window) == Z_OK);
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
	*packed = str_from_index(*packed, packed->length - stream.avail_in);
	inflateEnd(&stream);
	if (code == Z_STREAM_END)
		return true;
	if (code == Z_OK)
		return fail_set(fail, FAIL_TOO_BIG, "unpacked it is larger than %zu octets", out->limit);
	return fail_set(fail, FAIL_CORRUPT, "it is damaged: it cannot be unpacked");
}

static bool is_gzip(struct str packed)
{
	return str_starts(packed, STR("\x1f\x8b"));
}

/* RFC 1952 §2.2: members stand one behind the other; what else is there is passed over. */
static bool gunzip(struct str packed, struct buf *out, struct fail **fail)
{
	bool good = true;
	while (good && is_gzip(packed))
		good = inflate_one(&packed, GZIP_WINDOW, out, fail);
	return good;
}

static uint32_t little(struct str s, size_t at, size_t octets)
{
	uint32_t number = 0;
	for (size_t i = octets; i-- > 0;)
		number = number << 8 | (unsigned char)s.data[at + i];
	return number;
}

/* APPNOTE.TXT §4.3.7: a local header and its file; the sizes may be missing, so deflate's own end counts. */
static bool unzip_file(struct str zip, struct buf *out, struct fail **fail)
{
	enum { ENCRYPTED = 1, STORED = 0, DEFLATED = 8 };
	if (zip.length < ZIP_HEADER || !str_starts(zip, STR("PK\x03\x04")))
		return fail_set(fail, FAIL_CORRUPT, "it is damaged: a ZIP file ends early");
	unsigned flags = little(zip, 6, 2), method = little(zip, 8, 2);
	size_t size = little(zip, 18, 4), names = (size_t)little(zip, 26, 2) + little(zip, 28, 2);
	struct str content = str_from_index(zip, ZIP_HEADER + names);
	if (flags & ENCRYPTED)
		return fail_set(fail, FAIL_INVALID, "it is encrypted");
	if (method == DEFLATED)
		return inflate_one(&content, RAW_WINDOW, out, fail);
	if (method != STORED || size > content.length)
		return fail_set(fail, FAIL_CORRUPT, "it is damaged, or packed in an unknown way");
	return buf_add_str(out, str_first(content, size)) ||
	       fail_set(fail, FAIL_TOO_BIG, "unpacked it is larger than %zu octets", out->limit);
}

/* §4.3.16: it stands last, before a comment of 65,535 octets at most. Empty: it was cut off. */
static struct str zip_directory(struct str zip)
{
	for (size_t back = ZIP_END; back <= zip.length && back <= ZIP_END + UINT16_MAX; back++) {
		struct str end = str_from_index(zip, zip.length - back);
		if (str_starts(end, STR("PK\x05\x06")))
			return str_from_index(zip, little(end, 16, 4));
	}
	return STR("");
}

/* §4.3.12: the first XML file; some senders put a folder or a note before it. Without any: what stands first. */
static struct str find_file(struct str zip)
{
	struct str directory = zip_directory(zip);
	for (unsigned i = 0; i < ZIP_FILES_MAX && directory.length >= ZIP_ENTRY && str_starts(directory, STR("PK\x01\x02")); i++) {
		size_t name_length = little(directory, 28, 2),
			more = (size_t)little(directory, 30, 2) + little(directory, 32, 2);
		struct str name = str_first(str_from_index(directory, ZIP_ENTRY), name_length);
		if (name.length >= 4 && str_equal_nocase(str_from_index(name, name.length - 4), STR(".xml")))
			return str_from_index(zip, little(directory, 42, 4));
		directory = str_from_index(directory, ZIP_ENTRY + name_length + more);
	}
	return zip;
}

bool dmarc_feedback_unpack(struct str packed, struct buf *out, struct fail **fail)
{
	if (is_gzip(packed))
		return gunzip(packed, out, fail);
	if (str_starts(packed, STR("PK\x03\x04")))
		return unzip_file(find_file(packed), out, fail);
	return buf_add_str(out, packed) || fail_set(fail, FAIL_TOO_BIG, "it is larger than %zu octets", out->limit);
}

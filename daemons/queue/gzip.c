#include "gzip.h"

#include "check.h"

#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, GZIP_MEMORY = 8 };

bool gzip_pack(struct buf *out, struct str text, size_t max)
{
	z_stream stream = { .next_in = (unsigned char *)(uintptr_t)text.data, .avail_in = (unsigned)text.length };
	char *room = buf_reserve(out, max);
	if (!room)
		return false;
	must(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) ==
	     Z_OK);
	stream.next_out = (unsigned char *)room;
	stream.avail_out = (unsigned)max;
	bool whole = deflate(&stream, Z_FINISH) == Z_STREAM_END;
	if (whole)
		buf_claim(out, max - stream.avail_out);
	deflateEnd(&stream);
	return whole;
}

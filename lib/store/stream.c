#include "store_internal.h"

#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

enum { INPUT_SIZE = 65536 };

struct store_stream {
	struct store *store;
	struct segment_file *file;
	struct body_place place;
	uint64_t taken; /* of the stored bytes */
	uint64_t given; /* of the mail */
	bool skipped;   /* some of it was not read: no checksum */
	XXH3_state_t *hash;
	ZSTD_DStream *decompressor; /* NULL: raw */
	char *input;
	ZSTD_inBuffer pending;
};

struct store_stream *store_stream_open(struct store_reader *reader, uint64_t message, uint64_t *size,
                                       struct fail **fail)
{
	struct body_place place;
	struct segment_file *file = body_open(reader, message, &place, fail);
	if (!file)
		return NULL;
	struct store_stream *stream = mem_alloc(sizeof *stream);
	stream->store = reader->store;
	stream->file = file;
	stream->place = place;
	stream->hash = XXH3_createState();
	must(stream->hash);
	XXH3_64bits_reset(stream->hash);
	if (place.codec == SEGMENT_ZSTD) {
		stream->decompressor = ZSTD_createDStream();
		must(stream->decompressor);
		stream->input = mem_alloc(INPUT_SIZE);
		stream->pending.src = stream->input;
	}
	*size = place.size;
	return stream;
}

static bool refill(struct store_stream *stream, struct fail **fail)
{
	uint64_t left = stream->place.stored - stream->taken;
	size_t length = left < INPUT_SIZE ? (size_t)left : INPUT_SIZE;
	if (!length)
		return fail_set(fail, FAIL_CORRUPT, "segment %llu at %llu ends early",
		                (unsigned long long)stream->place.segment, (unsigned long long)stream->place.offset);
	uint64_t at = stream->place.offset + stream->place.header + stream->taken;
	if (!segment_file_read(stream->file, at, stream->input, length, fail))
		return false;
	stream->taken += length;
	stream->pending.size = length;
	stream->pending.pos = 0;
	return true;
}

static bool decompress(struct store_stream *stream, void *to, size_t length, struct fail **fail)
{
	ZSTD_outBuffer out = { to, length, 0 };
	while (out.pos < length) {
		if (stream->pending.pos == stream->pending.size && !refill(stream, fail))
			return false;
		size_t result = ZSTD_decompressStream(stream->decompressor, &out, &stream->pending);
		if (ZSTD_isError(result))
			return fail_set(fail, FAIL_CORRUPT, "segment %llu at %llu does not decompress",
			                (unsigned long long)stream->place.segment, (unsigned long long)stream->place.offset);
	}
	return true;
}

int64_t store_stream_read(struct store_stream *stream, void *to, size_t length, struct fail **fail)
{
	uint64_t left = stream->place.size - stream->given;
	length = left < length ? (size_t)left : length;
	if (!length)
		return 0;
	uint64_t at = stream->place.offset + stream->place.header + stream->given;
	if (!(stream->decompressor ? decompress(stream, to, length, fail)
	                           : segment_file_read(stream->file, at, to, length, fail)))
		return -1;
	stream->given += length;
	XXH3_64bits_update(stream->hash, to, length);
	if (!stream->skipped && stream->given == stream->place.size && XXH3_64bits_digest(stream->hash) != stream->place.check) {
		fail_set(fail, FAIL_CORRUPT, "segment %llu at %llu is damaged", (unsigned long long)stream->place.segment,
		         (unsigned long long)stream->place.offset);
		return -1;
	}
	return (int64_t)length;
}

bool store_stream_skip(struct store_stream *stream, uint64_t length, struct fail **fail)
{
	char dropped[4096];
	if (!stream->decompressor) {
		uint64_t left = stream->place.size - stream->given;
		stream->given += length < left ? length : left;
		stream->skipped |= length > 0;
		return true;
	}
	while (length) {
		int64_t got = store_stream_read(stream, dropped, length < sizeof dropped ? (size_t)length : sizeof dropped,
		                                fail);
		if (got <= 0)
			return got == 0;
		length -= (uint64_t)got;
	}
	return true;
}

void store_stream_close(struct store_stream **stream)
{
	struct store_stream *s = *stream;
	*stream = NULL;
	if (!s)
		return;
	segments_unuse(&s->store->segments, s->file);
	XXH3_freeState(s->hash);
	ZSTD_freeDStream(s->decompressor);
	free(s->input);
	free(s);
}

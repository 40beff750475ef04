#include "salvage.h"

#include "mem.h"

#include <errno.h>
#include <unistd.h>

enum { WINDOW = 1 << 20, UNREADABLE = 4096 };

struct scan {
	const struct segment_file *file;
	const struct segment_key *key;
	uint64_t size;
	char *window;
	uint64_t start; /* of the window in the file */
	size_t length;
	struct buf name;
};

/* What the disk can't read counts as zeros, a block at a time, so that what is behind it is found. */
static void fill(struct scan *scan, uint64_t at)
{
	uint64_t left = scan->size - at;
	size_t wanted = left < WINDOW ? (size_t)left : WINDOW;
	scan->start = at;
	scan->length = 0;
	while (scan->length < wanted) {
		size_t room = wanted - scan->length;
		ssize_t got = pread(scan->file->file, scan->window + scan->length, room, (off_t)(at + scan->length));
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			break;
		if (got < 0) {
			size_t block = room < UNREADABLE ? room : UNREADABLE;
			got = pread(scan->file->file, scan->window + scan->length, block, (off_t)(at + scan->length));
			if (got <= 0) {
				memset(scan->window + scan->length, 0, block);
				got = (ssize_t)block;
			}
		}
		scan->length += (size_t)got;
	}
}

/* The bytes from at on: at least a header's worth unless the file ends. */
static struct str view(struct scan *scan, uint64_t at)
{
	bool inside = at >= scan->start && at + SEGMENT_HEADER_MAX <= scan->start + scan->length;
	bool at_end = at >= scan->start && scan->start + scan->length == scan->size;
	if (!inside && !at_end)
		fill(scan, at);
	size_t skipped = (size_t)(at - scan->start);
	return skipped >= scan->length ? str_from("", 0) : str_from(scan->window + skipped, scan->length - skipped);
}

/* The place of the next whole header at or after from, or the file's end. */
static uint64_t find_header(struct scan *scan, uint64_t from, struct segment_header *header)
{
	while (from < scan->size) {
		struct str bytes = view(scan, from);
		if (str_is_empty(bytes))
			break;
		if (segment_header_decode(bytes, scan->key, header, &scan->name))
			return from;
		size_t next = segment_find(bytes, 1);
		/* one that begins in the last bytes of a window is looked at again in the next */
		size_t last = bytes.length > SEGMENT_HEADER_MAX ? bytes.length - SEGMENT_HEADER_MAX : bytes.length;
		from += next <= last || last == bytes.length ? next : last;
	}
	return scan->size;
}

bool salvage_scan(const struct segment_file *file, struct segment_key *key, const struct salvage *salvage,
                  struct fail **fail)
{
	CLEANUP(mem_free) char *window = mem_alloc(WINDOW);
	struct scan scan = {
		.file = file, .key = key, .size = segment_file_size(file), .window = window, .name.limit = SEGMENT_HEADER_MAX
	};
	char first;
	if (scan.size && pread(file->file, &first, 1, 0) < 0 && errno != EIO)
		return fail_set_errno(fail, FAIL_IO, "read of segment %llu", (unsigned long long)file->number);
	uint64_t number = 0;
	enum segment_codec codec;
	uint64_t at = segment_start_decode(view(&scan, 0), &number, &codec, key);
	while (at < scan.size) {
		struct segment_header header;
		uint64_t found = find_header(&scan, at, &header);
		if (found > at)
			salvage->gap(salvage->context, at, found - at);
		if (found == scan.size)
			break;
		salvage->record(salvage->context, found, &header);
		at = found + header.length + header.stored;
	}
	buf_release(&scan.name);
	return true;
}

/* A segment file of any content: what is found tiles the file in order, without overlap, whatever a header claims. */
#include "salvage.h"

#include "check.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tiling {
	uint64_t next, size;
	bool ended; /* by a record that claims to pass the end */
};

static void on_record(void *context, uint64_t offset, const struct segment_header *header)
{
	struct tiling *tiling = context;
	must(!tiling->ended && offset == tiling->next && offset + header->length <= tiling->size);
	must(header->length >= SEGMENT_HEADER_MIN && header->length <= SEGMENT_HEADER_MAX);
	tiling->next = offset + header->length + header->stored;
	tiling->ended = tiling->next >= tiling->size;
}

static void on_gap(void *context, uint64_t offset, uint64_t length)
{
	struct tiling *tiling = context;
	must(!tiling->ended && offset == tiling->next && length > 0 && offset + length <= tiling->size);
	tiling->next = offset + length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct segment_file file;
	if (!file.file)
		file.file = memfd_create("segment", MFD_CLOEXEC);
	must(ftruncate(file.file, 0) == 0 && pwrite(file.file, data, size, 0) == (ssize_t)size);
	uint64_t number = 0;
	enum segment_codec codec;
	struct segment_key key = { { 1, 2 } };
	size_t start = segment_start_decode(str_from((const char *)data, size), &number, &codec, &key);
	struct tiling tiling = { .next = start, .size = size };
	struct salvage salvage = { on_record, on_gap, &tiling };
	must(salvage_scan(&file, &key, &salvage, NULL));
	must(tiling.next >= size);
	return 0;
}

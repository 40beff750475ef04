/* Fields lie behind each other within the block, the block within the text; unfolded values are one line. */
#include "header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size);
	CLEANUP(arena_cleanup) struct arena *a = arena_new((size_t)64 << 20);
	struct header_reader r;
	struct header_field field;
	size_t end = 0;
	header_begin(&r, text);
	while (header_next(&r, &field)) {
		must(field.offset >= end && field.length > field.name.length && field.name.length > 0);
		end = field.offset + field.length;
		must(end <= size && field.name.data == text.data + field.offset);
		must(field.value.data + field.value.length <= text.data + end);
		struct str unfolded = header_unfold(a, field.value);
		for (size_t i = 0; i < unfolded.length; i++)
			must(unfolded.data[i] != '\r' && unfolded.data[i] != '\n' && unfolded.data[i] != '\0');
	}
	size_t body = header_finish(&r);
	must(body >= end && body <= size && body == header_size(text));
	return 0;
}

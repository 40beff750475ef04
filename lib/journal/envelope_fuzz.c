/* What decodes encodes to the same bytes again, and the body has the size told. */
#include "envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
	CLEANUP(buf_release) struct buf again = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct str bytes = str_from((const char *)data, size), rest, body;
	struct envelope e, record;
	bool is_record = envelope_decode_record(bytes, arena, &record, &body, NULL);
	if (!envelope_decode(bytes, arena, &e, &rest, &fail)) {
		must(fail && fail->kind == FAIL_CORRUPT && !is_record);
		return 0;
	}
	must(!is_record || body.length == (record.body_in_file ? 0 : record.body_size));
	must(envelope_encode(&e, &again, NULL));
	must(again.length + rest.length == size && memcmp(again.data, data, again.length) == 0);
	return 0;
}

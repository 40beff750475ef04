/* What decodes encodes to the same bytes again (of the present version), and the body has the size told. */
#include "envelope.h"

/* What the older formats lacked: of each recipient the length of a detail, of each mail half of the flags and two
 * times. */
enum { VERSION_AT = 4, GROWTH_OF_RECIPIENT = 2, GROWTH_OF_MAIL = 1 + 8 + 8 };

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
	unsigned version = data[VERSION_AT];
	size_t growth = (version < 2 ? GROWTH_OF_RECIPIENT * e.recipient_count : 0) + (version < 3 ? GROWTH_OF_MAIL : 0);
	must(again.length + rest.length == size + growth);
	must(version != (unsigned char)again.data[VERSION_AT] || memcmp(again.data, data, again.length) == 0);
	return 0;
}

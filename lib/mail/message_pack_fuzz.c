/* A damaged blob fails or is a message whose parts lie within each other. */
#include "mail_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	struct str blob = str_from((const char *)data, size);
	struct message message;
	struct mail_envelope envelope;
	bool fits = message_unpack_envelope(a, blob, &envelope, NULL);
	bool has_structure = message_unpack_structure(a, blob, NULL);
	if (!message_unpack(a, blob, &message, NULL))
		return 0;
	must(fits && has_structure);
	for (const struct mime_part *part = message.root; part; part = mime_next(part)) {
		const struct mime_part *up = part->parent;
		size_t end = part->body_offset + part->body_size;
		must(part->header_offset <= part->body_offset && part->body_offset <= end);
		must(!up || (part->header_offset >= up->body_offset && end <= up->body_offset + up->body_size));
	}
	return 0;
}

/* Every text is a message that keeps its invariants and survives packing. */
#include "mail_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	struct str text = str_from((const char *)data, size);
	struct message message;
	message_parse(a, text, &message);
	check_message(&message, text);
	check_pack(&message);
	return 0;
}

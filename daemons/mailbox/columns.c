#include "columns.h"

enum { PACKED_MAX = 16 << 20 };

static uint32_t count_lines(struct str text)
{
	uint32_t lines = 0;
	for (size_t end; (end = str_find_char(text, '\n')) < text.length; text = str_from_index(text, end + 1))
		lines++;
	return lines;
}

void columns_fill(struct arena *arena, struct str text, struct store_message_columns *columns)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(PACKED_MAX);
	struct message message;
	message_parse(arena, text, &message);
	*columns = (struct store_message_columns){
		.headers = message.subset, .subject = message.base_subject, .message_id = message.id,
		.references = message.references, .reference_count = message.reference_count,
		.sent = message.flags & MESSAGE_HAS_DATE ? message.date.seconds : 0, .lines = count_lines(text),
	};
	/* Too many parts for a blob: the structure is found again from the octets when somebody asks. */
	if (message_pack(&message, &packed))
		columns->structure = arena_copy(arena, buf_str(&packed));
}

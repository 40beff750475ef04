#include "columns.h"

#include "reencode.h"

enum { PACKED_MAX = 16 << 20, REENCODING_MAX = 1 << 20 };

static uint32_t count_lines(struct str text)
{
	uint32_t lines = 0;
	for (size_t end; (end = str_find_char(text, '\n')) < text.length; text = str_from_index(text, end + 1))
		lines++;
	return lines;
}

/* RFC 3030 §3: what came as binary cannot be served as lines. */
static bool make_lines(struct arena *arena, struct buf *text, struct message *message)
{
	if (!reencode_is_needed(message->root))
		return true;
	struct buf encoded = BUF_WITH_LIMIT(text->limit + text->limit / 2 + REENCODING_MAX);
	bool done = reencode_message(&encoded, buf_str(text), message->root);
	buf_release(text);
	*text = encoded;
	message_parse(arena, buf_str(text), message);
	return done;
}

bool columns_fill(struct arena *arena, struct buf *text, struct store_message_columns *columns)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(PACKED_MAX);
	struct message message;
	message_parse(arena, buf_str(text), &message);
	if (!make_lines(arena, text, &message))
		return false;
	*columns = (struct store_message_columns){
		.headers = message.subset, .subject = message.base_subject, .message_id = message.id,
		.references = message.references, .reference_count = message.reference_count,
		.sent = message.flags & MESSAGE_HAS_DATE ? message.date.seconds : 0, .lines = count_lines(buf_str(text)),
		.traits = message.flags & MESSAGE_HAS_8BIT_HEADER ? STORE_HAS_8BIT_HEADER : 0,
	};
	/* Too many parts for a blob: the structure is found again from the octets when somebody asks. */
	if (message_pack(&message, &packed))
		columns->structure = arena_copy(arena, buf_str(&packed));
	return true;
}

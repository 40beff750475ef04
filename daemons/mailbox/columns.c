#include "columns.h"

#include "reencode.h"
#include "text.h"

enum { PACKED_MAX = 16 << 20, REENCODING_MAX = 1 << 20 };

/* Blocks of a fixed length, counted in one octet, are what the compiler makes vectors of. */
static uint32_t count_lines(struct str text)
{
	enum { BLOCK = 128 };
	uint32_t lines = 0;
	size_t at = 0;
	for (; text.length - at >= BLOCK; at += BLOCK) {
		uint8_t found = 0;
		for (size_t i = 0; i < BLOCK; i++)
			found = (uint8_t)(found + (text.data[at + i] == '\n'));
		lines += found;
	}
	for (; at < text.length; at++)
		lines += text.data[at] == '\n';
	return lines;
}

/* RFC 3030 §3: what came as binary cannot be served as lines. What only calls itself binary can: it stays as it is. */
static bool make_lines(struct arena *arena, struct buf *text, struct message *message)
{
	if (!reencode_is_needed(message->root) || reencode_is_lines(buf_str(text)))
		return true;
	struct buf encoded = BUF_WITH_LIMIT(text->limit + text->limit / 2 + REENCODING_MAX);
	bool done = reencode_message(&encoded, buf_str(text), message->root);
	buf_release(text);
	*text = encoded;
	message_parse(arena, buf_str(text), message);
	return done;
}

/* RFC 6532 means UTF-8. Old mail with other bytes in headers stays as it is: no client was ever told what they mean. */
static bool has_utf8_header(const struct message *message, struct str text)
{
	for (const struct mime_part *part = message->root; part; part = mime_next(part)) {
		struct str header = mime_header(part, text);
		if (!text_is_ascii(header) && text_is_utf8(header))
			return true;
	}
	return false;
}

static uint32_t traits_of(const struct message *message, struct str text)
{
	uint32_t traits = str_ends_nocase(text, STR("\r\n")) ? 0 : STORE_ENDS_WITHIN_LINE;
	if (message->flags & MESSAGE_HAS_8BIT_HEADER && has_utf8_header(message, text))
		traits |= STORE_HAS_8BIT_HEADER;
	return traits;
}

/* The blank line behind it says that the subset lacks none of the fields of its names, so that it can answer for the
 * header. */
static struct str complete_subset(struct arena *arena, const struct message *message, struct str text)
{
	struct str header = mime_header(message->root, text);
	bool complete = message->flags & MESSAGE_SUBSET_COMPLETE && str_ends_nocase(header, STR("\n\r\n"));
	if (!complete || !str_ends_nocase(message->subset, STR("\r\n")))
		return message->subset;
	char *copy = arena_alloc(arena, message->subset.length + 2);
	memcpy(copy, message->subset.data, message->subset.length);
	memcpy(copy + message->subset.length, "\r\n", 2);
	return str_from(copy, message->subset.length + 2);
}

bool columns_fill(struct arena *arena, struct buf *text, struct store_message_columns *columns)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(PACKED_MAX);
	struct message message;
	message_parse(arena, buf_str(text), &message);
	if (!make_lines(arena, text, &message))
		return false;
	*columns = (struct store_message_columns){
		.headers = complete_subset(arena, &message, buf_str(text)), .subject = message.base_subject,
		.message_id = message.id, .references = message.references, .reference_count = message.reference_count,
		.sent = message.flags & MESSAGE_HAS_DATE ? message.date.seconds : 0, .lines = count_lines(buf_str(text)),
		.traits = traits_of(&message, buf_str(text)),
	};
	/* Too many parts for a blob: the structure is found again from the octets when somebody asks. */
	if (message_pack(&message, &packed))
		columns->structure = arena_copy(arena, buf_str(&packed));
	return true;
}

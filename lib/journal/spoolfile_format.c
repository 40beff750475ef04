#include "spoolfile_format.h"

#include "wire.h"

#include <xxhash.h>

static const char header_magic[8] = "PHspool1";
static const char entry_magic[4] = "PHsl";
enum { STATES_AT = 256, CHECK_AT = SPOOLFILE_HEADER_SIZE - 8 };
_Static_assert(STATES_AT + LIMIT_ENVELOPE_RECIPIENTS_MAX <= CHECK_AT, "all states fit into the header");

uint64_t spoolfile_check(uint64_t id, struct str bytes)
{
	return XXH3_64bits_withSeed(bytes.data, bytes.length, id);
}

uint64_t spoolfile_body_offset(const struct spoolfile_header *header)
{
	return SPOOLFILE_HEADER_SIZE + (uint64_t)header->envelope_length;
}

uint64_t spoolfile_log_offset(const struct spoolfile_header *header)
{
	return spoolfile_align(spoolfile_body_offset(header) + (header->body_in_file ? 0 : header->body_size));
}

void spoolfile_header_encode(uint8_t bytes[SPOOLFILE_HEADER_SIZE], const struct spoolfile_header *header)
{
	memset(bytes, 0, SPOOLFILE_HEADER_SIZE);
	memcpy(bytes, header_magic, sizeof header_magic);
	wire_put_u64(bytes + 8, header->id);
	wire_put_u64(bytes + 16, (uint64_t)header->received);
	wire_put_u64(bytes + 24, header->body_size);
	wire_put_u64(bytes + 32, header->body_check);
	memcpy(bytes + 40, header->origin.bytes, sizeof header->origin.bytes);
	wire_put_u64(bytes + 56, header->origin_sequence);
	wire_put_u64(bytes + 64, header->envelope_check);
	wire_put_u32(bytes + 72, header->envelope_length);
	wire_put_u32(bytes + 76, header->recipient_count);
	bytes[80] = header->body_in_file;
	memcpy(bytes + STATES_AT, header->states, header->recipient_count);
	wire_put_u64(bytes + CHECK_AT, spoolfile_check(header->id, str_from((const char *)bytes, CHECK_AT)));
}

static bool header_is_valid(const struct spoolfile_header *header)
{
	if (header->recipient_count < 1 || header->recipient_count > LIMIT_ENVELOPE_RECIPIENTS_MAX ||
	    header->envelope_length > LIMIT_ENVELOPE_SIZE_MAX ||
	    (!header->body_in_file && header->body_size > LIMIT_INLINE_BODY_MAX))
		return false;
	for (size_t i = 0; i < header->recipient_count; i++)
		if (header->states[i] >= ENVELOPE_STATE_COUNT)
			return false;
	return true;
}

bool spoolfile_header_decode(const uint8_t bytes[SPOOLFILE_HEADER_SIZE], uint64_t id, struct spoolfile_header *header)
{
	if (memcmp(bytes, header_magic, sizeof header_magic) != 0 || wire_get_u64(bytes + 8) != id ||
	    wire_get_u64(bytes + CHECK_AT) != spoolfile_check(id, str_from((const char *)bytes, CHECK_AT)))
		return false;
	*header = (struct spoolfile_header){
		.id = id,
		.received = (int64_t)wire_get_u64(bytes + 16),
		.body_size = wire_get_u64(bytes + 24),
		.body_check = wire_get_u64(bytes + 32),
		.origin_sequence = wire_get_u64(bytes + 56),
		.envelope_check = wire_get_u64(bytes + 64),
		.envelope_length = wire_get_u32(bytes + 72),
		.recipient_count = wire_get_u32(bytes + 76),
		.body_in_file = bytes[80] != 0,
	};
	memcpy(header->origin.bytes, bytes + 40, sizeof header->origin.bytes);
	memcpy(header->states, bytes + STATES_AT, sizeof header->states);
	return header_is_valid(header);
}

static uint64_t entry_check(uint64_t id, uint64_t offset, const void *entry, size_t length)
{
	return XXH3_64bits_withSeed((const char *)entry + 8, length - 8, id ^ (offset << 20));
}

void spoolfile_entry_encode(struct buf *out, uint64_t id, uint64_t offset, const struct spoolfile_result *result)
{
	struct str reply = str_first(result->reply, SPOOLFILE_REPLY_MAX);
	size_t length = SPOOLFILE_ENTRY_HEAD + reply.length, span = spoolfile_align(length);
	char *entry = buf_reserve(out, span);
	if (!entry)
		return;
	memset(entry, 0, span);
	memcpy(entry + 8, entry_magic, sizeof entry_magic);
	wire_put_u16(entry + 12, (uint16_t)reply.length);
	entry[14] = (char)result->state;
	wire_put_u32(entry + 16, result->recipient);
	wire_put_u32(entry + 20, result->attempts);
	wire_put_u64(entry + 24, (uint64_t)result->last_attempt);
	wire_put_u64(entry + 32, (uint64_t)result->next_attempt);
	if (reply.length > 0)
		memcpy(entry + SPOOLFILE_ENTRY_HEAD, reply.data, reply.length);
	wire_put_u64(entry, entry_check(id, offset, entry, length));
	buf_claim(out, span);
}

bool spoolfile_entry_decode(struct str bytes, uint64_t id, uint64_t offset, struct spoolfile_result *result,
                            size_t *span)
{
	const char *entry = bytes.data;
	if (bytes.length < SPOOLFILE_ENTRY_HEAD || memcmp(entry + 8, entry_magic, sizeof entry_magic) != 0)
		return false;
	size_t reply_length = wire_get_u16(entry + 12), length = SPOOLFILE_ENTRY_HEAD + reply_length;
	if (reply_length > SPOOLFILE_REPLY_MAX || length > bytes.length || (uint8_t)entry[14] >= ENVELOPE_STATE_COUNT ||
	    wire_get_u64(entry) != entry_check(id, offset, entry, length))
		return false;
	*result = (struct spoolfile_result){
		.recipient = wire_get_u32(entry + 16),
		.state = (enum envelope_state)entry[14],
		.attempts = wire_get_u32(entry + 20),
		.last_attempt = (int64_t)wire_get_u64(entry + 24),
		.next_attempt = (int64_t)wire_get_u64(entry + 32),
		.reply = str_from(entry + SPOOLFILE_ENTRY_HEAD, reply_length),
	};
	*span = spoolfile_align(length);
	return true;
}

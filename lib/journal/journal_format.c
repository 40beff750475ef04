#include "journal_format.h"

#include "wire.h"

#define XXH_STATIC_LINKING_ONLY /* the streaming state on the stack */
#include <xxhash.h>

static const char slot_magic[8] = "PHJournl";
static const char head_magic[4] = "PHjr";
enum { FORMAT_VERSION = 1 };

struct journal_identity journal_identity_of(const struct journal_uuid *uuid)
{
	return (struct journal_identity){ *uuid, XXH3_64bits(uuid->bytes, sizeof uuid->bytes) };
}

void journal_slot_encode(uint8_t bytes[JOURNAL_SLOT_SIZE], const struct journal_identity *identity,
                         const struct journal_slot *slot)
{
	memset(bytes, 0, JOURNAL_SLOT_SIZE);
	memcpy(bytes, slot_magic, sizeof slot_magic);
	wire_put_u32(bytes + 8, FORMAT_VERSION);
	memcpy(bytes + 16, identity->uuid.bytes, sizeof identity->uuid.bytes);
	wire_put_u64(bytes + 32, slot->size);
	wire_put_u64(bytes + 40, slot->generation);
	wire_put_u64(bytes + 48, slot->trim_sequence);
	wire_put_u64(bytes + 56, slot->trim_offset);
	wire_put_u64(bytes + 64, slot->floor);
	wire_put_u64(bytes + 72, XXH3_64bits_withSeed(bytes, 72, identity->seed));
}

bool journal_slot_decode(const uint8_t bytes[JOURNAL_SLOT_SIZE], const struct journal_identity *identity,
                         struct journal_slot *slot)
{
	if (memcmp(bytes, slot_magic, sizeof slot_magic) != 0 || wire_get_u32(bytes + 8) != FORMAT_VERSION ||
	    memcmp(bytes + 16, identity->uuid.bytes, sizeof identity->uuid.bytes) != 0 ||
	    wire_get_u64(bytes + 72) != XXH3_64bits_withSeed(bytes, 72, identity->seed))
		return false;
	*slot = (struct journal_slot){
		.size = wire_get_u64(bytes + 32),
		.generation = wire_get_u64(bytes + 40),
		.trim_sequence = wire_get_u64(bytes + 48),
		.trim_offset = wire_get_u64(bytes + 56),
		.floor = wire_get_u64(bytes + 64),
	};
	return slot->size >= JOURNAL_SIZE_MIN && slot->size <= JOURNAL_SIZE_MAX && slot->size % JOURNAL_BLOCK == 0 &&
	       slot->generation > 0 && slot->trim_offset < slot->size && slot->trim_offset % JOURNAL_ALIGN == 0 &&
	       slot->trim_sequence <= JOURNAL_SEQUENCE_MAX && slot->floor <= JOURNAL_SEQUENCE_MAX;
}

/* The field itself counts as zero. */
static uint32_t head_check(const uint8_t bytes[JOURNAL_HEAD_SIZE], const struct journal_identity *identity)
{
	uint8_t copy[JOURNAL_HEAD_SIZE];
	memcpy(copy, bytes, sizeof copy);
	memset(copy + 4, 0, 4);
	return (uint32_t)XXH3_64bits_withSeed(copy, sizeof copy, identity->seed);
}

void journal_head_encode(uint8_t bytes[JOURNAL_HEAD_SIZE], const struct journal_identity *identity,
                         const struct journal_head *head)
{
	memcpy(bytes, head_magic, sizeof head_magic);
	wire_put_u32(bytes + 8, head->span);
	wire_put_u32(bytes + 12, head->length);
	memcpy(bytes + 16, identity->uuid.bytes, 8);
	wire_put_u64(bytes + 24, head->sequence);
	wire_put_u64(bytes + 32, head->before);
	wire_put_u64(bytes + 40, head->group);
	wire_put_u64(bytes + 48, head->trim);
	wire_put_u64(bytes + 56, head->payload_check);
	wire_put_u32(bytes + 4, head_check(bytes, identity));
}

static bool span_fits(const struct journal_head *head, uint64_t offset, uint64_t ring_size)
{
	if (head->span % JOURNAL_ALIGN != 0 || head->span > ring_size - offset)
		return false;
	if (head->length == 0)
		return head->span == ring_size - offset;
	return head->length <= LIMIT_JOURNAL_RECORD_MAX && head->span >= JOURNAL_HEAD_SIZE + head->length &&
	       head->span - head->length < JOURNAL_HEAD_SIZE + JOURNAL_BLOCK;
}

bool journal_head_decode(const uint8_t bytes[JOURNAL_HEAD_SIZE], const struct journal_identity *identity,
                         uint64_t offset, uint64_t ring_size, struct journal_head *head)
{
	if (memcmp(bytes, head_magic, sizeof head_magic) != 0 || memcmp(bytes + 16, identity->uuid.bytes, 8) != 0 ||
	    wire_get_u32(bytes + 4) != head_check(bytes, identity))
		return false;
	*head = (struct journal_head){
		.span = wire_get_u32(bytes + 8),
		.length = wire_get_u32(bytes + 12),
		.sequence = wire_get_u64(bytes + 24),
		.before = wire_get_u64(bytes + 32),
		.group = wire_get_u64(bytes + 40),
		.trim = wire_get_u64(bytes + 48),
		.payload_check = wire_get_u64(bytes + 56),
	};
	return span_fits(head, offset, ring_size) && head->sequence > 0 && head->sequence < JOURNAL_SEQUENCE_MAX &&
	       head->before < head->group && head->group <= head->sequence && head->trim <= head->sequence;
}

uint64_t journal_payload_check(const struct journal_identity *identity, struct str first, struct str second)
{
	if (second.length == 0)
		return XXH3_64bits_withSeed(first.data, first.length, identity->seed);
	XXH3_state_t state;
	XXH3_INITSTATE(&state);
	XXH3_64bits_reset_withSeed(&state, identity->seed);
	XXH3_64bits_update(&state, first.data, first.length);
	XXH3_64bits_update(&state, second.data, second.length);
	return XXH3_64bits_digest(&state);
}

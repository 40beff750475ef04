/*
 * The bytes of a journal file. Internal to this folder.
 *
 *	0      header slot (4096)      written in turn with the next one; the valid slot with the
 *	4096   header slot (4096)      higher generation counts
 *	8192   ring (size bytes)       groups of records; each group begins at a multiple of 4096,
 *	                               each record at a multiple of 64
 *
 * Record: a head of 64 bytes, length bytes of payload, padding up to span. The span of the last
 * record of a group reaches the next multiple of 4096, so that no sector is written twice while
 * it holds a record that was already durable. A record with length 0 is the wrap record: it
 * spans the rest of the ring. Checksums are XXH3-64 seeded from the whole journal UUID, which
 * nobody outside knows: a mail cannot carry bytes that pass for a record, and a record of
 * another journal never verifies.
 */
#ifndef POSTHORN_JOURNAL_FORMAT_H
#define POSTHORN_JOURNAL_FORMAT_H

#include "journal.h"

enum {
	JOURNAL_BLOCK = 4096,
	JOURNAL_RING_OFFSET = 2 * JOURNAL_BLOCK,
	JOURNAL_ALIGN = 64,
	JOURNAL_HEAD_SIZE = 64,
	JOURNAL_SLOT_SIZE = 80,
};

#define JOURNAL_SEQUENCE_MAX (UINT64_C(1) << 62)

struct journal_identity {
	struct journal_uuid uuid;
	uint64_t seed;
};

struct journal_slot {
	uint64_t size;          /* of the ring */
	uint64_t generation;    /* from 1; its lowest bit says which slot */
	uint64_t trim_sequence; /* everything below is done */
	uint64_t trim_offset;   /* in the ring: where the first record not yet done begins, or will */
	uint64_t floor;         /* no record written before this opening has this sequence or a higher one */
};

struct journal_head {
	uint32_t span;
	uint32_t length;
	uint64_t sequence;
	uint64_t group;  /* sequence of the first record of its group, in which they have no holes */
	uint64_t before; /* that of the last record of the group before: tells a loss from a jump */
	uint64_t trim;   /* trim mark when it was written */
	uint64_t payload_check;
};

static inline uint64_t journal_align(uint64_t number, uint64_t unit)
{
	return (number + unit - 1) / unit * unit;
}

struct journal_identity journal_identity_of(const struct journal_uuid *uuid);

void journal_slot_encode(uint8_t bytes[JOURNAL_SLOT_SIZE], const struct journal_identity *identity,
                         const struct journal_slot *slot);
bool journal_slot_decode(const uint8_t bytes[JOURNAL_SLOT_SIZE], const struct journal_identity *identity,
                         struct journal_slot *slot);

void journal_head_encode(uint8_t bytes[JOURNAL_HEAD_SIZE], const struct journal_identity *identity,
                         const struct journal_head *head);

/* False unless it is a head of this journal that can stand at this offset of a ring of this size. */
bool journal_head_decode(const uint8_t bytes[JOURNAL_HEAD_SIZE], const struct journal_identity *identity,
                         uint64_t offset, uint64_t ring_size, struct journal_head *head);

uint64_t journal_payload_check(const struct journal_identity *identity, struct str first, struct str second);

#endif

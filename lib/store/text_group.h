/*
 * A group of messages in a file of search text: the text of some tens of messages, compressed, with filters that tell
 * without decompressing that a key is in none of them.
 *
 * Each message has four sections, which are octets to this module:
 *	ORDER    what sorting and threading compare     FIELDS   header fields that are searched often
 *	HEADERS  folded text of all headers             BODIES   folded text of the text parts
 * Sections of one kind lie together in one LZ4 block: a search reads only the kinds it needs.
 *
 * FORMAT (little-endian; offsets from the group's beginning)
 *	 0  u32 magic "PTg1"        4  u16 messages      6  u8, u8 log2 of the filters' bits: headers, bodies
 *	 8  u64 check of octets 16 to 112, seeded with the first eight
 *	16  u64 first, 24 u64 last message number
 *	32  u32 octets of the group                      36  u32 octets of the lead: this, the numbers and the filters
 *	40  u64 check of the rest of the lead
 *	48  4 × { u32 stored, u32 raw, u64 check of the stored octets }, in the order of the sections
 *	112 numbers: per message a varint (number - the one before) << 1 | cut; the first one counts from `first`
 *	    filters: 2^n bits each, first headers (where no message has HEADERS: FIELDS), then bodies
 *	    sections: each an LZ4 block (or raw, if stored == raw) of: a varint length per message, then their octets
 *
 * INVARIANTS
 *  1  Numbers ascend. What is unpacked never reaches beyond its block, whatever the octets say; damage is FAIL_CORRUPT.
 *  2  A filter never denies what is there: every three octets in a row of a message's text have their bit.
 *  3  A group has at most TEXT_GROUP_MESSAGES messages and 4 × TEXT_SECTION_MAX octets raw.
 *
 * Checks are XXH3; filters: a Bloom filter with one hash (B. H. Bloom, 1970).
 */
#ifndef POSTHORN_STORE_TEXT_GROUP_H
#define POSTHORN_STORE_TEXT_GROUP_H

#include "buf.h"
#include "fail.h"
#include "text_find.h"

enum {
	TEXT_GROUP_MESSAGES = 32,
	TEXT_GROUP_OCTETS = 1 << 18,  /* of headers and bodies: then the group is full */
	TEXT_MESSAGE_MAX = 1 << 20,   /* of one section of one message; what is longer is cut, and marked so */
	TEXT_SECTION_MAX = TEXT_GROUP_OCTETS + TEXT_MESSAGE_MAX + 1024,
	TEXT_HEAD_SIZE = 112,
	TEXT_LEAD_MAX = TEXT_HEAD_SIZE + TEXT_GROUP_MESSAGES * 10 + 2 * 8192,
	TEXT_GROUP_MAX = TEXT_LEAD_MAX + 4 * (TEXT_SECTION_MAX + TEXT_SECTION_MAX / 128 + 64),
};

enum text_section { TEXT_ORDER, TEXT_FIELDS, TEXT_HEADERS, TEXT_BODIES, TEXT_SECTIONS };

/* A message as its maker gives it, and as it is read back. */
struct text_entry {
	uint64_t message;
	bool cut; /* HEADERS or BODIES are not whole: a key that is not in them may be in the mail all the same */
	struct str sections[TEXT_SECTIONS];
};

/* A key with what the filters are asked. Keys of less than three octets pass them all. */
enum { TEXT_KEY_TRIGRAMS = 64 };
struct text_key {
	struct text_needle needle;
	uint32_t trigrams[TEXT_KEY_TRIGRAMS];
	size_t count;
};
struct text_key text_key_make(struct str folded);

/* Seven bits to an octet, lowest first, the highest bit of all but the last octet set. Taken off the front; false:
 * there is none. */
void text_add_varint(struct buf *out, uint64_t number);
bool text_take_varint(struct str *from, uint64_t *number);

/* ---- writing ---- */

struct text_group_maker {
	uint64_t messages[TEXT_GROUP_MESSAGES];
	bool cut[TEXT_GROUP_MESSAGES];
	uint32_t lengths[TEXT_SECTIONS][TEXT_GROUP_MESSAGES];
	size_t count;
	struct buf sections[TEXT_SECTIONS];
	struct buf block; /* lengths and section, before compression */
};

void text_group_begin(struct text_group_maker *m); /* embedded and zeroed before the first time; later empties it */
void text_group_release(struct text_group_maker *m);
bool text_group_is_full(const struct text_group_maker *m);

/* Adds a message with a higher number than those before; sections above TEXT_MESSAGE_MAX are cut here. The group is
 * not full. */
void text_group_add(struct text_group_maker *m, const struct text_entry *entry);

/* Adds the group's octets to out, whose limit allows TEXT_GROUP_MAX more. At least one message was added. */
void text_group_pack(struct text_group_maker *m, struct buf *out);

/* ---- reading ---- */

struct text_head {
	uint64_t first, last;
	uint32_t size; /* octets of the group */
	uint32_t lead; /* octets of its lead */
	uint16_t count;
	uint8_t filter_bits[2]; /* log2 */
	uint64_t lead_check;
	struct {
		uint32_t stored, raw;
		uint64_t check;
	} blocks[TEXT_SECTIONS];
};

/* From the first TEXT_HEAD_SIZE octets of a group. */
bool text_head_read(struct text_head *head, struct str octets, struct fail **fail);

/* Where a section's block begins. */
uint32_t text_head_block(const struct text_head *head, enum text_section section);

struct text_group {
	struct text_head head;
	uint64_t messages[TEXT_GROUP_MESSAGES];
	bool cut[TEXT_GROUP_MESSAGES];
	struct str filters[2]; /* views of the lead's octets */
};

/* From the lead of a group; keep its octets while filters are asked. */
bool text_group_read(struct text_group *g, struct str lead, struct fail **fail);

/* False: the key is in this section (HEADERS or BODIES) of no message; nor in FIELDS, where none has HEADERS. */
bool text_group_may_have(const struct text_group *g, enum text_section section, const struct text_key *key);

/* Unpacks a section's block: texts[i] for each message, views of memory, which is cleared first and needs a limit of
 * TEXT_SECTION_MAX. */
bool text_group_unpack(const struct text_group *g, enum text_section section, struct str block, struct buf *memory,
                       struct str texts[TEXT_GROUP_MESSAGES], struct fail **fail);

#endif

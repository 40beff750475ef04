/*
 * The bytes of a message's own file. Internal to this folder.
 *
 *	0               header (4096), with the recipients' states at the time of writing
 *	4096            envelope
 *	body_offset     body, unless it is in a file of its own
 *	log_offset      log: entries at multiples of 64
 *
 * Checksums are XXH3-64 seeded from the queue id; those of log entries also from their place.
 */
#ifndef POSTHORN_JOURNAL_SPOOLFILE_FORMAT_H
#define POSTHORN_JOURNAL_SPOOLFILE_FORMAT_H

#include "spoolfile.h"

enum {
	SPOOLFILE_HEADER_SIZE = 4096,
	SPOOLFILE_ALIGN = 64,
	SPOOLFILE_ENTRY_HEAD = 40,
	SPOOLFILE_ENTRY_MAX = (SPOOLFILE_ENTRY_HEAD + SPOOLFILE_REPLY_MAX + SPOOLFILE_ALIGN - 1) / SPOOLFILE_ALIGN *
	                      SPOOLFILE_ALIGN,
};

struct spoolfile_header {
	uint64_t id;
	int64_t received;
	uint64_t body_size;
	uint64_t body_check;
	struct journal_uuid origin;
	uint64_t origin_sequence;
	uint32_t envelope_length;
	uint64_t envelope_check;
	uint32_t recipient_count;
	bool body_in_file;
	uint8_t states[LIMIT_ENVELOPE_RECIPIENTS_MAX];
};

static inline uint64_t spoolfile_align(uint64_t number)
{
	return (number + SPOOLFILE_ALIGN - 1) / SPOOLFILE_ALIGN * SPOOLFILE_ALIGN;
}

uint64_t spoolfile_body_offset(const struct spoolfile_header *header);
uint64_t spoolfile_log_offset(const struct spoolfile_header *header);

void spoolfile_header_encode(uint8_t bytes[SPOOLFILE_HEADER_SIZE], const struct spoolfile_header *header);
bool spoolfile_header_decode(const uint8_t bytes[SPOOLFILE_HEADER_SIZE], uint64_t id, struct spoolfile_header *header);

/* Adds an entry that will stand at this offset of the file. */
void spoolfile_entry_encode(struct buf *out, uint64_t id, uint64_t offset, const struct spoolfile_result *result);

/* False unless a whole entry of this file and place stands at the front; the reply is a view of bytes,
 * *span how far the next one is. */
bool spoolfile_entry_decode(struct str bytes, uint64_t id, uint64_t offset, struct spoolfile_result *result,
                            size_t *span);

uint64_t spoolfile_check(uint64_t id, struct str bytes);

#endif

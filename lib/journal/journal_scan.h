/*
 * Walks once round a ring and gives every whole record. Internal to this folder.
 *
 * From a start where a record begins, each record leads to the next one by its span. Where
 * that fails (damage, a torn group, the end) every multiple of 64 is tried until a whole record
 * with a higher sequence is found, or the lap is over. Records of earlier laps have lower
 * sequences, those of other journals another seed. Time is linear in the size of the ring,
 * since nobody can plant heads (see journal_format.h); memory is one window. A block that
 * cannot be read counts as zeros.
 */
#ifndef POSTHORN_JOURNAL_SCAN_H
#define POSTHORN_JOURNAL_SCAN_H

#include "journal_format.h"

struct journal_scan {
	int file;
	const struct journal_identity *identity;
	uint64_t size;       /* of the ring */
	uint64_t offset;     /* next to look at */
	uint64_t walked;     /* of the lap */
	uint64_t floor;      /* only records with this sequence or a higher one */
	bool any_order;      /* salvage: do not raise the floor */
	uint64_t torn;
	uint64_t unreadable; /* blocks */
	uint8_t *window;
	size_t window_capacity;
	uint64_t window_offset;
	size_t window_length;
};

void journal_scan_init(struct journal_scan *s, int file, const struct journal_identity *identity, uint64_t size,
                       uint64_t offset, uint64_t floor);
void journal_scan_release(struct journal_scan *s);

/* The next whole record and its offset in the ring; false when the lap is over. */
bool journal_scan_next(struct journal_scan *s, struct journal_head *head, uint64_t *offset);

/* Fills data from the ring; what cannot be read, or lies beyond the end of the file, is zeros. */
void journal_scan_read(int file, void *data, size_t length, uint64_t offset, uint64_t *unreadable);

#endif

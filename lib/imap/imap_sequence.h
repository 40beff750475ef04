/*
 * sequence-set (RFC 9051 §9) and what becomes of it: ranges of numbers, ascending, without overlap.
 */
#ifndef POSTHORN_IMAP_SEQUENCE_H
#define POSTHORN_IMAP_SEQUENCE_H

#include "array.h"
#include "imap_parse.h"

/* "*" is IMAP_STAR until it is resolved. */
#define IMAP_STAR UINT32_MAX

struct imap_range {
	uint32_t first, last; /* as written: first may be larger, either may be IMAP_STAR */
};

struct imap_sequence {
	bool saved; /* "$", RFC 5182: the result of the last SEARCH */
	struct imap_range *ranges; /* in the arena */
	size_t count;
};

/* At most LIMIT_IMAP_RANGES_MAX ranges. */
void imap_parse_sequence(struct imap_parser *p, struct imap_sequence *sequence);

/* A growing set of numbers. Zeroed by the caller. */
struct imap_numbers {
	ARRAY(struct imap_range) ranges; /* first <= last, ascending, neither touching nor overlapping */
};

/* The set with "*" standing for star (0: an empty mailbox, where "*" is nothing), sorted and joined. Clears out
 * first. */
void imap_sequence_resolve(const struct imap_sequence *sequence, uint32_t star, struct imap_numbers *out);

/* Adds a number that is larger than all there are: O(1). */
void imap_numbers_append(struct imap_numbers *n, uint32_t number);
void imap_numbers_append_range(struct imap_numbers *n, uint32_t first, uint32_t last);
bool imap_numbers_has(const struct imap_numbers *n, uint32_t number);
uint64_t imap_numbers_count(const struct imap_numbers *n);
void imap_numbers_release(struct imap_numbers *n);

/* "1:3,7" */
void imap_numbers_write(struct buf *out, const struct imap_numbers *n);

#endif

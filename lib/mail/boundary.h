/*
 * The boundaries that are open at a place of a message (RFC 2046 §5.1.1), innermost last, and the question
 * which one a line begins with.
 *
 * A line is a delimiter when a boundary stands behind its "--", whatever follows; of several, the longest
 * counts, of equal ones the innermost. Each boundary is found by its hash, taken while the line's bytes are
 * walked, so that a line costs its own length however many boundaries are open and however alike they are.
 */
#ifndef POSTHORN_MAIL_BOUNDARY_H
#define POSTHORN_MAIL_BOUNDARY_H

#include "limits.h"
#include "str.h"

enum { BOUNDARY_SLOTS = 256 };

struct boundary {
	struct str text;
	uint64_t hash;
	void *owner;
	size_t longest_before;
	uint8_t shadowed; /* 1 + index of an equal one further out, or 0 */
};

struct boundary_stack {
	struct boundary open[LIMIT_MIME_DEPTH_MAX];
	size_t count;
	size_t longest;
	uint64_t seed;
	uint8_t of_length[LIMIT_BOUNDARY_MAX + 1]; /* how many have that length */
	uint8_t slots[BOUNDARY_SLOTS];             /* 1 + index, or 0; linear probing, emptied in reverse order */
};

void boundary_init(struct boundary_stack *stack);

/* text: 1 to LIMIT_BOUNDARY_MAX octets, and room for it. It is not copied. */
void boundary_push(struct boundary_stack *stack, struct str text, void *owner);
void boundary_pop(struct boundary_stack *stack);

/* line begins with "--" and has no line end. The owner of the boundary, or NULL; *closing says whether it is
 * the last delimiter of its multipart. */
void *boundary_match(const struct boundary_stack *stack, struct str line, bool *closing);

#endif

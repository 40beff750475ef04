/*
 * struct imap_bits: a set of positions in a session's view (message number - 1), one bit each. Bits beyond the count
 * are 0.
 */
#ifndef POSTHORN_MAILBOX_IMAP_BITS_H
#define POSTHORN_MAILBOX_IMAP_BITS_H

#include "mem.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct imap_bits {
	uint64_t *words;
	size_t count;
};

static inline size_t imap_bits_words(const struct imap_bits *bits)
{
	return (bits->count + 63) / 64;
}

static inline struct imap_bits imap_bits_none(size_t count)
{
	struct imap_bits bits = { NULL, count };
	bits.words = mem_alloc((imap_bits_words(&bits) + 1) * sizeof *bits.words);
	return bits;
}

static inline struct imap_bits imap_bits_copy(const struct imap_bits *from)
{
	struct imap_bits bits = imap_bits_none(from->count);
	memcpy(bits.words, from->words, imap_bits_words(from) * sizeof *bits.words);
	return bits;
}

static inline struct imap_bits imap_bits_all(size_t count)
{
	struct imap_bits bits = imap_bits_none(count);
	memset(bits.words, 0xff, count / 64 * sizeof *bits.words);
	if (count % 64)
		bits.words[count / 64] = ((uint64_t)1 << (count % 64)) - 1;
	return bits;
}

/* For CLEANUP too. */
static inline void imap_bits_release(struct imap_bits *bits)
{
	free(bits->words);
	bits->words = NULL;
}

static inline void imap_bits_set(struct imap_bits *bits, size_t position)
{
	bits->words[position / 64] |= (uint64_t)1 << (position % 64);
}

static inline bool imap_bits_has(const struct imap_bits *bits, size_t position)
{
	return bits->words[position / 64] >> (position % 64) & 1;
}

static inline void imap_bits_add(struct imap_bits *bits, const struct imap_bits *more)
{
	for (size_t i = 0; i < imap_bits_words(bits); i++)
		bits->words[i] |= more->words[i];
}

static inline void imap_bits_remove(struct imap_bits *bits, const struct imap_bits *less)
{
	for (size_t i = 0; i < imap_bits_words(bits); i++)
		bits->words[i] &= ~less->words[i];
}

/* The first position from this one on that is in the set; the count: none. */
static inline size_t imap_bits_next(const struct imap_bits *bits, size_t from)
{
	size_t word = from / 64;
	if (from >= bits->count)
		return bits->count;
	uint64_t left = bits->words[word] & ~(uint64_t)0 << (from % 64);
	while (!left && ++word < imap_bits_words(bits))
		left = bits->words[word];
	return left ? word * 64 + (size_t)__builtin_ctzll(left) : bits->count;
}

static inline size_t imap_bits_number(const struct imap_bits *bits)
{
	size_t number = 0;
	for (size_t i = 0; i < imap_bits_words(bits); i++)
		number += (size_t)__builtin_popcountll(bits->words[i]);
	return number;
}

#endif

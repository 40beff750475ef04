/*
 * Messages made from a seed: message number i of a seed is the same bytes everywhere, so two
 * servers can be given the same mail. Mean 12.2 KB (log-normal), 15 % with an attachment,
 * 40 % multipart/alternative, 45 % replies with References, lines that start with a dot.
 */
#ifndef POSTHORN_BENCH_GENERATE_H
#define POSTHORN_BENCH_GENERATE_H

#include "buf.h"

/* Largest message that is ever made, for the limit of its buffer. */
enum { GENERATE_MESSAGE_MAX = 256 << 20 };

/* Makes the tables of words and lines; once, before the first message. */
void generate_prepare(void);

/* Replaces the content of b with message number index. */
void generate_message(struct buf *b, uint64_t index);

/* Stateless hashes: the same numbers give the same answer everywhere. */
uint64_t generate_mix(uint64_t x);
uint64_t generate_hash(uint64_t index, uint64_t salt);

#endif

/*
 * struct arena: memory that dies together, as one command's or one message's does.
 *
 * Allocations are zeroed and aligned for any type, never freed singly. arena_reset frees all
 * but the first block. The limit is a backstop: callers bound what they parse, and passing
 * the limit aborts (must), so set it well above what those bounds allow.
 */
#ifndef POSTHORN_BASE_ARENA_H
#define POSTHORN_BASE_ARENA_H

#include "check.h"
#include "str.h"

struct arena;

struct arena *arena_new(size_t limit);
void arena_free(struct arena *a);

/* For CLEANUP. */
void arena_cleanup(struct arena **a);

void arena_reset(struct arena *a);

/* Bytes handed out since the last reset. */
size_t arena_used(const struct arena *a);

void *arena_alloc(struct arena *a, size_t size);

/* Zeroed room for count items of size; overflow aborts. */
void *arena_alloc_array(struct arena *a, size_t count, size_t size);

/* A copy of the bytes; it has a NUL behind it that length does not count. */
struct str arena_copy(struct arena *a, struct str s);

/* Text made as printf does, with a NUL behind it. */
struct str arena_printf(struct arena *a, const char *format, ...) FORMAT(2, 3);

#endif

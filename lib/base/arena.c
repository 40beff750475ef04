#include "arena.h"

#include "mem.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BLOCK = 4096, LARGEST_STEP = 1 << 20 };

struct block {
	struct block *older;
	size_t size;
	size_t used;
	max_align_t memory[];
};

struct arena {
	struct block *newest;
	size_t used;
	size_t limit;
};

struct arena *arena_new(size_t limit)
{
	struct arena *a = mem_alloc(sizeof *a);
	a->limit = limit;
	return a;
}

static void free_blocks(struct block *block)
{
	while (block) {
		struct block *older = block->older;
		free(block);
		block = older;
	}
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	free_blocks(a->newest);
	free(a);
}

void arena_cleanup(struct arena **a)
{
	arena_free(*a);
	*a = NULL;
}

void arena_reset(struct arena *a)
{
	struct block *first = a->newest;
	a->used = 0;
	if (!first)
		return;
	while (first->older) {
		struct block *older = first->older;
		free(first);
		first = older;
	}
	a->newest = first;
	first->used = 0;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}

static void add_block(struct arena *a, size_t at_least)
{
	size_t size = a->newest ? a->newest->size * 2 : FIRST_BLOCK;
	if (size > LARGEST_STEP)
		size = LARGEST_STEP;
	if (size < at_least)
		size = at_least;
	struct block *block = mem_resize(NULL, sizeof *block + size, 1);
	*block = (struct block){ .older = a->newest, .size = size };
	a->newest = block;
}

void *arena_alloc(struct arena *a, size_t size)
{
	must(size <= a->limit && a->used <= a->limit - size);
	size_t aligned = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (!a->newest || a->newest->size - a->newest->used < aligned)
		add_block(a, aligned);
	void *memory = (char *)a->newest->memory + a->newest->used;
	a->newest->used += aligned;
	a->used += aligned;
	memset(memory, 0, size);
	return memory;
}

void *arena_alloc_array(struct arena *a, size_t count, size_t size)
{
	size_t total;
	must(!__builtin_mul_overflow(count, size, &total));
	return arena_alloc(a, total);
}

struct str arena_copy(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.length + 1);
	if (s.length)
		memcpy(copy, s.data, s.length);
	return (struct str){ copy, s.length };
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(NULL, 0, format, arguments);
	va_end(arguments);
	must(length >= 0);
	char *text = arena_alloc(a, (size_t)length + 1);
	va_start(arguments, format);
	vsnprintf(text, (size_t)length + 1, format, arguments);
	va_end(arguments);
	return (struct str){ text, (size_t)length };
}

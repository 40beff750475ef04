/*
 * Heap memory. Every function aborts when memory is exhausted: all input is bounded, so
 * running out is a bug or an attack, and the program's parent restarts it.
 */
#ifndef POSTHORN_BASE_MEM_H
#define POSTHORN_BASE_MEM_H

#include <stddef.h>

/* Zeroed memory; size 0 gives a pointer that can be freed. */
void *mem_alloc(size_t size);

/* Like realloc, for count items of size; the added part is not zeroed. Overflow aborts. */
void *mem_resize(void *memory, size_t count, size_t size);

/* A copy of length bytes with a NUL behind them. */
char *mem_copy_text(const char *data, size_t length);

/* Text made as printf does; the caller frees it. */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For CLEANUP: frees what the variable points to. */
void mem_free(void *pointer_to_variable);

/* Overwrites memory that held a secret, in a way the compiler keeps. */
void mem_wipe(void *memory, size_t size);

/* Equality in a time that depends on size only. */
int mem_equal_secret(const void *a, const void *b, size_t size);

#endif

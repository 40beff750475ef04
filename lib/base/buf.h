/*
 * struct buf: the one growing byte buffer, always with a limit.
 *
 * Invariants: length <= limit; data[0..length) is valid; an addition that would pass the
 * limit adds nothing and sets overflowed, and from then on every addition does nothing
 * (sticky), so a caller may add many pieces and look once. buf_clear makes it usable again.
 * Memory grows as needed and is kept until buf_release.
 */
#ifndef POSTHORN_BASE_BUF_H
#define POSTHORN_BASE_BUF_H

#include "check.h"
#include "str.h"

#include <stdarg.h>

struct buf {
	char *data;
	size_t length;
	size_t capacity;
	size_t limit;
	bool overflowed;
};

#define BUF_WITH_LIMIT(limit_) ((struct buf){ .limit = (limit_) })

void buf_init(struct buf *b, size_t limit);
void buf_release(struct buf *b);

/* The same for what held a secret: it is overwritten first. */
void buf_wipe(struct buf *b);

/* Empties it and forgets an overflow; memory is kept. */
void buf_clear(struct buf *b);

/* False when the limit is, or was before, passed. */
bool buf_append(struct buf *b, const void *data, size_t length);
bool buf_add_str(struct buf *b, struct str s);
bool buf_add_char(struct buf *b, char c);
bool buf_add_u64(struct buf *b, uint64_t number);
bool buf_printf(struct buf *b, const char *format, ...) FORMAT(2, 3);
bool buf_vprintf(struct buf *b, const char *format, va_list arguments) FORMAT(2, 0);

/* Room for at least length more bytes at data + length, to be filled by read() and then
 * claimed with buf_claim; NULL when the limit forbids it. */
char *buf_reserve(struct buf *b, size_t length);
void buf_claim(struct buf *b, size_t length);

/* Drops length bytes from the front. */
void buf_consume(struct buf *b, size_t length);

/* Shortens it to length. */
void buf_truncate(struct buf *b, size_t length);

/* A view of the content; dies with the next change. */
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->data, b->length };
}

/* The content with a NUL behind it, for C functions; dies with the next change. */
const char *buf_text(struct buf *b);

#endif

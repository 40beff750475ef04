#include "buf.h"

#include "mem.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 256 };

void buf_init(struct buf *b, size_t limit)
{
	*b = BUF_WITH_LIMIT(limit);
}

void buf_release(struct buf *b)
{
	free(b->data);
	*b = BUF_WITH_LIMIT(b->limit);
}

void buf_wipe(struct buf *b)
{
	if (b->data)
		mem_wipe(b->data, b->capacity);
	buf_release(b);
}

void buf_clear(struct buf *b)
{
	b->length = 0;
	b->overflowed = false;
}

/* One byte more than asked for is always there, for the NUL of buf_text. */
char *buf_reserve(struct buf *b, size_t length)
{
	if (b->overflowed || length > b->limit - b->length) {
		b->overflowed = true;
		return NULL;
	}
	size_t needed = b->length + length + 1;
	if (needed > b->capacity) {
		size_t capacity = b->capacity ? b->capacity : FIRST_CAPACITY;
		while (capacity < needed)
			capacity *= 2;
		b->data = mem_resize(b->data, capacity, 1);
		b->capacity = capacity;
	}
	return b->data + b->length;
}

void buf_claim(struct buf *b, size_t length)
{
	must(b->length + length < b->capacity || length == 0);
	b->length += length;
}

bool buf_append(struct buf *b, const void *data, size_t length)
{
	char *room = buf_reserve(b, length);
	if (!room)
		return false;
	if (length)
		memcpy(room, data, length);
	b->length += length;
	return true;
}

bool buf_add_str(struct buf *b, struct str s)
{
	return buf_append(b, s.data, s.length);
}

bool buf_add_char(struct buf *b, char c)
{
	return buf_append(b, &c, 1);
}

bool buf_add_u64(struct buf *b, uint64_t number)
{
	char digits[20];
	size_t start = sizeof digits;
	do {
		digits[--start] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	return buf_append(b, digits + start, sizeof digits - start);
}

bool buf_vprintf(struct buf *b, const char *format, va_list arguments)
{
	va_list again;
	va_copy(again, arguments);
	int length = vsnprintf(NULL, 0, format, again);
	va_end(again);
	must(length >= 0);
	char *room = buf_reserve(b, (size_t)length);
	if (!room)
		return false;
	vsnprintf(room, (size_t)length + 1, format, arguments);
	b->length += (size_t)length;
	return true;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	bool fits = buf_vprintf(b, format, arguments);
	va_end(arguments);
	return fits;
}

void buf_consume(struct buf *b, size_t length)
{
	must(length <= b->length);
	if (length == 0)
		return;
	memmove(b->data, b->data + length, b->length - length);
	b->length -= length;
}

void buf_truncate(struct buf *b, size_t length)
{
	must(length <= b->length);
	b->length = length;
}

const char *buf_text(struct buf *b)
{
	if (!b->data)
		return "";
	b->data[b->length] = '\0';
	return b->data;
}

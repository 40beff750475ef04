/*
 * Little-endian numbers in bytes, as the files of the spool keep them, and a sticky reader:
 * once something is missing or too long it is bad, and from then on it gives only zeros and
 * empty views, so that a decoder looks once at the end. Internal to this folder.
 */
#ifndef POSTHORN_JOURNAL_WIRE_H
#define POSTHORN_JOURNAL_WIRE_H

#include "buf.h"

#include <endian.h>

#define WIRE_DEFINE(bits)                                                      \
	static inline void wire_put_u##bits(void *at, uint##bits##_t number)       \
	{                                                                          \
		number = htole##bits(number);                                          \
		memcpy(at, &number, sizeof number);                                    \
	}                                                                          \
	static inline uint##bits##_t wire_get_u##bits(const void *at)              \
	{                                                                          \
		uint##bits##_t number;                                                 \
		memcpy(&number, at, sizeof number);                                    \
		return le##bits##toh(number);                                          \
	}                                                                          \
	static inline void wire_add_u##bits(struct buf *b, uint##bits##_t number)  \
	{                                                                          \
		number = htole##bits(number);                                          \
		buf_append(b, &number, sizeof number);                                 \
	}

WIRE_DEFINE(16)
WIRE_DEFINE(32)
WIRE_DEFINE(64)

struct wire_reader {
	struct str rest;
	bool bad;
};

static inline struct str wire_take(struct wire_reader *r, size_t length)
{
	if (r->bad || length > r->rest.length) {
		r->bad = true;
		return (struct str){};
	}
	struct str taken = str_first(r->rest, length);
	r->rest = str_from_index(r->rest, length);
	return taken;
}

static inline uint8_t wire_take_u8(struct wire_reader *r)
{
	struct str bytes = wire_take(r, 1);
	return bytes.length ? (uint8_t)bytes.data[0] : 0;
}

static inline uint16_t wire_take_u16(struct wire_reader *r)
{
	struct str bytes = wire_take(r, 2);
	return bytes.length ? wire_get_u16(bytes.data) : 0;
}

static inline uint32_t wire_take_u32(struct wire_reader *r)
{
	struct str bytes = wire_take(r, 4);
	return bytes.length ? wire_get_u32(bytes.data) : 0;
}

static inline uint64_t wire_take_u64(struct wire_reader *r)
{
	struct str bytes = wire_take(r, 8);
	return bytes.length ? wire_get_u64(bytes.data) : 0;
}

#endif

/*
 * Encodings of bytes as text that several protocols share: base64 (RFC 4648 §4), hexadecimal,
 * UTF-8 (RFC 3629), and the escaping of bytes from outside for logs.
 */
#ifndef POSTHORN_BASE_TEXT_H
#define POSTHORN_BASE_TEXT_H

#include "buf.h"

void text_base64_encode(struct buf *out, struct str bytes);

/* Strict: canonical padding, no other bytes. False for anything else; out is then undefined. */
bool text_base64_decode(struct buf *out, struct str text);

/* What a base64 character stands for, -1 for others. */
static inline int text_base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (char_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The same for a hexadecimal digit of either case. */
static inline int text_hex_value(char c)
{
	if (char_is_digit(c))
		return c - '0';
	c = char_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void text_hex_encode(struct buf *out, struct str bytes);

/* Exactly size bytes from 2 × size digits of either case. */
bool text_hex_decode(struct str text, void *bytes, size_t size);

/* Valid UTF-8: no overlong form, no surrogate, nothing above U+10FFFF. NUL is valid here. */
bool text_is_utf8(struct str s);

bool text_is_ascii(struct str s);

/* Length of the well-formed UTF-8 sequence at the start of s, 0 for none; *code gets its code point. */
size_t text_utf8_next(struct str s, uint32_t *code);

/* Adds a code point as UTF-8. */
void text_utf8_add(struct buf *out, uint32_t code);

/* For logs: printable ASCII but space, '"', '\' and '=' as it is, the rest as \xNN; at most max bytes of s, then
 * "…". */
void text_escape(struct buf *out, struct str s, size_t max);

#endif

/* How far a text is plain ASCII, eight bytes at a step: most mail is, and everything else costs more. */
#ifndef POSTHORN_MAIL_ASCII_H
#define POSTHORN_MAIL_ASCII_H

#include "str.h"

/* Octets before the first one above 0x7f. */
static inline size_t ascii_length(struct str s)
{
	size_t i = 0;
	for (uint64_t word; i + 8 <= s.length; i += 8) {
		memcpy(&word, s.data + i, 8);
		if (word & 0x8080808080808080u)
			break;
	}
	while (i < s.length && (unsigned char)s.data[i] < 0x80)
		i++;
	return i;
}

static inline bool ascii_only(struct str s)
{
	return ascii_length(s) == s.length;
}

#endif

/*
 * Looking for one key in much text: a substring search that goes through the text 16 octets at a time.
 *
 * Two octets of the key, chosen because they are rare in folded text, are compared at 16 places at once; where both
 * match the rest is compared. Linear in the text for keys of mail, at worst text × 256: longer keys are looked for with
 * memmem, which is linear always.
 */
#ifndef POSTHORN_STORE_TEXT_FIND_H
#define POSTHORN_STORE_TEXT_FIND_H

#include "str.h"

struct text_needle {
	struct str key; /* a view: the caller keeps the octets */
	size_t first, second; /* places in the key of the octets that are compared first */
};

struct text_needle text_needle_make(struct str key);

/* The key of no octets is in every text. */
bool text_find(const struct text_needle *needle, struct str text);

#endif

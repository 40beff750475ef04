/*
 * struct uidmap: a set of UIDs that knows the order of each: message sequence numbers (RFC 9051 §2.3.1.2).
 *
 * A bitmap over UIDs in pages of UIDMAP_PAGE_BITS; a page that is empty takes no memory, and the number of bits before
 * each page and within it before each 512 bits is kept, so that number → UID and UID → number are a binary search and a
 * popcount. One million messages in a row take 150 KB. After an account's unclean stops UIDs jump by LIMIT_UID_GAP,
 * which costs nothing here.
 *
 * Zeroed memory is an empty set. For one thread at a time; those that take it const may run in several.
 */
#ifndef POSTHORN_STORE_UIDMAP_H
#define POSTHORN_STORE_UIDMAP_H

#include "array.h"
#include "buf.h"
#include "fail.h"

enum { UIDMAP_PAGE_BITS = 8192 };

struct uidmap_page;

struct uidmap {
	ARRAY(struct uidmap_page *) pages; /* by first UID, none empty */
	uint32_t count;
	bool stale; /* the numbers before each page must be counted again */
};

void uidmap_release(struct uidmap *m);                          /* leaves it empty */
void uidmap_copy(struct uidmap *to, const struct uidmap *from); /* to is released first */
bool uidmap_equal(const struct uidmap *a, const struct uidmap *b);

uint32_t uidmap_count(const struct uidmap *m);
uint32_t uidmap_last(const struct uidmap *m); /* largest UID; 0: empty */
bool uidmap_has(const struct uidmap *m, uint32_t uid);

/* How many UIDs in it are <= uid: its number, where it is in it. */
uint32_t uidmap_rank(struct uidmap *m, uint32_t uid);

/* The UID with this number (from 1); 0 when there are not so many. */
uint32_t uidmap_uid(struct uidmap *m, uint32_t number);

/* The smallest UID in it that is >= uid; 0: none. */
uint32_t uidmap_next(const struct uidmap *m, uint32_t uid);

void uidmap_append(struct uidmap *m, uint32_t uid); /* larger than all */
bool uidmap_add(struct uidmap *m, uint32_t uid);    /* anywhere; false: it was there */
bool uidmap_remove(struct uidmap *m, uint32_t uid); /* false: it was not there */

/* What is in a and not in b; out, which is neither of them, is released first. */
void uidmap_minus(const struct uidmap *a, const struct uidmap *b, struct uidmap *out);

/* As stored: see uidmap.c. What is unpacked is added above all there is. FAIL_CORRUPT. */
void uidmap_pack(const struct uidmap *m, struct buf *out);
bool uidmap_unpack(struct uidmap *m, struct str packed, struct fail **fail);

#endif

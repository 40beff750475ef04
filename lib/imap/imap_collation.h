/*
 * The collations of SEARCH, SORT and THREAD (RFC 4790, RFC 5051, RFC 5255 §4) and the arguments of LANGUAGE and
 * COMPARATOR.
 */
#ifndef POSTHORN_IMAP_COLLATION_H
#define POSTHORN_IMAP_COLLATION_H

#include "imap_parse.h"

/* Arguments in order, each behind a space; none, or up to LIMIT_IMAP_LANGUAGES_MAX. */
struct imap_words {
	const struct str *items;
	size_t count;
};
void imap_parse_words(struct imap_parser *p, struct imap_words *words);

/* In the order of preference: the first one that a pattern matches wins; the first is the default. */
enum imap_collation { IMAP_UNICODE_CASEMAP, IMAP_ASCII_CASEMAP, IMAP_COLLATION_COUNT };

/* The first argument that names something decides. matching: a bit for each collation that any argument matches.
 * False: none does. */
bool imap_collation_choose(const struct imap_words *order, enum imap_collation *active, unsigned *matching);

/* "* COMPARATOR active (…)"; the list only where more than one matched (RFC 5255 §4.8). */
void imap_collation_write(struct buf *out, enum imap_collation active, unsigned matching);

#endif

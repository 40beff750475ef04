/*
 * The fields of a header block as signatures choose them (RFC 6376 §5.4.2): each name in h= takes the lowest field of
 * that name that was not taken yet.
 */
#ifndef POSTHORN_DKIM_DKIM_HEADER_H
#define POSTHORN_DKIM_DKIM_HEADER_H

#include "dkim_canonical.h"
#include "header.h"

struct dkim_header {
	struct str text;
	struct header_field *fields; /* in the arena */
	size_t count;
	bool whole; /* every field was read: none lies beyond the limits of header.h */
};

/* The block with or without the blank line at its end; it must outlive what is made of it. */
void dkim_header_read(struct arena *a, struct str text, struct dkim_header *header);

struct str dkim_header_raw(const struct dkim_header *header, size_t field);

/* Adds the canonical form of the fields that names, separated by ":", choose. own: index of the signature's own
 * field, which is never taken; SIZE_MAX: none. */
void dkim_header_add(struct buf *out, struct arena *a, const struct dkim_header *header, struct str names,
                     enum dkim_canonical form, size_t own);

#endif

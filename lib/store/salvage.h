/*
 * Reading a segment file without knowing what is in it: every record whose header is whole, in
 * order, and the gaps between them. A damaged record costs itself only: behind it the next header
 * is searched, and since headers are sealed with the account's key, one inside a mail is not
 * taken for ours. Memory is bounded; time grows with the file's size.
 */
#ifndef POSTHORN_STORE_SALVAGE_H
#define POSTHORN_STORE_SALVAGE_H

#include "segments.h"

struct salvage {
	/* A header at offset; the mailbox name lives until the function returns. stored may pass the file's end. */
	void (*record)(void *context, uint64_t offset, const struct segment_header *header);

	/* Bytes that belong to no record. */
	void (*gap)(void *context, uint64_t offset, uint64_t length);
	void *context;
};

/* key: used when the file's start is damaged; else set from it. Fails only when the file can't be read at all. */
bool salvage_scan(const struct segment_file *file, struct segment_key *key, const struct salvage *salvage,
                  struct fail **fail);

#endif

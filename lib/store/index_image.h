/*
 * struct index_image: what store_index.c knows of a mailbox at one moment; for it alone. Its caller has the locks.
 *
 * There are always the UIDs, those without \Seen and the counters; rows only once they were read. It is read as a whole
 * (image_load) or carried forward by what one transaction changed (image_apply).
 */
#ifndef POSTHORN_STORE_INDEX_IMAGE_H
#define POSTHORN_STORE_INDEX_IMAGE_H

#include "store_index.h"
#include "store_internal.h"

struct keyword_set {
	uint32_t first, count; /* in keyword_sets.numbers */
};

/* Sets of keywords that rows have, each once. */
struct keyword_sets {
	ARRAY(struct keyword_set) list;
	ARRAY(uint16_t) numbers;
	struct map *index; /* numbers of a set → its place in list + 1 */
};

struct image_change {
	uint64_t modseq;
	uint32_t uid;
};

struct index_image {
	struct store_index_state state; /* but for removals */
	uint32_t recent;                /* first UID that is \Recent, when it was read */
	struct uidmap uids, unseen;
	bool rows_there;
	ARRAY(struct store_row) rows;
	struct keyword_sets sets;
	ARRAY(struct image_change) changes; /* by modseq: all above changes_floor */
	uint64_t changes_floor;
};

/* Into a zeroed image, which is released by the caller also after a failure. The reader is outside a snapshot. */
bool image_load(struct index_image *image, struct store_reader *reader, uint64_t mailbox, bool rows,
                struct fail **fail);
void image_release(struct index_image *image);

/* What a transaction changed that was committed after the state of the image. */
void image_apply(struct index_image *image, const struct index_delta *delta);

/* Index of the first row from low on whose UID is >= uid. */
size_t image_row_at(const struct index_image *image, uint32_t uid, size_t low);
struct store_keywords image_keywords(const struct index_image *image, uint32_t set);
void image_changed(const struct index_image *image, uint64_t modseq, struct store_positions *positions);

#endif

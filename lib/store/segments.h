/*
 * struct segments: the files under seg/ of one account.
 *
 * One thread at a time, the holder of the writer lock, appends, seals and syncs; any thread
 * reads through a handle. A handle keeps its file open, so a body can be read to the end
 * even when the file was unlinked meanwhile. At most LIMIT_OPEN_SEGMENTS files without users
 * stay open.
 *
 * What was appended is not durable before segments_sync. A sync that failed is final for that
 * file: segments_sync reports it, names the file in failed_number, and never appends to it
 * again; the caller moves what is in it.
 */
#ifndef POSTHORN_STORE_SEGMENTS_H
#define POSTHORN_STORE_SEGMENTS_H

#include "array.h"
#include "fail.h"
#include "segment.h"

#include <pthread.h>

struct segment_file {
	uint64_t number;
	int file;
	unsigned users; /* this and the next under segments.lock */
	bool unlinked;
};

/* A file that records are appended to. */
struct segment_tail {
	struct segment_file *file; /* NULL: the next append begins a new file */
	uint64_t end;
};

struct segments {
	int directory; /* seg/ */
	struct segment_key key;
	pthread_mutex_t lock; /* over open */
	ARRAY(struct segment_file *) open;

	/* For the writer only. */
	ARRAY(struct segment_file *) dirty; /* appended to since the last sync; each holds a use */
	bool directory_dirty;
	uint64_t failed_number; /* 0: none */
};

/* Numbers of files, ascending. */
struct segment_numbers {
	ARRAY(uint64_t) list;
};

/* Opens or makes seg/ in directory. */
bool segments_init(struct segments *s, int directory, const struct segment_key *key, struct fail **fail);
void segments_release(struct segments *s);

/* The files that there are, added to numbers. */
bool segments_list(const struct segments *s, struct segment_numbers *numbers, struct fail **fail);
void segment_numbers_release(struct segment_numbers *numbers);

/* Is there any? What can't be listed counts as one. */
bool segments_may_exist(const struct segments *s);

/* A handle with one use, or NULL: FAIL_NOT_FOUND when there is no such file. */
struct segment_file *segments_use(struct segments *s, uint64_t number, struct fail **fail);
void segments_unuse(struct segments *s, struct segment_file *file);

/* Makes the file for a new segment and writes its start. The number must be new. */
struct segment_file *segments_create(struct segments *s, uint64_t number, enum segment_codec codec, struct fail **fail);

/* A large body becomes a segment of its own: a file without a name yet, then its number by rename. FAIL_EXISTS: a
 * file has the number. */
struct segment_file *segments_create_temporary(struct segments *s, uint64_t number, struct fail **fail);
void segments_discard_temporary(struct segments *s);
bool segments_publish(struct segments *s, struct segment_file *file, struct fail **fail);

/* Writes at an offset and remembers that the file needs a sync. */
bool segments_write(struct segments *s, struct segment_file *file, const struct str *parts, size_t count,
                    uint64_t offset, struct fail **fail);
bool segments_truncate(struct segments *s, struct segment_file *file, uint64_t length, struct fail **fail);

bool segments_sync(struct segments *s, struct fail **fail);

/* Removes the file's name; handles stay readable. A file that is not there is removed. */
bool segments_unlink(struct segments *s, uint64_t number, struct fail **fail);

/* Reads exactly length bytes; a file that ends before is FAIL_CORRUPT. */
bool segment_file_read(const struct segment_file *file, uint64_t offset, void *to, size_t length, struct fail **fail);
uint64_t segment_file_size(const struct segment_file *file);

/* The file name of a segment. */
void segments_name(uint64_t number, char name[24]);

#endif

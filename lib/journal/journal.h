/*
 * The journal: a ring file in which a mail is durable before it is acknowledged.
 *
 * Guarantees
 * - A record whose append returned true is found by every later journal_open until it was
 *   trimmed, with its octets (checksum) and its sequence number. One damaged record never
 *   hides another one.
 * - A sequence number is used once in the life of a journal, also across crashes; (UUID,
 *   sequence) names a record for ever.
 * - The trim mark on disk is never ahead of journal_trim: after a crash too much is replayed,
 *   never too little. Space is reused only when a mark that frees it is durable.
 * - The file is written with zeros and flushed before it gets its name, so appending never
 *   meets a full disk, and fdatasync has no metadata to write.
 *
 * The file "journal-<UUID>" lies in a directory that the caller opened. One process holds a
 * journal (OFD lock). Threads: append and journal_write_mark wait for each other; all
 * other functions may run beside them and are short.
 *
 * Failures: FAIL_LIMIT the ring is full, nothing was written; FAIL_TOO_BIG the record can never
 * fit; FAIL_IO a write or flush failed, now or before: that is final, the journal is closed for
 * writing (it can still be read and trimmed in memory) and the caller makes a new one;
 * FAIL_CORRUPT a record does not match its checksum. Sizes are octets.
 *
 * docs/queue.md has the invariants and the measurements behind the way of writing.
 */
#ifndef POSTHORN_JOURNAL_JOURNAL_H
#define POSTHORN_JOURNAL_JOURNAL_H

#include "buf.h"
#include "fail.h"
#include "limits.h"

struct journal;

struct journal_uuid {
	uint8_t bytes[16];
};

#define JOURNAL_SIZE_MIN UINT64_C(65536)
#define JOURNAL_SIZE_MAX (UINT64_C(1) << 36)

/* A stretch of records that were written and are not there. */
struct journal_gap {
	uint64_t first; /* sequence numbers, both included; some in between may never have been used */
	uint64_t last;
	bool synced; /* a later group exists: they had been durable, and 250 may have been said */
};

/* What journal_open found. */
struct journal_report {
	uint64_t records;           /* live: to be applied */
	uint64_t gap_count;
	struct journal_gap gaps[16]; /* the first ones */
	uint64_t torn;              /* records with a good head and a bad payload */
	uint64_t unreadable;        /* blocks of 4096 that could not be read */
	bool slot_damaged;          /* one header slot was bad, as after a torn write */
	bool salvaged;              /* both were: all records were searched by the UUID in the file's name */
	bool read_only;             /* cannot be written: shorter than it should be, or the header write failed */
};

/* One message to append: its payload is head, then body; not empty. */
struct journal_entry {
	struct str head;
	struct str body;
	uint64_t sequence; /* set by append */
};

/* Makes a new journal with a ring of size octets (a multiple of 4096) under a new UUID.
 * FAIL_NO_SPACE leaves nothing behind. */
bool journal_create(int directory, uint64_t size, struct journal_uuid *uuid, struct fail **fail);

/* The UUIDs of the journals in the directory, at most max; unfinished ones of a crash are removed. */
bool journal_list(int directory, struct journal_uuid *uuids, size_t max, size_t *count, struct fail **fail);

/* Opens, scans and locks. NULL: FAIL_NOT_FOUND, FAIL_BUSY (another process has it), FAIL_IO. */
struct journal *journal_open(int directory, const struct journal_uuid *uuid, struct journal_report *report,
                             struct fail **fail);

/* Writes the trim mark and closes; NULL is nothing. */
void journal_close(struct journal *j);
void journal_cleanup(struct journal **j); /* for CLEANUP */

/* Removes the file of a journal whose records are all done. */
bool journal_remove(int directory, const struct journal_uuid *uuid, struct fail **fail);

/* Writes the entries in order, in one write and one fdatasync (more writes only beyond 4 MB and where the ring
 * wraps), and gives each its sequence number. All of them are durable, or it is a failure: FAIL_LIMIT when the ring
 * is full; after any other one journal_is_failed, and its kind is FAIL_NO_SPACE where the file system said so. */
bool journal_append_group(struct journal *j, struct journal_entry *entries, size_t count, struct fail **fail);

/* The payload of a live record, added to out. FAIL_NOT_FOUND when it was trimmed. */
bool journal_read(struct journal *j, uint64_t sequence, struct buf *out, struct fail **fail);

/* The first live record with a sequence above after (begin with 0); false when there is none. */
bool journal_next(struct journal *j, uint64_t after, uint64_t *sequence, uint32_t *length);

/* All records up to this sequence are done. Moves the mark in memory only; see journal_write_mark. */
void journal_trim(struct journal *j, uint64_t sequence);

/* Makes the mark durable if it moved since. Appending does that by itself when it needs the space. */
bool journal_write_mark(struct journal *j, struct fail **fail);

/* Every record below this sequence is gone for ever, also after a crash: what was remembered to
 * recognise a replay of them may be forgotten. */
uint64_t journal_durable_mark(struct journal *j);

uint64_t journal_size(const struct journal *j);

/* Octets free for records with their heads and padding. */
uint64_t journal_room(struct journal *j);
bool journal_is_half_full(struct journal *j);
bool journal_is_failed(struct journal *j);
struct journal_uuid journal_uuid_of(const struct journal *j);

#endif

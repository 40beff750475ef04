/*
 * The operation log of the power-loss simulator: one file, mapped by every process that runs
 * under powerloss.so and read afterwards by powerlog.py, which makes it (powerlog.create).
 *
 * Layout: struct oplog, then `slots` inode numbers (open addressing; the files and directories
 * that are followed), then records, each aligned to OPLOG_ALIGN. Room is taken by an atomic
 * addition to `used`; a process killed between that and the record's first word leaves a gap,
 * which a reader crosses by looking for the next OPLOG_RECORD. All numbers are little endian.
 *
 * `sequence` is the one clock: an operation takes a number when it begins and one when it is
 * done, so "before", "after" and "at the same time" are known across processes.
 */
#ifndef POSTHORN_TESTS_OPLOG_H
#define POSTHORN_TESTS_OPLOG_H

#include <pthread.h>
#include <stdint.h>

#define OPLOG_MAGIC 0x31474f4c52574f50u /* "POWRLOG1" */
#define OPLOG_RECORD 0xd7a61c0f9be35842u
#define OPLOG_FAILED UINT64_MAX

enum { OPLOG_ALIGN = 16, OPLOG_HEADER = 4096 };

enum oplog_type {
	OPLOG_WRITE = 1,    /* inode, offset, length, data */
	OPLOG_TRUNCATE = 2, /* inode, offset = the new size */
	OPLOG_ALLOCATE = 3, /* inode, offset, length, flags = mode of fallocate(2) */
	OPLOG_SYNC = 4,     /* inode: fsync or fdatasync of a file or directory */
	OPLOG_SYNC_ALL = 5,
	OPLOG_CREATE = 6,   /* inode = directory, inode2 = new, name ("" with O_TMPFILE), flags = enum oplog_kind,
	                     * data = a symlink's target */
	OPLOG_LINK = 7,     /* inode = directory, inode2 = what, name */
	OPLOG_UNLINK = 8,   /* inode = directory, name; rmdir too */
	OPLOG_RENAME = 9,   /* inode, name → inode2, name2; flags = those of renameat2(2) */
	OPLOG_MAP = 10,     /* inode was mapped shared and writable: its content is not followed */
	OPLOG_MARK = 11,    /* data: a line that the program wrote to the marks file */
};

enum oplog_kind { OPLOG_FILE = 0, OPLOG_DIRECTORY = 1, OPLOG_SYMLINK = 2 };

enum { OPLOG_DURABLE = 1 }; /* flags of WRITE: O_DSYNC or RWF_DSYNC, durable when done */

struct oplog {
	uint64_t magic;
	uint64_t capacity; /* size of the file */
	uint64_t device;   /* st_dev of the tree */
	uint64_t slots;    /* a power of two */
	uint64_t marks;    /* inode of the marks file */
	_Atomic uint64_t used;
	_Atomic uint64_t sequence;
	_Atomic uint32_t lock_state; /* 0 not made, 1 being made, 2 ready */
	uint32_t unused;
	pthread_mutex_t names; /* held while a name is looked up, changed and recorded */
};

struct oplog_record {
	uint64_t magic;
	uint32_t size; /* with names, data and alignment */
	uint16_t type;
	uint16_t flags;
	uint64_t begin;
	_Atomic uint64_t done; /* 0: never ended; OPLOG_FAILED: had no effect */
	uint64_t inode, inode2, offset, length;
	uint16_t name_length, name2_length;
	uint32_t unused;
};

_Static_assert(sizeof(struct oplog) <= OPLOG_HEADER, "the header has its own page");
_Static_assert(sizeof(struct oplog_record) == 72, "powerlog.py reads it");

#endif

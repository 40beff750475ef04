/*
 * The SQLite VFS of the store: "unix-excl" with a WAL that is written in few pieces.
 *
 * SQLite writes each frame of a commit in two calls, 24 octets of header and a page. Here frames are gathered and
 * written together. One process has an account (the OFD lock on `version`), so the wal-index lies in its heap and
 * nothing is locked in files; "unix-excl" also keeps other programs out of meta.db while it is open.
 *
 * INVARIANTS
 *  1  Gathered is only what is appended: a frame's header that begins where the last frame ended, its page, and so on
 *     without a gap. Everything else, above all a frame that is written anew, goes through at once.
 *  2  When the write of the last page of a commit returns success, all of the commit is in the file. That page is known
 *     by the header before it, whose octets 4 to 7 are then not zero (sqlite.org/fileformat2.html §4.1).
 *     So a write that fails makes the commit fail, and nobody sees a commit in the wal-index that is not in the file.
 *  3  What is gathered belongs to no commit that there is. It reaches the file before anything is written elsewhere in
 *     it, before its octets are read, and before the file's size is asked for or changed; no sync waits for it.
 *  4  A frame whose write returned success stays gathered until it is in the file, though a flush may fail meanwhile:
 *     a statement may fail on a full disk and its transaction go on. A commit that fails is dropped as a whole.
 *  5  Memory: WAL_VFS_GATHER octets for a file that is written; after a large commit they are given back.
 *  6  Behind the frames there may be zeroes, which are no frame to who reads the file (fileformat2.html §4.4: their salt
 *     is wrong). Only the connection that writes puts them there, and only behind all that the file holds.
 *
 * Room: a sync of a file that has grown has the file system commit its own journal, too, which costs more than the
 * sync itself. So a WAL that grows again and again between syncs is made longer by zeroes, as much as it has, and the
 * syncs that follow find it as long as before. They go with the WAL when it is truncated. A disk too full for them
 * does without.
 *
 * A kill of the process loses what is gathered, as it would lose what SQLite had not written yet: a commit that did not
 * return. For a loss of power nothing changes: when the octets are durable is up to xSync, before and now.
 */
#ifndef POSTHORN_STORE_WAL_VFS_H
#define POSTHORN_STORE_WAL_VFS_H

enum { WAL_VFS_GATHER = 65536, WAL_VFS_ROOM_MAX = 1 << 18 };

/* The name for sqlite3_open_v2; registers it at the first call. Any thread. */
const char *wal_vfs_name(void);

#endif

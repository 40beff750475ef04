#include "wal_vfs.h"

#include "check.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

enum { FRAME_HEADER_SIZE = 24, WAL_HEADER_SIZE = 32, ZEROES_SIZE = 1 << 14 };
/* A commit that wrote more gives its room back: most processes rest, and there are many. */
enum { GATHERED_KEPT = 1 << 14 };

static const char zeroes[ZEROES_SIZE];

/* The file of "unix-excl" lies behind this. */
struct wal_file {
	sqlite3_file file;
	sqlite3_file *real;
	char *gathered;
	int length;
	sqlite3_int64 at;     /* of gathered in the file */
	sqlite3_int64 append; /* where the last frame that was written ends; 0: not known */
	sqlite3_int64 page;   /* where a page must begin to belong to the last header written; 0: none */
	bool commit;          /* that header ends a commit */
	sqlite3_int64 end;    /* of what was written since the file was empty */
	sqlite3_int64 synced; /* and when it was synced last, the room with it */
	bool grew;            /* by frames that were synced, since the file was empty */
};

static sqlite3_vfs *parent;

static struct wal_file *wal_of(sqlite3_file *file)
{
	return (struct wal_file *)(void *)file;
}

static int write_real(struct wal_file *wal, const void *data, int length, sqlite3_int64 offset)
{
	int result = wal->real->pMethods->xWrite(wal->real, data, length, offset);
	if (wal->end < offset + length)
		wal->end = offset + length;
	return result;
}

/* What could not be written stays gathered: a transaction that goes on after a statement failed needs it. */
static int flush(struct wal_file *wal)
{
	if (!wal->length)
		return SQLITE_OK;
	int result = write_real(wal, wal->gathered, wal->length, wal->at);
	if (result == SQLITE_OK)
		wal->length = 0;
	return result;
}

static void forget_gathered(struct wal_file *wal)
{
	sqlite3_free(wal->gathered);
	wal->gathered = NULL;
}

/* A commit that failed is rolled back as a whole; it must not be written by a later flush. */
static int flush_commit(struct wal_file *wal)
{
	bool large = wal->length > GATHERED_KEPT;
	int result = flush(wal);
	wal->length = 0;
	if (large)
		forget_gathered(wal);
	return result;
}

static int gather(struct wal_file *wal, const void *data, int length, sqlite3_int64 offset)
{
	/* not zeroed: most of it is never touched */
	if (!wal->gathered)
		wal->gathered = sqlite3_malloc(WAL_VFS_GATHER);
	if (!wal->gathered)
		return SQLITE_NOMEM;
	if (wal->length + length > WAL_VFS_GATHER) {
		int result = flush(wal);
		if (result != SQLITE_OK)
			return result;
	}
	if (!wal->length)
		wal->at = offset;
	memcpy(wal->gathered + wal->length, data, (size_t)length);
	wal->length += length;
	return SQLITE_OK;
}

static int write_through(struct wal_file *wal, const void *data, int length, sqlite3_int64 offset)
{
	int result = flush(wal);
	return result == SQLITE_OK ? write_real(wal, data, length, offset) : result;
}

static int write_header(struct wal_file *wal, const char *header, sqlite3_int64 offset)
{
	int result = offset == wal->append ? gather(wal, header, FRAME_HEADER_SIZE, offset)
	                                   : write_through(wal, header, FRAME_HEADER_SIZE, offset);
	wal->page = result == SQLITE_OK ? offset + FRAME_HEADER_SIZE : 0;
	wal->commit = header[4] || header[5] || header[6] || header[7];
	return result;
}

/* The page of the header before it: now the frame is whole. */
static int write_page(struct wal_file *wal, const void *data, int length, sqlite3_int64 offset)
{
	/* a page too large for the room goes by itself, as in other programs */
	int result = wal->length && length <= WAL_VFS_GATHER ? gather(wal, data, length, offset)
	                                                     : write_through(wal, data, length, offset);
	if (result == SQLITE_OK && wal->commit)
		result = flush_commit(wal);
	wal->append = result == SQLITE_OK ? offset + length : 0;
	wal->page = 0;
	return result;
}

static int wal_write(sqlite3_file *file, const void *data, int length, sqlite3_int64 offset)
{
	struct wal_file *wal = wal_of(file);
	if (length == FRAME_HEADER_SIZE)
		return write_header(wal, data, offset);
	if (wal->page && offset == wal->page)
		return write_page(wal, data, length, offset);
	wal->page = 0;
	int result = write_through(wal, data, length, offset);
	if (offset == 0 && length == WAL_HEADER_SIZE)
		wal->append = result == SQLITE_OK ? WAL_HEADER_SIZE : 0;
	return result;
}

static int wal_close(sqlite3_file *file)
{
	struct wal_file *wal = wal_of(file);
	flush(wal);
	sqlite3_free(wal->gathered);
	return wal->real->pMethods->xClose(wal->real);
}

static int wal_read(sqlite3_file *file, void *data, int length, sqlite3_int64 offset)
{
	struct wal_file *wal = wal_of(file);
	bool apart = offset + length <= wal->at || offset >= wal->at + wal->length;
	int result = apart ? SQLITE_OK : flush(wal);
	return result == SQLITE_OK ? wal->real->pMethods->xRead(wal->real, data, length, offset) : result;
}

static int wal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct wal_file *wal = wal_of(file);
	int result = flush(wal);
	wal->end = wal->synced = size;
	wal->grew = false;
	return result == SQLITE_OK ? wal->real->pMethods->xTruncate(wal->real, size) : result;
}

/* The file may be longer than what this connection wrote: one that was killed left it so. */
static void make_room(struct wal_file *wal)
{
	sqlite3_int64 length;
	if (wal->real->pMethods->xFileSize(wal->real, &length) != SQLITE_OK || length > wal->end)
		return;
	sqlite3_int64 room = length < ZEROES_SIZE ? ZEROES_SIZE : length < WAL_VFS_ROOM_MAX ? length : WAL_VFS_ROOM_MAX;
	while (room >= ZEROES_SIZE && wal->real->pMethods->xWrite(wal->real, zeroes, ZEROES_SIZE, wal->synced) == SQLITE_OK) {
		wal->synced += ZEROES_SIZE;
		room -= ZEROES_SIZE;
	}
}

/* What is gathered belongs to no commit that there is: it need not be durable. */
static int wal_sync(sqlite3_file *file, int flags)
{
	struct wal_file *wal = wal_of(file);
	if (wal->end > wal->synced) {
		wal->synced = wal->end;
		if (wal->grew)
			make_room(wal);
		wal->grew = wal->end > WAL_HEADER_SIZE; /* the header is synced by itself */
	}
	return wal->real->pMethods->xSync(wal->real, flags);
}

static int wal_size(sqlite3_file *file, sqlite3_int64 *size)
{
	struct wal_file *wal = wal_of(file);
	int result = flush(wal);
	return result == SQLITE_OK ? wal->real->pMethods->xFileSize(wal->real, size) : result;
}

static int wal_lock(sqlite3_file *file, int level)
{
	struct wal_file *wal = wal_of(file);
	return wal->real->pMethods->xLock(wal->real, level);
}

static int wal_unlock(sqlite3_file *file, int level)
{
	struct wal_file *wal = wal_of(file);
	return wal->real->pMethods->xUnlock(wal->real, level);
}

static int wal_check_lock(sqlite3_file *file, int *reserved)
{
	struct wal_file *wal = wal_of(file);
	return wal->real->pMethods->xCheckReservedLock(wal->real, reserved);
}

static int wal_control(sqlite3_file *file, int operation, void *argument)
{
	struct wal_file *wal = wal_of(file);
	return wal->real->pMethods->xFileControl(wal->real, operation, argument);
}

static int wal_sector_size(sqlite3_file *file)
{
	struct wal_file *wal = wal_of(file);
	return wal->real->pMethods->xSectorSize(wal->real);
}

static int wal_characteristics(sqlite3_file *file)
{
	struct wal_file *wal = wal_of(file);
	return wal->real->pMethods->xDeviceCharacteristics(wal->real);
}

static const sqlite3_io_methods wal_methods = {
	.iVersion = 1,
	.xClose = wal_close,
	.xRead = wal_read,
	.xWrite = wal_write,
	.xTruncate = wal_truncate,
	.xSync = wal_sync,
	.xFileSize = wal_size,
	.xLock = wal_lock,
	.xUnlock = wal_unlock,
	.xCheckReservedLock = wal_check_lock,
	.xFileControl = wal_control,
	.xSectorSize = wal_sector_size,
	.xDeviceCharacteristics = wal_characteristics,
};

static int wal_open(const char *name, sqlite3_file *file, int flags, int *flags_out)
{
	struct wal_file *wal = wal_of(file);
	*wal = (struct wal_file){ .real = (sqlite3_file *)(void *)(wal + 1) };
	int result = parent->xOpen(parent, name, wal->real, flags, flags_out);
	/* without methods SQLite does not close it */
	if (wal->real->pMethods)
		wal->file.pMethods = &wal_methods;
	return result;
}

/* All other files are the parent's own. */
static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *flags_out)
{
	(void)vfs;
	if (flags & SQLITE_OPEN_WAL)
		return wal_open(name, file, flags, flags_out);
	return parent->xOpen(parent, name, file, flags, flags_out);
}

static sqlite3_vfs vfs;

static void register_vfs(void)
{
	parent = sqlite3_vfs_find("unix-excl");
	must(parent);
	vfs = *parent;
	vfs.zName = "posthorn";
	vfs.pNext = NULL;
	vfs.szOsFile = parent->szOsFile + (int)sizeof(struct wal_file);
	vfs.xOpen = open_file;
	must(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
}

const char *wal_vfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, register_vfs);
	return vfs.zName;
}

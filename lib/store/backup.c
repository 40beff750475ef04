#include "store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A backup is one moment: a read transaction on meta.db begun, and the ends of the open segments noted, while
 * the writer lock is held. All else happens beside the writers; only compaction waits, so that no file goes. */

enum { BLOCK = 1 << 20 };

struct backup {
	struct store *store;
	struct store_reader *reader;
	int directory, segments; /* where it goes */
	struct tail_mark ends[2];
};

static bool begin(struct backup *b, struct fail **fail)
{
	struct store *store = b->store;
	struct database *db = &b->reader->database;
	pthread_mutex_lock(&store->writer_lock);
	/* a transaction begins to see with its first read */
	sqlite3_stmt *first = database_query(db, "SELECT 1 FROM account");
	bool ok = store_snapshot_begin(b->reader, fail) && database_step(db, first, fail) == DATABASE_ROW;
	database_done(first);
	const struct segment_tail *tails[] = { &store->tail, &store->archive };
	for (size_t i = 0; i < COUNT_OF(tails); i++)
		if (tails[i]->file)
			b->ends[i] = (struct tail_mark){ tails[i]->file->number, tails[i]->end };
	store->backups += ok;
	pthread_mutex_unlock(&store->writer_lock);
	return ok;
}

static void end(struct backup *b)
{
	store_snapshot_end(b->reader);
	pthread_mutex_lock(&b->store->writer_lock);
	b->store->backups--;
	pthread_mutex_unlock(&b->store->writer_lock);
}

static bool copy_database(struct backup *b, const char *path, struct fail **fail)
{
	CLEANUP(mem_free) char *name = mem_printf("%s/meta.db", path);
	struct database to;
	int file = openat(b->directory, "meta.db", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return fail_set_errno(fail, errno == EEXIST ? FAIL_EXISTS : FAIL_IO, "create meta.db of the backup");
	close(file);
	if (!database_open(&to, name, SQLITE_OPEN_READWRITE, fail))
		return false;
	sqlite3_backup *copy = sqlite3_backup_init(to.handle, "main", b->reader->database.handle, "main");
	bool ok = copy && sqlite3_backup_step(copy, -1) == SQLITE_DONE;
	ok = sqlite3_backup_finish(copy) == SQLITE_OK && ok;
	if (!ok)
		database_fail(&to, "backup", fail);
	database_close(&to);
	return ok;
}

static bool copy_bytes(const struct segment_file *from, int to, uint64_t length, struct fail **fail)
{
	CLEANUP(mem_free) char *block = mem_alloc(BLOCK);
	for (uint64_t done = 0; done < length;) {
		size_t wanted = length - done < BLOCK ? (size_t)(length - done) : BLOCK;
		ssize_t got = pread(from->file, block, wanted, (off_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_set_errno(fail, FAIL_IO, "read of segment %llu", (unsigned long long)from->number);
		/* a file that is shorter than it should be is copied as it is */
		if (got == 0)
			return true;
		if (pwrite(to, block, (size_t)got, (off_t)done) != got)
			return fail_set_errno(fail, FAIL_IO, "write of the backup");
		done += (uint64_t)got;
	}
	return true;
}

static uint64_t length_of(const struct backup *b, const struct segment_file *file)
{
	for (size_t i = 0; i < COUNT_OF(b->ends); i++)
		if (b->ends[i].number == file->number)
			return b->ends[i].end;
	return segment_file_size(file);
}

static bool copy_segment(struct backup *b, uint64_t number, struct fail **fail)
{
	char name[24];
	segments_name(number, name);
	struct fail *why = NULL;
	struct segment_file *file = segments_use(&b->store->segments, number, &why);
	if (!file) {
		/* what is lost here is lost in the copy too, and told by a check */
		bool lost = why->kind == FAIL_NOT_FOUND || fail_set(fail, why->kind, "%s", why->text);
		fail_free(&why);
		return lost;
	}
	int to = openat(b->segments, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = to >= 0 || fail_set_errno(fail, FAIL_IO, "create seg/%s of the backup", name);
	ok = ok && copy_bytes(file, to, length_of(b, file), fail) &&
	     (fdatasync(to) == 0 || fail_set_errno(fail, FAIL_IO, "fdatasync of the backup"));
	if (to >= 0)
		close(to);
	segments_unuse(&b->store->segments, file);
	return ok;
}

static bool copy_segments(struct backup *b, struct fail **fail)
{
	struct database *db = &b->reader->database;
	sqlite3_stmt *query = database_query(db, "SELECT number FROM segment WHERE state != 4 ORDER BY number");
	enum database_step step;
	while ((step = database_step(db, query, fail)) == DATABASE_ROW)
		if (!copy_segment(b, column_u64(query, 0), fail))
			break;
	database_done(query);
	return step == DATABASE_DONE;
}

/* Not clean: whoever opens the copy adds the gap, since after this moment mail went on under the numbers that the
 * copy would give. */
static bool write_version(struct backup *b, struct fail **fail)
{
	struct version version;
	if (!version_open(&version, b->directory, true, fail))
		return false;
	version.key = b->store->segments.key;
	bool ok = version_write(&version, false, fail);
	version_close(&version);
	return ok;
}

static bool sync_directories(struct backup *b, struct fail **fail)
{
	return (fsync(b->segments) == 0 && fsync(b->directory) == 0) ||
	       fail_set_errno(fail, FAIL_IO, "fsync of the backup");
}

static bool copy_all(struct backup *b, const char *path, struct fail **fail)
{
	if (mkdirat(b->directory, "seg", 0700) < 0)
		return fail_set_errno(fail, errno == EEXIST ? FAIL_EXISTS : FAIL_IO, "mkdir seg of the backup");
	b->segments = openat(b->directory, "seg", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (b->segments < 0)
		return fail_set_errno(fail, FAIL_IO, "open seg of the backup");
	bool ok =
		copy_segments(b, fail) && copy_database(b, path, fail) && write_version(b, fail) && sync_directories(b, fail);
	close(b->segments);
	return ok;
}

bool store_backup(struct store *store, int directory, const char *path, struct fail **fail)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(store, fail);
	struct backup b = { .store = store, .reader = reader, .directory = directory };
	if (!reader || !begin(&b, fail))
		return false;
	bool ok = copy_all(&b, path, fail);
	end(&b);
	return ok;
}

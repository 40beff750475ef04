/*
 * powerloss.so: runs a program as it is, and records everything it does to one directory tree
 * in the log of oplog.h, from which powerlog.py builds the tree as a power failure at any
 * moment could leave it.
 *
 *	LD_PRELOAD=…/powerloss.so POWERLOSS_LOG=FILE program
 *
 * The log is opened and mapped when the library is loaded; recording itself is memory writes
 * only. To know what a descriptor or a path stands for it asks fstat, newfstatat and lseek
 * (and fcntl F_GETFL for O_DSYNC descriptors), so a sandbox must allow those; names are
 * serialised by a robust mutex (futex). Files are known by inode, so relative paths,
 * inherited and received descriptors need no care.
 *
 * Not seen: stdio, direct system calls, io_uring, writes through a shared mapping.
 * powerlog.py's comparison of the log with the real tree finds all of them but the last,
 * which is recorded and refused.
 */
#include "interpose.h"

#include "oplog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DESCRIPTORS = 65536 };

static struct oplog *oplog;
static _Atomic uint64_t *inodes;
static bool synchronous[DESCRIPTORS]; /* opened with O_DSYNC or O_SYNC */

__attribute__((noreturn)) static void give_up(const char *why)
{
	(void)!NEXT(write)(STDERR_FILENO, why, strlen(why));
	abort();
}

static void make_lock(void)
{
	uint32_t none = 0;
	if (atomic_compare_exchange_strong(&oplog->lock_state, &none, 1)) {
		pthread_mutexattr_t attributes;
		pthread_mutexattr_init(&attributes);
		pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
		pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
		pthread_mutex_init(&oplog->names, &attributes);
		atomic_store(&oplog->lock_state, 2);
	}
	while (atomic_load(&oplog->lock_state) != 2)
		sched_yield();
}

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("POWERLOSS_LOG");
	struct stat status;
	if (!path)
		return;
	int fd = NEXT(open)(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		give_up("powerloss: cannot open POWERLOSS_LOG\n");
	void *memory = NEXT(mmap)(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	NEXT(close)(fd);
	if (memory == MAP_FAILED || ((struct oplog *)memory)->magic != OPLOG_MAGIC)
		give_up("powerloss: POWERLOSS_LOG is not an operation log\n");
	inodes = (void *)((char *)memory + OPLOG_HEADER);
	oplog = memory;
	make_lock();
}

/* ---- which inodes are followed */

static _Atomic uint64_t *inode_slot(uint64_t inode)
{
	uint64_t i = inode * 0x9e3779b97f4a7c15u >> 20;
	for (uint64_t n = 0; n < oplog->slots; n++, i++) {
		_Atomic uint64_t *slot = &inodes[i & (oplog->slots - 1)];
		uint64_t value = atomic_load(slot);
		if (value == 0 || value == inode)
			return slot;
	}
	give_up("powerloss: too many files\n");
}

static void follow(uint64_t inode)
{
	uint64_t empty = 0;
	_Atomic uint64_t *slot = inode_slot(inode);
	if (!atomic_compare_exchange_strong(slot, &empty, inode) && empty != inode)
		follow(inode);
}

static bool is_followed(const struct stat *status)
{
	return status->st_dev == oplog->device && atomic_load(inode_slot(status->st_ino)) == status->st_ino;
}

/* The followed file behind a descriptor, or 0; errno stays as it was. */
static uint64_t descriptor_inode(int fd)
{
	struct stat status;
	int error = errno;
	bool found = oplog && fstat(fd, &status) == 0 && is_followed(&status);
	errno = error;
	return found ? status.st_ino : 0;
}

/* The followed directory that holds the last name of path, or 0; *name is that last name. */
static uint64_t parent_inode(int directory, const char *path, char name[NAME_MAX + 1])
{
	char parent[PATH_MAX];
	struct stat status;
	int error = errno;
	size_t end = strnlen(path, PATH_MAX), start;
	while (end > 1 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		;
	if (!oplog || end >= PATH_MAX || end == start || end - start > NAME_MAX)
		return 0;
	snprintf(name, NAME_MAX + 1, "%.*s", (int)(end - start), path + start);
	snprintf(parent, sizeof parent, "%.*s", start ? (int)start : 1, start ? path : ".");
	bool found = fstatat(directory, parent, &status, 0) == 0 && is_followed(&status);
	errno = error;
	return found ? status.st_ino : 0;
}

/* ---- records */

static struct oplog_record *record_begin(enum oplog_type type, uint64_t inode, const char *name, const char *name2,
                                         size_t length)
{
	size_t name_length = strlen(name), name2_length = strlen(name2);
	size_t size = sizeof(struct oplog_record) + name_length + name2_length + length;
	size = (size + OPLOG_ALIGN - 1) / OPLOG_ALIGN * OPLOG_ALIGN;
	uint64_t at = atomic_fetch_add(&oplog->used, size);
	if (size > UINT32_MAX || at + size > oplog->capacity)
		give_up("powerloss: the log is full\n");
	struct oplog_record *r = (void *)((char *)oplog + at);
	*r = (struct oplog_record){ .magic = OPLOG_RECORD, .size = (uint32_t)size, .type = (uint16_t)type, .inode = inode,
		                        .length = length, .name_length = (uint16_t)name_length,
		                        .name2_length = (uint16_t)name2_length };
	memcpy(r + 1, name, name_length);
	memcpy((char *)(r + 1) + name_length, name2, name2_length);
	r->begin = atomic_fetch_add(&oplog->sequence, 1);
	return r;
}

static char *record_data(struct oplog_record *r)
{
	return (char *)(r + 1) + r->name_length + r->name2_length;
}

static void record_done(struct oplog_record *r, bool success)
{
	uint64_t now = atomic_fetch_add(&oplog->sequence, 1);
	atomic_store(&r->done, success ? now : OPLOG_FAILED);
}

static void names_lock(void)
{
	if (pthread_mutex_lock(&oplog->names) == EOWNERDEAD)
		pthread_mutex_consistent(&oplog->names);
}

static void names_unlock(void)
{
	pthread_mutex_unlock(&oplog->names);
}

/* ---- data */

static size_t total_length(const struct iovec *parts, int count)
{
	size_t total = 0;
	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	return total;
}

static bool is_synchronous(int fd)
{
	if (fd < 0 || fd >= DESCRIPTORS || !synchronous[fd])
		return false;
	int flags = fcntl(fd, F_GETFL); /* a close that was not seen may have left an old value */
	synchronous[fd] = flags >= 0 && (flags & O_DSYNC);
	return synchronous[fd];
}

/* A write about to happen, or NULL when it is nothing to us. offset -1: at the file's position. */
static struct oplog_record *write_begin(int fd, const struct iovec *parts, int count, bool durable)
{
	struct stat status;
	int error = errno;
	struct oplog_record *r = NULL;
	if (oplog && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
		bool mark = status.st_dev == oplog->device && status.st_ino == oplog->marks;
		if (mark || is_followed(&status)) {
			r = record_begin(mark ? OPLOG_MARK : OPLOG_WRITE, status.st_ino, "", "", total_length(parts, count));
			r->flags = durable || is_synchronous(fd) ? OPLOG_DURABLE : 0;
			char *data = record_data(r);
			for (int i = 0; i < count; i++)
				data = mempcpy(data, parts[i].iov_base, parts[i].iov_len);
		}
	}
	errno = error;
	return r;
}

static ssize_t write_done(struct oplog_record *r, int fd, off_t offset, ssize_t written)
{
	if (!r)
		return written;
	int error = errno;
	r->length = written > 0 ? (uint64_t)written : 0;
	if (offset < 0 && written > 0)
		offset = lseek(fd, 0, SEEK_CUR) - written;
	r->offset = (uint64_t)offset;
	record_done(r, written > 0);
	errno = error;
	return written;
}

ssize_t write(int fd, const void *data, size_t length)
{
	struct iovec part = { (void *)(uintptr_t)data, length };
	struct oplog_record *r = write_begin(fd, &part, 1, false);
	return write_done(r, fd, -1, NEXT(write)(fd, data, length));
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset)
{
	struct iovec part = { (void *)(uintptr_t)data, length };
	struct oplog_record *r = write_begin(fd, &part, 1, false);
	return write_done(r, fd, offset, NEXT(pwrite64)(fd, data, length, offset));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	struct oplog_record *r = write_begin(fd, parts, count, false);
	return write_done(r, fd, -1, NEXT(writev)(fd, parts, count));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	struct oplog_record *r = write_begin(fd, parts, count, false);
	return write_done(r, fd, offset, NEXT(pwritev64)(fd, parts, count, offset));
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	struct oplog_record *r = write_begin(fd, parts, count, (flags & (RWF_DSYNC | RWF_SYNC)) != 0);
	return write_done(r, fd, offset, NEXT(pwritev64v2)(fd, parts, count, offset, flags));
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) __attribute__((alias("pwrite64")));
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) __attribute__((alias("pwritev64")));
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
	__attribute__((alias("pwritev64v2")));

/* Copies inside the kernel: what was copied is read back from the source, which must be a file. */
static ssize_t copied(int in, off_t in_offset, int out, off_t out_offset, ssize_t length)
{
	uint64_t inode = length > 0 ? descriptor_inode(out) : 0;
	int error = errno;
	if (inode) {
		struct oplog_record *r = record_begin(OPLOG_WRITE, inode, "", "", (size_t)length);
		if (pread(in, record_data(r), (size_t)length, in_offset) != length)
			give_up("powerloss: the source of a copy cannot be read again\n");
		write_done(r, out, out_offset, length);
	}
	errno = error;
	return length;
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t length, unsigned flags)
{
	ssize_t n = NEXT(copy_file_range)(in, in_offset, out, out_offset, length, flags);
	if (n <= 0 || !oplog)
		return n;
	return copied(in, (in_offset ? *in_offset : lseek(in, 0, SEEK_CUR)) - n, out, out_offset ? *out_offset - n : -1, n);
}

ssize_t sendfile64(int out, int in, off_t *offset, size_t length)
{
	ssize_t n = NEXT(sendfile64)(out, in, offset, length);
	if (n <= 0 || !descriptor_inode(out))
		return n;
	return copied(in, (offset ? *offset : lseek(in, 0, SEEK_CUR)) - n, out, -1, n);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t length) __attribute__((alias("sendfile64")));

static int change_size(int fd, enum oplog_type type, int mode, off_t offset, off_t length, int result)
{
	uint64_t inode = result == 0 ? descriptor_inode(fd) : 0;
	if (inode) {
		struct oplog_record *r = record_begin(type, inode, "", "", 0);
		r->flags = (uint16_t)mode;
		r->offset = (uint64_t)offset;
		r->length = (uint64_t)length;
		record_done(r, true);
	}
	return result;
}

int ftruncate64(int fd, off_t size)
{
	return change_size(fd, OPLOG_TRUNCATE, 0, size, 0, NEXT(ftruncate64)(fd, size));
}

int fallocate64(int fd, int mode, off_t offset, off_t length)
{
	return change_size(fd, OPLOG_ALLOCATE, mode, offset, length, NEXT(fallocate64)(fd, mode, offset, length));
}

int posix_fallocate64(int fd, off_t offset, off_t length)
{
	return change_size(fd, OPLOG_ALLOCATE, 0, offset, length, NEXT(posix_fallocate64)(fd, offset, length));
}

int ftruncate(int fd, off_t size) __attribute__((alias("ftruncate64")));
int fallocate(int fd, int mode, off_t offset, off_t length) __attribute__((alias("fallocate64")));
int posix_fallocate(int fd, off_t offset, off_t length) __attribute__((alias("posix_fallocate64")));

int truncate64(const char *path, off_t size)
{
	int fd = NEXT(open)(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int result = ftruncate64(fd, size), error = errno;
	NEXT(close)(fd);
	errno = error;
	return result;
}

int truncate(const char *path, off_t size) __attribute__((alias("truncate64")));

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	void *memory = NEXT(mmap64)(address, length, protection, flags, fd, offset);
	bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
	uint64_t inode = memory != MAP_FAILED && shared && (protection & PROT_WRITE) ? descriptor_inode(fd) : 0;
	if (inode)
		record_done(record_begin(OPLOG_MAP, inode, "", "", 0), true);
	return memory;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
	__attribute__((alias("mmap64")));

/* ---- durability: a sync covers what was done before it began, and counts when it has returned */

static struct oplog_record *sync_begin(int fd, enum oplog_type type)
{
	uint64_t inode = descriptor_inode(fd);
	return inode ? record_begin(type, inode, "", "", 0) : NULL;
}

static int sync_done(struct oplog_record *r, int result)
{
	if (r)
		record_done(r, result == 0);
	return result;
}

int fsync(int fd)
{
	struct oplog_record *r = sync_begin(fd, OPLOG_SYNC);
	return sync_done(r, NEXT(fsync)(fd));
}

int fdatasync(int fd)
{
	struct oplog_record *r = sync_begin(fd, OPLOG_SYNC);
	return sync_done(r, NEXT(fdatasync)(fd));
}

int syncfs(int fd)
{
	struct oplog_record *r = sync_begin(fd, OPLOG_SYNC_ALL);
	return sync_done(r, NEXT(syncfs)(fd));
}

void sync(void)
{
	struct oplog_record *r = oplog ? record_begin(OPLOG_SYNC_ALL, 0, "", "", 0) : NULL;
	NEXT(sync)();
	(void)sync_done(r, 0);
}

/* ---- names */

static void note_descriptor(int fd, int flags)
{
	if (fd >= 0 && fd < DESCRIPTORS)
		synchronous[fd] = (flags & O_DSYNC) != 0;
}

static void note_created(struct oplog_record *r, int directory, const char *path, enum oplog_kind kind, bool success)
{
	struct stat status;
	if (success && fstatat(directory, path, &status, *path ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH) == 0) {
		r->inode2 = status.st_ino;
		r->flags = (uint16_t)kind;
		follow(status.st_ino);
	}
	record_done(r, success);
}

static int open_truncating(int directory, const char *path, int flags, mode_t mode, const struct stat *status)
{
	struct oplog_record *r = record_begin(OPLOG_TRUNCATE, status->st_ino, "", "", 0);
	int fd = NEXT(openat64)(directory, path, flags, mode), error = errno;
	record_done(r, fd >= 0);
	errno = error;
	return fd;
}

static int open_creating(int directory, const char *path, int flags, mode_t mode, uint64_t parent, const char *name)
{
	struct oplog_record *r = record_begin(OPLOG_CREATE, parent, name, "", 0);
	int fd = NEXT(openat64)(directory, path, flags, mode), error = errno;
	note_created(r, fd, "", OPLOG_FILE, fd >= 0);
	errno = error;
	return fd;
}

static int open_following(int directory, const char *path, int flags, mode_t mode)
{
	char name[NAME_MAX + 1] = "";
	struct stat status;
	int error = errno;
	bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
	if (!oplog || !(flags & (O_CREAT | O_TRUNC | __O_TMPFILE)))
		return NEXT(openat64)(directory, path, flags, mode);
	uint64_t parent = unnamed ? (fstatat(directory, path, &status, 0) == 0 && is_followed(&status) ? status.st_ino : 0)
	                          : parent_inode(directory, path, name);
	errno = error;
	if (!parent)
		return NEXT(openat64)(directory, path, flags, mode);
	int fd;
	names_lock();
	bool exists = !unnamed && fstatat(directory, path, &status, 0) == 0;
	errno = error;
	if (!exists && (flags & (O_CREAT | __O_TMPFILE)))
		fd = open_creating(directory, path, flags, mode, parent, name);
	else if (exists && (flags & O_TRUNC) && S_ISREG(status.st_mode))
		fd = open_truncating(directory, path, flags, mode, &status);
	else
		fd = NEXT(openat64)(directory, path, flags, mode);
	names_unlock();
	return fd;
}

int openat64(int directory, const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	int fd = open_following(directory, path, flags, mode);
	note_descriptor(fd, flags);
	return fd;
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return openat64(AT_FDCWD, path, flags, mode);
}

int creat64(const char *path, mode_t mode)
{
	return openat64(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));
int openat(int directory, const char *path, int flags, ...) __attribute__((alias("openat64")));

/* The C library's own opens the file past us. */
int mkostemp64(char *template, int flags)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	char *end = template + strlen(template) - 6;
	for (;;) {
		unsigned char chance[6];
		if (getrandom(chance, sizeof chance, 0) != sizeof chance)
			return -1;
		for (size_t i = 0; i < sizeof chance; i++)
			end[i] = letters[chance[i] % 32];
		int fd = open64(template, flags | O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
}
int mkostemp(char *template, int flags) __attribute__((alias("mkostemp64")));
int creat(const char *path, mode_t mode) __attribute__((alias("creat64")));

int close(int fd)
{
	note_descriptor(fd, 0);
	return NEXT(close)(fd);
}

int mkdirat(int directory, const char *path, mode_t mode)
{
	char name[NAME_MAX + 1];
	uint64_t parent = parent_inode(directory, path, name);
	if (!parent)
		return NEXT(mkdirat)(directory, path, mode);
	names_lock();
	struct oplog_record *r = record_begin(OPLOG_CREATE, parent, name, "", 0);
	int result = NEXT(mkdirat)(directory, path, mode), error = errno;
	note_created(r, directory, path, OPLOG_DIRECTORY, result == 0);
	names_unlock();
	errno = error;
	return result;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int symlinkat(const char *target, int directory, const char *path)
{
	char name[NAME_MAX + 1];
	uint64_t parent = parent_inode(directory, path, name);
	if (!parent)
		return NEXT(symlinkat)(target, directory, path);
	names_lock();
	struct oplog_record *r = record_begin(OPLOG_CREATE, parent, name, "", strlen(target));
	memcpy(record_data(r), target, strlen(target));
	int result = NEXT(symlinkat)(target, directory, path), error = errno;
	note_created(r, directory, path, OPLOG_SYMLINK, result == 0);
	names_unlock();
	errno = error;
	return result;
}

int symlink(const char *target, const char *path)
{
	return symlinkat(target, AT_FDCWD, path);
}

int linkat(int from_directory, const char *from, int directory, const char *path, int flags)
{
	char name[NAME_MAX + 1];
	struct stat status;
	uint64_t parent = parent_inode(directory, path, name);
	if (!parent)
		return NEXT(linkat)(from_directory, from, directory, path, flags);
	names_lock();
	struct oplog_record *r = record_begin(OPLOG_LINK, parent, name, "", 0);
	int result = NEXT(linkat)(from_directory, from, directory, path, flags), error = errno;
	if (result == 0 && fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0)
		r->inode2 = status.st_ino;
	record_done(r, result == 0);
	names_unlock();
	errno = error;
	return result;
}

int link(const char *from, const char *path)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, path, 0);
}

int unlinkat(int directory, const char *path, int flags)
{
	char name[NAME_MAX + 1];
	uint64_t parent = parent_inode(directory, path, name);
	if (!parent)
		return NEXT(unlinkat)(directory, path, flags);
	names_lock();
	struct oplog_record *r = record_begin(OPLOG_UNLINK, parent, name, "", 0);
	int result = NEXT(unlinkat)(directory, path, flags), error = errno;
	record_done(r, result == 0);
	names_unlock();
	errno = error;
	return result;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
	return unlink(path) == 0 ? 0 : errno == EISDIR ? rmdir(path) : -1;
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
	char name[NAME_MAX + 1], name2[NAME_MAX + 1];
	uint64_t source = parent_inode(from_directory, from, name), target = parent_inode(to_directory, to, name2);
	if (!source && !target)
		return NEXT(renameat2)(from_directory, from, to_directory, to, flags);
	if (!source || !target)
		give_up("powerloss: a rename into or out of the tree\n");
	names_lock();
	struct oplog_record *r = record_begin(OPLOG_RENAME, source, name, name2, 0);
	r->inode2 = target;
	r->flags = (uint16_t)flags;
	int result = NEXT(renameat2)(from_directory, from, to_directory, to, flags), error = errno;
	record_done(r, result == 0);
	names_unlock();
	errno = error;
	return result;
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
	return renameat2(from_directory, from, to_directory, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

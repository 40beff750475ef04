/*
 * faults.so: makes one chosen system call fail, kills the program at it, or lets the disk fill up.
 *
 *	LD_PRELOAD=…/faults.so FAULT_STATE=FILE FAULT_TREE=DIR FAULT_CALLS=write,fsync FAULT_AT=17 … program
 *
 * FAULT_STATE   file of sizeof(struct state) zero bytes, mapped by all processes of one run: they
 *               share one count, and the test reads from it how many calls there were and struck
 * FAULT_TREE    counted are calls on regular files of the file system of this directory, and on
 *               paths below it or relative
 * FAULT_EXCEPT  a file that is left alone, such as one in which a program says what it has done
 * FAULT_CALLS   which are counted: write fsync fdatasync syncfs open rename unlink mkdir size malloc
 * FAULT_AT      the first counted call that is struck (from 1); 0 only counts
 * FAULT_TIMES   how many calls in a row are struck (1)
 * FAULT_MODE    error (the call fails with FAULT_ERRNO, a number; default EIO), kill-before, kill-after, slow (the call
 *               takes five seconds by the monotonic clock of its program), hang (it takes a minute by that clock, and goes on)
 * FAULT_FREE    instead: the disk has so many bytes left; growing files use them up, shrinking,
 *               removed and replaced ones give them back; a write that fits in part is short
 * FAULT_PROGRAM only processes of this name (program_invocation_short_name) are counted
 *
 * With WITHOUT_MEMORY it is compiled for programs that have a memory of their own, such as a sanitizer's.
 *
 * Everything is read when the library is loaded; later it needs fstat, newfstatat and lseek only.
 */
#include "interpose.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The call, unless it is struck. */
#define GUARDED(call_, involved, real)                                   \
	({                                                                   \
		enum verdict verdict_ = judge((call_), (involved));              \
		verdict_ == FAIL ? -1 : survive(verdict_, (real));               \
	})

enum call { WRITE, FSYNC, FDATASYNC, SYNCFS, OPEN, RENAME, UNLINK, MKDIR, SIZE, MALLOC, CALLS };
enum { SLOW_SECONDS = 5, HANG_SECONDS = 60 };
enum verdict { PASS, FAIL, DIE_AFTER };
enum mode { ERROR, KILL_BEFORE, KILL_AFTER, SLOW, HANG };

struct state {
	_Atomic uint64_t calls, struck;
	_Atomic int64_t used; /* bytes of FAULT_FREE */
};

static const char *const call_names[CALLS] = { "write",  "fsync",  "fdatasync", "syncfs", "open",
	                                           "rename", "unlink", "mkdir",     "size",   "malloc" };
static struct state *state;
static const char *tree;
static dev_t device;
static ino_t exception;
static bool counted[CALLS];
static uint64_t first, last;
static enum mode mode;
static int error_number = EIO;
static int64_t free_bytes = -1;
static _Atomic int64_t seconds_late;


static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static bool is_in_list(const char *list, const char *name)
{
	size_t length = strlen(name);
	for (const char *p = list; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
		if (strncmp(p, name, length) == 0 && (p[length] == ',' || p[length] == '\0'))
			return true;
	return false;
}

static void read_mode(void)
{
	const char *text = getenv("FAULT_MODE"), *calls = getenv("FAULT_CALLS");
	mode = !text || strcmp(text, "error") == 0 ? ERROR
	       : strcmp(text, "slow") == 0         ? SLOW
	       : strcmp(text, "hang") == 0         ? HANG
	       : strcmp(text, "kill-before") == 0  ? KILL_BEFORE
	                                           : KILL_AFTER;
	error_number = (int)number_of("FAULT_ERRNO", EIO);
	first = number_of("FAULT_AT", 0);
	last = first + number_of("FAULT_TIMES", 1) - 1;
	free_bytes = (int64_t)number_of("FAULT_FREE", UINT64_MAX);
	for (int i = 0; i < CALLS; i++)
		counted[i] = is_in_list(calls, call_names[i]);
}

__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv("FAULT_STATE"), *program = getenv("FAULT_PROGRAM");
	struct stat status;
	tree = getenv("FAULT_TREE");
	if (!path || !tree || (program && strcmp(program, program_invocation_short_name) != 0))
		return;
	int fd = NEXT(open)(path, O_RDWR | O_CLOEXEC);
	void *memory = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || memory == MAP_FAILED || stat(tree, &status) < 0)
		abort();
	close(fd);
	device = status.st_dev;
	if (getenv("FAULT_EXCEPT") && stat(getenv("FAULT_EXCEPT"), &status) == 0)
		exception = status.st_ino;
	read_mode();
	state = memory;
}

__attribute__((noreturn)) static void die(void)
{
	(void)kill(getpid(), SIGKILL); /* a sandbox that forbids it ends us as well, or: */
	for (;;)
		__builtin_trap();
}

/* By what a sandboxed program with threads may call. */
__attribute__((noreturn)) static void hang(void)
{
	static uint32_t nothing;
	atomic_fetch_add(&seconds_late, HANG_SECONDS);
	for (;;)
		syscall(SYS_futex, &nothing, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static enum verdict judge(enum call call, bool involved)
{
	if (!state || !counted[call] || !involved)
		return PASS;
	uint64_t n = atomic_fetch_add(&state->calls, 1) + 1;
	if (n < first || n > last || first == 0)
		return PASS;
	atomic_fetch_add(&state->struck, 1);
	if (mode == KILL_BEFORE)
		die();
	if (mode == KILL_AFTER)
		return DIE_AFTER;
	if (mode == HANG)
		hang();
	if (mode == SLOW) {
		atomic_fetch_add(&seconds_late, SLOW_SECONDS);
		return PASS;
	}
	errno = error_number;
	return FAIL;
}

static long survive(enum verdict verdict, long result)
{
	if (verdict == DIE_AFTER)
		die();
	return result;
}

/* ---- what is involved */

static bool file_status(int fd, struct stat *status)
{
	int error = errno;
	bool found = state && fd > STDERR_FILENO && fstat(fd, status) == 0 && S_ISREG(status->st_mode) &&
	             status->st_dev == device && status->st_ino != exception;
	errno = error;
	return found;
}

static bool is_file(int fd)
{
	struct stat status;
	return file_status(fd, &status);
}

static bool is_synced(int fd)
{
	struct stat status;
	int error = errno;
	bool found = state && fd > STDERR_FILENO && fstat(fd, &status) == 0 && status.st_dev == device;
	errno = error;
	return found;
}

static bool is_path(const char *path)
{
	return state && (path[0] != '/' || strncmp(path, tree, strlen(tree)) == 0);
}

/* ---- the disk that fills up */

/* How many of growth bytes may be used; they are taken. */
static int64_t take_space(int64_t growth)
{
	int64_t used = atomic_fetch_add(&state->used, growth);
	int64_t over = growth > 0 ? used + growth - free_bytes : 0;
	if (over <= 0)
		return growth;
	over = over < growth ? over : growth;
	atomic_fetch_sub(&state->used, over);
	atomic_fetch_add(&state->struck, 1);
	return growth - over;
}

static bool is_full_mode(void)
{
	return state && free_bytes >= 0;
}

/* How much of a write may happen: all, a part, or -1 with ENOSPC. */
static ssize_t room_for(int fd, off_t offset, size_t length)
{
	struct stat status;
	if (!is_full_mode() || length == 0 || !file_status(fd, &status))
		return (ssize_t)length;
	if (offset < 0)
		offset = fcntl(fd, F_GETFL) & O_APPEND ? status.st_size : lseek(fd, 0, SEEK_CUR);
	int64_t growth = offset + (int64_t)length - status.st_size;
	if (growth <= 0)
		return (ssize_t)length;
	ssize_t allowed = (ssize_t)((int64_t)length - growth + take_space(growth));
	if (allowed <= 0) {
		errno = ENOSPC;
		return -1;
	}
	return allowed;
}

static void give_back(int directory, const char *path)
{
	struct stat status;
	int error = errno;
	if (is_full_mode() && is_path(path) && fstatat(directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(status.st_mode) && status.st_nlink == 1)
		take_space(-status.st_size);
	errno = error;
}

/* ---- the calls */

/* A write, unless it is struck; where the disk has room for a part only: part, of `room` octets. */
#define GUARDED_WRITE(fd, offset, length, all, part)                                        \
	({                                                                                      \
		ssize_t room = room_for((fd), (offset), (length));                                  \
		room < 0 ? -1 : (size_t)room < (length) ? (part) : GUARDED(WRITE, is_file(fd), all); \
	})

static size_t total_length(const struct iovec *parts, int count)
{
	size_t total = 0;
	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	return total;
}

/* A part of a gathering write that is no longer than room. */
static struct iovec first_part(const struct iovec *parts, ssize_t room)
{
	size_t length = parts[0].iov_len < (size_t)room ? parts[0].iov_len : (size_t)room;
	return (struct iovec){ parts[0].iov_base, length };
}

ssize_t write(int fd, const void *data, size_t length)
{
	return GUARDED_WRITE(fd, -1, length, NEXT(write)(fd, data, length), NEXT(write)(fd, data, (size_t)room));
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset)
{
	return GUARDED_WRITE(fd, offset, length, NEXT(pwrite64)(fd, data, length, offset),
	                     NEXT(pwrite64)(fd, data, (size_t)room, offset));
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	return GUARDED_WRITE(fd, -1, total_length(parts, count), NEXT(writev)(fd, parts, count),
	                     NEXT(writev)(fd, (struct iovec[]){ first_part(parts, room) }, 1));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
	return GUARDED_WRITE(fd, offset, total_length(parts, count), NEXT(pwritev64)(fd, parts, count, offset),
	                     NEXT(pwritev64)(fd, (struct iovec[]){ first_part(parts, room) }, 1, offset));
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	return GUARDED_WRITE(fd, offset, total_length(parts, count), NEXT(pwritev64v2)(fd, parts, count, offset, flags),
	                     NEXT(pwritev64v2)(fd, (struct iovec[]){ first_part(parts, room) }, 1, offset, flags));
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) __attribute__((alias("pwrite64")));
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) __attribute__((alias("pwritev64")));
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
	__attribute__((alias("pwritev64v2")));

int fsync(int fd)
{
	return (int)GUARDED(FSYNC, is_synced(fd), NEXT(fsync)(fd));
}

int fdatasync(int fd)
{
	return (int)GUARDED(FDATASYNC, is_synced(fd), NEXT(fdatasync)(fd));
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = NEXT(clock_gettime)(clock, time);
	if (result == 0 && clock == CLOCK_MONOTONIC)
		time->tv_sec += (time_t)atomic_load(&seconds_late);
	return result;
}

int syncfs(int fd)
{
	return (int)GUARDED(SYNCFS, is_synced(fd), NEXT(syncfs)(fd));
}

/* Space for a file to become size long; false with ENOSPC. */
static bool may_grow_to(int fd, off_t size)
{
	struct stat status;
	if (!is_full_mode() || !file_status(fd, &status))
		return true;
	int64_t growth = size - status.st_size, taken = take_space(growth);
	if (taken == growth)
		return true;
	take_space(-taken);
	errno = ENOSPC;
	return false;
}

int ftruncate64(int fd, off_t size)
{
	if (!may_grow_to(fd, size))
		return -1;
	return (int)GUARDED(SIZE, is_file(fd), NEXT(ftruncate64)(fd, size));
}

int fallocate64(int fd, int flags, off_t offset, off_t length)
{
	struct stat status;
	if (flags == 0 && is_file(fd) && fstat(fd, &status) == 0 && offset + length > status.st_size &&
	    !may_grow_to(fd, offset + length))
		return -1;
	return (int)GUARDED(SIZE, is_file(fd), NEXT(fallocate64)(fd, flags, offset, length));
}

int posix_fallocate64(int fd, off_t offset, off_t length)
{
	int error = errno;
	int result = fallocate64(fd, 0, offset, length) == 0 ? 0 : errno;
	errno = error;
	return result;
}

int ftruncate(int fd, off_t size) __attribute__((alias("ftruncate64")));
int fallocate(int fd, int flags, off_t offset, off_t length) __attribute__((alias("fallocate64")));
int posix_fallocate(int fd, off_t offset, off_t length) __attribute__((alias("posix_fallocate64")));

int openat64(int directory, const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t permissions = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	if (flags & O_TRUNC)
		give_back(directory, path);
	return (int)GUARDED(OPEN, is_path(path), NEXT(openat64)(directory, path, flags, permissions));
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	mode_t permissions = flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return openat64(AT_FDCWD, path, flags, permissions);
}

int open(const char *path, int flags, ...) __attribute__((alias("open64")));
int openat(int directory, const char *path, int flags, ...) __attribute__((alias("openat64")));

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
	give_back(to_directory, to);
	return (int)GUARDED(RENAME, is_path(to), NEXT(renameat2)(from_directory, from, to_directory, to, flags));
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
	return renameat2(from_directory, from, to_directory, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int directory, const char *path, int flags)
{
	give_back(directory, path);
	return (int)GUARDED(UNLINK, is_path(path), NEXT(unlinkat)(directory, path, flags));
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int directory, const char *path, mode_t permissions)
{
	return (int)GUARDED(MKDIR, is_path(path), NEXT(mkdirat)(directory, path, permissions));
}

int mkdir(const char *path, mode_t permissions)
{
	return mkdirat(AT_FDCWD, path, permissions);
}

#ifndef WITHOUT_MEMORY

/* ---- memory; glibc's own names, since looking them up allocates */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static bool memory_fails(void)
{
	int error = errno;
	enum verdict verdict = judge(MALLOC, true);
	if (verdict == DIE_AFTER)
		die();
	errno = verdict == FAIL ? ENOMEM : error;
	return verdict == FAIL;
}

void *malloc(size_t size)
{
	return memory_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return memory_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	return memory_fails() ? NULL : __libc_realloc(memory, size);
}

#endif

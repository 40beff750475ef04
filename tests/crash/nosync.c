/*
 * nosync.so: takes out one kind of sync, to show that the power-loss tests miss it.
 *
 *	LD_PRELOAD=…/nosync.so:…/powerloss.so NOSYNC=wal program
 *
 * The kinds are journal, segment, wal, database (meta.db), version; in the spool body (a long one), message (one in its own file, before
 * it has its name) and attempts (the log in such a file); key (of DKIM, and its folders), directory (the database of accounts), backup,
 * mail (saved by a client), syncfs, and of directories spool, folder (of such mails), folders (where that lies), accounts, account (one of
 * them, or where a backup goes) and seg.
 * With NOSYNC=slow the first syncfs of a program takes five seconds by its monotonic clock, and all from the fourth on are taken out: by
 * then nobody may rely on them. The call returns success and does nothing, and since this library stands first, powerloss.so does not see
 * it either. What a descriptor stands for is asked of /proc/self/fd. With CLOCK_RATE=N queue's monotonic clock runs N times as fast:
 * what it does once a second happens so often. The others keep their time, or master would take a busy process for one that hangs.
 */
#include "interpose.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool ends(const char *path, const char *end)
{
	size_t length = strlen(path), end_length = strlen(end);
	return length >= end_length && strcmp(path + length - end_length, end) == 0;
}

/* Sixteen hexadecimal digits in the spool. */
static bool is_message(const char *path)
{
	const char *name = strstr(path, "/spool/");
	return name && strlen(name) == strlen("/spool/") + 16 && strspn(name + strlen("/spool/"), "0123456789abcdef") == 16;
}

static const char *kind_of(int fd)
{
	char link[64], path[PATH_MAX];
	struct stat status;
	if (fstat(fd, &status) < 0)
		return "";
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length < 0)
		return "";
	path[length] = '\0';
	if (ends(path, " (deleted)"))
		path[length - (ssize_t)strlen(" (deleted)")] = '\0';
	if (strstr(path, "/spool/dkim"))
		return "key";
	if (strstr(path, "/directory.db"))
		return "directory";
	if (strstr(path, "/mails"))
		return !S_ISDIR(status.st_mode) ? "mail" : ends(path, "/mails") ? "folders" : "folder";
	if (S_ISDIR(status.st_mode))
		return ends(path, "/spool")      ? "spool"
		       : ends(path, "/accounts") ? "accounts"
		       : ends(path, "/seg")      ? "seg"
		                                 : "account";
	return strstr(path, "/journal-") ? "journal" : strstr(path, "/seg/") ? "segment" : ends(path, "-wal") ? "wal"
	     : ends(path, "meta.db") ? "database" : ends(path, "/version") ? "version" : ends(path, ".body.part") ? "body"
	     : ends(path, ".part") ? "message" : is_message(path) ? "attempts" : ends(path, ".backup.new") ? "backup" : "";
}

static bool is_out(const char *kind)
{
	const char *out = getenv("NOSYNC");
	return out && *out && strcmp(out, kind) == 0;
}

int fsync(int fd)
{
	return is_out(kind_of(fd)) ? 0 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
	return is_out(kind_of(fd)) ? 0 : NEXT(fdatasync)(fd);
}

enum { SLOW_SECONDS = 5, SLOW_CALLS = 3 };

static _Atomic long seconds_late, slow_calls;

static long clock_rate(void)
{
	const char *rate = getenv("CLOCK_RATE");
	return rate && strcmp(program_invocation_short_name, "posthorn-queue") == 0 ? atol(rate) : 1;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = NEXT(clock_gettime)(clock, time);
	long rate = clock_rate();
	if (result != 0 || clock != CLOCK_MONOTONIC)
		return result;
	long nanoseconds = time->tv_nsec * rate;
	time->tv_sec = time->tv_sec * rate + nanoseconds / 1000000000 + seconds_late;
	time->tv_nsec = nanoseconds % 1000000000;
	return result;
}

int syncfs(int fd)
{
	if (is_out("syncfs"))
		return 0;
	if (!is_out("slow"))
		return NEXT(syncfs)(fd);
	if (slow_calls++ >= SLOW_CALLS)
		return 0;
	int result = NEXT(syncfs)(fd);
	seconds_late = SLOW_SECONDS;
	return result;
}

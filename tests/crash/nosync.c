/*
 * nosync.so: takes out one kind of sync, to show that the power-loss tests miss it.
 *
 *	LD_PRELOAD=…/nosync.so:…/powerloss.so NOSYNC=wal program
 *
 * The kinds are journal, segment, wal, database (meta.db), version, body (a long one in the spool), backup, syncfs, and of
 * directories spool, accounts, account (one of them) and seg. With NOSYNC=slow the first syncfs of a program takes five seconds by its
 * monotonic clock, and all from the fourth on are taken out: by then nobody may rely on them. The call returns success and does nothing, and since this
 * library stands first, powerloss.so does not see it either. What a descriptor stands for is asked of /proc/self/fd.
 */
#include "interpose.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static bool ends(const char *path, const char *end)
{
	size_t length = strlen(path), end_length = strlen(end);
	return length >= end_length && strcmp(path + length - end_length, end) == 0;
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
	if (S_ISDIR(status.st_mode))
		return ends(path, "/spool") ? "spool" : ends(path, "/accounts") ? "accounts" : ends(path, "/seg") ? "seg" : "account";
	return strstr(path, "/journal-") ? "journal" : strstr(path, "/seg/") ? "segment" : ends(path, "-wal") ? "wal"
	     : ends(path, "meta.db") ? "database" : ends(path, "/version") ? "version" : ends(path, ".body.part") ? "body"
	     : ends(path, ".backup.new") ? "backup" : "";
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

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = NEXT(clock_gettime)(clock, time);
	if (result == 0 && clock == CLOCK_MONOTONIC)
		time->tv_sec += seconds_late;
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

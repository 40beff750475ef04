/*
 * A file without content in the folder of accounts. When the file system is as good as full it goes, so that mail can
 * still be removed: to expunge takes room, too. queue has stopped to take mail long before (spool_headroom), and
 * APPEND is refused by then.
 */
#include "master.h"

#include "file.h"
#include "limits.h"
#include "log.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LOOK_MS = 2000, NEARLY_NOTHING = 1 << 20 };

static uint64_t free_octets(int folder)
{
	struct statvfs facts;
	return fstatvfs(folder, &facts) == 0 ? (uint64_t)facts.f_bavail * facts.f_frsize : UINT64_MAX;
}

static bool make(int folder, struct fail **fail)
{
	CLEANUP(file_close) int file = openat(folder, "ballast", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot make the ballast file");
	int error = posix_fallocate(file, 0, LIMIT_BALLAST_SIZE);
	if (error == 0)
		return true;
	unlinkat(folder, "ballast", 0);
	errno = error;
	return fail_set_errno(fail, FAIL_NO_SPACE, "no room for the ballast file");
}

static void look(struct master *m, int folder)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	uint64_t octets = free_octets(folder);
	bool there = faccessat(folder, "ballast", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (there && octets < NEARLY_NOTHING && unlinkat(folder, "ballast", 0) == 0)
		log_event(LOG_ERROR, 0, "disk-full", LOG_TEXT("folder", str_of(m->config.data_directory)),
		          LOG_NUMBER("octets", octets));
	else if (!there && octets > 2 * (uint64_t)LIMIT_BALLAST_SIZE && !make(folder, &fail))
		log_event(LOG_WARNING, 0, "no-ballast", LOG_TEXT("why", str_of(fail_text(fail))));
}

void ballast_keep(void *owner)
{
	struct master *m = owner;
	CLEANUP(mem_free) char *path = mem_printf("%s/accounts", m->config.data_directory);
	CLEANUP(file_close) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder >= 0)
		look(m, folder);
	loop_start_timer(m->loop, &m->ballast_timer, LOOK_MS, ballast_keep, m);
}

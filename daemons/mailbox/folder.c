#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 4 };

int folder_make(int parent, const char *name, struct fail **fail)
{
	if (mkdirat(parent, name, 0700) < 0) {
		if (errno == EEXIST)
			fail_set(fail, FAIL_BUSY, "another %s of this account is under way", name);
		else
			fail_set_errno(fail, FAIL_IO, "cannot make %s in the account's directory", name);
		return -1;
	}
	int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (folder < 0)
		fail_set_errno(fail, FAIL_IO, "cannot open %s in the account's directory", name);
	return folder;
}

static void remove_below(int parent, const char *name, unsigned depth)
{
	int folder = depth < DEPTH_MAX ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
	DIR *list = folder < 0 ? NULL : fdopendir(folder);
	if (!list)
		return;
	for (struct dirent *entry; (entry = readdir(list));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(folder, entry->d_name, 0) < 0 && errno == EISDIR)
			remove_below(folder, entry->d_name, depth + 1);
	}
	closedir(list);
	unlinkat(parent, name, AT_REMOVEDIR);
}

void folder_remove(int parent, const char *name)
{
	remove_below(parent, name, 0);
}

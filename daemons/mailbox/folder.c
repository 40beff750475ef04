#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 4, BLOCK = 512 /* stat(2): of st_blocks */ };

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

static DIR *list_below(int parent, const char *name, unsigned depth)
{
	int folder = depth < DEPTH_MAX ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
	return folder < 0 ? NULL : fdopendir(folder);
}

static bool is_entry(const char *name)
{
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static uint64_t octets_below(int parent, const char *name, unsigned depth)
{
	DIR *list = list_below(parent, name, depth);
	uint64_t octets = 0;
	struct stat facts;
	if (!list)
		return 0;
	for (struct dirent *entry; (entry = readdir(list));) {
		if (!is_entry(entry->d_name) || fstatat(dirfd(list), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		octets += (uint64_t)facts.st_blocks * BLOCK;
		if (S_ISDIR(facts.st_mode))
			octets += octets_below(dirfd(list), entry->d_name, depth + 1);
	}
	closedir(list);
	return octets;
}

uint64_t folder_octets(int folder)
{
	return octets_below(folder, ".", 0);
}

static void remove_below(int parent, const char *name, unsigned depth)
{
	DIR *list = list_below(parent, name, depth);
	if (!list)
		return;
	for (struct dirent *entry; (entry = readdir(list));) {
		if (is_entry(entry->d_name) && unlinkat(dirfd(list), entry->d_name, 0) < 0 && errno == EISDIR)
			remove_below(dirfd(list), entry->d_name, depth + 1);
	}
	closedir(list);
	unlinkat(parent, name, AT_REMOVEDIR);
}

void folder_remove(int parent, const char *name)
{
	remove_below(parent, name, 0);
}

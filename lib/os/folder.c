#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 512 /* stat(2): of st_blocks */ };

int folder_make(int parent, const char *name, struct fail **fail)
{
	if (mkdirat(parent, name, 0700) < 0) {
		if (errno == EEXIST)
			fail_set(fail, FAIL_BUSY, "another %s is under way", name);
		else
			fail_set_errno(fail, FAIL_IO, "cannot make the folder %s", name);
		return -1;
	}
	int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (folder < 0)
		fail_set_errno(fail, FAIL_IO, "cannot open the folder %s", name);
	return folder;
}

/* NULL, with errno, where it cannot be listed. */
static DIR *list_of(int parent, const char *name)
{
	int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = folder < 0 ? NULL : fdopendir(folder);
	if (!list && folder >= 0)
		close(folder);
	return list;
}

static bool is_entry(const char *name)
{
	return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static uint64_t octets_below(int parent, const char *name, unsigned depth)
{
	DIR *list = depth < FOLDER_DEPTH_MAX ? list_of(parent, name) : NULL;
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

/* What is no folder is unlinked; a folder is opened only if it is none by way of a link. */
static bool remove_entry(int parent, const char *name, unsigned depth, struct fail **fail)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return true;
	if (errno != EISDIR)
		return fail_set_errno(fail, FAIL_IO, "%s", name);
	if (depth == FOLDER_DEPTH_MAX)
		return fail_set(fail, FAIL_LIMIT, "%s: folders too deep", name);
	DIR *list = list_of(parent, name);
	if (!list)
		return fail_set_errno(fail, FAIL_IO, "%s", name);
	bool good = true;
	for (struct dirent *entry; (entry = readdir(list));)
		if (is_entry(entry->d_name))
			good = remove_entry(dirfd(list), entry->d_name, depth + 1, good ? fail : NULL) && good;
	closedir(list);
	if (!good)
		return fail_prefix(fail, "%s", name);
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || fail_set_errno(fail, FAIL_IO, "%s", name);
}

bool folder_remove(int parent, const char *name, struct fail **fail)
{
	return remove_entry(parent, name, 0, fail);
}

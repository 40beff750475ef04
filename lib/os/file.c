#include "file.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void file_close(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}

bool file_read_at(int descriptor, void *data, size_t length, uint64_t offset, struct fail **fail)
{
	for (size_t done = 0; done < length;) {
		ssize_t got = pread(descriptor, (char *)data + done, length - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_set_errno(fail, FAIL_IO, "cannot read");
		if (got == 0)
			return fail_set(fail, FAIL_CORRUPT, "the file ends too early");
		done += (size_t)got;
	}
	return true;
}

bool file_write_at(int descriptor, const void *data, size_t length, uint64_t offset, struct fail **fail)
{
	for (size_t done = 0; done < length;) {
		ssize_t put = pwrite(descriptor, (const char *)data + done, length - done, (off_t)(offset + done));
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return fail_set_errno(fail, FAIL_IO, "cannot write");
		done += (size_t)put;
	}
	return true;
}

bool file_read_all(int descriptor, struct buf *out, struct fail **fail)
{
	struct stat facts;
	if (fstat(descriptor, &facts) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot look at the file");
	char *room = buf_reserve(out, (size_t)facts.st_size);
	if (!room)
		return fail_set(fail, FAIL_TOO_BIG, "the file has %lld octets, the limit is %zu", (long long)facts.st_size,
		                out->limit);
	if (!file_read_at(descriptor, room, (size_t)facts.st_size, 0, fail))
		return false;
	buf_claim(out, (size_t)facts.st_size);
	return true;
}

bool file_load(const char *path, struct buf *out, struct fail **fail)
{
	CLEANUP(file_close) int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return fail_set_errno(fail, errno == ENOENT ? FAIL_NOT_FOUND : FAIL_IO, "cannot open %s", path);
	return file_read_all(descriptor, out, fail) || fail_prefix(fail, "%s", path);
}

int file_sealed_memory(const char *name, struct str content, struct fail **fail)
{
	CLEANUP(file_close) int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (descriptor < 0) {
		fail_set_errno(fail, FAIL_IO, "cannot make a memory file");
		return -1;
	}
	if (!file_write_at(descriptor, content.data, content.length, 0, fail))
		return -1;
	if (fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
		fail_set_errno(fail, FAIL_IO, "cannot seal a memory file");
		return -1;
	}
	int sealed = descriptor;
	descriptor = -1;
	return sealed;
}

static bool sync_parent(const char *path, struct fail **fail)
{
	struct str parent = str_of(path);
	while (parent.length > 1 && parent.data[parent.length - 1] == '/')
		parent.length--;
	size_t slash = str_find_last_char(parent, '/');
	parent = slash == parent.length ? STR(".") : str_first(parent, slash ? slash : 1);
	CLEANUP(mem_free) char *name = str_copy(parent);
	CLEANUP(file_close) int folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 && errno == EACCES)
		return true;
	return (folder >= 0 && fsync(folder) == 0) || fail_set_errno(fail, FAIL_IO, "cannot flush %s", name);
}

bool file_make_directory(const char *path, unsigned mode, struct fail **fail)
{
	struct stat facts;
	if (mkdir(path, mode) == 0)
		return sync_parent(path, fail);
	if (errno == EEXIST && stat(path, &facts) == 0 && S_ISDIR(facts.st_mode))
		return true;
	return fail_set_errno(fail, FAIL_IO, "cannot make the directory %s", path);
}

#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void disk_close(int *file)
{
	if (*file >= 0)
		close(*file);
	*file = -1;
}

bool disk_write(int file, const void *data, size_t length, uint64_t offset)
{
	const char *at = data;
	while (length > 0) {
		ssize_t written = pwrite(file, at, length, (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0) {
			errno = written == 0 ? EIO : errno;
			return false;
		}
		at += written;
		length -= (size_t)written;
		offset += (uint64_t)written;
	}
	return true;
}

bool disk_read(int file, void *data, size_t length, uint64_t offset, size_t *got)
{
	char *at = data;
	*got = 0;
	while (*got < length) {
		ssize_t count = pread(file, at + *got, length - *got, (off_t)(offset + *got));
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return false;
		if (count == 0)
			return true;
		*got += (size_t)count;
	}
	return true;
}

/* The descriptor of a directory may have been opened with O_PATH, which cannot be flushed. */
bool disk_sync_directory(int directory)
{
	CLEANUP(disk_close) int file = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return file >= 0 && fsync(file) == 0;
}

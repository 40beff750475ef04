/*
 * For the tests of this folder: a directory of their own, numbers that are the same in each run,
 * payloads that tell by themselves whether they are right, and edits of file images.
 */
#ifndef POSTHORN_JOURNAL_TEST_KIT_H
#define POSTHORN_JOURNAL_TEST_KIT_H

#include "mem.h"
#include "text.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the above before it */
#include <cmocka.h>

struct kit_directory {
	char path[64];
	int file;
};

static inline struct kit_directory kit_directory_new(void)
{
	struct kit_directory d = { .path = "/tmp/posthorn-spool-XXXXXX" };
	assert_non_null(mkdtemp(d.path));
	d.file = open(d.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(d.file >= 0);
	return d;
}

static inline void kit_directory_empty(const struct kit_directory *d)
{
	DIR *entries = opendir(d->path);
	assert_non_null(entries);
	for (struct dirent *entry; (entry = readdir(entries)) != NULL;)
		unlinkat(d->file, entry->d_name, 0);
	closedir(entries);
}

static inline void kit_directory_remove(struct kit_directory *d)
{
	kit_directory_empty(d);
	close(d->file);
	rmdir(d->path);
}

static inline uint64_t kit_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	uint64_t z = (*state ^ (*state >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t kit_below(uint64_t *state, uint64_t limit)
{
	return kit_random(state) % limit;
}

/* Any length; each byte depends on tag and place. */
static inline char *kit_payload(uint64_t tag, size_t length)
{
	char *bytes = mem_alloc(length + 1);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)(tag * 31 + i * 7 + (i >> 8));
	return bytes;
}

static inline void kit_read(int directory, const char *name, struct buf *out)
{
	int file = openat(directory, name, O_RDONLY | O_CLOEXEC);
	struct stat status;
	assert_true(file >= 0 && fstat(file, &status) == 0);
	size_t size = (size_t)status.st_size;
	buf_clear(out);
	char *room = buf_reserve(out, size);
	assert_true(room && read(file, room, size) == (ssize_t)size);
	buf_claim(out, size);
	close(file);
}

static inline void kit_write(int directory, const char *name, struct str bytes)
{
	int file = openat(directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(file >= 0 && write(file, bytes.data, bytes.length) == (ssize_t)bytes.length);
	close(file);
}

#endif

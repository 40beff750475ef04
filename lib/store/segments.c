#include "segments.h"

#include "limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PARTS_MAX = 4 };

static const char temporary_name[] = "new";

bool segments_init(struct segments *s, int directory, const struct segment_key *key, struct fail **fail)
{
	*s = (struct segments){ .directory = -1, .key = *key };
	pthread_mutex_init(&s->lock, NULL);
	if (mkdirat(directory, "seg", 0700) < 0 && errno != EEXIST)
		return fail_set_errno(fail, FAIL_IO, "mkdir seg");
	s->directory = openat(directory, "seg", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->directory < 0)
		return fail_set_errno(fail, FAIL_IO, "open seg");
	/* what a large body left behind when the program stopped half-way */
	unlinkat(s->directory, temporary_name, 0);
	return true;
}

void segments_release(struct segments *s)
{
	for (size_t i = 0; i < s->dirty.count; i++)
		segments_unuse(s, s->dirty.items[i]);
	array_release(&s->dirty);
	for (size_t i = 0; i < s->open.count; i++) {
		must(s->open.items[i]->users == 0);
		close(s->open.items[i]->file);
		free(s->open.items[i]);
	}
	array_release(&s->open);
	if (s->directory >= 0)
		close(s->directory);
	pthread_mutex_destroy(&s->lock);
}

void segments_name(uint64_t number, char name[24])
{
	snprintf(name, 24, "%04llu", (unsigned long long)number);
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

static DIR *open_listing(const struct segments *s)
{
	int copy = openat(s->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy < 0 ? NULL : fdopendir(copy);
	if (!directory && copy >= 0)
		close(copy);
	return directory;
}

/* 0 at the end. */
static uint64_t next_number(DIR *directory)
{
	for (struct dirent *entry; (entry = readdir(directory));) {
		uint64_t number = 0;
		char name[24];
		if (!str_to_u64(str_of(entry->d_name), INT64_MAX, &number))
			continue;
		segments_name(number, name);
		if (number && strcmp(name, entry->d_name) == 0)
			return number;
	}
	return 0;
}

bool segments_list(const struct segments *s, struct segment_numbers *numbers, struct fail **fail)
{
	DIR *directory = open_listing(s);
	if (!directory)
		return fail_set_errno(fail, FAIL_IO, "list seg");
	for (uint64_t number; (number = next_number(directory));)
		*array_add(&numbers->list) = number;
	closedir(directory);
	if (numbers->list.count)
		qsort(numbers->list.items, numbers->list.count, sizeof numbers->list.items[0], compare_numbers);
	return true;
}

bool segments_may_exist(const struct segments *s)
{
	DIR *directory = open_listing(s);
	bool any = !directory || next_number(directory);
	if (directory)
		closedir(directory);
	return any;
}

void segment_numbers_release(struct segment_numbers *numbers)
{
	array_release(&numbers->list);
}

/* Both with the lock held. */
static void forget(struct segments *s, size_t index)
{
	close(s->open.items[index]->file);
	free(s->open.items[index]);
	array_remove(&s->open, index);
}

static struct segment_file *remember(struct segments *s, uint64_t number, int file)
{
	for (size_t i = 0; s->open.count >= LIMIT_OPEN_SEGMENTS && i < s->open.count; i++)
		if (!s->open.items[i]->users) {
			forget(s, i);
			break;
		}
	struct segment_file *opened = mem_alloc(sizeof *opened);
	*opened = (struct segment_file){ .number = number, .file = file, .users = 1 };
	*array_add(&s->open) = opened;
	return opened;
}

static struct segment_file *use_open(struct segments *s, uint64_t number)
{
	for (size_t i = 0; i < s->open.count; i++)
		if (s->open.items[i]->number == number && !s->open.items[i]->unlinked) {
			s->open.items[i]->users++;
			return s->open.items[i];
		}
	return NULL;
}

struct segment_file *segments_use(struct segments *s, uint64_t number, struct fail **fail)
{
	pthread_mutex_lock(&s->lock);
	struct segment_file *file = use_open(s, number);
	if (!file) {
		char name[24];
		segments_name(number, name);
		int opened = openat(s->directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (opened >= 0)
			file = remember(s, number, opened);
		else
			fail_set_errno(fail, errno == ENOENT ? FAIL_NOT_FOUND : FAIL_IO, "open seg/%s", name);
	}
	pthread_mutex_unlock(&s->lock);
	return file;
}

void segments_unuse(struct segments *s, struct segment_file *file)
{
	if (!file)
		return;
	pthread_mutex_lock(&s->lock);
	must(file->users > 0);
	file->users--;
	if (!file->users && file->unlinked)
		for (size_t i = 0; i < s->open.count; i++)
			if (s->open.items[i] == file) {
				forget(s, i);
				break;
			}
	pthread_mutex_unlock(&s->lock);
}

/* The number may be given again, to another file, even if this one could not be removed. */
static void detach(struct segments *s, uint64_t number)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->open.count; i++) {
		struct segment_file *file = s->open.items[i];
		if (file->number != number || file->unlinked)
			continue;
		file->unlinked = true;
		if (!file->users)
			forget(s, i);
		break;
	}
	pthread_mutex_unlock(&s->lock);
}

static struct segment_file *create(struct segments *s, uint64_t number, const char *name, enum segment_codec codec,
                                   struct fail **fail)
{
	CLEANUP(buf_release) struct buf start = BUF_WITH_LIMIT(SEGMENT_START_SIZE + SEGMENT_FRAME_SIZE);
	segment_start_encode(&start, number, codec, &s->key);
	/* O_EXCL: a file nobody knows of holds mail that only a rebuild can judge */
	int opened = openat(s->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (opened < 0) {
		fail_set_errno(fail, errno == EEXIST ? FAIL_EXISTS : FAIL_IO, "create seg/%s", name);
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	struct segment_file *file = remember(s, number, opened);
	pthread_mutex_unlock(&s->lock);
	s->directory_dirty = true;
	struct str part = buf_str(&start);
	if (segments_write(s, file, &part, 1, 0, fail))
		return file;
	unlinkat(s->directory, name, 0);
	detach(s, number);
	segments_unuse(s, file);
	return NULL;
}

struct segment_file *segments_create(struct segments *s, uint64_t number, enum segment_codec codec, struct fail **fail)
{
	char name[24];
	segments_name(number, name);
	return create(s, number, name, codec, fail);
}

struct segment_file *segments_create_temporary(struct segments *s, uint64_t number, struct fail **fail)
{
	char name[24];
	struct stat status;
	segments_name(number, name);
	if (fstatat(s->directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
		fail_set(fail, FAIL_EXISTS, "seg/%s is there", name);
		return NULL;
	}
	unlinkat(s->directory, temporary_name, 0);
	return create(s, number, temporary_name, SEGMENT_RAW, fail);
}

void segments_discard_temporary(struct segments *s)
{
	unlinkat(s->directory, temporary_name, 0);
}

bool segments_publish(struct segments *s, struct segment_file *file, struct fail **fail)
{
	char name[24];
	segments_name(file->number, name);
	if (renameat2(s->directory, temporary_name, s->directory, name, RENAME_NOREPLACE) < 0)
		return fail_set_errno(fail, errno == EEXIST ? FAIL_EXISTS : FAIL_IO, "rename to seg/%s", name);
	s->directory_dirty = true;
	return true;
}

static void mark_dirty(struct segments *s, struct segment_file *file)
{
	for (size_t i = 0; i < s->dirty.count; i++)
		if (s->dirty.items[i] == file)
			return;
	pthread_mutex_lock(&s->lock);
	file->users++;
	pthread_mutex_unlock(&s->lock);
	*array_add(&s->dirty) = file;
}

bool segments_write(struct segments *s, struct segment_file *file, const struct str *parts, size_t count,
                    uint64_t offset, struct fail **fail)
{
	struct iovec pieces[PARTS_MAX];
	must(count > 0 && count <= PARTS_MAX);
	mark_dirty(s, file);
	for (size_t i = 0; i < count; i++)
		pieces[i] = (struct iovec){ (void *)(uintptr_t)parts[i].data, parts[i].length };
	for (size_t first = 0; first < count;) {
		ssize_t written = pwritev(file->file, pieces + first, (int)(count - first), (off_t)offset);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail_set_errno(fail, FAIL_IO, "write to segment %llu", (unsigned long long)file->number);
		offset += (uint64_t)written;
		size_t left = (size_t)written;
		for (; first < count && left >= pieces[first].iov_len; first++)
			left -= pieces[first].iov_len;
		if (first < count) {
			pieces[first].iov_base = (char *)pieces[first].iov_base + left;
			pieces[first].iov_len -= left;
		}
	}
	return true;
}

bool segments_truncate(struct segments *s, struct segment_file *file, uint64_t length, struct fail **fail)
{
	mark_dirty(s, file);
	if (ftruncate(file->file, (off_t)length) < 0)
		return fail_set_errno(fail, FAIL_IO, "truncate segment %llu", (unsigned long long)file->number);
	return true;
}

bool segments_sync(struct segments *s, struct fail **fail)
{
	while (s->dirty.count) {
		struct segment_file *file = s->dirty.items[s->dirty.count - 1];
		bool synced = fdatasync(file->file) == 0;
		if (!synced) {
			fail_set_errno(fail, FAIL_IO, "fdatasync of segment %llu", (unsigned long long)file->number);
			s->failed_number = file->number;
		}
		s->dirty.count--;
		segments_unuse(s, file);
		if (!synced)
			return false;
	}
	if (s->directory_dirty && fsync(s->directory) < 0)
		return fail_set_errno(fail, FAIL_IO, "fsync of seg");
	s->directory_dirty = false;
	return true;
}

bool segments_unlink(struct segments *s, uint64_t number, struct fail **fail)
{
	char name[24];
	segments_name(number, name);
	detach(s, number);
	if (unlinkat(s->directory, name, 0) < 0 && errno != ENOENT)
		return fail_set_errno(fail, FAIL_IO, "unlink seg/%s", name);
	s->directory_dirty = true;
	return true;
}

bool segment_file_read(const struct segment_file *file, uint64_t offset, void *to, size_t length, struct fail **fail)
{
	char *at = to;
	while (length) {
		ssize_t got = pread(file->file, at, length, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		/* EIO: the disk can't read this piece, other pieces may be fine */
		if (got < 0)
			return fail_set_errno(fail, errno == EIO ? FAIL_CORRUPT : FAIL_IO, "read of segment %llu",
			                      (unsigned long long)file->number);
		if (got == 0)
			return fail_set(fail, FAIL_CORRUPT, "segment %llu ends before byte %llu", (unsigned long long)file->number,
			                (unsigned long long)(offset + length));
		at += got;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}
	return true;
}

uint64_t segment_file_size(const struct segment_file *file)
{
	struct stat status;
	return fstat(file->file, &status) == 0 ? (uint64_t)status.st_size : 0;
}

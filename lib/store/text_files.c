#include "text_files.h"

#include "store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_OCTETS_MAX = 1 << 24, FILES_MAX = 100000 };

static const char *const folders[TEXT_KINDS] = { [TEXT_WHOLE] = "text", [TEXT_LISTED] = "list" };

void text_files_name(uint32_t file, char name[16])
{
	snprintf(name, 16, "%04u", file);
}

static int open_file(const struct text_store *t, uint32_t file, int flags)
{
	char name[16];
	text_files_name(file, name);
	return openat(t->directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static bool write_all(int file, struct str octets, uint64_t offset, struct fail **fail)
{
	while (octets.length) {
		ssize_t written = pwrite(file, octets.data, octets.length, (off_t)offset);
		if (written < 0 && errno != EINTR)
			return fail_set_errno(fail, FAIL_IO, "write search text");
		if (written > 0) {
			octets = str_from_index(octets, (size_t)written);
			offset += (uint64_t)written;
		}
	}
	return true;
}

/* ---- what lies where ---- */

/* The first place whose last message is not below this one. */
static size_t find_place(const struct text_store *t, uint64_t message)
{
	size_t low = 0, high = t->places.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t->places.items[middle].last < message)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void places_changed(struct text_store *t)
{
	if (t->shared && --t->shared->users == 0)
		free(t->shared);
	t->shared = NULL;
}

void text_files_drop_places(struct text_store *t, size_t first, size_t count)
{
	pthread_mutex_lock(&t->places_lock);
	if (count)
		memmove(&t->places.items[first], &t->places.items[first + count],
		        (t->places.count - first - count) * sizeof t->places.items[0]);
	t->places.count -= count;
	places_changed(t);
	pthread_mutex_unlock(&t->places_lock);
}

/* Invariant 2: those that it overlaps go. */
static void insert_place(struct text_store *t, const struct text_place *place)
{
	size_t first = find_place(t, place->first), end = first;
	while (end < t->places.count && t->places.items[end].first <= place->last)
		end++;
	if (end > first)
		text_files_drop_places(t, first, end - first);
	pthread_mutex_lock(&t->places_lock);
	(void)array_add(&t->places);
	memmove(&t->places.items[first + 1], &t->places.items[first],
	        (t->places.count - 1 - first) * sizeof t->places.items[0]);
	t->places.items[first] = *place;
	places_changed(t);
	pthread_mutex_unlock(&t->places_lock);
}

static struct text_place place_of(const struct text_head *head, uint32_t file, uint32_t offset)
{
	struct text_place place = { head->first, head->last, file, offset, head->size, head->lead, 0, head->count };
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		place.raw += head->blocks[i].raw;
	return place;
}

/* ---- opening ---- */

static int by_number(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	return left < right ? -1 : left > right;
}

static bool list_files(struct text_store *t, struct fail **fail)
{
	int copy = openat(t->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy >= 0 ? fdopendir(copy) : NULL;
	if (!directory) {
		if (copy >= 0)
			close(copy);
		return fail_set_errno(fail, FAIL_IO, "list %s/", folders[t->kind]);
	}
	uint64_t number;
	for (struct dirent *entry; t->files.count < FILES_MAX && (entry = readdir(directory));)
		if (str_to_u64(str_of(entry->d_name), UINT32_MAX - 1, &number) && number)
			*array_add(&t->files) = (uint32_t)number;
	closedir(directory);
	if (t->files.count)
		qsort(t->files.items, t->files.count, sizeof t->files.items[0], by_number);
	return true;
}

/* The heads of a file's groups; *end is behind the last one that is whole. */
static bool read_heads(struct text_store *t, uint32_t number, int file, uint64_t size, uint64_t *end)
{
	char octets[TEXT_HEAD_SIZE];
	struct text_head head;
	for (*end = 0; *end < size; *end += head.size) {
		if (pread(file, octets, sizeof octets, (off_t)*end) != (ssize_t)sizeof octets ||
		    !text_head_read(&head, str_from(octets, sizeof octets), NULL) || head.size > size - *end)
			return false;
		struct text_place place = place_of(&head, number, (uint32_t)*end);
		insert_place(t, &place);
	}
	return true;
}

/* False: it is damaged, and not only as a crash leaves the newest one. */
static bool read_file(struct text_store *t, uint32_t number, bool newest)
{
	struct stat status;
	uint64_t end = 0;
	int file = open_file(t, number, newest ? O_RDWR : O_RDONLY);
	bool ok = file >= 0 && fstat(file, &status) == 0 && status.st_size <= 2 * FILE_OCTETS_MAX;
	bool whole = ok && read_heads(t, number, file, (uint64_t)status.st_size, &end);
	if (ok && newest) {
		ok = whole || ftruncate(file, (off_t)end) == 0;
		t->file = file;
		t->file_number = number;
		t->file_end = (uint32_t)end;
		return ok;
	}
	if (file >= 0)
		close(file);
	return whole;
}

static bool unlink_all(const struct text_store *t, struct fail **fail)
{
	char name[16];
	for (size_t i = 0; i < t->files.count; i++) {
		text_files_name(t->files.items[i], name);
		if (unlinkat(t->directory, name, 0) < 0 && errno != ENOENT)
			return fail_set_errno(fail, FAIL_IO, "unlink %s/%s", folders[t->kind], name);
	}
	return true;
}

static void forget_places(struct text_store *t)
{
	if (t->file >= 0)
		close(t->file);
	t->file = -1;
	t->file_end = 0;
	t->taken_up = 0;
	t->compacting = 0;
	t->files.count = 0;
	text_files_drop_places(t, 0, t->places.count);
}

static void discard(struct text_store *t)
{
	/* a name that stays is found again, and found damaged again */
	unlink_all(t, NULL);
	forget_places(t);
}

bool text_files_open(struct text_store *t, struct fail **fail)
{
	if (atomic_exchange(&t->suspect, false)) {
		discard(t);
		text_files_forget(t);
	}
	if (t->directory >= 0)
		return true;
	if (mkdirat(t->store->directory, folders[t->kind], 0700) < 0 && errno != EEXIST)
		return fail_set_errno(fail, FAIL_IO, "make %s/", folders[t->kind]);
	t->directory = openat(t->store->directory, folders[t->kind], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (t->directory < 0)
		return fail_set_errno(fail, FAIL_IO, "open %s/", folders[t->kind]);
	if (!list_files(t, fail)) {
		text_files_forget(t);
		return false;
	}
	bool ok = true;
	for (size_t i = 0; ok && i < t->files.count; i++)
		ok = read_file(t, t->files.items[i], i + 1 == t->files.count);
	if (!ok)
		discard(t);
	else if (t->places.count)
		t->taken_up = t->places.items[t->places.count - 1].last;
	return true;
}

void text_files_forget(struct text_store *t)
{
	forget_places(t);
	if (t->directory >= 0)
		close(t->directory);
	t->directory = -1;
}

void text_files_close(struct text_store *t)
{
	text_files_forget(t);
	array_release(&t->files);
	array_release(&t->places);
}

static bool remove_folder(int account_directory, enum text_kind kind, struct fail **fail)
{
	const char *name = folders[kind];
	struct text_store t = { .kind = kind };
	t.directory = openat(account_directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t.directory < 0)
		return errno == ENOENT || fail_set_errno(fail, FAIL_IO, "open %s/", name);
	bool ok = list_files(&t, fail) && unlink_all(&t, fail);
	array_release(&t.files);
	close(t.directory);
	return ok && (unlinkat(account_directory, name, AT_REMOVEDIR) == 0 ||
	              fail_set_errno(fail, FAIL_IO, "remove %s/", name));
}

bool text_store_remove(int account_directory, struct fail **fail)
{
	bool ok = true;
	for (enum text_kind kind = 0; ok && kind < TEXT_KINDS; kind++)
		ok = remove_folder(account_directory, kind, fail);
	return ok;
}

/* ---- appending ---- */

static bool begin_file(struct text_store *t, struct fail **fail)
{
	if (t->file >= 0)
		close(t->file);
	t->file = open_file(t, t->file_number + 1, O_RDWR | O_CREAT | O_EXCL);
	if (t->file < 0)
		return fail_set_errno(fail, FAIL_IO, "create a file in %s/", folders[t->kind]);
	t->file_end = 0;
	*array_add(&t->files) = ++t->file_number;
	return true;
}

bool text_files_append(struct text_store *t, const struct text_head *head, struct str octets, struct fail **fail)
{
	if ((t->file < 0 || t->file_end >= FILE_OCTETS_MAX) && !begin_file(t, fail))
		return false;
	if (!write_all(t->file, octets, t->file_end, fail)) {
		/* what was written of it would look like damage later */
		atomic_store(&t->suspect, ftruncate(t->file, t->file_end) < 0);
		return false;
	}
	struct text_place place = place_of(head, t->file_number, t->file_end);
	t->file_end += head->size;
	insert_place(t, &place);
	return true;
}

void text_files_end_tail(struct text_store *t)
{
	if (t->file >= 0)
		close(t->file);
	t->file = -1;
}

bool text_files_unlink(struct text_store *t, uint32_t file, struct fail **fail)
{
	char name[16];
	/* Invariant 4; files between were written before the newest one: all of them together cost one sync. */
	if (syncfs(t->directory) < 0)
		return fail_set_errno(fail, FAIL_IO, "sync %s/", folders[t->kind]);
	text_files_name(file, name);
	if (unlinkat(t->directory, name, 0) < 0 && errno != ENOENT)
		return fail_set_errno(fail, FAIL_IO, "unlink %s/%s", folders[t->kind], name);
	for (size_t i = 0; i < t->files.count; i++)
		if (t->files.items[i] == file) {
			array_remove(&t->files, i);
			break;
		}
	return true;
}

uint32_t text_files_after(const struct text_store *t, uint32_t file)
{
	for (size_t i = 0; i < t->files.count; i++)
		if (t->files.items[i] > file)
			return t->files.items[i];
	return 0;
}

bool text_files_size(const struct text_store *t, uint32_t file, uint64_t *size, struct fail **fail)
{
	char name[16];
	struct stat status;
	text_files_name(file, name);
	if (fstatat(t->directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_set_errno(fail, FAIL_IO, "look at %s/%s", folders[t->kind], name);
	*size = (uint64_t)status.st_size;
	return true;
}

#include "journal_file.h"

#include "disk.h"
#include "journal_format.h"
#include "mem.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

void journal_file_name(char name[JOURNAL_NAME_SIZE], const struct journal_uuid *uuid, const char *suffix)
{
	CLEANUP(buf_release) struct buf hex = BUF_WITH_LIMIT(32);
	text_hex_encode(&hex, str_from((const char *)uuid->bytes, sizeof uuid->bytes));
	snprintf(name, JOURNAL_NAME_SIZE, "journal-%s%s", buf_text(&hex), suffix);
}

static bool write_zeros(int file, uint64_t length, struct fail **fail)
{
	if (posix_fallocate(file, 0, (off_t)length) == ENOSPC)
		return fail_set(fail, FAIL_NO_SPACE, "no room for a journal of %llu octets", (unsigned long long)length);
	CLEANUP(mem_free) char *zeros = mem_alloc(1 << 20);
	for (uint64_t at = 0; at < length;) {
		size_t part = length - at < 1 << 20 ? (size_t)(length - at) : 1 << 20;
		if (!disk_write(file, zeros, part, at))
			return fail_set_errno(fail, FAIL_IO, "writing a new journal");
		at += part;
	}
	return true;
}

static bool write_new(int file, const struct journal_uuid *uuid, uint64_t size, struct fail **fail)
{
	struct journal_identity identity = journal_identity_of(uuid);
	struct journal_slot first = { .size = size, .generation = 1, .trim_sequence = 1, .floor = 1 };
	uint8_t bytes[JOURNAL_SLOT_SIZE];
	journal_slot_encode(bytes, &identity, &first);
	if (!write_zeros(file, JOURNAL_RING_OFFSET + size, fail))
		return false;
	if (!disk_write(file, bytes, sizeof bytes, JOURNAL_BLOCK) || fsync(file) != 0)
		return fail_set_errno(fail, FAIL_IO, "writing a new journal");
	return true;
}

static bool create_at(int directory, const char *temporary, const char *name, const struct journal_uuid *uuid,
                      uint64_t size, struct fail **fail)
{
	CLEANUP(disk_close) int file = openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0)
		return fail_set_errno(fail, FAIL_IO, "creating %s", temporary);
	if (!write_new(file, uuid, size, fail))
		return false;
	if (renameat(directory, temporary, directory, name) != 0 || !disk_sync_directory(directory))
		return fail_set_errno(fail, FAIL_IO, "naming %s", name);
	return true;
}

bool journal_create(int directory, uint64_t size, struct journal_uuid *uuid, struct fail **fail)
{
	if (size < JOURNAL_SIZE_MIN || size > JOURNAL_SIZE_MAX || size % JOURNAL_BLOCK != 0)
		return fail_set(fail, FAIL_INVALID, "a journal cannot have %llu octets", (unsigned long long)size);
	struct journal_uuid made;
	must(getrandom(made.bytes, sizeof made.bytes, 0) == sizeof made.bytes);
	made.bytes[6] = (uint8_t)((made.bytes[6] & 0x0f) | 0x40); /* RFC 9562 §5.4 */
	made.bytes[8] = (uint8_t)((made.bytes[8] & 0x3f) | 0x80);
	char temporary[JOURNAL_NAME_SIZE], name[JOURNAL_NAME_SIZE];
	journal_file_name(temporary, &made, ".new");
	journal_file_name(name, &made, "");
	if (!create_at(directory, temporary, name, &made, size, fail)) {
		unlinkat(directory, temporary, 0);
		unlinkat(directory, name, 0);
		return false;
	}
	*uuid = made;
	return true;
}

static void directory_close(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

bool journal_list(int directory, struct journal_uuid *uuids, size_t max, size_t *count, struct fail **fail)
{
	int file = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(directory_close) DIR *entries = file < 0 ? NULL : fdopendir(file);
	if (!entries)
		return fail_set_errno(fail, FAIL_IO, "reading the spool directory");
	*count = 0;
	for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
		struct str name = str_of(entry->d_name);
		if (!str_starts(name, STR("journal-")))
			continue;
		if (str_ends_nocase(name, STR(".new")))
			unlinkat(directory, entry->d_name, 0);
		else if (*count < max && text_hex_decode(str_from_index(name, 8), uuids[*count].bytes, 16))
			++*count;
	}
	return true;
}

bool journal_remove(int directory, const struct journal_uuid *uuid, struct fail **fail)
{
	char name[JOURNAL_NAME_SIZE];
	journal_file_name(name, uuid, "");
	if (unlinkat(directory, name, 0) != 0 || !disk_sync_directory(directory))
		return fail_set_errno(fail, errno == ENOENT ? FAIL_NOT_FOUND : FAIL_IO, "removing %s", name);
	return true;
}

/*
 * Restore: a backup is unpacked into the folder `restore` of the account's directory and checked to its end; only then
 * is anything of it brought in (merge.h). The folder goes in any case.
 */
#include "control.h"

#include "file.h"
#include "folder.h"
#include "log.h"
#include "mem.h"
#include "merge.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 65536, NAME_MAX_LENGTH = 40 };

struct restoring {
	struct control *control;
	struct archive_reader reader;
	char *path;
	int folder;   /* -1 until it is made */
	int segments;
	unsigned files;
	struct store *store; /* the backup, opened */
};

static void restoring_release(struct restoring *r)
{
	archive_read_release(&r->reader);
	store_cleanup(&r->store);
	file_close(&r->segments);
	if (r->folder >= 0) {
		file_close(&r->folder);
		folder_remove(r->control->account->directory, "restore", NULL);
	}
	mem_free(&r->path);
}

/* The names a backup may have, and in which folder they lie. */
static bool name_is_allowed(struct restoring *r, struct str name, int *folder, char file[NAME_MAX_LENGTH])
{
	bool segment = str_starts(name, STR("seg/"));
	struct str last = segment ? str_from_index(name, 4) : name;
	uint64_t number;
	if (last.length >= NAME_MAX_LENGTH)
		return false;
	*folder = segment ? r->segments : r->folder;
	memcpy(file, last.data ? last.data : "", last.length);
	file[last.length] = '\0';
	return segment ? last.length >= 4 && str_to_u64(last, INT64_MAX, &number)
	               : str_equal(last, STR("version")) || str_equal(last, STR("meta.db"));
}

static bool unpack_octets(struct restoring *r, int file, struct fail **fail)
{
	char block[BLOCK];
	int64_t got;
	uint64_t at = 0;
	while ((got = archive_read_body(&r->reader, block, sizeof block, fail)) > 0) {
		if (!file_write_at(file, block, (size_t)got, at, fail) || !control_may_go_on(r->control, fail))
			return false;
		at += (uint64_t)got;
	}
	return got == 0;
}

static bool unpack_file(struct restoring *r, struct str name, struct fail **fail)
{
	char last[NAME_MAX_LENGTH];
	int folder;
	if (!name_is_allowed(r, name, &folder, last))
		return fail_set(fail, FAIL_CORRUPT, "no backup has a file of that name: %.*s", STR_ARG(name));
	CLEANUP(file_close) int file = openat(folder, last, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return fail_set_errno(fail, FAIL_CORRUPT, "cannot unpack %.*s", STR_ARG(name));
	r->files++;
	return unpack_octets(r, file, fail);
}

static bool unpack(struct restoring *r, struct fail **fail)
{
	struct str fields;
	uint64_t size;
	enum archive_got got = archive_read_entry(&r->reader, &fields, &size, fail);
	if (got == ARCHIVE_FAILED)
		return false;
	if (got != ARCHIVE_ENTRY || !str_equal(archive_field(fields, "kind"), STR("backup")))
		return fail_set(fail, FAIL_INVALID, "this archive is no backup of an account; is it an export?");
	while ((got = archive_read_entry(&r->reader, &fields, &size, fail)) == ARCHIVE_ENTRY)
		if (!unpack_file(r, archive_field(fields, "name"), fail))
			return false;
	return got == ARCHIVE_END && (r->files >= 2 || fail_set(fail, FAIL_CORRUPT, "the backup is not complete"));
}

static bool make_folders(struct restoring *r, struct fail **fail)
{
	struct account *a = r->control->account;
	r->path = mem_printf("%s/restore", a->path);
	r->folder = folder_make(a->directory, "restore", fail);
	r->segments = r->folder < 0 ? -1 : folder_make(r->folder, "seg", fail);
	return r->segments >= 0;
}

static bool open_backup(struct restoring *r, struct fail **fail)
{
	const struct store_options options = { .path = r->path };
	r->store = store_open(r->folder, &options, fail);
	return r->store || fail_prefix(fail, "the account in this backup cannot be opened");
}

static void tell(struct control *c, const struct merged *merged)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(1000);
	archive_field_add_number(&row, "restored", merged->restored);
	archive_field_add_number(&row, "there", merged->there);
	archive_field_add_number(&row, "removed", merged->removed);
	archive_field_add_number(&row, "damaged", merged->damaged);
	control_send_row(c, &row);
	log_event(LOG_INFO, 0, "restored", LOG_NUMBER("account", c->account->number),
			  LOG_NUMBER("restored", merged->restored), LOG_NUMBER("there", merged->there),
			  LOG_NUMBER("removed", merged->removed));
}

bool control_restore(struct control *c, struct fail **fail)
{
	CLEANUP(restoring_release) struct restoring r = { .control = c, .folder = -1, .segments = -1 };
	struct merged merged;
	bool replace = str_equal(c->words, str_from("replace", 8));
	archive_read_begin(&r.reader, c->descriptor);
	if (!replace && !str_is_empty(c->words))
		return fail_set(fail, FAIL_INVALID, "restore takes no word but replace");
	if (!control_needs_descriptor(c, fail) || !make_folders(&r, fail) || !unpack(&r, fail) || !open_backup(&r, fail) ||
	    !merge_store(c, r.store, replace, &merged, fail))
		return false;
	tell(c, &merged);
	return merged.damaged == 0 || fail_set(fail, FAIL_CORRUPT, "%llu mails are damaged in the backup and were left out",
										   (unsigned long long)merged.damaged);
}

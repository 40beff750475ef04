/*
 * A backup: the store's own consistent copy, made in the folder `backup` of the account's directory while all goes on,
 * written as an archive and removed again. docs/backup.md has the entries.
 */
#include "control.h"

#include "file.h"
#include "folder.h"
#include "log.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 65536 };

struct backing_up {
	struct control *control;
	int folder; /* -1 until it is made */
	struct archive_writer writer;
};

static void backing_up_release(struct backing_up *b)
{
	archive_write_release(&b->writer);
	if (b->folder < 0)
		return;
	close(b->folder);
	folder_remove(b->control->account->directory, "backup", NULL);
}

static void write_head(struct backing_up *b)
{
	CLEANUP(buf_release) struct buf fields = BUF_WITH_LIMIT(1000);
	struct store_usage usage;
	store_usage(b->control->store, &usage);
	archive_field_add(&fields, "kind", STR("backup"));
	archive_field_add(&fields, "program", STR(POSTHORN_VERSION));
	archive_field_add_number(&fields, "account", b->control->account->number);
	archive_field_add_number(&fields, "mails", usage.messages);
	archive_write_entry(&b->writer, buf_str(&fields), 0);
}

/* A file that shrinks meanwhile would be a damaged disk: nobody else writes here. */
static bool write_octets(struct backing_up *b, int file, uint64_t size, struct fail **fail)
{
	char block[BLOCK];
	for (uint64_t done = 0; done < size && !archive_write_failed(&b->writer);) {
		size_t wanted = size - done < BLOCK ? (size_t)(size - done) : BLOCK;
		if (!file_read_at(file, block, wanted, done, fail) || !control_may_go_on(b->control, fail))
			return false;
		archive_write_body(&b->writer, block, wanted);
		done += wanted;
	}
	return true;
}

static bool write_file(struct backing_up *b, int folder, const char *prefix, const char *name, struct fail **fail)
{
	CLEANUP(buf_release) struct buf fields = BUF_WITH_LIMIT(1000);
	CLEANUP(mem_free) char *path = mem_printf("%s%s", prefix, name);
	CLEANUP(file_close) int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat facts;
	if (file < 0 || fstat(file, &facts) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot read %s of the copy", path);
	archive_field_add(&fields, "kind", STR("file"));
	archive_field_add(&fields, "name", str_of(path));
	archive_write_entry(&b->writer, buf_str(&fields), (uint64_t)facts.st_size);
	return write_octets(b, file, (uint64_t)facts.st_size, fail);
}

static bool write_segments(struct backing_up *b, struct fail **fail)
{
	int folder = openat(b->folder, "seg", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = folder < 0 ? NULL : fdopendir(folder);
	bool done = true;
	if (!list)
		return fail_set_errno(fail, FAIL_IO, "cannot read seg of the copy");
	for (struct dirent *entry; done && (entry = readdir(list));)
		if (char_is_digit(entry->d_name[0]))
			done = write_file(b, folder, "seg/", entry->d_name, fail);
	closedir(list);
	return done;
}

static bool copy_and_write(struct backing_up *b, struct fail **fail)
{
	struct control *c = b->control;
	CLEANUP(mem_free) char *path = mem_printf("%s/backup", c->account->path);
	b->folder = folder_make(c->account->directory, "backup", fail);
	if (b->folder < 0 || !store_backup(c->store, b->folder, path, fail))
		return false;
	write_head(b);
	return write_file(b, b->folder, "", "version", fail) && write_file(b, b->folder, "", "meta.db", fail) &&
	       write_segments(b, fail) && archive_write_end(&b->writer, fail);
}

bool control_backup(struct control *c, struct fail **fail)
{
	CLEANUP(backing_up_release) struct backing_up b = { .control = c, .folder = -1 };
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(1000);
	struct store_usage usage;
	archive_write_begin(&b.writer, c->descriptor);
	if (!control_needs_descriptor(c, fail) || !copy_and_write(&b, fail))
		return false;
	store_usage(c->store, &usage);
	archive_field_add_number(&row, "mails", usage.messages);
	archive_field_add_number(&row, "octets", usage.bytes);
	control_send_row(c, &row);
	log_event(LOG_INFO, 0, "backed-up", LOG_NUMBER("account", c->account->number), LOG_NUMBER("mails", usage.messages));
	return true;
}

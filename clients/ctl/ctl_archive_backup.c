#include "ctl_archive_work.h"

#include "file.h"
#include "limits.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a file that is there as a whole or not at all ---- */

struct new_file {
	const char *path;
	char *made;      /* the name until it is whole */
	int descriptor;
};

static void new_file_release(struct new_file *file)
{
	file_close(&file->descriptor);
	if (file->made)
		unlink(file->made);
	mem_free(&file->made);
}

static bool new_file_begin(struct new_file *file, const char *path, struct fail **fail)
{
	*file = (struct new_file){ .path = path, .descriptor = -1 };
	char *made = mem_printf("%s.new", path);
	file->descriptor = open(made, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->descriptor < 0) {
		fail_set_errno(fail, FAIL_IO, "cannot make %s", made);
		free(made);
		return false;
	}
	file->made = made;
	return true;
}

static bool sync_folder_of(const char *path, struct fail **fail)
{
	struct str text = str_of(path);
	size_t slash = str_find_last_char(text, '/');
	CLEANUP(mem_free) char *folder = slash == text.length ? mem_printf(".") : mem_printf("%.*s", (int)slash + 1, path);
	CLEANUP(file_close) int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return (descriptor >= 0 && fsync(descriptor) == 0) || fail_set_errno(fail, FAIL_IO, "cannot make %s durable", path);
}

static bool new_file_end(struct new_file *file, struct fail **fail)
{
	if (fsync(file->descriptor) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot make %s durable", file->made);
	if (rename(file->made, file->path) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot make %s", file->path);
	mem_free(&file->made);
	file->made = NULL;
	return sync_folder_of(file->path, fail);
}

static int copy_of(int descriptor, struct fail **fail)
{
	int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		fail_set_errno(fail, FAIL_LIMIT, "cannot copy a descriptor");
	return copy;
}

/* ---- accounts ---- */

static bool backup_to(struct ctl_work *work, int descriptor, struct fail **fail)
{
	int copy = copy_of(descriptor, fail);
	return copy >= 0 && ctl_work_ask(work, str_from("backup", 7), copy, fail);
}

bool ctl_backup(struct ctl_work *work, const char *path, struct fail **fail)
{
	CLEANUP(new_file_release) struct new_file file = { .descriptor = -1 };
	if (strcmp(path, "-") != 0)
		return new_file_begin(&file, path, fail) && backup_to(work, file.descriptor, fail) && new_file_end(&file, fail);
	if (isatty(STDOUT_FILENO))
		return fail_set(fail, FAIL_INVALID, "a backup is nothing for a terminal: name a file, or send it into one");
	return backup_to(work, STDOUT_FILENO, fail);
}

bool ctl_restore(struct ctl_work *work, const char *path, struct fail **fail)
{
	static const char words[] = "restore\0replace";
	bool from_input = strcmp(path, "-") == 0;
	CLEANUP(file_close) int file = from_input ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (!from_input && file < 0)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	int copy = copy_of(from_input ? STDIN_FILENO : file, fail);
	return copy >= 0 && ctl_work_ask(work, str_from(words, work->call->replace ? sizeof words : 8), copy, fail);
}

/* ---- the rest ---- */

static void take_nothing(void *owner, struct str row)
{
	(void)owner;
	(void)row;
}

/* One request with a file, to who has no account. Takes ownership of descriptor. */
static bool ask_with_file(const struct ctl_work *work, enum ctl_peer peer, struct str words, int descriptor,
                          struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
	const struct ctl_request request = { .words = words, .descriptor = descriptor };
	if (ctl_connect(work->runtime_directory, peer, &channel, fail))
		return ctl_ask(&channel, &request, take_nothing, NULL, fail);
	close(descriptor);
	return false;
}

static bool backup_from(const struct ctl_work *work, enum ctl_peer peer, struct str words, const char *folder,
                        const char *name, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", folder, name);
	CLEANUP(new_file_release) struct new_file file = { .descriptor = -1 };
	if (!new_file_begin(&file, path, fail))
		return false;
	int copy = copy_of(file.descriptor, fail);
	return copy >= 0 && ask_with_file(work, peer, words, copy, fail) && new_file_end(&file, fail);
}

static char *config_path(const struct ctl_call *call)
{
	if (call->directory && !call->config)
		return mem_printf("%s/posthorn.conf", call->directory);
	return mem_printf("%s", call->config ? call->config : "/etc/posthorn/posthorn.conf");
}

static bool backup_config(const struct ctl_work *work, const char *folder, struct fail **fail)
{
	CLEANUP(mem_free) char *from = config_path(work->call), *path = mem_printf("%s/posthorn.conf", folder);
	CLEANUP(new_file_release) struct new_file file = { .descriptor = -1 };
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_CONFIG_SIZE_MAX);
	return file_load(from, &text, fail) && new_file_begin(&file, path, fail) &&
	       file_write_at(file.descriptor, text.data, text.length, 0, fail) && new_file_end(&file, fail);
}

static const char directory_name[] = "directory.db", keys_name[] = "queue.keys";

bool ctl_backup_rest(struct ctl_work *work, const char *folder, struct fail **fail)
{
	static const char keys_words[] = "dkim\0backup";
	return backup_from(work, CTL_AUTH, str_from("backup", 7), folder, directory_name, fail) &&
	       backup_from(work, CTL_QUEUE, str_from(keys_words, sizeof keys_words), folder, keys_name, fail) &&
	       backup_config(work, folder, fail);
}

/* -1 without *fail: the folder has no such file, which is told with what follows from it. */
static int open_saved(const char *path, const char *otherwise, struct fail **fail)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0 && errno == ENOENT)
		fprintf(stderr, "there is no %s: %s\n", path, otherwise);
	else if (descriptor < 0)
		fail_set_errno(fail, FAIL_IO, "%s", path);
	return descriptor;
}

static bool restore_directory(const struct ctl_work *work, const char *folder, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", folder, directory_name);
	CLEANUP(fail_free) struct fail *why = NULL;
	int descriptor = open_saved(path, "domains, accounts and passwords stay as they are", &why);
	if (descriptor >= 0)
		ask_with_file(work, CTL_AUTH, str_from("restore", 8), descriptor, &why);
	if (why && why->kind != FAIL_EXISTS)
		return fail_set(fail, why->kind, "%s: %s", path, why->text);
	if (why)
		fprintf(stderr, "%s: %s: they stay as they are\n", path, why->text);
	return true;
}

static bool restore_keys(const struct ctl_work *work, const char *folder, struct fail **fail)
{
	static const char words[] = "dkim\0restore";
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", folder, keys_name);
	CLEANUP(fail_free) struct fail *why = NULL;
	int descriptor = open_saved(path, "the keys that mail is signed with stay as they are", &why);
	if (descriptor >= 0)
		ask_with_file(work, CTL_QUEUE, str_from(words, sizeof words), descriptor, &why);
	return !why || fail_set(fail, why->kind, "%s: %s", path, why->text);
}

bool ctl_restore_rest(struct ctl_work *work, const char *folder, struct fail **fail)
{
	return restore_directory(work, folder, fail) && restore_keys(work, folder, fail);
}

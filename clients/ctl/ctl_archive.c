#include "ctl_archive.h"

#include "archive.h"
#include "array.h"
#include "ctl_archive_name.h"
#include "ctl_archive_work.h"
#include "file.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum { PROGRESS_STEP = 1000, ROW_MAX = 65536, REBUILD_TRIES = 10 };

/* ---- answers ---- */

void ctl_work_progress(struct ctl_work *work, uint64_t mails, bool end)
{
	if (mails / PROGRESS_STEP != work->progress / PROGRESS_STEP || (end && mails != work->progress)) {
		fprintf(stderr, "%s: %llu mails\n", work->address, (unsigned long long)mails);
		work->progress = mails;
	}
}

void ctl_work_left_out(struct ctl_work *work, struct str what, struct str why)
{
	CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(ROW_MAX);
	ctl_visible_add(&line, what);
	buf_add_str(&line, STR(": "));
	ctl_visible_add(&line, why);
	fprintf(stderr, "%s: %s\n", work->address, buf_text(&line));
}

void ctl_work_take(void *owner, struct str row)
{
	struct ctl_work *work = owner;
	CLEANUP(buf_release) struct buf longer = BUF_WITH_LIMIT(ROW_MAX + LIMIT_ADDRESS_MAX);
	uint64_t mails;
	if (archive_field(row, "progress").length && archive_field_number(row, "progress", UINT64_MAX, &mails)) {
		ctl_work_progress(work, mails, false);
		return;
	}
	if (archive_field(row, "where").length) {
		ctl_work_left_out(work, archive_field(row, "where"), archive_field(row, "what"));
		return;
	}
	archive_field_add(&longer, "account", str_of(work->address));
	buf_add_str(&longer, row);
	ctl_table_take(work->table, buf_str(&longer));
}

static bool ask_with(struct ctl_work *work, struct str words, int descriptor, bool rest, struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
	const struct ctl_request request = { .words = words, .descriptor = descriptor, .patient = true };
	const struct ctl_request done = { .words = str_from("rest", 5), .descriptor = -1, .patient = true };
	if (!ctl_open_account(work->runtime_directory, work->address, &channel, fail)) {
		file_close(&descriptor);
		return false;
	}
	bool good = ctl_ask(&channel, &request, ctl_work_take, work, fail);
	if (rest && !channel.broken)
		ctl_ask(&channel, &done, ctl_work_take, work, NULL);
	return good;
}

bool ctl_work_ask(struct ctl_work *work, struct str words, int descriptor, struct fail **fail)
{
	return ask_with(work, words, descriptor, work->call->all, fail);
}

/* ---- all accounts ---- */

struct addresses {
	ARRAY(char *) list;
};

static void addresses_release(struct addresses *addresses)
{
	for (size_t i = 0; i < addresses->list.count; i++)
		free(addresses->list.items[i]);
	array_release(&addresses->list);
}

static void take_address(void *owner, struct str row)
{
	struct addresses *addresses = owner;
	struct str address = archive_field(row, "address");
	if (address.length && !str_equal(archive_field(row, "state"), STR("deleted")))
		*array_add(&addresses->list) = str_copy(address);
}

static bool list_accounts(const struct ctl_work *work, struct addresses *addresses, struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
	const struct ctl_request request = { .words = str_from("account\0list", 13), .descriptor = -1 };
	return ctl_connect(work->runtime_directory, CTL_AUTH, &channel, fail) &&
	       ctl_ask(&channel, &request, take_address, addresses, fail);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those that a folder of backups has one of. */
static bool list_backups(const char *folder, struct addresses *addresses, struct fail **fail)
{
	DIR *list = opendir(folder);
	if (!list)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", folder);
	for (struct dirent *entry; (entry = readdir(list));) {
		CLEANUP(buf_release) struct buf address = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX);
		struct str name = str_of(entry->d_name);
		if (name.length > 7 && str_ends_nocase(name, STR(".backup")) &&
			ctl_address_of_name(&address, str_first(name, name.length - 7)))
			*array_add(&addresses->list) = str_copy(buf_str(&address));
	}
	closedir(list);
	if (addresses->list.count == 0)
		return fail_set(fail, FAIL_NOT_FOUND, "%s has no files ADDRESS.backup", folder);
	qsort(addresses->list.items, addresses->list.count, sizeof addresses->list.items[0], compare_texts);
	return true;
}

/* One that fails is told and does not stop the others. */
static bool each_account(struct ctl_work *work, const struct addresses *addresses,
                         bool (*act)(struct ctl_work *work, struct fail **fail), struct fail **fail)
{
	size_t failed = 0;
	for (size_t i = 0; i < addresses->list.count; i++) {
		CLEANUP(fail_free) struct fail *why = NULL;
		work->address = addresses->list.items[i];
		work->progress = 0;
		if (act(work, &why))
			continue;
		fprintf(stderr, "%s: %s\n", work->address, fail_text(why));
		failed++;
	}
	return failed == 0 || fail_set(fail, FAIL_CORRUPT, "%zu of %zu accounts failed", failed, addresses->list.count);
}

/* ---- commands ---- */

/* The request is the word of the command. */
static bool ask_one(struct ctl_work *work, struct fail **fail)
{
	const char *word = work->call->command->words;
	return ctl_work_ask(work, str_from(word, strlen(word) + 1), -1, fail);
}

static bool ask_each(struct ctl_work *work, struct fail **fail)
{
	CLEANUP(addresses_release) struct addresses addresses = {};
	if (!work->call->all)
		return ask_one(work, fail);
	return list_accounts(work, &addresses, fail) && each_account(work, &addresses, ask_one, fail);
}

/* The process that takes the request ends, and the next one answers. Until master has noticed, one may still meet
 * the old one. */
static bool rebuild(struct ctl_work *work, struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	if (ctl_work_ask(work, str_from("rebuild", 8), -1, &why))
		return fail_set(fail, FAIL_CORRUPT, "the mailbox process goes on without a rebuild");
	if (why->kind != FAIL_UNAVAILABLE)
		return fail_set(fail, why->kind, "%s", why->text);
	for (int i = 0; i < REBUILD_TRIES; i++) {
		fail_free(&why);
		if (ctl_work_ask(work, str_from("rebuilt", 8), -1, &why))
			return true;
		if (why->kind != FAIL_UNAVAILABLE && why->kind != FAIL_NOT_FOUND)
			break;
	}
	return fail_set(fail, why->kind, "the rebuild did not end well: %s; the post office's log may say why", why->text);
}

static char *backup_path(const struct ctl_work *work)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(3 * LIMIT_ADDRESS_MAX);
	if (!work->call->all)
		return mem_printf("%s", work->call->arguments[1]);
	ctl_name_of_address(&name, str_of(work->address));
	return mem_printf("%s/%s.backup", work->call->arguments[0], buf_text(&name));
}

static bool backup_one(struct ctl_work *work, struct fail **fail)
{
	CLEANUP(mem_free) char *path = backup_path(work);
	return ctl_backup(work, path, fail);
}

static bool backup(struct ctl_work *work, struct fail **fail)
{
	CLEANUP(addresses_release) struct addresses addresses = {};
	if (!work->call->all)
		return backup_one(work, fail);
	const char *folder = work->call->arguments[0];
	return file_make_directory(folder, 0700, fail) && ctl_backup_rest(work, folder, fail) &&
	       list_accounts(work, &addresses, fail) && each_account(work, &addresses, backup_one, fail);
}

static bool restore_one(struct ctl_work *work, struct fail **fail)
{
	CLEANUP(mem_free) char *path = backup_path(work);
	return ctl_restore(work, path, fail);
}

static bool restore(struct ctl_work *work, struct fail **fail)
{
	CLEANUP(addresses_release) struct addresses addresses = {};
	if (!work->call->all)
		return restore_one(work, fail);
	const char *folder = work->call->arguments[0];
	return list_backups(folder, &addresses, fail) && ctl_restore_rest(work, folder, fail) &&
	       each_account(work, &addresses, restore_one, fail);
}

static const struct {
	const char *words;
	bool (*act)(struct ctl_work *work, struct fail **fail);
} actions[] = {
	{ "usage", ask_each },  { "fsck", ask_each },     { "rebuild", rebuild },   { "backup", backup },
	{ "restore", restore }, { "export", ctl_export }, { "import", ctl_import },
};

bool ctl_archive_run(const struct ctl_call *call, FILE *out, struct fail **fail)
{
	CLEANUP(mem_free) char *runtime_directory = ctl_runtime_directory(call->directory, call->config, fail);
	struct ctl_table table;
	struct ctl_work work = { .call = call, .runtime_directory = runtime_directory, .table = &table };
	bool good = false;
	if (!runtime_directory)
		return false;
	/* standard output may be where the backup goes */
	bool to_output =
		str_equal(str_of(call->command->words), STR("backup")) && !call->all && strcmp(call->arguments[1], "-") == 0;
	work.address = call->all ? NULL : call->arguments[0];
	signal(SIGPIPE, SIG_IGN); /* a process that refuses a mail says why */
	ctl_table_begin(&table, call->json ? CTL_FORM_JSON : CTL_FORM_TABLE, to_output ? stderr : out);
	for (size_t i = 0; i < COUNT_OF(actions); i++)
		if (str_equal(str_of(call->command->words), str_of(actions[i].words)))
			good = actions[i].act(&work, fail);
	ctl_table_end(&table);
	return good;
}

#include "ctl_purge.h"

#include "archive.h"
#include "array.h"
#include "clock.h"
#include "config.h"
#include "ctl_link.h"
#include "ctl_table.h"
#include "file.h"
#include "folder.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { NUMBER_MAX = 24 };

struct purge {
	char *runtime_directory;
	int accounts;     /* the folder of all accounts */
	uint64_t wanted;  /* 0: all whose time is over */
	int64_t now;
	ARRAY(uint64_t) found;
	struct ctl_table table;
};

static void release(struct purge *p)
{
	free(p->runtime_directory);
	file_close(&p->accounts);
	array_release(&p->found);
}

/* ---- files ---- */

/* The lock that the account's process has for life; file is -1 where there is nothing to lock. */
static bool lock_account(int folder, const char *name, int *file, struct fail **fail)
{
	CLEANUP(buf_release) struct buf path = BUF_WITH_LIMIT(2 * NUMBER_MAX);
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	buf_printf(&path, "%s/version", name);
	*file = openat(folder, buf_text(&path), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (*file < 0)
		return errno == ENOENT || fail_set_errno(fail, FAIL_IO, "%s", buf_text(&path));
	if (fcntl(*file, F_OFD_SETLK, &whole) == 0)
		return true;
	return fail_set(fail, FAIL_BUSY, "account %s is still served; try again in some minutes", name);
}

static bool remove_account(struct purge *p, uint64_t number, struct fail **fail)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(NUMBER_MAX);
	CLEANUP(file_close) int version = -1;
	buf_add_u64(&name, number);
	return lock_account(p->accounts, buf_text(&name), &version, fail) &&
	       folder_remove(p->accounts, buf_text(&name), fail);
}

/* ---- the directory ---- */

static void take_account(void *owner, struct str row)
{
	struct purge *p = owner;
	uint64_t number, purge_at;
	if (!str_equal(archive_field(row, "state"), STR("deleted")) ||
	    !archive_field_number(row, "number", INT64_MAX, &number) ||
	    !archive_field_number(row, "purge-at", INT64_MAX, &purge_at))
		return;
	if (p->wanted ? number == p->wanted : (int64_t)purge_at <= p->now)
		*array_add(&p->found) = number;
}

static bool ask_auth(struct purge *p, struct str words, struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel auth = { .descriptor = -1 };
	const struct ctl_request request = { .words = words, .descriptor = -1 };
	return ctl_connect(p->runtime_directory, CTL_AUTH, &auth, fail) && ctl_ask(&auth, &request, take_account, p, fail);
}

static bool forget_account(struct purge *p, uint64_t number, struct fail **fail)
{
	CLEANUP(buf_release) struct buf words = BUF_WITH_LIMIT(100);
	buf_append(&words, "account\0purge", 14);
	buf_add_u64(&words, number);
	buf_add_char(&words, '\0');
	return ask_auth(p, buf_str(&words), fail);
}

/* The files first: when that fails, the directory still tells what there is to remove. */
static bool purge_one(struct purge *p, uint64_t number, struct fail **fail)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(100);
	if (!remove_account(p, number, fail) || !forget_account(p, number, fail))
		return false;
	archive_field_add_number(&row, "purged", number);
	ctl_table_take(&p->table, buf_str(&row));
	return true;
}

/* One that fails does not stop the others; the first failure is the command's, further ones are told here. */
static bool purge_all(struct purge *p, struct fail **fail)
{
	bool good = true;
	for (size_t i = 0; i < p->found.count; i++) {
		CLEANUP(fail_free) struct fail *further = NULL;
		if (purge_one(p, p->found.items[i], good ? fail : &further))
			continue;
		good = false;
		if (further)
			fprintf(stderr, "posthornctl: %s\n", fail_text(further));
	}
	return good;
}

static bool prepare(struct purge *p, const struct ctl_call *call, struct fail **fail)
{
	CLEANUP(config_release) struct config config = {};
	CLEANUP(mem_free) char *path = ctl_config_path(call->directory, call->config);
	CLEANUP(buf_release) struct buf accounts = BUF_WITH_LIMIT(PATH_MAX);
	if (call->argument_count && (!str_to_u64(str_of(call->arguments[0]), INT64_MAX, &p->wanted) || p->wanted == 0))
		return fail_set(fail, FAIL_INVALID, "a deleted account is named by its number");
	p->runtime_directory = ctl_runtime_directory(call->directory, call->config, fail);
	if (!p->runtime_directory || !config_load(path, &config, fail))
		return false;
	buf_printf(&accounts, "%s/accounts", config.data_directory);
	p->accounts = open(buf_text(&accounts), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->accounts >= 0 || fail_set_errno(fail, FAIL_IO, "%s", buf_text(&accounts));
}

bool ctl_purge_run(const struct ctl_call *call, FILE *out, struct fail **fail)
{
	CLEANUP(release) struct purge p = { .accounts = -1, .now = clock_wall_seconds() };
	if (!prepare(&p, call, fail) || !ask_auth(&p, STR("account\0list\0"), fail))
		return false;
	if (p.wanted && p.found.count == 0)
		return forget_account(&p, p.wanted, fail); /* which says what is wrong with that number */
	ctl_table_begin(&p.table, call->json ? CTL_FORM_JSON : CTL_FORM_TABLE, out);
	bool good = purge_all(&p, fail);
	ctl_table_end(&p.table);
	return good;
}

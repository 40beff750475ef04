/*
 * What the archive commands share: one command at work, its answers, and the way to an account.
 */
#ifndef POSTHORN_CTL_ARCHIVE_WORK_H
#define POSTHORN_CTL_ARCHIVE_WORK_H

#include "ctl_link.h"
#include "ctl_table.h"

struct ctl_work {
	const struct ctl_call *call;
	char *runtime_directory;
	struct ctl_table *table;
	const char *address; /* of the account at work */
	uint64_t progress;   /* mails told last */
};

/* Tells on standard error how many mails are done; every thousandth and, with end, the last. */
void ctl_work_progress(struct ctl_work *work, uint64_t mails, bool end);
void ctl_work_left_out(struct ctl_work *work, struct str what, struct str why);

/* For ctl_ask: rows of the answer, with the account before them, into the table; the others to standard error. */
void ctl_work_take(void *owner, struct str row);

/* One request to the mailbox process of work->address, answered. Takes ownership of descriptor. */
bool ctl_work_ask(struct ctl_work *work, struct str words, int descriptor, struct fail **fail);

/* ---- ctl_archive_move.c ---- */
bool ctl_export(struct ctl_work *work, struct fail **fail);
bool ctl_import(struct ctl_work *work, struct fail **fail);

/* ---- ctl_archive_backup.c ---- */

/* path "-": standard output, or input. */
bool ctl_backup(struct ctl_work *work, const char *path, struct fail **fail);
bool ctl_restore(struct ctl_work *work, const char *path, struct fail **fail);

/* The directory of domains and accounts, the keys of queue and the configuration, into a folder. */
bool ctl_backup_rest(struct ctl_work *work, const char *folder, struct fail **fail);

/* Gives the folder's directory.db to a post office that has no domains and accounts yet, and its keys to domains that
 * have none; another one keeps its own, which is told on standard error. */
bool ctl_restore_rest(struct ctl_work *work, const char *folder, struct fail **fail);

#endif

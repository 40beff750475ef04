/*
 * The commands that look after what accounts hold: fsck, rebuild, backup, restore, export, import.
 *
 * The work is done by the account's mailbox process, which may touch nothing outside the account's directory. So the
 * files of a backup, and those that are exported or imported, are opened, read and written here; an archive
 * (lib/archive) goes to or from the process through a file or a pipe. A file is written under another name, made
 * durable, and only then renamed. Progress and what was left out go to standard error.
 */
#ifndef POSTHORN_CTL_ARCHIVE_H
#define POSTHORN_CTL_ARCHIVE_H

#include "ctl_link.h"

#include <stdio.h>

bool ctl_archive_run(const struct ctl_call *call, FILE *out, struct fail **fail);

#endif

/*
 * Mailboxes as files of other programs: Maildir (with the folders of Maildir++) and mbox.
 *
 * A sink takes mailboxes one after another, each with its mails; a folder that holds anything is refused, so nothing
 * is ever overwritten. Reading walks over a source and hands out the same. Both keep one mail in memory.
 *
 * Maildir: flags are the info letters of the name, keywords the letters a to z that the folder's file dovecot-keywords
 * names, the date is the file's time of modification. Names that export makes have the place of the mail in them, so
 * that import brings back the order; others are taken in the order of the times in their names.
 */
#ifndef POSTHORN_CTL_ARCHIVE_FILES_H
#define POSTHORN_CTL_ARCHIVE_FILES_H

#include "ctl_archive_mbox.h"

enum ctl_format { CTL_MAILDIR = 1, CTL_MBOX };

/* ---- writing ---- */

struct ctl_sink;

/* Makes the folder if it is not there. */
struct ctl_sink *ctl_sink_open(const char *folder, enum ctl_format format, struct fail **fail);

/* What follows lies in this mailbox. */
bool ctl_sink_mailbox(struct ctl_sink *sink, struct str name, struct fail **fail);
bool ctl_sink_mail(struct ctl_sink *sink, const struct ctl_mail *mail, struct fail **fail);

/* Makes all durable. *left_out: keywords that had no letter left. */
bool ctl_sink_finish(struct ctl_sink *sink, uint64_t *left_out, struct fail **fail);
void ctl_sink_close(struct ctl_sink **sink); /* for CLEANUP */

/* ---- reading ---- */

struct ctl_taker {
	bool (*mailbox)(void *owner, struct str name, struct fail **fail);
	bool (*mail)(void *owner, const struct ctl_mail *mail, struct fail **fail);
	/* Something that is left out; reading goes on. */
	void (*left_out)(void *owner, const char *path, const struct fail *fail);
	void *owner;
};

/* format 0: found out. A Maildir, an mbox file, or a folder of NAME.mbox files. */
bool ctl_source_read(const char *path, enum ctl_format format, const struct ctl_taker *taker, struct fail **fail);

#endif

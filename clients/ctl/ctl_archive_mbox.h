/*
 * mbox files, one mailbox each: written as mboxrd (every line that begins with any number of '>' and "From " gets one
 * '>' more), read as any of mboxo, mboxrd or plain.
 *
 * Flags lie in three header fields before the mail's own, always all three and in this order, so that reading can take
 * exactly these away again: Status (R: seen, O), X-Status (A F T D), X-Keywords. In a file that others wrote fields of
 * these names are taken out wherever they stand in the header. The date of the separator line is the one of delivery,
 * in UTC.
 */
#ifndef POSTHORN_CTL_ARCHIVE_MBOX_H
#define POSTHORN_CTL_ARCHIVE_MBOX_H

#include "buf.h"
#include "fail.h"

#include <stdio.h>

/* A mail with flags as IMAP writes them. */
struct ctl_mail {
	struct str text; /* as the post office has it */
	struct str flags;
	int64_t received; /* 0: not known */
};

bool ctl_mbox_write(FILE *file, const struct ctl_mail *mail, struct fail **fail);

struct ctl_mbox {
	FILE *file; /* not owned */
	struct buf line, raw, mail, flags;
	int64_t received; /* of the mail that begins */
	bool began;
};

void ctl_mbox_begin(struct ctl_mbox *mbox, FILE *file);
void ctl_mbox_release(struct ctl_mbox *mbox); /* for CLEANUP too */

enum ctl_mbox_got { CTL_MBOX_MAIL, CTL_MBOX_END, CTL_MBOX_FAILED };

/* The next mail; it lives until the next call. FAIL_INVALID: this is no mbox file. FAIL_TOO_BIG: that one mail is; what
 * comes after it can be read. */
enum ctl_mbox_got ctl_mbox_read(struct ctl_mbox *mbox, struct ctl_mail *mail, struct fail **fail);

#endif

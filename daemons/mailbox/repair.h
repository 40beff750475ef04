/*
 * Opening an account in any state, and making meta.db anew from the segments.
 *
 * The file `rebuild` in the account's directory says that meta.db is not to be trusted: it is put there before a
 * rebuild and removed when the new meta.db is complete and durable, so a rebuild that was cut short begins again.
 * posthornctl rebuild makes the file and ends this process; the next one rebuilds before it serves anybody. A meta.db
 * that is lost or damaged at the start is rebuilt at once: without it no mail could be read at all. The old one is
 * kept as meta.db.old.
 */
#ifndef POSTHORN_MAILBOX_REPAIR_H
#define POSTHORN_MAILBOX_REPAIR_H

#include "mailbox.h"

/* Removes what an earlier process left half done, rebuilds if need be, and opens the store. */
bool repair_and_open(struct account *a, const struct store_options *options, struct fail **fail);

#endif

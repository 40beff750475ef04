/*
 * Brings what another store holds into the account's own, online.
 *
 * Mails are known by their ids (their UIDLs): one that is here and can be read stays as it is; any other is put in,
 * with its id, mailbox, flags and dates, under a new UID. One whose octets are damaged here is put in under a new id,
 * and the damaged one is removed after that. With replace, mails that are here keep their place only where the other
 * store has them, and what it has not is removed at the end, but for what came since the merge began; flags become
 * those of the other. Nothing is removed before all that was put in is durable, so a merge that was cut short is
 * repeated, not undone. Memory: some hundred octets for each mail of both.
 */
#ifndef POSTHORN_MAILBOX_MERGE_H
#define POSTHORN_MAILBOX_MERGE_H

#include "control.h"

struct merged {
	uint64_t restored; /* put in */
	uint64_t there;    /* were here already */
	uint64_t damaged;  /* in the other store; each is told as a row */
	uint64_t removed;
};

bool merge_store(struct control *c, struct store *other, bool replace, struct merged *merged, struct fail **fail);

#endif

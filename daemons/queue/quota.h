/*
 * How full each account is, as its mailbox process said last, so that a full account is refused at RCPT (RFC 5321
 * §4.2.3, 452 and 552).
 *
 * Counted is what the mailbox has plus what was promised and is on its way to it. Kept in a file that may be old: it
 * is only there so that a full account is refused right after a start; what it says too much or too little is put
 * right when the account's mailbox opens. Sizes are octets. A file that cannot be read or written is logged.
 */
#ifndef POSTHORN_QUEUE_QUOTA_H
#define POSTHORN_QUEUE_QUOTA_H

#include "ipc.h"
#include "services.h"

struct account;
struct queue;

struct usage {
	uint64_t used_bytes, used_messages;
	uint64_t limit_bytes, limit_messages; /* auth's; 0: none */
	uint64_t told_bytes, told_messages;   /* those that the mailbox keeps to: lower ones are its owner's */
};

/* May it take one more mail of that size? Counts what is on its way to it. */
enum verdict_kind quota_check(const struct account *a, uint64_t size);
void quota_note(struct account *a, const struct usage *usage);

/* QUOTA of auth; the mailbox hears it now or when it opens. */
void quota_limit(struct queue *q, const struct msg_quota *quota);
void quota_load(struct queue *q);

/* Writes what is known to a file of its own, at most twice a minute; after a crash it may be old. */
void quota_tick(struct queue *q);

#endif

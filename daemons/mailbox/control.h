/*
 * posthornctl's requests for this account: what the files control*.c share.
 *
 * A request is words and at most one descriptor: a file or a pipe that posthornctl opened, to write an archive into or
 * to read one from (lib/archive). This process opens nothing outside the account's directory. Everything runs in the
 * thread of posthornctl's session with blocking reads and writes, never in a transaction; memory is bounded by one
 * mail and a batch.
 */
#ifndef POSTHORN_MAILBOX_CONTROL_H
#define POSTHORN_MAILBOX_CONTROL_H

#include "archive.h"
#include "mailbox.h"

struct control {
	struct session *session;
	struct account *account;
	struct store *store;
	struct ipc_channel channel;
	struct str words; /* behind the verb, each with a NUL behind it */
	int descriptor;   /* that came with the request, or -1 */
	bool restarts;    /* no answer: this process ends now, the next one has it */
};

/* Fields as in lib/archive. A progress row is for people who wait; others are the answer. */
void control_send_row(struct control *c, const struct buf *row);
void control_tell_progress(struct control *c, uint64_t mails);

/* One mail or file that is not as it should be, told as a row. */
void control_tell_damage(struct control *c, struct str where, enum fail_kind kind, const char *what);

/* Every longer work asks now and then: false with FAIL_UNAVAILABLE when the process is to end or posthornctl is
 * gone. */
bool control_may_go_on(struct control *c, struct fail **fail);

/* FAIL_INVALID without a descriptor. */
bool control_needs_descriptor(const struct control *c, struct fail **fail);

#define CONTROL_VERB(name) bool name(struct control *c, struct fail **fail)

/* ---- control_mail.c ---- */
CONTROL_VERB(control_export);
CONTROL_VERB(control_import);

/* ---- control_backup.c ---- */
CONTROL_VERB(control_backup);

/* ---- control_restore.c ---- */
CONTROL_VERB(control_restore);

/* ---- repair.c ---- */
CONTROL_VERB(control_rebuild);
CONTROL_VERB(control_rebuilt);

#endif

/*
 * queue: takes mail from smtpd, makes it durable, and brings it to the accounts' mailbox processes.
 *
 * Invariants
 *  1. MAIL_DONE says OK only after the record's group was written and flushed (journal.h).
 *  2. A record leaves the journal only when each recipient is DONE or FAILED, or the mail has a file
 *     of its own that was flushed (spoolfile.h).
 *  3. DONE means: the account said DELIVERED before a syncfs of the accounts' file system began that succeeded, or that it
 *     had made the mail durable by itself, as it was asked to (trim.h).
 *  4. A file is removed only after its log says that all recipients are done, and after the durable mark of the
 *     journal it came from has passed the record; so is a body that has a file of its own.
 *  5. TRIMMED names to an account only numbers that will never be sent to it again: below the durable mark
 *     and below every mail in a file whose log does not say that this account has it.
 *     JOURNALS names all journals that something may be sent of: those in the spool, and those that mail in files came from.
 *     Neither is said while something in the spool cannot be read, or may come back though it was removed.
 *  6. A mail keeps the name (journal, sequence, recipient) that the mailbox knows it by, wherever it lies.
 *  7. What one account does (hang, fail, be full) delays no other one: sends never block, at most a window is
 *     in flight, and what an account does not take in seconds moves to a file.
 *
 * A recipient:
 *
 *	PENDING ──DELIVER──► SENT ──DELIVERED──► APPLIED ──syncfs──► DONE
 *	 ▲ │ ▲                │                     │
 *	 │ │ ├──it may pass───┤                     │
 *	 │ │ └──channel closed, unclean open, failed syncfs
 *	 │ ▼                  ├──for good─────────► BOUNCING ──report is durable──► FAILED
 *	HELD                  └──delivered, and the sender wants to know──┘────────► APPLIED
 *
 * A mail: in the journal ──lags, is deferred or held, ring half full──► in a file of its own ──► gone.
 *
 * For other hosts relay is in the mailbox's place: a job (relay.h) is one mail and its recipients in one domain (destination.h). What
 * relay says for good is in the results log (results.h) before relay is told that it is noted; the log is flushed by the same sync
 * that makes APPLIED to DONE.
 *
 * Threads: the loop's has all state. `writer` appends groups, `syncer` writes marks and calls syncfs, `filer`
 * writes the files; each gets a job with all that it needs.
 *
 * struct queue is the whole of it; what a module keeps there is declared in that module's header.
 */
#ifndef POSTHORN_QUEUE_QUEUE_H
#define POSTHORN_QUEUE_QUEUE_H

#include "arena.h"
#include "array.h"
#include "daemon.h"
#include "hash.h"
#include "worker.h"

#include "bounce.h"
#include "commit.h"
#include "control.h"
#include "deliver.h"
#include "destination.h"
#include "mail.h"
#include "quota.h"
#include "relay.h"
#include "resolve.h"
#include "results.h"
#include "schedule.h"
#include "spool.h"
#include "trim.h"

struct queue {
	struct daemon daemon;
	struct loop *loop;
	int spool;                   /* directory */
	int accounts_folder;         /* on the accounts' file system */
	struct worker writer, syncer, filer, signer;
	struct state *state;         /* see state.h */
	struct aggregates *aggregates; /* for DMARC reports; see aggregate.h */
	struct greylist *greylist;   /* see greylist.h */
	int key_folder;              /* of DKIM keys */
	struct keys *keys;           /* what mail is signed with now; see keys.h */
	size_t signings;             /* under way */
	struct timer tick;
	unsigned ticks;
	bool draining;
	bool held;                   /* posthornctl: deliver nothing */

	struct lookups lookups;
	struct intake *intakes;      /* smtpd peers */

	struct destinations destinations;
	struct relays relays;
	struct results results;

	struct map *accounts;        /* number → struct account */
	struct bounce_desk bounces;
	struct forward *forward;     /* see forward.h */
	struct sts_policies *sts;    /* see sts.h */
	struct tls_reports *tls_reports; /* see tls_report.h */
	struct map *senders;         /* see sending.h */
	int64_t senders_hour;        /* when they were looked through */
	unsigned starting;           /* mailboxes asked for and not wired yet */
	struct account *first_to_start, *last_to_start; /* to be asked for then */
	struct gathering gathering;  /* see gather.h */
	struct mail *first, *last;
	size_t mail_count;
	uint64_t octets;             /* of messages, in memory */
	struct arena *scratch;       /* of one function at a time, which resets it */

	struct ring *rings;
	unsigned journals_generation; /* rises when a journal is gone */
	bool may_know_less; /* something in the spool could not be read or removed: it may come back, so that no account
	                              * may forget what it has applied */
	struct ring *current;        /* where new mail goes, or NULL */
	int64_t ring_retry_ms;       /* not before then */
	enum fail_kind no_ring_why;  /* what mail hears until then */
	struct commit_list waiting;  /* commits of this round of the loop */
	struct timer commit_timer;
	size_t commits_coming;       /* transactions that have recipients and send their message */
	struct group group;
	struct sync sync;
	ARRAY(struct gone) gone;
	bool removing;
	unsigned moves;              /* of mails to files, under way */

	bool usage_changed;
	bool usage_busy;
	int64_t usage_written_ms;

	struct control *controls;
	struct watch control_watch;
	int control_listener;        /* -1: none */
};

#endif
